"""The metrics of a mapping by name: one line for each family, which says where its values are read.

A new metric is a field in metrics_stats.py and a line here. What has None to show is not there: queues have no
shards, streams delete nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from poller.core.mapping_targets import told
from poller.core.model import Instant, MappingState, QueueGauges, SourceKind
from poller.core.records import ShardGauges
from poller.core.stream_gauges import StreamGauges
from poller.metrics_numbers import Histogram
from poller.metrics_stats import Gauges, MappingStats, StreamStats

Values: TypeAlias = float | Mapping[Any, float]
"""A value, or one for each value of the label; for a tuple of values where there are two labels."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of a mapping, with the labels that it has beside `mapping` and `source`."""

    name: str
    help: str
    read: Callable[[MappingStats], Values | None]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of a mapping."""

    name: str
    help: str
    read: Callable[[MappingStats], Histogram | Mapping[Any, Histogram] | None]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge of a mapping, read when asked."""

    name: str
    help: str
    read: Callable[[MappingStats, Gauges, Instant], Values | None]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardGauge:
    """A gauge of a stream's mapping: the worst of its shards without a label, and each of them with its `shard`,
    as long as these are not too many (Settings.max_shards).
    """

    name: str
    help: str
    worst: Callable[[MappingStats, StreamGauges, Instant], float | None]
    each: Callable[[ShardGauges, Instant], float | None]


def _queues(read: Callable[[MappingStats], _T]) -> Callable[[MappingStats], _T | None]:
    return lambda stats: read(stats) if stats.stream is None else None


def _streams(read: Callable[[StreamStats], _T]) -> Callable[[MappingStats], _T | None]:
    return lambda stats: None if stats.stream is None else read(stats.stream)


def _queue_messages(stats: MappingStats, _gauges: Gauges, _now: Instant) -> Values | None:
    if stats.stream is not None:
        return None
    facts = stats.queue
    if facts is None:
        return {"visible": 0, "inflight": 0, "delayed": 0}
    return {"visible": facts.visible, "inflight": facts.in_flight, "delayed": facts.delayed}


def _fifo_groups(stats: MappingStats, gauges: Gauges, _now: Instant) -> Values | None:
    if not stats.mapping.arn.fifo or not isinstance(gauges, QueueGauges):
        return None
    return {"active": gauges.groups_active, "waiting": gauges.groups_waiting, "blocked": gauges.groups_blocked}


def _pollers(_stats: MappingStats, gauges: Gauges, _now: Instant) -> Values | None:
    return gauges.polls if isinstance(gauges, QueueGauges) else None


def _shards(_stats: MappingStats, gauges: Gauges, _now: Instant) -> Values | None:
    return gauges.states if isinstance(gauges, StreamGauges) else None


def _leases(_stats: MappingStats, gauges: Gauges, _now: Instant) -> Values | None:
    return gauges.leases if isinstance(gauges, StreamGauges) else None


def _retention(_stats: MappingStats, gauges: Gauges, _now: Instant) -> Values | None:
    return gauges.retention if isinstance(gauges, StreamGauges) else None


def _behind(stats: MappingStats, gauges: StreamGauges, _now: Instant) -> float | None:
    return (gauges.behind or 0.0) if stats.mapping.source is SourceKind.KINESIS else None


def _states(stats: MappingStats, _gauges: Gauges, _now: Instant) -> Values:
    return {state: float(state is stats.state) for state in MappingState}


def _info(stats: MappingStats, _gauges: Gauges, _now: Instant) -> Values:
    mapping = stats.mapping
    return {(mapping.uuid, told(mapping.function_name), mapping.arn.text): 1}


def _since(moment: float | None, now: Instant) -> float:
    return 0.0 if moment is None else max(0.0, now.mono - moment)


