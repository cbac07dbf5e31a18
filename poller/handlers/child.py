"""One long-lived child process that is asked one thing at a time: one line in, one line out.

How it is started, what it answers or why it does not, and that nothing of it is left. Which child is asked, and
what its lines mean, is not known here.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from poller.core.fact import fact
from poller.handlers.child_output import OutputLines
from poller.handlers.child_pipes import Pipes, waiting
from poller.handlers.child_requests import END, Requests
from poller.handlers.child_spawn import spawn
from poller.telling import Teller

LAST_WORDS: Final = 1.0
"""Seconds for a process that closed its end to exit, and afterwards for what it wrote to arrive."""

FAREWELL: Final = 2.0
"""Seconds for a process to exit by itself when it is wanted no more."""

UNKILLABLE: Final = 10.0
"""Seconds after which a killed process is left to the system: one that waits for a broken disk cannot be ended."""

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether a busy child lives: its end shows by itself, unless its own children keep the
pipe open."""


@fact
class Ended:
    """The process ended without an answer. `status` is its exit code, or the signal as a negative number.

    `unread`: it had not read to the end what it was asked, so it cannot have acted on it.
    """

    status: int
    unread: bool


@fact
class TooLong:
    """The answer is longer than allowed; the rest of it was not read."""


@fact
class OutOfTurn:
    """It wrote more than one line, or one before it had read to the end what it was asked (`unread`). Nobody could
    say which line is the answer, and to what.
    """

    unread: bool


Answer: TypeAlias = bytes | Ended | TooLong | OutOfTurn


