"""What the demo shows: live what happens, at the end where every record is."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from poller.demo_queues import VISIBILITY
from poller.demo_source import Source
from poller.demo_work import Ledger

REFRESH = 0.25
COUNT_EVERY = 0.5
LINE_EVERY = 2.0


class Show:
    """The screen while the demo runs: a live table on a terminal, a line now and then elsewhere, nothing at all
    without a console.
    """

    def __init__(self, console: Console | None, sources: Sequence[Source]) -> None:
        self._console = console
        self._sources = sources
        self._told: list[str] = []

    def tell(self, text: str) -> None:
        """Something has happened."""
        if self._console is not None and not self._console.is_terminal:
            self._console.print(text, soft_wrap=True)
        self._told.append(text)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Shows what happens while the block runs."""
        if self._console is None:
            yield
            return
        tasks = [asyncio.create_task(self._look())]
        try:
            if self._console.is_terminal:
                with Live(get_renderable=self._live, console=self._console, refresh_per_second=1 / REFRESH):
                    yield
            else:
                tasks.append(asyncio.create_task(self._lines(self._console)))
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(BotoCoreError, ClientError, OSError):  # the rest will hear of it
                await asyncio.gather(*(source.count_given_up() for source in self._sources))
            await asyncio.sleep(COUNT_EVERY)

    async def _lines(self, console: Console) -> None:
        while True:
            await asyncio.sleep(LINE_EVERY)
            ledgers = [source.ledger for source in self._sources]
            parts = [f"{ledger.name} {len(ledger.succeeded)}/{len(ledger.sent)}" for ledger in ledgers]
            given_up = sum(source.given_up for source in self._sources)
            console.print(f"{', '.join(parts)}; {given_up} given up", soft_wrap=True)

    def _live(self) -> Group:
        table = Table(title="poller demo", title_justify="left")
        table.add_column("mapping")
        for name in ("sent", "succeeded", "failed attempts", "given up", "to come"):
            table.add_column(name, justify="right")
        for source in self._sources:
            ledger = source.ledger
            table.add_row(
                ledger.name,
                str(len(ledger.sent)),
                str(len(ledger.succeeded)),
                str(ledger.failures),
                str(source.given_up),
                str(max(0, len(ledger.sent) - len(ledger.succeeded) - source.given_up)),
            )
        lines = [*self._told]
        if not any(source.feeding for source in self._sources):
            lines.append(
                f"all sent; what failed comes back from a queue every {VISIBILITY} s, in a stream after 1 s"
            )
        return Group(table, *lines)


def summary(ledgers: Sequence[Ledger], left_out: Mapping[str, str], *, as_json: bool, console: Console) -> int:
    """Prints where every record is; 0 when all are accounted for, else 1."""
    accounted = all(ledger.accounted for ledger in ledgers)
    if as_json:
        told = {"accounted": accounted, "left_out": left_out, "mappings": [_row(ledger) for ledger in ledgers]}
        console.print_json(json.dumps(told))
        return 0 if accounted else 1
    table = Table(title="every record accounted for" if accounted else "NOT accounted for", title_justify="left")
    table.add_column("mapping")
    for name in ("sent", "=", "succeeded", "+", "given up", "lost", "order"):
        table.add_column(name, justify="right")
    for ledger in ledgers:
        table.add_row(
            ledger.name,
            str(len(ledger.sent)),
            "=",
            str(len(ledger.succeeded.keys() - ledger.given_up)),
            "+",
            str(len(ledger.given_up)),
            str(len(ledger.lost)),
            _order(ledger),
        )
    console.print(Group(table, *(Text(line) for line in _notes(ledgers))))
    return 0 if accounted else 1


def _row(ledger: Ledger) -> dict[str, object]:
    return {
        "mapping": ledger.name,
        "sent": len(ledger.sent),
        "succeeded": len(ledger.succeeded.keys() - ledger.given_up),
        "given_up": len(ledger.given_up),
        "failure_documents": ledger.documents,
        "failed_attempts": ledger.failures,
        "delivered_again": ledger.again,
        "lost": len(ledger.lost),
        "out_of_order": ledger.overtaken,
    }


def _order(ledger: Ledger) -> str:
    if not ledger.keys:
        return "no promise"
    if ledger.overtaken:
        return f"{ledger.overtaken} overtaken"
    return f"kept per {ledger.keys}"


def _notes(ledgers: Sequence[Ledger]) -> list[str]:
    attempts = sum(ledger.failures for ledger in ledgers)
    again = sum(ledger.again for ledger in ledgers)
    documents = sum(ledger.documents for ledger in ledgers)
    letters = sum(len(ledger.given_up) for ledger in ledgers if not ledger.documents)
    ranges = sum(len(ledger.given_up) for ledger in ledgers if ledger.documents)
    lines = [f"{attempts} attempts failed on purpose; {again} records were delivered again after success."]
    if letters or ranges:
        lines.append(
            f"Given up: {letters} dead letters; {ranges} records in the ranges of {documents} failure documents."
        )
    return lines
