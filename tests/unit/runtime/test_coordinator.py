"""A mapping's life: opening, running, pausing, crashing, ending; in whatever order its owner asks."""

import asyncio
import gc
import logging
from typing import Any

import pytest

from poller.core.messages import Request
from poller.core.model import MappingState, SourceProblem
from poller.core.queue_consumer import QueueConsumer
from poller.errors import ConfigurationError, HandlerError, SourceError
from poller.metrics_stats import NO_GAUGES
from poller.runtime import coordinator as module
from poller.testing import FakeQueue, ManualClock
from tests.unit.runtime.rig import DEADLINE, OK, Beats, Hands, Life, NoHandler, mapping_of, turns, until

AWAY = SourceError(SourceProblem.UNREACHABLE, "planted: away")
GONE = SourceError(SourceProblem.MISSING, "planted: no such queue")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next attempts come at once."""
    monkeypatch.setattr(module, "delay", lambda *_: 0.0)


@pytest.fixture
def clock() -> ManualClock:
    """The queue's: it stands still, so that a long poll waits until the test moves it."""
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> FakeQueue:
    return FakeQueue("orders", clock=clock)


@pytest.fixture
def states(caplog: pytest.LogCaptureFixture):
    """The states that were told so far."""
    caplog.set_level(logging.INFO, "poller")

    def read() -> list[str]:
        return [record.state.value for record in caplog.records if getattr(record, "state", None)]

    return read


async def stopped(life: Life, clock: ManualClock) -> None:
    life.coordinator.request(Request.STOP)
    clock.advance(20)
    await life.ended()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert life.handler.closed == 1
    assert life.budget.used == 0


