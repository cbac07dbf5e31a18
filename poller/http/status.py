"""/v1/mappings, /v1/history: the live status of each mapping as JSON. Users' scripts read it: fields are added,
never changed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from aiohttp import web

from poller.control_book import Held
from poller.core.mapping_targets import told
from poller.core.model import Instant, JsonObject, MappingState, QueueGauges
from poller.core.stream_gauges import NO_STREAM_GAUGES, ShardState, StreamGauges
from poller.core.trend import LAG_EVERY, Trend
from poller.core.trouble import TroubleFacts, find_trouble
from poller.http import answers
from poller.http.health import why_stuck
from poller.http.trends import Trends, lag_of, totals_of
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES, Gauges, MappingStats, StreamStats
from poller.version import __version__

_LETTERS: Final = {
    ShardState.READING: "r",
    ShardState.BLOCKED: "b",
    ShardState.LEASED: "l",
    ShardState.WAITING_PARENT: "w",
    ShardState.DONE: "d",
}

HeldOnes = Callable[[], Mapping[str, Held]]
"""What does not run although it shall, by UUID; usable from any thread."""


class Seen(NamedTuple):
    """A mapping by its numbers; `held` is why it does not run although it shall. One that never began has no other
    numbers than 0, and `begun` is False.
    """

    stats: MappingStats
    held: str = ""
    begun: bool = True


def none_held() -> Mapping[str, Held]:
    """For who has no control API."""
    return {}


def all_seen(metrics: Metrics, held: HeldOnes) -> Iterator[Seen]:
    """Those that are counted, in the order in which they were added, and then those that are held instead."""
    resting = dict(held())
    for stats in metrics.mappings():
        why = resting.pop(stats.mapping.uuid, None)
        yield Seen(stats, "" if why is None else why.why)
    now = metrics.clock.now().mono
    for one in resting.values():
        queue = one.mapping.stream is None
        yield Seen(
            MappingStats(one.mapping, _no_gauges if queue else _no_stream_gauges, now), one.why, begun=False
        )


def _no_gauges() -> Gauges:
    return NO_GAUGES


def _no_stream_gauges() -> Gauges:
    return NO_STREAM_GAUGES


def mappings_status(
    metrics: Metrics, trends: Trends | None = None, *, writable: bool = False, held: HeldOnes = none_held
) -> JsonObject:
    """The body of /v1/mappings: `{"version", "writable", "mappings": [one object for each]}`, in the order of
    `all_seen`. `writable`: whether they can be paused and resumed where this was asked.
    """
    now = metrics.clock.now()
    trends = trends or Trends(metrics)
    shown = [mapping_status(seen, now, trends.of(seen.stats)) for seen in all_seen(metrics, held)]
    return {"version": __version__, "writable": writable, "mappings": shown}


def mapping_status(seen: Seen, now: Instant, trend: Trend) -> JsonObject:
    """How one mapping stands.

    `in_per_second`: messages or records read, over the last 10 s; `out_per_second`: those done with (succeeded,
    filtered out or given up). `lag_seconds`: how far it is behind (trends.lag_of). `oldest_pending_seconds`: age
    of the oldest one in our hands. `in_flight`, `ok`, `failed`, `filtered` and `retries` count messages or
    records; `retries` are those that came again or were tried again. `last_result` is the outcome of the last
    invocation ("" before the first); `last_error` is null or `{"message", "at"}`. `trouble` is null or
    `{"level", "reason"}`, `bad` for what does not go on and `warn` for what does not go well (core/trouble.py).
    `held`: a mapping of the control API that could not begin, and runs once its `trouble` is gone and the daemon
    starts again, or it is changed through that API.
    """
    stats = seen.stats
    gauges = stats.gauges()
    mapping = stats.mapping
    since = gauges.oldest_pending_since
    batches = stats.batch_events.count
    totals = totals_of(stats, now.mono)
    lag = lag_of(gauges, trend, totals, now)
    facts = _trouble_facts(stats, gauges, now, lag, trend.failing(totals))
    trouble = find_trouble(replace(facts, held=seen.held))
    return {
        "name": stats.name,
        "uuid": mapping.uuid,
        "state": (MappingState.DISABLED if seen.held else stats.state).value,
        "held": not seen.begun,
        "finished": stats.finished,
        "trouble": None if trouble is None else {"level": trouble.level.value, "reason": trouble.reason},
        "source": mapping.source.value,
        "source_arn": mapping.arn.text,
        "function": told(mapping.function_name),
        "in_per_second": round(stats.rate.per_second(now.mono), 1),
        "out_per_second": round(trend.out_per_second(totals), 1),
        "lag_seconds": round(lag, 3),
        "oldest_pending_seconds": 0.0 if since is None else round(max(0.0, now.mono - since), 3),
        "in_flight": gauges.in_flight_messages,
        "in_flight_batches": gauges.in_flight_batches,
        "limit": gauges.limit,
        "batch_size_average": round(stats.batch_events.total / batches, 1) if batches else None,
        "ok": stats.succeeded_events,
        "failed": stats.failed_invoke_events,
        "filtered": stats.filtered_events,
        "retries": stats.retried_events,
        **(_queue_status(stats, gauges) if stats.stream is None else _stream_status(stats.stream, gauges, now)),
        "last_result": stats.last_result,
        "last_error": None
        if not stats.last_error
        else {"message": stats.last_error, "at": _iso(stats.last_error_at)},
    }


def shards_status(stats: MappingStats, now: Instant) -> JsonObject:
    """The body of /v1/mappings/{name}/shards: `{"name", "shards": [one object for each that has a row]}`, in the
    order of `shard_strip`.

    Of a shard that is not read at the moment, all but its `id` and `state` is null. `blocked_seconds`: how long
    the batch at its head has been failing, null when it is not. A queue has no shards.
    """
    gauges = stats.gauges()
    shown = []
    if isinstance(gauges, StreamGauges):
        for key, state in gauges.places.items():
            shard = gauges.shards.get(key)
            blocked = None if shard is None else shard.blocked_since
            shown.append(
                {
                    "id": key,
                    "state": state.value,
                    "lag_seconds": None
                    if shard is None
                    else round(max(shard.iterator_age, shard.behind or 0.0), 3),
                    "blocked_seconds": None if blocked is None else round(max(0.0, now.mono - blocked), 1),
                    "buffered": None if shard is None else shard.buffered,
                    "in_flight": None if shard is None else shard.in_flight_records,
                }
            )
    return {"name": stats.name, "shards": shown}


def scale_status(stats: MappingStats, now: Instant, trend: Trend) -> JsonObject | None:
    """The body of /v1/mappings/{name}/scale, for autoscalers: `{"name", "source", "lag_seconds", "in_flight",
    "limit"}`, of a queue `messages` too, visible and in flight, as SQS told last (at most a minute ago), and of a
    stream `shards`, how many are being read. All but the first two are numbers, always: None until all are known.
    """
    gauges = stats.gauges()
    body = {
        "name": stats.name,
        "source": stats.mapping.source.value,
        "lag_seconds": round(lag_of(gauges, trend, totals_of(stats, now.mono), now), 3),
        "in_flight": gauges.in_flight_messages,
        "limit": gauges.limit,
    }
    if isinstance(gauges, StreamGauges):
        return None if gauges is NO_STREAM_GAUGES else body | {"shards": len(gauges.shards)}
    if stats.queue is None:
        return None
    return body | {"messages": stats.queue.visible + stats.queue.in_flight}


def history_status(metrics: Metrics, trends: Trends) -> JsonObject:
    """The body of /v1/history: `{"seconds", "lag": {uuid: [seconds behind, the newest last]}}`; the points are
    `seconds` apart.
    """
    lags = {
        stats.mapping.uuid: [round(lag, 2 if lag < 10 else None) for lag in trends.of(stats).lags]
        for stats in metrics.mappings()
    }
    return {"seconds": LAG_EVERY, "lag": lags}


def _queue_status(stats: MappingStats, gauges: Gauges) -> JsonObject:
    """`queue_messages`: visible in the queue, as SQS told last (null: not yet). `deleted` counts messages."""
    return {
        "queue_messages": None if stats.queue is None else stats.queue.visible,
        "polls_in_flight": gauges.polls if isinstance(gauges, QueueGauges) else 0,
        "deleted": stats.deleted_events,
    }


def _stream_status(stats: StreamStats, gauges: Gauges, now: Instant) -> JsonObject:
    """`shards` counts them by state; `shard_strip` has a letter for the state of each (r, b, l, w, d: reading,
    blocked, leased, waiting_parent, done), and `blocked_seconds` is how long the longest has stood still.
    `iterator_age_seconds` is the age of the last record handed to the function and `behind_latest_seconds` how far
    reading is behind (null: not told), each of the shard where it is worst. `discarded` counts records that were
    given up; `dropped` those of them of which no destination has a document.
    """
    gauges = gauges if isinstance(gauges, StreamGauges) else NO_STREAM_GAUGES
    behind = gauges.behind
    return {
        "shards": {state.value: count for state, count in gauges.states.items()},
        "shard_strip": "".join([_LETTERS[state] for state in gauges.places.values()]),
        "blocked_seconds": round(_blocked_for(gauges, now), 1),
        "iterator_age_seconds": round(gauges.iterator_age, 3),
        "behind_latest_seconds": None if behind is None else round(behind, 3),
        "bisections": stats.bisections,
        "discarded": stats.discarded,
        "dropped": stats.dropped_events,
    }


def _blocked_for(gauges: StreamGauges, now: Instant) -> float:
    return 0.0 if gauges.blocked_since is None else max(0.0, now.mono - gauges.blocked_since)


def _trouble_facts(stats: MappingStats, gauges: Gauges, now: Instant, lag: float, failing: float) -> TroubleFacts:
    facts = TroubleFacts(
        state=stats.state,
        finished=stats.finished,
        stuck=why_stuck(stats, gauges, now.mono),
        problem=stats.last_problem,
        failing=failing,
        error=stats.last_error,
        lag=lag,
    )
    if not isinstance(gauges, StreamGauges):
        return facts
    return replace(
        facts,
        shards=len(gauges.places),
        blocked=gauges.states[ShardState.BLOCKED],
        blocked_for=_blocked_for(gauges, now),
    )


def add_status_routes(
    app: web.Application, metrics: Metrics, *, writable: bool, held: HeldOnes = none_held
) -> None:
    """What is read: /v1/mappings and what is below it, and /v1/history."""
    trends = Trends(metrics)
    app.cleanup_ctx.append(trends.noting)

    async def mappings(_request: web.Request) -> web.Response:
        return answers.json(mappings_status(metrics, trends, writable=writable, held=held))

    async def history(_request: web.Request) -> web.Response:
        return answers.json(history_status(metrics, trends))

    async def one(request: web.Request) -> web.Response:
        seen = find_mapping(metrics, request, held)
        return answers.json(mapping_status(seen, metrics.clock.now(), trends.of(seen.stats)))

    async def shards(request: web.Request) -> web.Response:
        return answers.json(shards_status(find_mapping(metrics, request, held).stats, metrics.clock.now()))

    async def scale(request: web.Request) -> web.Response:
        seen = find_mapping(metrics, request, held)
        stats = seen.stats
        body = scale_status(stats, metrics.clock.now(), trends.of(stats))
        if body is None:
            why = f"does not run: {seen.held}" if seen.held else "has not heard from its source yet; ask again."
            return answers.json({"message": f"{stats.name} {why}"}, 503)
        return answers.json(body)

    app.router.add_get("/v1/mappings", mappings)
    app.router.add_get("/v1/history", history)
    app.router.add_get("/v1/mappings/{name}", one)
    app.router.add_get("/v1/mappings/{name}/shards", shards)
    app.router.add_get("/v1/mappings/{name}/scale", scale)


def find_mapping(metrics: Metrics, request: web.Request, held: HeldOnes) -> Seen:
    """The mapping of that name or UUID; one that runs before one that is held. Raises NoSuchMapping."""
    wanted = request.match_info["name"]
    for seen in all_seen(metrics, held):
        if wanted in {seen.stats.name, seen.stats.mapping.uuid}:
            return seen
    raise answers.NoSuchMapping(wanted)


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
