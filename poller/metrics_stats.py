"""What is counted: plain numbers that the hot path adds to, and nothing about how they are shown.

An update is an addition on a slot, no lock and no label lookup: one thread (the event loop's) writes, and a scrape
in another thread may read a sum that is one batch behind its parts. metrics_export.py renders these objects.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from poller.core.fact import Word
from poller.core.mapping import EventSourceMapping
from poller.core.messages import InvocationOutcome, ReleaseReason
from poller.core.model import BatchTrigger, MappingState, QueueFacts, QueueGauges, SourceProblem

POLL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0)
# The boundaries of OpenTelemetry's messaging.process.duration, continued to Lambda's longest timeout.
INVOCATION_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 300.0, 900.0),
)
BATCH_EVENTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0)
BATCH_BYTES = tuple(float(1 << bits) for bits in range(10, 24))
WAIT_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
AGE_SECONDS = (
    0.01,
    0.05,
    0.1,
    0.5,
    1.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    14_400.0,
    86_400.0,
    345_600.0,
)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 25.0)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

AWS_OPERATIONS = {
    "sqs": ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "GetQueueAttributes"),
}
"""The calls whose series are there from the start, by service; others appear with their first call."""

RATE_SECONDS = 10


class PollOutcome(Word):
    """The `outcome` label of esm_polls_total."""

    RECORDS = "records"
    EMPTY = "empty"
    THROTTLED = "throttled"
    ERROR = "error"


class RetryReason(Word):
    """The `reason` label of esm_retries_total."""

    ERROR = "error"
    TIMEOUT = "timeout"
    PARTIAL = "partial"
    THROTTLED = "throttled"


class CallOutcome(Word):
    """The `outcome` label of what either works or does not."""

    SUCCESS = "success"
    ERROR = "error"


class RestartReason(Word):
    """The `reason` label of esm_worker_restarts_total."""

    CRASH = "crash"


class Histogram:
    """Counts by upper bound (inclusive) and their sum; `counts` has one place more than `bounds`, for the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Adds one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: list[float]) -> None:
        """Adds several; in one step when all fall between the same bounds, as the ages of a batch mostly do."""
        place = bisect_left(self.bounds, min(values))
        if place == bisect_left(self.bounds, max(values)):
            self.counts[place] += len(values)
            self.total += sum(values)
        else:
            for value in values:
                self.observe(value)

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)


class Rate:
    """Events a second over the last ten seconds: a ring of one count for each second."""

    __slots__ = ("_counts", "_seconds", "_since")

    def __init__(self, since: float) -> None:
        """`since` is the monotonic second at which counting began."""
        self._since = since
        self._seconds = [-1] * RATE_SECONDS
        self._counts = [0] * RATE_SECONDS

    def add(self, count: int, mono: float) -> None:
        """Counts `count` events at this moment."""
        second = int(mono)
        place = second % RATE_SECONDS
        if self._seconds[place] != second:
            self._counts[place] = 0
            self._seconds[place] = second
        self._counts[place] += count

    def per_second(self, mono: float) -> float:
        """The mean over what has passed of the last ten seconds, at least one second."""
        oldest = int(mono) - RATE_SECONDS + 1
        total = sum(
            count for second, count in zip(self._seconds, self._counts, strict=True) if oldest <= second <= mono
        )
        return total / max(1.0, mono - max(float(oldest), self._since))


def _histograms(bounds: Sequence[float]) -> dict[InvocationOutcome, Histogram]:
    return {outcome: Histogram(bounds) for outcome in InvocationOutcome}


def _histogram(bounds: Sequence[float]) -> Callable[[], Histogram]:
    return lambda: Histogram(bounds)


