"""Rendering for Prometheus at scrape time: what metrics_stats.py counts, under the names of metrics_tables.py.

Every label combination is shown from the moment a mapping is added, so that rates and alerts never meet a series
that starts at 1.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)

from poller.core.mapping_targets import told
from poller.core.model import Instant
from poller.core.stream_gauges import StreamGauges
from poller.metrics_numbers import Histogram
from poller.metrics_stats import Gauges, MappingStats, ProcessStats
from poller.metrics_tables import COUNTERS, DISTRIBUTIONS, GAUGES, SHARD_GAUGES, ShardGauge
from poller.metrics_text import DistributionFamily
from poller.version import __version__

_T = TypeVar("_T", float, Histogram)
_Row: TypeAlias = tuple[MappingStats, list[str], Gauges]

MOST_SHARDS: Final = 64

_MAPPING = ("mapping", "source")


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of a mapping is shown. Without `histograms` only the count and sum of each are, which is a tenth of
    the series; a mapping with more shards than `max_shards` shows the worst of them only.
    """

    histograms: bool = True
    max_shards: int = MOST_SHARDS


def mapping_families(mappings: Iterable[MappingStats], now: Instant, how: Shown) -> Iterator[Metric]:
    """Every family of the tables, with one series for each of these mappings and label values."""
    rows: list[_Row] = [(stats, [stats.name, stats.mapping.source.value], stats.gauges()) for stats in mappings]
    for counter in COUNTERS:
        family = CounterMetricFamily(counter.name, counter.help, labels=(*_MAPPING, *counter.labels))
        for stats, labels, _ in rows:
            for more, value in _spread(counter.read(stats)):
                family.add_metric([*labels, *more], value)
        yield family
    for distribution in DISTRIBUTIONS:
        names = (*_MAPPING, *distribution.labels)
        shown = DistributionFamily(distribution.name, distribution.help, names, buckets=how.histograms)
        for stats, labels, _ in rows:
            for more, observed in _spread(distribution.read(stats)):
                shown.add([*labels, *more], observed)
        yield shown
    for gauge in GAUGES:
        level = GaugeMetricFamily(gauge.name, gauge.help, labels=(*_MAPPING, *gauge.labels))
        for stats, labels, gauges in rows:
            for more, value in _spread(gauge.read(stats, gauges, now)):
                level.add_metric([*labels, *more], value)
        yield level
    for shard_gauge in SHARD_GAUGES:
        yield _of_shards(shard_gauge, rows, now, how.max_shards)
    info = GaugeMetricFamily(
        "esm_mapping_info", "What the mapping is.", labels=[*_MAPPING, "uuid", "function", "source_arn"]
    )
    for stats, labels, _ in rows:
        mapping = stats.mapping
        info.add_metric([*labels, mapping.uuid, told(mapping.function_name), mapping.arn.text], 1)
    yield info


def _of_shards(gauge: ShardGauge, rows: Sequence[_Row], now: Instant, most: int) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.help, labels=_MAPPING)
    for stats, values, gauges in rows:
        if not isinstance(gauges, StreamGauges) or (worst := gauge.worst(stats, gauges, now)) is None:
            continue
        family.add_metric(values, worst)
        if len(gauges.shards) > most:
            continue
        labels = dict(zip(_MAPPING, values, strict=True))
        for shard, standing in gauges.shards.items():
            value = gauge.each(standing, now)
            if value is not None:
                family.add_sample(gauge.name, {**labels, "shard": shard}, value)
    return family


def process_families(process: ProcessStats) -> Iterator[Metric]:
    """What is told of the process: AWS calls, the event loop, reloads, the version."""
    call = ["service", "operation", "outcome"]
    requests = CounterMetricFamily("esm_aws_requests_total", "Calls of AWS that ended.", labels=call)
    durations = DistributionFamily("esm_aws_request_duration_seconds", "Time in a call of AWS.", call)
    for labels, histogram in list(process.aws_requests.items()):
        requests.add_metric(labels, histogram.count)
        durations.add(labels, histogram)
    yield requests
    yield durations
    lag = DistributionFamily("esm_event_loop_lag_seconds", "How late the event loop ran what was due.", [])
    lag.add([], process.loop_lag)
    yield lag
    reloads = CounterMetricFamily("esm_config_reloads_total", "Reloads of the configuration.", labels=["outcome"])
    for outcome, count in process.config_reloads.items():
        reloads.add_metric([outcome], count)
    yield reloads
    build = GaugeMetricFamily("esm_build_info", "What this is.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build


def _spread(values: _T | Mapping[Any, _T] | None) -> list[tuple[tuple[str, ...], _T]]:
    """Values with those of their own labels; nothing for None."""
    if values is None:
        return []
    if isinstance(values, Mapping):
        return [
            (tuple(map(str, key)) if isinstance(key, tuple) else (str(key),), one) for key, one in values.items()
        ]
    return [((), values)]
