"""The machine of a shard at its ends: pause, resume, drain, stop, abandon, a lost lease, the shard's own end."""

import pytest

from poller.core.messages import Request
from poller.core.model import SourceKind, SourceProblem
from poller.core.records import TRIM_HORIZON, Progress, after
from poller.core.stream_consumer import Mode
from poller.core.stream_messages import Fetch, Finished, Invoke, Save, SendDocument, Settled
from poller.core.stream_reading import BELIEVED
from tests.unit.core.stream_machine import (
    BOOM,
    BUSY,
    CHILD,
    QUEUE,
    Rig,
    key_in,
    numbers,
    state,
    wire,
    wires,
)

# --- pause and resume ---


def test_a_disabled_mapping_does_nothing() -> None:
    """CFG-3: it starts paused, reads nothing, and no timer runs."""
    rig = Rig(enabled=False)
    assert (rig.told, rig.machine.mode, rig.machine.deadline()) == ([], Mode.PAUSED, None)
    assert rig.machine.at_rest
    assert not rig.machine.receiving
    rig.ask(Request.RESUME)
    assert rig.one(Fetch).position == TRIM_HORIZON


def test_a_pause_begins_nothing() -> None:
    """API-8, STR-31: what runs is judged and written down; what is still on its way is kept for later."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2), behind=1.0)
    rig.tick()
    assert rig.ask(Request.PAUSE) == []
    assert not rig.machine.at_rest
    rig.bring(*wires(3))
    rig.end()
    assert rig.runs == []
    assert rig.one(Save).progress.position == after("1")
    assert not rig.machine.at_rest
    rig.saved()
    assert rig.machine.at_rest
    assert (rig.reads, rig.machine.deadline()) == ([], None)


def test_a_pause_writes_at_once() -> None:
    """STR-31: it does not wait for the next second."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end()
    rig.saved()
    rig.at(0.1).end()
    assert rig.all(Save) == []
    rig.ask(Request.PAUSE)
    assert rig.one(Save).progress.position == after("2")


def test_after_a_pause_it_goes_on_where_it_was() -> None:
    """API-9, STR-31: recipe 21; with the iterator it had, or a new one for the same place."""
    rig = Rig(batch_size=1)
    rig.bring(*wires(1, 2))
    rig.ask(Request.PAUSE)
    rig.end()
    rig.at(3600.0).ask(Request.RESUME)
    assert rig.running == [[2]]
    assert rig.one(Fetch).iterator == "next"
    rig.fail(SourceProblem.EXPIRED)
    rig.until(Fetch)
    assert rig.one(Fetch).position == after("2")


def test_a_pause_keeps_the_back_off() -> None:
    """ERR-6: a batch that failed is not tried earlier for it, and not at all while paused."""
    rig = Rig()
    rig.bring(*wires(1))
    rig.end(BOOM)
    rig.ask(Request.PAUSE)
    rig.at(0.5).ask(Request.RESUME)
    assert rig.runs == []
    rig.ask(Request.PAUSE)
    rig.at(9.0)
    assert rig.rest().runs == []
    rig.ask(Request.RESUME)
    assert rig.running == [[1]]


def test_documents_are_sent_while_paused() -> None:
    """ERR-33, API-8: what has begun comes to its end."""
    rig = Rig(retries=0, destination=QUEUE, batch_size=1)
    rig.bring(*wires(1, 2))
    rig.ask(Request.PAUSE)
    rig.end(BOOM)
    assert len(rig.documents) == 1
    assert not rig.machine.at_rest
    rig.sent()
    assert (rig.place, rig.runs) == (1, [])
    assert rig.rest().machine.deadline() is None


def test_a_pause_withdraws_what_was_about_to_begin() -> None:
    """API-8, ERR-5: the attempt was written down, did not take place, and is not counted after a restart."""
    rig = Rig(guarded=True, retries=0, saving=False)
    rig.bring(*wires(1))
    assert rig.one(Save).progress.heads[0].running
    rig.ask(Request.PAUSE)
    rig.saved()
    assert rig.runs == []
    rig.saved()
    assert rig.row.heads == ()
    assert rig.machine.at_rest
    rig.ask(Request.RESUME)
    rig.saved()
    assert rig.running == [[1]]


def test_a_resume_while_its_own_write_is_under_way() -> None:
    """ERR-5: the attempt waits for a write of its own."""
    rig = Rig(guarded=True, retries=0, saving=False)
    rig.bring(*wires(1))
    rig.ask(Request.PAUSE)
    rig.ask(Request.RESUME)
    assert rig.saved() == rig.all(Save)
    assert rig.runs == []
    rig.saved()
    assert rig.running == [[1]]


