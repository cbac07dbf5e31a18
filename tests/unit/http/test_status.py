"""/v1/mappings: what it tells, and to whom."""

from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from poller.control_book import Held
from poller.core.leases import Lease
from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings
from poller.core.model import Instant, MappingState, QueueFacts, QueueGauges, SourceKind
from poller.core.records import TRIM_HORIZON, Shard, ShardGauges
from poller.core.stream_gauges import stream_gauges
from poller.http import answers
from poller.http.address import Address
from poller.http.control_app import control_app
from poller.http.listener import start_listener
from poller.http.page import add_page_routes
from poller.http.status import add_status_routes
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES, DiscardedFor
from poller.version import __version__

SETTING = "Settings.ControlApi.Listen"
LOCAL = Address("127.0.0.1", 0)


class FixedClock:
    mono = 100.0

    def now(self) -> Instant:
        return Instant(wall=1_700_000_000.0 + self.mono, mono=self.mono)


def make_mapping(name="orders"):
    arn = SourceArn(f"arn:aws:sqs:eu-west-1:123456789012:{name}", "aws", "eu-west-1", "123456789012", name)
    return EventSourceMapping(
        f"u-{name}", name, SourceKind.SQS, arn, "python:shop:handler", "arn:aws:lambda:::shop"
    )


@pytest.fixture
def metrics():
    return Metrics(clock=FixedClock())


async def ask(metrics, address=LOCAL, method="GET", path="/v1/mappings", **headers):
    running = await start_listener(control_app(metrics), address, SETTING)
    url = f"http://127.0.0.1:{running.address.port}{path}"
    try:
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
            return answer.status, await (answer.json() if answer.status == 200 else answer.text()), answer.headers
    finally:
        await running.close()


async def test_the_query_of_a_url_is_not_shown(metrics):
    """It may hold a secret."""
    metrics.add(replace(make_mapping(), function_name="https://h/x?key=hunter2"), lambda: NO_GAUGES)
    _, body, _ = await ask(metrics)
    assert body["mappings"][0]["function"] == "https://h/x"


async def test_what_is_held_is_found_and_has_neither_shards_nor_a_scale(metrics):
    """API-3: on every path below /v1/mappings; one that had begun keeps its numbers."""
    stream = make_mapping("clicks")
    stream = replace(stream, source=SourceKind.KINESIS, stream=StreamSettings(TRIM_HORIZON))
    stats = metrics.add(make_mapping(), lambda: NO_GAUGES)
    stats.succeeded_events = 7
    held = {one.uuid: Held(one, "it is taken.") for one in (stats.mapping, stream)}
    app = web.Application(middlewares=[answers.readable_errors])
    add_status_routes(app, metrics, writable=True, held=lambda: held)
    add_page_routes(app, metrics, None, lambda: held)
    running = await start_listener(app, LOCAL, SETTING)
    try:
        async with aiohttp.ClientSession(f"http://{running.address}") as session:

            async def told(path):
                async with session.get(f"/v1/mappings{path}") as answer:
                    return answer.status, await answer.json()

            (_, body) = await told("")
            assert [(one["name"], one["state"], one["held"], one["ok"]) for one in body["mappings"]] == [
                ("orders", "Disabled", False, 7),
                ("clicks", "Disabled", True, 0),
            ]
            assert {one["trouble"]["reason"] for one in body["mappings"]} == {"it does not run: it is taken."}
            assert await told("/u-clicks") == (200, body["mappings"][1])
            assert await told("/clicks/shards") == (200, {"name": "clicks", "shards": []})
            assert await told("/clicks/scale") == (503, {"message": "clicks does not run: it is taken."})
    finally:
        await running.close()