COUNTERS: Final = (
    Counter("esm_polls_total", "Receive and GetRecords calls that ended.", lambda s: s.polls, ("outcome",)),
    Counter("esm_polled_events_total", "Messages and records read (PolledEventCount).", lambda s: s.polled_events),
    Counter("esm_polled_bytes_total", "Bytes of the answers that brought some.", lambda s: s.polled_bytes),
    Counter(
        "esm_filtered_events_total",
        "Messages and records removed by a filter (FilteredOutEventCount).",
        lambda s: s.filtered_events,
    ),
    Counter(
        "esm_redelivered_events_total",
        "Messages received again (receive count above 1).",
        _queues(lambda s: s.redelivered_events),
    ),
    Counter("esm_batches_total", "Batches closed, by what closed them.", lambda s: s.batches, ("trigger",)),
    Counter(
        "esm_invocations_total",
        "Batches handed to the function, by what came of it.",
        lambda s: s.invocations,
        ("outcome",),
    ),
    Counter(
        "esm_near_timeout_invocations_total",
        "Invocations that took more than 80 % of the time that they may take, those that timed out among them.",
        lambda s: s.near_timeouts,
    ),
    Counter(
        "esm_invocation_errors_total",
        "Attempts that did not succeed, by the type of the error that the function told, else by their outcome.",
        lambda s: s.invocation_errors,
        ("error",),
    ),
    Counter(
        "esm_invoked_events_total",
        "Messages and records in invocation attempts (InvokedEventCount).",
        lambda s: s.invoked_events,
    ),
    Counter(
        "esm_failed_invoke_events_total",
        "Messages and records that failed in an attempt (FailedInvokeEventCount).",
        lambda s: s.failed_invoke_events,
    ),
    Counter("esm_retries_total", "Batches kept and tried again.", lambda s: s.retries, ("reason",)),
    Counter("esm_bisections_total", "Failed batches that were cut into two.", _streams(lambda s: s.bisections)),
    Counter(
        "esm_deleted_events_total",
        "Messages deleted after success (DeletedEventCount).",
        _queues(lambda s: s.deleted_events),
    ),
    Counter(
        "esm_delete_failures_total", "Entries whose deletion was refused.", _queues(lambda s: s.delete_failures)
    ),
    Counter(
        "esm_released_events_total",
        "Messages given back by visibility.",
        _queues(lambda s: s.released_events),
        ("reason",),
    ),
    Counter(
        "esm_visibility_extensions_total",
        "Heartbeats, one for each message.",
        _queues(lambda s: s.visibility_extensions),
        ("outcome",),
    ),
    Counter(
        "esm_visibility_lost_events_total",
        "Messages done after their receipt had run out: likely duplicates.",
        _queues(lambda s: s.visibility_lost_events),
    ),
    Counter(
        "esm_checkpoints_total",
        "Writes of a shard's position that outlast a power failure.",
        _streams(lambda s: s.checkpoints),
        ("outcome",),
    ),
    Counter(
        "esm_discarded_events_total", "Records given up.", _streams(lambda s: s.discarded_events), ("reason",)
    ),
    Counter(
        "esm_dropped_events_total",
        "Records given up of which no destination has a document (DroppedEventCount).",
        _streams(lambda s: s.dropped_events),
    ),
    Counter(
        "esm_destination_events_total",
        "Records given up whose document was accepted (OnFailureDestinationDeliveredEventCount).",
        _streams(lambda s: s.destination_events),
    ),
    Counter(
        "esm_destination_deliveries_total",
        "Failure documents accepted or finally refused (DestinationDeliveryFailures).",
        _streams(lambda s: s.destination_deliveries),
        ("destination", "outcome"),
    ),
    Counter(
        "esm_gaps_total",
        "Gaps in what was read: records that were gone before they could be.",
        _streams(lambda s: s.gaps),
        ("reason",),
    ),
    Counter(
        "esm_lease_events_total",
        "What became of this worker's rows of shards.",
        _streams(lambda s: s.lease_events),
        ("event",),
    ),
    Counter(
        "esm_event_loop_blocked_seconds_total",
        "Seconds for which the mapping's handler blocked the event loop.",
        lambda s: s.loop_blocked_seconds,
    ),
    Counter("esm_worker_restarts_total", "Drivers started again.", lambda s: s.worker_restarts, ("reason",)),
)