# --- drain ---


def test_a_drain_ends_when_the_tip_was_seen_twice() -> None:
    """API-8: with nothing left to do; the read under way may have been sent before."""
    rig = Rig()
    rig.bring(*wires(1), behind=1.0)
    rig.tick()
    rig.ask(Request.DRAIN)
    assert rig.machine.mode is Mode.DRAINING
    assert rig.machine.receiving
    rig.bring()
    rig.tick()
    rig.bring()
    assert rig.finished is None
    rig.end()
    assert rig.one(Finished) == Finished(False, Progress(after("1"), lanes=1))


def test_a_drain_ends_however_often_the_tip_was_seen() -> None:
    """API-8: while a batch took its time."""
    rig = Rig()
    rig.bring(*wires(1))
    rig.ask(Request.DRAIN)
    for _ in range(5):
        rig.until_read().bring()
    assert rig.finished is None
    rig.end()
    assert rig.one(Finished) == Finished(False, Progress(after("1"), lanes=1))


def test_a_drain_counts_from_its_beginning() -> None:
    """API-8: empty reads before it say nothing."""
    rig = Rig()
    for _ in range(3):
        rig.bring()
        rig.tick()
    rig.ask(Request.DRAIN)
    rig.bring()
    assert rig.finished is None
    rig.tick()
    rig.bring()
    assert rig.finished is not None


def test_a_drain_that_is_asked_for_again() -> None:
    """API-8: does not begin anew, and does not wake a paused machine."""
    rig = Rig()
    rig.ask(Request.DRAIN)
    rig.bring()
    rig.tick()
    rig.ask(Request.DRAIN)
    rig.bring()
    assert rig.finished is not None
    paused = Rig(enabled=False)
    assert paused.ask(Request.DRAIN) == []
    assert paused.machine.mode is Mode.PAUSED


def test_a_drain_waits_for_no_window() -> None:
    """API-8, BAT-1: as soon as the tip was seen."""
    rig = Rig(window=300.0)
    rig.bring(*wires(1))
    rig.ask(Request.DRAIN)
    assert rig.runs == []
    rig.tick()
    rig.bring()
    assert rig.running == [[1]]


def test_a_drain_does_not_believe_an_empty_read_behind_the_tip() -> None:
    """STR-26: there is more."""
    rig = Rig()
    rig.ask(Request.DRAIN)
    for _ in range(5):
        rig.bring(behind=2.0)
        rig.tick()
    assert rig.finished is None


def test_a_drain_of_dynamodb_believes_many_empty_reads_only() -> None:
    """STR-26, API-8: a few may stand in the middle of a backlog."""
    rig = Rig(source=SourceKind.DYNAMODB)
    rig.ask(Request.DRAIN)
    for _ in range(BELIEVED):
        rig.bring(behind=None)
        assert rig.finished is None
        rig.tick()
    rig.bring(behind=None)
    assert rig.finished is not None


def test_a_drain_waits_for_what_fails() -> None:
    """API-8, ERR-4: nothing is left behind."""
    rig = Rig()
    rig.bring(*wires(1))
    rig.end(BOOM)
    rig.ask(Request.DRAIN)
    rig.until(Invoke)
    for _ in range(4):
        rig.bring() if rig.reads else rig.tick()
    assert rig.finished is None
    rig.end()
    assert rig.one(Finished).progress.position == after("1")


# --- stop and abandon ---


def test_a_stop_lets_what_runs_finish() -> None:
    """API-8, STR-31: nothing is begun, and its end is in the last progress."""
    rig = Rig(batch_size=1)
    rig.bring(*wires(1, 2))
    assert rig.ask(Request.STOP) == []
    assert rig.machine.mode is Mode.STOPPING
    assert rig.machine.deadline() is None
    rig.end()
    assert rig.one(Finished) == Finished(False, Progress(after("1"), lanes=1))
    assert rig.runs == []
    assert rig.ask(Request.RESUME) == []
    assert rig.machine.mode is Mode.FINISHED


def test_a_stop_with_nothing_under_way_ends_at_once() -> None:
    """STR-31: a read is not waited for; what it brings is nobody's."""
    rig = Rig()
    assert rig.ask(Request.STOP) == [Finished(False, Progress(TRIM_HORIZON, lanes=1))]
    assert rig.bring(*wires(1)) == []
    assert (rig.budget.used, rig.machine.deadline()) == (0, None)


