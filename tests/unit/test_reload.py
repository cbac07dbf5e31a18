"""SIGHUP in a process: from when to when it means that the configuration is to be read again."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from poller.config import Configuration
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
