"""The machine of a shard as it reads: from where, how much, into which lanes and batches (STR, BAT)."""

import pytest

from poller.core.budget import ByteBudget
from poller.core.messages import Request
from poller.core.model import BatchTrigger, SourceKind, SourceProblem
from poller.core.payload import EVENT_LIMIT
from poller.core.records import TRIM_HORIZON, Position, PositionKind, Progress, after
from poller.core.stream_consumer import BUFFER_BYTES, BUFFER_RECORDS, CAREFUL_LIMIT
from poller.core.stream_messages import Fetch, Finished, Gap, Invoke, Save
from poller.core.stream_reading import BELIEVED
from tests.unit.core.stream_machine import (
    BOOM,
    CHILD,
    OK,
    Rig,
    change,
    key_in,
    wall,
    wire,
    wires,
)

DYNAMODB = SourceKind.DYNAMODB
PIN = Position(PositionKind.LATEST, timestamp=wall(-100.0))
MIB = 1024 * 1024


# --- where, and how fast ---


def test_it_reads_at_once_and_then_at_the_pace_of_the_source() -> None:
    """STR-20, STR-1: one read at a time, a second apart while idle, at once while behind."""
    rig = Rig()
    assert rig.one(Fetch) == Fetch(None, TRIM_HORIZON, 10_000, 10.0)
    assert rig.machine.deadline() is None
    rig.at(0.1).bring()
    assert rig.machine.deadline() == 1.0
    rig.tick()
    assert rig.one(Fetch).iterator == "next"
    rig.at(1.2).bring(*wires(1), behind=7.0)
    rig.tick()
    assert (rig.now, len(rig.all(Fetch))) == (1.25, 1)


def test_dynamodb_is_read_four_times_a_second() -> None:
    """STR-20, STR-21."""
    rig = Rig(source=DYNAMODB)
    assert rig.one(Fetch).limit == 1_000
    rig.bring(behind=None)
    rig.tick()
    assert rig.now == 0.25
    rig.bring(change(1, at=0.25), behind=None)
    assert rig.running == [[1]]
    rig.tick()
    assert rig.now == 0.35


def test_a_slow_answer_makes_the_next_read_due_at_once() -> None:
    """STR-20: the pace is from start to start."""
    rig = Rig()
    rig.at(4.0).bring()
    assert len(rig.all(Fetch)) == 1


def test_an_empty_read_is_normal() -> None:
    """STR-26: the new iterator is used, and nothing is written."""
    rig = Rig()
    rig.bring(behind=5.0, iterator="second")
    rig.tick()
    assert rig.one(Fetch) == Fetch("second", TRIM_HORIZON, 10_000, 10.0)
    assert rig.row == Progress(TRIM_HORIZON)


@pytest.mark.parametrize("problem", list(SourceProblem))
def test_trouble_with_the_source_spends_nothing(problem: SourceProblem) -> None:
    """ERR-3, STR-23: reading pauses, what is buffered goes on, no record is skipped, and it never spins."""
    rig = Rig(batch_size=1, retries=0)
    rig.bring(*wires(1, 2), behind=3.0)
    rig.tick()
    for _ in range(5):
        rig.fail(problem)
        rig.tick()
    rig.end()
    assert rig.running == [[2]]
    rig.end()
    rig.bring(*wires(3))
    assert rig.running == [[3]]
    assert rig.gone == []


def test_an_expired_iterator_in_a_backlog() -> None:
    """STR-24: recipe 10; a new one after the last record in memory, though none of them is done yet."""
    rig = Rig()
    rig.bring(*wires(9, 10), behind=3.0)
    rig.tick()
    rig.fail(SourceProblem.EXPIRED)
    rig.tick()
    assert rig.one(Fetch) == Fetch(None, after("10"), 10_000, 10.0)
    assert rig.now == 0.5


def test_an_expired_iterator_before_any_record() -> None:
    """STR-24, STR-14: where it began, never StartingPosition."""
    rig = Rig(progress=Progress(after("41")))
    rig.bring()
    rig.tick()
    rig.fail(SourceProblem.EXPIRED)
    rig.tick()
    assert rig.one(Fetch) == Fetch(None, after("41"), 10_000, 10.0)


