"""Messages that are taken for a while: each is told once, and all are given back."""

import asyncio

import pytest

from poller.operate.borrowed import Borrowed, borrowing
from poller.testing import ManualClock
from tests.unit.operate.queues import TestedQueue


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_known_ones_that_came_back_hide_nothing(clock: ManualClock) -> None:
    """SQS-9: after a long pause all that is held is shown again, maybe before what nobody has seen."""
    queue = TestedQueue(clock)
    for number in range(9):
        queue.send_now(str(number))
    queue.send_now("9", DelaySeconds=7)
    borrowed = Borrowed(queue, 5)
    for number in range(9):
        assert [wire["Body"] for wire in await borrowed.take(1)] == [str(number)]
    clock.advance(8)
    assert [wire["Body"] for wire in await borrowed.take(1)] == ["9"]
    assert await borrowed.take(1) == []
    assert borrowed.visibility == 10  # so that there is an end to it, and soon after a kill -9 too


async def test_cancelled_in_a_receive_it_gives_back_what_that_brings(clock: ManualClock) -> None:
    """SQS-1: a receive under way may have handed out messages already."""
    queue = TestedQueue(clock)
    queue.send_now("a")
    told: list[str] = []

    async def work() -> None:
        async with borrowing(queue, 60, told.append) as borrowed:
            await borrowed.take()
            raise AssertionError("it was cancelled")

    task = asyncio.create_task(work())
    await queue.taken.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    facts = await queue.describe()
    assert (facts.visible, facts.in_flight, told) == (1, 0, [])


async def test_what_cannot_be_given_back_is_told(clock: ManualClock) -> None:
    """IAM-1: a mapping needs no sqs:ChangeMessageVisibility, so it may be missing."""
    queue = TestedQueue(clock)
    queue.send_now("a")
    queue.fake.faults.fail("ChangeMessageVisibilityBatch", status=400, code="AccessDenied")
    told: list[str] = []
    async with borrowing(queue, 60, told.append) as borrowed:
        await borrowed.take()
    assert "within 60 s" in told[0]
