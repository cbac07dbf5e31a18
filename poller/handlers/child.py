"""One long-lived child process that is asked one thing at a time: one line in, one line out.

How it is started, what it answers or why it does not, and that nothing of it is left. Which child is asked, and
what its lines mean, is not known here.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from poller.core.fact import fact
from poller.errors import ConfigurationError, HandlerError
from poller.handlers.child_output import OutputLines
from poller.handlers.child_pipes import Pipes
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

_NO_SUCH_PROGRAM: Final = {
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELOOP, errno.EISDIR
}  # fmt: skip


@fact
class Ended:
    """The process ended without an answer. `status` is its exit code, or the signal as a negative number.

    `untouched`: it had not read a single byte of what it was asked, so it cannot have acted on it.
    """

    status: int
    untouched: bool


@fact
class TooLong:
    """The answer is longer than allowed; the rest of it was not read."""


@fact
class OutOfTurn:
    """It wrote more than one line, or one before it had read what it was asked (or any of it: `untouched`). Nobody
    could say which line is the answer, and to what.
    """

    untouched: bool


Answer: TypeAlias = bytes | Ended | TooLong | OutOfTurn


class Child:
    """A process in a session of its own: Ctrl-C does not reach it, and its own children end with it.

    After any answer but bytes, and after an `ask` that was cancelled, it is to be killed. `answered` counts its
    answers; `babbled` tells that it was ended for writing without being asked.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", pipes: Pipes, limit: int, teller: Teller) -> None:
        """For `start` only. `limit` is the most bytes of an answer."""
        self.pid = process.pid
        self.answered = 0
        self.babbled = False
        self._process = process
        self._pipes = pipes
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._output = OutputLines(teller, process.pid)
        self._heard = bytearray()
        self._reply: asyncio.Future[bytes | TooLong | None] | None = None
        self._unsent = memoryview(b"")
        self._asked = self._written = 0  # bytes of all requests, and those of them that the pipe took
        self._read_in_all = 0
        self._look_again: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._answers = _Answers(self._hear, self._over.set)
        self._ends: list[tuple[asyncio.Event, asyncio.BaseTransport]] = []
        self._patience = LAST_WORDS
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """Its status, once nothing is left of it; not to be cancelled."""
        self._life = self._loop.create_task(self._live(), name=f"esm:child:{process.pid}")

    @classmethod
    async def start(
        cls, command: Sequence[str], named: str, limit: int, teller: Teller, *, apart: bool
    ) -> "Child":
        """Runs the command. With `apart` the descriptors of requests, answers and lifeline are its last arguments,
        and all that it prints is passed on; without, they are its standard input and output, and what it writes
        to standard error is passed on.

        Raises ConfigurationError when there is no such program, HandlerError when the system has no room for it
        now; `named` is what the sentence calls it.
        """
        try:
            pipes = Pipes()
        except OSError as error:
            raise HandlerError(f"{named} cannot be started now: {error.strerror}") from error
        try:
            process = _popen(command, pipes, apart=apart)
        except (OSError, ValueError) as error:
            pipes.abandon()
            text = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if isinstance(error, ValueError) or error.errno in _NO_SUCH_PROGRAM:
                raise ConfigurationError(f"{named}: {command[0]!r} cannot be started: {text}.") from error
            raise HandlerError(f"{named} cannot be started now: {text}") from error
        pipes.tie(process.pid)
        child = cls(process, pipes, limit, teller)
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
        before = self._asked
        if not self._over.is_set():
            self._asked += len(request)
            self._unsent = memoryview(request)
            self._reply = self._loop.create_future()
            self._look_again = self._loop.call_later(LOOK_EVERY, self._look)
            try:
                self._send()
                reply = await self._reply
            finally:
                self._look_again.cancel()
                self._reply, self._unsent = None, memoryview(b"")
            match reply:
                case TooLong():
                    return reply
                case bytes():
                    # the line break itself need not be read by a program that sees the end of a JSON object
                    if self.babbled or b"\n" in reply or self._count_read() < self._asked - 1:
                        return OutOfTurn(untouched=self._count_read() <= before)
                    self.answered += 1
                    return reply
        status = await asyncio.shield(self.ended)
        return Ended(status, untouched=self._read_in_all <= before)

    def kill(self) -> None:
        """Ends it and its own children; returns before they are gone."""
        self._patience = 0.0
        self._signal()
        self._over.set()

    async def end(self) -> None:
        """Kills it and waits until it is gone."""
        self.kill()
        await asyncio.shield(self.ended)

    def dismiss(self) -> None:
        """Ends one that is not being asked, in peace: its input ends, and it has some time to follow."""
        if not self._over.is_set():
            self._patience = FAREWELL
            self._stop_sending()
            self._over.set()

    # --- its wires ---

    async def _listen(self) -> None:
        transport, _ = await self._loop.connect_read_pipe(lambda: self._output, self._pipes.output)
        self._ends.append((self._output.ended, transport))
        transport, _ = await self._loop.connect_read_pipe(lambda: self._answers, self._pipes.answers)
        self._ends.append((self._answers.ended, transport))

    def _send(self) -> None:
        """As much as the pipe takes now, the rest when it has room again."""
        try:
            while self._unsent:
                count = os.write(self._pipes.requests, self._unsent)
                self._written += count
                self._unsent = self._unsent[count:]
        except BlockingIOError:
            self._loop.add_writer(self._pipes.requests, self._send)
        else:
            self._loop.remove_writer(self._pipes.requests)

    def _stop_sending(self) -> None:
        if self._pipes.requests >= 0:
            self._read_in_all = self._count_read()
            self._loop.remove_writer(self._pipes.requests)
            self._pipes.end_requests()

    def _count_read(self) -> int:
        """Bytes of all requests that the process took out of the pipe."""
        if self._pipes.unread < 0:
            return self._read_in_all
        waiting = fcntl.ioctl(self._pipes.unread, termios.FIONREAD, bytes(4))
        return self._written - int.from_bytes(waiting, sys.byteorder)

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
        self._stop_sending()
        os.close(self._pipes.lifeline)
        for ended, transport in self._ends:
            transport.close()
            await ended.wait()
        self._pipes.answers.close()
        self._pipes.output.close()
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


def _popen(command: Sequence[str], pipes: Pipes, *, apart: bool) -> "subprocess.Popen[bytes]":
    """By spawning (vfork and exec), which is safe beside threads. Raises OSError, or ValueError for a command that
    no system takes.
    """
    if apart:
        ends = (pipes.unread, pipes.child_answers, pipes.child_lifeline)
        return subprocess.Popen(  # noqa: S603 - our own program
            [*command, *map(str, ends)],
            stdin=subprocess.DEVNULL,
            stdout=pipes.child_output,
            stderr=pipes.child_output,
            pass_fds=ends,
            start_new_session=True,
        )
    return subprocess.Popen(  # noqa: S603 - the user's own command, and no shell
        command,
        stdin=pipes.unread,
        stdout=pipes.child_answers,
        stderr=pipes.child_output,
        pass_fds=(pipes.child_lifeline,),
        start_new_session=True,
    )


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already, or another user's by now (sudo)
        os.killpg(pid, signal.SIGKILL)
