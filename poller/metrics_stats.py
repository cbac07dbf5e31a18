"""What is counted: plain numbers that the hot path adds to, and nothing about how they are shown.

An update is an addition on a slot, no lock and no label lookup: one thread (the event loop's) writes, and a scrape
in another thread may read a sum that is one batch behind its parts. metrics_export.py renders these objects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from poller.core.fact import Word
from poller.core.liveness import POLL_DEADLINE
from poller.core.mapping import DestinationKind, EventSourceMapping
from poller.core.mapping_targets import LambdaTarget, parse_target
from poller.core.messages import InvocationOutcome, ReleaseReason
from poller.core.model import BatchTrigger, MappingState, QueueFacts, QueueGauges, SourceKind, SourceProblem
from poller.core.stream_gauges import NO_STREAM_GAUGES, StreamGauges
from poller.metrics_numbers import (
    AGE_SECONDS,
    BATCH_BYTES,
    BATCH_EVENTS,
    CHECKPOINT_SECONDS,
    INVOCATION_SECONDS,
    LAG_SECONDS,
    POLL_SECONDS,
    REQUEST_SECONDS,
    WAIT_SECONDS,
    Histogram,
    NamedCounts,
    Rate,
)

Gauges: TypeAlias = QueueGauges | StreamGauges

AWS_OPERATIONS = {
    SourceKind.SQS: (
        "sqs",
        ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "GetQueueAttributes"),
    ),
    SourceKind.KINESIS: (
        "kinesis",
        ("GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary"),
    ),
    SourceKind.DYNAMODB: ("dynamodbstreams", ("GetRecords", "GetShardIterator", "DescribeStream")),
}
"""By source: the service and its calls whose series are there from the first mapping on; others appear with their
first call."""

DESTINATION_OPERATIONS = {
    DestinationKind.SQS: ("sqs", ("GetQueueUrl", "SendMessage")),
    DestinationKind.SNS: ("sns", ("Publish",)),
    DestinationKind.S3: ("s3", ("PutObject",)),
}
"""The same by kind of failure destination."""

LAMBDA_OPERATIONS = ("lambda", ("Invoke",))
"""The same for a mapping whose target is a Lambda function."""

_OF_STREAMS = frozenset({SourceProblem.EXPIRED, SourceProblem.TRIMMED})


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


class DiscardedFor(Word):
    """The `reason` label of esm_discarded_events_total."""

    RETRIES = "retries"
    AGE = "age"
    NON_RETRYABLE = "non_retryable"
    OVERSIZE = "oversize"


class GapReason(Word):
    """The `reason` label of esm_gaps_total: why records were never read."""

    TRIMMED = "trimmed"
    SHARD_LOST = "shard_lost"
    STREAM_REMADE = "stream_remade"


class LeaseEvent(Word):
    """The `event` label of esm_lease_events_total."""

    ACQUIRED = "acquired"
    RENEW_FAILED = "renew_failed"
    LOST = "lost"
    RELEASED = "released"
    STOLEN = "stolen"


NEAR_TIMEOUT = 0.8
"""Part of Handler.TimeoutInSeconds beyond which an invocation was near it. Counted, because the buckets of a
histogram are too far apart to tell: between 10 and 30 s a quantile of it is a guess."""

FAILED_OUTCOMES = tuple(
    outcome.value
    for outcome in InvocationOutcome
    if outcome not in {InvocationOutcome.SUCCESS, InvocationOutcome.ERROR}
)
"""The `error` values of esm_invocation_errors_total that are there from the start; the others are error types."""


def _histograms(bounds: Sequence[float]) -> dict[InvocationOutcome, Histogram]:
    return {outcome: Histogram(bounds) for outcome in InvocationOutcome}


def _histogram(bounds: Sequence[float]) -> Callable[[], Histogram]:
    return lambda: Histogram(bounds)


@dataclass(slots=True, eq=False)
class StreamStats:
    """What is counted beside for a mapping of a stream.

    For core/liveness.py, in monotonic seconds: `heard_at` is when a read of a shard last began or ended, by its
    id, `chore_failed_at` when something that has to be done before a shard can be read (its row taken) or after
    it (its end written) last failed.
    """

    heard_at: dict[str, float] = field(default_factory=dict)
    chore_failed_at: float | None = None

    bisections: int = 0
    checkpoints: dict[CallOutcome, int] = field(default_factory=lambda: dict.fromkeys(CallOutcome, 0))
    checkpoint_duration: Histogram = field(default_factory=_histogram(CHECKPOINT_SECONDS))
    discarded_events: dict[DiscardedFor, int] = field(default_factory=lambda: dict.fromkeys(DiscardedFor, 0))
    dropped_events: int = 0
    destination_events: int = 0
    destination_deliveries: dict[tuple[DestinationKind, CallOutcome], int] = field(
        default_factory=lambda: {(kind, outcome): 0 for kind in DestinationKind for outcome in CallOutcome}
    )
    gaps: dict[GapReason, int] = field(default_factory=lambda: dict.fromkeys(GapReason, 0))
    lease_events: dict[LeaseEvent, int] = field(default_factory=lambda: dict.fromkeys(LeaseEvent, 0))

    @property
    def discarded(self) -> int:
        """Records that were given up, for whatever reason."""
        return sum(self.discarded_events.values())


@dataclass(slots=True, eq=False)
class MappingStats:
    """Everything counted for one mapping; metrics_export.py says under which name each field is shown.

    `read_gauges` is called from the thread that scrapes. `since` and `waiting_since` are monotonic seconds, fields
    that end in `_at` epoch seconds, 0 for never. `waiting_since` is when a receive last succeeded or polling began
    again, for core/liveness.py. `stream` is there for mappings of streams only.
    """

    mapping: EventSourceMapping
    read_gauges: Callable[[], Gauges]
    since: float
    state: MappingState = MappingState.CREATING
    finished: bool = False
    crashed: str | None = None
    waiting_since: float = field(init=False)
    rate: Rate = field(init=False)
    _near_timeout: float = field(init=False)
    last_gauges: Gauges | None = None
    queue: QueueFacts | None = None
    stream: StreamStats | None = None

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
    near_timeouts: int = 0
    invocation_errors: NamedCounts = field(default_factory=lambda: NamedCounts(FAILED_OUTCOMES))
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
        self._near_timeout = NEAR_TIMEOUT * self.mapping.handler.timeout
        if self.mapping.source is not SourceKind.SQS:
            self.stream = StreamStats()

    def poll_due(self, gauges: Gauges, mono: float) -> bool:
        """Whether a read is due or under way, at this monotonic second, or what must be done before one fails."""
        failed_at = None if self.stream is None else self.stream.chore_failed_at
        return gauges.polling or (failed_at is not None and mono - failed_at <= POLL_DEADLINE)

    def invocation_took(self, outcome: InvocationOutcome, seconds: float, trace_id: str, at: float) -> None:
        """The function ran for so long, in this trace ("": in none), until these epoch seconds."""
        if trace_id:
            self.invocation_duration[outcome].observe_traced(seconds, trace_id, at)
        else:
            self.invocation_duration[outcome].observe(seconds)
        if seconds > self._near_timeout:
            self.near_timeouts += 1

    def invocation_failed(self, outcome: InvocationOutcome, detail: str) -> None:
        """Counts why an attempt failed: `detail` of an error begins with its type and a colon (settle.py)."""
        error = detail.partition(":")[0] if outcome is InvocationOutcome.ERROR else outcome.value
        self.invocation_errors.add(error)

    @property
    def name(self) -> str:
        """The `mapping` label: the configured name, else the UUID."""
        return self.mapping.name or self.mapping.uuid

    def gauges(self) -> Gauges:
        """How the machine or machines stand; the reading before, should one be in the middle of a step.

        They belong to another thread: a reading that meets a change under its hands may fail in any way
        (mostly RuntimeError), is tried again, and must not make a scrape fail.
        """
        for _ in range(5):
            try:
                self.last_gauges = self.read_gauges()
                break
            except Exception:  # noqa: BLE001, S112 - any failure may be the race described above
                continue
        return self.last_gauges or (NO_GAUGES if self.stream is None else NO_STREAM_GAUGES)


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
        self.aws_requests: dict[tuple[str, str, str], Histogram] = {}

    def expect(self, mapping: EventSourceMapping) -> None:
        """Calls for this mapping will be made: their series are there from now on, at 0."""
        self._expect(AWS_OPERATIONS[mapping.source], streams=mapping.source is not SourceKind.SQS)
        if mapping.stream is not None and mapping.stream.destination is not None:
            self._expect(DESTINATION_OPERATIONS[mapping.stream.destination.kind])
        if mapping.handler.endpoint_url is None and isinstance(parse_target(mapping.function_name), LambdaTarget):
            self._expect(LAMBDA_OPERATIONS)

    def _expect(self, calls: tuple[str, tuple[str, ...]], *, streams: bool = False) -> None:
        service, operations = calls
        problems = [one for one in SourceProblem if streams or one not in _OF_STREAMS]
        for operation in operations:
            for outcome in ("success", *problems):
                self.aws_requests.setdefault((service, operation, str(outcome)), Histogram(REQUEST_SECONDS))

    def aws_request(self, service: str, operation: str, outcome: str, seconds: float) -> None:
        """One call of AWS ended; `outcome` is "success" or a SourceProblem."""
        key = (service, operation, outcome)
        histogram = self.aws_requests.get(key)
        if histogram is None:
            histogram = self.aws_requests.setdefault(key, Histogram(REQUEST_SECONDS))
        histogram.observe(seconds)
