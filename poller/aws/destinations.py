"""On-failure destinations behind ports.Destination: an SQS queue, an SNS topic, an S3 bucket (DST-1).

Queues take the road of the sources. Topics and buckets need an SDK client, which is made when the first of them is
opened: a worker without any does not pay for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, assert_never

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from poller.aws.clients import AwsClients
from poller.aws.sdk_calls import ask, check_receipt
from poller.aws.sqs import find_queue_url
from poller.core.failure_document import s3_object
from poller.core.mapping import DestinationArn, DestinationKind
from poller.core.payload import serialise
from poller.errors import DestinationError, SourceError
from poller.ports import Destination, FailureDocument

TRIES = 3
TRY_DEADLINE = 10.0  # seconds; all tries and the pauses between them end within 31
FIRST_PAUSE = 0.2
OPEN_DEADLINE = 20.0
_SOMEWHERE = "us-east-1"  # of a bucket nothing tells the region: S3 says where to go

Send: TypeAlias = Callable[[FailureDocument], Awaitable[None]]


class AwsDestination:
    """A destination that was opened; `send` is one try and raises SourceError."""

    def __init__(self, arn: DestinationArn, send: Send) -> None:
        self.arn = arn
        self._send = send

    async def deliver(self, document: FailureDocument) -> None:
        """Hands it over (DST-2, DST-10), in three tries of ten seconds each (DST-30).

        Whatever went wrong is tried again: permissions and targets may be seconds old. A try whose answer was lost
        may have done its work, so the document may arrive twice (DST-32). Raises DestinationError.
        """
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(TRIES),
                wait=wait_random_exponential(multiplier=FIRST_PAUSE),
                retry=retry_if_exception_type(SourceError),
                reraise=True,
            ):
                with attempt:
                    await self._send(document)
        except SourceError as error:
            said = f"{_named(self.arn)} took no failure document in {TRIES} tries: {error}"
            raise DestinationError(said) from error


async def open_destination(arn: DestinationArn, clients: AwsClients, region: str = "") -> Destination:
    """Gets ready to deliver there; `region`, that of the mapping's source, is where a bucket is asked for first.

    A queue must exist; a topic or bucket is not looked for. Raises DestinationError, within 20 seconds, and
    ConfigurationError for an endpoint that cannot be used.
    """
    try:
        async with asyncio.timeout(OPEN_DEADLINE):
            match arn.kind:
                case DestinationKind.SQS:
                    send = await _to_queue(arn, clients)
                case DestinationKind.SNS:
                    send = await _to_topic(arn, clients)
                case DestinationKind.S3:
                    send = await _to_bucket(arn, clients, region or clients.region() or _SOMEWHERE)
                case _:
                    assert_never(arn.kind)
    except TimeoutError as error:
        said = f"{_named(arn)} was not ready within {OPEN_DEADLINE:g} s. Check network and source of credentials."
        raise DestinationError(said) from error
    except SourceError as error:
        raise DestinationError(f"{_named(arn)} cannot be used: {error}") from error
    return AwsDestination(arn, send)


async def _to_queue(arn: DestinationArn, clients: AwsClients) -> Send:
    wire = clients.wire("sqs", arn.region)
    url = await find_queue_url(wire, arn.account, arn.name)

    async def send(document: FailureDocument) -> None:
        body = {"QueueUrl": url, "MessageBody": serialise(document.document).decode()}
        answer = await wire.call("SendMessage", body, deadline=TRY_DEADLINE)
        check_receipt("sqs", "SendMessage", wire.host, answer.data.get("MessageId"))

    return send


async def _to_topic(arn: DestinationArn, clients: AwsClients) -> Send:
    client = await clients.client("sns", arn.region, retries=0)

    async def send(document: FailureDocument) -> None:
        message = serialise(document.document).decode()
        publish = client.publish(TopicArn=arn.text, Message=message)
        await ask(clients, "sns", "Publish", publish, receipt="MessageId", deadline=TRY_DEADLINE)

    return send


async def _to_bucket(arn: DestinationArn, clients: AwsClients, region: str) -> Send:
    client = await clients.client("s3", region, retries=0)

    async def send(document: FailureDocument) -> None:
        put = client.put_object(
            Bucket=arn.name,
            Key=document.key,
            Body=s3_object(document.document, document.event),
            ContentType="application/octet-stream",
        )
        await ask(clients, "s3", "PutObject", put, receipt="ETag", deadline=TRY_DEADLINE)

    return send


def _named(arn: DestinationArn) -> str:
    return f"The on-failure destination {arn.text}"
