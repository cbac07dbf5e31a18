"""What operators' commands show to people: tables of 80 columns, lines, a progress bar on a terminal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from poller.core.model import JsonObject
from poller.operate.redrive import Redriven
from poller.operate.replay import Replayed
from poller.operate.tail import printable

_STYLES = {"done": "green", "would replay": "cyan", "partly done": "yellow", "left": "red"}


def queue_table(told: JsonObject) -> RenderableType:
    """One dead-letter queue of `dlq ls`."""
    head = Text()
    if told["queue"]:
        head.append(printable(told["queue"]), "bold").append(f" of {told['mapping']}" if told["mapping"] else "")
    else:
        head.append(told["mapping"], "bold")
    if told["visible"] is not None:
        head.append(f": {told['visible']} visible, {told['in_flight']} in flight, {told['delayed']} delayed")
    said = [
        Text(printable(told[key]), style) for key, style in (("note", "yellow"), ("problem", "red")) if told[key]
    ]
    if not told["messages"]:
        return Group(head, *said)
    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    view.add_column("id", no_wrap=True, min_width=36)
    for heading in ("age", "receives", "bytes"):
        view.add_column(heading, justify="right", no_wrap=True)
    view.add_column("group", no_wrap=True, overflow="ellipsis")
    for one in told["messages"]:
        row = (one["id"], _age(one["age_seconds"]), one["receive_count"], one["bytes"], one["group"] or "")
        view.add_row(*(Text(printable(str(cell))) for cell in row))
    return Group(head, *said, view)


def replayed_line(one: Replayed) -> Text:
    """What became of a document."""
    failed = one.failed
    where = f"{failed.shard_id[-12:]} {_short(failed.first)}..{_short(failed.last)}" if failed else ""
    count = one.left if one.fate == "would replay" else one.done
    of = f" of {one.done + one.left}" if one.fate in {"left", "partly done"} else ""
    line = Text.assemble(
        (f"{one.fate:<12} ", _STYLES[one.fate]),
        f"{printable(one.mapping or '-')} {printable(where)}: {count}{of} records",
    )
    if one.detail or not failed:
        line.append(f"\n    {printable(one.name)}: {printable(one.detail)}", "dim")
    return line


def redriven_lines(counts: Redriven, target: str, *, dry: bool) -> Iterator[str]:
    """The summary of a redrive."""
    yield f"{counts.moved} {'would go' if dry else 'moved'} to {target}"
    for count, words in (
        (counts.filtered, "do not match and stay"),
        (counts.foreign, "came from another queue and stay: --to says where they go"),
        (counts.held_back, "stay, because an earlier one of their group does"),
    ):
        if count:
            yield f"{count} {words}"
    yield from map(printable, counts.problems)


def table_of_ids(heading: str, identifiers: Sequence[str]) -> str:
    """`heading: n (a, b, ...)`."""
    some = ", ".join(map(_short, identifiers[:5])) + (", ..." if len(identifiers) > 5 else "")
    return f"{heading}: {len(identifiers)}" + (f" ({printable(some)})" if identifiers else "")


@contextmanager
def progress(console: Console, total: int | None) -> Iterator[Callable[[int], Any]]:
    """A bar, to be told how many are done; nothing at all where `console` is no terminal."""
    if not console.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done, total=max(done, total or 0) or None)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _short(number: str) -> str:
    """The end of a sequence number, which is where they differ."""
    return number if len(number) <= 12 else f"…{number[-11:]}"
