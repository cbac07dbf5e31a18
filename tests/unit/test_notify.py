"""What a service manager is told: over real sockets, with a clock that the test moves (issue 6: systemd)."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import Instant, MappingState, SourceKind
from poller.errors import ConfigurationError
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES, MappingStats
from poller.notify import MOST_STATUS, Manager, Notify, find_manager, report

DEADLINE = 60.0


class MovedClock:
    def __init__(self) -> None:
        self.mono = 1_000.0

    def now(self) -> Instant:
        return Instant(self.mono + 1e9, self.mono)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def metrics(clock: MovedClock) -> Metrics:
    return Metrics(clock=clock)


def add(metrics: Metrics, name: str = "orders", state: MappingState = MappingState.ENABLED) -> MappingStats:
    arn = SourceArn(f"arn:aws:sqs:eu-west-1:123456789012:{name}", "aws", "eu-west-1", "123456789012", name)
    mapping = EventSourceMapping(
        f"u-{name}", name, SourceKind.SQS, arn, "python:shop:handler", "arn:aws:lambda:::s"
    )
    gauges = type(NO_GAUGES)(1, True, 0, 0, 0, 0, 5, None, None, 0, 0, 0)
    stats = metrics.add(mapping, lambda: gauges)
    stats.state = state
    return stats


class Listener:
    """A service manager: a datagram socket, by path or abstract (`@name`)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(DEADLINE)

    def next(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    async def next_with(self, word: str) -> dict[str, str]:
        while word not in (told := await asyncio.to_thread(self.next)):
            pass
        return told

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, None),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, Manager("/run/systemd/notify")),
        ({"NOTIFY_SOCKET": "@abstract", "WATCHDOG_USEC": "3000000"}, Manager("@abstract", 3.0)),
        ({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "42"}, Manager("@a", 3.0)),
        ({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "43"}, Manager("@a")),
        ({"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": ""}, Manager("@a")),
    ],
)
def test_the_environment_names_the_manager(environment: dict[str, str], expected: Manager | None) -> None:
    """A watchdog that is meant for another process (a parent's variables, inherited) is not ours."""
    assert find_manager(environment, 42) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"NOTIFY_SOCKET": "run/notify"},
        {"NOTIFY_SOCKET": "@"},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "-1"},
        {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "²"},
    ],
)
def test_what_is_not_of_the_protocol_is_refused(environment: dict[str, str]) -> None:
    """In one sentence, with the name of the variable."""
    with pytest.raises(ConfigurationError) as raised:
        find_manager(environment, 42)
    assert str(raised.value).startswith(("NOTIFY_SOCKET: ", "WATCHDOG_USEC: "))
    assert "\n" not in str(raised.value)


def test_beats_come_more_often_than_the_watchdog_asks() -> None:
    """Two may be late; and the status line is never older than ten seconds."""
    assert Manager("@a", 30.0).every == pytest.approx(10.0)
    assert Manager("@a", 6.0).every == pytest.approx(2.0)
    assert Manager("@a", 600.0).every == Manager("@a").every == pytest.approx(10.0)


def test_a_stuck_mapping_stops_the_beats(metrics: Metrics, clock: MovedClock) -> None:
    """By the judgement of /livez, at the same moment; the status line names it."""
    manager = Manager("@a", 30.0)
    add(metrics)
    assert report(metrics, manager) == "WATCHDOG=1\nSTATUS=1 Enabled; 0/s in, 0 batches in flight"
    clock.mono += 45.0
    assert "WATCHDOG=1" in report(metrics, manager)
    clock.mono += 1.0
    told = report(metrics, manager)
    assert "WATCHDOG" not in told
    assert told.startswith("STATUS=stuck: orders: no successful ReceiveMessage for 46 s")


def test_without_a_watchdog_there_is_a_status_line_only(metrics: Metrics) -> None:
    """Type=notify without WatchdogSec."""
    assert report(metrics, Manager("@a"), "starting") == "STATUS=starting: no mapping; 0/s in, 0 batches in flight"


def test_the_status_line_says_who_is_waited_for(metrics: Metrics) -> None:
    """What /readyz says."""
    add(metrics, "orders")
    add(metrics, "clicks", MappingState.CREATING).last_problem = "out of reach"
    told = report(metrics, Manager("@a"))
    assert (
        told
        == "STATUS=1 Enabled, 1 Creating; 0/s in, 0 batches in flight; waiting: clicks: Creating: out of reach"
    )


def test_no_text_pretends_to_be_a_line_of_the_protocol(metrics: Metrics) -> None:
    """A problem's text comes from elsewhere, and may be long."""
    add(metrics).crashed = "a\nWATCHDOG=1\n" + "x" * 5_000
    told = report(metrics, Manager("@a", 30.0))
    assert "\n" not in told
    assert len(told) == len("STATUS=") + MOST_STATUS


@pytest.mark.parametrize("kind", ["path", "abstract"])
async def test_beats_go_on_until_a_mapping_is_stuck(kind: str, metrics: Metrics, tmp_path: Path) -> None:
    """Over both kinds of sockets. Status lines go on: they say why."""
    listener = Listener(f"@{tmp_path}" if kind == "abstract" else str(tmp_path / "s"))
    stats = add(metrics)
    task = asyncio.create_task(Notify(Manager(listener.address, 0.06), metrics).run())
    try:
        for _ in range(2):
            assert "WATCHDOG" in await listener.next_with("STATUS")
        stats.crashed = "KeyError"
        for _ in range(20):  # some beats may have been under way
            if "WATCHDOG" not in (told := await listener.next_with("STATUS")):
                break
        assert told == {"STATUS": "stuck: orders: its driver ended: KeyError"}
    finally:
        task.cancel()
        listener.close()


def test_the_phases_of_a_life(metrics: Metrics, tmp_path: Path) -> None:
    """RELOADING comes with the moment, READY after it; a stop asks for all the time that it may take."""
    listener = Listener(f"@{tmp_path}")
    notify = Notify(Manager(listener.address, 30.0), metrics)
    notify.ready()
    notify.reloading()
    notify.ready()
    notify.stopping(25)
    ready, reloading, again, stopping = (listener.next() for _ in range(4))
    assert ready == again == {"READY": "1", "WATCHDOG": "1", "STATUS": "no mapping; 0/s in, 0 batches in flight"}
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert reloading["STATUS"].startswith("reloading: ")
    assert stopping["STOPPING"] == "1"
    assert stopping["EXTEND_TIMEOUT_USEC"] == "40000000"
    listener.close()


def test_a_manager_that_is_gone_is_told_of_once(
    metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon goes on, and its log has one line for it."""
    notify = Notify(Manager(str(tmp_path / "gone")), metrics)
    with caplog.at_level(logging.WARNING):
        notify.ready()
        notify.stopping(1)
    assert [record.action for record in caplog.records] == ["manager_out_of_reach"]  # type: ignore[attr-defined]


def test_without_a_manager_nothing_happens(metrics: Metrics) -> None:
    """A daemon in a terminal or a container."""
    notify = Notify(None, metrics)
    notify.ready()
    notify.reloading()
    notify.stopping(1)
    asyncio.run(notify.run())