DISTRIBUTIONS: Final = (
    Distribution("esm_poll_duration_seconds", "Time in a receive or GetRecords call.", lambda s: s.poll_duration),
    Distribution("esm_batch_events", "Size of a batch at its first dispatch.", lambda s: s.batch_events),
    Distribution("esm_batch_bytes", "Bytes of the event at its first dispatch.", lambda s: s.batch_bytes),
    Distribution("esm_batch_wait_seconds", "From the first record buffered to dispatch.", lambda s: s.batch_wait),
    Distribution("esm_event_age_seconds", "From sending or arrival to the first dispatch.", lambda s: s.event_age),
    Distribution(
        "esm_invocation_duration_seconds", "Time in the function.", lambda s: s.invocation_duration, ("outcome",)
    ),
    Distribution(
        "esm_checkpoint_duration_seconds",
        "Time of a write of a shard's position while it is read.",
        _streams(lambda s: s.checkpoint_duration),
    ),
)

GAUGES: Final = (
    Gauge(
        "esm_poll_due",
        "1 while a read is due or under way; 0 while there is no room for what it would bring, or at rest.",
        lambda s, g, n: float(s.poll_due(g, n.mono)),
    ),
    Gauge("esm_pollers", "Receive calls under way (ProvisionedPollers).", _pollers),
    Gauge(
        "esm_buffered_events", "Messages and records read and not in an invocation.", lambda _s, g, _n: g.buffered
    ),
    Gauge("esm_buffered_bytes", "Bytes read and not dispatched or not done.", lambda _s, g, _n: g.buffered_bytes),
    Gauge("esm_inflight_invocations", "Invocations running.", lambda _s, g, _n: g.in_flight_batches),
    Gauge("esm_inflight_events", "Messages and records in them.", lambda _s, g, _n: g.in_flight_messages),
    Gauge("esm_concurrency_limit", "Invocations allowed at once, now.", lambda _s, g, _n: g.limit),
    Gauge(
        "esm_invocation_timeout_seconds",
        "How long an invocation may take (Handler.TimeoutInSeconds).",
        lambda s, _g, _n: s.mapping.handler.timeout,
    ),
    Gauge(
        "esm_oldest_pending_seconds",
        "Age of the oldest message or record held and not done.",
        lambda _s, g, n: _since(g.oldest_pending_since, n),
    ),
    Gauge(
        "esm_queue_messages", "Approximate messages in the queue, as SQS told last.", _queue_messages, ("state",)
    ),
    Gauge("esm_fifo_groups", "Message groups in our hands.", _fifo_groups, ("state",)),
    Gauge("esm_shards", "Shards with a row, by what is done with them.", _shards, ("state",)),
    Gauge("esm_source_retention_seconds", "How long the stream keeps a record, as it told last.", _retention),
    Gauge("esm_leases_held", "Rows of shards that are this worker's.", _leases),
    Gauge("esm_last_poll_timestamp_seconds", "The last read that succeeded.", lambda s, _g, _n: s.last_poll_at),
    Gauge(
        "esm_last_success_timestamp_seconds",
        "The last invocation with a success in it.",
        lambda s, _g, _n: s.last_success_at,
    ),
    Gauge("esm_mapping_state", "1 for the state that the mapping is in.", _states, ("state",)),
    Gauge("esm_mapping_info", "What the mapping is.", _info, ("uuid", "function", "source_arn")),
)

SHARD_GAUGES: Final = (
    ShardGauge(
        "esm_iterator_age_seconds",
        "Age of the last record handed to the function (IteratorAge); 0 when caught up and idle.",
        lambda _s, g, _n: g.iterator_age,
        lambda shard, _n: shard.iterator_age,
    ),
    ShardGauge(
        "esm_behind_latest_seconds",
        "How far reading is behind the newest record (MillisBehindLatest).",
        _behind,
        lambda shard, _n: shard.behind,
    ),
    ShardGauge(
        "esm_shard_blocked_seconds",
        "How long the batch at the head has been failing.",
        lambda _s, g, n: _since(g.blocked_since, n),
        lambda shard, n: _since(shard.blocked_since, n),
    ),
)
