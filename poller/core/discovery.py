"""What to ask the source about its shards, and when (STR-4 to STR-7); what is known of them after each answer.

DynamoDB lists tens of thousands of shards for a large table, 100 a call: there one asks for what is new, and for
everything only once in a while.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

from poller.core.fact import fact
from poller.core.model import SourceKind
from poller.core.records import Listing, Shard

EMPTY_LOOK: Final = 1.0
CONFIRM_LOOK: Final = 5.0
KINESIS_LOOK: Final = 60.0
DYNAMODB_LOOK: Final = 300.0
DYNAMODB_FULL_LOOK: Final = 12 * 3600.0
"""Seconds until the next look: without a shard, when a shard seems to be gone, at other times."""

CHILD_TRIES: Final = 5
CHILD_LIMIT: Final = 25 * 3600.0
"""How often a closed shard of DynamoDB is asked for its child, and up to which age of it, in seconds."""

_CREATED = re.compile(r"shardId-(\d{20})-")  # DynamoDB: the epoch millisecond of its birth


@fact
class Look:
    """When to list the shards again: `after` seconds from the last time (the caller adds jitter). All of them, or
    with `since` only what the source lists after that shard; if it does not know that one any more, all.
    """

    after: float
    since: str | None = None


def merge(known: Mapping[str, Shard], listing: Listing) -> dict[str, Shard]:
    """All that is known of the shards after this answer, in the order of the source (STR-5)."""
    listed = {shard.id: shard for shard in listing.shards}
    return listed if listing.complete else {**known, **listed}


def next_look(
    kind: SourceKind,
    shards: Mapping[str, Shard],
    now: float,
    full_at: float,
    missing: Collection[str] = (),
) -> Look:
    """When to look for shards again, besides at each end of a shard (STR-6).

    `full_at` is the epoch second of the last complete listing, `missing` what cleanup.missing_rows made of it.
    """
    if not shards:
        return Look(EMPTY_LOOK)  # a stream that is about to begin: LATEST is to be pinned early (STR-11)
    if missing:
        return Look(CONFIRM_LOOK)
    if kind is not SourceKind.DYNAMODB:
        return Look(KINESIS_LOOK)
    since = None if now - full_at >= DYNAMODB_FULL_LOOK else oldest_leaf(shards, now)
    return Look(DYNAMODB_LOOK, since)


def oldest_leaf(shards: Mapping[str, Shard], now: float) -> str | None:
    """The first shard without a child: whatever is new is listed after it (STR-7). None if there is none that the
    source still lists for sure.
    """
    have_children = _parents(shards)
    return next((key for key in shards if key not in have_children and not _expired(key, now)), None)


def childless(shards: Mapping[str, Shard], tries: Mapping[str, int], now: float, status: str) -> tuple[str, ...]:
    """Closed shards of a DynamoDB stream that should have a child and show none: ask for their children again
    (STR-7). `tries` says how often that was done for each; `status` is StreamFacts.status: the last shards of a
    DISABLED stream are final (DDB-9).
    """
    if status == "DISABLED":
        return ()
    have_children = _parents(shards)
    return tuple(
        key
        for key, shard in shards.items()
        if shard.ending is not None
        and key not in have_children
        and tries.get(key, 0) < CHILD_TRIES
        and not _expired(key, now)
    )


def _parents(shards: Mapping[str, Shard]) -> set[str]:
    return {parent for shard in shards.values() for parent in shard.parents}


def _expired(key: str, now: float) -> bool:
    """Whether its id tells that it is too old to be listed, or to get a child."""
    born = _CREATED.match(key)
    return born is not None and now - int(born[1]) / 1000 > CHILD_LIMIT
