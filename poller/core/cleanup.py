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

_NOWHERE: Final = "0"
"""Where a shard began whose row was ended because it is gone: no shard begins there, so one that is listed under
its id after all is another, read from its start.
"""


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

    A shard whose parent is listed, and no child of that, is too new to be listed: parents go first.
    """
    if not listing.complete or not listing.shards:  # no stream in use has no shard: this proves nothing
        return frozenset()
    shards = {shard.id: shard for shard in listing.shards}
    succeeded = {parent for shard in listing.shards for parent in shard.parents}
    return frozenset(
        row.key
        for row in rows.values()
        if not at_end(row)
        and row.key not in shards
        and not any(
            parent in shards and parent not in succeeded and not younger(shards[parent], row)
            for parent in row.parents
        )
    )


def lost_rows(
    listing: Listing, rows: Mapping[str, Lease], now: float, missing: Collection[str] = ()
) -> tuple[Lost, ...]:
    """Rows to be put right before plan_rows is asked (STR-3). `missing` is what missing_rows said of an earlier
    complete listing; `now` is epoch seconds.

    A stream made anew shows by where its shards begin. What cannot show it goes along: rows of shards that are
    missing, and ended rows that do not know where their shards began. They come before those that show it, so that
    the next call finishes what was broken off between two writes.
    """
    shards = {shard.id: shard for shard in listing.shards}
    gone = missing_rows(listing, rows)
    remade = [key for key in shards if key in rows and _remade(shards[key], rows[key])]
    unknown: list[str] = []
    if any(rows[key].starting != _NOWHERE for key in remade):
        unknown = [key for key, row in rows.items() if at_end(row) and not row.starting]
    else:
        gone &= frozenset(missing)
    return (
        *(
            Lost(rows[key], replace(ended(rows[key], now), starting=_NOWHERE), remade=False)
            for key in sorted(gone)
        ),
        *(Lost(rows[key], _made_anew(rows[key], shards.get(key)), remade=True) for key in unknown + remade),
    )


def deleted_rows(held: Mapping[str, Lease], rows: Mapping[str, Lease]) -> tuple[Lease, ...]:
    """Rows that we hold and somebody took out of the store: create them again as we know them, so that neither
    the position nor the fence is lost (STR-31). `rows` were read after `held` were known to be there.
    """
    return tuple(lease for key, lease in held.items() if key not in rows)


def _remade(shard: Shard, lease: Lease) -> bool:
    if lease.starting == _NOWHERE:
        return True
    if not shard.hash_end:
        return False  # DynamoDB's ids never come back (DDB-9); its emulators let beginnings move as records expire
    if lease.starting and shard.starting:
        return sequence_value(lease.starting) != sequence_value(shard.starting)
    return younger(shard, lease)


def _made_anew(lease: Lease, shard: Shard | None) -> Lease:
    if shard is None:  # not listed yet; what it was is over
        return replace(lease, starting=_NOWHERE)
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
