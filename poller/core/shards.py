"""The shard graph: which shards get a row, from where they are read, and which may be read now (STR-1 to STR-14).

Rows are all that survives, so every answer is drawn from them and from a listing, never from memory. What to ask
the source is in discovery.py, what becomes of rows without a shard in cleanup.py. Everything is linear in shards
and rows, and nothing recurses: lineages of DynamoDB are hundreds of shards deep.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from poller.core.leases import Lease, ended, new_lease
from poller.core.records import TRIM_HORIZON, Listing, Position, PositionKind, Shard, sequence_value

PIN_MARGIN: Final = 5.0
"""Seconds by which LATEST is pinned before the listing's own time: that comes in whole seconds, and the clocks
that stamp records need not be quite the one that stamped the answer. Too early reads a moment too much, too late
loses one.
"""

NOT_BEGUN: Final = frozenset({PositionKind.TRIM_HORIZON.value, PositionKind.AT_TIMESTAMP.value})
"""Checkpoints that a row may have while the parents of its shard are still read. LATEST is none of them: only
shards that were open at the pin have it, and then nothing older is waited for.
"""


def plan_rows(listing: Listing, rows: Mapping[str, Lease], start: Position, now: float) -> tuple[Lease, ...]:
    """The rows to create now, parents first (STR-6, STR-10 to STR-14). `now` is epoch seconds.

    Create them in this order, and start no shard before the last one is there. When one exists already although
    `rows` did not have it, read the rows and plan again: somebody else is at it. If this is broken off anywhere,
    the next plan makes what is missing, from the same pin: rows tell by `start` that they are of the first look,
    and none of those has been read before all are there.

    `rows` are all of the mapping; the first listing must be complete. `start` counts only while there are no rows.
    """
    if not rows:
        assert listing.complete, "the first look must see all shards: those it does not see would be skipped"
        return _first_rows(listing, start, now)
    skipped = _passed_without_row({shard.id: shard for shard in listing.shards}, rows)
    known = dict(rows)
    pin = _common_start(rows.values())
    planned = []
    for shard in parents_first(listing.shards):
        if shard.id not in known and shard.id not in skipped:
            lease = new_lease(shard, _later_position(shard.parents, known, pin))
            known[shard.id] = lease
            planned.append(lease)
    return tuple(planned)


def children_rows(parent: Lease, children: Iterable[Shard], rows: Mapping[str, Lease]) -> tuple[Lease, ...]:
    """The rows to create, if they are not there, before the end of `parent` is written (S13 of the lease
    algorithm; STR-6, STR-12). None when its children are not known yet: a later listing brings them (STR-4).

    Where a listing has the children, pass them as listed: a Kinesis page does not tell where a child begins.
    """
    position = _later_position((parent.key,), {parent.key: parent}, None)
    return tuple(
        new_lease(replace(child, parents=child.parents or (parent.key,)), position)
        for child in children
        if child.id not in rows
    )


def ended_row(lease: Lease, children: Iterable[Shard], shards: Mapping[str, Shard], now: float) -> Lease:
    """The row of a shard that is worked off (STR-2), to be written once its children have theirs. `shards` is all
    that is known; it tells where a shard began that was not listed when its row was made. `now` is epoch seconds.
    """
    starting = shards[lease.key].starting if lease.key in shards else ""
    children_ids = tuple(child.id for child in children)
    return replace(ended(lease, now), children=children_ids, starting=lease.starting or starting)


def startable(shards: Mapping[str, Shard], rows: Mapping[str, Lease]) -> tuple[str, ...]:
    """Which shards may be read, being read or not: their rows are not at the end, and every parent is worked off
    (STR-1, STR-2). In the order of the rows.

    A parent's row decides if there is one. A parent without a row is worked off when it is not listed (STR-3), or
    when a row further down says so; while it is listed and nothing says so, it still has to get its row.
    `shards` is all that is known of the stream, listed after `rows` were read.
    """
    skipped = _passed_without_row(shards, rows)

    def worked_off(key: str) -> bool:
        row = rows.get(key)
        return (key not in shards or key in skipped) if row is None else at_end(row)

    return tuple(
        row.key for row in rows.values() if not at_end(row) and all(map(worked_off, parents_of(row, shards)))
    )


def at_end(lease: Lease) -> bool:
    """Whether every record of the shard is resolved, or was skipped for good."""
    return lease.checkpoint == PositionKind.SHARD_END


def parents_of(lease: Lease, shards: Mapping[str, Shard]) -> tuple[str, ...]:
    """As the source lists them; as the row remembers them once it does not."""
    shard = shards.get(lease.key)
    return lease.parents if shard is None else shard.parents


def parents_first(shards: Iterable[Shard]) -> list[Shard]:
    """Every shard once, each after those of its parents that are among them, else in the order given (STR-10)."""
    by_id = {shard.id: shard for shard in shards}
    children: dict[str, list[str]] = {}
    waiting: dict[str, int] = {}
    for shard in by_id.values():
        parents = {parent for parent in shard.parents if parent in by_id}
        waiting[shard.id] = len(parents)
        for parent in parents:
            children.setdefault(parent, []).append(shard.id)
    ready = deque(key for key, count in waiting.items() if count == 0)
    ordered = []
    while ready:
        key = ready.popleft()
        ordered.append(by_id.pop(key))
        for child in children.get(key, ()):
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return ordered + list(by_id.values())  # what is left has itself as ancestor: nonsense, but not to be dropped


def younger(shard: Shard, lease: Lease) -> bool:
    """Whether this shard began after that row's did: then it is no ancestor of it, whatever their ids say, but
    belongs to a stream that was deleted and made anew. Compared as integers (STR-28); not known is no.
    """
    place = lease.starting or (lease.checkpoint if lease.checkpoint.isdecimal() else "")
    return bool(place and shard.starting) and sequence_value(shard.starting) > sequence_value(place)


def _first_rows(listing: Listing, start: Position, now: float) -> tuple[Lease, ...]:
    ordered = parents_first(listing.shards)
    if start.kind is not PositionKind.LATEST:
        return tuple(new_lease(shard, start) for shard in ordered)
    pin = Position(PositionKind.LATEST, timestamp=listing.told_at - PIN_MARGIN)
    have_children = {parent for shard in ordered for parent in shard.parents}
    planned = []
    for shard in ordered:
        lease = new_lease(shard, pin)
        # DynamoDB may list children before the end of their parent
        if shard.ending is not None or shard.id in have_children:
            # `start` stays in it, which tells a skipped shard from one that was read (STR-12)
            lease = replace(ended(lease, now), start=pin.timestamp)
        planned.append(lease)
    return tuple(planned)


def _later_position(parents: Iterable[str], rows: Mapping[str, Lease], pin: float | None) -> Position:
    """Where a shard starts that has no row while others have (STR-6, STR-13, STR-14).

    A parent that was open when the mapping began, or was read since, proves that the shard was born later:
    TRIM_HORIZON. Without such a parent it may be left over from a first look that was broken off, and be older
    than the pin: the time of the pin, which is the same for a shard that was born later.
    """
    known = [rows[parent] for parent in parents if parent in rows]
    if any(row.start is None or row.checkpoint == PositionKind.LATEST for row in known):
        return TRIM_HORIZON
    since = _common_start(known) if known else pin
    return TRIM_HORIZON if since is None else Position(PositionKind.AT_TIMESTAMP, timestamp=since)


def _common_start(rows: Iterable[Lease]) -> float | None:
    """The earliest start; None unless each row has one."""
    earliest = None
    for row in rows:
        if row.start is None:
            return None
        earliest = row.start if earliest is None else min(earliest, row.start)
    return earliest


def _passed_without_row(shards: Mapping[str, Shard], rows: Mapping[str, Lease]) -> set[str]:
    """Shards without a row that must be worked off, because a descendant was begun, or skipped at the pin.

    Rows taken over from KCL lack their ended ancestors, which may still be listed: they must not be read again.
    """
    passed: set[str] = set()
    pending = [
        parent
        for row in rows.values()
        if row.checkpoint not in NOT_BEGUN
        for parent in parents_of(row, shards)
        if parent not in rows and not (parent in shards and younger(shards[parent], row))
    ]
    while pending:
        key = pending.pop()
        if key not in passed:
            passed.add(key)
            if key in shards:
                pending.extend(parent for parent in shards[key].parents if parent not in rows)
    return passed
