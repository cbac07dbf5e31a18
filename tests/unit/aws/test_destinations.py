"""On-failure destinations on the embedded AWS: what arrives, how often it is tried, what the errors tell."""

import asyncio
import json
import re
import sys

import pytest

from poller.aws import destinations
from poller.aws.clients import AwsClients
from poller.aws.credentials import RENEWAL_SECONDS
from poller.aws.destinations import TRIES, open_destination
from poller.core.mapping import DestinationArn, DestinationKind
from poller.core.model import Instant
from poller.errors import DestinationError
from poller.ports import FailureDocument
from poller.testing import EmbeddedAws

QUEUE = DestinationArn(
    "arn:aws:sqs:eu-west-1:000000000000:bad", DestinationKind.SQS, "eu-west-1", "000000000000", "bad"
)
TOPIC = DestinationArn(
    "arn:aws:sns:eu-west-1:000000000000:bad", DestinationKind.SNS, "eu-west-1", "000000000000", "bad"
)
BUCKET = DestinationArn("arn:aws:s3:::bad-ones", DestinationKind.S3, "", "", "bad-ones")
EVERY = pytest.mark.parametrize(
    ("arn", "operation", "action"),
    [
        pytest.param(QUEUE, "SendMessage", "sqs:SendMessage", id="sqs"),
        pytest.param(TOPIC, "Publish", "sns:Publish", id="sns"),
        pytest.param(BUCKET, "PutObject", "s3:PutObject", id="s3"),
    ],
)
DOCUMENT = FailureDocument(
    {"requestContext": {"condition": "RetryAttemptsExhausted"}, "version": "1.0", "ü": ["\N{SNOWMAN}", None, 1.5]},
    {"Records": [{"kinesis": {"data": "aGk="}, "eventSource": "aws:kinesis", "emoji": "\N{GRINNING FACE}"}]},
    "aws/lambda/5a7e/shardId-000000000000/2025/01/02/2025-01-02T03.04.05-6f1c",
)
COMPACT = '{"requestContext":{"condition":"RetryAttemptsExhausted"},"version":"1.0","ü":["\N{SNOWMAN}",null,1.5]}'


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(destinations, "FIRST_PAUSE", 0.001)


@pytest.fixture
async def aws():
    async with EmbeddedAws(region="eu-west-1") as aws:
        yield aws


@pytest.fixture
async def clients(aws):
    seen = []
    async with AwsClients(endpoint_url=aws.url, observe=lambda *call: seen.append(call[:3])) as clients:
        clients.seen = seen
        yield clients


async def make(aws, clients, arn):
    """The target that the ARN names."""
    match arn.kind:
        case DestinationKind.SQS:
            await clients.wire("sqs", arn.region).call("CreateQueue", {"QueueName": arn.name}, deadline=5)
        case DestinationKind.SNS:
            await (await clients.client("sns", arn.region)).create_topic(Name=arn.name)
        case DestinationKind.S3:
            where = {"LocationConstraint": "eu-west-1"}
            await (await clients.client("s3", "eu-west-1")).create_bucket(
                Bucket=arn.name, CreateBucketConfiguration=where
            )


async def opened(aws, clients, arn):
    await make(aws, clients, arn)
    return await open_destination(arn, clients, "eu-west-1")


def arrived(aws, arn):
    """The texts that the target has."""
    match arn.kind:
        case DestinationKind.SQS:
            return [message.body for message in aws.sqs.queues[arn.name].messages.values()]
        case DestinationKind.SNS:
            return [message.text for message in aws.sns.topics[arn.text].published]
        case DestinationKind.S3:
            return [item.body.decode() for item in aws.s3.buckets[arn.name].objects.values()]


def tries(aws, operation):
    services = aws.service, aws.rest.sns_service, aws.rest.s3_service
    return sum(service.calls[operation] for service in services)


@pytest.mark.parametrize("arn", [QUEUE, TOPIC], ids=["sqs", "sns"])
async def test_queues_and_topics_get_the_compact_document(aws, clients, arn):
    """DST-2, DST-9: in the order of its fields, and nothing of the event."""
    await (await opened(aws, clients, arn)).deliver(DOCUMENT)
    assert arrived(aws, arn) == [COMPACT]