def test_a_stop_with_something_new_leaves_the_write_to_its_owner() -> None:
    """STR-31: the last progress goes with the release of the row, in one write."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end()
    rig.saved()
    rig.at(0.1).end()
    assert rig.at(5.0).ask(Request.STOP) == [Finished(False, Progress(after("2"), lanes=1))]


def test_a_stop_waits_for_documents() -> None:
    """ERR-33: also for those that what still ran leads to."""
    rig = Rig(retries=0, destination=QUEUE, maximum_age=60.0)
    rig.at(100.0).bring(*wires(1, at=0.0), *wires(2, at=99.0), *wires(3, at=1.0))
    rig.ask(Request.STOP)
    rig.sent()
    assert numbers(rig.one(SendDocument).discard) == [3]
    assert rig.finished is None
    rig.sent()
    assert rig.one(Finished).progress.position == after("1")
    late = Rig(retries=0, destination=QUEUE)
    late.bring(*wires(1))
    late.ask(Request.STOP)
    late.end(BOOM)
    late.sent()
    assert late.one(Finished).progress.position == after("1")


def test_a_stop_waits_for_the_write_under_way() -> None:
    """STR-31: two writes of a row at once would race."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end()
    rig.ask(Request.STOP)
    rig.end()
    assert rig.finished is None
    rig.unsaved()
    assert rig.one(Finished).progress.position == after("2")


def test_what_failed_last_is_remembered() -> None:
    """ERR-5, STR-31: a stop is no way to win attempts; they go on in the next process."""
    rig = Rig(retries=1)
    rig.bring(*wires(1, 2))
    rig.ask(Request.STOP)
    rig.end(BOOM)
    (head,) = rig.one(Finished).progress.heads
    assert (head.first, head.last, head.count, head.attempts, head.running) == ("1", "2", 2, 1, False)
    later = rig.again()
    later.bring(*wires(1, 2))
    later.end(BOOM)
    assert later.discarded == [[1, 2]]


@pytest.mark.parametrize("request_", [Request.STOP, Request.ABANDON])
def test_what_was_about_to_begin_at_a_stop(request_: Request) -> None:
    """ERR-5: does not, and is not counted."""
    rig = Rig(guarded=True, retries=0, saving=False)
    rig.bring(*wires(1))
    rig.ask(request_)
    rig.saved()
    assert rig.runs == []
    assert rig.one(Finished).progress.heads == ()


def test_what_is_abandoned() -> None:
    """GEN-2: the records that a handler still has are counted, and the next process has them again."""
    rig = Rig(lanes=2, batch_size=10)
    rig.bring(*(wire(n, key=key_in(n % 2, 2)) for n in range(1, 6)))
    rig.ask(Request.STOP)
    assert rig.finished is None
    rig.ask(Request.ABANDON)
    finished = rig.one(Finished)
    assert (finished.abandoned, finished.ended, finished.progress.position) == (5, False, TRIM_HORIZON)
    assert rig.machine.abandoned == 5
    assert rig.end() == []


def test_an_abandoned_batch_keeps_its_attempts() -> None:
    """ERR-5, BAT-6: those that were judged."""
    rig = Rig(retries=5)
    rig.bring(*wires(1, 2))
    rig.end(BOOM)
    rig.until(Invoke)
    rig.ask(Request.ABANDON)
    (head,) = rig.one(Finished).progress.heads
    assert (head.first, head.count, head.attempts, head.running) == ("1", 2, 1, False)


