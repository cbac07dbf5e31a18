"""All that crosses the border of a machine: events (facts, going in) and commands (orders, coming out).

Keep both lists short; each new word must be paid for. They carry lists of messages, never single records, so
that the cost of a step is the cost of a batch.
"""

from typing import TypeAlias

from poller.core.fact import Word, fact
from poller.core.model import Batch, InvocationResult, JsonObject, Message, QueueFacts, SourceProblem

# --- events ---


@fact
class Described:
    """The queue told of itself: at the start, then about once a minute, and in answer to `Describe`."""

    facts: QueueFacts


@fact
class DescribeFailed:
    """GetQueueAttributes failed; `detail` is a sentence."""

    problem: SourceProblem
    detail: str


@fact
class Received:
    """A receive ended; `messages` are as they came off the wire, possibly none. `size` is bytes read."""

    poll: int
    messages: list[JsonObject]
    size: int


@fact
class ReceiveFailed:
    """A receive failed; nothing was received, as far as anyone knows."""

    poll: int
    problem: SourceProblem
    detail: str


@fact
class Invoked:
    """An invocation ended, however it ended; exactly one for each `Invoke`."""

    batch: Batch
    result: InvocationResult


@fact
class Deleted:
    """A DeleteMessageBatch ended: `failed` names the entries that SQS (or the network) refused."""

    messages: tuple[Message, ...]
    failed: tuple[Message, ...]
    detail: str = ""


@fact
class VisibilityChanged:
    """A ChangeMessageVisibilityBatch ended; entries in `failed` keep the visibility they had."""

    messages: tuple[Message, ...]
    failed: tuple[Message, ...]


@fact
class Extended:
    """The heartbeat extended these receipts (message ids) to a new monotonic deadline."""

    ids: tuple[str, ...]
    lease_until: float


@fact
class Tick:
    """The machine's own deadline is due."""


class Request(Word):
    """What the owner of a mapping may ask of it."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"  # go on until the source is empty, then finish
    STOP = "stop"  # receive no more, let the handlers finish, give the rest back, finish
    ABANDON = "abandon"  # the stop deadline is near: give back also what the handlers still hold


@fact
class Requested:
    """The owner asked."""

    request: Request


Event: TypeAlias = (
    Described
    | DescribeFailed
    | Received
    | ReceiveFailed
    | Invoked
    | Deleted
    | VisibilityChanged
    | Extended
    | Tick
    | Requested
)


# --- commands ---


@fact
class Receive:
    """ReceiveMessage, answered by Received or ReceiveFailed with the same `poll`.

    `visibility_timeout` None leaves the queue's own (SQS-8). `deadline` is seconds for the whole call.
    """

    poll: int
    maximum: int
    wait: int
    visibility_timeout: int | None
    deadline: float


@fact
class Invoke:
    """Hand the batch to the function; answered by exactly one Invoked."""

    batch: Batch


@fact
class Delete:
    """DeleteMessageBatch of 1 to 10 messages, each id once; answered by Deleted."""

    messages: tuple[Message, ...]


class ReleaseReason(Word):
    """Why messages are given back before their time (the `reason` label of esm_released_events_total)."""

    FAILED = "failed"
    STOP = "stop"
    GROUP_BLOCKED = "group_blocked"


@fact
class ChangeVisibility:
    """ChangeMessageVisibilityBatch of 1 to 10 messages, `seconds` one for each; answered by VisibilityChanged."""

    messages: tuple[Message, ...]
    seconds: tuple[int, ...]
    reason: ReleaseReason


@fact
class Describe:
    """GetQueueAttributes, one at a time; answered by Described or DescribeFailed."""


@fact
class Hold:
    """The heartbeat shall keep these receipts alive from now on (only with Poller.Heartbeat). `seconds` is the
    visibility timeout that they were received with.
    """

    messages: tuple[Message, ...]
    seconds: int


@fact
class LetGo:
    """The heartbeat shall forget these message ids."""

    ids: tuple[str, ...]


class InvocationOutcome(Word):
    """The `outcome` label of esm_invocations_total."""

    SUCCESS = "success"
    PARTIAL = "partial"
    ERROR = "error"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    INVALID_RESPONSE = "invalid_response"


@fact
class Settled:
    """Told to whoever watches (logs, metrics); nothing needs doing.

    `succeeded` will be deleted; `failed` comes back by its visibility timeout or redrive; with `retry_in` set
    (seconds) the batch stays with us and is tried again. `stale` counts messages whose receipt ran out before
    the handler was done.
    """

    batch: Batch
    outcome: InvocationOutcome
    succeeded: tuple[Message, ...]
    failed: tuple[Message, ...]
    detail: str
    retry_in: float | None = None
    stale: int = 0


@fact
class Filtered:
    """Told to whoever watches: the filter does not let these pass, so they will be deleted (FLT-40)."""

    messages: tuple[Message, ...]


@fact
class ReceivedAgain:
    """Told to whoever watches: so many of the messages that just came had been received before."""

    count: int


@fact
class LeaseLapsed:
    """Told to whoever watches: these were let go uninvoked (or undeleted), because their receipts are stale."""

    messages: tuple[Message, ...]
    detail: str


@fact
class Finished:
    """The machine is at rest for good; `abandoned` counts messages that a handler still held."""

    abandoned: int


Command: TypeAlias = (
    Receive
    | Invoke
    | Delete
    | ChangeVisibility
    | Describe
    | Hold
    | LetGo
    | Settled
    | Filtered
    | ReceivedAgain
    | LeaseLapsed
    | Finished
)
