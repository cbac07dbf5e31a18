"""The heartbeat beside the main loop: it goes on while that stands still."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from threading import get_ident

import pytest

from poller.clock import SystemClock
from poller.core.model import Instant, Message, SourceProblem
from poller.errors import SourceError
from poller.ports import Failure
from poller.runtime import heartbeat as module
from poller.runtime.heartbeat import Heartbeat
from poller.runtime.sidethread import SideThread

PATIENCE = 60.0


class Queue:
    """Takes note of what is extended; the rest of a QueueSource is not asked of it."""

    def __init__(self) -> None:
        self.extended: list[tuple[str, int]] = []
        self.threads: set[int] = set()
        self.opened = self.closed = 0
        self.refuse: Callable[[Sequence[str]], Sequence[Failure]] = lambda receipts: ()

    async def change_visibility(self, receipts: Sequence[str], seconds: Sequence[int]) -> Sequence[Failure]:
        self.threads.add(get_ident())
        await asyncio.sleep(0)
        failures = self.refuse(receipts)
        refused = {failure.index for failure in failures}
        self.extended += [
            pair for index, pair in enumerate(zip(receipts, seconds, strict=True)) if index not in refused
        ]
        return failures

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Queue"]:
        self.opened += 1
        try:
            yield self
        finally:
            self.closed += 1


class Told:
    """What reached the main loop."""

    def __init__(self) -> None:
        self.leases: dict[str, float] = {}
        self.failures: list[tuple[int, str]] = []
        self.threads: set[int] = set()

    def extended(self, ids: tuple[str, ...], lease_until: float) -> None:
        self.threads.add(get_ident())
        self.leases.update(dict.fromkeys(ids, lease_until))

    def failed(self, count: int, detail: str, now: Instant) -> None:
        self.threads.add(get_ident())
        self.failures.append((count, detail))


@pytest.fixture
async def side():
    thread = SideThread()
    thread.start()
    yield thread
    await thread.close()


def message(name: str, lease: float = 2.0) -> Message:
    now = SystemClock().now().mono
    return Message(name, f"receipt-{name}", None, 1, 0.0, 1, now + lease, {}, now)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another thread sets no event of ours
            await asyncio.sleep(0.01)


async def test_extends_in_the_side_thread_and_reports_in_the_main_loop(side: SideThread):
    queue, told = Queue(), Told()
    heartbeat = Heartbeat("orders", side, queue.open, SystemClock())
    heartbeat.start(told.extended, told.failed)
    held = message("a")
    heartbeat.hold((held,), 2)
    await until(lambda: "a" in told.leases)
    assert queue.extended[0] == ("receipt-a", 2)
    assert told.leases["a"] > held.lease_until
    assert told.threads == {get_ident()}
    assert get_ident() not in queue.threads
    await heartbeat.close()
    assert (queue.opened, queue.closed) == (1, 1)
    await heartbeat.close()


async def test_what_was_let_go_is_not_extended(side: SideThread):
    queue, told = Queue(), Told()
    heartbeat = Heartbeat("orders", side, queue.open, SystemClock())
    heartbeat.hold((message("early"),), 2)  # before it has begun: remembered
    heartbeat.start(told.extended, told.failed)
    heartbeat.hold((message("a"), message("b")), 2)
    heartbeat.let_go(("a", "early"))
    await until(lambda: len(queue.extended) >= 2)
    assert {receipt for receipt, _ in queue.extended} == {"receipt-b"}
    for later in ("c", "d"):  # and it still listens
        heartbeat.hold((message(later),), 2)
        await until(lambda later=later: later in told.leases)
    await heartbeat.close()


async def test_extends_while_the_main_loop_is_blocked(side: SideThread):
    """What must hold: receipts with a heartbeat are extended meanwhile."""
    queue, told = Queue(), Told()
    heartbeat = Heartbeat("orders", side, queue.open, SystemClock())
    heartbeat.start(told.extended, told.failed)
    heartbeat.hold(tuple(message(f"m{number}") for number in range(25)), 2)
    ends = time.monotonic() + PATIENCE
    while len(queue.extended) < 25:  # the handler that blocks the loop: busy, and waiting, in turns
        sum(range(50_000))
        time.sleep(0.01)  # noqa: ASYNC251 - no other task of this loop may run
        assert time.monotonic() < ends
    assert {receipt for receipt, _ in queue.extended} == {f"receipt-m{number}" for number in range(25)}
    assert told.leases == {}  # nobody could be told so far
    await until(lambda: len(told.leases) == 25)
    await heartbeat.close()


async def test_a_refused_entry_is_told_and_tried_again(side: SideThread):
    queue, told = Queue(), Told()
    answers = [[Failure(0, "InternalError", "receipt-a failed")]]
    queue.refuse = lambda receipts: answers.pop() if answers else ()
    heartbeat = Heartbeat("orders", side, queue.open, SystemClock())
    heartbeat.start(told.extended, told.failed)
    heartbeat.hold((message("a"), message("b")), 2)
    await until(lambda: {"a", "b"} <= told.leases.keys())
    count, detail = told.failures[0]
    assert count == 1
    assert "InternalError" in detail
    assert "receipt" not in detail  # receipt handles are not logged
    await heartbeat.close()


@pytest.mark.parametrize(
    "error", [SourceError(SourceProblem.UNREACHABLE, "SQS is away"), ZeroDivisionError("bug")]
)
async def test_a_call_that_fails_is_told_and_tried_again(side: SideThread, error: Exception):
    queue, told = Queue(), Told()
    errors = [error]

    def refuse(receipts: Sequence[str]) -> Sequence[Failure]:
        if errors:
            raise errors.pop()
        return ()

    queue.refuse = refuse
    heartbeat = Heartbeat("orders", side, queue.open, SystemClock())
    heartbeat.start(told.extended, told.failed)
    heartbeat.hold((message("a"),), 2)
    await until(lambda: "a" in told.leases)
    assert str(error) in told.failures[0][1]
    await heartbeat.close()


async def test_without_a_connection_it_goes_on_trying(
    side: SideThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "OPEN_AGAIN", 0.01)
    queue, told = Queue(), Told()
    failures = [OSError("no network"), OSError("no network")]

    @asynccontextmanager
    async def open_queue() -> AsyncIterator[Queue]:
        if failures:
            raise failures.pop()
        yield queue

    heartbeat = Heartbeat("orders", side, open_queue, SystemClock())
    heartbeat.start(told.extended, told.failed)
    heartbeat.hold((message("a"),), 2)
    await until(lambda: "a" in told.leases)
    assert [record.action for record in caplog.records] == ["heartbeat_failed"]
    assert "no network" in caplog.text
    await heartbeat.close()


async def test_a_busy_mapping_does_not_wake_the_side_thread_for_each_batch(side: SideThread):
    queue, told = Queue(), Told()
    heartbeat = Heartbeat("orders", side, queue.open, SystemClock())
    heartbeat.start(told.extended, told.failed)
    await until(lambda: heartbeat._loop is not None)
    wakes = 0
    wake = heartbeat._wake

    def counted() -> None:
        nonlocal wakes
        wakes += 1
        wake()

    heartbeat._wake = counted
    begun = time.monotonic()
    for number in range(2000):
        heartbeat.hold((message(f"m{number}", lease=20.0),), 20)
        heartbeat.let_go((f"m{number}",))
    took = time.monotonic() - begun
    await until(lambda: wakes > 0 and not heartbeat._inbox)
    assert wakes <= 2 + took / module.GATHER
    await until(lambda: len(heartbeat._machine) == 0)
    await heartbeat.close()
