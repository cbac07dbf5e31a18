"""When the queue is asked for its attributes, and when it counts as empty."""

import pytest

from poller.core.model import QueueFacts
from poller.core.readings import Readings

EMPTY = QueueFacts(30.0, 0, 0, 0)


def read(readings: Readings, facts: QueueFacts, now: float) -> None:
    """A machine at rest asks, and this is the answer."""
    assert readings.ask(now, resting=True)
    readings.described(facts, now, resting=True)


def test_once_a_minute() -> None:
    """SQS-8: the visibility timeout may be changed while we run."""
    readings = Readings()
    assert readings.visibility is None
    readings.described(EMPTY, 10.0, resting=False)
    assert readings.visibility == 30.0
    assert readings.due(resting=False) == 70.0
    assert not readings.ask(69.9, resting=False)
    assert readings.ask(70.0, resting=False)
    readings.failed()
    assert readings.due(resting=False) == 130.0
    assert not readings.ask(129.9, resting=False)
    assert readings.ask(130.0, resting=False)


def test_one_question_at_a_time() -> None:
    """SQS-8: whatever the clock says, the next one waits for its answer or its failure."""
    for resting in (False, True):
        readings = Readings()
        assert readings.ask(1.0, resting=resting)
        for at_rest in (False, True):
            assert readings.due(resting=at_rest) is None
            assert not readings.ask(1_000.0, resting=at_rest)
        readings.described(EMPTY, 1_000.0, resting=resting)
        assert readings.due(resting=False) == 1_060.0
        assert readings.ask(1_060.0, resting=resting)


def test_a_question_that_failed_is_asked_again() -> None:
    """API-16: while resting after half a second, so that a drain ends when the answer comes."""
    readings = Readings()
    readings.described(EMPTY, 0.0, resting=False)
    assert readings.ask(1.0, resting=True)
    readings.failed()
    assert readings.due(resting=True) == 1.5
    assert not readings.ask(1.4, resting=True)
    assert readings.ask(1.5, resting=True)


def test_empty_is_two_readings_in_a_row() -> None:
    """GEN-2: the counts of SQS are approximate, so one reading is not believed."""
    readings = Readings()
    readings.begin_drain()
    readings.received(0)
    assert readings.nothing_came
    read(readings, EMPTY, 0.0)
    assert not readings.nothing_came, "the next reading needs another empty receive"
    assert not readings.empty
    read(readings, QueueFacts(30.0, 0, 0, 1), 1.0)
    read(readings, EMPTY, 2.0)
    assert not readings.empty
    read(readings, EMPTY, 3.0)
    assert readings.empty
    readings.begin_drain()
    assert not readings.empty


@pytest.mark.parametrize(("asked", "answered"), [(False, False), (True, False), (False, True)])
def test_only_a_machine_at_rest_can_find_it_empty(asked: bool, answered: bool) -> None:
    """GEN-2: what we hold ourselves may still come back; at rest when it asks, and when it hears."""
    readings = Readings()
    for second in (0.0, 100.0, 200.0):
        assert readings.ask(second, resting=asked)
        readings.described(EMPTY, second + 1.0, resting=answered)
    assert not readings.empty


def test_a_reading_is_of_the_time_when_it_was_asked() -> None:
    """GEN-2: an answer to a question from before the last receive does not count."""
    readings = Readings()
    for second in (0.0, 1.0, 2.0):
        assert readings.ask(second, resting=True)
        readings.received(0)
        readings.described(EMPTY, second + 0.4, resting=True)
    assert not readings.empty


@pytest.mark.parametrize("place", [1, 2, 3])
def test_any_count_above_nothing_is_not_empty(place: int) -> None:
    """GEN-2: visible, in flight or delayed; one of them is enough, and so are all three alike."""
    counts = [0, 0, 0]
    counts[place - 1] = 1
    for told in (counts, [1, 1, 0], [1, 1, 1]):
        readings = Readings()
        for second in (0.0, 1.0, 2.0):
            read(readings, QueueFacts(30.0, *told), second)
        assert not readings.empty


def test_empty_stays_empty() -> None:
    """GEN-2: a third reading that finds nothing changes nothing."""
    readings = Readings()
    assert not readings.empty
    assert not readings.nothing_came
    for second in range(4):
        read(readings, EMPTY, float(second))
    assert readings.empty


def test_messages_that_come_are_not_nothing() -> None:
    """GEN-2: the question is asked after an empty receive."""
    readings = Readings()
    readings.received(0)
    readings.received(3)
    assert not readings.nothing_came
    readings.received(0)
    readings.begin_drain()
    assert not readings.nothing_came


def test_the_first_question_is_asked_at_once() -> None:
    """SQS-8: whatever the clock says."""
    for now in (0.0, 1_000.0):
        assert Readings().ask(now, resting=False)
        assert Readings().ask(now, resting=True)
