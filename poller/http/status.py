"""The control listener, as far as it goes: /v1/mappings, the live status of each mapping as JSON."""

from datetime import UTC, datetime

from aiohttp import web

from poller.core.model import Instant, JsonObject
from poller.http import answers
from poller.metrics import Metrics
from poller.metrics_stats import MappingStats
from poller.version import __version__


def mappings_status(metrics: Metrics) -> JsonObject:
    """The body of /v1/mappings: `{"version", "mappings": [one object for each, in the order they were added]}`."""
    now = metrics.clock.now()
    return {"version": __version__, "mappings": [mapping_status(stats, now) for stats in metrics.mappings()]}


def mapping_status(stats: MappingStats, now: Instant) -> JsonObject:
    """How one mapping stands.

    `in_per_second`: messages received, over the last 10 s. `oldest_pending_seconds`: age of the oldest message in
    our hands; `queue_messages`: visible in the queue, as SQS told last (null: not yet). `in_flight`, `ok`,
    `failed`, `retries` and `deleted` count messages; `retries` are those that came again or were tried again.
    `last_result` is the outcome of the last invocation ("" before the first); `last_error` is null or
    `{"message", "at"}`.
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
        "function": mapping.function_name,
        "in_per_second": round(stats.rate.per_second(now.mono), 1),
        "oldest_pending_seconds": 0.0 if since is None else round(max(0.0, now.mono - since), 3),
        "queue_messages": None if stats.queue is None else stats.queue.visible,
        "polls_in_flight": gauges.polls,
        "in_flight": gauges.in_flight_messages,
        "in_flight_batches": gauges.in_flight_batches,
        "limit": gauges.limit,
        "batch_size_average": round(stats.batch_events.total / batches, 1) if batches else None,
        "ok": stats.succeeded_events,
        "failed": stats.failed_invoke_events,
        "retries": stats.retried_events,
        "deleted": stats.deleted_events,
        "last_result": stats.last_result,
        "last_error": None
        if not stats.last_error
        else {"message": stats.last_error, "at": _iso(stats.last_error_at)},
    }


def control_app(metrics: Metrics) -> web.Application:
    """The application for Settings.ControlApi.Listen."""

    async def mappings(_request: web.Request) -> web.Response:
        return answers.json(mappings_status(metrics))

    app = web.Application(middlewares=[answers.readable_errors, answers.own_host_only])
    app.router.add_get("/v1/mappings", mappings)
    return app


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
