"""The machine at its ends: pause, resume, drain, stop, abandon."""

import pytest

from poller.core.mapping import PollerSettings
from poller.core.messages import (
    ChangeVisibility,
    Delete,
    Describe,
    Finished,
    Invoke,
    LetGo,
    ReleaseReason,
    Request,
    Tick,
)
from poller.core.model import BatchTrigger, FunctionError, SourceProblem, Throttled
from poller.core.queue_consumer import Mode
from tests.unit.core.machine import Rig, ids, wire, wires

BOOM = FunctionError("Boom", "no")


def full_house(**fields: object) -> Rig:
    """Both slots busy: one batch runs, one waits for its next attempt."""
    rig = Rig(concurrency=2, visibility=100.0, **fields)
    rig.bring(*(wire(f"a{place}") for place in range(10)))
    rig.bring(*(wire(f"b{place}") for place in range(10)))
    rig.at(1.0).end(Throttled("busy"))
    return rig


# --- pause and resume ---


def test_a_disabled_mapping_does_nothing() -> None:
    """CFG-3, SUR-18: it starts paused and makes no request."""
    rig = Rig(enabled=False)
    assert (rig.told, rig.machine.mode, rig.machine.deadline()) == ([], Mode.PAUSED, None)


def test_a_pause_ends_the_polling_and_lets_handlers_finish() -> None:
    """API-8: the success of what runs is still settled, also when its delete has to be tried again."""
    rig = Rig()
    rig.bring(*wires("a"))
    assert rig.ask(Request.PAUSE) == []
    assert not rig.machine.at_rest
    rig.at(1.0).end()
    assert ids(rig.one(Delete).messages) == ["a"]
    rig.deleted("a")
    rig.tick()
    rig.deleted()
    rig.bring()
    assert (rig.polls, rig.machine.at_rest, rig.machine.deadline()) == ([], True, None)


def test_a_pause_gives_back_what_no_handler_has() -> None:
    """API-8: what is buffered, what waits for its next attempt, and what is still on its way here."""
    rig = full_house()
    rig.ask(Request.PAUSE)
    assert ids(rig.one(ChangeVisibility).messages) == [f"a{place}" for place in range(10)]
    assert rig.one(ChangeVisibility).seconds == (0,) * 10
    assert rig.one(ChangeVisibility).reason is ReleaseReason.STOP

    late = Rig()
    late.ask(Request.PAUSE)
    late.bring(*wires("x", "y"))
    assert ids(late.one(ChangeVisibility).messages) == ["x", "y"]
    assert late.runs == []
    assert not late.machine.at_rest
    late.changed()
    assert late.machine.at_rest
    assert late.budget.used == 0


def test_a_batch_that_is_throttled_while_paused_is_given_back() -> None:
    """API-8, SQS-23: there will be no next attempt here."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.ask(Request.PAUSE)
    rig.end(Throttled("busy"))
    assert ids(rig.one(ChangeVisibility).messages) == ["a"]
    assert rig.machine.deadline() is None


def test_a_resume_polls_at_once() -> None:
    """API-8: also beside a receive that is still in flight."""
    rig = Rig(batch_size=100, window=9.0)
    rig.bring(wire("a"))
    rig.ask(Request.PAUSE)
    assert ids(rig.one(ChangeVisibility).messages) == ["a"]
    rig.changed()
    rig.bring()
    assert rig.polls == []
    rig.ask(Request.RESUME)
    assert len(rig.polls) == 1
    rig.ask(Request.RESUME)
    assert len(rig.polls) == 1


# --- stop ---


def test_a_stop_of_an_idle_machine_waits_for_its_receive() -> None:
    """API-8: no receive is left whose messages nobody gives back."""
    rig = Rig()
    assert rig.ask(Request.STOP) == []
    rig.at(5.0).bring(*wires("x"))
    assert ids(rig.one(ChangeVisibility).messages) == ["x"]
    assert rig.machine.mode is Mode.STOPPING
    assert rig.changed() == [Finished(0)]
    assert (rig.machine.mode, rig.machine.deadline(), rig.budget.used) == (Mode.FINISHED, None, 0)


def test_a_stop_lets_handlers_finish_and_deletes() -> None:
    """API-8, SQS-20: succeeded is deleted, and tried again if need be, before the end."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.ask(Request.STOP)
    rig.bring()
    rig.at(1.0).end()
    rig.deleted("a")
    assert rig.all(Finished) == []
    rig.tick()
    assert rig.deleted() == [Finished(0)]


