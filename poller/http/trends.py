"""The trend of each mapping, noted in the thread of the control listener while it listens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from poller.core.model import Instant, QueueGauges
from poller.core.stream_gauges import StreamGauges
from poller.core.trend import NOTE_EVERY, Totals, Trend
from poller.metrics import Metrics
from poller.metrics_stats import Gauges, MappingStats


class Trends:
    """Reads what is counted, and adds nothing to the work of a mapping."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[str, tuple[MappingStats, Trend]] = {}

    def of(self, stats: MappingStats) -> Trend:
        """The trend of this mapping; one that begins with it, where nothing was noted yet."""
        known = self._known.get(stats.mapping.uuid)
        return known[1] if known is not None and known[0] is stats else Trend(Totals(stats.since))

    def note(self) -> None:
        """To be called every NOTE_EVERY seconds."""
        now = self._metrics.clock.now()
        before, self._known = self._known, {}
        for stats in self._metrics.mappings():
            uuid = stats.mapping.uuid
            known = before.get(uuid)
            if known is None:
                known = stats, Trend(Totals(stats.since))
            elif known[0] is not stats:
                known[1].begin_again(Totals(stats.since))
                known = stats, known[1]
            trend = known[1]
            self._known[uuid] = known
            totals = totals_of(stats, now.mono)
            trend.note(totals)
            if trend.lag_due(now.mono):
                trend.note_lag(lag_of(stats.gauges(), trend, totals, now), now.mono)

    async def noting(self, _app: web.Application) -> AsyncIterator[None]:
        """For the application's `cleanup_ctx`."""
        task = asyncio.create_task(self._go_on(), name="esm-trends")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _go_on(self) -> None:
        while True:
            self.note()
            await asyncio.sleep(NOTE_EVERY)


def totals_of(stats: MappingStats, mono: float) -> Totals:
    """The sums of this moment."""
    ages = stats.event_age
    given_up = 0 if stats.stream is None else stats.stream.discarded
    return Totals(
        at=mono,
        done=stats.succeeded_events + stats.filtered_events + given_up,
        invoked=stats.invoked_events,
        failed=stats.failed_invoke_events,
        ages=ages.total,
        aged=ages.count,
    )


def lag_of(gauges: Gauges, trend: Trend, totals: Totals, now: Instant) -> float:
    """How far a mapping is behind, in seconds. Of a stream: the age of the last record handed to the function, or
    how far reading is behind. Of a queue: how old messages are when they are handed to the function, over the last
    ten seconds, or how long the oldest one has been in our hands. Whichever is worse.
    """
    match gauges:
        case StreamGauges():
            return max(gauges.iterator_age, gauges.behind or 0.0)
        case QueueGauges():
            since = gauges.oldest_pending_since
            return max(trend.age(totals), 0.0 if since is None else now.mono - since)