def test_a_trimmed_position() -> None:
    """STR-25: the shard's oldest record, and the gap is told when it is known how large it is."""
    rig = Rig(progress=Progress(after("41")))
    rig.fail(SourceProblem.TRIMMED)
    rig.tick()
    assert rig.one(Fetch) == Fetch(None, TRIM_HORIZON, 10_000, 10.0)
    rig.bring(*wires(77, 78))
    assert rig.one(Gap) == Gap(after("41"), "77")
    assert rig.running == [[77, 78]]
    rig.end()
    assert rig.place == 78


def test_a_trimmed_position_and_no_record_left() -> None:
    """STR-25, STR-2: the position does not go back, and the shard is done."""
    rig = Rig(progress=Progress(after("41")))
    rig.fail(SourceProblem.TRIMMED)
    rig.tick()
    rig.bring(iterator=None, children=(CHILD,))
    assert rig.one(Gap) == Gap(after("41"), "")
    assert rig.one(Finished) == Finished(True, Progress(after("41"), lanes=1), (CHILD,))


def test_latest_is_resolved_once() -> None:
    """STR-11: by the process that pinned it; it is positioned with the first read, and only then."""
    rig = Rig(progress=Progress(PIN), fresh=True)
    assert rig.one(Fetch).position == PIN
    assert not rig.machine.positioned
    rig.fail(SourceProblem.THROTTLED, "tip")
    assert not rig.machine.positioned
    rig.tick()
    assert rig.one(Fetch).iterator == "tip"
    rig.bring()
    assert rig.machine.positioned
    rig.tick()
    rig.fail(SourceProblem.EXPIRED)
    rig.tick()
    assert rig.one(Fetch).position == Position(PositionKind.AT_TIMESTAMP, timestamp=PIN.timestamp)


def test_latest_after_a_restart_on_dynamodb() -> None:
    """STR-11, STR-31: what is a minute older than the pin is passed over; the row stays at the pin until nothing
    older can come, because a restart from a sequence number would not know what is old.
    """
    rig = Rig(progress=Progress(PIN), source=DYNAMODB, saving=False)
    assert rig.one(Fetch).position.kind is PositionKind.AT_TIMESTAMP
    rig.bring(change(1, at=-500.0), change(2, at=-400.0), behind=None, passed=2)
    assert rig.runs == []
    assert rig.machine.held == 0
    assert rig.budget.used == 0
    assert rig.one(Save).progress.position == PIN
    rig.saved()
    rig.tick()
    rig.bring(change(3, at=-161.0), change(4, at=-160.0), change(5, at=-200.0), behind=None, passed=1)
    assert rig.running == [[4, 5]]
    rig.at(1.0).end()
    assert rig.one(Save).progress.position == after("5")


def test_empty_reads_do_not_move_the_position_past_what_is_old() -> None:
    """STR-11, STR-26: a process that went on behind an old record would deliver those that come after it."""
    rig = Rig(progress=Progress(PIN), source=DYNAMODB)
    rig.bring(change(1, at=-500.0), behind=None, passed=1)
    for _ in range(2 * BELIEVED):
        rig.tick()
        rig.bring(behind=None)
    assert rig.row.position == PIN
    rig.tick()
    rig.bring(change(2, at=-400.0), change(3), behind=None, passed=2)
    assert rig.running == [[3]]
    rig.end()
    assert rig.rest().place == 3


def test_sequence_numbers_grow_in_length() -> None:
    """STR-28: 9, 10, 99, 100; the position is the last one by value."""
    rig = Rig(progress=Progress(after("9")), batch_size=2)
    rig.bring(*wires(9, 10, 99, 100), passed=1)
    assert rig.running == [[10, 99]]
    rig.end()
    assert rig.running == [[100]]
    rig.end()
    assert rig.place == 99
    assert rig.rest().place == 100


def test_a_source_that_brings_records_twice() -> None:
    """STR-1, GEN-2: a page that goes back to what was read brings nothing new, and offsets have no gap."""
    rig = Rig(batch_size=10)
    rig.bring(*wires(9, 10))
    rig.end()
    rig.tick()
    rig.open.clear()
    rig.bring(*wires(9, 10), passed=2)
    assert rig.runs == []
    rig.tick()
    rig.bring(*wires(10, 11), passed=1)
    assert rig.running == [[11]]
    rig.end()
    assert rig.rest().place == 11
    assert rig.machine.held == 0


