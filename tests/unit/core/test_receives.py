"""When a receive goes out, how long it waits, and how a failing source is asked again (SQS-1, BAT-9)."""

import pytest

from poller.core.mapping import ProvisionedPollers
from poller.core.receives import Asked, Receives
from tests.unit.core.machine import Middle, mapping

TEN = Asked(10, None, 20.0)


def receives(longest_wait: int = 20, **fields: object) -> Receives:
    return Receives(mapping(**fields), Middle(), longest_wait)


def start(these: Receives, now: float = 0.0, window_left: float | None = None) -> tuple[int, int, float]:
    """(number, wait, deadline) of the next one."""
    wait = these.wait(draining=False, window_left=window_left)
    assert wait is not None
    poll, deadline = these.start(TEN, wait, now)
    return poll, wait, deadline


def test_one_long_poll_while_idle() -> None:
    """SQS-1, SUR-18: it waits 20 s, and there is one."""
    these = receives()
    assert these.wanted(0.0)
    poll, wait, deadline = start(these)
    assert (wait, deadline) == (20, 30.0)
    assert not these.wanted(1.0)
    assert (len(these), these.asked) == (1, 10)
    assert these.received(poll, 0) == TEN
    assert (len(these), these.asked) == (0, 0)
    assert these.wanted(20.0)


def test_the_owner_bounds_the_wait() -> None:
    """SQS-1: up to 20 s, and less for a quick stop."""
    assert start(receives(longest_wait=7))[1] == 7
    assert start(receives(longest_wait=60))[1] == 20
    assert start(receives(longest_wait=0))[1] == 0


def test_receives_beyond_the_first_wait_a_second() -> None:
    """SUR-18: when the backlog is gone, one long poll is left."""
    these = receives()
    these.received(start(these)[0], 10)
    assert [start(these)[1], start(these)[1]] == [20, 1]
    assert not these.wanted(0.0)


def test_provisioned_pollers_all_wait_long() -> None:
    """SQS-7: the minimum is in flight all the time."""
    these = receives(provisioned=ProvisionedPollers(2, 5))
    assert [start(these)[1], start(these)[1]] == [20, 20]
    assert not these.wanted(0.0)


def test_draining_waits_a_second() -> None:
    """SQS-1: who drains wants to know soon that nothing is left."""
    assert receives().wait(draining=True, window_left=None) == 1


@pytest.mark.parametrize(("left", "wait"), [(0.0, None), (0.99, None), (1.0, 1), (4.9, 4), (60.0, 20)])
def test_the_wait_is_cut_by_the_window(left: float, wait: int | None) -> None:
    """BAT-9, SUR-10: whole seconds within what is left of the window; with less than one left, none goes out."""
    assert receives(window=60.0).wait(draining=False, window_left=left) == wait


def test_a_receive_beside_others_never_outlasts_a_window() -> None:
    """BAT-9: another may open a batch while it waits, and it keeps a slot from that batch."""
    these = receives(window=3.0)
    poll, wait, _ = start(these)
    assert wait == 20  # alone it cannot: only its own answer opens a batch
    these.received(poll, 10)
    assert start(these)[1] == 3


def test_after_a_failure_probes_go_out_one_at_a_time() -> None:
    """SQS-1: short, without waiting for messages, in pauses that double to 2 s from start to start."""
    these = receives()
    now = 5.0
    these.failed(start(these, now)[0], now)
    pauses = []
    for _ in range(7):
        due = these.due()
        assert due is not None
        pauses.append(round(due - now, 3))
        assert not these.wanted(due - 0.001)
        now = due
        assert these.wanted(now)
        probes = [start(these, now)]
        if these.wanted(now):
            probes.append(start(these, now))  # a patient one went first
        assert not these.wanted(now + 1)
        assert these.due() is None
        for poll, wait, _ in probes:
            assert wait == 0
            these.failed(poll, now + 0.01)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_a_black_hole_is_probed_again_right_after_the_deadline() -> None:
    """SQS-1: a probe that ends by its deadline of 3 s is followed by the next within 0.1 s."""
    these = receives()
    these.failed(start(these)[0], 30.0)
    poll, _, deadline = start(these, 30.2)
    assert deadline == 3.0
    these.failed(poll, 33.2)
    assert these.due() == pytest.approx(33.3)


