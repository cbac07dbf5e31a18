"""What the other tests start is what `python -m poller` is: it only starts sooner."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance import daemon, forked

# The module of a handler sees its process as any code of a user does.
FACTS = """
import json, os, pathlib, random, signal, sys
facts = {
    "arguments": sys.argv,
    "path": sys.path,
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "main": [sys.modules["__main__"].__name__, sys.modules["__main__"].__spec__.name],
    "files": [number for number in range(3, 100) if os.path.exists(f"/dev/fd/{number}")],
    "streams": [[stream.write_through, stream.encoding] for stream in (sys.stdout, sys.stderr)],
    "signals": [str(signal.getsignal(one)).partition(" at 0x")[0] for one in sorted(signal.valid_signals())],
    "leader": os.getsid(0) == os.getpid(),
}
pathlib.Path("facts.json").write_text(json.dumps(facts))
print(random.random())
def good(event, context): ...
"""
MAPPING = {
    "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q",
    "FunctionName": "python:handlers:good",
}
STARTING = """
import pathlib, sys
from tests.acceptance import daemon
folder = pathlib.Path(sys.argv[1])
with daemon.running(folder, daemon.environment("http://127.0.0.1:9")) as running:
    running.base()
    print(running.process.pid, flush=True)
    sys.stdin.read()
"""


def test_it_is_what_the_interpreter_starts(tmp_path: Path) -> None:
    """Arguments, folder, environment, open files, signals, the main module: all the same; chance is not."""
    daemon.write(tmp_path, MAPPING, handlers=FACTS)
    env = daemon.environment(ANYTHING="ü")
    command = ("check", "-c", "poller.yaml")
    real = subprocess.run(
        [sys.executable, "-m", "poller", *command],
        check=False,
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    wanted = json.loads((tmp_path / "facts.json").read_text())
    (tmp_path / "facts.json").unlink()
    done = [daemon.poller(*command, cwd=tmp_path, env=env) for _ in range(2)]
    assert json.loads((tmp_path / "facts.json").read_text()) == wanted
    drawn, _, told = real.stdout.partition("\n")
    for one in done:
        assert (one.returncode, one.stderr) == (real.returncode, real.stderr) == (0, "")
        assert one.stdout.partition("\n")[2] == told
    assert len({drawn, *(one.stdout.partition("\n")[0] for one in done)}) == 3


def test_its_end_is_told(tmp_path: Path) -> None:
    """An exit code, or the signal that has ended it."""
    daemon.write(tmp_path, MAPPING, handlers=FACTS)
    with (
        daemon.running(tmp_path, daemon.environment("http://127.0.0.1:9")) as killed,
        daemon.running(tmp_path, daemon.environment("http://127.0.0.1:9"), "--no-such-option") as refused,
    ):
        assert refused.wait() == 2
        assert killed.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            killed.wait(0.01)
        killed.signal(signal.SIGKILL)
        assert killed.wait() == killed.process.poll() == -signal.SIGKILL


def test_it_ends_with_the_tests_that_were_killed(tmp_path: Path) -> None:
    """Nobody could have ended it."""
    daemon.write(tmp_path, MAPPING, handlers=FACTS)
    with subprocess.Popen(
        [sys.executable, "-c", STARTING, str(tmp_path)],
        cwd=forked.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        tests.kill()
    deadline = time.monotonic() + daemon.DEADLINE
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} is alive"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
