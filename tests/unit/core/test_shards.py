"""Which shards get a row, from where, and which may be read: one lineage at a time."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from poller.core.leases import Lease, ended, new_lease, position_of, with_progress
from poller.core.records import TRIM_HORIZON, Listing, Position, PositionKind, Progress, Shard, after
from poller.core.shards import (
    PIN_MARGIN,
    children_rows,
    ended_row,
    parents_first,
    plan_rows,
    startable,
    younger,
)

NOW = 1_700_000_000.0
LATEST = Position(PositionKind.LATEST)
PINNED = Position(PositionKind.LATEST, timestamp=NOW - PIN_MARGIN)
SINCE_PIN = Position(PositionKind.AT_TIMESTAMP, timestamp=NOW - PIN_MARGIN)
AT = Position(PositionKind.AT_TIMESTAMP, timestamp=NOW - 3600)

# A was split into B and C, which were merged into D; E has always been there
A = Shard("A", (), "100", "199")
B = Shard("B", ("A",), "200", "299")
C = Shard("C", ("A",), "201", "298")
D = Shard("D", ("B", "C"), "300")
E = Shard("E", (), "101")
ALL = (D, C, B, A, E)


def listing(*shards: Shard, complete: bool = True) -> Listing:
    return Listing(shards, complete, NOW)


def by_id(*shards: Shard) -> dict[str, Shard]:
    return {shard.id: shard for shard in shards}


def rows(*leases: Lease) -> dict[str, Lease]:
    return {lease.key: lease for lease in leases}


def at(shard: Shard, position: Position) -> Lease:
    return new_lease(shard, position)


def read(shard: Shard, sequence: str = "250") -> Lease:
    return with_progress(new_lease(shard, TRIM_HORIZON), Progress(after(sequence)))


def done(shard: Shard) -> Lease:
    return ended(new_lease(shard, TRIM_HORIZON), NOW)


def places(leases: Iterable[Lease]) -> dict[str, Position]:
    return {lease.key: position_of(lease) for lease in leases}


# --- the first look ---


def test_trim_horizon_gives_every_listed_shard_its_oldest_record() -> None:
    """STR-10: the oldest generation first."""
    planned = plan_rows(listing(*ALL), {}, TRIM_HORIZON, NOW)
    assert [lease.key for lease in planned] == ["A", "E", "C", "B", "D"]
    assert places(planned) == dict.fromkeys((lease.key for lease in planned), TRIM_HORIZON)


def test_a_row_holds_what_tells_its_shard() -> None:
    """STR-2: parents and the beginning are in the row, for when the shard is not listed any more."""
    (lease,) = plan_rows(listing(replace(D, hash_start="0", hash_end="9")), {}, TRIM_HORIZON, NOW)
    assert (lease.parents, lease.starting, lease.hash_start, lease.hash_end) == (("B", "C"), "300", "0", "9")
    assert (lease.owner, lease.counter) == (None, 0)


def test_at_timestamp_is_for_all_generations() -> None:
    """STR-13: a shard that was closed before the time is read too, and turns out empty."""
    planned = plan_rows(listing(*ALL), {}, AT, NOW)
    assert places(planned) == dict.fromkeys("ABCDE", AT)


def test_latest_is_pinned_by_the_source_and_closed_shards_are_skipped() -> None:
    """STR-11, STR-12: the time is the listing's own, never our clock's."""
    planned = plan_rows(listing(*ALL), {}, LATEST, now=5.0)
    ends = Position(PositionKind.SHARD_END)
    assert places(planned) == {"A": ends, "B": ends, "C": ends, "D": PINNED, "E": PINNED}
    assert startable(by_id(*ALL), rows(*planned)) == ("E", "D")
    assert {lease.ended_at for lease in planned} == {5.0, None}


def test_an_open_parent_with_children_is_closed() -> None:
    """STR-7, STR-12: DynamoDB lists the children before it lists the end of their parent."""
    planned = plan_rows(listing(replace(A, ending=None), replace(B, ending=None)), {}, LATEST, NOW)
    assert places(planned) == {"A": Position(PositionKind.SHARD_END), "B": PINNED}


def test_a_stream_without_shards_is_pinned_later() -> None:
    """STR-11: nothing to pin yet."""
    assert plan_rows(listing(), {}, LATEST, NOW) == ()


@pytest.mark.parametrize("start", [TRIM_HORIZON, LATEST, AT])
def test_a_look_that_changes_nothing(start: Position) -> None:
    """STR-14: what has a row is never resolved again, also with another StartingPosition."""
    stored = rows(*plan_rows(listing(*ALL), {}, start, NOW))
    for other in (TRIM_HORIZON, LATEST, AT):
        assert plan_rows(listing(*ALL), stored, other, NOW + 600) == ()


@pytest.mark.parametrize("created", range(1, 5))
def test_a_first_look_that_was_broken_off_goes_on_from_its_pin(created: int) -> None:
    """STR-11, STR-12: what is left is read since the pin, closed shards too, whatever was closed meanwhile."""
    stored = rows(*plan_rows(listing(*ALL), {}, LATEST, NOW)[:created])
    later = Listing((*ALL[:-1], replace(E, ending="400"), Shard("F", ("E",), "401")), True, NOW + 600)
    planned = places(plan_rows(later, stored, LATEST, NOW + 600))
    assert planned.keys() | stored.keys() == set("ABCDEF")
    assert planned.pop("F") == (TRIM_HORIZON if "E" in stored else SINCE_PIN)
    assert planned == dict.fromkeys(planned, SINCE_PIN)


@pytest.mark.parametrize("start", [TRIM_HORIZON, AT])
def test_a_first_look_of_another_position_that_was_broken_off(start: Position) -> None:
    """STR-10, STR-13: the rest starts where the first ones do."""
    stored = rows(*plan_rows(listing(*ALL), {}, start, NOW)[:2])
    planned = places(plan_rows(listing(*ALL), stored, start, NOW + 9))
    assert planned == dict.fromkeys(set("ABCDE") - stored.keys(), start)


# --- later looks ---


@pytest.mark.parametrize("parent", [read(A), done(A), at(A, TRIM_HORIZON), at(A, PINNED)])
@pytest.mark.parametrize("start", [TRIM_HORIZON, LATEST, AT])
def test_a_new_shard_of_a_covered_parent_is_read_from_its_start(parent: Lease, start: Position) -> None:
    """STR-6, STR-14: whatever StartingPosition says."""
    planned = plan_rows(listing(A, B, complete=False), rows(parent), start, NOW)
    assert places(planned) == {"B": TRIM_HORIZON}


def test_generations_that_come_at_once() -> None:
    """STR-6: a grandchild of a known shard is new as well."""
    planned = plan_rows(listing(*ALL), rows(at(A, PINNED), at(E, PINNED)), LATEST, NOW)
    assert [lease.key for lease in planned] == ["C", "B", "D"]
    assert places(planned) == dict.fromkeys((lease.key for lease in planned), TRIM_HORIZON)


def test_a_child_of_a_parent_that_has_read_nothing_since_its_time() -> None:
    """STR-13: both may be older than the time, so it counts for both."""
    assert places(plan_rows(listing(A, B), rows(at(A, AT)), TRIM_HORIZON, NOW)) == {"B": AT}


def test_a_late_child_of_a_skipped_shard() -> None:
    """STR-7, STR-12: it was born before the pin, and what it has from then on is wanted."""
    stored = rows(*plan_rows(listing(A, E), {}, LATEST, NOW))
    assert places(plan_rows(listing(A, B, E), stored, LATEST, NOW)) == {"B": SINCE_PIN}


def test_a_new_shard_without_a_known_ancestor() -> None:
    """STR-6: its parents were trimmed before anybody saw them; nothing of it may be missed."""
    assert places(plan_rows(listing(D, E), rows(read(E)), LATEST, NOW)) == {"D": TRIM_HORIZON}


def test_ancestors_of_what_was_begun_are_not_read_again() -> None:
    """STR-14: rows taken over from KCL lack the finished ancestors, which are still listed."""
    assert plan_rows(listing(*ALL), rows(read(D, "350"), read(E)), TRIM_HORIZON, NOW) == ()
    assert startable(by_id(*ALL), rows(read(D, "350"))) == ("D",)


def test_ancestors_of_what_only_waits_are_read() -> None:
    """STR-2: a row that nobody has begun proves nothing about its parents."""
    stored = rows(at(D, TRIM_HORIZON), done(B))
    assert places(plan_rows(listing(*ALL[:-1]), stored, TRIM_HORIZON, NOW)) == {"C": TRIM_HORIZON}
    assert startable(by_id(*ALL), stored) == ()


def test_a_lineage_that_only_rows_remember() -> None:
    """STR-3, STR-14: the listing has lost the link between the ancestor and what was begun."""
    assert plan_rows(listing(B, complete=False), rows(read(D, "350")), TRIM_HORIZON, NOW) == ()


# --- which may be read ---


def test_children_wait_for_the_end_of_their_parent() -> None:
    """STR-2: read to its last record is not yet worked off; then the siblings go side by side."""
    children = (at(B, TRIM_HORIZON), at(C, TRIM_HORIZON))
    assert startable(by_id(*ALL), rows(read(A, "199"), *children)) == ("A",)
    assert startable(by_id(*ALL), rows(done(A), *children)) == ("B", "C")


@pytest.mark.parametrize(
    ("parents", "may"), [((B, C), True), ((B,), False), ((C,), False), ((), False)], ids=lambda one: str(one)[:20]
)
def test_a_merged_child_waits_for_both_parents(parents: tuple[Shard, ...], may: bool) -> None:
    """STR-2: each parent that is not worked off holds it back."""
    stored = rows(done(A), *(done(shard) if shard in parents else read(shard) for shard in (B, C)))
    stored["D"] = at(D, TRIM_HORIZON)
    assert ("D" in startable(by_id(*ALL), stored)) is may


def test_a_parent_that_is_neither_listed_nor_known() -> None:
    """STR-3: it counts as worked off, alone or beside another."""
    assert startable(by_id(D), rows(at(D, TRIM_HORIZON))) == ("D",)
    assert startable(by_id(D), rows(at(D, TRIM_HORIZON), read(B))) == ("B",)
    assert startable({}, rows(at(D, TRIM_HORIZON), done(B))) == ("D",)


def test_a_listed_parent_that_has_no_row_yet() -> None:
    """STR-2: it is about to get one."""
    assert startable(by_id(B, D), rows(at(D, TRIM_HORIZON))) == ()


def test_every_shard_that_is_not_at_its_end_is_read_by_itself() -> None:
    """STR-1: open or closed, begun or not."""
    stored = rows(done(A), read(B), at(C, TRIM_HORIZON), at(E, PINNED))
    assert startable(by_id(A, B, C, E), stored) == ("B", "C", "E")


# --- the end of a shard ---


def test_children_get_their_rows_before_the_parent_ends() -> None:
    """STR-4, STR-6: from their start, once."""
    planned = children_rows(read(A), (B, C), rows(read(A)))
    assert places(planned) == {"B": TRIM_HORIZON, "C": TRIM_HORIZON}
    assert children_rows(read(A), (B, C), rows(read(A), *planned)) == ()
    assert children_rows(read(A), (B, C), rows(read(B))) == (planned[1],)


def test_a_child_that_does_not_name_its_parent() -> None:
    """STR-2: it was told as a child, so it is one."""
    assert children_rows(read(A), (Shard("X"),), {})[0].parents == ("A",)


@pytest.mark.parametrize(("parent", "place"), [(PINNED, TRIM_HORIZON), (AT, AT)])
def test_children_of_a_parent_that_had_nothing(parent: Position, place: Position) -> None:
    """STR-12, STR-13: open at the pin, its child is new; closed before the time, its child may be older too."""
    assert position_of(children_rows(at(A, parent), (B,), {})[0]) == place


def test_the_row_of_an_end() -> None:
    """STR-2, STR-4: it names the children and knows where its shard began, which its first row need not."""
    row = ended_row(replace(read(A), starting="", owner="me"), (B, C), by_id(A), NOW)
    assert (row.checkpoint, row.children, row.starting, row.ended_at) == ("SHARD_END", ("B", "C"), "100", NOW)
    assert ended_row(read(A), (), {}, NOW).starting == "100"


# --- size and order ---


def test_parents_come_first_in_any_order() -> None:
    """STR-10: each shard once, also when pages overlap; a circle is nonsense, but not lost."""
    assert [shard.id for shard in parents_first((D, B, C, A, A, E))] == ["A", "E", "B", "C", "D"]
    circle = (Shard("X", ("Y",)), Shard("Y", ("X",)), A)
    assert {shard.id for shard in parents_first(circle)} == {"X", "Y", "A"}


def test_beginnings_are_compared_as_integers() -> None:
    """STR-28: 1000 is later than 999."""
    assert younger(Shard("A", starting="1000"), Lease("B", "TRIM_HORIZON", starting="999"))
    assert not younger(Shard("A", starting="999"), Lease("B", "TRIM_HORIZON", starting="1000"))
    assert younger(Shard("A", starting="1000"), Lease("B", "999"))
    assert not younger(Shard("A", starting="1000"), Lease("B", "TRIM_HORIZON"))
    assert not younger(Shard("A"), Lease("B", "999"))


def test_a_lineage_of_thousands_of_shards() -> None:
    """STR-7: 3,000 lineages, 7 deep, and one that is 20,000 deep: neither recursion nor squares."""
    wide = [
        Shard(
            f"w{lineage}.{depth}", (f"w{lineage}.{depth - 1}",) if depth else (), "1", "2" if depth < 6 else None
        )
        for depth in range(7)
        for lineage in range(3_000)
    ]
    deep = [Shard(f"d{depth}", (f"d{depth - 1}",) if depth else (), "1", "2") for depth in range(20_000)]
    for shards, begun in ((wide, 3_000), (deep[::-1], 1)):
        planned = plan_rows(listing(*shards), {}, TRIM_HORIZON, NOW)
        stored = rows(*planned)
        assert len(startable(by_id(*shards), stored)) == begun
    last = deep[-1]
    assert plan_rows(listing(*deep), rows(read(last, "5")), TRIM_HORIZON, NOW) == ()
