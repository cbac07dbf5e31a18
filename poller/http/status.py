"""/v1/mappings: the live status of each mapping as JSON."""

from datetime import UTC, datetime

from aiohttp import web

from poller.core.mapping_targets import told
from poller.core.model import Instant, JsonObject, QueueGauges
from poller.core.stream_gauges import NO_STREAM_GAUGES, StreamGauges
from poller.http import answers
from poller.metrics import Metrics
from poller.metrics_stats import Gauges, MappingStats, StreamStats
from poller.version import __version__


def mappings_status(metrics: Metrics) -> JsonObject:
    """The body of /v1/mappings: `{"version", "mappings": [one object for each, in the order they were added]}`."""
    now = metrics.clock.now()
    return {"version": __version__, "mappings": [mapping_status(stats, now) for stats in metrics.mappings()]}


def mapping_status(stats: MappingStats, now: Instant) -> JsonObject:
    """How one mapping stands.

    `in_per_second`: messages or records read, over the last 10 s. `oldest_pending_seconds`: age of the oldest one
    in our hands. `in_flight`, `ok`, `failed` and `retries` count messages or records; `retries` are those that
    came again or were tried again. `last_result` is the outcome of the last invocation ("" before the first);
    `last_error` is null or `{"message", "at"}`.
    """
    gauges = stats.gauges()
    mapping = stats.mapping
    since = gauges.oldest_pending_since
    batches = stats.batch_events.count
    return {
        "name": stats.name,
        "uuid": mapping.uuid,
        "state": stats.state.value,
        "finished": stats.finished,
        "source": mapping.source.value,
        "source_arn": mapping.arn.text,
        "function": told(mapping.function_name),
        "in_per_second": round(stats.rate.per_second(now.mono), 1),
        "oldest_pending_seconds": 0.0 if since is None else round(max(0.0, now.mono - since), 3),
        "in_flight": gauges.in_flight_messages,
        "in_flight_batches": gauges.in_flight_batches,
        "limit": gauges.limit,
        "batch_size_average": round(stats.batch_events.total / batches, 1) if batches else None,
        "ok": stats.succeeded_events,
        "failed": stats.failed_invoke_events,
        "retries": stats.retried_events,
        **(_queue_status(stats, gauges) if stats.stream is None else _stream_status(stats.stream, gauges)),
        "last_result": stats.last_result,
        "last_error": None
        if not stats.last_error
        else {"message": stats.last_error, "at": _iso(stats.last_error_at)},
    }


def _queue_status(stats: MappingStats, gauges: Gauges) -> JsonObject:
    """`queue_messages`: visible in the queue, as SQS told last (null: not yet). `deleted` counts messages."""
    return {
        "queue_messages": None if stats.queue is None else stats.queue.visible,
        "polls_in_flight": gauges.polls if isinstance(gauges, QueueGauges) else 0,
        "deleted": stats.deleted_events,
    }


def _stream_status(stats: StreamStats, gauges: Gauges) -> JsonObject:
    """`shards` counts them by state. `iterator_age_seconds` is the age of the last record handed to the function
    and `behind_latest_seconds` how far reading is behind (null: not told), each of the shard where it is worst.
    `discarded` counts records that were given up; `dropped` those of them of which no destination has a document.
    """
    gauges = gauges if isinstance(gauges, StreamGauges) else NO_STREAM_GAUGES
    behind = gauges.behind
    return {
        "shards": {state.value: count for state, count in gauges.states.items()},
        "iterator_age_seconds": round(gauges.iterator_age, 3),
        "behind_latest_seconds": None if behind is None else round(behind, 3),
        "bisections": stats.bisections,
        "discarded": stats.discarded,
        "dropped": stats.dropped_events,
    }


def add_status_routes(app: web.Application, metrics: Metrics) -> None:
    """What is read."""

    async def mappings(_request: web.Request) -> web.Response:
        return answers.json(mappings_status(metrics))

    app.router.add_get("/v1/mappings", mappings)


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