def test_the_answer_of_an_abandoned_batch() -> None:
    """GEN-2: is not judged, though the machine still waits for its write."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end()
    rig.ask(Request.ABANDON)
    assert rig.finished is None
    assert rig.end() == []
    rig.saved()
    assert rig.one(Finished).progress.position == after("1")
    assert rig.machine.abandoned == 1


def test_the_answer_to_an_abandoned_document() -> None:
    """ERR-33, DST-32: the next process sends it again."""
    rig = Rig(batch_size=1, saving=False, retries=0, destination=QUEUE, guarded=True)
    rig.bring(*wires(1, 2))
    rig.saved()
    rig.end(BOOM)
    assert rig.documents
    assert rig.saves
    rig.ask(Request.ABANDON)
    assert rig.sent() == []
    rig.saved()
    finished = rig.one(Finished)
    assert (finished.progress.position, finished.abandoned, rig.gone) == (TRIM_HORIZON, 0, [])
    later = rig.again(saving=True)
    later.bring(*wires(1, 2))
    assert numbers(later.one(SendDocument).discard) == [1]
    assert later.runs == []
    assert later.documents[0].discard.invocations == 1
    later.sent()
    assert later.running == [[2]]


def test_expired_records_of_an_abandoned_document_keep_their_place() -> None:
    """ERR-33: those that wait for theirs as well."""
    rig = Rig(destination=QUEUE, maximum_age=60.0)
    rig.at(100.0).bring(*wires(1, at=0.0), *wires(2, at=99.0), *wires(3, at=1.0))
    rig.ask(Request.ABANDON)
    assert rig.one(Finished).progress.position == TRIM_HORIZON


# --- a lost lease ---


def test_a_lost_lease_ends_everything() -> None:
    """STR-31: another worker has the shard; nothing is written, nothing judged, nothing sent."""
    rig = Rig(lanes=2, batch_size=1, retries=0, destination=QUEUE, saving=False)
    rig.bring(*(wire(n, key=key_in(n % 2, 2)) for n in range(1, 5)))
    rig.end(BOOM)
    rig.end()
    rig.lose()
    finished = rig.one(Finished)
    assert (finished.lost, finished.ended, finished.abandoned) == (True, False, 1)
    assert rig.machine.deadline() is None
    assert rig.sent() == rig.end() == rig.saved() == []
    rig.machine.release()
    assert rig.budget.used == 0


def test_nothing_is_written_after_a_lost_lease() -> None:
    """STR-31: also what was due; the row is another's."""
    rig = Rig(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end()
    rig.saved()
    rig.at(0.1).end()
    rig.at(5.0).lose()
    assert [type(command) for command in rig.told] == [Finished]


def test_a_lost_lease_at_the_end_of_the_shard() -> None:
    """STR-2: the row is not ours to end."""
    rig = Rig(saving=False, enabled=False)
    rig.ask(Request.RESUME)
    rig.ask(Request.PAUSE)
    rig.bring(iterator=None)
    rig.lose()
    assert (rig.one(Finished).ended, rig.one(Finished).lost) == (False, True)


# --- the end of the shard ---


def test_an_empty_shard_ends() -> None:
    """STR-4, STR-2."""
    rig = Rig()
    rig.bring(iterator=None, children=(CHILD,))
    assert rig.one(Finished) == Finished(True, Progress(TRIM_HORIZON, lanes=1), (CHILD,))


def test_a_shard_ends_with_its_last_record() -> None:
    """STR-2, STR-30: resolved, not merely read."""
    rig = Rig(batch_size=1)
    rig.bring(*wires(1, 2), iterator=None, children=(CHILD,))
    rig.end()
    assert rig.finished is None
    rig.end()
    assert rig.one(Finished) == Finished(True, Progress(after("2"), lanes=1), (CHILD,))
    assert rig.reads == []


def test_a_stop_at_the_end_of_a_shard() -> None:
    """STR-2: what is left makes the difference."""
    rig = Rig(batch_size=1)
    rig.bring(*wires(1, 2), iterator=None)
    rig.ask(Request.STOP)
    rig.end()
    assert not rig.one(Finished).ended
    done = Rig(batch_size=1)
    done.bring(*wires(1), iterator=None)
    done.ask(Request.STOP)
    done.end()
    assert done.one(Finished).ended


def test_a_shard_that_ends_while_paused() -> None:
    """STR-2, API-9: is finished when the mapping goes on."""
    rig = Rig()
    rig.ask(Request.PAUSE)
    rig.bring(iterator=None)
    assert rig.finished is None
    rig.ask(Request.RESUME)
    assert rig.one(Finished).ended


def test_a_window_that_is_open_is_not_the_end() -> None:
    """TMB-11, STR-2: the last call of the window is still to be made, by whoever goes on."""
    rig = Rig(tumbling_window=100)
    rig.bring(*wires(1), iterator=None, children=(CHILD,))
    rig.ask(Request.PAUSE)
    rig.end(state({"n": 1}))
    rig.ask(Request.STOP)
    finished = rig.one(Finished)
    assert not finished.ended
    assert finished.progress.window is not None
    later = rig.again()
    later.bring(iterator=None, children=(CHILD,))
    assert later.runs[0].batch.call is not None
    assert later.runs[0].batch.call.final
    later.end()
    assert later.one(Finished).ended


@pytest.mark.parametrize("result", [BOOM, BUSY])
def test_what_fails_after_a_stop_is_not_tried_again(result: object) -> None:
    """API-8: nothing is begun."""
    rig = Rig()
    rig.bring(*wires(1))
    rig.ask(Request.STOP)
    rig.end(result)
    assert isinstance(rig.told[0], Settled)
    assert rig.one(Finished).progress.position == TRIM_HORIZON
    assert rig.machine.deadline() is None
