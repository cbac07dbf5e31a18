"""The child processes of one mapping: one for each call that runs, made when first needed, kept for the next one.

Which child is asked, when another one is started and when not, and what an end without an answer means for a call.
"""

import asyncio
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Final, TypeAlias

from poller.clock import Clock
from poller.core.backoff import delay
from poller.core.model import FunctionError, InvocationResult, NotInvoked
from poller.errors import PollerError
from poller.handlers.callables import RESPONSE_LIMIT
from poller.handlers.child import Answer, Child, Ended, OutOfTurn, TooLong
from poller.ports import Invocation
from poller.telling import Teller

BACKOFF_FIRST: Final = 0.2
BACKOFF_CAP: Final = 10.0
"""Seconds before another child is started, once two of them in a row came to nothing."""

Read: TypeAlias = Callable[[bytes], InvocationResult | None]


class ChildPool:
    """Up to `size` children and what is asked of them; for one event loop."""

    def __init__(
        self,
        start: Callable[[], Awaitable[Child]],
        read: Read,
        what: str,
        size: int,
        teller: Teller,
        clock: Clock,
        recycle_after: int | None = None,
    ) -> None:
        """`start` makes a child that can be asked, or raises PollerError. `read` tells what its line means, None
        for nothing. `what` is the word for a child in sentences. After `recycle_after` answers a child makes room
        for a new one.
        """
        self._start = start
        self._read = read
        self._what = what
        self._size = size
        self._teller = teller
        self._clock = clock
        self._recycle_after = recycle_after
        self._random = Random()  # noqa: S311 - jitter, not a secret
        self._children: set[Child] = set()  # all that are not gone yet: idle, busy, leaving, or just lost
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._leaving: set[Child] = set()  # by our will
        self._starting: dict[asyncio.Task[Child], int] = {}  # and how many had come to nothing before
        self._waiting: deque[asyncio.Future[Child | NotInvoked]] = deque()
        self._failures = 0  # in a row
        self._failed_ever = 0
        self._not_before = float("-inf")
        self._trouble = ""
        self._closed = False

    async def prepare(self) -> None:
        """Starts the first child. Raises PollerError."""
        self._adopt(await self._start())

    async def ask(self, request: Callable[[], bytes], invocation: Invocation) -> InvocationResult:
        """What a child's answer means, or what became of the call. `request` is called when a child is free.

        A child that had not read the whole request is replaced, and the call none the worse for it. A cancelled
        call ends its child.
        """
        while True:
            child = await self._take(invocation.deadline)
            if not isinstance(child, Child):
                return child
            try:
                answer = await child.ask(request())
                result = self._read(answer) if isinstance(answer, bytes) else None
            except BaseException:
                self._discard(child)
                raise
            if result is not None:
                self._failures = 0
                self._give_back(child)
                return result
            self._discard(child)
            if self._closed:
                return FunctionError("Runtime.Abandoned", "poller stopped before the function was done")
            said, error = self._judge(child, answer, invocation.request_id)
            if not (isinstance(answer, Ended | OutOfTurn) and answer.unread):
                self._failures = 0
                self._tell(child, f"{said} while the function ran")
                return error
            if not child.answered:
                self._failed(said)

    async def close(self) -> None:
        """Idle children end in peace, all others are killed. Returns when nothing is left of them."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        for child in tuple(self._children - self._leaving):
            if child in self._idle:
                self._dismiss(child)
            else:
                self._discard(child)
        self._idle.clear()
        while self._waiting:
            self._waiting.popleft().set_result(NotInvoked("the handler has been closed"))
        if self._starting:
            await asyncio.wait(tuple(self._starting))
        if self._children:
            await asyncio.wait([child.ended for child in self._children])

    # --- who is asked ---

    async def _take(self, deadline: float) -> Child | NotInvoked:
        """A child for this call, which waits for one at most half of its time: what begins too late times out, and
        that would count as an attempt.
        """
        while self._idle:
            child = self._idle.pop()
            if child.usable:
                self._busy.add(child)
                return child
        now = self._clock.now().mono
        if self._closed:
            return NotInvoked("the handler has been closed")
        if now < self._not_before:
            return NotInvoked(
                f"{self._trouble}; another {self._what} is started in {self._not_before - now:.1f} s"
            )
        waiter: asyncio.Future[Child | NotInvoked] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._grow()
        try:
            await asyncio.wait({waiter}, timeout=max(0.0, (deadline - now) / 2))
        except asyncio.CancelledError:
            if waiter.done() and isinstance(given := waiter.result(), Child):
                self._give_back(given)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return waiter.result() if waiter.done() else NotInvoked(f"the {self._what} is still starting")

    def _put(self, child: Child) -> None:
        if self._closed:
            self._dismiss(child)
        elif self._waiting:
            self._busy.add(child)
            self._waiting.popleft().set_result(child)
        else:
            self._idle.append(child)

    def _give_back(self, child: Child) -> None:
        self._busy.discard(child)
        if self._recycle_after is not None and child.answered >= self._recycle_after:
            self._dismiss(child)
            self._grow()
        else:
            self._put(child)

    # --- coming and going ---

    def _grow(self) -> None:
        """Starts children for those who wait, while there is room. Those that were killed and are not gone yet
        take none, but only so many: a system that cannot end them shall not be given ever more.
        """
        now = self._clock.now().mono
        while len(self._waiting) > len(self._starting) and not self._closed and now >= self._not_before:
            coming = len(self._starting)
            staying = len(self._children) - len(self._leaving)
            if coming + staying >= self._size or coming + len(self._children) >= 2 * self._size:
                return
            task = asyncio.ensure_future(self._start())
            self._starting[task] = self._failed_ever
            task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[Child]) -> None:
        failed_before = self._starting.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._adopt(task.result())
            return
        text = str(error) if isinstance(error, PollerError) else f"{type(error).__name__}: {error}"
        if failed_before == self._failed_ever:  # those that were started together fail together
            self._failed(text)
        while len(self._waiting) > len(self._starting):
            self._waiting.popleft().set_result(NotInvoked(text))

    def _adopt(self, child: Child) -> None:
        self._children.add(child)
        child.ended.add_done_callback(partial(self._gone, child))
        self._put(child)

    def _dismiss(self, child: Child) -> None:
        self._leaving.add(child)
        child.dismiss()

    def _discard(self, child: Child) -> None:
        self._busy.discard(child)
        if child in self._children:
            self._leaving.add(child)
        child.kill()

    def _gone(self, child: Child, ended: "asyncio.Future[int]") -> None:
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if child not in self._leaving and child not in self._busy:
            said = _how(child, ended.result())
            if child.babbled:
                said = "it wrote to its standard output although no event was with it, and was ended"
            self._tell(child, f"{said} while it waited for work")
            if not child.answered:
                self._failed(f"{said} before it had read an event")
        self._leaving.discard(child)
        self._grow()

    def _failed(self, reason: str) -> None:
        """A child came to nothing. One may happen; after the second in a row there is a pause before the next."""
        now = self._clock.now()
        self._failures += 1
        self._failed_ever += 1
        pause = delay(self._failures - 1, BACKOFF_FIRST, BACKOFF_CAP, self._random) if self._failures > 1 else 0.0
        self._not_before = now.mono + pause
        self._trouble = f"the {self._what} cannot be had: {reason}"
        self._teller.failure("worker_unusable", reason, self._trouble, now, failures=self._failures)

    # --- what is said ---

    def _judge(self, child: Child, answer: Answer, request_id: str) -> tuple[str, FunctionError]:
        """What happened in words, and the error that it is once the function may have run."""
        match answer:
            case Ended(status, unread):
                said = f"{_how(child, status)}{' before it had read the event' if unread else ''}"
                return said, FunctionError("Runtime.ExitError", _lambdas_words(status, request_id))
            case TooLong():
                said = f"its response has more than {RESPONSE_LIMIT} bytes"
                return said, FunctionError("Function.ResponseSizeTooLarge", f"{said}, and it was ended")
            case OutOfTurn(unread=True):
                said = "it wrote to its standard output before it had read the event"
            case OutOfTurn():
                said = "it wrote more than one line for an event, or one before it had read it to the end"
            case _:
                said = "its response is not one line of JSON"
        return said, FunctionError("Runtime.InvalidResponse", f"{said}, and it was ended")

    def _tell(self, child: Child, text: str) -> None:
        """Something that repeats is told again every 30 s, with a count."""
        text = f"{self._what} {child.pid}: {text}"
        self._teller.failure("worker_ended", text.partition(":")[2], text, self._clock.now(), pid=child.pid)


def ending(status: int) -> str:
    """How a process ended, for people; `status` as Popen.returncode has it."""
    if status >= 0:
        return f"exit code {status}"
    killed = ", as a machine that is short of memory does it" if status == -signal.SIGKILL else ""
    return f"signal {-status} ({_name(-status)}{killed})"


def _how(child: Child, status: int) -> str:
    if child.silent:  # the signal was ours
        return "it closed its standard output, went on, and was ended"
    return f"it ended with {ending(status)}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "of no name"


def _lambdas_words(status: int, request_id: str) -> str:
    """Letter for letter what Lambda says, so that searches and alarms go on finding it."""
    if status > 0:
        why = f"exited with error: exit status {status}"
    elif status < 0:
        why = f"exited with error: signal: {(signal.strsignal(-status) or str(-status)).lower()}"
    else:
        why = "exited without providing a reason"
    return f"RequestId: {request_id} Error: Runtime {why}"
