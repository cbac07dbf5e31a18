"""Where endpoint, region, proxy and authorities come from; endpoints are held to aiobotocore's own client."""

import pytest
from aiobotocore.session import AioSession

from poller.aws.clients import AwsClients
from poller.core.model import SourceProblem
from poller.errors import ConfigurationError, SourceError

SERVICES = ["sqs", "kinesis", "dynamodb"]
SETTINGS = {
    "nothing": {},
    "fips": {"AWS_USE_FIPS_ENDPOINT": "true"},
    "dual stack": {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "one url": {"AWS_ENDPOINT_URL": "http://all.example:1/base"},
    "two urls": {"AWS_ENDPOINT_URL": "http://all.example:1", "AWS_ENDPOINT_URL_SQS": "http://sqs.example:2"},
    "ignored": {"AWS_ENDPOINT_URL": "http://all.example:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    "profile": {"AWS_PROFILE": "p"},
    "global in profile": {"AWS_PROFILE": "g"},
}
CONFIG = """
[profile p]
services = mine
region = eu-south-2
[services mine]
sqs =
  endpoint_url = http://profile.example:3
[profile g]
endpoint_url = http://global.example:4
"""


@pytest.mark.parametrize(
    ("setting", "region"), [(setting, "eu-west-1") for setting in SETTINGS] + [("nothing", "cn-north-1")]
)
async def test_endpoints_are_those_of_the_sdk(setting, region, monkeypatch, aws_files):
    (aws_files / "config").write_text(CONFIG)
    for name, value in SETTINGS[setting].items():
        monkeypatch.setenv(name, value)
    async with AwsClients() as clients:
        for service in SERVICES:
            assert clients.endpoint(service, region).rstrip("/") == await asked_by_the_sdk(service, region)


async def asked_by_the_sdk(service, region):
    async with AioSession().create_client(service, region_name=region) as client:
        client.meta.events.register("before-send", stop)
        with pytest.raises(Asked) as caught:
            await client._make_api_call(*PROBES[service])
    return str(caught.value).rstrip("/")


class Asked(BaseException):
    """Stops the SDK where it would send; not an Exception, so that it retries nothing."""


def stop(request, **_):
    raise Asked(request.url)


PROBES = {
    "sqs": ("GetQueueUrl", {"QueueName": "q"}),
    "kinesis": ("ListStreams", {}),
    "dynamodb": ("ListTables", {}),
}


async def test_the_settings_url_goes_before_everything(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://sqs.example:2")
    async with AwsClients(endpoint_url="http://mine.example:9") as clients:
        assert clients.wire("sqs", "eu-west-1").host == "mine.example:9"


async def test_one_wire_client_for_the_same_arguments():
    async with AwsClients() as clients:
        assert clients.wire("sqs", "eu-west-1") is clients.wire("sqs", "eu-west-1")
        assert clients.wire("sqs", "eu-west-1") is not clients.wire("sqs", "eu-west-2")


async def test_region_from_setting_then_environment_then_profile(monkeypatch, aws_files):
    (aws_files / "config").write_text(CONFIG)
    assert AwsClients().region() is None
    assert AwsClients(profile="p").region() == "eu-south-2"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert AwsClients().region() == "eu-north-1"
    assert AwsClients(region="eu-west-3").region() == "eu-west-3"


async def test_a_profile_that_is_not_there():
    clients = AwsClients(profile="nobody")
    for ask in (clients.region, lambda: clients.endpoint("sqs", "eu-west-1")):
        with pytest.raises(SourceError, match=r"nobody.*~/\.aws/config") as caught:
            ask()
        assert caught.value.problem is SourceProblem.CREDENTIALS


async def test_proxy_and_its_exceptions(serve, monkeypatch):
    async def script(line, number):
        while True:
            await line.request()
            await line.answer(b'{"by": "proxy"}')

    proxy = await serve(script)
    direct = await serve(script)
    monkeypatch.setenv("http_proxy", proxy.url)
    async with AwsClients(endpoint_url="http://queue.example:9324") as clients:
        await clients.wire("sqs", "r").call("X", {}, deadline=30.0)
    assert proxy.requests[0][0].startswith(b"POST http://queue.example:9324/ HTTP/1.1\r\n")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with AwsClients(endpoint_url=direct.url) as clients:
        await clients.wire("sqs", "r").call("X", {}, deadline=30.0)
    assert (len(proxy.requests), len(direct.requests)) == (1, 1)


async def test_https_proxy_refusing_is_one_sentence(serve, monkeypatch):
    async def script(line, number):
        await line.reader.readuntil(b"\r\n\r\n")
        await line.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    proxy = await serve(script)
    monkeypatch.setenv("https_proxy", proxy.url)
    async with AwsClients() as clients:
        with pytest.raises(SourceError, match="407") as caught:
            await clients.wire("sqs", "eu-west-1").call("X", {}, deadline=30.0)
    assert caught.value.problem is SourceProblem.UNREACHABLE


async def answering(line, number):
    while True:
        await line.request()
        await line.answer()


async def test_ca_bundle_of_the_environment_is_trusted(serve, monkeypatch, certs):
    server = await serve(answering, tls=True)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certs / "ca.pem"))
    async with AwsClients(endpoint_url=server.url) as clients:
        assert (await clients.wire("sqs", "r").call("X", {}, deadline=30.0)).data == {}


async def test_without_it_the_server_is_not_trusted(serve):
    server = await serve(answering, tls=True)
    async with AwsClients(endpoint_url=server.url) as clients:
        with pytest.raises(SourceError, match="AWS_CA_BUNDLE"):
            await clients.wire("sqs", "r").call("X", {}, deadline=30.0)
    assert not server.requests


async def test_ca_bundle_that_cannot_be_read(monkeypatch, tmp_path):
    async with AwsClients() as clients:
        for bundle in (tmp_path / "missing.pem", tmp_path):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
            with pytest.raises(ConfigurationError, match="AWS_CA_BUNDLE"):
                clients.wire("sqs", f"r-{bundle.name}")


@pytest.mark.parametrize("url", ["localhost:4566", "ftp://x", "http://", "http://h:bad"])
async def test_endpoint_urls_that_cannot_be_used(url):
    async with AwsClients(endpoint_url=url) as clients:
        with pytest.raises(ConfigurationError, match="cannot be used"):
            clients.wire("sqs", "eu-west-1")


async def test_sdk_clients_are_made_once_and_talk_to_the_same_place(serve):
    server = await serve(answering)
    async with AwsClients(endpoint_url=server.url) as clients:
        client = await clients.client("sqs", "eu-west-1")
        assert await clients.client("sqs", "eu-west-1") is client
        await client.list_queues()
    assert len(server.requests) == 1


async def test_an_sdk_client_that_cannot_be_made():
    async with AwsClients(endpoint_url="rubbish") as clients:
        with pytest.raises(SourceError) as caught:
            await clients.client("sqs", "eu-west-1")
    assert caught.value.problem is SourceProblem.REFUSED
