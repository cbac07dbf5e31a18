"""One child process, asked line by line: every way in which it can end, and that nothing is left of it (INV-9)."""

import asyncio
import errno
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from poller.errors import ConfigurationError, HandlerError
from poller.handlers import child as module
from poller.handlers.child import Child, Ended, OutOfTurn, TooLong
from poller.handlers.child_pipes import Pipes
from poller.telling import Teller
from tests.unit.handlers.processes import alive, descriptors, known, until
from tests.unit.runtime.rig import DEADLINE

TELLER = Teller("orders", logging.getLogger("poller"))
LIMIT = 100_000


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    first = await Child.start(["true"], "exec:true", LIMIT, TELLER, apart=False)
    await first.end()  # with its first pipe an event loop takes a descriptor that it keeps
    before = descriptors()
    yield
    assert descriptors() == before


@pytest.fixture
async def shell():
    """shell(script): a child that is gone afterwards; it runs in /bin/sh, whose `read` takes one line only."""
    made: list[Child] = []

    async def start(script: str, limit: int = LIMIT) -> Child:
        made.append(await Child.start(["sh", "-c", script], "exec:it", limit, TELLER, apart=False))
        return made[-1]

    yield start
    for child in made:
        await child.end()
        assert not known(child.pid)


ECHO = 'while read -r line; do echo "$line"; done'


async def test_it_answers_line_by_line(shell):
    child = await shell(ECHO)
    for number in range(3):
        assert await child.ask(f"line {number}\n".encode()) == f"line {number}".encode()
    assert child.answered == 3
    assert child.usable


async def test_requests_and_answers_larger_than_any_pipe(shell):
    code = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line), sys.stdout.buffer.flush()"
    child = await shell("exec " + shlex.join([sys.executable, "-S", "-c", code]), limit=3_000_000)
    for size in (3_000_000, 1, 2_000_000):
        assert await child.ask(b"x" * size + b"\n") == b"x" * size


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", -9), ("kill -SEGV $$", -11), ("exec >&-; sleep 600", -9)],
)
async def test_an_end_with_its_reason_and_whether_it_had_read_everything(shell, script, status, monkeypatch):
    if "sleep" in script:  # the others end by themselves, on a slow machine slowly
        monkeypatch.setattr(module, "LAST_WORDS", 0.05)
    for size in (10, 1_000_000):
        request = b"x" * size + b"\n"
        assert await (await shell(script)).ask(request) == Ended(status, unread=True)
        assert await (await shell(f"head -c 1 >/dev/null; {script}")).ask(request) == Ended(status, unread=True)
        reading = await shell(f"head -c {size} >/dev/null; {script}")
        assert await reading.ask(request) == Ended(status, unread=False)
        assert not reading.usable
        second = await shell(f"read -r line; echo ok; {script}")
        assert await second.ask(b"first\n") == b"ok"
        assert await second.ask(request) == Ended(status, unread=True)


async def test_an_answer_just_before_the_end_counts(shell):
    child = await shell("read -r line; echo done")
    assert await child.ask(b"x\n") == b"done"
    await until(lambda: not child.usable, "its end to be noticed")


async def test_an_end_while_it_is_idle_is_known_before_the_loop_hears_of_it(shell):
    child = await shell(ECHO)
    assert await child.ask(b"x\n") == b"x"
    os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while child.usable:  # nothing is awaited: the event loop has no chance to tell
        assert time.monotonic() < deadline


async def test_the_longest_answer_and_one_that_is_longer(shell):
    longest = "read -r line; head -c %d /dev/zero | tr '\\0' x; echo; cat"
    assert await (await shell(longest % LIMIT)).ask(b"x\n") == b"x" * LIMIT
    assert await (await shell(longest % (LIMIT + 1))).ask(b"x\n") == TooLong()


async def test_an_answer_without_end_is_cut_off(shell):
    child = await shell("read -r line; tr '\\0' x </dev/zero")
    assert await child.ask(b"x\n") == TooLong()
    assert len(child._heard) == 0
    await until(lambda: not child.usable, "it to be ended, as it went on")
    assert len(child._heard) == 0


@pytest.mark.parametrize(
    ("script", "unread"),
    [
        ("echo ready; cat", True),
        ("printf rea; read -r line; echo dy", True),
        ("read -r line; printf 'one\\ntwo\\n'; cat", False),
        ("read -r line; printf 'one\\ntw'; cat", False),
        ("head -c 5 >/dev/null; echo early; sleep 600", True),
    ],
)
async def test_a_line_out_of_turn_answers_nothing(shell, script: str, unread: bool):
    """At whichever moment it is heard: a line that was there before the request was read is never its answer."""
    for _ in range(5):
        child = await shell(script)
        answer = await child.ask(b'{"n": 12345678}\n')
        assert answer in (OutOfTurn(unread=unread), OutOfTurn(unread=True))
        assert child.answered == 0
        await child.end()


