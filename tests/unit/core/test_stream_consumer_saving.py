"""What the machine of a shard writes down, when, and what the next process makes of it (STR-30, STR-42, ERR-5)."""

import pytest

from poller.core.budget import ByteBudget
from poller.core.messages import Request
from poller.core.model import SourceProblem
from poller.core.records import TRIM_HORIZON, DiscardReason, Head, Position, PositionKind, Progress, after
from poller.core.stream_messages import Discarded, Fetch, Invoke, Save, SendDocument, Settled
from poller.core.stream_settle import INTERRUPTED
from tests.unit.core.stream_machine import (
    BOOM,
    BUSY,
    OK,
    QUEUE,
    Rig,
    key_in,
    listing,
    numbers,
    wall,
    wire,
    wires,
)

# --- when ---


def test_the_position_is_written_once_a_second() -> None:
    """STR-30, STR-31: the first at once, durably; one write at a time."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2, 3), behind=None)
    rig.end()
    assert rig.one(Save) == Save(1, Progress(after("1"), lanes=1), durable=True)
    rig.end()
    rig.end()
    assert rig.all(Save) == []
    rig.at(0.3).saved()
    assert rig.all(Save) == []
    rig.until(Save)
    assert rig.now == 1.0
    assert rig.one(Save) == Save(2, Progress(after("3"), lanes=1), durable=True)
    rig.saved()
    assert rig.machine.at_rest
    for _ in range(5):
        rig.bring() if rig.reads else rig.tick()
    assert rig.saves == []


def test_a_write_that_fails() -> None:
    """STR-31: is tried again, later each time; the work goes on meanwhile, and the last word is written."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end()
    rig.unsaved()
    assert not rig.machine.at_rest
    rig.until(Save)
    assert rig.now == 0.5
    rig.unsaved()
    rig.end()
    rig.until(Save)
    assert rig.now == 1.5
    assert rig.one(Save).progress.position == after("2")
    rig.saved()
    assert rig.machine.at_rest


def test_a_write_fails_and_nothing_new_comes() -> None:
    """STR-31: what it had in it is not forgotten."""
    rig = Rig(saving=False)
    rig.bring(*wires(1))
    rig.end()
    rig.unsaved()
    rig.until(Save)
    assert rig.one(Save).progress.position == after("1")


def test_an_answer_to_another_write() -> None:
    """STR-31: changes nothing."""
    rig = Rig(saving=False, guarded=True, retries=0)
    rig.bring(*wires(1))
    (order,) = rig.saves
    rig.saved()
    rig.saves.append(order)
    assert rig.saved() == []
    assert rig.running == [[1]]


# --- attempts that are written before they begin ---


def test_an_attempt_is_written_before_it_begins() -> None:
    """ERR-5, BAT-6: what the batch is, and that it has begun; no durable write, and none for the position."""
    rig = Rig(guarded=True, retries=3, saving=False)
    rig.bring(*wires(7, 8))
    assert rig.runs == []
    head = Head(0, "7", "8", 2, 0, 0, None, running=True)
    assert rig.one(Save) == Save(1, Progress(TRIM_HORIZON, (head,), lanes=1), durable=False)
    rig.saved()
    assert rig.running == [[7, 8]]
    rig.at(0.5).end(BOOM)
    head = Head(0, "7", "8", 2, 1, 0, wall(0.5), running=False)
    assert rig.one(Save) == Save(2, Progress(TRIM_HORIZON, (head,), lanes=1), durable=True)


@pytest.mark.parametrize("fields", [{"guarded": False, "retries": 3}, {"guarded": True, "retries": None}])
def test_where_nothing_is_bounded_nothing_waits(fields: dict[str, object]) -> None:
    """ERR-4, ERR-5: a store that does not last, or no limit of attempts."""
    rig = Rig(saving=False, **fields)
    rig.bring(*wires(1))
    assert (rig.running, rig.saves) == ([[1]], [])


