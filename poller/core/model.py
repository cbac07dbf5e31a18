"""The nouns of the core: time, messages, batches, what an invocation came to.

Only data that more than one room needs belongs here; a decision never does.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from poller.core.fact import Word, fact

JsonObject: TypeAlias = dict[str, Any]


@fact
class Instant:
    """A moment, read once by the driver and handed to a machine.

    `wall` is epoch seconds and serves ages and timestamps; `mono` is seconds of a clock that never steps and
    serves every deadline. Two fields, so that they cannot be mixed.
    """

    wall: float
    mono: float


class SourceKind(Word):
    """Where the records come from; the value is the `source` label of every metric."""

    SQS = "sqs"
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"


class SourceProblem(Word):
    """What a failed call to a source means to us (aws/errors.py translates into these words)."""

    THROTTLED = "throttled"
    DENIED = "denied"
    MISSING = "missing"
    CREDENTIALS = "credentials"
    UNREACHABLE = "unreachable"
    SERVER = "server"
    REFUSED = "refused"
    EXPIRED = "expired"  # an iterator that is too old (STR-24)
    TRIMMED = "trimmed"  # a position whose records are gone (STR-25)


@fact
class Message:
    """One SQS message in our hands.

    `record` is the message as the handler will see it (SQS-40); `size` its exact bytes in the serialised event;
    `lease_until` the monotonic second after which the receipt is stale, `received_at` the one at which it came.
    """

    id: str
    receipt: str
    group: str | None
    receive_count: int
    sent_at: float
    size: int
    lease_until: float
    record: JsonObject
    received_at: float = 0.0


class BatchTrigger(Word):
    """Why a batch was closed (the `trigger` label of esm_batches_total)."""

    SIZE = "size"
    WINDOW = "window"
    BYTES = "bytes"
    IMMEDIATE = "immediate"
    STOP = "stop"


@fact
class Batch:
    """Messages that travel to the handler together; once formed it may shrink, never grow (BAT-6).

    `not_invoked` counts the attempts that did not reach the function (SQS-23). `opened_at` is the monotonic
    second at which its first record was buffered. `size` is the bytes of the serialised event, `lease_until` the
    second until which all its receipts are good, as it was when the batch was formed (held.py knows the present).
    """

    number: int
    messages: tuple[Message, ...]
    trigger: BatchTrigger
    opened_at: float
    size: int
    lease_until: float
    not_invoked: int = 0


# --- what an invocation came to: the four classes of INV-9 ---


@fact
class Succeeded:
    """The function returned; `payload` is its response as JSON text."""

    payload: bytes
    executed_version: str = "$LATEST"


@fact
class FunctionError:
    """The function ran and failed (INV-2). `handled` tells `Handled` from `Unhandled`."""

    error_type: str
    message: str
    handled: bool = False
    timed_out: bool = False
    executed_version: str = "$LATEST"


@fact
class Throttled:
    """The target had no room (INV-4); nothing ran. `retry_after` is in seconds, where the target named it."""

    message: str
    retry_after: float | None = None


@fact
class NotInvoked:
    """The target could not be reached or refused the call (INV-4, INV-6); nothing ran, as far as anyone knows."""

    message: str


InvocationResult: TypeAlias = Succeeded | FunctionError | Throttled | NotInvoked


@fact
class QueueFacts:
    """What GetQueueAttributes told: seconds, and approximate counts of messages."""

    visibility_timeout: float
    visible: int
    in_flight: int
    delayed: int
    redrive: Mapping[str, Any] | None = None


@fact
class QueueGauges:
    """How a queue's machine stands right now; read at scrape time, never kept up to date for its own sake.

    `oldest_pending_since` is the monotonic second at which the oldest unfinished message was received.
    `polling` tells whether a receive is due or under way (liveness); `invoking_since` is when the oldest running
    invocation began.
    """

    polls: int
    polling: bool
    buffered: int
    buffered_bytes: int
    in_flight_batches: int
    in_flight_messages: int
    limit: int
    oldest_pending_since: float | None
    invoking_since: float | None
    groups_active: int
    groups_waiting: int
    groups_blocked: int


class MappingState(Word):
    """The seven states of a mapping, in AWS's spelling (API-3); the `state` label of esm_mapping_state."""

    CREATING = "Creating"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    DISABLING = "Disabling"
    DISABLED = "Disabled"
    UPDATING = "Updating"
    DELETING = "Deleting"
