"""Which child is asked, when one is started, what an end without an answer means; with puppets for children."""

import asyncio
import itertools
import logging

import pytest

from poller.core.model import FunctionError, InvocationResult, NotInvoked, Succeeded
from poller.errors import ConfigurationError, HandlerError
from poller.handlers.child import Answer, Child, Ended, OutOfTurn, TooLong
from poller.handlers.child_pool import BACKOFF_CAP, ChildPool, ending
from poller.ports import Invocation
from poller.telling import Teller
from poller.testing.clock import ManualClock

NUMBERS = itertools.count(1)


class Puppet(Child):
    """Does what the test says, and knows what was done to it."""

    def __init__(self) -> None:
        self.pid = next(NUMBERS)
        self.answered = 0
        self.babbled = False
        self.silent = False
        self.lives = True
        self.stays = False
        self.killed = self.dismissed = False
        self.requests: list[bytes] = []
        self.ended = asyncio.get_running_loop().create_future()
        self.replies: asyncio.Queue[Answer] = asyncio.Queue()

    @property
    def usable(self) -> bool:
        return self.lives

    async def ask(self, request: bytes) -> Answer:
        self.requests.append(request)
        answer = await self.replies.get()
        if isinstance(answer, bytes):
            self.answered += 1
        if isinstance(answer, Ended):
            self.die(answer.status)
        return answer

    def die(self, status: int = -9) -> None:
        self.lives = False
        if not self.ended.done() and not self.stays:
            self.ended.set_result(status)

    def kill(self) -> None:
        self.killed = True
        self.die()

    def dismiss(self) -> None:
        self.dismissed = True
        self.die(0)


class World:
    """A pool, its clock, and who was made for it."""

    def __init__(self, size: int = 2, recycle_after: int | None = None) -> None:
        self.clock = ManualClock()
        self.made: list[Puppet] = []
        self.starts = 0
        self.problem: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        teller = Teller("orders", logging.getLogger("poller"))
        self.pool = ChildPool(self._start, self._read, "worker", size, teller, self.clock, recycle_after)

    async def _start(self) -> Puppet:
        self.starts += 1
        await self.gate.wait()
        if self.problem is not None:
            raise self.problem
        self.made.append(Puppet())
        return self.made[-1]

    @staticmethod
    def _read(answer: bytes) -> InvocationResult | None:
        return None if answer == b"nonsense" else Succeeded(answer)

    def call(self, seconds: float = 30.0) -> asyncio.Task[InvocationResult]:
        invocation = Invocation({}, "r-1", self.clock.now().mono + seconds)
        return asyncio.create_task(self.pool.ask(lambda: b"event\n", invocation))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def answered(task: asyncio.Task[InvocationResult]) -> InvocationResult:
    return await asyncio.wait_for(task, 30)


async def succeed(world: World, child: int = -1) -> None:
    task = world.call()
    await settle()
    world.made[child].replies.put_nowait(b"ok")
    assert await answered(task) == Succeeded(b"ok")


async def test_one_is_kept_and_asked_again():
    world = World()
    await world.pool.prepare()
    for _ in range(5):
        await succeed(world)
    assert world.starts == 1
    assert world.made[0].requests == [b"event\n"] * 5


async def test_another_is_started_only_while_all_are_busy_and_there_is_room():
    world = World(size=2)
    tasks = [world.call() for _ in range(3)]
    await settle()
    assert world.starts == 2
    world.made[1].replies.put_nowait(b"first")
    assert await answered(tasks[1]) == Succeeded(b"first")
    await settle()
    assert len(world.made[1].requests) == 2  # the third call had waited for it
    for child, task in ((0, tasks[0]), (1, tasks[2])):
        world.made[child].replies.put_nowait(b"x")
        assert await answered(task) == Succeeded(b"x")
    assert world.starts == 2


