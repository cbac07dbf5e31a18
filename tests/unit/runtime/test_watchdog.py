"""A blocked event loop is noticed, and its mapping named, while it is still blocked."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable

import pytest

from poller.clock import SystemClock
from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import Batch, BatchTrigger, SourceKind
from poller.handlers.python import PythonHandler
from poller.runtime import watchdog as module
from poller.runtime.dispatcher import Dispatcher
from poller.runtime.sidethread import SideThread
from poller.runtime.watchdog import Watchdog

ARN = SourceArn("arn:aws:sqs:eu-west-1:1:orders", "aws", "eu-west-1", "1", "orders")
MAPPING = EventSourceMapping("u", "orders", SourceKind.SQS, ARN, "python:a:b", "arn:fn")
PATIENCE = 60.0


class Seen(logging.Handler):
    """What the watchdog told, readable while the main loop is blocked."""

    def __init__(self) -> None:
        super().__init__()
        self.lags: list[float] = []
        self.blocked: list[tuple[str | None, float]] = []
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def actions(self) -> list[str]:
        return [record.action for record in self.records]


@pytest.fixture
async def seen():
    side, seen = SideThread(), Seen()
    logging.getLogger("poller").addHandler(seen)
    side.start()
    watchdog = Watchdog(
        asyncio.get_running_loop(),
        seen.lags.append,
        lambda mapping, seconds: seen.blocked.append((mapping, seconds)),
    )
    side.spawn(watchdog.run())
    yield seen
    await side.close()
    logging.getLogger("poller").removeHandler(seen)


def block_until(condition: Callable[[], bool]) -> None:
    """The misbehaviour: holds the event loop until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another thread sets no event of ours
            await asyncio.sleep(0.01)


async def invoke(function) -> None:
    handler = PythonHandler(function, MAPPING)
    await handler.start()
    done = asyncio.Event()
    batch = Batch(1, (), BatchTrigger.SIZE, 0.0, 0, 0.0)
    Dispatcher(handler, MAPPING, SystemClock(), lambda batch: {}).start(batch, lambda result, seconds: done.set())
    await done.wait()


async def test_the_mapping_is_named_and_counted_while_it_blocks(seen: Seen):
    during: list[tuple[str | None, float]] = []

    async def handler(event, context):
        block_until(lambda: len(seen.blocked) >= 3 and bool(seen.records))
        during.extend(seen.blocked)
        assert seen.actions() == ["event_loop_blocked"]

    begun = time.monotonic()
    await invoke(handler)
    took = time.monotonic() - begun
    first = seen.records[0]
    assert (first.levelno, first.mapping) == (logging.WARNING, "orders")
    assert module.BLOCKED_AFTER <= first.seconds < PATIENCE
    assert "test_watchdog.py:" in first.at
    assert first.at in first.getMessage()
    assert {mapping for mapping, _ in during} == {"orders"}
    assert sum(seconds for _, seconds in during) >= module.BLOCKED_AFTER
    await until(lambda: len(seen.records) == 2)
    assert seen.actions() == ["event_loop_blocked", "event_loop_unblocked"]
    assert seen.records[1].mapping == "orders"
    counted = sum(seconds for _, seconds in seen.blocked)
    assert module.BLOCKED_AFTER <= counted <= took + module.EVERY
    await until(lambda: max(seen.lags, default=0) >= module.BLOCKED_AFTER)


async def test_a_task_that_the_handler_started_is_traced_to_its_mapping(seen: Seen):
    async def child():
        block_until(lambda: bool(seen.records))

    async def handler(event, context):
        await asyncio.create_task(child())

    await invoke(handler)
    # Python tells a task's context from 3.12 on; before, at least the place is known
    assert seen.records[0].mapping == ("orders" if sys.version_info >= (3, 12) else None)
    assert "test_watchdog.py:" in seen.records[0].at


async def test_a_blocking_callback_of_nobodys_has_a_place_at_least(seen: Seen):
    asyncio.get_running_loop().call_soon(block_until, lambda: bool(seen.records))
    await until(lambda: bool(seen.records))
    assert seen.records[0].mapping is None
    assert "test_watchdog.py:" in seen.records[0].at
    assert seen.blocked[0][0] is None


async def test_a_long_standstill_is_told_again(seen: Seen, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "TELL_EVERY", 0.2)

    async def handler(event, context):
        block_until(lambda: len(seen.records) >= 3)

    await invoke(handler)
    assert seen.actions()[:3] == ["event_loop_blocked"] * 3
    assert seen.records[0].seconds < seen.records[1].seconds < seen.records[2].seconds


async def test_a_loop_that_runs_is_measured_and_not_accused(seen: Seen):
    release = threading.Event()

    def waits_in_a_thread(event, context):
        release.wait(PATIENCE)

    call = asyncio.create_task(invoke(waits_in_a_thread))
    await until(lambda: len(seen.lags) >= 5)
    release.set()
    await call
    assert all(lag >= 0 for lag in seen.lags)
    assert "orders" not in [mapping for mapping, _ in seen.blocked]


def test_it_ends_with_the_loop_that_it_watches():
    loop = asyncio.new_event_loop()
    watchdog = Watchdog(loop, lambda lag: None, lambda mapping, seconds: None)
    loop.close()
    asyncio.run(asyncio.wait_for(watchdog.run(), PATIENCE))
