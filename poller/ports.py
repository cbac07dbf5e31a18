"""What the runtime needs of the world, as Protocols: AWS, fakes and handlers stand behind these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from poller.core.fact import fact
from poller.core.leases import Conflict, Lease
from poller.core.model import InvocationResult, JsonObject, QueueFacts
from poller.core.records import Listing, Page, Position, Shard, StreamFacts
from poller.core.trace_headers import TraceContext

Work_contra = TypeVar("Work_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Failure:
    """One refused entry of a batch call: its place in the call, the service's code and sentence."""

    index: int
    code: str
    message: str


class QueueSource(Protocol):
    """One SQS queue. Every method raises errors.SourceError when the call as a whole fails, and keeps its
    deadline: no call lasts longer than `deadline` seconds.
    """

    async def describe(self) -> QueueFacts:
        """GetQueueAttributes."""
        ...

    async def receive(
        self, maximum: int, wait: int, visibility_timeout: int | None, deadline: float
    ) -> tuple[list[JsonObject], int]:
        """ReceiveMessage with all attributes: the messages in wire form, and the bytes of the answer.

        One attempt only: when to ask again is the machine's decision.
        """
        ...

    async def delete(self, receipts: Sequence[str]) -> Sequence[Failure]:
        """DeleteMessageBatch of 1 to 10 receipts; what was refused, by index."""
        ...

    async def change_visibility(self, receipts: Sequence[str], seconds: Sequence[int]) -> Sequence[Failure]:
        """ChangeMessageVisibilityBatch of 1 to 10 receipts; what was refused, by index."""
        ...


class SendingQueue(QueueSource, Protocol):
    """A queue that somebody also sends to, as only operators' commands do."""

    async def send(self, message: JsonObject) -> str:
        """SendMessage, one attempt; `message` has its fields in the JSON protocol's form, but for the URL. The id
        that the message has in this queue.
        """
        ...


@fact
class Invocation:
    """One call of a function: the event, and what its context tells. `deadline` is a monotonic second, `trace` the
    span whose children the function's spans are, where there is one.
    """

    event: JsonObject
    request_id: str
    deadline: float
    trace: TraceContext | None = None


class Handler(Protocol):
    """A target of section 2 of the configuration: a callable, a process, an URL, a Lambda function.

    `invoke` never raises but for cancellation: whatever the function does is one of the four results. The
    dispatcher, not the handler, keeps the time: it cancels `invoke` at the deadline.
    """

    async def start(self) -> None:
        """Gets ready; raises errors.ConfigurationError when the target cannot exist (bad import, bad URL)."""
        ...

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Runs the function once."""
        ...

    async def close(self) -> None:
        """Frees what `start` took; work still running is abandoned."""
        ...


class Span(Protocol):
    """The span of one invocation. No method raises but for what `tell` raises."""

    @property
    def handed(self) -> TraceContext:
        """What whoever runs the function is told."""
        ...

    def enter(self) -> None:
        """Makes it the current one of the context in which it is called."""
        ...

    def settle(self, result: InvocationResult, tell: Callable[[], None]) -> None:
        """Calls `tell`, in which the batch is settled, and ends."""
        ...


class Tracing(Protocol[Work_contra]):
    """One mapping's spans."""

    def begin(self, work: Work_contra, request_id: str, /) -> Span | None:
        """The span of an invocation that begins now. Never raises; None when there is none to be had."""
        ...


