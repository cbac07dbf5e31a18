"""What the demo's two streams have in common: how what fails for ever is given up, and the handler on them."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from poller.aws.clients import AwsClients
from poller.core.model import JsonObject
from poller.demo_queues import DemoCrashError
from poller.demo_source import TIMEOUT, Source
from poller.demo_work import Ledger, Work, stream_work

RETRIES = 2


class Stream(Source):
    """A stream: what fails for ever is given up after some attempts, and a document in a queue tells of it.

    `key` is what its keys begin with, `different` how many there are.
    """

    key: ClassVar[str]
    different: ClassVar[int]

    def __init__(self, prefix: str, clients: AwsClients) -> None:
        super().__init__(prefix, clients)
        self.dead_arn = ""

    async def create(self) -> None:
        """See Source."""
        self.dead_url, self.dead_arn = await self.make_queue(f"{self.name}-failed", {})
        await self.make_stream()

    @abstractmethod
    async def make_stream(self) -> None:
        """Makes the stream itself; raises what the SDK raises."""

    def works(self, count: int) -> Iterator[Work]:
        """See Source."""
        return stream_work(count, self.different, self.key)

    def fields(self) -> dict[str, Any]:
        """See Source."""
        return {
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 50,
            "ParallelizationFactor": 2,
            "MaximumRetryAttempts": RETRIES,
            "BisectBatchOnFunctionError": True,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": self.dead_arn}},
            "Handler": {"TimeoutInSeconds": TIMEOUT},
        }

    async def found(self, body: JsonObject) -> set[int]:
        """A failure document names the range of sequence numbers in which its records lie (DST-9)."""
        self.ledger.documents += 1
        info = body.get("KinesisBatchInfo") or body["DDBStreamBatchInfo"]
        return await self.inside(info["shardId"], info["startSequenceNumber"], info["endSequenceNumber"])

    @abstractmethod
    async def inside(self, shard_id: str, start: str, end: str) -> set[int]:
        """The numbers of the records of this shard between these sequence numbers, both included."""


class Sighting(NamedTuple):
    """A record of a stream as the handler sees it."""

    number: int
    kind: str
    key: str
    sequence: str


def stream_handler(ledger: Ledger, read: Callable[[JsonObject], Sighting]) -> Callable[[Any, Any], Any]:
    """An async handler that stops at the first failure, because all behind it comes again (PBR-20); now and then
    it raises instead.
    """

    async def handle(event: JsonObject, context: object) -> JsonObject:
        del context
        seen = [read(record) for record in event["Records"]]
        for place, record in enumerate(seen):
            if not ledger.fails(record.number, record.kind):
                continue
            if record.kind == "crash":
                ledger.failures += len(seen)
                raise DemoCrashError("raised on purpose, so the whole batch is cut in two and comes again")
            ledger.failures += 1
            _done(ledger, seen[:place])
            return {"batchItemFailures": [{"itemIdentifier": record.sequence}]}
        _done(ledger, seen)
        return {"batchItemFailures": []}

    return handle


def _done(ledger: Ledger, records: list[Sighting]) -> None:
    for record in records:
        ledger.done(record.number, record.key)