def test_an_attempt_that_cannot_be_written_waits() -> None:
    """ERR-5: it begins when the store has recovered, and not twice."""
    rig = Rig(guarded=True, retries=0, saving=False)
    rig.bring(*wires(1))
    rig.unsaved()
    assert rig.runs == []
    assert rig.machine.deadline() == 0.5
    rig.tick()
    rig.unsaved()
    rig.until(Save)
    assert rig.now == 1.5
    rig.saved()
    assert rig.running == [[1]]


def test_attempts_of_lanes_share_a_write() -> None:
    """ERR-5, STR-41: those that wait when it is sent; who comes later waits for the next."""
    rig = Rig(guarded=True, retries=0, lanes=3, batch_size=1, saving=False)
    keys = [key_in(lane, 3) for lane in range(3)]
    rig.bring(wire(1, key=keys[0]), wire(2, key=keys[1]), behind=1.0)
    assert [head.lane for head in rig.one(Save).progress.heads] == [0, 1]
    rig.tick()
    rig.bring(wire(3, key=keys[2]))
    assert rig.runs == []
    rig.saved()
    assert rig.running == [[1], [2]]
    assert [head.lane for head in rig.one(Save).progress.heads] == [0, 1, 2]
    rig.saved()
    assert rig.running == [[1], [2], [3]]


def test_a_last_attempt_is_made_alone() -> None:
    """ERR-5: lanes that ran when the process ended again and again go one by one, and until it is its turn a lane
    is not written down as running: what ends the process then has nobody beside it.
    """
    rig = Rig(guarded=True, retries=0, lanes=3, batch_size=1)
    records = [wire(n + 1, key=key_in(n, 3)) for n in range(3)]
    rig.bring(*records)
    assert rig.running == [[1], [2], [3]]
    rig = rig.again(saving=False)
    rig.bring(*records, behind=1.0)
    for lane in range(3):
        (save,) = rig.saves
        assert save.alone
        assert save.durable is (lane > 0), "what came of the one before must not be forgotten"
        assert [head.running for head in save.progress.heads] == [n == lane for n in range(lane, 3)]
        rig.saved()
        assert rig.running == [[lane + 1]]
        assert not any(save.alone for save in rig.saves), "what runs now may have ended when it is written"
        rig.end()
    assert not rig.runs


def test_the_end_of_an_attempt_among_others_is_no_hurry() -> None:
    """ERR-5, STR-31: durable writes come once a second; one that an attempt waits for need not be."""
    rig = Rig(guarded=True, retries=3, batch_size=1, saving=False)
    rig.bring(*wires(1, 2, 3))
    for durable in (False, True, False):
        assert rig.saves[0].durable is durable
        rig.saved()
        rig.at(rig.now + 0.1).end()


def test_age_is_looked_at_after_the_write_too() -> None:
    """ERR-10, ERR-11: the store may have taken its time; what is left waits for a write of its own."""
    rig = Rig(guarded=True, retries=0, maximum_age=60.0, saving=False)
    rig.at(50.0).bring(*wires(1, at=0.0), *wires(2, at=49.0))
    rig.at(61.0).saved()
    assert rig.discarded == [[1]]
    assert rig.runs == []
    head = rig.one(Save).progress.heads[0]
    assert (head.first, head.count) == ("2", 1)
    rig.saved()
    assert rig.running == [[2]]


# --- after a restart ---


