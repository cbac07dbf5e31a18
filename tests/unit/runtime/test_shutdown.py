"""The stop of a whole process: within its deadline, whatever a mapping does."""

import asyncio
from typing import Any

import pytest

from poller.core.messages import Request
from poller.runtime import shutdown
from poller.runtime.shutdown import longest_wait, stop_all, stop_now
from poller.testing import FakeQueue, ManualClock
from tests.unit.runtime.rig import DEADLINE, Life, turns, until

LONG = 3600.0


@pytest.mark.parametrize(
    ("timeout", "wait"),
    [(LONG, 20), (25.0, 20), (23.0, 20), (22.9, 19), (10.0, 7), (5.0, 3), (2.5, 1), (1.0, 1), (0.0, 1)],
)
def test_a_long_poll_ends_within_the_stop_deadline(timeout: float, wait: int) -> None:
    """SQS-1, API-8: at most 20 s, and a second less than the time after which what runs is given back."""
    assert longest_wait(timeout) == wait


@pytest.mark.parametrize("timeout", [3.0, 4.5, 7.0, 12.0, 25.0, 60.0])
def test_there_is_time_for_giving_back_after_the_long_poll(timeout: float) -> None:
    """API-8."""
    assert longest_wait(timeout) + 1 <= timeout - min(shutdown.RESERVE, timeout * shutdown.RESERVE_PART)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def lives(clock: ManualClock, *names: str) -> list[Life]:
    """Running mappings, each with a long poll under way."""
    made = [Life(FakeQueue(name, clock=clock)) for name in names]
    for life in made:
        life.coordinator.start()
    return [await life.polling() for life in made]


def coordinators(made: list[Life]) -> list[Any]:
    return [life.coordinator for life in made]


async def within_reason(work: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        await work


async def test_running_handlers_finish_and_are_settled(clock: ManualClock):
    """API-8, GEN-5: nothing is received meanwhile; nothing is abandoned."""
    made = await lives(clock, "a", "b")
    for life in made:
        life.queue.send("one")
        await life.invoked()
    stop = asyncio.create_task(stop_all(coordinators(made), LONG))
    await turns()
    made[0].queue.send("two")
    clock.advance(20)
    await turns()
    assert not stop.done()
    for life in made:
        life.hands.end()
    await within_reason(stop)
    assert made[0].queue.bodies() == ["two"]
    assert made[1].queue.bodies() == []
    assert [life.hands.seen for life in made] == [["one"], ["one"]]
    assert [life.coordinator.abandoned for life in made] == [0, 0]
    assert all(life.coordinator.task.done() for life in made)


async def test_at_the_deadline_what_handlers_hold_is_given_back(clock: ManualClock):
    """API-8, GEN-2: visible to others at once, and counted."""
    (life,) = await lives(clock, "a")
    life.queue.send("one")
    await life.invoked()
    stop = asyncio.create_task(stop_all([life.coordinator], 0.2))
    await turns()
    clock.advance(20)
    await within_reason(stop)
    assert life.coordinator.abandoned == 1
    assert not life.coordinator.task.cancelled()
    messages, _ = await life.queue.receive(10, 0, None, 5)
    assert [message["Body"] for message in messages] == ["one"]


async def test_one_that_does_not_end_is_cancelled_and_the_others_have_their_time(clock: ManualClock):
    """GEN-4: a mapping whose source hangs costs the others nothing."""
    hung, well = await lives(clock, "a", "b")
    hung.queue.faults.hang("ChangeMessageVisibilityBatch")
    hung.queue.send("one")
    well.queue.send("two")
    await hung.invoked()
    await well.invoked()
    stop = asyncio.create_task(stop_all(coordinators([hung, well]), 0.5))
    await turns()
    clock.advance(5)
    well.hands.end()
    well.queue.send("late")  # ends its long poll, and is given back
    await within_reason(stop)
    assert hung.coordinator.task.cancelled()
    assert not well.coordinator.task.cancelled()
    assert well.coordinator.abandoned == 0
    assert well.queue.bodies() == ["late"]
    assert hung.queue.service.waiting == 0


async def test_those_that_have_ended_are_not_asked(clock: ManualClock):
    (life,) = await lives(clock, "a")
    life.coordinator.request(Request.STOP)
    clock.advance(20)
    await life.ended()
    await within_reason(stop_all([life.coordinator], 0.0))
    await within_reason(stop_now([life.coordinator]))
    await within_reason(stop_all([], 0.0))
    await within_reason(stop_now([]))


async def test_cancelling_the_stop_leaves_the_mappings_stopping(clock: ManualClock):
    """API-8: whoever stops waiting takes nothing back; another may wait for the end."""
    (life,) = await lives(clock, "a")
    life.queue.send("one")
    await life.invoked()
    stop = asyncio.create_task(stop_all([life.coordinator], LONG))
    await turns()
    stop.cancel()
    await asyncio.wait([stop])
    assert stop.cancelled()
    assert not life.coordinator.task.done()
    clock.advance(20)
    life.hands.end()
    await within_reason(stop_all([life.coordinator], LONG))
    assert life.queue.bodies() == []


async def test_stop_now_waits_for_nobody(clock: ManualClock):
    """GEN-2: what is in hand comes back by its visibility timeout."""
    made = await lives(clock, "a", "b")
    made[0].queue.send("one")
    await made[0].invoked()
    await within_reason(stop_now(coordinators(made)))
    assert all(life.coordinator.task.cancelled() for life in made)
    assert [life.coordinator.abandoned for life in made] == [1, 0]
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_second_stop_waits_for_the_same_end(clock: ManualClock):
    """API-8."""
    (life,) = await lives(clock, "a")
    stops = [asyncio.create_task(stop_all([life.coordinator], LONG)) for _ in range(2)]
    await turns()
    clock.advance(20)
    await within_reason(asyncio.gather(*stops))
    assert life.coordinator.task.done()


async def test_stopped_while_its_source_is_away(clock: ManualClock):
    """API-16, API-8: opening goes on for ever otherwise."""
    life = Life(FakeQueue("a", clock=clock), answers=(asyncio.Event().wait(),))
    life.coordinator.start()
    await until(lambda: life.opened, "the attempt")
    await within_reason(stop_all([life.coordinator], LONG))
    assert not life.coordinator.task.cancelled()
