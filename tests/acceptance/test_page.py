"""The status page in a real browser: what is seen, what the keyboard reaches, what is said when something is
wrong.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from poller.control_book import Held
from poller.core.api_answers import Answer, Done, in_use
from poller.core.leases import Lease
from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings
from poller.core.model import MappingState, QueueFacts, SourceKind
from poller.core.records import TRIM_HORIZON, Shard, ShardGauges
from poller.core.stream_gauges import stream_gauges
from poller.http import answers
from poller.http.address import Address
from poller.http.control_app import control_app
from poller.http.keys import Keys
from poller.http.listener import start_listener
from poller.http.page import add_page_routes
from poller.http.status import add_status_routes
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES, MappingStats
from tests.acceptance import daemon as daemons
from tests.acceptance.chromium import Browser, Tab, chromium, find_chromium

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

MARKUP = "<img src=x onerror=alert(1)><b>&amp;</b>"
READ = ShardGauges(5, 500, 1, 10, 3.0, 1.25, None, 98.0, 99.0, polling=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("BROWSER MISSING, the status page was not looked at: install chromium")
    async with chromium(program) as running:
        yield running


@dataclass
class Board:
    """A listener with these mappings, which the test moves."""

    metrics: Metrics = field(default_factory=Metrics)
    turned: list[tuple[str, str]] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    port: int = 0

    def queue(self, name: str, **more: Any) -> MappingStats:
        stats = self.metrics.add(_mapping(name, SourceKind.SQS), lambda: NO_GAUGES)
        stats.state = MappingState.ENABLED
        stats.queue = QueueFacts(visibility_timeout=30.0, visible=1_234, in_flight=0, delayed=0)
        return stats

    def stream(self, name: str, shards: int, blocked: int) -> MappingStats:
        rows = {f"shard-{n:04}": Lease(f"shard-{n:04}", "7", owner="we") for n in range(shards)}
        since = self.metrics.clock.now().mono - 700.0
        standing = replace(READ, blocked_since=since, in_flight_batches=0, in_flight_records=0)
        gauges = {key: standing if number < blocked else READ for number, key in enumerate(rows)}
        known = {key: Shard(key) for key in rows}
        stats = self.metrics.add(
            _mapping(name, SourceKind.KINESIS, StreamSettings(TRIM_HORIZON)),
            lambda: stream_gauges(gauges, known, rows, worker="we", enabled=True, lanes=1, concurrency=10),
        )
        stats.state = MappingState.ENABLED
        return stats

    async def turn(self, what: str, uuid: str) -> Answer:
        stats = next(one for one in self.metrics.mappings() if one.mapping.uuid == uuid)
        self.turned.append((what, stats.name))
        if what == "resume" and len(self.turned) > 2:
            return in_use()
        stats.state = MappingState.DISABLED if what == "pause" else MappingState.ENABLED
        return Done(202, {})

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """On the port of the last time, if there was one."""
        app = web.Application(middlewares=[answers.readable_errors])
        add_status_routes(app, self.metrics, writable=True, held=lambda: self.held)
        add_page_routes(app, self.metrics, self.turn, lambda: self.held)
        running = await start_listener(app, Address("127.0.0.1", self.port), "Settings.ControlApi.Listen")
        self.port = running.address.port
        try:
            yield
        finally:
            await running.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def _mapping(name: str, source: SourceKind, stream: StreamSettings | None = None) -> EventSourceMapping:
    arn = SourceArn(f"arn:aws:{source}:eu-west-1:123456789012:{name}", "aws", "eu-west-1", "123456789012", name)
    function = "python:shop:handler"
    return EventSourceMapping(f"u-{name}", name, source, arn, function, "arn:aws:lambda:::shop", stream=stream)


async def text(tab: Tab, selector: str) -> str:
    return str(await tab.evaluate(f"document.querySelector({selector!r}).innerText"))


async def names(tab: Tab) -> list[str]:
    return list(await tab.evaluate("[...document.querySelectorAll('.name')].map((one) => one.textContent)"))


async def shown(tab: Tab, mappings: int) -> None:
    await tab.until(f"document.querySelectorAll('#board tbody').length === {mappings}")


def nothing_else(tab: Tab, url: str) -> None:
    """It asked nobody else, and the browser found nothing wrong."""
    assert tab.console == []
    assert {one for one in tab.requests if not one.startswith((url, "data:"))} == set()


async def test_markup_in_what_is_told_is_text(browser: Browser) -> None:
    board = Board()
    stats = board.queue(MARKUP)
    stats.last_error, stats.last_error_at = f"ValueError: {MARKUP}", board.metrics.clock.now().wall
    stats.last_problem = MARKUP
    async with board.listening(), browser.tab() as tab:
        await tab.open(board.url)
        await shown(tab, 1)

        assert await names(tab) == [MARKUP]
        assert MARKUP in await text(tab, ".arn")
        assert MARKUP in await text(tab, ".reason")
        assert MARKUP in await text(tab, ".error")
        assert MARKUP in await text(tab, "#trouble")
        assert await tab.evaluate("document.querySelectorAll('img, b b, main script').length") == 0
        nothing_else(tab, board.url)


async def test_what_does_not_run_is_shown_with_its_reason_and_without_a_button(browser: Browser) -> None:
    """API-3: a mapping of the control API that could not begin."""
    board = Board()
    board.queue("orders")
    board.held = {"u-taken": Held(_mapping("taken", SourceKind.SQS), "orders reads the same queue.")}
    async with board.listening(), browser.tab() as tab:
        await tab.open(board.url)
        await shown(tab, 2)

        assert await names(tab) == ["orders", "taken"]
        states = "[...document.querySelectorAll('.pill')].map((one) => one.textContent)"
        assert await tab.evaluate(states) == ["Enabled", "Disabled"]
        assert "taken it does not run: orders reads the same queue." in await text(tab, "#trouble")
        hidden = "[...document.querySelectorAll('.act button')].map((one) => one.hidden)"
        assert await tab.evaluate(hidden) == [False, True]
        nothing_else(tab, board.url)


async def test_the_keyboard_reaches_pause_and_what_happened_is_said(browser: Browser) -> None:
    board = Board()
    board.queue("orders")
    async with board.listening(), browser.tab() as tab:
        await tab.open(board.url)
        await shown(tab, 1)
        for wanted, key, said in (
            ("Pause", "Enter", "orders is paused: nothing new is read, and what is running ends first."),
            ("Resume", " ", "orders is resumed: it reads again."),
        ):
            for _ in range(10):
                if await tab.evaluate("document.activeElement.innerText") == wanted:
                    break
                await tab.press("Tab")
            assert await tab.evaluate("document.activeElement.getAttribute('aria-label')") == f"{wanted} orders"
            assert await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            await tab.press(key)
            await tab.until("document.getElementById('say').textContent", lambda told, said=said: told == said)
            await tab.until("document.activeElement.innerText", lambda told, was=wanted: told not in {"", was})
            await tab.until("document.activeElement.getAttribute('aria-disabled') === 'false'")

        await tab.press("Enter")
        await tab.until("document.activeElement.innerText === 'Resume'")
        await tab.press("Enter")
        told = await tab.until("document.getElementById('say').textContent", lambda said: "was not" in str(said))

        assert told == ("orders was not resumed: Cannot update the event source mapping because it is in use.")
        assert board.turned == [(what, "orders") for what in ("pause", "resume", "pause", "resume")]
        assert [one for one in tab.console if "400 (Bad Request)" not in one] == []


async def test_shards_are_told_one_by_one_by_keyboard(browser: Browser) -> None:
    board = Board()
    board.stream("clicks", 20, 1)
    board.stream("telemetry", 1_000, 3)
    async with board.listening(), browser.tab() as tab:
        await tab.open(board.url)
        await shown(tab, 2)
        clicks, telemetry = (f"[...document.querySelectorAll('tbody')][{n}]" for n in (0, 1))

        assert "1 standing still, 19 reading of 20 shards" in await tab.evaluate(f"{clicks}.innerText")
        assert "3 standing still, 997 reading of 1,000 shards" in await tab.evaluate(f"{telemetry}.innerText")
        assert await tab.evaluate(f"{telemetry}.querySelectorAll('.strip i').length") == 0, (
            "not before it is asked"
        )
        # told apart without colour, too
        background = "getComputedStyle(document.querySelector('.strip .{}')).backgroundImage"
        assert await tab.evaluate(background.format("b")) != await tab.evaluate(background.format("r"))

        await tab.evaluate(f"{clicks}.querySelector('.strip').focus()")
        told = f"{clicks}.querySelector('.told, .shards > span:last-child').textContent"
        found = await tab.until(told)
        assert found.startswith("shard-0000 · standing still behind a failing batch for 12 min · 3 s behind")
        await tab.press("End")
        found = await tab.until(told, lambda said: "shard-0019" in str(said))
        assert found == "shard-0019 · reading · 3 s behind · 10 records in flight · 5 buffered"
        await tab.press("ArrowLeft")
        await tab.until(told, lambda said: "shard-0018" in str(said))

        await tab.evaluate(f"{telemetry}.querySelector('button.plain').click()")
        await tab.until(f"{telemetry}.querySelectorAll('.strip i').length === 1000")
        for width in (360, 1280):
            await tab.resize(width, 800)
            assert await tab.evaluate("document.documentElement.scrollWidth") <= width
        nothing_else(tab, board.url)


HIDE = """(() => {
    if (asking) return null;
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    let timers = 0;
    const real = window.setTimeout;
    window.setTimeout = (...given) => { timers += 1; return real(...given); };
    poll();  // as its timer does next
    window.setTimeout = real;
    return [asking, timers];
})()"""
SHOW = """(() => {
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
    return asking;
})()"""


async def test_while_nobody_can_see_it_nothing_is_asked_and_then_at_once(browser: Browser) -> None:
    """A page in each of a hundred forgotten tabs would ask a hundred times a second."""
    board = Board()
    board.queue("orders")
    async with board.listening(), browser.tab() as tab:
        await tab.open(board.url)
        await shown(tab, 1)

        assert await tab.until(HIDE) == [False, 0], "it asks, or will"
        board.queue("payments")
        assert await tab.evaluate(SHOW) is True
        await shown(tab, 2)
        await tab.until("!asking && timer")  # and it goes on


async def test_a_screen_reader_has_a_name_for_everything_and_is_not_talked_to_all_the_time(
    browser: Browser,
) -> None:
    """What can be used says of which mapping it is; signs have words; of numbers that change nothing is said."""
    board = Board()
    orders = board.queue("orders")
    orders.last_problem = "access_denied: no"
    board.stream("clicks", 20, 1)
    board.stream("telemetry", 1_000, 3)
    async with board.listening(), browser.tab() as tab:
        await tab.open(board.url)
        await shown(tab, 3)

        labels = "[...document.querySelectorAll('{}')].map((one) => one.getAttribute('aria-label'))"
        assert await tab.evaluate(labels.format(".act button")) == [
            "Pause orders",
            "Pause clicks",
            "Pause telemetry",
        ]
        assert await tab.evaluate(labels.format(".shards:not([hidden]) .strip:not([hidden])")) == [
            "Shards of clicks"
        ]
        each = ".shards:not([hidden]) button.plain:not([hidden])"
        assert await tab.evaluate(labels.format(each)) == ["Show each shard of telemetry"]
        await tab.evaluate(f"document.querySelector('{each}').click()")
        assert await tab.evaluate(labels.format(each)) == ["Hide them, the shards of telemetry"]
        assert await tab.evaluate(labels.format("#trouble .sign")) == ["Does not go on:"] * 3
        live = "document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]')"
        assert await tab.evaluate(f"[...{live}].map((one) => one.id)") == ["say"]

        orders.retried_events = 7
        await tab.until("document.querySelector('tbody').innerText.includes('7')")
        assert await text(tab, "#say") == ""
        orders.last_problem = None
        await tab.until(
            "document.getElementById('say').textContent === '2 mappings in trouble: clicks, telemetry'"
        )


async def test_a_daemon_that_goes_away_is_told_and_what_was_known_stays(browser: Browser) -> None:
    board = Board()
    board.queue("orders")
    async with browser.tab() as tab:
        async with board.listening():
            await tab.open(board.url)
            await shown(tab, 1)

        await tab.until("!document.getElementById('gone').hidden")
        assert "What is below is as it was" in await text(tab, "#gone")
        assert await tab.evaluate("document.title") == "✕ no answer · poller"
        assert await names(tab) == ["orders"]

        board.queue("payments")
        async with board.listening():
            await shown(tab, 2)
        assert await tab.evaluate("document.getElementById('gone').hidden")
        assert await tab.evaluate("document.title") == "poller"


async def test_none_and_three_hundred_mappings(browser: Browser) -> None:
    """Names of 140 characters, in a phone's width as well."""
    board = Board()
    async with board.listening(), browser.tab() as tab:
        await tab.open(board.url, 360, dark=True)
        await tab.until("!document.getElementById('empty').hidden")
        assert "There are no mappings yet" in await text(tab, "#empty")

        for number in range(299):
            board.queue(f"{number:03}{'n' * 137}")
        board.queue("last").last_problem = "access_denied: no"
        await shown(tab, 300)

        for width in (1920, 360):
            await tab.resize(width, 800)
            assert await tab.evaluate("document.documentElement.scrollWidth") <= width
        assert "last its source cannot be read: access_denied: no" in await text(tab, "#trouble")
        assert await tab.evaluate("document.title") == "✕ 1 in trouble · poller"
        await tab.evaluate("document.querySelector('#trouble a').click()")
        assert await tab.evaluate("document.activeElement.querySelector('.name').textContent") == "last"
        await tab.evaluate("document.getElementById('only').click()")
        assert await text(tab, "#shown") == "1 of 300 shown"
        nothing_else(tab, board.url)