async def test_who_waits_gets_the_room_of_one_that_died():
    world = World(size=1)
    first, second = world.call(), world.call()
    await settle()
    world.made[0].replies.put_nowait(Ended(-9, unread=False))
    assert isinstance(await answered(first), FunctionError)
    await settle()
    world.made[1].replies.put_nowait(b"ok")
    assert await answered(second) == Succeeded(b"ok")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (-9, "RequestId: r-1 Error: Runtime exited with error: signal: killed"),
        (-11, "RequestId: r-1 Error: Runtime exited with error: signal: segmentation fault"),
        (3, "RequestId: r-1 Error: Runtime exited with error: exit status 3"),
        (0, "RequestId: r-1 Error: Runtime exited without providing a reason"),
    ],
)
async def test_inv_2_an_end_in_mid_call_is_an_unhandled_error(status: int, message: str, caplog):
    """INV-2: in Lambda's words, and told with the process that it was."""
    world = World()
    task = world.call()
    await settle()
    world.made[0].replies.put_nowait(Ended(status, unread=False))
    assert await answered(task) == FunctionError("Runtime.ExitError", message, handled=False)
    (record,) = caplog.records
    assert record.action == "worker_ended"
    assert ending(status) in record.getMessage()
    await succeed(world)  # at once, there is no pause


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (TooLong(), "Function.ResponseSizeTooLarge"),
        (OutOfTurn(unread=False), "Runtime.InvalidResponse"),
        (b"nonsense", "Runtime.InvalidResponse"),
    ],
)
async def test_whoever_breaks_the_rules_of_the_talk_is_ended(answer: Answer, kind: str):
    """INV-5: what it says next would be taken for the answer to another event."""
    world = World()
    task = world.call()
    await settle()
    world.made[0].replies.put_nowait(answer)
    result = await answered(task)
    assert isinstance(result, FunctionError)
    assert result.error_type == kind
    assert world.made[0].killed
    await succeed(world)


async def test_inv_3_a_cancelled_call_ends_its_child_and_another_takes_its_place():
    """INV-3."""
    world = World(size=1)
    task = world.call()
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.made[0].killed
    await succeed(world)
    assert world.starts == 2


async def test_what_was_not_read_was_not_invoked_and_is_asked_of_another():
    """No attempt is spent on a child that had died before it read the event."""
    world = World()
    await world.pool.prepare()
    await succeed(world)
    task = world.call()
    await settle()
    world.made[0].replies.put_nowait(Ended(-9, unread=True))
    await settle()
    world.made[1].replies.put_nowait(b"ok")
    assert await answered(task) == Succeeded(b"ok")


async def test_children_that_end_before_they_read_anything_are_no_attempt_and_no_busy_loop():
    """The second in a row makes a pause, which grows, and whose end is the next try."""
    world = World()
    starts = []
    for _ in range(12):
        task = world.call()
        await settle()
        while not task.done():
            world.made[-1].replies.put_nowait(Ended(1, unread=True))
            await settle()
        result = await answered(task)
        assert isinstance(result, NotInvoked)
        assert "ended with exit code 1 before it had read the event" in result.message
        refused = await answered(world.call())
        assert isinstance(refused, NotInvoked)
        assert "another worker is started in" in refused.message
        starts.append(world.starts)
        world.clock.advance(BACKOFF_CAP)
    assert starts == list(range(2, 14))
    await succeed(world)
    assert world.pool._failures == 0


async def test_an_idle_child_that_died_is_noticed_before_it_is_asked(caplog):
    world = World()
    await world.pool.prepare()
    await succeed(world)
    world.made[0].lives = False  # the loop has not heard of it yet
    await succeed(world)
    assert len(world.made[0].requests) == 1
    world.made[0].ended.set_result(-9)
    await settle()
    (record,) = caplog.records
    assert (
        "signal 9 (SIGKILL, as a machine that is short of memory does it) while it waited for work"
        in record.msg % record.args
    )
    world.made[1].die(1)
    await settle()
    await succeed(world)
    assert world.starts == 3


async def test_who_spoke_unasked_is_told_of(caplog):
    world = World()
    await world.pool.prepare()
    world.made[0].babbled = True
    world.made[0].die()
    await settle()
    assert "although no event was with it" in caplog.text


async def test_a_kill_of_ours_is_not_blamed_on_the_machine(caplog):
    """Who reads of SIGKILL looks for a want of memory."""
    world = World()
    task = world.call()
    await settle()
    world.made[0].silent = True
    world.made[0].replies.put_nowait(Ended(-9, unread=False))
    assert isinstance(await answered(task), FunctionError)
    await succeed(world)
    world.made[1].silent = True
    world.made[1].die(-9)
    await settle()
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(": it ")[2] for text in told] == [
        "closed its standard output, went on, and was ended while the function ran",
        "closed its standard output, went on, and was ended while it waited for work",
    ]


