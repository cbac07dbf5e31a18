"""`python -m poller`, forked from a process that has made the imports, which are most of what a start costs.

What is forked has a session, a folder, an environment and standard streams of its own, runs `poller` as `-m` does
and ends as any interpreter does; only what its imports would have seen is that of their process, and what botocore
finds out for each session is found out. The tests of README.md and of closed streams start the interpreter itself.

However the tests end, kill -9 included: what was forked for them is killed.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import Any

from aiobotocore.session import AioSession

from tests.botocore_once import find_out_once

ROOT = Path(__file__).resolve().parents[2]
_IMPORTED = (
    "poller.cli",
    "poller.daemon",
    "poller.demo",
    "poller.ending",
    "poller.output",
    "poller.check",
    "poller.checkpoint",
    "poller.operate.shown",
    "poller.operate.trial",
    "poller.statusfetch",
    "poller.statusview",
    "poller.testing.process",
    "concurrent.futures.thread",
    "encodings.idna",
)
_LONGEST = 1 << 20  # bytes of a request
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}  # as in daemon.environment()


class Process:
    """What the tests use of subprocess.Popen."""

    def __init__(self, pid: int, ending: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ending = ending  # a pipe that brings the exit code

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float) -> int:
        """Its exit code, negative for a signal. Raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"poller (pid {self.pid})", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Itself and all of its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._ending], [], [], seconds)[0]:
            told = os.read(self._ending, 16)
            assert told, "the process that forks has ended"
            self.returncode = int(told)
            os.close(self._ending)
        return self.returncode


class Parent:
    """The process that has made the imports."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.forked", str(theirs.fileno())],
                cwd=ROOT,
                env=os.environ | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, arguments: tuple[str, ...], cwd: Path, env: dict[str, str], *files: int) -> Process:
        """`poller ARGUMENTS`, its output in the first two of these open files, its input from the third if any."""
        request = json.dumps([arguments, str(cwd), env]).encode()
        assert len(request) < _LONGEST
        ending, its_ending = os.pipe()
        try:
            socket.send_fds(self._control, [request], [its_ending, *files])
            told = self._control.recv(16)
            assert told, "the process that forks has ended; what it said stands in the output of the tests"
            return Process(int(told), ending)
        finally:
            os.close(its_ending)

    def end(self) -> None:
        self._control.close()
        self._process.wait()


_parent: Parent | None = None


@contextlib.contextmanager
def parent_at_hand() -> Iterator[None]:
    """What the block has needed of it is gone afterwards."""
    global _parent  # noqa: PLW0603 - one a process of tests
    yield
    if _parent is not None:
        _parent.end()
        _parent = None


def start(
    arguments: tuple[str, ...], cwd: Path, env: dict[str, str], out: int, err: int, stdin: int | None = None
) -> Process:
    """Runs `poller ARGUMENTS` in the folder; its output goes into these open files, its input is empty unless
    given.
    """
    global _parent  # noqa: PLW0603 - the same one
    _parent = _parent or Parent()
    return _parent.fork(arguments, cwd, env, out, err, *(() if stdin is None else (stdin,)))


# --- in the process that has made the imports ---


def serve(control: socket.socket) -> list[Any]:
    """Returns in each forked process, with its request; ends with those whom it forks for."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    endings: dict[int, int] = {}
    while True:
        ready = select.select([control, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 1024)  # before it is looked who has ended: whoever ends after that wakes it again
        while endings and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            with contextlib.suppress(OSError):  # nobody waits for it any more
                os.write(endings[pid], str(os.waitstatus_to_exitcode(status)).encode())
            os.close(endings.pop(pid))
        if control not in ready:
            continue
        request, files, _, _ = socket.recv_fds(control, _LONGEST, 4)
        if not request:
            for pid in endings:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            sys.exit()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for file in (woken, wake, files[0], *endings.values()):
                os.close(file)
            os.setsid()
            control.sendall(str(os.getpid()).encode())  # only now may its session be killed
            control.close()
            for number, file in zip((1, 2, 0), files[1:], strict=False):
                os.dup2(file, number)
                os.close(file)
            return json.loads(request)
        endings[pid] = files[0]
        for file in files[1:]:
            os.close(file)


def become(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    """`python -m poller ARGUMENTS`, started there."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    # what was made for another file remembers what that one could do, such as be read from any place
    sys.stdout = TextIOWrapper(FileIO(1, "w", closefd=False), "utf-8", write_through=True)
    sys.path.insert(0, cwd)
    sys.argv[1:] = arguments
    runpy.run_module("poller", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    del sys.path[0]  # the root of the project: what is installed is what is tested
    for module in _IMPORTED:
        __import__(module)
    find_out_once(setattr)
    AioSession()  # and now all that each has
    with contextlib.suppress(ImportError):  # not on every platform
        __import__("uvloop")
    gc.collect()
    gc.freeze()  # else each would write to all of this memory, and so copy it, when its collector looks at it
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))
