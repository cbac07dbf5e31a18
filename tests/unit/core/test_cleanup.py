"""Rows without their shard: what is deleted, what ends, what begins again."""

from dataclasses import replace

import pytest

from poller.core.cleanup import KEPT, deleted_rows, lost_rows, missing_rows, removable
from poller.core.leases import Lease, ended, new_lease, position_of, with_progress
from poller.core.records import SHARD_END, TRIM_HORIZON, Listing, Position, PositionKind, Progress, Shard, after
from poller.core.shards import plan_rows, startable

NOW = 1_700_000_000.0
DAY = 24 * 3600.0
WEEK = 7 * DAY


def shard(key: str, parents: str = "", starting: str = "100", ending: str | None = None) -> Shard:
    return Shard(key, tuple(parents), starting, ending, "0", "9")


PARENT = shard("P", "", "100", "199")
CHILD = shard("C", "P", "200")
OTHER = shard("O", "", "101")


def listing(*shards: Shard, complete: bool = True) -> Listing:
    return Listing(shards, complete, NOW)


def rows(*leases: Lease) -> dict[str, Lease]:
    return {lease.key: lease for lease in leases}


def fresh(one: Shard) -> Lease:
    return new_lease(one, TRIM_HORIZON)


def read(one: Shard, sequence: str = "250") -> Lease:
    return with_progress(fresh(one), Progress(after(sequence)))


def done(one: Shard, ago: float = KEPT + 1, children: str = "") -> Lease:
    return replace(ended(fresh(one), NOW - ago), children=tuple(children))


# --- deleting ---


def test_a_row_that_nobody_needs_is_deleted() -> None:
    """STR-14: ended long ago, not listed, its child is being read."""
    stored = rows(done(PARENT, children="C"), read(CHILD))
    assert removable(listing(CHILD), stored, NOW, DAY) == (stored["P"],)


@pytest.mark.parametrize(
    ("listed", "stored", "retention"),
    [
        pytest.param((PARENT, CHILD), (done(PARENT), read(CHILD)), DAY, id="still listed"),
        pytest.param((CHILD,), (done(PARENT, KEPT), read(CHILD)), DAY, id="too young"),
        pytest.param((CHILD,), (done(PARENT, 3 * DAY), read(CHILD)), WEEK, id="younger than the retention"),
        pytest.param((CHILD,), (done(PARENT), fresh(CHILD)), DAY, id="the child has not begun"),
        pytest.param(
            (CHILD,),
            (done(PARENT), new_lease(CHILD, Position(PositionKind.AT_TIMESTAMP, timestamp=5.0))),
            DAY,
            id="nor has this one",
        ),
        pytest.param((OTHER,), (done(PARENT, children="C"), replace(fresh(CHILD), parents=())), DAY, id="by name"),
        pytest.param((OTHER,), (done(PARENT), fresh(CHILD)), DAY, id="the child is not listed either"),
        pytest.param((CHILD,), (done(PARENT), read(OTHER)), DAY, id="the child has no row yet"),
        pytest.param((OTHER,), (read(PARENT), read(OTHER)), DAY, id="not at its end"),
        pytest.param((OTHER,), (replace(done(PARENT), ended_at=None), read(OTHER)), DAY, id="nobody knows when"),
        pytest.param((), (done(PARENT), read(CHILD)), DAY, id="an empty listing proves nothing"),
    ],
)
def test_a_row_that_is_kept(listed: tuple[Shard, ...], stored: tuple[Lease, ...], retention: float) -> None:
    """STR-14: as long as its shard might be read again, or a child looks for it."""
    assert removable(listing(*listed), rows(*stored), NOW, retention) == ()


def test_a_part_of_the_shards_is_no_reason_to_delete() -> None:
    """STR-14: only a complete listing is."""
    assert removable(listing(CHILD, complete=False), rows(done(PARENT), read(CHILD)), NOW, DAY) == ()


def test_a_finished_shard_that_is_still_listed_is_not_read_again() -> None:
    """STR-14: the replay of a lineage after its row is gone; if it went all the same, its child tells."""
    assert plan_rows(listing(PARENT, CHILD), rows(read(CHILD)), TRIM_HORIZON, NOW) == ()


# --- gone ---


def test_a_shard_that_is_gone_ends_so_that_its_children_start() -> None:
    """STR-3: only after two complete listings."""
    stored = rows(read(PARENT, "150"), fresh(CHILD))
    missing = missing_rows(listing(CHILD), stored)
    assert missing == {"P"}
    assert lost_rows(listing(CHILD), stored, NOW) == ()
    assert lost_rows(listing(PARENT, CHILD), stored, NOW, missing) == ()
    (lost,) = lost_rows(listing(CHILD), stored, NOW, missing)
    assert (lost.lease, lost.remade, position_of(lost.instead)) == (stored["P"], False, SHARD_END)
    assert lost.instead.ended_at == NOW
    assert startable({"C": CHILD}, rows(lost.instead, stored["C"])) == ("C",)


def test_a_shard_that_was_gone_and_is_listed_again() -> None:
    """STR-3: an accident of the listing costs a repetition, never records."""
    for one in (PARENT, replace(PARENT, hash_start="", hash_end="")):
        stored = rows(read(one), read(OTHER))
        (lost,) = lost_rows(listing(OTHER), stored, NOW, {"P"})
        stored["P"] = lost.instead
        assert lost_rows(listing(OTHER), stored, NOW, {"P"}) == ()
        (again,) = lost_rows(listing(one, OTHER), stored, NOW)
        assert (again.lease, position_of(again.instead)) == (lost.instead, TRIM_HORIZON)
        assert lost_rows(listing(one, OTHER), rows(again.instead, stored["O"]), NOW) == ()


