"""The metrics by name: what metrics_stats.py counts, rendered for Prometheus at scrape time.

One table names every family of a mapping; a new metric is a field there and a line here. Every label combination
is shown from the moment a mapping is added, so that rates and alerts never meet a series that starts at 1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from poller.core.model import Instant, MappingState, QueueGauges
from poller.metrics_stats import Histogram, MappingStats, ProcessStats
from poller.version import __version__

_Values: TypeAlias = float | Mapping[Any, float]
_T = TypeVar("_T", float, Histogram)


@dataclass(frozen=True, slots=True)
class _Counter:
    """A counter of a mapping; with `label`, `read` gives a value for each of the label's values."""

    name: str
    help: str
    read: Callable[[MappingStats], _Values]
    label: str | None = None


@dataclass(frozen=True, slots=True)
class _Histogram:
    """A histogram of a mapping."""

    name: str
    help: str
    read: Callable[[MappingStats], Histogram | Mapping[Any, Histogram]]
    label: str | None = None


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A gauge of a mapping, read when asked; None means that the mapping has no such thing."""

    name: str
    help: str
    read: Callable[[MappingStats, QueueGauges, Instant], _Values | None]
    label: str | None = None


def _queue_messages(stats: MappingStats, _gauges: QueueGauges, _now: Instant) -> _Values:
    facts = stats.queue
    if facts is None:
        return {"visible": 0, "inflight": 0, "delayed": 0}
    return {"visible": facts.visible, "inflight": facts.in_flight, "delayed": facts.delayed}


def _fifo_groups(stats: MappingStats, gauges: QueueGauges, _now: Instant) -> _Values | None:
    if not stats.mapping.arn.fifo:
        return None
    return {"active": gauges.groups_active, "waiting": gauges.groups_waiting, "blocked": gauges.groups_blocked}


def _oldest_pending(_stats: MappingStats, gauges: QueueGauges, now: Instant) -> _Values:
    since = gauges.oldest_pending_since
    return 0.0 if since is None else max(0.0, now.mono - since)


def _states(stats: MappingStats, _gauges: QueueGauges, _now: Instant) -> _Values:
    return {state: float(state is stats.state) for state in MappingState}


_COUNTERS = (
    _Counter("esm_polls_total", "Receive calls that ended.", lambda s: s.polls, "outcome"),
    _Counter("esm_polled_events_total", "Messages received (PolledEventCount).", lambda s: s.polled_events),
    _Counter("esm_polled_bytes_total", "Bytes of the answers that brought messages.", lambda s: s.polled_bytes),
    _Counter(
        "esm_filtered_events_total",
        "Messages removed by a filter (FilteredOutEventCount).",
        lambda s: s.filtered_events,
    ),
    _Counter(
        "esm_redelivered_events_total",
        "Messages received again (receive count above 1).",
        lambda s: s.redelivered_events,
    ),
    _Counter("esm_batches_total", "Batches closed, by what closed them.", lambda s: s.batches, "trigger"),
    _Counter(
        "esm_invocations_total",
        "Batches handed to the function, by what came of it.",
        lambda s: s.invocations,
        "outcome",
    ),
    _Counter(
        "esm_invoked_events_total",
        "Messages in invocation attempts (InvokedEventCount).",
        lambda s: s.invoked_events,
    ),
    _Counter(
        "esm_failed_invoke_events_total",
        "Messages that failed in an attempt (FailedInvokeEventCount).",
        lambda s: s.failed_invoke_events,
    ),
    _Counter("esm_retries_total", "Batches kept and tried again.", lambda s: s.retries, "reason"),
    _Counter(
        "esm_deleted_events_total",
        "Messages deleted after success (DeletedEventCount).",
        lambda s: s.deleted_events,
    ),
    _Counter("esm_delete_failures_total", "Entries whose deletion was refused.", lambda s: s.delete_failures),
    _Counter(
        "esm_released_events_total", "Messages given back by visibility.", lambda s: s.released_events, "reason"
    ),
    _Counter(
        "esm_visibility_extensions_total",
        "Heartbeats, one for each message.",
        lambda s: s.visibility_extensions,
        "outcome",
    ),
    _Counter(
        "esm_visibility_lost_events_total",
        "Messages done after their receipt had run out: likely duplicates.",
        lambda s: s.visibility_lost_events,
    ),
    _Counter(
        "esm_event_loop_blocked_seconds_total",
        "Seconds for which the mapping's handler blocked the event loop.",
        lambda s: s.loop_blocked_seconds,
    ),
    _Counter("esm_worker_restarts_total", "Drivers started again.", lambda s: s.worker_restarts, "reason"),
)

_HISTOGRAMS = (
    _Histogram("esm_poll_duration_seconds", "Time in a receive call.", lambda s: s.poll_duration),
    _Histogram("esm_batch_events", "Messages of a batch at its first dispatch.", lambda s: s.batch_events),
    _Histogram("esm_batch_bytes", "Bytes of the event at its first dispatch.", lambda s: s.batch_bytes),
    _Histogram("esm_batch_wait_seconds", "From the first message buffered to dispatch.", lambda s: s.batch_wait),
    _Histogram("esm_event_age_seconds", "From sending to the first dispatch.", lambda s: s.event_age),
    _Histogram(
        "esm_invocation_duration_seconds", "Time in the function.", lambda s: s.invocation_duration, "outcome"
    ),
)

_GAUGES = (
    _Gauge("esm_pollers", "Receive calls under way (ProvisionedPollers).", lambda _s, g, _n: g.polls),
    _Gauge("esm_buffered_events", "Messages received and not yet dispatched.", lambda _s, g, _n: g.buffered),
    _Gauge("esm_buffered_bytes", "Bytes received and not yet dispatched.", lambda _s, g, _n: g.buffered_bytes),
    _Gauge("esm_inflight_invocations", "Invocations running.", lambda _s, g, _n: g.in_flight_batches),
    _Gauge("esm_inflight_events", "Messages in running invocations.", lambda _s, g, _n: g.in_flight_messages),
    _Gauge("esm_concurrency_limit", "Invocations allowed at once, now.", lambda _s, g, _n: g.limit),
    _Gauge("esm_oldest_pending_seconds", "Age of the oldest message held and not done.", _oldest_pending),
    _Gauge("esm_queue_messages", "Approximate messages in the queue, as SQS told last.", _queue_messages, "state"),
    _Gauge("esm_fifo_groups", "Message groups in our hands.", _fifo_groups, "state"),
    _Gauge(
        "esm_last_poll_timestamp_seconds", "The last receive that succeeded.", lambda s, _g, _n: s.last_poll_at
    ),
    _Gauge(
        "esm_last_success_timestamp_seconds",
        "The last invocation with a success in it.",
        lambda s, _g, _n: s.last_success_at,
    ),
    _Gauge("esm_mapping_state", "1 for the state that the mapping is in.", _states, "state"),
)


def mapping_families(mappings: Iterable[MappingStats], now: Instant) -> Iterator[Metric]:
    """Every family of the tables above, with one series for each of these mappings and label values."""
    rows = [(stats, [stats.name, stats.mapping.source.value], stats.gauges()) for stats in mappings]
    for counter in _COUNTERS:
        family = CounterMetricFamily(counter.name, counter.help, labels=_labels(counter.label))
        for stats, labels, _ in rows:
            for more, value in _spread(counter.read(stats)):
                family.add_metric([*labels, *more], value)
        yield family
    for histogram in _HISTOGRAMS:
        shown = HistogramMetricFamily(histogram.name, histogram.help, labels=_labels(histogram.label))
        for stats, labels, _ in rows:
            for more, observed in _spread(histogram.read(stats)):
                _add_histogram(shown, [*labels, *more], observed)
        yield shown
    for gauge in _GAUGES:
        level = GaugeMetricFamily(gauge.name, gauge.help, labels=_labels(gauge.label))
        for stats, labels, gauges in rows:
            values = gauge.read(stats, gauges, now)
            for more, value in () if values is None else _spread(values):
                level.add_metric([*labels, *more], value)
        yield level
    info = GaugeMetricFamily(
        "esm_mapping_info", "What the mapping is.", labels=[*_labels(None), "uuid", "function", "source_arn"]
    )
    for stats, labels, _ in rows:
        info.add_metric([*labels, stats.mapping.uuid, stats.mapping.function_name, stats.mapping.arn.text], 1)
    yield info


def process_families(process: ProcessStats) -> Iterator[Metric]:
    """What is told of the process: AWS calls, the event loop, reloads, the version."""
    call = ["service", "operation", "outcome"]
    requests = CounterMetricFamily("esm_aws_requests_total", "Calls of AWS that ended.", labels=call)
    durations = HistogramMetricFamily("esm_aws_request_duration_seconds", "Time in a call of AWS.", labels=call)
    for labels, histogram in list(process.aws_requests.items()):
        requests.add_metric(labels, histogram.count)
        _add_histogram(durations, labels, histogram)
    yield requests
    yield durations
    lag = HistogramMetricFamily(
        "esm_event_loop_lag_seconds", "How late the event loop ran what was due.", labels=[]
    )
    _add_histogram(lag, [], process.loop_lag)
    yield lag
    reloads = CounterMetricFamily("esm_config_reloads_total", "Reloads of the configuration.", labels=["outcome"])
    for outcome, count in process.config_reloads.items():
        reloads.add_metric([outcome], count)
    yield reloads
    build = GaugeMetricFamily("esm_build_info", "What this is.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build


def _labels(label: str | None) -> list[str]:
    return ["mapping", "source"] if label is None else ["mapping", "source", label]


def _spread(values: _T | Mapping[Any, _T]) -> list[tuple[tuple[str, ...], _T]]:
    if isinstance(values, Mapping):
        return [((str(key),), value) for key, value in values.items()]
    return [((), values)]


def _add_histogram(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    # the event loop's thread goes on counting: the family takes its count from the last bucket, so both agree
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
    family.add_metric(labels, buckets, histogram.total)