async def test_a_bucket_gets_the_event_as_a_text_in_the_document(aws, clients):
    """DST-10, DST-11: the same fields and `payload`, under the key of the document, as bytes of no known type."""
    await (await opened(aws, clients, BUCKET)).deliver(DOCUMENT)
    (key, stored), *others = aws.s3.buckets["bad-ones"].objects.items()
    assert (key, others) == (DOCUMENT.key, [])
    assert stored.headers["content-type"] == "application/octet-stream"
    assert stored.body.startswith(COMPACT[:-1].encode() + b',"payload":"{')
    assert json.loads(json.loads(stored.body)["payload"]) == DOCUMENT.event


@EVERY
@pytest.mark.parametrize(("fault", "problem"), [("fail", "server"), ("throttle", "throttled")])
async def test_two_failures_are_got_over(aws, clients, arn, operation, action, fault, problem):
    """DST-30: the third try counts."""
    destination = await opened(aws, clients, arn)
    getattr(aws.faults, fault)(operation, times=TRIES - 1)
    await destination.deliver(DOCUMENT)
    assert tries(aws, operation) == TRIES
    assert len(arrived(aws, arn)) == 1
    service = arn.kind.value
    told = [call for call in clients.seen if call[1] == operation]
    assert told == [(service, operation, problem)] * (TRIES - 1) + [(service, operation, "success")]


async def test_a_bucket_elsewhere_is_found(serve):
    """DST-1: nothing tells its region but S3, which sends there (307, while a bucket is new); the request must be
    signed anew for that region, not just be sent elsewhere.
    """
    regions = []

    async def script(line, number):
        while True:
            head = await line.reader.readuntil(b"\r\n\r\n")
            await line.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await line.reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
            regions.append(re.search(rb"Credential=[^/]+/\d+/([^/]+)/", head)[1].decode())
            if len(regions) == 1:
                text = b"<Error><Code>TemporaryRedirect</Code><Bucket>bad-ones</Bucket></Error>"
                where = "x-amz-bucket-region: eu-west-1\r\nLocation: /elsewhere\r\n"
                await line.answer(text, "307 Temporary Redirect", where)
            else:
                await line.answer(b"", extra='ETag: "x"\r\n')

    server = await serve(script)
    async with AwsClients(endpoint_url=server.url) as clients:
        await (await open_destination(BUCKET, clients, "us-east-1")).deliver(DOCUMENT)
    assert regions == ["us-east-1", "eu-west-1"]


@EVERY
async def test_lost_connections_are_got_over(aws, clients, arn, operation, action):
    """DST-30."""
    destination = await opened(aws, clients, arn)
    aws.faults.drop(operation, times=TRIES - 1)
    await destination.deliver(DOCUMENT)
    assert tries(aws, operation) == TRIES
    assert len(arrived(aws, arn)) == 1


@EVERY
async def test_the_next_try_has_credentials_that_were_renewed(aws, arn, operation, action, monkeypatch, aws_files):
    """DST-30: three tries with the same expired credentials would lose the document."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = aws_files / "credentials"
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\n"
    file.write_text(text.format("AKIDOLD"))
    async with AwsClients(endpoint_url=aws.url, clock=(clock := Clock())) as clients:
        destination = await opened(aws, clients, arn)
        file.write_text(text.format("AKIDNEW"))
        clock.mono += RENEWAL_SECONDS
        aws.faults.fail(operation, status=403, code="ExpiredToken")
        await destination.deliver(DOCUMENT)
        held = clients._credentials.held(clock.mono)
    assert held is not None
    assert held.access_key == "AKIDNEW"


class Clock:
    mono = 1000.0

    def now(self):
        return Instant(1_700_000_000.0, self.mono)


@EVERY
async def test_three_tries_then_an_error(aws, clients, arn, operation, action):
    """DST-30: and no try of the SDK's own beside them."""
    destination = await opened(aws, clients, arn)
    aws.faults.fail(operation, times=None, message="Nothing works here")
    with pytest.raises(DestinationError, match="Nothing works here") as caught:
        await destination.deliver(DOCUMENT)
    assert arn.text in str(caught.value)
    assert "InternalFailure" in str(caught.value)
    assert tries(aws, operation) == TRIES == 3
    assert arrived(aws, arn) == []


