"""The positions of a configuration's streams, for people: looked at, moved, and given to other programs.

What a position is, is in core/leases.py; the file that they are in, in store/.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from poller.config import Configuration
from poller.core.lease_items import to_item
from poller.core.leases import Conflict, Lease, ended, moved, progress_of
from poller.core.mapping import EventSourceMapping
from poller.core.model import JsonObject
from poller.core.records import SHARD_END, TRIM_HORIZON, Head, Position, PositionKind, after
from poller.core.shards import PIN_MARGIN
from poller.errors import ConfigurationError, StoreError
from poller.store.sqlite import SqliteStore
from poller.store.sqlite_file import read_rows


def look(configuration: Configuration, name: str | None) -> list[JsonObject]:
    """How far each shard of the mapping, or of all, is: what `poller checkpoint show --json` prints.

    Times are ISO 8601; `problem` says why a row cannot be read, and is null for one that can. Raises
    ConfigurationError for what has no positions, StoreError for a file that cannot be read.
    """
    return [_told(mapping, lease) for mapping, lease in _leases(configuration, name)]


def items(configuration: Configuration, name: str | None) -> Iterator[JsonObject]:
    """The same rows as items of KCL's table, in DynamoDB's JSON; `app` tells mappings apart. Raises as `look`."""
    for mapping, lease in _leases(configuration, name):
        yield {"app": {"S": mapping.uuid}} | to_item(lease)


def place(now: float, sequence: str | None, *, latest: bool = False, end: bool = False) -> Position:
    """Behind a sequence number, at the newest record (at the epoch second `now`), at the end of the shard, or else
    at its oldest record. Raises ConfigurationError for what is no sequence number.
    """
    if sequence is not None:
        if not (sequence.isascii() and sequence.isdecimal() and len(sequence) < 130):
            raise ConfigurationError(f"--sequence: {sequence[:140]!r} is not a sequence number: decimal digits.")
        return after(sequence)
    if end:
        return SHARD_END
    return Position(PositionKind.LATEST, timestamp=now - PIN_MARGIN) if latest else TRIM_HORIZON


async def move(configuration: Configuration, name: str, shard: str, to: Position, now: float) -> str:
    """Has the shard go on elsewhere, further on or back; what was done, in a sentence. `now` is epoch seconds.

    Raises as `look` does, ConfigurationError for a shard that is not known, and StoreError while a daemon has the
    file.
    """
    (mapping,) = _mappings(configuration, name)
    file = _file(configuration)
    read_rows(file, [])  # the store would make a file where there is none
    async with SqliteStore(file) as store:
        lease = await store.get(mapping.uuid, shard)
        if lease is None:
            raise ConfigurationError(
                f"The mapping {mapping.name!r} has no shard {shard!r} in {file};"
                " `poller checkpoint show` lists those it has."
            )
        there = ended(lease, now) if to == SHARD_END else moved(lease, to)
        written = await store.swap(mapping.uuid, lease, there)
    if isinstance(written, Conflict):  # nobody else has the file
        raise StoreError(f"The row of shard {shard} in the state file {file} was changed meanwhile: try again.")
    return f"{mapping.name}: shard {shard} goes on at {_place(written)}, no longer at {_place(lease)}"


def show(told: Sequence[JsonObject], console: Console) -> None:
    """Prints what `look` told as a table."""
    console.print(_table(told) if told else Text("no positions yet"))


def _leases(configuration: Configuration, name: str | None) -> Iterator[tuple[EventSourceMapping, Lease]]:
    mappings = _mappings(configuration, name)
    rows = read_rows(_file(configuration), [mapping.uuid for mapping in mappings])
    return ((mapping, lease) for mapping in mappings for lease in rows[mapping.uuid])


def _mappings(configuration: Configuration, name: str | None) -> list[EventSourceMapping]:
    streams = [mapping for mapping in configuration.mappings if mapping.stream is not None]
    wanted = [mapping for mapping in streams if name in {None, mapping.name}]
    if wanted:
        return wanted
    known = ", ".join(mapping.name for mapping in streams)
    if name in {mapping.name for mapping in configuration.mappings}:
        problem = f"The mapping {name!r} reads a queue, which has no positions"
    elif name is None:
        raise ConfigurationError(
            f"{configuration.file} has no mapping of a stream, and only those have positions."
        )
    else:
        problem = f"There is no mapping {name!r} in {configuration.file}"
    raise ConfigurationError(
        f"{problem}; " + (f"those of streams: {known}." if known else "there is none of a stream.")
    )


def _file(configuration: Configuration) -> str:
    state = configuration.settings.state
    if not state.lasting:
        raise ConfigurationError(
            "Positions are in the daemon's memory (Settings.State is memory:), where nobody else can read them;"
            " sqlite:<path> keeps them in a file."
        )
    return state.path


def _told(mapping: EventSourceMapping, lease: Lease) -> JsonObject:
    told: JsonObject = {
        "mapping": mapping.name,
        "uuid": mapping.uuid,
        "shard": lease.key,
        "checkpoint": lease.checkpoint,
        "timestamp": _time(lease.start),
        "ended_at": _time(lease.ended_at),
        "owner": lease.owner,
        "counter": lease.counter,
        "failing": [],
        "window": None,
        "problem": None,
    }
    try:
        progress = progress_of(lease)
    except ValueError as error:
        told["problem"] = str(error)
        return told
    told["failing"] = [_failing(head) for head in progress.heads]
    if progress.window is not None:  # its state is the user's data, and may be large
        told["window"] = {"start": _time(progress.window.start), "end": _time(progress.window.end)}
    return told


def _failing(head: Head) -> JsonObject:
    plain = {one.name: getattr(head, one.name) for one in fields(head)}
    return plain | {"failed_at": _time(head.failed_at)}


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):  # a row that was changed by hand
        return f"{seconds:g}"


def _place(lease: Lease) -> str:
    time = _time(lease.start if lease.ended_at is None else lease.ended_at)
    return f"{lease.checkpoint} ({time})" if time else lease.checkpoint


def _table(told: Sequence[JsonObject]) -> RenderableType:
    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("mapping", "shard", "position", "note"):
        view.add_column(heading, overflow="fold")
    for row in told:
        time = row["ended_at"] or row["timestamp"]
        position = f"{row['checkpoint']} ({time})" if time else row["checkpoint"]
        style = "red" if row["problem"] else "dim" if row["ended_at"] else ""
        # Text: what stands in brackets in a name is no markup
        view.add_row(*(Text(cell, style) for cell in (row["mapping"], row["shard"], position, _note(row))))
    return view


def _note(row: JsonObject) -> str:
    if row["problem"]:
        return str(row["problem"])
    notes = [
        f"lane {head['lane']}: a batch of {head['count']} has failed {head['attempts']} times"
        + (f" since {head['failed_at']}" if head["failed_at"] else "")
        for head in row["failing"]
        if head["attempts"]
    ]
    if row["window"]:
        notes.append(f"window of {row['window']['start']} is open")
    return "; ".join(notes)
