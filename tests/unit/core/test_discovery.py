"""What the source is asked about its shards, and when."""

from poller.core.discovery import (
    CHILD_TRIES,
    CONFIRM_LOOK,
    DYNAMODB_FULL_LOOK,
    EMPTY_LOOK,
    Look,
    childless,
    merge,
    next_look,
    oldest_leaf,
)
from poller.core.model import SourceKind
from poller.core.records import Listing, Shard

NOW = 1_700_000_000.0
HOUR = 3600.0


def born(hours_ago: float, name: str = "a") -> str:
    return f"shardId-{int((NOW - hours_ago * HOUR) * 1000):020d}-{name}"


OLD, MIDDLE, NEW = born(9), born(5), born(1)
LINEAGE = {
    OLD: Shard(OLD, (), "1", "9"),
    MIDDLE: Shard(MIDDLE, (OLD,), "10", "19"),
    NEW: Shard(NEW, (MIDDLE,), "20"),
}


def test_what_is_new_is_added_and_what_is_complete_replaces() -> None:
    """STR-5, STR-7: a partial listing says nothing about the others."""
    first, second = Shard("1", ending="5"), Shard("2", ("1",))
    known = merge({"1": Shard("1")}, Listing((second,), complete=False, told_at=NOW))
    assert known == {"1": Shard("1"), "2": second}
    assert merge(known, Listing((first,), complete=False, told_at=NOW)) == {"1": first, "2": second}
    assert merge(known, Listing((second,), complete=True, told_at=NOW)) == {"2": second}


def test_kinesis_is_listed_every_minute() -> None:
    """STR-6: in full."""
    assert next_look(SourceKind.KINESIS, {"1": Shard("1")}, NOW, full_at=0.0) == Look(60.0)


def test_dynamodb_is_asked_for_what_is_new() -> None:
    """STR-6, STR-7: every five minutes after the oldest leaf, in full twice a day."""
    assert next_look(SourceKind.DYNAMODB, LINEAGE, NOW, full_at=NOW - 600) == Look(300.0, NEW)
    assert next_look(SourceKind.DYNAMODB, LINEAGE, NOW, full_at=NOW - DYNAMODB_FULL_LOOK) == Look(300.0)


def test_a_stream_without_shards_is_looked_at_at_once() -> None:
    """STR-11: what is written before the first look is missed by LATEST."""
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        assert next_look(kind, {}, NOW, full_at=NOW) == Look(EMPTY_LOOK)


def test_a_shard_that_seems_to_be_gone_is_looked_for_again() -> None:
    """STR-3: in full and soon, for its children wait."""
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        assert next_look(kind, LINEAGE, NOW, full_at=NOW, missing={OLD}) == Look(CONFIRM_LOOK)


def test_the_oldest_leaf_is_one_that_is_still_listed() -> None:
    """STR-7: a leaf that never got a child vanishes after a day, and cannot be asked after."""
    dead, lonely = born(26, "dead"), born(20, "lonely")
    shards = {dead: Shard(dead, (), "1", "2"), lonely: Shard(lonely, (), "3", "4"), **LINEAGE}
    assert oldest_leaf(shards, NOW) == lonely
    assert oldest_leaf({dead: shards[dead]}, NOW) is None
    assert oldest_leaf({"shardId-000000000000": Shard("shardId-000000000000")}, NOW) == "shardId-000000000000"


def test_a_closed_leaf_is_asked_for_its_child() -> None:
    """STR-7: only a closed one, a few times, and while it may still get one."""
    closed = {**LINEAGE, NEW: Shard(NEW, (MIDDLE,), "20", "29")}
    assert childless(LINEAGE, {}, NOW, "ENABLED") == ()
    assert childless(closed, {}, NOW, "ENABLED") == (NEW,)
    assert childless(closed, {NEW: CHILD_TRIES - 1}, NOW, "ENABLED") == (NEW,)
    assert childless(closed, {NEW: CHILD_TRIES}, NOW, "ENABLED") == ()
    assert childless(closed, {}, NOW + 23 * HOUR, "ENABLED") == (NEW,)
    assert childless(closed, {}, NOW + 25 * HOUR, "ENABLED") == ()


def test_the_last_shards_of_a_disabled_stream_are_final() -> None:
    """DDB-9: there is nothing to search for."""
    assert childless({OLD: LINEAGE[OLD]}, {}, NOW, "DISABLED") == ()


def test_how_soon_is_soon() -> None:
    """STR-3, STR-11, STR-7: a second without shards, five when one seems to be gone, twelve hours for all of a
    table's.
    """
    assert next_look(SourceKind.KINESIS, {}, NOW, full_at=NOW).after == 1.0
    assert next_look(SourceKind.KINESIS, {"1": Shard("1")}, NOW, full_at=NOW, missing=("1",)).after == 5.0
    for hours, since in ((11.99, NEW), (12.0, None), (30.0, None)):
        assert next_look(SourceKind.DYNAMODB, LINEAGE, NOW, full_at=NOW - hours * HOUR) == Look(300.0, since)


def test_a_child_is_asked_for_five_times_in_a_day() -> None:
    """STR-7: and by then it is known, or never comes."""
    for hours, tries, asked in ((1, 4, True), (1, 5, False), (1, 9, False), (24.9, 0, True), (25.1, 0, False)):
        key = born(hours)
        closed = {key: Shard(key, (), "1", "9")}
        assert bool(childless(closed, {key: tries}, NOW, "ENABLED")) is asked, (hours, tries)
