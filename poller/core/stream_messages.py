"""All that crosses the border of a shard's machine: events (facts, going in), commands (orders, coming out).

messages.py has those of queues and the ones that both share (Tick, Requested). Keep the lists short; each new word
must be paid for. They carry lists of records, never single ones.
"""

from typing import TypeAlias

from poller.core.fact import fact
from poller.core.messages import InvocationOutcome, Requested, Tick
from poller.core.model import InvocationResult, SourceProblem
from poller.core.records import Discard, Page, Position, Progress, Shard, StreamBatch

# --- events ---


@fact
class Fetched:
    """A read ended well."""

    page: Page


@fact
class FetchFailed:
    """A read failed; nothing was read. An iterator that expired and a position that was trimmed are problems too
    (STR-24, STR-25): what follows from them is the machine's business. `iterator` is the one that was used, None
    if none could be had: LATEST is resolved by it, once, also when the read itself failed (STR-11).
    """

    problem: SourceProblem
    detail: str
    iterator: str | None = None


@fact
class Invoked:
    """An invocation ended, however it ended; exactly one for each `Invoke`."""

    batch: StreamBatch
    result: InvocationResult
    request_id: str


@fact
class DocumentSent:
    """The failure document was accepted, or has finally failed (DST-30): then `problem` says why."""

    discard: Discard
    problem: str = ""


@fact
class Saved:
    """A `Save` is in the store."""

    number: int


@fact
class SaveFailed:
    """A `Save` is not in the store, as far as anyone knows; the machine tries again."""

    number: int
    detail: str


@fact
class LeaseLost:
    """Another worker has the shard: nothing may be written or delivered any more."""


StreamEvent: TypeAlias = (
    Fetched | FetchFailed | Invoked | DocumentSent | Saved | SaveFailed | LeaseLost | Tick | Requested
)


# --- commands ---


@fact
class Fetch:
    """GetRecords, with an iterator got for `position` first where `iterator` is None; answered by Fetched or
    FetchFailed. At most one is in flight. `deadline` is seconds for all of it.
    """

    iterator: str | None
    position: Position
    limit: int
    deadline: float


@fact
class Invoke:
    """Hand the batch to the function; answered by exactly one Invoked."""

    batch: StreamBatch


@fact
class SendDocument:
    """Hand the failure document of these records to the destination; answered by exactly one DocumentSent."""

    discard: Discard


@fact
class Save:
    """Write this to the shard's row; answered by Saved, SaveFailed or LeaseLost. At most one is in flight.

    `durable`: it must outlast a power failure; else the end of this process is enough (attempts that begin).
    `alone`: to be written only once nothing else is invoked in this process, and so that nothing is until the
    invocation that follows has ended; if none follows, until it is written.
    """

    number: int
    progress: Progress
    durable: bool
    alone: bool = False


@fact
class Settled:
    """Told to whoever watches: an invocation was judged. `succeeded` and `failed` count records; with `retry_in`
    (seconds) the batch, or what is left of it, is tried again; `bisected`: as two halves.
    """

    batch: StreamBatch
    outcome: InvocationOutcome
    succeeded: int
    failed: int
    detail: str
    retry_in: float | None = None
    bisected: bool = False


@fact
class Filtered:
    """Told to whoever watches: the filter does not let so many records pass; the position passes them (FLT-41)."""

    count: int


@fact
class Discarded:
    """Told to whoever watches: these records are given up and the position passes them. `dropped`: nobody has
    their document, because there is no destination, or because it refused (`problem`).
    """

    discard: Discard
    dropped: bool
    problem: str = ""


@fact
class Gap:
    """Told to whoever watches: records between `position` and `resumed_at` (the first sequence number read after
    it, empty if none was) were trimmed before they were read (STR-25).
    """

    position: Position
    resumed_at: str


@fact
class Finished:
    """The machine is at rest for good. `ended`: every record of the shard is resolved, and its row may say so once
    those of its `children` exist (STR-2); else `progress` is what its row is to say. `lost`: another worker has
    the shard, so nothing is to be written. `abandoned` counts records that a handler still held.
    """

    ended: bool
    progress: Progress
    children: tuple[Shard, ...] = ()
    lost: bool = False
    abandoned: int = 0


StreamCommand: TypeAlias = Fetch | Invoke | SendDocument | Save | Settled | Filtered | Discarded | Gap | Finished
