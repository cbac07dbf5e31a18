"""How the work of a command is run: what has been taken is given back, whichever polite signal ends it."""

import asyncio
import os
import signal
from collections.abc import Iterator

import click
import pytest

from poller.cli_parts import run_giving_back
from tests.unit.runtime.rig import DEADLINE, turns


@pytest.fixture(params=[signal.SIGHUP, signal.SIGTERM], ids=lambda number: number.name)
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal; what this process does about it is as before after the test."""
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


def test_a_polite_signal_has_the_work_give_back(number: int) -> None:
    """SQS-9: a terminal that is closed, or a service manager, must leave no message hidden."""
    order: list[str] = []

    async def work() -> None:
        order.append("taken")
        os.kill(os.getpid(), number)
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # giving back takes a call
            order.append("given back")

    with pytest.raises(click.Abort):
        run_giving_back(work())
    assert order == ["taken", "given back"]


def test_a_signal_that_is_ignored_ends_nothing(number: int) -> None:
    """Whoever said nohup wants the work to go on."""
    signal.signal(number, signal.SIG_IGN)

    async def work() -> str:
        os.kill(os.getpid(), number)
        await turns()
        return "done"

    assert run_giving_back(work()) == "done"
    assert signal.getsignal(number) is signal.SIG_IGN
