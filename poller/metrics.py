"""Metrics: the statistics of one Poller, and their place in a Prometheus registry.

What is counted stands in metrics_stats.py, under which name it is shown in metrics_export.py; here is only who
counts in which registry, and until when.
"""

import logging
from collections.abc import Callable, Iterator
from threading import Lock
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.metrics_core import Metric

from poller.clock import Clock, SystemClock
from poller.core.mapping import EventSourceMapping
from poller.errors import ConfigurationError
from poller.metrics_export import Shown, mapping_families, process_families
from poller.metrics_process import ProcessCollector
from poller.metrics_stats import Gauges, MappingStats, ProcessStats

__all__ = ["MappingStats", "Metrics", "ProcessStats", "Shown"]

MANY_MAPPINGS = 200

_log = logging.getLogger("poller")


class _Collector:
    """What one registry knows of us: the mappings of every Metrics that shares it, in one set of families."""

    def __init__(self, clock: Clock, shown: Shown) -> None:
        self.process = ProcessStats()
        self.users = 0
        self._clock = clock
        self._shown = shown
        self._mappings: dict[str, MappingStats] = {}
        self._lock = Lock()

    def add(self, stats: MappingStats) -> None:
        with self._lock:
            if stats.name in self._mappings:
                raise ConfigurationError(
                    f"A mapping named {stats.name!r} is already counted in this metrics registry:"
                    " give one of the two another Name, or their pollers separate registries."
                )
            self._mappings[stats.name] = stats

    def remove(self, stats: MappingStats) -> None:
        with self._lock:
            if self._mappings.get(stats.name) is stats:
                del self._mappings[stats.name]

    def describe(self) -> Iterator[Metric]:
        yield from mapping_families((), self._clock.now(), self._shown)
        yield from process_families(ProcessStats())

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            mappings = list(self._mappings.values())
        yield from mapping_families(mappings, self._clock.now(), self._shown)
        yield from process_families(self.process)


_collectors: WeakKeyDictionary[CollectorRegistry, _Collector] = WeakKeyDictionary()
_collectors_lock = Lock()


class Metrics:
    """The statistics of one Poller and the registry in which they are shown; usable from any thread.

    Several may share a registry, as long as the names of their mappings differ; they then share `process` too. A
    registry that was passed in gets our families only; the private one has process_* and python_* besides. How
    much is shown is what the first of them wants.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, clock: Clock | None = None, shown: Shown | None = None
    ) -> None:
        self.clock = clock or SystemClock()
        if registry is None:
            registry = CollectorRegistry()
            registry.register(ProcessCollector())
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        self.registry = registry
        self._shown = shown or Shown()
        self._mappings: dict[str, MappingStats] = {}
        with _collectors_lock:
            collector = _collectors.get(registry)
            if collector is None:
                collector = _Collector(self.clock, self._shown)
                registry.register(collector)
                _collectors[registry] = collector
            collector.users += 1
        self._collector = collector
        self.process = collector.process

    def add(self, mapping: EventSourceMapping, read_gauges: Callable[[], Gauges]) -> MappingStats:
        """Begins to count for a mapping: all its series are there from now on, at 0.

        `read_gauges` is called at each scrape, from the scraping thread. Raises ConfigurationError when another
        mapping of that name is counted in the registry.
        """
        stats = MappingStats(mapping, read_gauges, since=self.clock.now().mono)
        self._collector.add(stats)
        self._mappings[mapping.uuid] = stats
        self.process.expect(mapping)
        if len(self._mappings) == MANY_MAPPINGS + 1:
            less = "; Metrics.Histograms: false leaves a third of them" if self._shown.histograms else ""
            _log.warning(
                f"more than {MANY_MAPPINGS} mappings: a scrape shows some hundred series for each{less}",
                extra={"action": "many_mappings"},
            )
        return stats

    def remove(self, stats: MappingStats) -> None:
        """Ends the mapping's series; nothing happens when they ended before."""
        self._collector.remove(stats)
        if self._mappings.get(stats.mapping.uuid) is stats:
            del self._mappings[stats.mapping.uuid]

    def mappings(self) -> list[MappingStats]:
        """Those being counted, in the order in which they were added."""
        return list(self._mappings.values())

    def close(self) -> None:
        """Ends all series of this Poller; the last one to leave takes our families out of the registry."""
        for stats in self.mappings():
            self.remove(stats)
        with _collectors_lock:
            if self._collector.users:
                self._collector.users -= 1
                if not self._collector.users:
                    self.registry.unregister(self._collector)
                    del _collectors[self.registry]
