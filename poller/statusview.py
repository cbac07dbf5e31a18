"""The mappings as a table on a terminal: what `poller status` prints and `poller run` shows live.

It knows the JSON of /v1/mappings and nothing behind it, so that it shows this process and any other alike.
"""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.segment import Segment
from rich.text import Text

from poller.core.model import JsonObject

_WIDEST = 110

_LEAST_NAME = 6  # columns
_LEAST_RESULT = 5
_NAME, _STATE, _RESULT = "name", "state", "last\nresult"
_GO_FIRST = (
    "batch",
    "ok",
    "in\nflight",
    _RESULT,
    "shards\n/stuck",
    "retries",
    "re-\ntries",
    "in/s",
    _STATE,
    "given\nup",
    "failed",
    "lag",
)
"""Columns in the order in which a narrow terminal does without them."""

_TROUBLE_STYLES = {"bad": "bold red", "warn": "yellow"}
_STATE_STYLES = {"Enabled": "green", "Disabled": "dim", "Deleting": "dim"}


def table(status: JsonObject) -> RenderableType:
    """The table of a body of /v1/mappings, and below it why a mapping is held and the last error of each; fits 80
    columns, and does without some of the numbers where there are fewer, but never without names.

    With a stream among the mappings it tells what was given up, and how many shards are read and how many of them
    stand still, where it otherwise tells what failed: of a queue that comes back, and is a retry then.
    """
    mappings = status["mappings"]
    if not mappings:
        return Text("no mappings")
    held = [_held_line(mapping) for mapping in mappings if mapping.get("held")]
    errors = [_error_line(mapping) for mapping in mappings if mapping.get("last_error")]
    return Group(Constrain(_Table(mappings), _WIDEST), *held, *errors)


def room_for(widths: Mapping[str, int], go_first: Sequence[str], width: int) -> list[str]:
    """Of columns that are so wide, by their headings, those that `width` has room for, a space between any two."""
    shown = list(widths)
    for heading in go_first:
        if sum(widths[one] + 1 for one in shown) <= width + 1:
            break
        if heading in shown:
            shown.remove(heading)
    return shown


_Cell = tuple[tuple[str, str], ...]
"""Pieces of text, each with its style."""