async def test_what_it_says_after_its_answer_does_not_answer_the_next_request(shell):
    """Its second line comes when the next request is on its way already."""
    child = await shell("while read -r line; do echo one; sleep 0.05; echo two; done")
    assert await child.ask(b"first\n") == b"one"
    assert await child.ask(b"second\n") == OutOfTurn(unread=True)


@pytest.mark.parametrize("script", ["echo ready; cat", "printf rea; cat"])
async def test_a_greeting_that_the_event_loop_has_not_heard_yet(shell, script: str):
    """The loop is blocked until the greeting is there and the beginning of the request was read."""
    child = await shell(f"sleep 0.05; {script}")
    task = asyncio.create_task(child.ask(b"{}\n"))

    def block() -> None:
        deadline = time.monotonic() + 30
        while not child._requests.taken:
            assert time.monotonic() < deadline

    asyncio.get_running_loop().call_soon(block)
    assert await task == OutOfTurn(unread=True)


async def test_a_line_before_the_last_bytes_were_read(shell):
    child = await shell("head -c 7 >/dev/null; sleep 0.05; echo early; sleep 600")
    assert await child.ask(b'{"n": 1}\n') == OutOfTurn(unread=True)


async def test_a_second_line_in_the_moment_of_the_first(shell):
    child = await shell("read -r line; sleep 600")
    task = asyncio.create_task(child.ask(b"{}\n"))
    await until(lambda: child._requests._asked > 0 and not child._requests.unread, "the request to be read")
    child._hear(b"one\n")
    child._hear(b"two\n")
    assert await task == OutOfTurn(unread=False)


async def test_who_speaks_unasked_is_ended(shell, tmp_path: Path):
    read = tmp_path / "the answer was read"
    child = await shell(
        f"read -r line; echo one; while [ ! -e '{read}' ]; do sleep 0.01; done; echo two; exec cat"
    )
    assert await child.ask(b"x\n") == b"one"
    read.touch()
    assert await child.ended == -9
    assert child.babbled
    assert await child.ask(b"x\n") == OutOfTurn(unread=True)  # and not that somebody has killed it


async def test_a_program_that_needs_no_line_break_to_know_the_end(shell):
    child = await shell("head -c 2 >/dev/null; echo ok; exec cat >/dev/null")
    assert await child.ask(b"{}\n") == b"ok"


