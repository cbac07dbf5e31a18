"""What several commands share: their common options, and how the work of one is run."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

import click

from poller import interrupt
from poller.eventloop import new_event_loop

if TYPE_CHECKING:
    from poller.settings import Settings

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


def settings_of(path: Path) -> "Settings":
    """Those of the file, or the usual ones where nobody has named a file and none is there: an ARN needs none.
    Raises ConfigurationError.
    """
    from poller.config import load
    from poller.settings import Settings, environment

    if path == Path(DEFAULT_FILE) and not path.exists():
        return Settings()
    return load(path, environment()).settings


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


def json_text(value: object, indent: int | None = None) -> str:
    """As people read it; with escapes where the standard output cannot take it, or nothing can: what a function
    returns and what a document says may be half of a character.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.__stdout__.encoding if sys.__stdout__ else "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


@contextmanager
def results_apart() -> Iterator[IO[str]]:
    """From now on standard output is standard error, for handlers and the programs that they start too: what they
    print is no result. Results go to what this gives. It is not turned back, because a handler may outlive us.
    """
    out = sys.stdout
    try:
        number, other = out.fileno(), sys.stderr.fileno()
    except (OSError, ValueError):  # no files: a test of ours, or a program that runs the command in itself
        with redirect_stdout(sys.stderr):
            yield out
        return
    out.flush()
    kept = os.dup(number)
    os.dup2(other, number)
    with redirect_stdout(sys.stderr), os.fdopen(kept, "w", encoding=out.encoding, errors="replace") as results:
        yield results


def tell(line: str) -> None:
    """Something beside the result, for whoever watches."""
    click.echo(f"poller: {line}", err=True)