def crash(monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """The machine breaks at its next facts, then it is whole again."""
    whole = QueueConsumer.handle
    left = times

    def broken(self: QueueConsumer, *args: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise ZeroDivisionError("planted")
        return whole(self, *args)

    monkeypatch.setattr(QueueConsumer, "handle", broken)


async def test_a_life_without_trouble(queue: FakeQueue, clock: ManualClock, states: Any):
    """GEN-1, API-8: Creating, Enabled, works, stops."""
    life = Life(queue, hands=Hands(OK))
    assert life.coordinator.gauges() is NO_GAUGES
    life.coordinator.start()
    await life.polling()
    assert life.coordinator.first_attempt.result() is None
    queue.send("one")
    await until(lambda: not queue.bodies(), "the delete")
    await life.polling()
    await stopped(life, clock)
    assert states() == ["Creating", "Enabled"]
    assert life.stats.finished
    assert life.coordinator.failure is None
    assert life.coordinator.abandoned == 0


async def test_cfg_3_a_mapping_that_is_not_enabled_receives_nothing_until_resumed(
    queue: FakeQueue, clock: ManualClock, states: Any
):
    """CFG-3: it starts paused."""
    life = Life(queue, mapping_of(enabled=False))
    life.coordinator.start()
    await until(lambda: life.state == "Disabled", "the state")
    await turns()
    assert queue.service.calls["ReceiveMessage"] == 0
    life.coordinator.resume()
    await life.polling()
    await stopped(life, clock)
    assert states() == ["Creating", "Disabled", "Enabling", "Enabled"]


async def test_api_8_a_pause_lets_the_handler_finish_and_settles_its_success(
    queue: FakeQueue, clock: ManualClock, states: Any
):
    """API-8: and only then is the mapping Disabled; twice asked is not twice told."""
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    queue.send("one")
    await life.invoked()
    await life.polling()
    pauses = [asyncio.create_task(life.coordinator.pause()) for _ in range(2)]
    clock.advance(20)
    await turns()
    assert life.state == "Disabling"
    life.hands.end()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*pauses)
    assert life.state == "Disabled"
    assert queue.bodies() == []
    queue.send("two")
    await life.coordinator.pause()
    await turns()
    assert queue.service.waiting == 0
    life.coordinator.resume()
    life.coordinator.resume()
    await life.invoked()
    life.hands.end()
    await life.polling()
    await stopped(life, clock)
    assert states() == ["Creating", "Enabled", "Disabling", "Disabled", "Enabling", "Enabled"]


async def test_a_pause_that_is_taken_back_ends(queue: FakeQueue, clock: ManualClock, states: Any):
    """API-8: it does not wait for a rest that will not come, and the state is that of the last word."""
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    pause = asyncio.create_task(life.coordinator.pause())
    await turns()
    life.coordinator.resume()
    async with asyncio.timeout(DEADLINE):
        await pause
    assert life.state == "Enabled"
    queue.send("one")
    await life.invoked()
    life.hands.end()
    await life.polling()
    await stopped(life, clock)
    assert states() == ["Creating", "Enabled", "Disabling", "Enabling", "Enabled"]


async def test_a_pause_taken_back_and_asked_for_again_waits_again(
    queue: FakeQueue, clock: ManualClock, states: Any
):
    """API-8: nobody is told Disabled while a handler works."""
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    queue.send("one")
    await life.invoked()
    first = asyncio.create_task(life.coordinator.pause())
    await turns()
    life.coordinator.resume()
    second = asyncio.create_task(life.coordinator.pause())
    await turns()
    clock.advance(20)
    await turns()
    assert life.state == "Disabling"
    assert not first.done()
    assert not second.done()
    life.hands.end()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(first, second)
    await stopped(life, clock)
    assert states() == ["Creating", "Enabled", "Disabling", "Enabling", "Enabled", "Disabling", "Disabled"]


async def test_a_pause_that_nobody_waits_for_any_more_still_holds(queue: FakeQueue, clock: ManualClock):
    """API-8."""
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    pause = asyncio.create_task(life.coordinator.pause())
    await turns()
    pause.cancel()
    await turns()
    clock.advance(20)
    await turns()
    queue.send("one")
    await turns()
    assert life.hands.seen == []
    assert not life.coordinator.enabled
    await stopped(life, clock)


async def test_deleting_is_the_last_state(queue: FakeQueue, clock: ManualClock, states: Any):
    """API-3: a pause under way changes nothing about it."""
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    pause = asyncio.create_task(life.coordinator.pause())
    await turns()
    life.coordinator.deleting()
    await stopped(life, clock)
    async with asyncio.timeout(DEADLINE):
        await pause
    assert states() == ["Creating", "Enabled", "Disabling", "Deleting"]


async def test_pause_and_resume_before_there_is_a_source(queue: FakeQueue, clock: ManualClock, states: Any):
    """API-8: what the owner wants counts as soon as the queue can be had."""
    open_now = asyncio.Event()
    life = Life(queue, answers=(open_now.wait(),))
    life.coordinator.start()
    await until(lambda: life.opened, "the first attempt")
    await life.coordinator.pause()
    assert life.state == "Disabled"
    open_now.set()
    await until(life.coordinator.first_attempt.done, "the opening")
    await turns()
    assert queue.service.waiting == 0
    life.coordinator.resume()
    await life.polling()
    await stopped(life, clock)
    assert states() == ["Creating", "Disabled", "Enabling", "Enabled"]


async def test_paused_and_resumed_before_there_is_a_source(queue: FakeQueue, clock: ManualClock, states: Any):
    """API-8."""
    open_now = asyncio.Event()
    life = Life(queue, answers=(open_now.wait(),))
    life.coordinator.start()
    await until(lambda: life.opened, "the first attempt")
    await life.coordinator.pause()
    life.coordinator.resume()
    assert life.state == "Enabling"
    open_now.set()
    await life.polling()
    await stopped(life, clock)
    assert states() == ["Creating", "Disabled", "Enabling", "Enabled"]


# --- opening ---


@pytest.mark.parametrize("error", [AWAY, GONE, ConfigurationError("planted: bad endpoint")])
async def test_api_16_a_source_that_cannot_be_had_is_tried_until_it_can(
    error: Any, queue: FakeQueue, clock: ManualClock
):
    """API-16: the first answer is told, and the mapping starts when access returns."""
    life = Life(queue, answers=(error, error))
    life.coordinator.start()
    await life.polling()
    assert life.opened == 3
    assert life.coordinator.first_attempt.result() is error
    assert life.coordinator.failure is None
    assert str(error) in life.stats.last_error
    assert life.stats.worker_restarts["crash"] == 0
    await stopped(life, clock)


async def test_cfg_44_a_handler_that_may_take_longer_than_the_queue_waits_is_refused(clock: ManualClock):
    """CFG-44: told at the first look; the mapping works once the queue's timeout is raised."""
    queue = FakeQueue("orders", clock=clock, attributes={"VisibilityTimeout": "4"})
    life = Life(queue, mapping_of(timeout=5.0))
    life.coordinator.start()
    error = await asyncio.wait_for(asyncio.shield(life.coordinator.first_attempt), DEADLINE)
    assert isinstance(error, SourceError)
    assert error.problem is SourceProblem.REFUSED
    assert str(error) == "Queue visibility timeout: 4 seconds is less than Function timeout: 5 seconds"
    assert queue.service.calls["ReceiveMessage"] == 0
    request = {"QueueUrl": queue.url, "Attributes": {"VisibilityTimeout": "5"}}
    queue._now("SetQueueAttributes", request)
    await life.polling()
    await stopped(life, clock)


async def test_a_bug_while_opening_is_a_crash_like_any_other(queue: FakeQueue, clock: ManualClock):
    """API-16: nobody waits for ever for the first look, and the mapping comes up."""
    open_now = asyncio.Event()
    life = Life(queue, answers=(ZeroDivisionError("planted"), open_now.wait()))
    life.coordinator.start()
    assert await asyncio.wait_for(asyncio.shield(life.coordinator.first_attempt), DEADLINE) is None
    open_now.set()
    await life.polling()
    assert life.stats.worker_restarts["crash"] == 1
    assert life.stats.crashed is None
    await stopped(life, clock)


async def test_stopped_before_it_began(queue: FakeQueue):
    life = Life(queue)
    life.coordinator.start()
    life.coordinator.request(Request.STOP)
    await life.ended()
    assert life.opened == 0
    assert life.coordinator.first_attempt.result() is None
    assert life.handler.closed == 1
    assert life.stats.finished


async def test_stopped_while_opening(queue: FakeQueue):
    """API-8: an opening that hangs holds nobody up."""
    life = Life(queue, answers=(asyncio.Event().wait(),))
    life.coordinator.start()
    await until(lambda: life.opened, "the attempt")
    life.coordinator.request(Request.STOP)
    await life.ended()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert life.coordinator.first_attempt.result() is None


@pytest.mark.parametrize("late", range(6))
async def test_stopped_in_the_moment_in_which_it_opens(late: int, queue: FakeQueue, clock: ManualClock):
    """API-8: whichever turn of the loop the stop falls in, nothing is received after it."""
    open_now = asyncio.Event()
    life = Life(queue, answers=(open_now.wait(),))
    life.coordinator.start()
    await until(lambda: life.opened, "the attempt")
    open_now.set()
    await turns(late)
    life.coordinator.request(Request.STOP)
    await turns()
    clock.advance(20)  # a receive may have been sent before the stop
    await life.ended()
    assert queue.service.calls["ReceiveMessage"] <= 1


# --- the handler ---


async def test_a_handler_that_cannot_be_used_ends_its_mapping(queue: FakeQueue):
    """CFG-38: told as the first attempt, and as the mapping's failure."""
    error = ConfigurationError("planted: no such module")
    life = Life(queue, handler=NoHandler(error))
    life.coordinator.start()
    await life.ended()
    assert life.coordinator.failure is error
    assert life.coordinator.first_attempt.result() is error
    assert life.stats.crashed == "planted: no such module"
    assert not life.stats.finished  # it is to be seen, not taken for done
    assert life.opened == 0
    with pytest.raises(ConfigurationError, match="has ended"):
        life.coordinator.resume()


async def test_a_bug_in_a_handlers_start_ends_its_mapping_in_the_same_way(queue: FakeQueue):
    life = Life(queue, handler=NoHandler(ZeroDivisionError("planted")))
    life.coordinator.start()
    await life.ended()
    assert isinstance(life.coordinator.failure, HandlerError)
    assert "ZeroDivisionError: planted" in str(life.coordinator.failure)
    assert life.coordinator.first_attempt.result() is life.coordinator.failure


async def test_what_cannot_even_be_told_leaves_nobody_waiting(queue: FakeQueue, monkeypatch: pytest.MonkeyPatch):
    """API-16: whoever waits for the first attempt goes on, and the task says what it was."""
    life = Life(queue)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(life.coordinator.telemetry, "state_changed", broken)
    life.coordinator.start()
    async with asyncio.timeout(DEADLINE):
        await life.coordinator.first_attempt
    with pytest.raises(ZeroDivisionError):
        await life.coordinator.task
    assert life.handler.closed == 1


# --- crashes ---


async def test_a_crash_is_told_counted_and_started_again(
    queue: FakeQueue, clock: ManualClock, states: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    """GEN-2: the machine begins anew, and the state stays what it was."""
    life = Life(queue, hands=Hands(OK))
    life.coordinator.start()
    await life.polling()
    seen: list[str | None] = []
    polls: list[int] = []

    def waiting(*_: object) -> float:
        seen.append(life.stats.crashed)
        polls.append(life.coordinator.gauges().polls)
        return 0.0

    monkeypatch.setattr(module, "delay", waiting)
    crash(monkeypatch)
    queue.send("one")
    await until(lambda: life.stats.worker_restarts["crash"], "the restart")
    assert seen == ["ZeroDivisionError: planted"]
    assert polls == [0], "a machine that is gone has nothing under way"
    assert life.stats.crashed is None
    (told,) = [record for record in caplog.records if getattr(record, "action", "") == "crashed"]
    assert told.exc_info
    await life.polling()
    queue.send("two")
    await until(lambda: queue.bodies() == ["one"], "the next message")
    clock.advance(31)  # the first one comes back by its visibility timeout
    await until(lambda: not queue.bodies(), "both")
    await life.polling()
    await stopped(life, clock)
    assert states() == ["Creating", "Enabled"]
    assert life.coordinator.abandoned == 0


async def test_each_crash_in_a_row_waits_longer(
    queue: FakeQueue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    attempts: list[Any] = []

    def delay(attempt: int, first: float, cap: float, random: object) -> float:
        attempts.append((attempt, first, cap))
        return 0.0

    monkeypatch.setattr(module, "delay", delay)
    crash(monkeypatch, times=3)
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    assert attempts == [(number, module.CRASH_FIRST, module.CRASH_CAP) for number in (1, 2, 3)]
    assert life.stats.worker_restarts["crash"] == 3
    await stopped(life, clock)


async def test_stopped_while_it_waits_after_a_crash(queue: FakeQueue, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "delay", lambda *_: 3600.0)
    crash(monkeypatch)
    life = Life(queue)
    life.coordinator.start()
    await until(lambda: life.stats.crashed, "the crash")
    await life.coordinator.pause()
    life.coordinator.request(Request.STOP)
    await life.ended()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("wish", [Request.PAUSE, Request.RESUME])
async def test_what_the_owner_wants_outlives_a_crash(
    wish: Request, queue: FakeQueue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    """API-8: a paused mapping is paused after it as well, and a resumed one runs."""
    life = Life(queue, mapping_of(enabled=wish is Request.PAUSE))
    life.coordinator.start()
    await until(lambda: life.state in {"Enabled", "Disabled"}, "the opening")
    crash(monkeypatch)
    life.coordinator.request(wish)
    await until(lambda: life.stats.worker_restarts["crash"], "the restart")
    await turns()
    assert queue.service.waiting == (wish is Request.RESUME)
    await stopped(life, clock)


async def test_a_drain_outlives_a_crash(queue: FakeQueue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch):
    """GEN-2: what the crash lost sight of comes back, and only then is the queue empty."""
    life = Life(queue, hands=Hands(OK))
    life.coordinator.start()
    await life.polling()
    crash(monkeypatch)
    queue.send("one")
    life.coordinator.request(Request.DRAIN)
    await until(lambda: clock.advance(10) or life.coordinator.task.done(), "the end")
    assert queue.bodies() == []
    assert life.stats.worker_restarts["crash"] == 1
    assert life.stats.finished


async def test_a_drain_outlives_a_pause(queue: FakeQueue, clock: ManualClock):
    """API-8: it goes on when the mapping is resumed."""
    life = Life(queue, hands=Hands(OK))
    life.coordinator.start()
    await life.polling()
    life.coordinator.request(Request.DRAIN)
    pause = asyncio.create_task(life.coordinator.pause())
    await until(lambda: clock.advance(20) or pause.done(), "the pause")
    queue.send("one")
    await turns()
    assert queue.bodies() == ["one"]
    assert not life.coordinator.task.done()
    life.coordinator.resume()
    await until(lambda: clock.advance(10) or life.coordinator.task.done(), "the end")
    assert queue.bodies() == []
    with pytest.raises(ConfigurationError, match="'orders' has ended"):
        life.coordinator.resume()


# --- the end ---


async def test_abandoned_messages_are_counted_once(queue: FakeQueue, clock: ManualClock):
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    queue.send("one")
    await life.invoked()
    life.coordinator.request(Request.STOP)
    life.coordinator.request(Request.ABANDON)
    life.coordinator.request(Request.ABANDON)
    clock.advance(20)
    await life.ended()
    assert life.coordinator.abandoned == 1


async def test_what_a_cancelled_mapping_had_in_hand_is_counted_and_told(queue: FakeQueue, caplog: Any):
    """GEN-2: it was neither deleted nor given back."""
    life = Life(queue)
    life.coordinator.start()
    await life.polling()
    queue.send("one")
    await life.invoked()
    queue.faults.hang("DeleteMessageBatch")
    life.hands.end()
    await turns()
    life.coordinator.task.cancel()
    await asyncio.wait([life.coordinator.task])
    assert life.coordinator.task.cancelled()
    assert life.coordinator.abandoned == 1
    assert life.handler.closed == 1
    assert [record.action for record in caplog.records][-1] == "cut_off"


async def test_the_heartbeat_reaches_the_machine_and_is_ignored_without_one(queue: FakeQueue, clock: ManualClock):
    """SQS-9: extended leases count; news of a mapping that is gone do no harm."""
    life = Life(queue, mapping_of(heartbeat=True), beats=Beats())
    life.coordinator.extended(("m",), 1.0)
    life.coordinator.start()
    await life.polling()
    life.coordinator.extended(("m",), 1.0)
    assert life.stats.visibility_extensions["success"] == 1
    await stopped(life, clock)
    life.coordinator.extended(("m",), 1.0)
    assert life.stats.visibility_extensions["success"] == 1


async def test_no_exception_of_a_task_is_left_to_nobody(
    queue: FakeQueue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    """Crash while opening, in the machine, in a task of it; asyncio has nothing to complain of."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    life = Life(queue, hands=Hands(OK), answers=(ZeroDivisionError("planted"), AWAY))
    life.coordinator.start()
    await life.polling()
    crash(monkeypatch)
    queue.send("one")
    restarts = life.stats.worker_restarts
    await until(lambda: restarts["crash"] == 2, "the second restart")
    await life.polling()
    monkeypatch.setattr(queue, "delete", None)
    queue.send("two")
    await until(lambda: restarts["crash"] == 3, "the third restart")
    monkeypatch.undo()
    await life.polling()
    await stopped(life, clock)
    del life
    gc.collect()
    await turns()
    assert complaints == []


def test_the_states_are_awss():
    """API-3."""
    assert {state.value for state in MappingState} == {
        "Creating",
        "Enabling",
        "Enabled",
        "Disabling",
        "Disabled",
        "Updating",
        "Deleting",
    }