def test_it_goes_on_at_the_position() -> None:
    """STR-31, STR-14, GEN-2: what was not written comes again."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end()
    rig.saved()
    rig.end()
    later = rig.again()
    assert later.one(Fetch) == Fetch(None, after("1"), 10_000, 10.0)


def test_a_failing_batch_is_formed_again() -> None:
    """BAT-6, ERR-5: exactly as it was, whatever else is there now; its attempts go on."""
    rig = Rig(guarded=True, retries=2, batch_size=10)
    rig.bring(*wires(1, 2, 3))
    rig.end(BOOM)
    rig.rest()
    later = rig.again()
    later.bring(*wires(1, 2, 3, 4, 5))
    assert later.running == [[1, 2, 3]]
    assert later.runs[0].batch.attempts == 1
    assert later.runs[0].batch.failed_at == wall(0.0)
    later.end(BOOM)
    later.until(Invoke)
    later.end(BOOM)
    assert later.discarded == [[1, 2, 3]]
    assert later.gone[0].discard.invocations == 3
    assert later.running == [[4, 5]]
    assert later.runs[0].batch.attempts == 0


def test_a_failing_batch_is_found_again_where_numbers_grow_in_length() -> None:
    """STR-28, BAT-6: 9 is before 10, which as text it is not."""
    rig = Rig(guarded=True, retries=2, batch_size=10, progress=Progress(after("8"), lanes=1))
    rig.bring(*wires(9, 10))
    rig.end(BOOM)
    rig.rest()
    later = rig.again()
    later.bring(*wires(9, 10, 11))
    assert later.running == [[9, 10]]
    assert later.runs[0].batch.attempts == 1


def test_a_batch_waits_for_the_rest_of_its_records() -> None:
    """BAT-6: it becomes no smaller because a read brought less; no window is waited for."""
    head = Head(0, "1", "3", 3, 1, 0, None, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=2, window=20.0)
    rig.bring(*wires(1), behind=5.0)
    assert rig.runs == []
    rig.tick()
    rig.bring(*wires(2), behind=5.0)
    assert rig.runs == []
    rig.tick()
    rig.bring(*wires(3, 4), behind=5.0)
    assert rig.running == [[1, 2, 3]]


@pytest.mark.parametrize("end", ["tip", "shard"])
def test_a_batch_does_not_wait_for_what_is_gone(end: str) -> None:
    """BAT-6: it may be smaller then, never larger; a lane must not wait for ever."""
    head = Head(0, "1", "3", 3, 1, 0, None, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=2)
    rig.bring(*wires(1, 2), behind=5.0)
    assert rig.runs == []
    rig.tick()
    rig.bring(behind=0.0, iterator=None if end == "shard" else "next")
    assert rig.running == [[1, 2]]
    assert rig.runs[0].batch.attempts == 1


def test_what_expired_of_a_batch_is_not_waited_for() -> None:
    """ERR-12, BAT-6: what is left keeps its attempts, and nothing else joins it."""
    head = Head(0, "1", "4", 4, 1, 0, None, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=2, maximum_age=60.0, now=100.0)
    rig.bring(*wires(1, at=1.0), *wires(2, at=90.0), *wires(3, at=2.0), *wires(4, 5, at=90.0), behind=5.0)
    assert rig.discarded == [[1], [3]]
    assert rig.running == [[2, 4]]
    assert rig.runs[0].batch.attempts == 1
    rig.end()
    assert rig.running == [[5]]
    assert rig.runs[0].batch.attempts == 0


def test_what_was_trimmed_of_a_batch() -> None:
    """STR-25, BAT-6: the rest keeps its attempts; a batch that is gone leaves nothing behind."""
    head = Head(0, "1", "3", 3, 2, 0, None, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=2, destination=QUEUE)
    rig.bring(*wires(3, 4, 5))
    assert rig.running == [[3]]
    assert rig.runs[0].batch.attempts == 2
    gone = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=2)
    gone.bring(*wires(4, 5))
    assert gone.running == [[4, 5]]
    assert gone.runs[0].batch.attempts == 0


@pytest.mark.parametrize(("attempts", "interrupted"), [(2, 0), (0, 3)])
def test_what_was_trimmed_beside_a_record_with_bisect(attempts: int, interrupted: int) -> None:
    """ERR-20, ERR-22, ERR-24: the one that is left has a budget of its own, as the half that it would be."""
    head = Head(0, "1", "2", 2, attempts, interrupted, 1.0, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=0, bisect=True, destination=QUEUE)
    rig.bring(*wires(2))
    assert rig.discarded == []
    assert rig.running == [[2]]
    assert (rig.runs[0].batch.attempts, rig.runs[0].batch.interrupted) == (0, 0)
    rig.end(BOOM)
    discard = rig.one(SendDocument).discard
    assert (numbers(discard), discard.reason, discard.invocations) == ([2], DiscardReason.RETRIES, 1)


def test_what_expired_beside_a_record_with_bisect() -> None:
    """ERR-12, ERR-22, ERR-24: so has the one that is left when the other becomes too old between two attempts."""
    head = Head(0, "1", "2", 2, 1, 0, None, running=False)
    mapped = {"retries": 1, "bisect": True, "maximum_age": 60.0, "guarded": True, "saving": False}
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), now=50.0, **mapped)
    rig.bring(*wires(1, at=0.0), *wires(2, at=49.0))
    rig.at(61.0).saved()
    assert rig.discarded == [[1]]
    rig.saved()
    assert rig.running == [[2]]
    assert rig.runs[0].batch.attempts == 0


def test_what_stands_before_a_failing_batch() -> None:
    """BAT-6: ends before it, and has attempts of its own; the other's are not forgotten meanwhile."""
    head = Head(0, "3", "4", 2, 1, 0, None, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=2, batch_size=10, guarded=True, window=50.0)
    rig.bring(*wires(1, 2, 3, 4, 5))
    assert rig.running == [[1, 2]]
    assert rig.runs[0].batch.attempts == 0
    assert rig.row.heads == (head,)
    rig.end()
    assert rig.running == [[3, 4]]
    assert rig.runs[0].batch.attempts == 1


