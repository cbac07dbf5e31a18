"""Rows whose shard is no more: which may be deleted, which will get no further, which are another stream's.

A finished row that is deleted too early is the one way to replay a whole lineage, so deleting is the exception.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from poller.core.fact import fact
from poller.core.leases import Lease, ended, moved
from poller.core.records import TRIM_HORIZON, Listing, Shard, sequence_value
from poller.core.shards import NOT_BEGUN, at_end, parents_of, younger

KEPT: Final = 48 * 3600.0
"""Seconds for which a finished row is kept at least: twice as long as DynamoDB lists a shard."""


@fact
class Lost:
    """A row whose shard is not what it was: swap `lease` for `instead`, count it, log it; if the shard is being
    read, stop that first, without saving.

    `remade`: the stream was deleted and made anew under its name, and this id is another shard now, read from its
    start. Otherwise the shard is gone with what was not read of it, and its row ends, so that its children start.
    """

    lease: Lease
    instead: Lease
    remade: bool


def removable(listing: Listing, rows: Mapping[str, Lease], now: float, retention: float) -> tuple[Lease, ...]:
    """The rows that may be deleted (S14 of the lease algorithm): ended longer ago than 48 hours and `retention`
    (seconds), not in a complete listing, and no child waits for them. `listing` as the source gave it; `now` is
    epoch seconds. A row that does not say when it ended (KCL's do not) is kept.
    """
    if not listing.complete or not listing.shards:
        return ()
    shards = {shard.id: shard for shard in listing.shards}
    waited_for = {parent for shard in shards.values() if shard.id not in rows for parent in shard.parents}
    for row in rows.values():
        if row.checkpoint in NOT_BEGUN:
            waited_for.update(parents_of(row, shards))
    return tuple(
        row
        for row in rows.values()
        if at_end(row)
        and row.key not in shards
        and row.key not in waited_for
        and not any(child in rows and rows[child].checkpoint in NOT_BEGUN for child in row.children)
        and row.ended_at is not None
        and now - row.ended_at > max(KEPT, retention)
    )


def missing_rows(listing: Listing, rows: Mapping[str, Lease]) -> frozenset[str]:
    """Rows not at the end whose shard a complete listing lacks. What one listing lacks may be an accident, so
    list once more (discovery.next_look says when) and hand both answers to `lost_rows`.

    A shard with a listed parent is too new to be listed, not gone: parents go first.
    """
    if not listing.complete or not listing.shards:  # no stream in use has no shard: this proves nothing
        return frozenset()
    shards = {shard.id: shard for shard in listing.shards}
    return frozenset(
        row.key
        for row in rows.values()
        if not at_end(row)
        and row.key not in shards
        and not any(parent in shards and not younger(shards[parent], row) for parent in row.parents)
    )


def lost_rows(
    listing: Listing, rows: Mapping[str, Lease], now: float, missing: Collection[str] = ()
) -> tuple[Lost, ...]:
    """Rows to be put right before plan_rows is asked (STR-3). `missing` is what missing_rows said of an earlier
    complete listing; `now` is epoch seconds.

    A stream made anew shows by where its shards begin. Rows that do not know where theirs began go with those
    that do, and before them: broken off between two writes, this must still tell.
    """
    gone = missing_rows(listing, rows) & frozenset(missing)
    listed = [shard for shard in listing.shards if shard.id in rows and not _of_dynamodb(shard)]
    remade = [shard for shard in listed if _remade(shard, rows[shard.id])]
    if remade:
        remade = [
            *(shard for shard in listed if not rows[shard.id].starting),
            *(shard for shard in remade if rows[shard.id].starting),
        ]
    return (
        *(Lost(rows[shard.id], _made_anew(rows[shard.id], shard), remade=True) for shard in remade),
        *(Lost(rows[key], ended(rows[key], now), remade=False) for key in rows if key in gone),
    )


def deleted_rows(held: Mapping[str, Lease], rows: Mapping[str, Lease]) -> tuple[Lease, ...]:
    """Rows that we hold and somebody took out of the store: create them again as we know them, so that neither
    the position nor the fence is lost (STR-31). `rows` were read after `held` were known to be there.
    """
    return tuple(lease for key, lease in held.items() if key not in rows)


def _of_dynamodb(shard: Shard) -> bool:
    """Its ids never come back (DDB-9), and in its emulators the beginning of a shard moves as records expire."""
    return not shard.hash_end


def _remade(shard: Shard, lease: Lease) -> bool:
    if lease.starting and shard.starting:
        return sequence_value(lease.starting) != sequence_value(shard.starting)
    return younger(shard, lease)


def _made_anew(lease: Lease, shard: Shard) -> Lease:
    return replace(
        moved(lease, TRIM_HORIZON),
        owner=None,
        tenure="",
        parents=shard.parents,
        children=(),
        hash_start=shard.hash_start,
        hash_end=shard.hash_end,
        starting=shard.starting,
    )