def test_a_record_without_a_number_is_delivered() -> None:
    """GEN-2: at the front of a page; the position does not go back for it."""
    rig = Rig()
    rig.bring(*wires(9))
    rig.end()
    rig.tick()
    rig.bring(wire("?"), *wires(12), passed=1)
    assert rig.running == [[9, 12]]
    rig.end()
    assert rig.rest().place == 12


# --- batches ---


def test_one_read_becomes_several_batches_in_order() -> None:
    """BAT-7, BAT-3, STR-1: one after the other, without another read."""
    rig = Rig(batch_size=2)
    rig.bring(*wires(1, 2, 3, 4, 5))
    seen = []
    while rig.runs:
        seen += rig.running
        rig.end()
    assert seen == [[1, 2], [3, 4], [5]]


def test_what_came_meanwhile_goes_at_once() -> None:
    """BAT-3: with window 0 whatever is there when the lane gets free."""
    rig = Rig()
    rig.bring(*wires(1), behind=1.0)
    rig.tick()
    rig.bring(*wires(2, 3), behind=1.0)
    rig.tick()
    rig.bring(*wires(4))
    rig.end()
    assert rig.running == [[2, 3, 4]]
    assert rig.runs[0].batch.trigger is BatchTrigger.IMMEDIATE


def test_a_window_is_a_deadline() -> None:
    """BAT-1, BAT-4: from the first record, and from the end of the last invocation if that is later."""
    rig = Rig(window=5.0)
    rig.at(0.5).bring(*wires(1))
    rig.tick()
    rig.at(4.0).bring(*wires(2))
    rig.tick()
    while rig.now < 5.5:
        rig.bring() if rig.reads else rig.tick()
    assert (rig.now, rig.running) == (5.5, [[1, 2]])
    assert rig.runs[0].batch.trigger is BatchTrigger.WINDOW
    rig.bring(*wires(3))
    rig.at(7.0).end()
    rig.until(Invoke)
    assert (rig.now, rig.running) == (12.0, [[3]])


def test_an_empty_window_closes_silently() -> None:
    """BAT-4: no function is invoked with zero records."""
    rig = Rig(window=1.0)
    for _ in range(10):
        rig.bring()
        rig.tick()
    assert rig.runs == []


def test_the_end_of_the_shard_waits_for_no_window() -> None:
    """BAT-1, STR-4: nothing more will come."""
    rig = Rig(window=300.0)
    rig.bring(*wires(1), iterator=None)
    assert rig.running == [[1]]


def test_no_event_is_larger_than_the_limit() -> None:
    """BAT-1, BAT-2: recipe 18; 6,291,456 bytes, envelope and metadata included; none is lost."""
    rig = Rig(batch_size=10_000)
    rig.bring(*(wire(n, size=2 * MIB if n % 3 == 0 else 100) for n in range(1, 21)))
    seen = []
    while rig.runs:
        assert rig.runs[0].batch.size <= EVENT_LIMIT
        seen += rig.running[0]
        rig.end()
    assert seen == list(range(1, 21))


# --- lanes ---


def test_each_lane_has_batches_of_its_own() -> None:
    """STR-40, STR-41, GEN-3: full size each, side by side, each key in one lane."""
    rig = Rig(lanes=3, batch_size=2)
    keys = [key_in(lane, 3) for lane in range(3)]
    rig.bring(*(wire(n, key=keys[n % 3]) for n in range(9)))
    assert sorted(rig.running) == [[0, 3], [1, 4], [2, 5]]
    rig.end(run=1)
    assert sorted(rig.running) == [[0, 3], [2, 5], [7]]


def test_records_of_one_outer_key_share_a_lane() -> None:
    """STR-44, SUR-14: a producer that aggregates, or a hot key, has one lane."""
    rig = Rig(lanes=10, batch_size=1)
    rig.bring(*wires(1, 2, 3, key="outer"))
    assert rig.running == [[1]]


def test_items_of_a_table_are_kept_in_order() -> None:
    """STR-40: by primary key."""
    rig = Rig(lanes=4, batch_size=1, source=DYNAMODB)
    rig.bring(*(change(n, key=f"item{n % 4}") for n in range(40)), behind=None)
    seen: dict[int, int] = {}
    while rig.runs:
        (number,) = rig.running[0]
        assert seen.get(number % 4, -1) < number
        seen[number % 4] = number
        rig.end()
    assert sorted(seen.values()) == [36, 37, 38, 39]