@dataclass(slots=True, eq=False)
class MappingStats:
    """Everything counted for one mapping; metrics_export.py says under which name each field is shown.

    `read_gauges` is called from the thread that scrapes. `since` and `waiting_since` are monotonic seconds, fields
    that end in `_at` epoch seconds, 0 for never. `waiting_since` is when a receive last succeeded or polling began
    again, for core/liveness.py.
    """

    mapping: EventSourceMapping
    read_gauges: Callable[[], QueueGauges]
    since: float
    state: MappingState = MappingState.CREATING
    finished: bool = False
    crashed: str | None = None
    waiting_since: float = field(init=False)
    rate: Rate = field(init=False)
    last_gauges: QueueGauges | None = None
    queue: QueueFacts | None = None

    polls: dict[PollOutcome, int] = field(default_factory=lambda: dict.fromkeys(PollOutcome, 0))
    poll_duration: Histogram = field(default_factory=_histogram(POLL_SECONDS))
    polled_events: int = 0
    polled_bytes: int = 0
    filtered_events: int = 0
    redelivered_events: int = 0
    last_poll_at: float = 0.0
    last_problem: str | None = None

    batch_events: Histogram = field(default_factory=_histogram(BATCH_EVENTS))
    batch_bytes: Histogram = field(default_factory=_histogram(BATCH_BYTES))
    batch_wait: Histogram = field(default_factory=_histogram(WAIT_SECONDS))
    event_age: Histogram = field(default_factory=_histogram(AGE_SECONDS))
    batches: dict[BatchTrigger, int] = field(default_factory=lambda: dict.fromkeys(BatchTrigger, 0))

    invocations: dict[InvocationOutcome, int] = field(default_factory=lambda: dict.fromkeys(InvocationOutcome, 0))
    invocation_duration: dict[InvocationOutcome, Histogram] = field(
        default_factory=lambda: _histograms(INVOCATION_SECONDS)
    )
    invoked_events: int = 0
    failed_invoke_events: int = 0
    succeeded_events: int = 0
    retries: dict[RetryReason, int] = field(default_factory=lambda: dict.fromkeys(RetryReason, 0))
    retried_events: int = 0
    last_success_at: float = 0.0
    last_result: str = ""
    last_error: str = ""
    last_error_at: float = 0.0

    deleted_events: int = 0
    delete_failures: int = 0
    released_events: dict[ReleaseReason, int] = field(default_factory=lambda: dict.fromkeys(ReleaseReason, 0))
    visibility_extensions: dict[CallOutcome, int] = field(default_factory=lambda: dict.fromkeys(CallOutcome, 0))
    visibility_lost_events: int = 0

    loop_blocked_seconds: float = 0.0
    worker_restarts: dict[RestartReason, int] = field(default_factory=lambda: dict.fromkeys(RestartReason, 0))

    def __post_init__(self) -> None:
        self.waiting_since = self.since
        self.rate = Rate(self.since)

    @property
    def name(self) -> str:
        """The `mapping` label: the configured name, else the UUID."""
        return self.mapping.name or self.mapping.uuid

    def gauges(self) -> QueueGauges:
        """How the queue's machine stands; the reading before, should the machine be in the middle of a step.

        The machine belongs to another thread: a reading that meets a change under its hands may fail in any way
        (mostly RuntimeError), is tried again, and must not make a scrape fail.
        """
        for _ in range(5):
            try:
                self.last_gauges = self.read_gauges()
                break
            except Exception:  # noqa: BLE001, S112 - any failure may be the race described above
                continue
        return self.last_gauges or NO_GAUGES


NO_GAUGES = QueueGauges(
    polls=0,
    polling=False,
    buffered=0,
    buffered_bytes=0,
    in_flight_batches=0,
    in_flight_messages=0,
    limit=0,
    oldest_pending_since=None,
    invoking_since=None,
    groups_active=0,
    groups_waiting=0,
    groups_blocked=0,
)


class ProcessStats:
    """What is counted for the process and not for one mapping.

    `started` is set once by the daemon, after the mappings of its configuration were added (/startupz).
    """

    __slots__ = ("aws_requests", "config_reloads", "loop_lag", "started")

    def __init__(self) -> None:
        self.started = False
        self.loop_lag = Histogram(LAG_SECONDS)
        self.config_reloads = dict.fromkeys(CallOutcome, 0)
        self.aws_requests = {
            (service, operation, outcome): Histogram(REQUEST_SECONDS)
            for service, operations in AWS_OPERATIONS.items()
            for operation in operations
            for outcome in ("success", *(problem.value for problem in SourceProblem))
        }

    def aws_request(self, service: str, operation: str, outcome: str, seconds: float) -> None:
        """One call of AWS ended; `outcome` is "success" or a SourceProblem."""
        key = (service, operation, outcome)
        histogram = self.aws_requests.get(key)
        if histogram is None:
            histogram = self.aws_requests.setdefault(key, Histogram(REQUEST_SECONDS))
        histogram.observe(seconds)
