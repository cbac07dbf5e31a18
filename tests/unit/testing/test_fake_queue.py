"""The queue in this process, as the runtime sees it through ports.QueueSource."""

import asyncio
from typing import Any

import pytest

from poller.core.model import JsonObject, QueueFacts, SourceProblem
from poller.errors import SourceError
from poller.ports import QueueSource
from poller.testing import FakeQueue, ManualClock


async def receive(queue: FakeQueue, wait: int = 0, maximum: int = 10, **more: Any) -> list[JsonObject]:
    fields = {"visibility_timeout": None, "deadline": 25.0} | more
    return (await queue.receive(maximum, wait, **fields))[0]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> FakeQueue:
    return FakeQueue("orders", clock=clock)


async def test_it_is_a_queue_source_and_messages_are_in_wire_form(queue: FakeQueue) -> None:
    source: QueueSource = queue
    values = {"n": {"DataType": "Binary", "BinaryValue": "AP8="}}
    message_id = queue.send("hello", MessageAttributes=values)
    messages, size = await source.receive(10, 0, None, 5.0)
    assert messages[0]["MessageId"] == message_id
    assert messages[0]["MessageAttributes"] == values
    assert messages[0]["Attributes"]["ApproximateReceiveCount"] == "1"
    assert size > len("hello")
    messages[0]["MessageAttributes"]["n"]["BinaryValue"] = "changed by the handler"
    assert queue.queue.messages.popitem()[1].attributes == values


async def test_a_long_poll_follows_the_clock(queue: FakeQueue, clock: ManualClock) -> None:
    poll = asyncio.create_task(receive(queue, wait=20))
    await asyncio.sleep(0)
    clock.advance(19)
    await asyncio.sleep(0)
    assert not poll.done()
    clock.advance(1)
    assert await poll == []


async def test_a_cancelled_poll_takes_nothing(queue: FakeQueue) -> None:
    poll = asyncio.create_task(receive(queue, wait=20))
    await asyncio.sleep(0)
    assert queue.service.waiting == 1
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    queue.send("x")
    assert [message["Body"] for message in await receive(queue)] == ["x"]


async def test_delete_and_change_visibility_tell_what_failed_by_index(queue: FakeQueue) -> None:
    for body in "ab":
        queue.send(body)
    first, second = [message["ReceiptHandle"] for message in await receive(queue)]
    (failure,) = await queue.change_visibility([first, "garbage"], [0, 0])
    assert (failure.index, failure.code) == (1, "ReceiptHandleIsInvalid")
    queue.faults.fail_entries("DeleteMessageBatch", [0])
    (failure,) = await queue.delete([first, second])
    assert (failure.index, failure.code) == (0, "InternalError")
    assert queue.bodies() == ["a"]
    assert await queue.delete([first]) == []
    assert queue.bodies() == []


async def test_describe_tells_the_facts(clock: ManualClock) -> None:
    dead = FakeQueue("dead", clock=clock)
    queue = FakeQueue(
        "orders",
        service=dead.service,
        dead_letters=dead,
        maximum_receives=4,
        attributes={"VisibilityTimeout": "7"},
    )
    for body in "abc":
        queue.send(body)
    queue.send("d", DelaySeconds=5)
    await receive(queue, maximum=1)
    redrive = {"deadLetterTargetArn": dead.queue.arn, "maxReceiveCount": 4}
    assert await queue.describe() == QueueFacts(7.0, visible=2, in_flight=1, delayed=1, redrive=redrive)
    assert (await dead.describe()).redrive is None


async def test_a_fifo_queue_is_one_by_its_name(clock: ManualClock) -> None:
    queue = FakeQueue("orders.fifo", clock=clock)
    queue.send("a0", MessageGroupId="a")
    queue.send("a1", MessageGroupId="a")
    assert [message["Body"] for message in await receive(queue, maximum=1)] == ["a0"]
    assert await receive(queue) == []


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"code": "AccessDenied", "status": 403}, SourceProblem.DENIED),
        ({"code": "ExpiredToken", "status": 403}, SourceProblem.CREDENTIALS),
        ({"code": "InternalFailure", "status": 500}, SourceProblem.SERVER),
        ({"code": "RequestThrottled", "status": 400}, SourceProblem.THROTTLED),
        ({"code": "QueueDoesNotExist", "status": 400}, SourceProblem.MISSING),
        ({"code": "Whatever", "status": 400}, SourceProblem.REFUSED),
    ],
)
async def test_refusals_are_source_errors(queue: FakeQueue, fault: dict[str, Any], problem: SourceProblem) -> None:
    queue.faults.fail("ReceiveMessage", **fault)
    with pytest.raises(SourceError) as error:
        await receive(queue)
    assert (error.value.problem, error.value.code) == (problem, fault["code"])
    assert await receive(queue) == []


async def test_a_lost_connection_is_unreachable(queue: FakeQueue) -> None:
    queue.faults.drop()
    with pytest.raises(SourceError) as error:
        await receive(queue)
    assert error.value.problem is SourceProblem.UNREACHABLE


async def test_a_call_that_hangs_keeps_its_deadline(queue: FakeQueue, clock: ManualClock) -> None:
    queue.faults.hang()
    poll = asyncio.create_task(receive(queue, deadline=30.0))
    await asyncio.sleep(0)
    clock.advance(29.9)
    await asyncio.sleep(0)
    assert not poll.done()
    clock.advance(0.1)
    with pytest.raises(SourceError, match="not answered within 30 s"):
        await poll


async def test_it_runs_on_the_clock_of_the_machine_too() -> None:
    queue = FakeQueue("orders")
    poll = asyncio.create_task(receive(queue, wait=20))
    await asyncio.sleep(0)
    queue.send("x", DelaySeconds=0)
    async with asyncio.timeout(15):
        assert [message["Body"] for message in await poll] == ["x"]
        assert await receive(queue, wait=1) == []