def test_a_smaller_batch_size_after_a_restart() -> None:
    """BAT-1, ERR-22: its batches are others, with attempts of their own. Who makes it smaller to get at the record
    that fails must not have the good ones before it given up.
    """
    head = Head(0, "1", "4", 4, 3, 2, 1.0, running=True)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=2, batch_size=3)
    rig.bring(*wires(1, 2, 3, 4))
    assert rig.running == [[1, 2, 3]]
    batch = rig.runs[0].batch
    assert (batch.attempts, batch.interrupted, batch.failed_at) == (0, 0, None)
    assert rig.discarded == []
    rig.end()
    assert rig.running == [[4]]
    assert rig.runs[0].batch.attempts == 0


@pytest.mark.parametrize(("retries", "lives"), [(0, 2), (1, 3), (3, 5)])
def test_a_record_that_ends_the_process(retries: int, lives: int) -> None:
    """ERR-5, DST-8: the first end is free, the others count; it is given up without another invocation."""
    rig = Rig(guarded=True, retries=retries, destination=QUEUE)
    for _ in range(lives):
        rig.bring(*wires(1, 2))
        assert rig.running == [[1, 2]]
        rig = rig.again()
    rig.bring(*wires(1, 2, 3))
    assert rig.runs == []
    discard = rig.one(SendDocument).discard
    assert (numbers(discard), discard.reason, discard.invocations) == ([1, 2], DiscardReason.RETRIES, lives)
    assert discard.result == INTERRUPTED
    rig.sent()
    assert rig.running == [[3]]


def test_a_record_that_ends_the_process_with_bisect() -> None:
    """ERR-20, ERR-22, ERR-5: the batch is halved at each start until the record is alone; the others succeed."""
    rig = Rig(guarded=True, retries=0, bisect=True, batch_size=8)
    handled: list[int] = []
    position = 0
    for _ in range(20):
        rig.bring(*wires(*range(position + 1, 10)))
        while rig.runs and 6 not in rig.running[0]:
            handled += rig.running[0]
            rig.end()
        if not rig.runs:
            break
        rig.at(rig.now + 2.0)
        rig = rig.again()
        position = rig.place or 0
    assert sorted(handled) == [1, 2, 3, 4, 5, 7, 8, 9]
    assert rig.discarded == [[6]]
    assert rig.gone[0].discard.invocations == 2