def test_a_slow_line_gets_patient_probes_beside_the_short_ones() -> None:
    """SQS-1: after 4, 8, 16 failures one probe has the full time; it hides the source's return from nobody."""
    these = receives()
    now = 0.0
    these.failed(start(these, now)[0], now)
    patient_after = []
    for failures in range(1, 17):
        now = these.due() or now
        poll, _, deadline = start(these, now)
        if deadline == 10.0:
            patient_after.append(failures)
            assert these.wanted(now)
            poll, _, deadline = start(these, now)
        assert deadline == 3.0
        these.failed(poll, now + 3.0)
    assert patient_after == [4, 8, 16]


def test_a_patient_probe_that_fails_is_followed_by_a_short_one() -> None:
    """SQS-1: also where there is room for one receive only, so that the two cannot go side by side."""
    these = receives(concurrency=1)
    now = 0.0
    these.failed(start(these, now)[0], now)
    for _ in range(3):
        now = these.due() or now
        these.failed(start(these, now)[0], now + 3.0)
    now = these.due() or now
    poll, _, deadline = start(these, now)
    assert deadline == 10.0
    these.failed(poll, now + 10.0)
    assert start(these, now + 10.0)[2] == 3.0


def test_what_was_in_flight_before_says_nothing_new() -> None:
    """SQS-1: three failures of one moment are one failure."""
    these = receives()
    for _ in range(2):
        these.received(start(these)[0], 10)
    first, second, third = (start(these)[0] for _ in range(3))
    these.failed(first, 1.0)
    due = these.due()
    these.failed(second, 1.05)
    these.failed(third, 1.06)
    assert these.due() == due
    assert due == pytest.approx(1.2)


def test_any_answer_ends_the_probing() -> None:
    """SQS-1: also that of a receive from before the failure."""
    these = receives()
    these.received(start(these)[0], 10)
    first, second = start(these)[0], start(these)[0]
    these.failed(first, 1.0)
    assert not these.wanted(1.01)
    these.received(second, 3)
    assert these.due() is None
    assert these.wanted(1.01)
    assert start(these)[1:] == (20, 30.0)


def test_what_may_hang_does_not_stand_in_for_a_receive() -> None:
    """API-16, SQS-1: one failed, another hangs until its deadline; once the source is back, work goes on."""
    these = receives()
    these.received(start(these)[0], 10)
    first, hanging = start(these)[0], start(these)[0]
    these.failed(first, 1.0)
    probe, _, _ = start(these, 1.2)
    these.received(probe, 10)
    assert start(these, 1.3)[1] == 20
    assert start(these, 1.3)[1] == 1
    assert not these.wanted(1.3)
    these.failed(hanging, 30.0)
    assert (len(these), these.asked) == (2, 20)


def test_a_patient_probe_stands_in_for_nobody() -> None:
    """SQS-1: it may hang until its deadline, and once the source is back a receive goes out beside it."""
    these, now, deadline = receives(), 0.0, 0.0
    these.failed(start(these)[0], now)
    while deadline < 10.0:
        due = these.due()
        assert due is not None
        now = due
        poll, _, deadline = start(these, now)
        if deadline < 10.0:
            these.failed(poll, now)
    assert these.wanted(now)
    probe, _, _ = start(these, now)
    these.received(probe, 0)
    assert len(these) == 1
    assert these.wanted(now)


def test_more_in_flight_than_wanted_is_not_too_few() -> None:
    """SQS-1: when the backlog is gone, those beyond the first end by themselves."""
    these = receives()
    these.received(start(these)[0], 10)
    polls = [start(these)[0] for _ in range(3)]
    these.received(polls.pop(), 0)
    assert not these.wanted(0.0)