async def test_a_new_mapping_is_shown_with_all_its_fields(metrics):
    metrics.add(make_mapping(), lambda: NO_GAUGES)

    status, body, headers = await ask(metrics)

    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert body == {
        "version": __version__,
        "writable": False,
        "mappings": [
            {
                "name": "orders",
                "uuid": "u-orders",
                "state": "Creating",
                "held": False,
                "finished": False,
                "trouble": None,
                "source": "sqs",
                "source_arn": "arn:aws:sqs:eu-west-1:123456789012:orders",
                "function": "python:shop:handler",
                "in_per_second": 0.0,
                "out_per_second": 0.0,
                "lag_seconds": 0.0,
                "oldest_pending_seconds": 0.0,
                "queue_messages": None,
                "polls_in_flight": 0,
                "in_flight": 0,
                "in_flight_batches": 0,
                "limit": 0,
                "batch_size_average": None,
                "ok": 0,
                "failed": 0,
                "filtered": 0,
                "retries": 0,
                "deleted": 0,
                "last_result": "",
                "last_error": None,
            }
        ],
    }


async def test_a_busy_mapping_is_shown_as_it_stands(metrics):
    stats = metrics.add(make_mapping(), lambda: QueueGauges(2, True, 0, 0, 3, 30, 8, 97.5, 99.0, 0, 0, 0))
    metrics.add(make_mapping("second"), lambda: NO_GAUGES)
    metrics.clock.mono = 104.0
    stats.state = MappingState.ENABLED
    stats.queue = QueueFacts(visibility_timeout=30.0, visible=1_234, in_flight=0, delayed=0)
    stats.rate.add(100, 102.0)
    stats.batch_events.observe_all([10.0, 5.0])
    stats.succeeded_events, stats.failed_invoke_events, stats.retried_events, stats.deleted_events = 90, 10, 4, 89
    stats.last_result, stats.last_error, stats.last_error_at = "error", "ValueError: no", 1_700_000_000.5

    _, body, _ = await ask(metrics)

    first, second = body["mappings"]
    assert second["name"] == "second"
    expected = {
        "state": "Enabled",
        "in_per_second": 25.0,
        "oldest_pending_seconds": 6.5,
        "queue_messages": 1_234,
        "polls_in_flight": 2,
        "in_flight": 30,
        "in_flight_batches": 3,
        "limit": 8,
        "batch_size_average": 7.5,
        "ok": 90,
        "failed": 10,
        "retries": 4,
        "deleted": 89,
        "last_result": "error",
        "last_error": {"message": "ValueError: no", "at": "2023-11-14T22:13:20.500Z"},
    }
    assert {key: first[key] for key in expected} == expected


async def test_a_stream_is_shown_with_its_shards(metrics):
    arn = SourceArn("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks", "aws", "eu-west-1", "1", "clicks")
    mapping = EventSourceMapping(
        *("u-clicks", "clicks", SourceKind.KINESIS, arn, "python:shop:handler", "arn:aws:lambda:::shop"),
        stream=StreamSettings(TRIM_HORIZON),
    )
    rows = {
        "done": Lease("done", "SHARD_END"),
        "busy": Lease("busy", "7", owner="we"),
        "bad": Lease("bad", "7", owner="we"),
        "child": Lease("child", "TRIM_HORIZON", parents=("busy",)),
    }
    shards = {
        "busy": ShardGauges(5, 500, 1, 10, 3.0, 1.25, None, 98.0, 99.0, polling=True),
        "bad": ShardGauges(5, 500, 0, 0, 2.0, 7.5, 95.0, 97.5, None, polling=False),
    }
    known = {key: Shard(key, row.parents) for key, row in rows.items()}
    stats = metrics.add(
        mapping, lambda: stream_gauges(shards, known, rows, worker="we", enabled=True, lanes=2, concurrency=1_000)
    )
    stats.stream.discarded_events[DiscardedFor.AGE] = 4
    stats.stream.discarded_events[DiscardedFor.RETRIES] = 2
    stats.stream.dropped_events, stats.stream.bisections = 4, 3
    stats.state, stats.last_error = MappingState.ENABLED, "ValueError: no"

    _, body, _ = await ask(metrics)
    _, detail, _ = await ask(metrics, path="/v1/mappings/clicks/shards")
    _, scale, _ = await ask(metrics, path="/v1/mappings/clicks/scale")

    (shown,) = body["mappings"]
    assert (await ask(metrics, path="/v1/mappings/u-clicks"))[1] == shown
    assert scale == {
        "name": "clicks",
        "source": "kinesis",
        "lag_seconds": 7.5,
        "in_flight": 10,
        "limit": 4,
        "shards": 2,
    }
    assert detail["name"] == "clicks"
    assert detail["shards"][0] == {
        "id": "done",
        "state": "done",
        "lag_seconds": None,
        "blocked_seconds": None,
        "buffered": None,
        "in_flight": None,
    }
    assert [tuple(one.values()) for one in detail["shards"][1:]] == [
        ("busy", "reading", 3.0, None, 5, 10),
        ("bad", "blocked", 7.5, 5.0, 5, 0),
        ("child", "waiting_parent", None, None, None, None),
    ]
    expected = {
        "source": "kinesis",
        "shard_strip": "drbw",
        "blocked_seconds": 5.0,
        "lag_seconds": 7.5,
        "trouble": {
            "level": "warn",
            "reason": "1 of 4 shards stands still behind a failing batch, for 5 s: ValueError: no",
        },
        "shards": {"waiting_parent": 1, "leased": 0, "reading": 1, "blocked": 1, "done": 1},
        "iterator_age_seconds": 7.5,
        "behind_latest_seconds": 3.0,
        "oldest_pending_seconds": 2.5,
        "in_flight": 10,
        "in_flight_batches": 1,
        "limit": 4,
        "discarded": 6,
        "dropped": 4,
        "bisections": 3,
    }
    assert {key: shown[key] for key in expected} == expected
    assert not shown.keys() & {"queue_messages", "deleted", "polls_in_flight"}, "a queue has these"


