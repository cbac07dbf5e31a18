"""/metrics, /livez, /readyz, /startupz over a real socket, and from a thread beside a blocked loop."""

import asyncio
import threading
import urllib.request
from concurrent.futures import Future
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings
from poller.core.model import Instant, MappingState, SourceKind
from poller.core.records import TRIM_HORIZON, ShardGauges
from poller.core.stream_gauges import stream_gauges
from poller.http import answers
from poller.http.address import Address
from poller.http.health import health_app
from poller.http.listener import start_listener
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES

SETTING = "Settings.Metrics.Listen"
LOCAL = Address("127.0.0.1", 0)


class MovedClock:
    def __init__(self) -> None:
        self.mono = 1_000.0

    def now(self) -> Instant:
        return Instant(self.mono + 1e9, self.mono)


def make_mapping(name):
    arn = SourceArn(f"arn:aws:sqs:eu-west-1:123456789012:{name}", "aws", "eu-west-1", "123456789012", name)
    return EventSourceMapping(
        f"u-{name}", name, SourceKind.SQS, arn, "python:shop:handler", "arn:aws:lambda:::shop"
    )


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def metrics(clock):
    return Metrics(clock=clock)


def add(metrics, name="orders", state=MappingState.ENABLED, polling=True):
    gauges = type(NO_GAUGES)(1, polling, 0, 0, 0, 0, 5, None, None, 0, 0, 0)
    stats = metrics.add(make_mapping(name), lambda: gauges)
    stats.state = state
    return stats


@pytest.fixture
async def ask(metrics):
    running = await start_listener(health_app(metrics), LOCAL, SETTING)
    async with aiohttp.ClientSession(f"http://{running.address}") as session:

        async def request(path, method="GET", **more):
            async with session.request(method, path, **more) as answer:
                return answer.status, await answer.text(), answer.headers

        yield request
    await running.close()


async def test_metrics_are_text_by_default(metrics, ask):
    add(metrics)

    status, body, headers = await ask("/metrics")

    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'esm_polled_events_total{mapping="orders",source="sqs"} 0.0' in body


async def test_openmetrics_is_given_to_those_who_ask(metrics, ask):
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

    status, body, headers = await ask("/metrics", headers={"Accept": accept})

    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
@pytest.mark.parametrize("scheme", ["allow-utf-8", "underscores", "dots", "values", "none"])
async def test_names_are_as_they_are_whatever_shall_be_done_about_odd_ones(metrics, ask, kind, scheme):
    """metric_name_escaping_scheme of a Prometheus 3: rules and dashboards know the names that need none of it."""
    add(metrics)

    _, body, headers = await ask("/metrics", headers={"Accept": f"{kind};version=1.0.0;escaping={scheme}"})

    assert headers["Content-Type"].startswith(f"{kind}; version=1.0.0")
    parsed = parse_text(body) if kind == "text/plain" else parse_openmetrics(body)
    samples = {sample.name for family in parsed for sample in family.samples}
    assert {"esm_polled_events_total", "esm_batch_events_bucket", "esm_buffered_events"} < samples


@pytest.mark.parametrize("version", ["x", "1.x", "", "\x80", "9" * 300])
async def test_a_version_that_is_none_is_answered_with_the_text_that_everybody_reads(metrics, ask, version):
    status, body, _ = await ask(
        "/metrics",
        headers={"Accept": f"application/openmetrics-text;version={version},text/plain;version={version}"},
    )

    assert status == 200
    assert "esm_" in body


async def test_single_names_can_be_asked_for(metrics, ask):
    add(metrics)

    _, body, _ = await ask("/metrics?name[]=esm_polled_events_total")

    names = {line.partition("{")[0] for line in body.splitlines() if not line.startswith("#")}
    assert names == {"esm_polled_events_total"}


async def test_livez_names_each_stuck_mapping_on_a_line_and_recovers(metrics, clock, ask):
    orders, idle = add(metrics, "orders"), add(metrics, "busy", polling=False)
    add(metrics, "paused", state=MappingState.DISABLED)
    orders.last_problem = "unreachable: connection refused"
    assert (await ask("/livez"))[:2] == (200, "ok\n")

    clock.mono += 50
    status, body, _ = await ask("/livez")
    assert (status, body) == (
        503,
        "orders: no successful ReceiveMessage for 50 s: unreachable: connection refused\n",
    )
    idle.crashed = "KeyError: 7"
    assert (await ask("/livez"))[1].splitlines()[1] == "busy: its driver ended: KeyError: 7"

    orders.waiting_since, idle.crashed = clock.mono, None
    assert (await ask("/livez"))[0] == 200


async def test_livez_tells_of_an_invocation_over_its_time(metrics, clock, ask):
    gauges = type(NO_GAUGES)(0, False, 0, 0, 1, 10, 5, None, clock.mono, 0, 0, 0)
    metrics.add(make_mapping("orders"), lambda: gauges).state = MappingState.ENABLED

    clock.mono += 61

    status, body, _ = await ask("/livez")
    assert (status, body) == (503, "orders: an invocation has been running for 61 s, its timeout is 30 s\n")


IDLE = ShardGauges(0, 0, 0, 0, 0.0, 0.0, None, None, None, polling=True)


def add_stream(metrics, shards):
    text = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
    arn = SourceArn(text, "aws", "eu-west-1", "123456789012", "clicks")
    mapping = EventSourceMapping(
        *("u-clicks", "clicks", SourceKind.KINESIS, arn, "python:shop:handler", "arn:aws:lambda:::shop"),
        stream=StreamSettings(TRIM_HORIZON),
    )

    def read():
        return stream_gauges(shards, {}, {}, worker="we", enabled=True, lanes=1, concurrency=1_000)

    stats = metrics.add(mapping, read)
    stats.state = MappingState.ENABLED
    return stats


