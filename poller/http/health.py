"""The metrics listener: /metrics for Prometheus; /livez, /readyz and /startupz for whoever restarts processes.

It reads shared objects only and may run in another thread, with an event loop of its own, so that it answers while
a handler blocks the main one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from poller.core.liveness import LivenessFacts, stuck
from poller.core.model import MappingState
from poller.core.stream_gauges import StreamGauges
from poller.http import answers
from poller.metrics import Metrics
from poller.metrics_stats import Gauges, MappingStats, StreamStats
from poller.metrics_text import exposition

_STARTING = ["poller is starting"]
_UNNEEDED = re.compile(r"\bescaping=(?:dots|values)\b")
_ON_THE_WAY = frozenset({MappingState.CREATING, MappingState.ENABLING, MappingState.UPDATING})


def stuck_mappings(metrics: Metrics) -> list[str]:
    """One line for each mapping that makes no progress, naming it and why; empty while all is well."""
    now = metrics.clock.now().mono
    lines = []
    for stats in metrics.mappings():
        reason = why_stuck(stats, stats.gauges(), now)
        if reason is not None:
            lines.append(f"{stats.name}: {reason}")
    return lines


def why_stuck(stats: MappingStats, gauges: Gauges, now: float) -> str | None:
    """Why the mapping, which stands so, makes no progress at this monotonic second; None while it does."""
    return stuck(_facts(stats, gauges, now), now)


def unready_mappings(metrics: Metrics) -> list[str]:
    """One line for each mapping that shall run and does not yet; one that is switched off keeps nobody waiting."""
    lines = []
    for stats in metrics.mappings():
        if stats.crashed is not None:
            lines.append(f"{stats.name}: its driver ended: {stats.crashed}")
        elif stats.state in _ON_THE_WAY:
            why = f": {stats.last_problem}" if stats.last_problem else ""
            lines.append(f"{stats.name}: {stats.state.value}{why}")
    return lines


def health_app(metrics: Metrics) -> web.Application:
    """The application for Settings.Metrics.Listen."""

    async def shown(request: web.Request) -> web.Response:
        encode, content_type = _encoder(",".join(request.headers.getall("Accept", [])))
        registry = metrics.registry
        if names := request.query.getall("name[]", []):
            registry = registry.restricted_registry(names)  # type: ignore[assignment]  # it only needs collect()
        return web.Response(body=exposition(registry, encode), headers={"Content-Type": content_type})

    async def livez(_request: web.Request) -> web.Response:
        return _verdict(stuck_mappings(metrics))

    async def readyz(_request: web.Request) -> web.Response:
        # the listener is there before the mappings are
        return _verdict(unready_mappings(metrics) if metrics.process.started else _STARTING)

    async def startupz(_request: web.Request) -> web.Response:
        if not metrics.process.started:
            return _verdict(_STARTING)
        creating = MappingState.CREATING
        waiting = [f"{stats.name}: {creating.value}" for stats in metrics.mappings() if stats.state is creating]
        return _verdict(waiting)

    app = web.Application(middlewares=[answers.readable_errors])
    app.router.add_get("/metrics", shown)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/startupz", startupz)
    return app


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    # for these prometheus_client changes names that need it not: no rule and no dashboard would find them
    accept = _UNNEEDED.sub("escaping=underscores", accept)
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # it compares what is no version with one
        return choose_encoder("")


def _verdict(problems: list[str]) -> web.Response:
    if problems:
        return answers.text("".join(f"{problem}\n" for problem in problems), 503)
    return answers.text("ok\n")


def _facts(stats: MappingStats, gauges: Gauges, now: float) -> LivenessFacts:
    facts = LivenessFacts(
        state=stats.state,
        finished=stats.finished,
        polling=stats.poll_due(gauges, now),
        waiting_since=stats.waiting_since,
        last_problem=stats.last_problem,
        invoking_since=gauges.invoking_since,
        invocation_timeout=stats.mapping.handler.timeout,
        crashed=stats.crashed,
    )
    if stats.stream is None or not isinstance(gauges, StreamGauges):
        return facts
    return replace(
        facts,
        operation="GetRecords",
        invoking_shard=_first_of({key: shard.invoking_since for key, shard in gauges.shards.items()})[0],
        silent=_silent(stats.stream, gauges),
    )


def _silent(stats: StreamStats, gauges: StreamGauges) -> tuple[str, float] | None:
    heard = {key: stats.heard_at.get(key) for key, shard in gauges.shards.items() if shard.polling}
    shard, since = _first_of(heard)
    return None if since is None else (shard, since)


def _first_of(moments: Mapping[str, float | None]) -> tuple[str, float | None]:
    """The shard with the earliest moment; none of that name where none has one."""
    known = [(moment, key) for key, moment in moments.items() if moment is not None]
    since, shard = min(known, default=(None, ""))
    return shard, since
