"""The HTTP face: what only HTTP has (connections, order, broken requests), with raw sockets and with SDKs."""

import asyncio
import email.utils
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import boto3
import botocore.config
import orjson
import pytest
from aiobotocore.session import get_session

from poller.errors import ListenError
from poller.testing import EmbeddedAws, ManualClock

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}


class Client:
    """A connection on which the test writes what it likes."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self.aws.host, self.aws.port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.writer.close()

    def write(self, operation: str, *headers: str, **request: Any) -> None:
        self.write_raw(orjson.dumps(request), f"X-Amz-Target: AmazonSQS.{operation}", *headers)

    def write_raw(self, body: bytes, *headers: str) -> None:
        lines = ["POST / HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def read(self) -> tuple[int, Any]:
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.split("\r\n")
            self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(self.headers["content-length"]))
        return int(status.split()[1]), orjson.loads(body)

    async def call(self, operation: str, **request: Any) -> Any:
        self.write(operation, **request)
        return (await self.read())[1]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - the server has no event for each thing a test may wait for
            await asyncio.sleep(0)


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def aws(clock: ManualClock) -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws(clock=clock) as aws:
        yield aws


@pytest.fixture
async def client(aws: EmbeddedAws) -> AsyncIterator[Client]:
    async with Client(aws) as client:
        yield client


async def test_answers_carry_type_length_id_and_the_date_of_the_clock(client: Client, clock: ManualClock) -> None:
    assert await client.call("ListQueues") == {}
    first = client.headers
    assert first["content-type"] == "application/x-amz-json-1.0"
    assert email.utils.parsedate_to_datetime(first["date"]).timestamp() == clock.now().wall
    clock.advance(1)
    await client.call("ListQueues")
    assert client.headers["x-amzn-requestid"] != first["x-amzn-requestid"]
    assert email.utils.parsedate_to_datetime(client.headers["date"]).timestamp() == clock.now().wall


async def test_errors_come_in_both_forms(client: Client) -> None:
    client.write("GetQueueUrl", QueueName="none")
    status, body = await client.read()
    assert (status, body["__type"]) == (400, "com.amazonaws.sqs#QueueDoesNotExist")
    assert body["message"] == "The specified queue does not exist."
    assert client.headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"


async def test_planted_failures_have_their_status(aws: EmbeddedAws, client: Client) -> None:
    aws.faults.fail(status=503, code="ServiceUnavailable")
    client.write("ListQueues")
    status, body = await client.read()
    assert (status, body["__type"]) == (503, "com.amazonaws.sqs#ServiceUnavailable")
    assert client.headers["x-amzn-query-error"] == "ServiceUnavailable;Receiver"


@pytest.mark.parametrize(
    ("body", "headers", "name"),
    [
        (b"{", ["X-Amz-Target: AmazonSQS.ListQueues"], "SerializationException"),
        (b"[]", ["X-Amz-Target: AmazonSQS.ListQueues"], "SerializationException"),
        (b'{"QueueNamePrefix": 1}', ["X-Amz-Target: AmazonSQS.ListQueues"], "SerializationException"),
        (b"{}", ["X-Amz-Target: AmazonSQS.Nonsense"], "UnknownOperationException"),
        (b"{}", ["X-Amz-Target: Firehose_20150804.PutRecord"], "UnknownOperationException"),
        (b"Action=ListQueues", [], "UnknownOperationException"),
    ],
)
async def test_what_is_not_a_request_is_refused(
    client: Client, body: bytes, headers: list[str], name: str
) -> None:
    client.write_raw(body, *headers)
    status, answer = await client.read()
    assert (status, answer["__type"].rpartition("#")[2]) == (400, name)
    assert await client.call("ListQueues") == {}


async def test_what_is_not_http_is_refused_and_closed(client: Client) -> None:
    client.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await client.read())[0] == 400
    assert await client.reader.read() == b""


async def test_too_long_a_request_is_refused_and_closed(
    aws: EmbeddedAws, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poller.testing.server._LARGEST_BODY", 1000)
    client.write_raw(b"x" * 1001, "X-Amz-Target: AmazonSQS.ListQueues")
    assert (await client.read())[0] == 413
    assert await client.reader.read() == b""


async def test_a_request_may_arrive_in_pieces_and_in_chunks(client: Client) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nx-amz-target: AmazonSQS.CreateQueue\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for piece in (head[:20], head[20:], b'd\r\n{"QueueName":\r\n', b'4\r\n"q"}\r\n', b"0\r\n\r\n"):
        client.writer.write(piece)
        await client.writer.drain()
    assert (await client.read())[1]["QueueUrl"].endswith("/q")


async def test_requests_sent_at_once_are_answered_in_order(aws: EmbeddedAws, client: Client) -> None:
    url = (await client.call("CreateQueue", QueueName="q"))["QueueUrl"]
    client.write("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    client.write("ListQueues")
    client.write("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    await until(lambda: aws.service.waiting == 1)
    async with Client(aws) as other:
        await other.call("SendMessage", QueueUrl=url, MessageBody="x")
        assert (await client.read())[1]["Messages"][0]["Body"] == "x"
        assert (await client.read())[1] == {"QueueUrls": [url]}
        await until(lambda: aws.service.waiting == 1)
        await other.call("SendMessage", QueueUrl=url, MessageBody="y")
        assert (await client.read())[1]["Messages"][0]["Body"] == "y"


async def test_a_poll_behind_other_requests_ends_with_its_connection(aws: EmbeddedAws, client: Client) -> None:
    url = (await client.call("CreateQueue", QueueName="q"))["QueueUrl"]
    async with Client(aws) as gone:
        gone.write("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
        gone.write("ListQueues")
        gone.write("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
        await until(lambda: aws.service.waiting == 1)
        await client.call("SendMessage", QueueUrl=url, MessageBody="x")
        await gone.read()
        await gone.read()
        assert aws.service.waiting == 1
    await until(lambda: aws.service.waiting == 0)


async def test_a_connection_is_closed_when_asked(client: Client) -> None:
    client.write("ListQueues", "Connection: close")
    assert (await client.read())[0] == 200
    assert await client.reader.read() == b""


async def test_a_get_tells_that_it_runs(client: Client) -> None:
    client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await client.read() == (200, {"status": "running"})


@pytest.mark.parametrize("takes", [False, True])
async def test_the_poll_of_a_client_that_is_gone(clock: ManualClock, takes: bool) -> None:
    """By default it takes nothing; on request it does what other stand-ins do."""
    async with EmbeddedAws(clock=clock, abandoned_polls_take=takes) as aws, Client(aws) as client:
        url = (await client.call("CreateQueue", QueueName="q"))["QueueUrl"]
        async with Client(aws) as gone:
            gone.write("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
            await until(lambda: aws.service.waiting == 1)
        await until(lambda: len(aws.connections) == 1)
        await client.call("SendMessage", QueueUrl=url, MessageBody="x")
        answer = await client.call("ReceiveMessage", QueueUrl=url)
        assert len(answer.get("Messages", [])) == (0 if takes else 1)


async def test_a_long_poll_ends_by_the_clock(aws: EmbeddedAws, client: Client, clock: ManualClock) -> None:
    url = (await client.call("CreateQueue", QueueName="q"))["QueueUrl"]
    client.write("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
    await until(lambda: aws.service.waiting == 1)
    clock.advance(20)
    assert await client.read() == (200, {})


@pytest.mark.parametrize("after", [False, True])
async def test_a_dropped_call_closes_the_connection(aws: EmbeddedAws, client: Client, after: bool) -> None:
    aws.faults.drop("CreateQueue", after=after)
    client.write("CreateQueue", QueueName="q")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await client.read()
    assert ("q" in aws.sqs.queues) is after


async def test_closed_it_refuses_and_started_again_it_has_its_queues(aws: EmbeddedAws, client: Client) -> None:
    url = (await client.call("CreateQueue", QueueName="q"))["QueueUrl"]
    await aws.close()
    await aws.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(aws.host, aws.port)
    await aws.start()
    async with Client(aws) as again:
        assert await again.call("GetQueueUrl", QueueName="q") == {"QueueUrl": url}


async def test_a_busy_port_is_one_readable_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: .*; choose another port"):
            await EmbeddedAws(port=port).start()


async def test_an_impossible_port_is_one_readable_sentence() -> None:
    with pytest.raises(ListenError, match="cannot listen"):
        await EmbeddedAws(port=70_000).start()


async def test_aiobotocore_is_a_client(aws: EmbeddedAws) -> None:
    async with get_session().create_client("sqs", endpoint_url=aws.url, **KEYS) as sqs:
        url = (await sqs.create_queue(QueueName="q"))["QueueUrl"]
        await sqs.send_message(QueueUrl=url, MessageBody="x")
        (message,) = (await sqs.receive_message(QueueUrl=url))["Messages"]
        await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            await sqs.get_queue_url(QueueName="none")
    assert aws.service.calls["ReceiveMessage"] == 1


async def test_boto3_retries_a_throttle(aws: EmbeddedAws) -> None:
    aws.faults.throttle("CreateQueue")

    def create() -> str:
        config = botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 2})
        client = boto3.client("sqs", endpoint_url=aws.url, config=config, **KEYS)
        try:
            return str(client.create_queue(QueueName="q")["QueueUrl"])
        finally:
            client.close()

    assert await asyncio.to_thread(create) == f"{aws.url}/000000000000/q"
    assert aws.service.calls["CreateQueue"] == 2


async def test_region_and_account_show_in_arns_and_urls() -> None:
    async with EmbeddedAws(region="eu-west-1", account="123456789012") as aws, Client(aws) as client:
        url = (await client.call("CreateQueue", QueueName="q"))["QueueUrl"]
        assert url == f"{aws.url}/123456789012/q"
        told = await client.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["QueueArn"])
        assert told == {"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:123456789012:q"}}