async def test_a_cancelled_question_and_a_kill_end_it(shell):
    child = await shell("read -r line; sleep 600")
    task = asyncio.create_task(child.ask(b"x" * 1_000_000 + b"\n"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    child.kill()
    assert await asyncio.wait_for(child.ended, 30) == -9


OFFSPRING = "sleep 600 & echo $!; "


@pytest.mark.parametrize("end", ["cat >/dev/null; exit 0", "read -r again; exit 1", "read -r again; kill -9 $$"])
async def test_what_it_started_ends_with_it(shell, end: str, monkeypatch: pytest.MonkeyPatch):
    """The pipe stays open in the offspring: the end is seen all the same."""
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    child = await shell(f"read -r line; {OFFSPRING}{end}")
    pid = int(await child.ask(b"x\n"))
    assert alive(pid)
    if "again" in end:
        assert isinstance(await asyncio.wait_for(child.ask(b"x\n"), 30), Ended)
    else:
        child.dismiss()
        assert await child.ended == 0
    await until(lambda: not alive(pid), "the offspring to end")


@pytest.mark.skipif(shutil.which("setsid") is None, reason="only Linux has the command")
async def test_what_made_itself_independent_is_let_go_and_holds_nothing_up(shell, monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(module, "LAST_WORDS", 0.1)
    # it tells its number itself: before that it may still be in the group that is killed
    child = await shell("read -r line; setsid sh -c 'echo $$; exec sleep 600' & read -r again; exit 5")
    pid = int(await child.ask(b"x\n"))
    try:
        assert await asyncio.wait_for(child.ask(b"x\n"), 30) == Ended(5, unread=False)
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_dismissed_it_may_finish(shell, tmp_path: Path):
    child = await shell(f"read -r line; echo ok; cat; echo bye > {tmp_path}/bye")
    await child.ask(b"x\n")
    child.dismiss()
    child.dismiss()
    assert await child.ended == 0
    assert (tmp_path / "bye").read_text() == "bye\n"


async def test_dismissed_but_deaf_it_is_killed(shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FAREWELL", 0.05)
    child = await shell("trap '' TERM HUP INT; while :; do sleep 600; done")
    child.dismiss()
    assert await child.ended == -9


async def test_who_goes_on_without_an_end_to_answer_on_is_ended_and_known_for_it(shell, monkeypatch):
    """Nobody else has killed it; and whoever ends by itself, or is killed by others, is not such a one."""
    monkeypatch.setattr(module, "LAST_WORDS", 0.05)
    child = await shell("read -r line; exec >&-; sleep 600")
    assert await child.ask(b"x\n") == Ended(-9, unread=False)
    assert child.silent
    monkeypatch.setattr(module, "LAST_WORDS", 30.0)
    for end, status in (("exec >&-; exit 3", 3), ("kill -9 $$", -9), ("exec >&-; kill -9 $$", -9)):
        child = await shell(f"read -r line; {end}")
        assert await child.ask(b"x\n") == Ended(status, unread=False)
        assert not child.silent
    child = await shell("exec >&-; sleep 600")
    await child.end()
    assert not child.silent


async def test_ctrl_c_in_a_terminal_does_not_reach_it(shell):
    child = await shell(ECHO)
    assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid != os.getsid(0)


def test_an_event_loop_that_ends_without_closing_it_takes_it_along():
    async def main() -> int:
        child = await Child.start(["sleep", "600"], "exec:it", LIMIT, TELLER, apart=False)
        return child.pid

    pid = asyncio.run(main())
    assert not alive(pid)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: folder / "missing", "No such file"),
        (lambda folder: folder, "Permission denied"),
        (lambda folder: _file(folder, "plain", "#!/bin/sh\n", 0o644), "Permission denied"),
        (lambda folder: _file(folder, "shapeless", "echo hello\n", 0o755), "Exec format error"),
        (lambda folder: _file(folder, "orphan", "#!/no/such/interpreter\n", 0o755), "No such file"),
        (lambda folder: "nul\0", "null byte"),
    ],
)
async def test_a_program_that_cannot_be_started_is_a_matter_of_configuration(make: Callable, why, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=f"exec:it: .* cannot be started: .*{why}"):
        await Child.start([str(make(tmp_path))], "exec:it", LIMIT, TELLER, apart=False)


def _file(folder: Path, name: str, text: str, mode: int) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
async def test_a_system_without_room_is_not(number: int, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args, **fields):
        raise OSError(number, os.strerror(number))

    for owner, name in ((subprocess, "Popen"), (os, "pipe")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            with pytest.raises(HandlerError, match=f"exec:it cannot be started now: {os.strerror(number)}"):
                await Child.start(["cat"], "exec:it", LIMIT, TELLER, apart=False)


async def test_descriptors_that_run_out_half_way_are_given_back(monkeypatch: pytest.MonkeyPatch):
    pipe, calls = os.pipe, []

    def third_fails():
        calls.append(None)
        if len(calls) == 3:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pipe()

    monkeypatch.setattr(os, "pipe", third_fails)
    with pytest.raises(HandlerError):
        await Child.start(["cat"], "exec:it", LIMIT, TELLER, apart=False)


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a program has to see for itself that its input ends"
)
def test_when_we_are_killed_a_program_that_does_not_listen_ends_too():
    """kill -9 of the poller: the program is in the middle of something, and so is what it has started."""
    code = """
        import asyncio, logging
        from poller.handlers.child import Child
        from poller.telling import Teller
        async def main():
            script = "trap '' TERM HUP INT; sleep 600 & echo $$ $!; wait"
            teller = Teller("orders", logging.getLogger("poller"))
            child = await Child.start(["sh", "-c", "read -r line; " + script], "it", 100, teller, apart=False)
            print((await child.ask(b"x\\n")).decode(), flush=True)
            await child.ask(b"again\\n")
        asyncio.run(main())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(text) for text in parent.stdout.readline().split()]
    try:
        assert all(map(alive, pids))
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 30
        while any(map(alive, pids)):
            assert time.monotonic() < deadline, "orphans go on running"
            time.sleep(0.01)
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("turns", range(8))
async def test_a_start_that_is_cancelled_at_any_point_ends_and_closes_everything_once(turns):
    """Ctrl-C while the process is starting: uvloop closes by itself the descriptor that it was about to watch."""
    task = asyncio.create_task(Child.start(["sleep", "600"], "exec:it", LIMIT, TELLER, apart=False))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        async with asyncio.timeout(DEADLINE):
            child = await task
    except asyncio.CancelledError:
        return
    await child.end()


async def test_a_second_ctrl_c_in_the_middle_of_closing_closes_nothing_twice(shell, monkeypatch):
    """It is an exception between any two steps; the number of what is closed may be another's already."""
    child = await shell("sleep 600")
    close, closed = os.close, []

    def interrupted(descriptor):
        closed.append(descriptor)
        close(descriptor)
        if len(closed) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            child.dismiss()
    async with asyncio.timeout(DEADLINE):
        await child.end()


async def test_what_the_event_loop_closes_by_its_number_is_not_closed_through_its_object_too():
    """uvloop does both, one after the other, and another thread may have been given the number in between."""
    pipes = Pipes()
    pipes.lend(pipes.answers).close()
    if isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(pipes.answers)
    else:
        os.close(pipes.answers)  # it is still there
    pipes.abandon()
