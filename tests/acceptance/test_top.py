"""`poller top` in a terminal: live, by keys, with a daemon that goes away and comes back."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import forked
from tests.acceptance.daemon import DEADLINE, environment, poller

pytestmark = pytest.mark.acceptance
TOKEN = "correct-horse-battery"


class Daemon(HTTPServer):
    """Answers /v1/mappings, to whom has the token."""

    mappings: tuple[dict[str, Any], ...] = ()


class Answering(BaseHTTPRequestHandler):
    server: Daemon

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
        body = json.dumps({"mappings": self.server.mappings}).encode() if allowed else b"A key is wanted.\n"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def daemon(*names: str, port: int = 0) -> Iterator[str]:
    with Daemon(("127.0.0.1", port), Answering) as server:
        server.mappings = tuple({"name": name, "uuid": name, "source_arn": f"arn:{name}"} for name in names)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Terminal:
    """What stands behind `poller top`: 80 columns, and somebody who types."""

    def __init__(self, url: str, folder: Path, kind: str = "xterm-256color") -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        env = environment(POLLER_TOKEN=TOKEN, TERM=kind)
        self.process = forked.start(("top", "--url", url), folder, env, theirs, theirs, stdin=theirs)

    def until(self, pattern: str) -> str:
        """Reads on until this has been shown."""
        end, seen = time.monotonic() + DEADLINE, ""
        while time.monotonic() < end:
            if select.select([self.ours], [], [], 0.1)[0]:
                seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self.ours, 65_536).decode())
            if re.search(pattern, seen):
                return seen
        raise AssertionError(f"waited in vain for {pattern!r}; shown was:\n{seen[-3_000:]}")

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def close(self) -> None:
        self.process.kill()
        os.close(self.ours)
        os.close(self.theirs)


def test_it_is_live_by_keys_and_outlives_its_daemon(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with daemon("first", "second") as url:
            terminal = Terminal(url, tmp_path)
            stack.callback(terminal.close)
            terminal.until("arn:first")
            terminal.type("\x1b[B")
            terminal.until("arn:second")
        terminal.until(r"as of \d+ s ago: no poller answers at")
        with daemon("first", "second", "third", port=int(url.rpartition(":")[2])):
            terminal.until("third")
            terminal.type("q")
            assert terminal.process.wait(DEADLINE) == 0
        assert termios.tcgetattr(terminal.theirs) == terminal.before, "the terminal is as it was"


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_on_a_terminal_that_only_prints_it_prints_once(tmp_path: Path, kind: str) -> None:
    """Such as the shell of an editor: nothing can be drawn over there."""
    with daemon("orders") as url, contextlib.closing(Terminal(url, tmp_path, kind)) as terminal:
        shown = terminal.until(r"orders.*\n")
        assert terminal.process.wait(DEADLINE) == 0

    assert "quit" not in shown


def test_without_a_terminal_it_prints_once(tmp_path: Path) -> None:
    with daemon("orders") as url:
        table = poller("top", "--url", url, cwd=tmp_path, env=environment(POLLER_TOKEN=TOKEN))
        as_json = poller("top", "--url", url, "--json", cwd=tmp_path, env=environment(POLLER_TOKEN=TOKEN))
        locked = poller("status", "--url", url, cwd=tmp_path, env=environment())

    assert (table.returncode, as_json.returncode, locked.returncode) == (0, 0, 1)
    assert "orders" in table.stdout
    assert json.loads(as_json.stdout)["mappings"][0]["name"] == "orders"
    assert f"{url} wants a token" in locked.stderr
    assert "POLLER_TOKEN" in locked.stderr