def test_a_stop_hands_over_what_has_a_slot_and_gives_back_the_rest() -> None:
    """BAT-1, API-8: an open batch is not thrown away while a slot is free for it."""
    rig = Rig(batch_size=100, window=60.0, timeout=1.0, visibility=100.0)
    rig.bring(*wires("a", "b"))
    rig.ask(Request.STOP)
    batch = rig.one(Invoke).batch
    assert (ids(batch.messages), batch.trigger) == (["a", "b"], BatchTrigger.STOP)
    rig.bring()
    rig.end()
    assert rig.deleted() == [Finished(0)]


def test_a_stop_gives_back_what_waits_for_its_next_attempt() -> None:
    """SQS-23, API-8: at once, while the other batch goes on."""
    rig = full_house()
    rig.ask(Request.STOP)
    assert ids(rig.one(ChangeVisibility).messages) == [f"a{place}" for place in range(10)]
    rig.changed()
    rig.end(Throttled("busy"))
    assert ids(rig.one(ChangeVisibility).messages) == [f"b{place}" for place in range(10)]
    assert rig.changed() == [Finished(0)]


@pytest.mark.parametrize("result", [BOOM, Throttled("busy")])
def test_a_stop_ends_whatever_handlers_come_to(result: object) -> None:
    """API-8: nothing waits for a next time."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.ask(Request.STOP)
    rig.fail(SourceProblem.UNREACHABLE)
    rig.end(result)
    while rig.changes:
        rig.changed()
    assert rig.machine.mode is Mode.FINISHED
    assert rig.budget.used == 0


def test_what_is_asked_after_the_end_changes_nothing() -> None:
    """API-8: and Finished is told once."""
    rig = Rig()
    rig.ask(Request.STOP)
    assert rig.bring() == [Finished(0)]
    for request in Request:
        assert rig.ask(request) == []
    assert rig.machine.mode is Mode.FINISHED


def test_a_stop_cannot_be_taken_back() -> None:
    """API-8: neither by a resume nor by a pause."""
    rig = Rig()
    rig.ask(Request.STOP)
    rig.ask(Request.PAUSE)
    rig.ask(Request.RESUME)
    assert (rig.machine.mode, len(rig.polls)) == (Mode.STOPPING, 1)
    assert rig.bring() == [Finished(0)]


# --- abandon ---


def test_abandoning_gives_back_what_handlers_hold() -> None:
    """GEN-2: other workers have the messages at once; whatever the handler comes to does not matter any more."""
    rig = Rig(poller=PollerSettings(heartbeat=True))
    rig.bring(*wires("a", "b"))
    rig.ask(Request.STOP)
    rig.bring()
    rig.at(20.0).ask(Request.ABANDON)
    assert ids(rig.one(ChangeVisibility).messages) == ["a", "b"]
    assert rig.one(LetGo).ids == ("a", "b")
    assert rig.machine.abandoned == 2
    assert rig.changed() == [Finished(2)]
    assert rig.end() == []
    assert rig.budget.used == 0
    assert rig.machine.gauges().in_flight_messages == 0


def test_abandoning_gives_back_what_no_handler_has() -> None:
    """GEN-2, SQS-23: what waits for its next attempt too, without a stop before; only the others are abandoned."""
    rig = full_house()
    rig.ask(Request.ABANDON)
    given = [ids(change.messages) for change in rig.all(ChangeVisibility)]
    assert given == [[f"a{place}" for place in range(10)], [f"b{place}" for place in range(10)]]
    assert rig.machine.abandoned == 10
    assert rig.budget.used == 0
    rig.changed()
    assert rig.changed() == [Finished(10)]


def test_abandoning_does_not_delete_what_ended_too_late() -> None:
    """GEN-5, SQS-20: its message is another's by now."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.ask(Request.ABANDON)
    assert rig.end() == []
    assert rig.deletes == []
    rig.changed()
    assert rig.bring() == [Finished(1)]