def test_a_batch_that_was_running_when_the_power_went() -> None:
    """ERR-5: is invoked again, with all its attempts."""
    rig = Rig(guarded=True, retries=0)
    rig.bring(*wires(1))
    later = rig.again()
    later.bring(*wires(1))
    assert later.running == [[1]]
    later.end()
    assert later.rest().row == Progress(after("1"), lanes=1)


def test_a_document_that_was_on_its_way() -> None:
    """ERR-33, DST-32: is sent again, without another invocation."""
    rig = Rig(guarded=True, retries=1, destination=QUEUE)
    rig.bring(*wires(1, 2))
    rig.end(BOOM)
    rig.until(Invoke)
    rig.end(BOOM)
    assert rig.documents
    later = rig.again()
    later.bring(*wires(1, 2))
    assert numbers(later.one(SendDocument).discard) == [1, 2]
    assert later.documents[0].discard.invocations == 2
    assert later.runs == []


def test_a_batch_that_is_halved_while_paused_is_forgotten() -> None:
    """ERR-22, API-8: its halves have not been tried, and no row says that it still runs."""
    rig = Rig(guarded=True, retries=3, bisect=True)
    rig.bring(*wires(1, 2))
    rig.ask(Request.PAUSE)
    assert [head.running for head in rig.row.heads] == [True]
    rig.end(BOOM)
    rig.rest()
    assert rig.row.heads == ()


def test_a_throttled_batch_is_nothing_to_remember() -> None:
    """ERR-1: no attempt was made."""
    rig = Rig(guarded=True, retries=0)
    rig.bring(*wires(1))
    rig.end(BUSY)
    rig.rest()
    assert rig.row.heads == ()


def test_what_is_left_of_a_partial_success_is_a_new_batch() -> None:
    """PBR-22, STR-30: also for the next process."""
    rig = Rig(guarded=True, retries=1, partial=True)
    rig.bring(*wires(1, 2, 3))
    rig.end(BOOM)
    rig.until(Invoke)
    rig.end(listing(2))
    later = rig.again()
    assert later.one(Fetch).position == after("1")
    later.bring(*wires(2, 3))
    assert later.running == [[2, 3]]
    assert later.runs[0].batch.attempts == 0


def test_the_first_failure_outlives_the_process() -> None:
    """ERR-15: what the stream keeps no longer is given up by a batch that had failed before the restart."""
    rig = Rig(guarded=True, retries=100, retention=120.0)
    rig.bring(*wires(1))
    rig.end(BOOM)
    rig.rest()
    later = rig.again(now=500.0)
    later.bring(*wires(1))
    assert later.one(Discarded).discard.reason is DiscardReason.AGE


# --- lanes ---


def two_lanes(**fields: object) -> Rig:
    """Lane 0 has 1, 3, 5 and lane 1 has 2, 4, 6; the batch of 1 fails and those of lane 1 succeed."""
    rig = Rig(lanes=2, batch_size=1, **fields)
    rig.bring(*(wire(n, key=key_in((n + 1) % 2, 2)) for n in range(1, 7)))
    rig.end(BOOM, run=rig.running.index([1]))
    for _ in range(3):
        rig.end(OK)
    rig.until(Save)
    return rig


def test_what_a_lane_did_ahead_is_written() -> None:
    """STR-42: though the position has not moved, and without a limit of attempts that would ask for writes."""
    rig = two_lanes()
    assert rig.row == Progress(TRIM_HORIZON, lanes=2, starts=("1", "7"))


def test_what_a_lane_did_ahead_is_not_done_again() -> None:
    """STR-42, STR-30: the next process begins at the position, and each lane where it was."""
    later = two_lanes().again()
    later.open.clear()
    later.bring(*(wire(n, key=key_in((n + 1) % 2, 2)) for n in range(1, 9)), passed=0)
    assert later.running == [[1], [8]]
    later.open -= {2, 4, 6}
    for number in (1, 3, 5, 7):
        later.end(run=later.running.index([number]))
    later.end()
    assert later.rest().place == 8