def test_a_shard_that_is_listed_again_proves_nothing_about_another() -> None:
    """STR-3: the stream is the same, and the other one may be an accident of this listing."""
    stored = rows(replace(done(PARENT), starting="0"), read(OTHER))
    assert missing_rows(listing(PARENT), stored) == {"O"}
    assert [lost.lease.key for lost in lost_rows(listing(PARENT), stored, NOW)] == ["P"]
    assert [lost.lease.key for lost in lost_rows(listing(PARENT), stored, NOW, {"O"})] == ["O", "P"]


def test_a_shard_that_is_too_new_to_be_listed_is_not_gone() -> None:
    """STR-3: its parent is listed and no child of that; parents go first."""
    stored = rows(done(PARENT), fresh(CHILD))
    assert missing_rows(listing(PARENT), stored) == frozenset()
    assert missing_rows(listing(PARENT, shard("D", "P", "200")), stored) == {"C"}


def test_listings_that_prove_nothing() -> None:
    """STR-3: a part of the shards, or none at all, which no stream in use has."""
    stored = rows(read(PARENT))
    assert missing_rows(listing(OTHER, complete=False), stored) == missing_rows(listing(), stored) == frozenset()
    assert missing_rows(listing(OTHER), rows(done(PARENT))) == frozenset()


# --- made anew ---


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(read(PARENT), id="position"),
        pytest.param(replace(read(PARENT), starting=""), id="position only"),
        pytest.param(done(PARENT, children="C"), id="ended"),
        pytest.param(new_lease(PARENT, Position(PositionKind.LATEST, timestamp=5.0)), id="pinned"),
    ],
)
def test_a_shard_of_a_stream_made_anew_is_read_from_its_start(row: Lease) -> None:
    """DDB-9, STR-28: the same id begins elsewhere; nothing of the old shard is kept but the counter."""
    anew = shard("P", "", "1000")
    row = replace(row, owner="me", tenure="t", counter=7, progress="{}")
    (lost,) = lost_rows(listing(anew), rows(row), NOW)
    assert (lost.lease, lost.remade) == (row, True)
    assert lost.instead == replace(fresh(anew), counter=7)
    assert lost_rows(listing(anew), rows(lost.instead), NOW) == ()


def test_nothing_is_made_anew_that_is_the_same() -> None:
    """STR-14, STR-28: equal beginnings, however they are written; and those that are not known."""
    same = replace(PARENT, starting="0100")
    assert lost_rows(listing(same), rows(read(PARENT, "50")), NOW) == ()
    assert lost_rows(listing(PARENT), rows(replace(read(PARENT, "150"), starting="")), NOW) == ()
    assert lost_rows(listing(PARENT), rows(replace(done(PARENT), starting="")), NOW) == ()
    assert lost_rows(listing(replace(PARENT, starting="")), rows(read(PARENT)), NOW) == ()


def test_a_moving_beginning_of_dynamodb_is_the_same_shard() -> None:
    """DDB-9: its ids never come back; emulators move the beginning as records expire."""
    moved = replace(PARENT, starting="150", hash_start="", hash_end="")
    assert lost_rows(listing(moved), rows(read(PARENT, "120"), done(CHILD)), NOW) == ()


def test_rows_that_cannot_tell_go_with_those_that_do() -> None:
    """STR-3: before them, so that a process that dies in between finds the same again. One look is enough."""
    ended_unknown = replace(done(OTHER), starting="")
    unlisted_unknown = replace(done(shard("U")), starting="")
    unlisted = read(CHILD)
    stored = rows(read(PARENT), ended_unknown, unlisted_unknown, unlisted, done(shard("X")))
    listed = listing(shard("P", "", "1000"), shard("O", "", "1001"))
    lost = lost_rows(listed, stored, NOW)
    assert [one.lease.key for one in lost] == ["C", "O", "U", "P"]
    for count in range(len(lost)):
        partly = stored | {one.lease.key: one.instead for one in lost[:count]}
        assert {one.lease.key for one in lost_rows(listed, partly, NOW)} >= {one.lease.key for one in lost[count:]}
    put_right = stored | {one.lease.key: one.instead for one in lost}
    assert lost_rows(listed, put_right, NOW) == ()
    assert set(startable({one.id: one for one in listed.shards}, put_right)) == {"P", "O"}
    back = listing(*listed.shards, shard("U", "", "1002"))
    assert [position_of(one.instead) for one in lost_rows(back, put_right, NOW)] == [TRIM_HORIZON]


def test_an_old_stream_proves_nothing_about_the_ids_of_a_new_one() -> None:
    """STR-28: the row of an old child of P does not mean that the new P was read."""
    stored = rows(read(replace(CHILD, starting="200")))
    planned = plan_rows(listing(shard("P", "", "1000")), stored, TRIM_HORIZON, NOW)
    assert [lease.key for lease in planned] == ["P"]
    assert missing_rows(listing(shard("P", "", "1000")), stored) == {"C"}


# --- taken out by hand ---


def test_a_row_that_was_deleted_while_we_held_it_comes_back_as_it_was() -> None:
    """STR-31: with its position and its counter."""
    held = rows(replace(read(PARENT), owner="me", tenure="t", counter=9), read(OTHER))
    assert deleted_rows(held, rows(read(OTHER))) == (held["P"],)
    assert deleted_rows(held, held) == ()
