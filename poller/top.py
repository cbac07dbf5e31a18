"""`poller top`: the mappings of a running daemon, live in a terminal. What is shown is decided in topview.py."""

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from poller import interrupt
from poller.core.model import JsonObject
from poller.errors import PollerError
from poller.statusfetch import fetch
from poller.topview import View, lines, press

ASK_EVERY = 1.0  # seconds
_LOOK_EVERY = 0.2  # seconds between two looks at what was told, while no key is pressed


class _Asking:
    """Asks in a thread of its own, so that keys are heard while a daemon does not answer."""

    def __init__(self, url: str, token: str | None) -> None:
        self.status: JsonObject = fetch(url, token)
        self.at = time.monotonic()
        self.problem = ""
        self._url, self._token = url, token
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="poller-top", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """It may still wait for an answer, which keeps nobody."""
        self._over.set()

    def _go_on(self) -> None:
        while not self._over.wait(ASK_EVERY):
            try:
                self.status = fetch(self._url, self._token)
            except PollerError as error:
                self.problem = str(error)
            else:
                self.problem, self.at = "", time.monotonic()

    @property
    def trouble(self) -> str:
        """Why what is shown is not of now, and how old it is."""
        if not self.problem:
            return ""
        return f"as of {time.monotonic() - self.at:.0f} s ago: {self.problem}"


def run_top(url: str, token: str | None, console: Console) -> None:
    """Until `q` or Ctrl-C. Raises PollerError when the daemon cannot be asked at the start; one that goes away
    later is waited for.
    """
    asking = _Asking(url, token)
    asking.start()
    view: View | None = View()
    try:
        with (
            interrupt.raised(),
            _ended_as_by_hand(),
            _keyboard() as keys,
            Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False) as screen,
        ):
            while view is not None:
                width, height = console.size
                shown = lines(asking.status, view, width, height, asking.trouble)
                screen.update(shown, refresh=True)
                for key in _pressed(keys, _LOOK_EVERY):
                    if view is not None:
                        view = press(view, key, asking.status["mappings"])
    except KeyboardInterrupt:
        pass
    finally:
        asking.end()


@contextmanager
def _ended_as_by_hand() -> Iterator[None]:
    """SIGTERM leaves the terminal as it was, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _keyboard() -> Iterator[int | None]:
    """The terminal's keys one by one and unseen, as long as the block runs; None where there is no keyboard."""
    if not sys.stdin.isatty():
        yield None
        return
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    try:
        tty.setcbreak(keys)
        yield keys
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)


def _pressed(keys: int | None, seconds: float) -> list[str]:
    """The keys that were pressed meanwhile; an arrow is one."""
    if keys is None:
        time.sleep(seconds)
        return []
    if not select.select([keys], [], [], seconds)[0]:
        return []
    text = os.read(keys, 256).decode("utf-8", "replace")
    if not text:  # the terminal is gone
        return ["q"]
    found = []
    while text:
        length = 3 if text.startswith(("\x1b[", "\x1bO")) else 1
        found.append(text[:length])
        text = text[length:]
    return found