def test_what_a_lane_did_ahead_may_be_several_reads() -> None:
    """STR-42: until the first record that it had not done."""
    later = two_lanes().again()
    later.bring(wire(1, key=key_in(0, 2)), wire(2, key=key_in(1, 2)), behind=1.0, passed=2)
    later.until(Fetch)
    later.bring(wire(4, key=key_in(1, 2)), behind=1.0, passed=1)
    later.until(Fetch)
    later.bring(wire(6, key=key_in(1, 2)), wire(8, key=key_in(1, 2)), behind=1.0, passed=1)
    assert later.running == [[1], [8]]


def test_a_start_moves_on_with_its_lane() -> None:
    """STR-42: what the next process is told is not where the lane began in this one."""
    later = two_lanes().again()
    later.bring(*(wire(n, key=key_in((n + 1) % 2, 2)) for n in range(1, 9)), filtered=[2, 4, 6])
    assert later.running == [[1], [8]]
    later.end(run=1)
    later.until(Save)
    assert later.row.starts == ("1", "9")


def test_what_a_lane_has_still_to_do_is_nothing_to_write() -> None:
    """STR-42, STR-31: nothing is resolved of it."""
    rig = Rig(progress=Progress(after("8"), lanes=2, starts=("9", "9")), lanes=2)
    rig.bring(wire(9, key=key_in(0, 2)))
    assert rig.running == [[9]]
    assert rig.told == [rig.runs[0]]


def test_lanes_that_have_read_nothing_keep_their_start() -> None:
    """STR-42: a restart right after a restart forgets nothing."""
    later = two_lanes().again()
    later.ask(Request.STOP)
    assert later.row.starts == ("1", "7")


@pytest.mark.parametrize("kind", [PositionKind.LATEST, PositionKind.AT_TIMESTAMP])
def test_a_position_that_is_a_time_does_not_lose_the_attempts_behind_older_records(kind: PositionKind) -> None:
    """ERR-5, STR-11: a later process reads from the time on, or from a minute before it. What it finds before the
    batch that had failed was never asked for, and its failures would be remembered in that batch's place.
    """
    pin = Position(kind, timestamp=wall(-1.0))
    rig = Rig(guarded=True, retries=3, batch_size=2, progress=Progress(pin, lanes=1), fresh=True)
    rig.bring(*wires(7, 8), behind=None)
    rig.end(BOOM)
    rig.until(Invoke)
    rig.end(BOOM)
    later = rig.again()
    later.bring(*wires(5, 6, 7, 8), passed=2)
    assert later.running == [[7, 8]]
    assert later.runs[0].batch.attempts == 2
    later.end()
    assert later.rest().row.starts == (), "a sequence number says it"


def test_numbers_of_starts_grow_in_length() -> None:
    """STR-42, STR-28: by value."""
    progress = Progress(after("8"), lanes=2, starts=("9", "11"))
    rig = Rig(progress=progress, lanes=2, batch_size=1)
    rig.bring(wire(9, key=key_in(0, 2)), wire(10, key=key_in(1, 2)), wire(100, key=key_in(1, 2)))
    assert rig.running == [[9], [100]]


def test_each_lane_has_its_own_head() -> None:
    """ERR-5, STR-42: attempts are counted for each."""
    rig = Rig(guarded=True, retries=5, lanes=2, batch_size=2)
    rig.bring(*(wire(n, key=key_in(n % 2, 2)) for n in range(1, 5)))
    rig.end(BOOM)
    rig.end(BOOM)
    rig.until(Invoke)
    while rig.runs:
        rig.end(BOOM)
    rig.rest()
    assert [(head.lane, head.first, head.last, head.attempts) for head in rig.row.heads] == [
        (0, "2", "4", 2),
        (1, "1", "3", 2),
    ]
    later = rig.again()
    later.bring(*(wire(n, key=key_in(n % 2, 2)) for n in range(1, 9)))
    assert sorted(later.running) == [[1, 3], [2, 4]]
    assert [run.batch.attempts for run in later.runs] == [2, 2]


