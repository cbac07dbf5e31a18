"""Rendering for Prometheus at scrape time: what metrics_stats.py counts, under the names of metrics_tables.py.

Every label combination is shown from the moment a mapping is added, so that rates and alerts never meet a series
that starts at 1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from prometheus_client.metrics_core import Metric

from poller.core.model import Instant
from poller.core.stream_gauges import StreamGauges
from poller.metrics_stats import Gauges, MappingStats, ProcessStats
from poller.metrics_tables import COUNTERS, DISTRIBUTIONS, GAUGES, SHARD_GAUGES, ShardGauge
from poller.metrics_text import DistributionFamily, NumberFamily, Owner
from poller.version import __version__

_Row: TypeAlias = tuple[MappingStats, Owner, Gauges]

MOST_SHARDS: Final = 64

_MAPPING = ("mapping", "source")


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of a mapping is shown. Without `histograms` only the count and sum of each are, which leaves a
    third of all series; a mapping with more shards than `max_shards` shows the worst of them only.
    """

    histograms: bool = True
    max_shards: int = MOST_SHARDS


def mapping_families(mappings: Iterable[MappingStats], now: Instant, how: Shown) -> Iterator[Metric]:
    """Every family of the tables, with one series for each of these mappings and label values."""
    rows: list[_Row] = [(stats, (stats.name, stats.mapping.source.value), stats.gauges()) for stats in mappings]
    for counter in COUNTERS:
        family = NumberFamily("counter", counter.name, counter.help, (*_MAPPING, *counter.labels))
        for stats, owner, _ in rows:
            family.add(owner, counter.read(stats))
        yield family
    for distribution in DISTRIBUTIONS:
        names = (*_MAPPING, *distribution.labels)
        shown = DistributionFamily(distribution.name, distribution.help, names, buckets=how.histograms)
        for stats, owner, _ in rows:
            shown.add(owner, distribution.read(stats))
        yield shown
    for gauge in GAUGES:
        family = NumberFamily("gauge", gauge.name, gauge.help, (*_MAPPING, *gauge.labels))
        for stats, owner, gauges in rows:
            family.add(owner, gauge.read(stats, gauges, now))
        yield family
    for shard_gauge in SHARD_GAUGES:
        family = NumberFamily("gauge", shard_gauge.name, shard_gauge.help, (*_MAPPING, "shard"))
        for stats, owner, gauges in rows:
            if isinstance(gauges, StreamGauges):
                family.add(owner, _of_shards(shard_gauge, stats, gauges, now, how.max_shards))
        yield family


def _of_shards(
    gauge: ShardGauge, stats: MappingStats, gauges: StreamGauges, now: Instant, most: int
) -> dict[Any, float] | None:
    """The worst without a label, and each by its id."""
    worst = gauge.worst(stats, gauges, now)
    if worst is None:
        return None
    shards = gauges.shards if len(gauges.shards) <= most else {}
    values = {shard: gauge.each(standing, now) for shard, standing in shards.items()}
    return {(): worst} | {shard: value for shard, value in values.items() if value is not None}


def process_families(process: ProcessStats) -> Iterator[Metric]:
    """What is told of the process: AWS calls, the event loop, reloads, the version."""
    call = ("service", "operation", "outcome")
    made = dict(process.aws_requests)
    requests = NumberFamily("counter", "esm_aws_requests_total", "Calls of AWS that ended.", call)
    requests.add((), {labels: histogram.count for labels, histogram in made.items()})
    yield requests
    durations = DistributionFamily("esm_aws_request_duration_seconds", "Time in a call of AWS.", call)
    durations.add((), made)
    yield durations
    lag = DistributionFamily("esm_event_loop_lag_seconds", "How late the event loop ran what was due.")
    lag.add((), process.loop_lag)
    yield lag
    reloads = NumberFamily("counter", "esm_config_reloads_total", "Reloads of the configuration.", ("outcome",))
    reloads.add((), process.config_reloads)
    yield reloads
    build = NumberFamily("gauge", "esm_build_info", "What this is.", ("version",))
    build.add((), {__version__: 1})
    yield build