async def test_there_is_a_pause_between_two_tries(aws, clients, monkeypatch):
    """DST-30: with one that never ends, nothing is sent while three other calls go to and fro."""
    monkeypatch.setattr(destinations, "FIRST_PAUSE", 1e9)
    destination = await opened(aws, clients, QUEUE)
    aws.faults.fail("SendMessage", times=None)
    task = asyncio.create_task(destination.deliver(DOCUMENT))
    async with asyncio.timeout(30):
        while ("sqs", "SendMessage", "server") not in clients.seen:  # noqa: ASYNC110 - an observed call sets no event
            await asyncio.sleep(0.005)
        for _ in range(3):
            await clients.wire("sqs", QUEUE.region).call("ListQueues", {}, deadline=20)
    assert tries(aws, "SendMessage") == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@EVERY
async def test_a_lost_answer_may_bring_the_document_twice(aws, clients, arn, operation, action):
    """DST-32."""
    destination = await opened(aws, clients, arn)
    aws.faults.drop(operation, after=True)
    await destination.deliver(DOCUMENT)
    assert tries(aws, operation) == 2
    assert set(arrived(aws, arn)) == set(arrived(aws, arn)[:1])


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"[]", b"<html>Sign in to go on</html>", b"<html><p>Sign in<br>to go on", b"<x/>"],
)
@pytest.mark.parametrize("arn", [QUEUE, TOPIC, BUCKET], ids=["sqs", "sns", "s3"])
async def test_what_is_no_receipt_is_no_success(serve, arn, body):
    """DST-30: nothing is handed over that was answered by a proxy, with whatever status."""
    posted = []

    async def portal(line, number):
        while True:
            if arn is BUCKET:
                await line.send(b"HTTP/1.1 100 Continue\r\n\r\n")  # the SDK waits for it before it sends the body
            head, _ = await line.request()
            found = b"AmazonSQS.GetQueueUrl" in head
            posted.append(not found)
            await line.answer(b'{"QueueUrl":"http://q/bad"}' if found else body)

    server = await serve(portal)
    told = []
    async with AwsClients(endpoint_url=server.url, observe=lambda *call: told.append(call[2])) as clients:
        destination = await open_destination(arn, clients, "eu-west-1")
        told.clear()
        with pytest.raises(DestinationError, match=re.escape(arn.text)):
            await destination.deliver(DOCUMENT)
    assert sum(posted) == TRIES
    assert "success" not in told or arn is QUEUE  # a queue's answer was an answer


@EVERY
async def test_denied_says_what_to_allow(aws, clients, arn, operation, action):
    """DST-30, IAM-5."""
    destination = await opened(aws, clients, arn)
    code = "AuthorizationError" if arn is TOPIC else "AccessDenied"
    aws.faults.fail(operation, times=None, status=403, code=code, message="You may not")
    with pytest.raises(DestinationError) as caught:
        await destination.deliver(DOCUMENT)
    for told in (arn.text, code, "You may not", f"Allow {action} to these credentials"):
        assert told in str(caught.value)


@EVERY
async def test_a_target_that_went_away(aws, clients, arn, operation, action):
    """DST-30."""
    destination = await opened(aws, clients, arn)
    aws.sqs.queues.clear()
    aws.sns.topics.clear()
    aws.s3.buckets.clear()
    with pytest.raises(DestinationError, match=re.escape(arn.text)) as caught:
        await destination.deliver(DOCUMENT)
    assert "Check name, account and region." in str(caught.value)
    await make(aws, clients, arn)
    await destination.deliver(DOCUMENT)
    assert len(arrived(aws, arn)) == 1


@EVERY
async def test_no_try_is_without_a_deadline(aws, clients, arn, operation, action, monkeypatch):
    """DST-30: a service that never answers does not hold the shard."""
    monkeypatch.setattr(destinations, "TRY_DEADLINE", 0.05)
    destination = await opened(aws, clients, arn)
    aws.faults.hang(operation, times=None)
    async with asyncio.timeout(30):
        with pytest.raises(DestinationError, match="did not answer"):
            await destination.deliver(DOCUMENT)
    # by then a slow machine may not have sent every try
    assert [call[2] for call in clients.seen if call[1] == operation] == ["unreachable"] * TRIES


