"""The machine's orders are carried out, and whatever breaks ends the run with its own exception, nothing else."""

import asyncio
from random import Random
from typing import Any

import pytest

from poller.clock import SystemClock
from poller.core.budget import ByteBudget
from poller.core.messages import Described, Request, Requested
from poller.core.model import FunctionError, QueueFacts
from poller.core.queue_consumer import QueueConsumer
from poller.metrics import Metrics
from poller.runtime.driver import Driver
from poller.telemetry import Telemetry
from poller.testing import FakeQueue, ManualClock
from tests.unit.runtime.rig import DEADLINE, OK, Beats, Hands, mapping_of, turns, until


class Drive:
    """One run of a driver on a FakeQueue. The queue's clock stands still, ours does not."""

    def __init__(self, *, result: Any = None, beats: Beats | None = None, visibility: int = 30, **fields: Any):
        self.clock = ManualClock()
        self.queue = FakeQueue("orders", clock=self.clock, attributes={"VisibilityTimeout": str(visibility)})
        mapping = mapping_of(heartbeat=beats is not None, **fields)
        self.budget = ByteBudget()
        self.machine = QueueConsumer(mapping, Random(1), self.budget)
        self.hands = Hands(result)
        self.stats = Metrics().add(mapping, self.machine.gauges)
        telemetry = Telemetry(self.stats)
        self.driver = Driver(self.machine, self.queue, self.hands, SystemClock(), telemetry, beats)
        facts = Described(QueueFacts(float(visibility), 0, 0, 0))
        self.task = asyncio.create_task(self.driver.run(facts))

    def ask(self, request: Request) -> None:
        self.driver.feed(Requested(request))

    async def polling(self) -> "Drive":
        await until(lambda: self.queue.service.waiting, "a long poll")
        return self

    async def result(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.task

    async def broke(self, kind: type[BaseException]) -> BaseException:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(kind) as caught:
                await self.task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.queue.service.waiting == 0
        assert self.budget.used == 0
        return caught.value


def in_flight(queue: FakeQueue) -> int:
    return len(queue.bodies()) - visible(queue)


def visible(queue: FakeQueue) -> int:
    told = queue._now("GetQueueAttributes", {"QueueUrl": queue.url, "AttributeNames": ["All"]})["Attributes"]
    return int(told["ApproximateNumberOfMessages"])


async def test_gen_5_a_message_is_deleted_after_it_succeeded_and_not_before():
    """GEN-5: received, handed over, and deleted only when the handler was done."""
    drive = await Drive().polling()
    drive.queue.send("one")
    await until(lambda: drive.hands.running, "the invocation")
    assert drive.queue.service.calls["DeleteMessageBatch"] == 0
    assert drive.queue.bodies() == ["one"]
    drive.hands.end()
    await until(lambda: not drive.queue.bodies(), "the delete")
    drive.ask(Request.STOP)
    await drive.polling()
    drive.clock.advance(20)
    assert await drive.result() == 0
    assert drive.stats.deleted_events == 1
    assert drive.budget.used == 0


async def test_a_failed_message_is_left_alone():
    """SQS-21, INV-9: no delete, no change of its visibility."""
    drive = await Drive(result=FunctionError("E", "planted")).polling()
    drive.queue.send("one")
    await until(lambda: drive.stats.failed_invoke_events, "the failure")
    await turns()
    assert drive.queue.service.calls["DeleteMessageBatch"] == 0
    assert drive.queue.service.calls["ChangeMessageVisibilityBatch"] == 0
    assert in_flight(drive.queue) == 1
    drive.task.cancel()
    await drive.broke(asyncio.CancelledError)


async def test_what_a_poll_brings_while_we_stop_is_given_back():
    """API-8, GEN-2: the receive in flight is not cancelled, and its message is visible to others at once."""
    drive = await Drive(result=OK).polling()
    drive.ask(Request.STOP)
    await turns()
    assert drive.queue.service.waiting == 1
    drive.queue.send("late")
    assert await drive.result() == 0
    assert drive.hands.seen == []
    assert visible(drive.queue) == 1


async def test_a_stop_does_not_wait_for_a_look_at_the_queue():
    """API-8: GetQueueAttributes holds no message, and may hang as long as it likes."""
    drive = await Drive().polling()
    drive.queue.faults.hang("GetQueueAttributes", times=None)
    drive.ask(Request.DRAIN)
    drive.clock.advance(20)
    await until(lambda: drive.queue.service.calls["GetQueueAttributes"], "the look")
    drive.ask(Request.STOP)
    assert await drive.result() == 0
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_one_look_at_a_time_and_a_stop_ends_it():
    """API-8, GEN-2: a drain whose looks are slow asks again when the last one has come back, and not before."""
    drive = await Drive().polling()
    looks = drive.queue.service.calls
    drive.queue.faults.hang("GetQueueAttributes", times=None)
    drive.ask(Request.DRAIN)
    drive.clock.advance(20)
    await until(lambda: looks["GetQueueAttributes"], "the look")
    later = drive.driver._loop.time() + 1.2  # twice the pause between two questions
    await until(lambda: drive.driver._loop.time() > later, "time for others")
    assert looks["GetQueueAttributes"] == 1
    assert drive.machine.deadline() is None
    drive.ask(Request.STOP)
    assert await drive.result() == 0
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_look_that_fails_is_told_and_asked_again():
    """API-16: a drain goes on past it."""
    drive = await Drive().polling()
    drive.queue.faults.fail("GetQueueAttributes", times=1, message="planted")
    drive.ask(Request.DRAIN)
    drive.clock.advance(20)
    await until(lambda: drive.stats.last_problem, "the failed look")
    await until(lambda: drive.clock.advance(20) or drive.task.done(), "the end of the drain")
    assert await drive.result() == 0
    assert drive.queue.service.calls["GetQueueAttributes"] >= 3


async def test_a_failed_receive_is_a_fact_and_the_next_one_follows():
    """SQS-24, API-16: the machine decides when; the run goes on."""
    drive = Drive(result=OK)
    drive.queue.faults.throttle("ReceiveMessage", times=1)
    drive.queue.send("one")
    await until(lambda: not drive.queue.bodies(), "the message after the failure")
    assert drive.stats.polls["throttled"] == 1
    drive.task.cancel()
    await drive.broke(asyncio.CancelledError)


@pytest.mark.parametrize("plant", ["fail_entries", "fail", "drop"])
async def test_a_failed_delete_is_tried_again(plant: str):
    """SQS-26: entry or call, as long as the lease lasts."""
    drive = Drive(result=OK)
    for body in ("one", "two"):  # both come in one receive, and go in one delete
        drive.queue.send(body)
    if plant == "fail_entries":
        drive.queue.faults.fail_entries("DeleteMessageBatch", [1])
    else:
        getattr(drive.queue.faults, plant)("DeleteMessageBatch")
    await until(lambda: not drive.queue.bodies(), "the second delete")
    await until(lambda: drive.stats.deleted_events == 2, "its count")
    assert drive.stats.delete_failures == (1 if plant == "fail_entries" else 2)
    assert drive.queue.service.calls["DeleteMessageBatch"] == 2
    assert drive.hands.seen == ["one", "two"]
    drive.task.cancel()
    await drive.broke(asyncio.CancelledError)


@pytest.mark.parametrize("plant", ["fail_entries", "fail"])
async def test_what_cannot_be_given_back_does_not_hold_up_the_stop(plant: str):
    """GEN-2: it returns when its visibility timeout ends."""
    drive = await Drive().polling()
    drive.ask(Request.STOP)
    if plant == "fail":
        drive.queue.faults.fail("ChangeMessageVisibilityBatch", times=None)
    else:
        drive.queue.faults.fail_entries("ChangeMessageVisibilityBatch", [0])
    drive.queue.send("late")
    assert await drive.result() == 0
    assert in_flight(drive.queue) == 1
    assert drive.stats.released_events["stop"] == 0


async def test_what_handlers_hold_is_given_back_when_they_are_abandoned():
    """API-8, GEN-2: visible at once, counted; what the handler comes to later changes nothing."""
    drive = await Drive().polling()
    drive.queue.send("one")
    await until(lambda: drive.hands.running, "the invocation")
    drive.ask(Request.STOP)
    drive.ask(Request.ABANDON)
    await drive.polling()
    drive.clock.advance(20)
    assert await drive.result() == 1
    assert visible(drive.queue) == 1
    drive.hands.end()
    await turns()
    assert drive.queue.service.calls["DeleteMessageBatch"] == 0
    assert drive.stats.succeeded_events == 0


async def test_a_bug_in_the_machine_ends_the_run_with_its_own_exception(monkeypatch: pytest.MonkeyPatch):
    """GEN-2: no group around it, no call left in flight, no bytes kept from other mappings."""
    drive = await Drive().polling()

    def broken(*_: object) -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(drive.machine, "handle", broken)
    drive.queue.send("one")
    assert str(await drive.broke(ZeroDivisionError)) == "planted"
    assert in_flight(drive.queue) == 1


async def test_a_bug_in_a_task_ends_the_run_with_its_own_exception(monkeypatch: pytest.MonkeyPatch):
    """GEN-2: a source that breaks its contract is no different."""
    drive = await Drive(result=OK).polling()

    async def broken(receipts: object) -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(drive.queue, "delete", broken)
    drive.queue.send("one")
    await drive.broke(ZeroDivisionError)


async def test_after_a_crash_no_receipt_is_kept_alive_but_those_that_a_handler_has(
    monkeypatch: pytest.MonkeyPatch,
):
    """SQS-9, GEN-2: else the queue would miss them for twelve hours. Those with a handler follow when it ends."""
    beats = Beats()
    drive = await Drive(beats=beats, batch_size=1).polling()
    drive.queue.send("one")
    await until(lambda: drive.hands.running, "the invocation")
    drive.queue.send("two")
    await until(lambda: len(drive.hands.running) == 2, "the other one")
    drive.queue.faults.hang("DeleteMessageBatch")
    drive.hands.end()
    assert len(beats.held) == 2

    def broken(*_: object) -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(drive.machine, "handle", broken)
    drive.ask(Request.PAUSE)
    await drive.broke(ZeroDivisionError)
    ((batch, _),) = drive.hands.running
    assert beats.held == {batch.messages[0].id}
    drive.hands.end()
    assert beats.held == set()
    assert drive.stats.succeeded_events == 1


async def test_who_ends_after_the_crash_leaves_no_trace_in_the_figures(monkeypatch: pytest.MonkeyPatch):
    """MET-4: its seconds are not taken for those of the next invocation."""
    drive = await Drive().polling()
    drive.queue.send("one")
    await until(lambda: drive.hands.running, "the invocation")
    told: list[float] = []
    monkeypatch.setattr(drive.driver._telemetry, "invoked", told.append)
    drive.task.cancel()
    await drive.broke(asyncio.CancelledError)
    drive.hands.end()
    assert told == []


async def test_cancelling_it_cancels_the_calls_and_counts_what_was_in_hand():
    """GEN-2: that comes back by its visibility timeout."""
    drive = await Drive(batch_size=1).polling()
    drive.queue.send("one")
    await until(lambda: drive.hands.running, "the invocation")
    await drive.polling()
    drive.task.cancel()
    await drive.broke(asyncio.CancelledError)
    assert drive.driver.cut_off == 1


async def test_facts_that_come_too_late_are_ignored():
    drive = await Drive().polling()
    drive.ask(Request.STOP)
    drive.clock.advance(20)
    assert await drive.result() == 0
    drive.ask(Request.RESUME)
    drive.ask(Request.DRAIN)
    await turns()
    assert drive.queue.service.waiting == 0
    assert drive.driver.cut_off == 0


async def test_rest_waits_for_the_handler_and_the_poll():
    """API-8: a pause is over when nothing is under way any more."""
    drive = await Drive(batch_size=1).polling()
    drive.queue.send("one")
    await until(lambda: drive.hands.running, "the invocation")
    await drive.polling()
    drive.ask(Request.PAUSE)
    rests = [asyncio.create_task(drive.driver.rest()) for _ in range(2)]
    drive.clock.advance(20)
    await turns()
    assert not any(rest.done() for rest in rests)
    drive.hands.end()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*rests)
        await drive.driver.rest()
    assert drive.queue.bodies() == []
    drive.ask(Request.STOP)
    assert await drive.result() == 0


