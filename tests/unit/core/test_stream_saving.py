"""When a shard's progress is written, and which writes are durable (STR-31)."""

from random import Random

from poller.core.stream_saving import Saving
from tests.unit.core.machine import Middle


def saving_of() -> Saving:
    return Saving(Middle())


def test_nothing_new_is_not_written() -> None:
    """STR-31: an idle shard costs no write."""
    saving = saving_of()
    assert saving.due(wanted=False) is None
    assert saving.begin(1e9, wanted=False) is None


def test_what_is_new_is_written_at_once_then_once_a_second() -> None:
    """STR-31: durably, one write at a time."""
    saving = saving_of()
    saving.changed()
    assert saving.due(wanted=False) == 0.0
    assert saving.begin(10.0, wanted=False) == (1, True)
    saving.changed()
    assert saving.due(wanted=False) is None
    assert saving.begin(99.0, wanted=False) is None
    assert saving.saved(1)
    assert saving.due(wanted=False) == 11.0
    assert saving.begin(10.999, wanted=False) is None
    assert saving.begin(11.0, wanted=False) == (2, True)
    assert saving.saved(2)
    assert not saving.dirty
    assert saving.due(wanted=False) is None


def test_an_attempt_waits_for_no_second() -> None:
    """ERR-5: it is written before it begins; this write need not be durable, and the position still has to be."""
    saving = saving_of()
    saving.changed()
    saving.begin(10.0, wanted=False)
    saving.saved(1)
    assert saving.due(wanted=True) == 0.0
    assert saving.begin(10.1, wanted=True) == (2, False)
    assert saving.due(wanted=True) is None
    saving.saved(2)
    saving.changed()
    assert saving.begin(10.2, wanted=True) == (3, False)
    saving.saved(3)
    assert saving.dirty
    assert saving.begin(11.0, wanted=True) == (4, True)


def test_an_attempt_without_anything_new() -> None:
    """ERR-5: not durable, whenever it is."""
    assert saving_of().begin(10.0, wanted=True) == (1, False)


def test_a_failed_write_is_tried_again() -> None:
    """STR-31: later each time, whoever waits for it; what it had in it is new again."""
    saving = saving_of()
    saving.changed()
    waits = []
    now = 10.0
    for number in range(1, 8):
        assert saving.begin(now, wanted=True) == (number, True)
        assert not saving.dirty
        assert saving.failed(number, now)
        assert saving.dirty
        due = saving.due(wanted=True)
        assert due is not None
        assert due == saving.due(wanted=False)
        assert saving.begin(due - 0.001, wanted=True) is None
        waits.append(due - now)
        now = due
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    saving.begin(now, wanted=False)
    saving.saved(8)
    assert not saving.dirty
    assert saving.due(wanted=True) == 0.0


def test_a_failed_attempt_to_write_an_attempt() -> None:
    """STR-31: whoever reads the row must not be told less than what is known."""
    saving = saving_of()
    saving.begin(10.0, wanted=True)
    saving.failed(1, 10.0)
    assert saving.due(wanted=False) == 10.5
    assert saving.begin(10.5, wanted=False) == (2, True)


def test_a_hurry_does_not_shorten_a_pause_after_failure() -> None:
    """STR-31, API-8: a pause of the mapping writes at once what is new."""
    saving = saving_of()
    saving.changed()
    saving.begin(10.0, wanted=False)
    saving.saved(1)
    saving.changed()
    saving.hurry()
    assert saving.begin(10.1, wanted=False) == (2, True)
    saving.failed(2, 10.1)
    saving.hurry()
    assert saving.due(wanted=False) == 10.6


def test_answers_to_other_writes() -> None:
    """STR-31: they change nothing."""
    saving = saving_of()
    assert not saving.saved(1)
    saving.changed()
    saving.begin(10.0, wanted=False)
    assert not saving.saved(7)
    assert not saving.failed(7, 10.0)
    assert (saving.under_way, saving.dirty) == (1, False)
    assert saving.saved(1)
    assert not saving.failed(1, 10.0)
    assert not saving.dirty


def test_failed_writes_are_spread() -> None:
    """STR-23: shards that lost one store do not come back together."""
    dues = set()
    for seed in range(20):
        saving = Saving(Random(seed))
        saving.changed()
        saving.begin(0.0, wanted=False)
        saving.failed(1, 0.0)
        due = saving.due(wanted=False)
        assert due is not None
        assert 0.4 <= due <= 0.6
        dues.add(due)
    assert len(dues) == 20
