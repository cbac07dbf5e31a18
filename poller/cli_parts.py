"""What several commands share: their common options, and how the work of one is run."""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from poller import interrupt
from poller.eventloop import new_event_loop

DEFAULT_FILE: Final = "poller.yaml"
T = TypeVar("T")

config_file = click.option(
    "-c",
    "--config",
    "path",
    default=DEFAULT_FILE,
    show_default=True,
    type=click.Path(path_type=Path),
    help="The configuration file.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs it on the fastest event loop there is."""
    with interrupt.raised(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def run_giving_back(work: Coroutine[Any, Any, T]) -> T:
    """The same for work that has taken something: the polite signals cancel it, as Ctrl-C does."""
    try:
        return run(_cancelled_by_signals(work))
    except asyncio.CancelledError:
        raise click.Abort from None


async def _cancelled_by_signals(work: Coroutine[Any, Any, T]) -> T:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None, "it runs in one"
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, task.cancel)
    return await work


def tell(line: str) -> None:
    """Something beside the result, for whoever watches."""
    click.echo(f"poller: {line}", err=True)