class StreamSource(Protocol):
    """One Kinesis or DynamoDB stream. Every method raises errors.SourceError when the call fails, with the
    problems EXPIRED and TRIMMED among others, and keeps a deadline of its own or the one given, in seconds.
    """

    async def describe(self) -> StreamFacts:
        """DescribeStreamSummary or DescribeStream."""
        ...

    async def list_shards(self, since: str | None = None) -> Listing:
        """All shards, through all pages (STR-5); with `since` only those that the source lists after that one."""
        ...

    async def children(self, shard_id: str) -> tuple[Shard, ...]:
        """The shards that follow this one, none while the source does not list them."""
        ...

    async def iterator(self, shard_id: str, position: Position, deadline: float) -> str:
        """GetShardIterator. Positions that the source does not know are told in the way that comes closest: on
        DynamoDB, AT_TIMESTAMP is TRIM_HORIZON and the reader drops what is older (STR-11).
        """
        ...

    async def records(self, shard_id: str, iterator: str, limit: int, deadline: float) -> Page:
        """GetRecords, one attempt: when to ask again is the machine's decision.

        The end of a shard is told only when it is certain (STR-4): what was ended by mistake is never read again.
        To make sure may take the deadlines of `children` and `list_shards` beside the one given; an end that the
        list of shards denies is SourceError(EXPIRED): another iterator may have more.
        """
        ...


class LeaseStore(Protocol):
    """The rows of all mappings of a worker or a fleet; `app` is the UUID of the mapping whose rows are meant.

    Complete and strongly consistent. Every method raises errors.StoreError when the store cannot be used.
    """

    @property
    def lasting(self) -> bool:
        """Whether rows outlast this process."""
        ...

    async def create(self, app: str, lease: Lease) -> bool:
        """Adds a row; False if there is one of that key, which stays as it is."""
        ...

    async def rows(self, app: str) -> tuple[Lease, ...]:
        """All rows of the mapping."""
        ...

    async def get(self, app: str, key: str) -> Lease | None:
        """One row."""
        ...

    async def swap(self, app: str, expected: Lease, lease: Lease, *, durable: bool = True) -> Lease | Conflict:
        """Writes `lease` over the row if that still has `expected`'s counter and owner; the row as it is then,
        with the counter one higher. With `durable` the write outlasts a power failure, else only this process.
        """
        ...

    async def delete(self, app: str, expected: Lease) -> bool:
        """Takes a row away if it still has `expected`'s counter and owner; False if not."""
        ...

    async def forget(self, app: str) -> None:
        """Takes all rows of a mapping away."""
        ...


@fact
class KeptMapping:
    """A mapping of the control API as a store keeps it: its `fields` in AWS's names. `modified` is epoch seconds.
    One that is `deleting` runs no more; what is left of it goes with the next start at the latest.
    """

    uuid: str
    fields: JsonObject
    modified: float
    deleting: bool = False


class MappingStore(Protocol):
    """The mappings made through the control API. What has returned outlasts a power failure, where the store
    outlasts the process at all; what was cut off has happened, or has not. Raises errors.StoreError.
    """

    async def load(self) -> tuple[KeptMapping, ...]:
        """All of them, by UUID."""
        ...

    async def save(self, mapping: KeptMapping) -> None:
        """Adds it, or puts it in the place of the one with its UUID."""
        ...

    async def remove(self, uuid: str) -> None:
        """Takes it away with all rows of its positions, all or nothing; it need not be there."""
        ...


class Store(LeaseStore, MappingStore, Protocol):
    """All that a process keeps."""


@fact
class FailureDocument:
    """A failure document on its way: `document` in the form for SQS and SNS (DST-2), the whole invocation `event`
    that S3 gets beside it (DST-10), and the object's `key` there (DST-11).
    """

    document: JsonObject
    event: JsonObject
    key: str


class FailureBucket(Protocol):
    """A bucket with failure documents, as operators' commands use it. Every method raises errors.SourceError."""

    async def keys(self, prefix: str, after: str) -> tuple[str, ...]:
        """The next keys behind `after` (empty: the first) in the order of keys, at most a thousand; none at the
        end.
        """
        ...

    async def get(self, key: str) -> bytes:
        """The object."""
        ...

    async def put(self, key: str, body: bytes) -> None:
        """Writes the object, or another in its place."""
        ...

    async def delete(self, key: str) -> None:
        """Takes the object away."""
        ...


class Destination(Protocol):
    """An on-failure destination."""

    async def deliver(self, document: FailureDocument) -> None:
        """Hands it over, in at most three tries (DST-30). Raises errors.DestinationError, saying why."""
        ...