async def test_where_a_token_is_wanted_the_page_asks_for_it(browser: Browser) -> None:
    token = "correct-horse-battery"
    board = Board()
    board.queue("orders")
    app = control_app(board.metrics, None, Keys(token))
    running = await start_listener(app, Address("127.0.0.1", 0), "Settings.ControlApi.Listen")
    try:
        async with browser.tab() as tab:
            await tab.open(f"http://{running.address}/")
            for typed in ("wrong", token):
                await tab.until("document.activeElement.id === 'token'")
                await tab.call("Input.insertText", text=typed)
                await tab.press("Enter")
                if typed == "wrong":
                    await tab.until("document.getElementById('refused').textContent")
                    assert await text(tab, "#say") == "That was not the token."
                    assert (
                        await tab.evaluate("document.activeElement.getAttribute('aria-describedby')") == "refused"
                    )
            await shown(tab, 1)

            assert await tab.evaluate("document.getElementById('login').hidden")
            assert await tab.evaluate("document.querySelector('.act button').hidden"), (
                "nothing may be changed here"
            )
            assert all("401 (Unauthorized)" in one for one in tab.console)
    finally:
        await running.close()


async def test_a_mapping_of_a_real_daemon_is_paused_and_resumed(
    browser: Browser, embedded_aws: str, sqs_client: Callable[..., Any], tmp_path: Path
) -> None:
    """API-8, API-9: what is sent meanwhile waits."""
    client = sqs_client(embedded_aws)
    queue = daemons.make_queue(client, daemons.own("page"))
    out = tmp_path / "out"
    mapping = {"Name": "orders", "EventSourceArn": queue["arn"], "FunctionName": "python:handlers:handler"}
    handlers = f"def handler(event, context):\n    open({str(out)!r}, 'a').write('called ')\n"
    daemons.write(tmp_path, mapping, handlers=handlers, ControlApi={"Listen": "127.0.0.1:0"})
    with daemons.running(tmp_path, daemons.environment(embedded_aws)) as running:
        await asyncio.to_thread(running.ready)
        found = re.search(r"http://127\.0\.0\.1:\d+/(?!\w)", running.output())
        assert found is not None
        async with browser.tab() as tab:
            await tab.open(found.group())
            await tab.until("document.querySelector('.pill')?.textContent === 'Enabled'")
            await tab.evaluate("document.querySelector('.act button').click()")
            await tab.until("document.querySelector('.pill').textContent === 'Disabled'")
            assert await text(tab, "#worst") == "No mapping is in trouble."
            daemons.send(client, queue["url"], ["one"])
            await tab.until("document.querySelector('.act button').getAttribute('aria-disabled') === 'false'")
            assert not out.exists()
            await tab.evaluate("document.querySelector('.act button').click()")
            await tab.until("document.querySelector('.pill').textContent === 'Enabled'")
            await asyncio.to_thread(daemons.wait_for, out.exists, "the handler")
            nothing_else(tab, found.group())
