"""What `poller top` shows, and what its keys do: a body of /v1/mappings, what was chosen and the size of the
terminal in, lines out. The loop, the keyboard and the asking are in top.py.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from poller.core.model import JsonObject
from poller.statusview import clean, duration, room_for, short

_HEADING = 3  # lines: the sums, and the names of the columns
_DETAILS = 7  # lines below the mappings
_STATE_STYLES = {"Enabled": "green", "Disabled": "dim", "Deleting": "dim"}
_TROUBLE_STYLES = {"bad": "bold red", "warn": "yellow"}
_SHARD_STYLES = {"r": "green", "b": "bold white on red", "w": "dim", "l": "dim", "d": "dim"}
_SHARD_WORDS = {
    "blocked": ("standing still (b)", "red"),
    "reading": ("reading (r)", ""),
    "leased": ("not being read (l)", "dim"),
    "waiting_parent": ("waiting (w)", "dim"),
    "done": ("done (d)", "dim"),
}
_LEAST_NAME = 8  # columns
_NUMBERS = ("in/s", "out/s", "lag", "in flight", "retries", "given up")
_GO_FIRST = ("out/s", "retries", "in flight", "in/s", "state", "given up")
"""Columns in the order in which a narrow terminal does without them."""
HELP = "q quit   up/down choose   s sort"


class Order(StrEnum):
    """What the mappings are sorted by; `s` goes from one to the next."""

    TROUBLE = "trouble first"
    LAG = "lag"
    IN = "in/s"
    NAME = "name"
    GIVEN = "as configured"


@dataclass(frozen=True, slots=True)
class View:
    """What was chosen: an order, and a mapping by its UUID (the first one, as long as there is none)."""

    order: Order = Order.TROUBLE
    chosen: str = ""


def press(view: View, key: str, mappings: list[JsonObject]) -> View | None:
    """What a key makes of the view; None ends it. Keys that mean nothing change nothing."""
    match key:
        case "q" | "\x03":
            return None
        case "s":
            orders = list(Order)
            return replace(view, order=orders[(orders.index(view.order) + 1) % len(orders)])
        case "j" | "\x1b[B" | "\x1bOB":
            return _moved(view, mappings, 1)
        case "k" | "\x1b[A" | "\x1bOA":
            return _moved(view, mappings, -1)
        case _:
            return view


def lines(status: JsonObject, view: View, width: int, height: int, problem: str) -> RenderableType:
    """The whole screen. `problem` is why the status is not of now; empty while it is."""
    mappings = in_order(status["mappings"], view.order)
    head = Text.assemble(
        ("poller ", "bold"),
        f"{len(mappings)} mapping{'s' * (len(mappings) != 1)}   "
        f"{short(sum(float(one.get('in_per_second', 0)) for one in mappings))} in/s   "
        f"{short(sum(float(one.get('out_per_second', 0)) for one in mappings))} out/s   ",
        (f"by {view.order}", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )
    note = _line((clean(problem), "bold red") if problem else (HELP, "dim"))
    if not mappings:
        return Group(head, note, Text("no mappings"))
    place = _place(mappings, view)
    room = max(1, height - _HEADING - _DETAILS)
    first = max(0, min(place - room // 2, len(mappings) - room))
    shown = mappings[first : first + room]
    body = _table(shown, mappings[place], width)
    return Group(head, note, body, *_details(mappings[place], width, len(mappings) - first - len(shown)))


def in_order(mappings: list[JsonObject], order: Order) -> list[JsonObject]:
    """Sorted; those of the same rank stay as they are configured."""
    match order:
        case Order.TROUBLE:
            return sorted(mappings, key=lambda one: {"bad": 0, "warn": 1}.get(_level(one), 2))
        case Order.LAG:
            return sorted(mappings, key=lambda one: -float(one.get("lag_seconds") or 0))
        case Order.IN:
            return sorted(mappings, key=lambda one: -float(one.get("in_per_second") or 0))
        case Order.NAME:
            return sorted(mappings, key=lambda one: str(one.get("name")))
        case Order.GIVEN:
            return mappings


def _moved(view: View, mappings: list[JsonObject], by: int) -> View:
    ordered = in_order(mappings, view.order)
    if not ordered:
        return view
    place = max(0, min(_place(ordered, view) + by, len(ordered) - 1))
    return replace(view, chosen=str(ordered[place].get("uuid")))


def _place(ordered: list[JsonObject], view: View) -> int:
    return next((at for at, one in enumerate(ordered) if one.get("uuid") == view.chosen), 0)


def _level(mapping: JsonObject) -> str:
    trouble = mapping.get("trouble")
    return str(trouble.get("level")) if isinstance(trouble, dict) else ""


def _table(shown: list[JsonObject], chosen: JsonObject, width: int) -> Table:
    rows = [_row(mapping) for mapping in shown]
    widths = {heading: max(len(heading), *(row[heading].cell_len for row in rows)) for heading in rows[0]}
    headings = room_for(widths | {"mapping": _LEAST_NAME}, _GO_FIRST, width)
    view = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim", expand=True)
    for heading in headings:
        if heading == "mapping":
            view.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
        else:
            view.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
    for mapping, row in zip(shown, rows, strict=True):
        view.add_row(*(row[heading] for heading in headings), style="reverse" if mapping is chosen else "")
    return view


def _row(mapping: JsonObject) -> dict[str, Text]:
    """By the headings; the first column, which has a sign, has none."""
    level = _level(mapping)
    state = "Finished" if mapping.get("finished") else clean(mapping.get("state", "?"))
    given = int(mapping.get("discarded", 0))
    return {
        "": Text({"bad": "✕", "warn": "!"}.get(level, " "), style=_TROUBLE_STYLES.get(level, "")),
        "mapping": Text(clean(mapping.get("name", "?")), style=_TROUBLE_STYLES.get(level, "")),
        "state": Text(state, style=_STATE_STYLES.get(state, "yellow")),
        "in/s": Text(short(float(mapping.get("in_per_second", 0)))),
        "out/s": Text(short(float(mapping.get("out_per_second", 0)))),
        "lag": Text(duration(float(mapping.get("lag_seconds") or 0))),
        "in flight": Text(f"{short(mapping.get('in_flight_batches', 0))}/{short(mapping.get('limit', 0))}"),
        "retries": Text(short(mapping.get("retries", 0))),
        "given up": Text(short(given) if "discarded" in mapping else "-", style="red" if given else ""),
    }


def _details(mapping: JsonObject, width: int, more: int) -> list[Text]:
    """Of the chosen mapping: source, trouble, last error, shards."""
    found = [Text(f"{more} more below" if more > 0 else "", style="dim")]
    found.append(
        _line((f"{clean(mapping.get('name', '?'))}  ", "bold"), (clean(mapping.get("source_arn", "")), "dim"))
    )
    trouble, error = mapping.get("trouble"), mapping.get("last_error")
    if isinstance(trouble, dict):
        style = _TROUBLE_STYLES.get(str(trouble.get("level")), "")
        found.append(_line((clean(trouble.get("reason", "")), style)))
    if isinstance(error, dict):
        at = clean(error.get("at", ""))[11:19]
        found.append(_line((f"last error {at} UTC: ", "dim"), (clean(error.get("message", "")), "")))
    shards = mapping.get("shards")
    if isinstance(shards, dict):
        told = Text(no_wrap=True, overflow="ellipsis")
        for state, (word, style) in _SHARD_WORDS.items():
            if count := int(shards.get(state, 0)):
                told.append(f"{count:,} {word}  ", style=style)
        strip = clean(mapping.get("shard_strip", ""))
        bar = Text(no_wrap=True)
        for letter in strip if len(strip) <= width else strip[: width - 1]:
            bar.append(letter, style=_SHARD_STYLES.get(letter, ""))
        if len(strip) > width:
            bar.append("…")
        found += [told, bar]
    return found


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