class Child:
    """A process in a session of its own: Ctrl-C does not reach it, and its own children end with it.

    After any answer but bytes, and after an `ask` that was cancelled, it is to be killed. `answered` counts its
    answers; `babbled` tells that it was ended for writing without being asked, `silent` that it was because it had
    closed the end on which it answers.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", pipes: Pipes, limit: int, teller: Teller, *, wary: bool
    ) -> None:
        """For `start` only. `limit` is the most bytes of an answer."""
        self.pid = process.pid
        self.answered = 0
        self.babbled = False
        self.silent = False
        self._process = process
        self._pipes = pipes
        self._limit = limit
        self._wary = wary
        self._loop = asyncio.get_running_loop()
        self._output = OutputLines(teller, process.pid)
        self._heard = bytearray()
        self._reply: asyncio.Future[bytes | TooLong | None] | None = None
        self._requests = Requests(pipes.requests, pipes.unread)
        self._look_again: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._answers = _Answers(self._hear, self._over.set)
        self._ends: list[tuple[asyncio.Event, asyncio.BaseTransport]] = []
        self._patience = LAST_WORDS
        self._wanted = True
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """Its status, once nothing is left of it; not to be cancelled."""
        self._life = self._loop.create_task(self._live(), name=f"esm:child:{process.pid}")

    @classmethod
    async def start(
        cls, command: Sequence[str], named: str, limit: int, teller: Teller, *, apart: bool
    ) -> "Child":
        """Runs the command. With `apart` the descriptors of requests, answers and lifeline are its last arguments,
        and all that it prints is passed on. Without, they are its standard input and output, and what it writes
        to standard error is passed on; it is then asked warily, because a program may print a greeting.

        Raises ConfigurationError when there is no such program, HandlerError when the system has no room for it
        now; `named` is what the sentence calls it.
        """
        process, pipes = spawn(command, named, apart=apart)
        child = cls(process, pipes, limit, teller, wary=not apart)
        try:
            await child._listen()
        except BaseException:
            await child.end()
            raise
        return child

    @property
    def usable(self) -> bool:
        """Whether it can be asked; it lives, as the system has it this very moment."""
        return not self._over.is_set() and not self._has_exited()

    async def ask(self, request: bytes) -> Answer:
        """Sends a line, which has its line break, and waits for the one that answers it, which comes without."""
        if self._over.is_set():
            status = await asyncio.shield(self.ended)
            return OutOfTurn(unread=True) if self.babbled else Ended(status, unread=True)
        self._requests.begin(len(request))
        self._reply = self._loop.create_future()
        self._look_again = self._loop.call_later(LOOK_EVERY, self._look)
        try:
            if self._wary and not await self._listens(request[:-END]):
                return OutOfTurn(unread=True)
            self._requests.send(request[-END:] if self._wary else request)
            reply = await self._reply
        finally:
            self._look_again.cancel()
            self._reply = None
        match reply:
            case None:
                return Ended(await asyncio.shield(self.ended), self._requests.unread)
            case bytes():
                if self._requests.unread or self.babbled or b"\n" in reply:
                    return OutOfTurn(self._requests.unread)
                self.answered += 1
        return reply

    def kill(self) -> None:
        """Ends it and its own children; returns before they are gone."""
        self._patience, self._wanted = 0.0, False
        self._signal()
        self._over.set()

    async def end(self) -> None:
        """Kills it and waits until it is gone."""
        self.kill()
        await asyncio.shield(self.ended)

    def dismiss(self) -> None:
        """Ends one that is not being asked, in peace: its input ends, and it has some time to follow."""
        if not self._over.is_set():
            self._patience, self._wanted = FAREWELL, False
            self._requests.close()
            self._over.set()

    # --- its wires ---

    async def _listen(self) -> None:
        transport, _ = await self._loop.connect_read_pipe(
            lambda: self._output, self._pipes.lend(self._pipes.output)
        )
        self._ends.append((self._output.ended, transport))
        transport, _ = await self._loop.connect_read_pipe(
            lambda: self._answers, self._pipes.lend(self._pipes.answers)
        )
        self._ends.append((self._answers.ended, transport))

    async def _listens(self, beginning: bytes) -> bool:
        """Sends all but the end of a request, and waits until it was read: whatever the process writes before that
        is no answer. What it wrote at its start, or after its last answer, would else pass for one, and a batch
        that nobody has seen would count as done. False when it wrote something; of its end the caller will hear.
        """
        assert self._reply is not None
        self._requests.send(beginning)
        pause = 0.0
        while not self._reply.done() and not self._requests.taken:
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, 0.001), 0.02)
        if self._reply.done():
            return self._reply.result() is None
        silent = self._answers.ended.is_set()  # what has closed its end says nothing any more
        return not self._heard and (silent or waiting(self._pipes.answers) == 0)

    def _hear(self, data: bytes) -> None:
        if self._reply is None or self._reply.done():
            self.babbled = True
            self.kill()
            return
        self._heard += data
        whole = b"\n" in data
        if len(self._heard) - whole > self._limit:
            self._heard.clear()
            self._reply.set_result(TooLong())
        elif whole:
            line = bytes(self._heard)
            self._heard.clear()
            self._reply.set_result(line.removesuffix(b"\n"))

    def _look(self) -> None:
        if not self._has_exited():
            self._look_again = self._loop.call_later(LOOK_EVERY, self._look)

    # --- its end ---

    def _has_exited(self) -> bool:
        """Asks the system; the one place that takes note of the exit.

        What the process had started is ended in the same breath: now nobody else can have the number of its group.
        """
        if self._process.returncode is None:
            if self._process.poll() is None:
                return False
            _kill_group(self.pid)
            self._over.set()
        return True

    def _signal(self) -> None:
        if not self._has_exited():
            _kill_group(self.pid)

    async def _live(self) -> None:
        try:
            await self._over.wait()
            if not await self._exits_within(self._patience):
                self.silent = self._wanted
                self._signal()
                await self._exits_within(UNKILLABLE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):  # one that made itself independent may hold the pipes
                    for ended, _ in self._ends:
                        await ended.wait()
        except asyncio.CancelledError:  # the event loop ends, and nobody has closed us
            self._signal()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LAST_WORDS)
            raise
        finally:
            await self._bury()

    async def _bury(self) -> None:
        self._requests.close()
        os.close(self._pipes.lifeline)
        for ended, transport in self._ends:
            transport.close()
            await ended.wait()
        self._pipes.close_not_lent()
        status = self._process.returncode
        self.ended.set_result(-signal.SIGKILL if status is None else status)
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(None)

    async def _exits_within(self, seconds: float) -> bool:
        until, pause = self._loop.time() + seconds, 0.001
        while not self._has_exited():
            if self._loop.time() >= until:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)
        return True


class _Answers(asyncio.Protocol):
    """The reading end of the answers; `ended` is set when it is closed."""

    def __init__(self, hear: Callable[[bytes], None], silent: Callable[[], None]) -> None:
        self._hear = hear
        self._silent = silent
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent()
        self.ended.set()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already, or another user's by now (sudo)
        os.killpg(pid, signal.SIGKILL)
