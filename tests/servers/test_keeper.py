"""The servers of a run: one of each, and none left behind, however the run ends."""

import contextlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import harness, keeper

DEADLINE = 60.0
RUN = """
import sys
from tests.servers import harness, keeper
with keeper.kept() as path:
    print(keeper.url_of(harness.EMBEDDED, path), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def a_run() -> "Iterator[subprocess.Popen[str]]":
    """A process that uses a server, as a run of the tests does, until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=harness.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None], ids=["kill -9", "Ctrl-C", "its end"])
def test_a_server_ends_with_its_run(end: signal.Signals | None) -> None:
    """Also where nobody could end it."""
    with a_run() as run:
        assert run.stdin is not None
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        assert answers(url)
        if end is None:
            run.stdin.close()
        else:
            run.send_signal(end)
        deadline = time.monotonic() + DEADLINE
        while answers(url):
            assert time.monotonic() < deadline, f"{url} still answers"
            time.sleep(0.05)
        if end is None:
            assert run.wait(DEADLINE) == 0


def test_who_asks_at_the_same_time_gets_the_same_server() -> None:
    """And it has ended when the block has."""
    with keeper.kept() as path, ThreadPoolExecutor(4) as askers:
        urls = set(askers.map(lambda _: keeper.url_of(harness.EMBEDDED, path), range(4)))
    assert len(urls) == 1
    assert not answers(urls.pop()), "the end of the block is the end of the server"


def test_what_cannot_be_had_is_told() -> None:
    """A name that is none fails in the keeper, which tells, and goes on."""
    with keeper.kept() as path:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no-such-server"):
                keeper.url_of(harness.Server("no-such-server", ()), path)