async def test_livez_names_a_stream_of_which_no_shard_is_read(metrics, clock, ask):
    """API-16: a source that is denied must not look alive for ever."""
    clicks = add_stream(metrics, {"shard-1": IDLE, "shard-2": IDLE})
    clicks.last_problem = "denied: no kinesis:GetRecords"
    assert (await ask("/livez"))[0] == 200

    clock.mono += 50
    assert (await ask("/livez"))[:2] == (
        503,
        "clicks: no successful GetRecords for 50 s: denied: no kinesis:GetRecords\n",
    )
    clicks.waiting_since = clock.mono
    assert (await ask("/livez"))[0] == 200


async def test_livez_names_the_shard_whose_invocation_hangs(metrics, clock, ask):
    fresh, hanging = clock.mono + 50, clock.mono
    shards = {
        f"shard-{n}": replace(IDLE, polling=False, invoking_since=at) for n, at in enumerate([fresh, hanging])
    }
    add_stream(metrics, {**shards, "shard-2": replace(IDLE, polling=False)})

    clock.mono += 61

    assert (await ask("/livez"))[1] == (
        "clicks: an invocation has been running for 61 s (shard shard-1), its timeout is 30 s\n"
    )


async def test_livez_names_the_shard_that_was_not_heard_of_while_others_are_read(metrics, clock, ask):
    full = replace(IDLE, polling=False)
    clicks = add_stream(metrics, {"shard-1": IDLE, "shard-2": IDLE, "full": full, "new": IDLE})
    clicks.stream.heard_at = {"shard-1": clock.mono + 301, "shard-2": clock.mono, "full": clock.mono - 3_600}

    clock.mono += 301
    clicks.waiting_since = clock.mono

    assert (await ask("/livez"))[1] == "clicks: shard shard-2 should be read and was not heard of for 301 s\n"


async def test_livez_names_a_stream_whose_rows_cannot_be_had(metrics, clock, ask):
    """Nothing is read then, so no read can fail."""
    clicks = add_stream(metrics, {})
    clicks.last_problem = "The disk is full."
    clock.mono += 50
    assert (await ask("/livez"))[0] == 200, "with nothing to read it is no trouble"

    clicks.stream.chore_failed_at = clock.mono - 1
    assert (await ask("/livez"))[1] == "clicks: no successful GetRecords for 50 s: The disk is full.\n"
    clock.mono += 60
    assert (await ask("/livez"))[0] == 200, "it is not tried any more"


async def test_readyz_waits_for_every_mapping_that_shall_run(metrics, ask):
    assert (await ask("/readyz"))[:2] == (503, "poller is starting\n"), "no mapping is there yet"
    metrics.process.started = True
    orders = add(metrics, "orders", state=MappingState.CREATING)
    add(metrics, "off", state=MappingState.DISABLED)
    orders.last_problem = "denied: no sqs:GetQueueAttributes"

    assert (await ask("/readyz"))[:2] == (503, "orders: Creating: denied: no sqs:GetQueueAttributes\n")

    orders.state = MappingState.ENABLED
    assert (await ask("/readyz"))[:2] == (200, "ok\n")
    orders.crashed = "KeyError: 7"
    assert (await ask("/readyz"))[:2] == (503, "orders: its driver ended: KeyError: 7\n")


async def test_startupz_waits_for_the_daemon_and_for_mappings_being_created(metrics, ask):
    assert (await ask("/startupz"))[:2] == (503, "poller is starting\n")

    metrics.process.started = True
    orders = add(metrics, "orders", state=MappingState.CREATING)
    assert (await ask("/startupz"))[:2] == (503, "orders: Creating\n")

    orders.state = MappingState.ENABLED
    assert (await ask("/startupz"))[:2] == (200, "ok\n")


async def test_wrong_methods_and_paths_are_answered_in_a_line(ask):
    status, body, headers = await ask("/livez", method="POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert body == "POST is not allowed here; use GET, HEAD.\n"

    status, body, _ = await ask("/nothing")
    assert status == 404
    assert "/livez, /metrics, /readyz, /startupz" in body


async def test_a_bug_of_ours_is_told_without_a_traceback(caplog):
    async def broken(_request):
        raise ZeroDivisionError("secret detail")

    app = web.Application(middlewares=[answers.readable_errors])
    app.router.add_get("/", broken)
    running = await start_listener(app, LOCAL, SETTING)
    async with aiohttp.ClientSession() as session, session.get(f"http://{running.address}/") as answer:
        body = await answer.text()
    await running.close()

    assert answer.status == 500
    assert body == "poller failed to answer (ZeroDivisionError): a bug of ours, see its log.\n"
    assert [record.action for record in caplog.records] == ["request_failed"]


def test_it_answers_in_a_thread_beside_the_one_that_works(metrics):
    """The event loop of the handlers may be blocked: health and metrics live in another thread's loop."""
    add(metrics)
    address: Future[Address] = Future()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve():
        running = await start_listener(health_app(metrics), LOCAL, SETTING)
        address.set_result(running.address)
        await done.wait()
        await running.close()

    def run():
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        # this thread has no event loop to lend a hand
        for path in ("livez", "metrics"):
            with urllib.request.urlopen(f"http://{address.result(60)}/{path}", timeout=60) as answer:
                assert answer.status == 200
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()


async def test_closing_does_not_wait_for_a_client_that_keeps_its_connection(metrics):
    running = await start_listener(health_app(metrics), LOCAL, SETTING)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{running.address}/livez") as answer:
            await answer.read()
        async with asyncio.timeout(60):
            await running.close()
