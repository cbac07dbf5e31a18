"""One invocation with no other beside it: should it end the process, nobody else was there to do it (ERR-5).

Which invocation needs that is core/stream_settle.py's decision. One of these serves all streams of a process.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Container

Turn = asyncio.Future[None]


class Solitude:
    """Who wants to be alone waits until all that run have ended; meanwhile, and until it leaves, none begins."""

    def __init__(self) -> None:
        self._running = 0
        self._alone: Turn | None = None
        self._asking: deque[Turn] = deque()
        self._later: list[Callable[[], None]] = []

    @property
    def wanted(self) -> bool:
        """Whether somebody is alone, or waits to be: then no other invocation may begin."""
        return self._alone is not None or bool(self._asking)

    def later(self, again: Callable[[], None]) -> None:
        """Calls this when invocations may begin once more."""
        self._later.append(again)

    def began(self) -> None:
        """An invocation runs."""
        self._running += 1

    def ended(self) -> None:
        """It does not any more."""
        self._running -= 1
        self._go_on()

    def ask(self) -> Turn:
        """Asks to be alone; done when it is so, or when `leave` was called."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._asking.append(turn)
        self._go_on()
        return turn

    def leave(self, turn: Turn) -> None:
        """It need not be alone, or not any more."""
        if self._alone is turn:
            self._alone = None
        elif turn in self._asking:
            self._asking.remove(turn)
        if not turn.done():
            turn.set_result(None)
        self._go_on()

    def _go_on(self) -> None:
        if self._alone is None and self._asking and not self._running:
            self._alone = self._asking.popleft()
            if not self._alone.done():  # else who waited for it was cancelled, and is about to leave
                self._alone.set_result(None)
        if not self.wanted:
            later, self._later = self._later, []
            for again in later:
                again()


class Retreat:
    """One driver's way there and back: asked for by a Save, used by the invocation that follows, and not left
    before what came of that is written down too; else the next end of the process would be taken for its doing.
    """

    __slots__ = ("_asking", "_running", "_saving", "_solitude", "_unsaved")

    def __init__(self, solitude: Solitude) -> None:
        self._solitude = solitude
        self._asking: Turn | None = None  # by the Save under way
        self._running: tuple[int, Turn] | None = None  # the batch that is alone
        self._unsaved: Turn | None = None  # it has ended
        self._saving = 0  # the Save that has its outcome

    async def enter(self) -> None:
        """Waits until no invocation runs in this process, or `withdraw` is called."""
        self._asking, self._unsaved = self._unsaved or self._solitude.ask(), None
        await self._asking

    def invoking(self, number: int) -> None:
        """A batch is to be invoked; alone, if that was asked for."""
        if self._asking is not None:
            self._running, self._asking = (number, self._asking), None

    def admits(self, number: int) -> bool:
        """Whether this batch may be invoked now."""
        return not self._solitude.wanted or (self._running is not None and self._running[0] == number)

    def invoked(self, number: int) -> None:
        """Its invocation has ended."""
        self._solitude.ended()
        if self._running is not None and self._running[0] == number:
            (_, self._unsaved), self._running, self._saving = self._running, None, 0

    def saving(self, number: int) -> None:
        """A Save is about to be written."""
        if self._unsaved is not None and not self._saving:
            self._saving = number

    def saved(self, number: int, *, written: bool) -> None:
        """That came of it, and the machine knows."""
        self._forget_asking()  # nothing was invoked after all
        if number == self._saving:
            self._saving = 0
            if written:
                self.left()

    def withdraw(self) -> None:
        """What it is asked for will not be invoked: who waits goes on."""
        if self._asking is not None:
            self._solitude.leave(self._asking)

    def close(self, running: Container[int]) -> None:
        """The driver has ended; of its invocations these have not."""
        self._forget_asking()
        self.left()
        if self._running is not None and self._running[0] not in running:
            self._solitude.leave(self._running[1])
            self._running = None

    def left(self) -> None:
        """What came of it is written down, or never will be."""
        turn, self._unsaved = self._unsaved, None
        if turn is not None:
            self._solitude.leave(turn)

    def _forget_asking(self) -> None:
        turn, self._asking = self._asking, None
        if turn is not None:
            self._solitude.leave(turn)