async def test_one_who_waits_for_rest_may_give_up_and_the_others_go_on_waiting():
    """API-8."""
    drive = await Drive().polling()
    drive.ask(Request.PAUSE)
    first, second = (asyncio.create_task(drive.driver.rest()) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    assert first.cancelled()
    assert not second.done()
    drive.clock.advance(20)
    async with asyncio.timeout(DEADLINE):
        await second
    drive.ask(Request.STOP)
    assert await drive.result() == 0


@pytest.mark.parametrize("end", ["resume", "stop", "crash", "cancel"])
async def test_rest_does_not_wait_for_what_will_not_come(end: str, monkeypatch: pytest.MonkeyPatch):
    """API-8: whoever waits for a pause goes on when it was taken back, and when the run is over."""
    drive = await Drive().polling()
    drive.ask(Request.PAUSE)
    rest = asyncio.create_task(drive.driver.rest())
    await turns()
    assert not rest.done()
    match end:
        case "resume":
            drive.ask(Request.RESUME)
        case "stop":
            drive.ask(Request.STOP)
            drive.clock.advance(20)
        case "crash":
            monkeypatch.setattr(drive.machine, "handle", None)
            drive.ask(Request.RESUME)
        case "cancel":
            drive.task.cancel()
    async with asyncio.timeout(DEADLINE):
        await rest
    drive.task.cancel()
    await asyncio.wait([drive.task])
    if end == "crash":
        assert isinstance(drive.task.exception(), TypeError)


async def test_a_run_that_is_cancelled_before_it_began_leaves_nothing():
    drive = Drive()
    drive.task.cancel()
    await drive.broke(asyncio.CancelledError)
