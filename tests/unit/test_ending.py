"""What stands in the way of the process's end, when all is done (promise 4)."""

import subprocess
import sys
import threading

import pytest

from poller.ending import ending_soon

PROGRAM = """
import asyncio, atexit, os, sys, threading

from poller.ending import ending_soon
from poller.errors import StopDeadlinePassed

FOR_EVER = threading.Event()


async def thread_of_the_loop():
    asyncio.get_running_loop().run_in_executor(None, FOR_EVER.wait)  # the end of the loop waits for it


async def thread_of_the_handler():
    threading.Thread(target=FOR_EVER.wait).start()  # the interpreter waits for it


async def exporter():
    atexit.register(FOR_EVER.wait)


async def abandoned():
    await thread_of_the_loop()
    raise StopDeadlinePassed("too late")


async def bug():
    await thread_of_the_loop()
    raise ValueError("a bug")


for work in (thread_of_the_loop, thread_of_the_handler, exporter, abandoned, bug):
    child = os.fork()
    if not child:
        asyncio.run(ending_soon(work(), within=0.01))
        sys.exit(99)
    print(work.__name__, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_the_process_ends_with_the_code_of_its_work() -> None:
    """Also where that is how it failed; and it says what has kept it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert dict(line.split() for line in done.stdout.splitlines()) == {
        "thread_of_the_loop": "0",
        "thread_of_the_handler": "0",
        "exporter": "0",
        "abandoned": "3",
        "bug": "1",
    }
    assert done.stderr.count("the process has not ended by itself") == 5
    assert "ValueError: a bug" in done.stderr


async def test_what_the_work_returns_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> int:
        return 42

    monkeypatch.setattr(threading.Thread, "start", lambda self: None)
    assert await ending_soon(work()) == 42