class _Table:
    """The rows and their headings, made when it is known how wide they may be.

    Not rich's own Table, which takes ten times as long: `poller run` shows this while it works, mappings by the
    hundred.
    """

    def __init__(self, mappings: list[JsonObject]) -> None:
        streams = any("shards" in mapping for mapping in mappings)
        own = ("re-\ntries", "given\nup", "shards\n/stuck") if streams else ("failed", "retries")
        headings = (_NAME, _STATE, "in/s", "lag", "in\nflight", "batch", "ok", *own, _RESULT)
        self._rows = [dict(zip(headings, _row(mapping, streams=streams), strict=True)) for mapping in mappings]
        self._widths = {
            heading: max(*map(len, heading.split("\n")), *(_width(row[heading]) for row in self._rows))
            for heading in headings
        } | {_NAME: _LEAST_NAME, _RESULT: _LEAST_RESULT}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = room_for(self._widths, _GO_FIRST, options.max_width)
        # numbers keep their full width; the name and the last result share what is left
        widths = {heading: self._widths[heading] for heading in shown}
        flexible = [heading for heading in (_NAME, _RESULT) if heading in shown]
        left = options.max_width + 1 - sum(widths[one] + 1 for one in shown) + sum(widths[one] for one in flexible)
        widths[_NAME] = max(1, left * 4 // 7 if _RESULT in shown else left)
        widths[_RESULT] = max(1, left - widths[_NAME])
        places = [(heading, widths[heading], heading not in {_NAME, _STATE, _RESULT}) for heading in shown]
        for line in range(-max(len(heading.split("\n")) for heading in shown), 0):
            titles = {heading: _title(heading, line) for heading in shown}
            yield from _line(titles, places, console)
        for row in self._rows:
            yield from _line(row, places, console)


def _title(heading: str, line: int) -> _Cell:
    """A line of a heading: -1 is the lowest, -2 the one above, which some have."""
    return ((("", *heading.split("\n"))[line], "bold"),)


def _width(cell: _Cell) -> int:
    return sum(cell_len(text) for text, _ in cell)


def _line(row: Mapping[str, _Cell], places: Sequence[tuple[str, int, bool]], console: Console) -> RenderResult:
    """A row, each of whose cells has so many columns and may stand at the right of them."""
    gap = 0
    for heading, width, right in places:
        cell = row[heading]
        room = width - _width(cell)
        if room < 0:
            ((text, style),) = cell
            cell, room = ((set_cell_size(text, width - 1) + "…", style),), 0
        if before := gap + right * room:
            yield Segment(" " * before)
        for text, style in cell:
            yield Segment(text, console.get_style(style) if style else None)
        gap = 1 if right else 1 + room
    yield Segment.line()


def show(status: JsonObject, console: Console) -> None:
    """Prints the table."""
    console.print(table(status))


def _row(mapping: JsonObject, *, streams: bool) -> list[_Cell]:
    state = "Finished" if mapping.get("finished") else clean(mapping.get("state", "?"))
    result = clean(mapping.get("last_result") or "-")
    average = mapping.get("batch_size_average")
    retries = _number(mapping.get("retries", 0))
    own = [retries, *_stream_cells(mapping)] if streams else [_bad(int(mapping.get("failed", 0))), retries]
    trouble = mapping.get("trouble")
    level = str(trouble.get("level")) if isinstance(trouble, dict) else ""
    return [
        ((clean(mapping.get("name", "?")), _TROUBLE_STYLES.get(level, "")),),
        ((state, _STATE_STYLES.get(state, "yellow")),),
        _number(float(mapping.get("in_per_second", 0))),
        ((_lag(mapping), ""),),
        _number(mapping.get("in_flight", 0)),
        _NONE if average is None else _number(float(average)),
        _number(mapping.get("ok", 0)),
        *own,
        ((result.replace("_", " "), "" if result in {"-", "success"} else "red"),),
    ]


_NONE: _Cell = (("-", ""),)


def _number(number: float) -> _Cell:
    return ((short(number), ""),)


def _stream_cells(mapping: JsonObject) -> list[_Cell]:
    """What was given up; how many shards are read, and how many of them stand still behind a failing batch."""
    shards = mapping.get("shards")
    if not isinstance(shards, dict):
        return [_NONE, _NONE]
    stuck = int(shards.get("blocked", 0))
    read = (f"{int(shards.get('reading', 0)) + stuck}", "")
    return [_bad(int(mapping.get("discarded", 0))), (read, (f"/{stuck}", "red")) if stuck else (read,)]


def _bad(count: int) -> _Cell:
    return ((short(count), "red" if count else ""),)


def _lag(mapping: JsonObject) -> str:
    """Of a queue, the messages that wait in it, and how old the oldest in our hands is, once that is a second. Of
    a stream, the age of the last record handed to the function, or how far reading is behind, whichever is worse.
    """
    if "shards" in mapping:
        behind = mapping.get("behind_latest_seconds")
        lag = max(float(mapping.get("iterator_age_seconds") or 0), float(behind or 0))
        return duration(lag) if lag >= 1 else "0s"
    waiting = mapping.get("queue_messages")
    parts = [] if waiting is None else [short(waiting)]
    if (age := float(mapping.get("oldest_pending_seconds", 0))) >= 1:
        parts.append(duration(age))
    return " ".join(parts) or "-"


def _held_line(mapping: JsonObject) -> Text:
    """Whole, however long: nothing else says what to do."""
    trouble = mapping.get("trouble")
    reason = trouble.get("reason", "") if isinstance(trouble, dict) else ""
    return Text.assemble((f"{clean(mapping.get('name', '?'))}: ", "bold"), (clean(reason), "red"))


def _error_line(mapping: JsonObject) -> Text:
    error = mapping["last_error"]
    at = str(error.get("at", ""))[11:19]
    return Text.assemble(
        (f"{at} ", "dim"),
        (f"{clean(mapping.get('name', '?'))}: ", "bold"),
        (clean(error.get("message", "")), "red"),
        no_wrap=True,
        overflow="ellipsis",
    )


def clean(value: object) -> str:
    """What another process tells, so that it cannot steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in str(value))


def short(number: float) -> str:
    """A number in at most five characters: 999, 12.5, 9,999, 12.3k, 4.5M."""
    if number >= 999_950_000:
        return f"{number / 1e9:.1f}G"
    if number >= 999_950:
        return f"{number / 1e6:.1f}M" if number < 99_950_000 else f"{number / 1e6:.0f}M"
    if number >= 9_999.5:
        return f"{number / 1e3:.1f}k" if number < 99_950 else f"{number / 1e3:.0f}k"
    if number >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}"


def duration(seconds: float) -> str:
    """At most five characters: 99s, 100m, 27h."""
    if seconds < 100:
        return f"{seconds:.0f}s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3_600:.0f}h"
