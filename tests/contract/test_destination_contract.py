"""ports.Destination on the embedded AWS and on servers that others wrote: what arrives, and a missing target."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from poller.aws.clients import AwsClients
from poller.aws.destinations import open_destination
from poller.core.mapping import DestinationArn, DestinationKind
from poller.errors import DestinationError
from poller.ports import Destination, FailureDocument
from tests.contract.conftest import SERVERS

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGION = "us-east-1"
DOCUMENT = FailureDocument(
    {
        "requestContext": {"requestId": "r", "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 2},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None},
        "version": "1.0",
        "KinesisBatchInfo": {"shardId": "shardId-000000000000", "streamArn": "ü <&> \N{GRINNING FACE}"},
    },
    {
        "Records": [
            {"kinesis": {"data": "aGk=", "partitionKey": 'a "b" \\ \N{SNOWMAN}\n'}, "eventSource": "aws:kinesis"}
        ]
    },
    "aws/lambda/5a7e/shardId-000000000000/2025/01/02/2025-01-02T03.04.05-6f1c",
)
COMPACT = json.dumps(DOCUMENT.document, separators=(",", ":"), ensure_ascii=False)
KINDS = pytest.mark.parametrize("kind", list(DestinationKind))


class Target:
    """A queue, topic or bucket of the server with a name of its own."""

    def __init__(self, clients: AwsClients, kind: DestinationKind) -> None:
        self.clients = clients
        self.kind = kind
        self.name = f"d-{uuid.uuid4().hex[:16]}"
        self.arn = f"arn:aws:s3:::{self.name}"
        self._queue = ""

    async def make(self) -> None:
        """SNS shows nobody what it took: a queue is subscribed that gets it as it is."""
        if self.kind is DestinationKind.S3:
            await (await self._client("s3")).create_bucket(Bucket=self.name)
            return
        sqs = await self._client("sqs")
        self._queue = (await sqs.create_queue(QueueName=self.name))["QueueUrl"]
        told = await sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        self.arn = told["Attributes"]["QueueArn"]
        if self.kind is DestinationKind.SNS:
            sns = await self._client("sns")
            queue, self.arn = self.arn, (await sns.create_topic(Name=self.name))["TopicArn"]
            await sns.subscribe(
                TopicArn=self.arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
            )

    async def delete(self) -> None:
        match self.kind:
            case DestinationKind.S3:
                await (await self._client("s3")).delete_bucket(Bucket=self.name)
            case DestinationKind.SNS:
                await (await self._client("sns")).delete_topic(TopicArn=self.arn)
            case DestinationKind.SQS:
                await (await self._client("sqs")).delete_queue(QueueUrl=self._queue)

    async def open(self) -> Destination:
        *_, region, account, name = self.arn.split(":")
        return await open_destination(
            DestinationArn(self.arn, self.kind, region, account, name), self.clients, REGION
        )

    async def arrived(self) -> list[tuple[str, str]]:
        """Key (of S3) and text of what is there."""
        if self.kind is DestinationKind.S3:
            s3 = await self._client("s3")
            keys = [item["Key"] for item in (await s3.list_objects_v2(Bucket=self.name)).get("Contents", [])]
            objects = [await s3.get_object(Bucket=self.name, Key=key) for key in keys]
            assert {item["ContentType"] for item in objects} <= {"application/octet-stream"}
            bodies = [await item["Body"].read() for item in objects]
            return [(key, body.decode()) for key, body in zip(keys, bodies, strict=True)]
        sqs = await self._client("sqs")
        told = await sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=10)
        return [("", message["Body"]) for message in told.get("Messages", [])]

    async def _client(self, service: str) -> Any:
        return await self.clients.client(service, REGION)


@pytest.fixture(params=SERVERS)
def clients(request: pytest.FixtureRequest, aws_clients: Callable[[str], AwsClients]) -> AwsClients:
    """Each server in turn."""
    return aws_clients(request.getfixturevalue(SERVERS[request.param]))


@KINDS
async def test_the_document_arrives_byte_for_byte(clients: AwsClients, kind: DestinationKind) -> None:
    """DST-2, DST-10, DST-11."""
    target = Target(clients, kind)
    await target.make()
    await (await target.open()).deliver(DOCUMENT)
    ((key, text),) = await target.arrived()
    if kind is not DestinationKind.S3:
        assert text == COMPACT
        return
    payload = json.dumps(DOCUMENT.event, separators=(",", ":"), ensure_ascii=False)
    assert text == COMPACT[:-1] + ',"payload":' + json.dumps(payload, ensure_ascii=False) + "}"
    assert key == DOCUMENT.key


@KINDS
async def test_a_target_that_was_deleted(clients: AwsClients, kind: DestinationKind) -> None:
    """DST-30: it is told which, and what to look at; opening a destination looks for queues only."""
    target = Target(clients, kind)
    await target.make()
    destination = await target.open()
    await target.delete()
    with pytest.raises(DestinationError) as caught:
        await destination.deliver(DOCUMENT)
    assert target.arn in str(caught.value)
    assert "Check name, account and region." in str(caught.value)
    if kind is DestinationKind.SQS:
        with pytest.raises(DestinationError, match="Check name, account and region"):
            await target.open()
