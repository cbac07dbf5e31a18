"""How what a mapping names at AWS is opened: its queue or stream, its on-failure destination.

Part of the composition root beside service.py, which works on them; `poller check --online` only looks.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from poller.aws.bucket import open_bucket
from poller.aws.clients import AwsClients
from poller.aws.destinations import open_destination
from poller.aws.dynamodb_streams import DynamoDbStream
from poller.aws.kinesis import KinesisStream
from poller.aws.lambda_handler import make_lambda_handler
from poller.aws.lambda_look import look
from poller.aws.sqs import SqsQueue
from poller.check_sources import Remark
from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import QueueFacts, SourceKind
from poller.errors import DestinationError, SourceError
from poller.ports import Destination, FailureBucket, Handler, QueueSource, SendingQueue, StreamSource
from poller.settings import Settings


class Sources:
    """By means of some clients. All raise ConfigurationError for an endpoint that cannot be used."""

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients

    async def queue(self, mapping: EventSourceMapping) -> tuple[QueueSource, QueueFacts]:
        """The queue, and what it tells of itself. Raises SourceError (CFG-40, CFG-42)."""
        return await self.queue_at(mapping.arn)

    async def queue_at(self, arn: SourceArn) -> tuple[SendingQueue, QueueFacts]:
        """A queue that is no mapping's source, and what it tells of itself. Raises as `queue` does."""
        queue = SqsQueue(self._clients, arn)
        return queue, await queue.open()

    async def bucket(self, name: str, region: str) -> FailureBucket:
        """A bucket with failure documents; `region` is where it is asked for first. Raises SourceError."""
        return await open_bucket(self._clients, name, region)

    def lambda_handler(self, mapping: EventSourceMapping) -> Handler:
        """What calls the mapping's Lambda function."""
        return make_lambda_handler(mapping, self._clients)

    def stream(self, mapping: EventSourceMapping) -> StreamSource:
        """The stream, which nobody has asked for anything yet."""
        if mapping.source is SourceKind.KINESIS:
            return KinesisStream(self._clients, mapping.arn)
        return DynamoDbStream(self._clients, mapping.arn)

    async def destination(self, mapping: EventSourceMapping) -> Destination | None:
        """Where the mapping's failure documents go (DST-31); None when it has no such place.

        Raises DestinationError, and SourceError where AWS gave the reason: it may be a matter of patience, as with
        a source.
        """
        if mapping.stream is None or mapping.stream.destination is None:
            return None
        try:
            return await open_destination(mapping.stream.destination, self._clients, mapping.arn.region)
        except DestinationError as error:
            cause = error.__cause__
            if isinstance(cause, SourceError):
                raise SourceError(cause.problem, str(error), cause.code) from error
            raise

    async def function(self, mapping: EventSourceMapping) -> list[Remark]:
        """What Lambda says of the mapping's function, nothing of another target."""
        return await look(mapping, self._clients)


@asynccontextmanager
async def opened_sources(settings: Settings) -> AsyncIterator[Sources]:
    """With clients of their own, for a look at them."""
    async with AwsClients(region=settings.region, endpoint_url=settings.endpoint_url) as clients:
        yield Sources(clients)
