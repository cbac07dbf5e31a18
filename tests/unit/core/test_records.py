"""What a listing shows of a shard."""

import pytest

from poller.core.records import Listing, Shard

OPEN, CLOSED = Shard("shardId-5"), Shard("shardId-5", ending="200")


@pytest.mark.parametrize(
    ("shards", "shown"),
    [
        ((OPEN,), True),
        ((Shard("shardId-1"), OPEN, Shard("shardId-9")), True),
        ((Shard("shardId-1", ending="1"), OPEN, Shard("shardId-9", ending="1")), True),
        ((), False),
        ((CLOSED,), False),
        ((Shard("shardId-1"), CLOSED, Shard("shardId-9")), False),
        ((Shard("shardId-1"), Shard("shardId-9")), False),
        ((OPEN, Shard("shardId-9", (OPEN.id,))), False),
        ((OPEN, Shard("shardId-9", ("shardId-1",))), True),
    ],
)
def test_an_open_shard_has_neither_end_nor_child(shards: tuple[Shard, ...], shown: bool) -> None:
    """STR-2: as far as the listing tells."""
    assert Listing(shards, complete=True, told_at=0.0).shows_open("shardId-5") is shown