@EVERY
async def test_cancellation_ends_it(aws, clients, arn, operation, action):
    """A stop does not wait for a destination: the document is sent by the next process (DST-32)."""
    destination = await opened(aws, clients, arn)
    aws.faults.hang(operation, times=None)
    task = asyncio.create_task(destination.deliver(DOCUMENT))
    async with asyncio.timeout(30):
        while not tries(aws, operation):  # noqa: ASYNC110 - a call that hangs sets no event
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert tries(aws, operation) == 1
    assert not [call for call in clients.seen if call[1] == operation]


@EVERY
async def test_aws_out_of_reach(aws, clients, arn, operation, action):
    """DST-30."""
    destination = await opened(aws, clients, arn)
    await aws.close()
    with pytest.raises(DestinationError, match="cannot be reached"):
        await destination.deliver(DOCUMENT)


# --- opening ---


async def test_a_missing_queue_is_told_at_once(clients):
    with pytest.raises(DestinationError, match=re.escape(QUEUE.text)) as caught:
        await open_destination(QUEUE, clients)
    assert "Check name, account and region." in str(caught.value)


async def test_the_queue_is_asked_for_in_its_account_and_may_be_kept_secret(aws, clients):
    """IAM-5: sqs:SendMessage is all that a destination needs."""
    await make(aws, clients, QUEUE)
    aws.faults.fail("GetQueueUrl", times=None, status=403, code="AccessDenied")
    await (await open_destination(QUEUE, clients)).deliver(DOCUMENT)
    assert arrived(aws, QUEUE) == [COMPACT]


async def test_sdk_clients_are_made_for_topics_and_buckets_only_and_once(aws, clients):
    await make(aws, clients, QUEUE)
    await open_destination(QUEUE, clients)
    assert clients._clients == {}
    await asyncio.gather(*(open_destination(arn, clients, "eu-west-1") for arn in (TOPIC, BUCKET) * 3))
    assert len([key for key in clients._clients if key[2] == 0]) == 2


async def test_mappings_that_start_together_share_an_sdk_client(monkeypatch, aws_files):
    """Even where credentials take their time."""
    told = {"Version": 1, "AccessKeyId": "x", "SecretAccessKey": "y"}
    script = aws_files / "credentials.py"
    script.write_text(f"print({json.dumps(told)!r})")
    (aws_files / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with AwsClients(endpoint_url="http://127.0.0.1:9") as clients:
        made = await asyncio.gather(*(clients.client("sns", "eu-west-1") for _ in range(3)))
    assert made[0] is made[1] is made[2]


async def test_opening_has_a_deadline(clients, monkeypatch):
    """The making of a client may wait for credentials for ever."""
    monkeypatch.setattr(destinations, "OPEN_DEADLINE", 0.01)
    async with asyncio.timeout(30), clients._making:
        with pytest.raises(DestinationError, match="was not ready within"):
            await open_destination(TOPIC, clients)


@pytest.mark.parametrize("arn", [TOPIC, BUCKET], ids=["sns", "s3"])
async def test_a_client_that_cannot_be_made(arn):
    async with AwsClients(endpoint_url="rubbish") as clients:
        with pytest.raises(DestinationError, match=re.escape(arn.text)):
            await open_destination(arn, clients)


@pytest.mark.parametrize(
    ("told", "default", "region"),
    [("ap-south-1", "eu-west-1", "ap-south-1"), ("", "eu-west-1", "eu-west-1"), ("", None, "us-east-1")],
)
async def test_the_region_where_a_bucket_is_asked_for(told, default, region):
    async with AwsClients(endpoint_url="http://127.0.0.1:9", region=default) as clients:
        await open_destination(BUCKET, clients, told)
        assert [key[1] for key in clients._clients] == [region]


async def url_of_an_object(clients):
    client = await clients.client("s3", "eu-west-1", retries=0)
    return await client.generate_presigned_url("get_object", Params={"Bucket": "bad-ones", "Key": "k"})


@pytest.mark.parametrize("everywhere", [True, False])
async def test_buckets_stand_in_the_path_of_an_endpoint_of_ones_own(everywhere, monkeypatch):
    """Nobody answers at bad-ones.store."""
    if not everywhere:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store:9000")
    async with AwsClients(endpoint_url="http://store:9000" if everywhere else None) as clients:
        assert (await url_of_an_object(clients)).startswith("http://store:9000/bad-ones/k?")


async def test_buckets_of_aws_have_host_names():
    async with AwsClients() as clients:
        assert (await url_of_an_object(clients)).startswith("https://bad-ones.s3.")
