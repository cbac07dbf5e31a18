"""SIGHUP in a process: from when to when it means that the configuration is to be read again, and which settings
wait for the next start all the same.
"""

import asyncio
import json
import logging
import signal
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from poller.config import Configuration, load
from poller.control import Control
from poller.notify import Notify
from poller.reload import Reload
from poller.service import Service
from poller.settings import Settings


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_signal_that_comes_too_late_does_no_harm() -> None:
    """API-8: neither without the event loop nor at the end of Python, which puts the default back for handlers."""

    async def life() -> None:
        service = Service()
        control = Control(service)
        reload = Reload(Configuration(Settings(), ()), service, Notify(None, service.metrics), control)
        async with reload.installed():
            signal.raise_signal(signal.SIGHUP)
            await reload.wanted.wait()

    asyncio.run(life())
    signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


async def test_every_setting_that_waits_for_the_next_start_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever takes a key away, or moves a listener, has to know that the process goes on with the old one."""
    other = {
        "Region": "eu-west-1",
        "AccountId": "123456789012",
        "EndpointUrl": "http://127.0.0.1:1",
        "State": "memory:",
        "ShutdownTimeoutInSeconds": 7,
        "Metrics": {"Listen": "", "Histograms": False, "MaxShards": 1},
        "ControlApi": {"Listen": "", "TokenVariable": "A_TOKEN", "AccessKeysVariable": "SOME_KEYS"},
    }
    path = tmp_path / "poller.yaml"
    queue = {"EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:q", "FunctionName": "f"}
    path.write_text(json.dumps({"Settings": other, "EventSourceMappings": [queue]}))
    later = load(path, {}).settings
    assert {one.name for one in fields(Settings) if getattr(later, one.name) == getattr(Settings(), one.name)} == {
        "log_level", "log_format"
    }  # fmt: skip
    service = Service()
    reload = Reload(Configuration(Settings(), ()), service, Notify(None, service.metrics), Control(service))
    with caplog.at_level(logging.WARNING):
        reload._apply(later)
    names = [
        f"Settings.{block}.{name}" if isinstance(members, dict) else f"Settings.{block}"
        for block, members in other.items()
        for name in (members if isinstance(members, dict) else ("",))
    ]
    assert caplog.messages == [f"{', '.join(names)}: takes effect at the next start only"]