def test_another_number_of_lanes() -> None:
    """STR-43: the same keys are in other lanes, so that heads and starts mean nothing; the position does."""
    heads = (Head(0, "5", "6", 2, 3, 0, None, running=False),)
    progress = Progress(after("4"), heads, lanes=2, starts=("5", "99"))
    rig = Rig(progress=progress, lanes=3, retries=3, batch_size=10)
    rig.bring(*(wire(n, key=key_in(n % 3, 3)) for n in range(5, 11)))
    assert sorted(rig.running) == [[5, 8], [6, 9], [7, 10]]
    assert [run.batch.attempts for run in rig.runs] == [0, 0, 0]
    single = Rig(progress=progress, retries=3, batch_size=10)
    single.bring(*wires(5, 6, 7))
    assert single.running == [[5, 6, 7]]
    assert single.runs[0].batch.attempts == 0


def test_a_batch_that_waits_for_its_rest_may_always_read() -> None:
    """STR-27, BAT-6: however full the buffers are, else its lane would wait for ever, and the shard with it."""
    large, lanes = 5_000_000, 4
    heads = tuple(
        Head(lane, str(10 + lane), str(30 + lane), 3, 1, 0, None, running=False) for lane in range(lanes)
    )
    budget = ByteBudget(30_000_000)
    rig = Rig(progress=Progress(after("9"), heads, lanes=lanes), lanes=lanes, retries=3, budget=budget)
    for first in (10, 20):
        rig.bring(
            *(wire(first + lane, key=key_in(lane, lanes), size=large // 2) for lane in range(lanes)), behind=5.0
        )
        assert rig.runs == []
        rig.until(Fetch)
    assert budget.used < 30_000_000
    budget.take(30_000_000)
    rig.bring(*(wire(30 + lane, key=key_in(lane, lanes)) for lane in range(lanes)), behind=5.0)
    assert len(rig.runs) == lanes


def test_a_waiting_batch_reads_though_the_process_is_full() -> None:
    """STR-27, BAT-6: a little, and at its pace."""
    budget = ByteBudget(1_000)
    head = Head(0, "1", "2", 2, 1, 0, None, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=3, budget=budget)
    budget.take(1_000)
    rig.bring(*wires(1), behind=5.0)
    rig.tick()
    assert (rig.now, rig.one(Fetch).limit) == (0.25, 100)
    rig.bring(*wires(2), behind=5.0)
    assert rig.running == [[1, 2]]


def test_reading_fails_while_a_batch_waits_for_its_rest() -> None:
    """BAT-6, STR-24: it goes on when reading does."""
    head = Head(0, "1", "2", 2, 1, 0, None, running=False)
    rig = Rig(progress=Progress(after("0"), (head,), lanes=1), retries=3)
    rig.bring(*wires(1), behind=5.0)
    for problem in (SourceProblem.EXPIRED, SourceProblem.THROTTLED):
        rig.until(Fetch)
        rig.fail(problem)
    rig.until(Fetch)
    assert rig.one(Fetch).position == after("1")
    rig.bring(*wires(2), behind=5.0)
    assert rig.running == [[1, 2]]
    rig.end(BOOM)
    assert rig.one(Settled).retry_in == 2.0


def test_a_write_that_fails_is_tried_again_for_those_that_wait_for_it() -> None:
    """ERR-5: of several lanes, and no other."""
    rig = Rig(guarded=True, retries=0, lanes=2, batch_size=1, saving=False)
    rig.bring(wire(1, key=key_in(0, 2)), behind=1.0)
    rig.until_read()
    rig.bring(wire(2, key=key_in(1, 2)))
    rig.unsaved()
    assert rig.runs == []
    while not rig.saves:
        rig.bring() if rig.reads else rig.tick()
    rig.saved()
    assert sorted(rig.running) == [[1], [2]]