def test_abandoning_keeps_what_is_being_deleted() -> None:
    """SQS-20: what succeeded is not given back."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.end()
    rig.ask(Request.ABANDON)
    assert rig.all(ChangeVisibility) == []
    rig.bring()
    assert rig.deleted() == [Finished(0)]


# --- drain ---


def test_a_drain_works_until_the_queue_is_empty() -> None:
    """GEN-2: it goes on polling, in short waits, and ends after two empty readings with an empty receive each."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.ask(Request.DRAIN)
    rig.at(1.0).bring(*wires("b"))
    assert rig.polls[0].wait == 1
    rig.bring()
    rig.end()
    rig.end()
    assert rig.all(Describe) == []
    while rig.deletes:
        rig.deleted()
    while rig.polls:
        rig.at(rig.now + 1).bring()
    assert rig.one(Describe)
    assert rig.polls == []
    rig.describe()
    assert [poll.wait for poll in rig.polls] == [1]
    rig.at(rig.now + 1).bring()
    assert rig.one(Describe)
    assert rig.describe() == [Finished(0)]


def test_what_was_seen_before_a_drain_counts_no_more() -> None:
    """GEN-2: an empty receive before it is no sign that nothing has come since."""
    rig = Rig()
    rig.at(1.0).bring()
    rig.fail()
    rig.ask(Request.DRAIN)
    assert rig.told == []
    rig.tick()
    assert rig.all(Describe) == []
    rig.bring()
    assert rig.one(Describe)


@pytest.mark.parametrize("left", [{"visible": 1}, {"in_flight": 1}, {"delayed": 1}])
def test_a_drain_waits_for_what_is_still_to_come(left: dict[str, int]) -> None:
    """SQS-21, GEN-2: failed messages come back, so a queue with messages in flight or delayed is not empty."""
    rig = Rig()
    rig.ask(Request.DRAIN)
    for _ in range(5):
        rig.at(rig.now + 1).bring()
        assert rig.one(Describe)
        rig.describe(**left)
        assert len(rig.polls) == 1
    rig.at(rig.now + 1).bring(*wires("late"))
    assert rig.running == [["late"]]


def test_a_drain_does_not_wait_for_a_window() -> None:
    """BAT-4: the open batch goes when the queue has nothing more for it."""
    rig = Rig(batch_size=100, window=60.0, timeout=1.0, visibility=100.0)
    rig.bring(*wires("a"))
    rig.ask(Request.DRAIN)
    rig.at(1.0).bring()
    batch = rig.one(Invoke).batch
    assert (ids(batch.messages), batch.trigger) == (["a"], BatchTrigger.STOP)


def test_a_drain_outlives_an_outage() -> None:
    """API-16: no answer is no sign that the queue is empty."""
    rig = Rig()
    rig.ask(Request.DRAIN)
    for _ in range(20):
        rig.fail(SourceProblem.UNREACHABLE)
        assert rig.machine.mode is Mode.DRAINING
        while not rig.polls:
            rig.tick()
    rig.bring(*wires("a"))
    assert rig.running == [["a"]]


def test_a_reading_that_fails_is_asked_for_again() -> None:
    """API-16: every half second, but never two at once."""
    rig = Rig()
    rig.ask(Request.DRAIN)
    rig.at(1.0).bring()
    assert rig.one(Describe)
    assert rig.at(1.25).not_described() == []
    rig.tick()
    assert (rig.now, rig.told) == (1.5, [Describe()])
    assert rig.machine.deadline() is None, "it waits for this one"
    assert rig.at(9.0).not_described() == [Describe()]


def test_a_reading_that_was_asked_before_the_last_empty_receive_is_no_sign() -> None:
    """GEN-2: a slow answer is of the time before, and a message may have come since."""
    rig = Rig()
    rig.at(59.0).bring()
    rig.at(60.0).feed(Tick())
    assert rig.one(Describe)
    rig.ask(Request.DRAIN)
    rig.at(61.0).bring()
    assert rig.told == [], "one look is under way"
    rig.describe()
    for expected in ([], [Finished(0)]):
        rig.at(rig.now + 1).bring()
        assert rig.one(Describe)
        told = rig.describe()
        assert [command for command in told if isinstance(command, Finished)] == expected


def test_a_reading_of_the_drain_before_is_no_sign() -> None:
    """GEN-2: it was taken back, and another one ordered, before the answer came."""
    rig = Rig()
    rig.ask(Request.DRAIN)
    rig.at(1.0).bring()
    rig.describe()
    rig.at(2.0).bring()
    assert rig.one(Describe)
    for request in (Request.PAUSE, Request.RESUME, Request.DRAIN):
        rig.ask(request)
    rig.at(3.0).bring()
    rig.describe()
    rig.at(4.0).bring()
    assert rig.describe()[-1] != Finished(0)