async def test_autoscalers_get_numbers_or_nothing(metrics):
    """A null would be taken for an error or, worse, for no work."""
    stats = metrics.add(
        make_mapping("orders eu/1"), lambda: QueueGauges(2, True, 0, 0, 3, 30, 8, 97.5, 99.0, 0, 0, 0)
    )
    path = "/v1/mappings/orders%20eu%2F1/scale"

    status, body, _ = await ask(metrics, path=path)
    assert status == 503
    assert "orders eu/1 has not heard from its source yet" in body

    stats.queue = QueueFacts(visibility_timeout=30.0, visible=1_234, in_flight=66, delayed=5)
    assert (await ask(metrics, path=path))[:2] == (
        200,
        {
            "name": "orders eu/1",
            "source": "sqs",
            "lag_seconds": 2.5,
            "in_flight": 30,
            "limit": 8,
            "messages": 1_300,
        },
    )


@pytest.mark.parametrize("end", ["", "/shards", "/scale"])
async def test_a_mapping_that_is_not_there_is_a_sentence(metrics, end):
    status, body, headers = await ask(metrics, path=f"/v1/mappings/%3Cb%3E{'x' * 400}{end}")

    assert status == 404
    assert body.startswith('{"message":"There is no mapping named \'<b>xxx')
    assert len(body) < 300
    assert headers["Content-Type"] == "application/json"


async def test_a_queue_has_no_shards(metrics):
    metrics.add(make_mapping(), lambda: NO_GAUGES)
    assert (await ask(metrics, path="/v1/mappings/orders/shards"))[1] == {"name": "orders", "shards": []}


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9465", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""),
        *("[::1]evil.example", "127.0.0.1:80@evil.example", "localhost:evil.example"),
    ],
)
async def test_a_page_that_rebinds_its_name_to_the_loopback_is_refused(metrics, host):
    metrics.add(make_mapping("secret"), lambda: NO_GAUGES)

    status, body, _ = await ask(metrics, Host=host)

    assert status == 403
    assert "secret" not in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9465", "127.1.2.3", "[::1]:9465"])
async def test_the_names_of_the_loopback_are_answered(metrics, host):
    assert (await ask(metrics, Host=host))[0] == 200


async def test_on_another_address_any_host_name_is_answered(metrics):
    assert (await ask(metrics, Address("0.0.0.0", 0), Host="poller.internal"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(metrics, method):
    status, body, headers = await ask(metrics, method=method)

    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert method in body


async def test_other_paths_tell_what_there_is(metrics):
    said = (
        "There is nothing here; this listener has /, /v1/history, /v1/mappings, /v1/mappings/{name},"
        " /v1/mappings/{name}/scale, /v1/mappings/{name}/shards.\n"
    )
    assert (await ask(metrics, path="/v2"))[:2] == (404, said)
