"""What a service manager is told of the daemon, by systemd's protocol: a datagram to the socket in NOTIFY_SOCKET.

Here is how it is told, and when. Whether a mapping is stuck is decided in core/liveness.py, as it is for /livez.
"""

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from poller.errors import ConfigurationError
from poller.http.health import stuck_mappings, unready_mappings
from poller.metrics import Metrics

START_PATIENCE: Final = 30.0
"""Seconds after which a start counts as done although no source has answered: an AWS that is out of reach is
waited for, and is no reason to keep whatever is ordered after this unit from starting.
"""

TELL_EVERY: Final = 10.0
"""Seconds between two status lines, at most; beats of the watchdog are never further apart."""

BEATS: Final = 3
"""Beats in each interval of the watchdog, so that two may be late."""

STOP_MARGIN: Final = 15.0
"""Seconds that the end may take beyond the stop deadline, for connections, listeners and threads."""

MOST_STATUS: Final = 400
"""Characters of a status line: `systemctl status` shows one."""

_PATIENCE: Final = 1.0  # seconds for a word that must not be lost, while the manager's queue is full

_log = logging.getLogger("poller")


@dataclass(frozen=True, slots=True)
class Manager:
    """Where the service manager listens, and the seconds after which it takes our silence for a hang (None: it
    does not).
    """

    address: str
    watchdog: float | None = None

    @property
    def every(self) -> float:
        """Seconds between two beats."""
        return TELL_EVERY if self.watchdog is None else min(TELL_EVERY, self.watchdog / BEATS)


def find_manager(environment: Mapping[str, str], pid: int) -> Manager | None:
    """The manager that the environment names; None where nobody listens.

    Raises ConfigurationError, one sentence, for variables that are not of the protocol: a daemon that told nobody
    would be killed for it later.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    if not address.startswith(("/", "@")) or len(address) < 2:
        raise ConfigurationError(
            f"NOTIFY_SOCKET: {address[:200]!r} is neither a path nor an abstract socket (@name);"
            " leave it to systemd, or unset it."
        )
    return Manager(address, _watchdog(environment, pid))


def _watchdog(environment: Mapping[str, str], pid: int) -> float | None:
    text = environment.get("WATCHDOG_USEC", "")
    if not text or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigurationError(
            f"WATCHDOG_USEC: {text[:200]!r} is no number of microseconds; leave it to systemd, or unset it."
        )
    return int(text) / 1e6


def report(metrics: Metrics, manager: Manager, doing: str = "") -> str:
    """What is to be told now: a beat of the watchdog, if it shall have one, and a line for `systemctl status`.

    A stuck mapping stops the beats. `doing` is what the daemon is at, where that is not simply running.
    """
    stuck = stuck_mappings(metrics)
    lines = [] if manager.watchdog is None or stuck else ["WATCHDOG=1"]
    lines.append(f"STATUS={_status(metrics, stuck, doing)}")
    return "\n".join(lines)


def _status(metrics: Metrics, stuck: list[str], doing: str) -> str:
    if stuck:
        return _one_line(f"stuck: {'; '.join(stuck)}")
    mappings = metrics.mappings()
    now = metrics.clock.now().mono
    states = ", ".join(f"{count} {state}" for state, count in Counter(one.state.value for one in mappings).items())
    running = sum(one.gauges().in_flight_batches for one in mappings)
    rate = sum(one.rate.per_second(now) for one in mappings)
    text = f"{states or 'no mapping'}; {rate:.0f}/s in, {running} batches in flight"
    if waiting := unready_mappings(metrics):
        text = f"{text}; waiting: {'; '.join(waiting)}"
    return _one_line(f"{doing}: {text}" if doing else text)


def _one_line(text: str) -> str:
    """No text from elsewhere may pretend to be a line of the protocol."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= MOST_STATUS else f"{shown[: MOST_STATUS - 3]}..."


class Notify:
    """Tells the manager how the daemon fares; without one, nothing happens.

    The beats come from the side thread, by the judgement of /livez. A handler that blocks the event loop so keeps
    the process alive until a mapping counts as stuck, and no longer; if the side thread itself is dead, or Python
    stands still, nobody beats at all.
    """

    def __init__(self, manager: Manager | None, metrics: Metrics) -> None:
        self._manager = manager
        self._metrics = metrics
        self._doing = "starting"
        self._silent = False

    async def run(self) -> None:
        """Beats until cancelled; to be run in the side thread."""
        while self._manager is not None:
            self._send(report(self._metrics, self._manager, self._doing), 0.0)
            await asyncio.sleep(self._manager.every)

    def ready(self) -> None:
        """The start is over, or a reload. May be said again."""
        self._doing = ""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it, also when it was refused."""
        self._doing = "reloading"
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, timeout: float) -> None:
        """A stop begins, with so many seconds for the handlers. The manager gives it that long, whatever its own
        limit was: what it killed would be delivered twice.
        """
        self._doing = "stopping"
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((timeout + STOP_MARGIN) * 1e6)}")

    def _tell(self, lines: str) -> None:
        if self._manager is not None:
            self._send(f"{lines}\n{report(self._metrics, self._manager, self._doing)}", _PATIENCE)

    def _send(self, text: str, patience: float) -> None:
        """A beat that does not get through is not waited for: the next one comes soon."""
        assert self._manager is not None
        address = self._manager.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(patience)
                sender.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            if not self._silent:
                text = f"the service manager at NOTIFY_SOCKET {address} cannot be told anything: {error}"
                _log.warning(text, extra={"action": "manager_out_of_reach"})
            self._silent = True
        else:
            self._silent = False


def make_notify(environment: Mapping[str, str], metrics: Metrics) -> Notify:
    """For this process. Raises ConfigurationError, see `find_manager`."""
    return Notify(find_manager(environment, os.getpid()), metrics)