async def test_a_child_that_cannot_be_had_is_not_invoked_with_the_reason_and_a_growing_pause():
    world = World()
    world.problem = HandlerError("process:x cannot be started now: Resource temporarily unavailable")
    pauses = []
    for _ in range(9):
        result = await answered(world.call())
        assert isinstance(result, NotInvoked)
        assert "Resource temporarily unavailable" in result.message
        before, now = world.starts, world.clock.now().mono
        while world.starts == before:
            world.clock.advance(0.05)
            await answered(world.call())
        pauses.append(world.clock.now().mono - now)
    assert pauses[0] < 0.3
    assert pauses[1:4] == sorted(pauses[1:4])
    assert 5.0 < max(pauses) < BACKOFF_CAP + 0.2
    world.problem = None
    world.clock.advance(BACKOFF_CAP)
    await succeed(world)


async def test_what_fails_together_counts_once():
    world = World(size=8)
    world.problem = ConfigurationError("the module is broken")
    world.gate.clear()
    tasks = [world.call() for _ in range(8)]
    await settle()
    assert world.starts == 8
    world.gate.set()
    results = await asyncio.gather(*tasks)
    assert {type(result) for result in results} == {NotInvoked}
    assert world.pool._failures == 1


async def test_an_error_of_ours_at_the_start_is_a_reason_like_others():
    world = World()
    world.problem = RuntimeError("a bug")
    result = await answered(world.call())
    assert result == NotInvoked("RuntimeError: a bug")


async def test_a_slow_start_is_waited_for_but_not_into_the_time_of_the_function():
    """The call is not invoked instead of timed out, and its child serves the next one."""
    world = World(size=1)
    world.gate.clear()
    result = await asyncio.wait_for(world.call(seconds=0.02), 10)
    assert result == NotInvoked("the worker is still starting")
    again = world.call()
    await settle()
    assert world.starts == 1
    world.gate.set()
    await settle()
    world.made[0].replies.put_nowait(b"ok")
    assert await answered(again) == Succeeded(b"ok")


async def test_a_cancelled_wait_does_not_end_the_start():
    """INV-3: or a module that takes longer than the timeout would never be there."""
    world = World(size=1)
    world.gate.clear()
    task = world.call()
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.gate.set()
    await settle()
    await succeed(world)
    assert world.starts == 1


async def test_a_child_given_in_the_moment_of_the_cancellation_is_not_lost():
    world = World(size=1)
    first = world.call()
    await settle()
    second = world.call()
    await settle()
    world.made[0].replies.put_nowait(b"ok")
    while not world.made[0].answered:  # noqa: ASYNC110 - the very moment is wanted
        await asyncio.sleep(0)
    second.cancel()
    assert await answered(first) == Succeeded(b"ok")
    with pytest.raises(asyncio.CancelledError):
        await second
    await settle()
    await succeed(world)


async def test_recycled_after_so_many_answers():
    world = World(recycle_after=3)
    for _ in range(7):
        await succeed(world)
    assert [len(child.requests) for child in world.made] == [3, 3, 1]
    assert [child.dismissed for child in world.made] == [True, True, False]


async def test_processes_that_cannot_be_ended_do_not_pile_up(caplog):
    world = World(size=2)
    for _ in range(10):
        task = world.call(seconds=0.02)
        await settle()
        if world.made:
            world.made[-1].stays = True
        task.cancel()
        await asyncio.wait([task])
    assert world.starts == 4
    for child in world.made:
        child.stays = False
        child.die()
    await settle()
    await succeed(world)


async def test_closed_it_leaves_nothing_and_serves_nobody():
    world = World(size=4)
    await world.pool.prepare()
    await succeed(world)
    busy, beside = world.call(), world.call()
    await settle()
    world.gate.clear()
    starting = [world.call() for _ in range(3)]
    await settle()
    assert len(world.pool._starting) == 2
    await asyncio.wait_for(world.pool.close(), 30)
    assert [child.killed for child in world.made] == [True, True]
    assert not world.pool._children
    assert not world.pool._starting
    for task in starting:
        assert await answered(task) == NotInvoked("the handler has been closed")
    for task in (busy, beside):
        task.cancel()
    await asyncio.wait([busy, beside])
    assert await answered(world.call()) == NotInvoked("the handler has been closed")
    await world.pool.close()


async def test_idle_children_end_in_peace():
    world = World()
    await world.pool.prepare()
    await world.pool.close()
    assert world.made[0].dismissed
    assert not world.made[0].killed


async def test_what_runs_at_the_close_has_failed_for_that_reason():
    world = World()
    task = world.call()
    await settle()
    world.made[0].kill = lambda: world.made[0].replies.put_nowait(Ended(-9, unread=False))
    await asyncio.wait_for(world.pool.close(), 30)
    result = await answered(task)
    assert isinstance(result, FunctionError)
    assert result.error_type == "Runtime.Abandoned"