def test_a_failing_lane_holds_only_its_keys() -> None:
    """GEN-9, STR-42, ERR-4: the position is that of the lane furthest behind."""
    rig = Rig(lanes=2, batch_size=1)
    bad, good = key_in(0, 2), key_in(1, 2)
    rig.bring(wire(1, key=good), wire(2, key=bad), wire(3, key=good), wire(4, key=bad), wire(5, key=good))
    assert sorted(rig.running) == [[1], [2]]
    rig.end(BOOM, run=rig.running.index([2]))
    for number in (1, 3, 5):
        assert rig.running == [[number]]
        rig.end()
    assert rig.runs == []
    rig.until(Invoke)
    assert rig.running == [[2]]
    assert rig.place == 1


# --- limits ---


def test_reading_ahead_of_a_failing_batch_is_bounded() -> None:
    """STR-27: at the limit of the buffer, and no timer runs for it; afterwards it goes on."""
    rig = Rig(batch_size=1_000)
    sequence = 0
    for _ in range(3 * BUFFER_RECORDS // 1_000):
        if not rig.reads:
            break
        rig.bring(*wires(*range(sequence + 1, sequence + 1_001)), behind=9.0)
        sequence += 1_000
        if rig.machine.deadline() is not None:
            rig.tick()
    assert sequence == BUFFER_RECORDS + 1_000  # the first thousand runs
    assert rig.machine.deadline() is None
    assert not rig.machine.gauges().polling
    rig.at(60.0).end(BOOM)
    assert rig.machine.deadline() == 61.0
    rig.tick()
    assert rig.all(Fetch) == []
    rig.end()
    assert len(rig.all(Fetch)) == 1


def test_a_page_beyond_the_limit_is_the_last() -> None:
    """STR-27: a read may bring more than there was room for; the next one waits."""
    rig = Rig(batch_size=1_000)
    for first in (1, 7_001):
        rig.bring(*wires(*range(first, first + 7_000)), behind=9.0)
        if rig.machine.deadline() is not None:
            rig.tick()
    assert rig.machine.held == 14_000
    assert (rig.reads, rig.machine.deadline()) == ([], None)


def test_two_batches_of_a_lane_are_the_most_that_is_read_ahead() -> None:
    """STR-27: where that is more than the usual bound."""
    rig = Rig(batch_size=10_000)
    for page in range(2):
        rig.bring(*wires(*range(page * 10_000, page * 10_000 + 10_000)), behind=9.0)
        rig.tick()
        assert len(rig.reads) == 1, "one batch runs, and there is room for two"
    rig.bring(*wires(*range(20_000, 30_000)), behind=9.0)
    assert (rig.reads, rig.machine.deadline()) == ([], None)


def test_the_buffer_is_bounded_in_bytes() -> None:
    """STR-27: whatever the count."""
    rig = Rig(batch_size=1)
    rig.bring(*(wire(n, size=3 * MIB) for n in range(7)), behind=1.0)
    assert rig.machine.deadline() is None
    assert rig.machine.gauges().buffered_bytes > BUFFER_BYTES
    rig.end()
    rig.tick()
    assert (rig.now, len(rig.reads)) == (0.25, 1)


def test_a_large_batch_size_may_read_two_batches_ahead() -> None:
    """STR-27, BAT-1: else a lane would never fill its batch."""
    rig = Rig(batch_size=10_000, lanes=2, window=300.0)
    key = key_in(0, 2)
    for page in range(3):
        rig.bring(*(wire(n, key=key) for n in range(page * 9_000, page * 9_000 + 9_000)), behind=9.0)
        if not rig.reads:
            rig.tick()
    assert rig.reads


def test_a_full_budget_of_the_process() -> None:
    """STR-27, GEN-9: who holds nothing may read a little; who holds something looks again each second."""
    budget = ByteBudget(1_000)
    budget.take(1_000)
    rig = Rig(budget=budget)
    assert rig.one(Fetch).limit == CAREFUL_LIMIT
    rig.bring(*wires(1), behind=3.0)
    assert rig.machine.deadline() == 0.25
    rig.tick()
    assert (rig.reads, rig.machine.deadline()) == ([], 1.25)
    rig.tick()
    assert (rig.reads, rig.machine.deadline()) == ([], 2.25)
    budget.give_back(1_000)
    rig.tick()
    assert rig.one(Fetch).limit == 10_000


def test_a_budget_that_gets_full_while_the_next_read_waits_for_its_pace() -> None:
    """STR-27: reading goes on when others have given back, not first when a long invocation ends."""
    budget = ByteBudget(10_000)
    rig = Rig(budget=budget)
    budget.take(10_000)
    rig.bring(*wires(1))
    assert rig.machine.deadline() == 1.0
    budget.give_back(10_000)
    rig.tick()
    assert rig.one(Fetch).limit == 10_000


def test_the_budget_gets_back_what_was_taken() -> None:
    """STR-27: with each record that is resolved, and all the rest when the machine is not used any more."""
    rig = Rig(batch_size=1)
    rig.bring(*wires(1, 2, 3))
    used = rig.budget.used
    rig.end()
    assert rig.budget.used == used * 2 // 3
    rig.machine.release()
    assert rig.budget.used == 0
    rig.machine.release()
    assert rig.budget.used == 0


# --- gauges ---


def test_the_age_of_the_last_record_of_a_batch() -> None:
    """MET-9: not that of the first; a stream whose clock is ahead of ours has no age."""
    rig = Rig()
    assert rig.machine.gauges().iterator_age == 0.0
    rig.at(100.0).bring(wire(1, at=10.0), wire(2, at=99.5))
    assert rig.running == [[1, 2]]
    assert rig.machine.gauges().iterator_age == 0.5
    rig.end()
    rig.until(Fetch)
    rig.bring(wire(3, at=rig.now + 7.0))
    assert rig.machine.gauges().iterator_age == 0.0


def test_since_when_the_oldest_is_here() -> None:
    """STR-30: by reads, as long as a record of them is not resolved; one batch may have records of several."""
    rig = Rig(batch_size=1)
    rig.bring(wire(1), behind=5.0)
    rig.until(Fetch)
    second = rig.now
    rig.bring(wire(2), behind=5.0)
    assert rig.machine.gauges().oldest_pending_since == 0.0
    rig.end()
    assert rig.machine.gauges().oldest_pending_since == second > 0.0
    rig.end()
    assert rig.machine.gauges().oldest_pending_since is None
    rig = Rig(batch_size=3, window=60.0)
    for number in (1, 2):
        rig.bring(wire(number), behind=5.0)
        rig.until(Fetch)
    rig.bring(wire(3), behind=5.0)
    assert rig.running == [[1, 2, 3]]
    rig.end()
    assert rig.machine.gauges().oldest_pending_since is None


def test_the_gauges() -> None:
    """MET-9: how old the last record was when the function got it; nothing when caught up."""
    rig = Rig(batch_size=1, lanes=1)
    rig.at(10.0).bring(wire(1, at=3.0), wire(2, at=8.0), behind=4.0)
    gauges = rig.machine.gauges()
    assert (gauges.buffered, gauges.in_flight_batches, gauges.in_flight_records) == (1, 1, 1)
    assert (gauges.iterator_age, gauges.behind, gauges.polling) == (7.0, 4.0, True)
    assert (gauges.oldest_pending_since, gauges.invoking_since, gauges.blocked_since) == (10.0, 10.0, None)
    rig.at(11.0).end()
    assert rig.machine.gauges().iterator_age == 3.0
    rig.at(12.0).end(BOOM)
    assert rig.machine.gauges().blocked_since == 12.0
    rig.until(Invoke)
    assert rig.machine.gauges().iterator_age == 5.0
    rig.end(OK)
    rig.until(Fetch)
    rig.bring()
    gauges = rig.machine.gauges()
    assert (gauges.iterator_age, gauges.blocked_since, gauges.oldest_pending_since) == (0.0, None, None)
    assert (gauges.buffered, gauges.buffered_bytes, gauges.invoking_since) == (0, 0, None)
    assert rig.reads == []
    assert rig.machine.gauges().polling, "between two reads, too"
    rig.ask(Request.PAUSE)
    assert not rig.machine.gauges().polling


def test_an_empty_read_behind_the_tip_says_nothing_of_the_age() -> None:
    """MET-9, STR-26: there is more to come, and nobody has caught up."""
    rig = Rig()
    rig.at(10.0).bring(wire(1, at=3.0), behind=4.0)
    rig.end()
    rig.until_read().bring(behind=4.0)
    assert rig.machine.gauges().iterator_age == 7.0
