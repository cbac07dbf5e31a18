"""When which receipts are extended (SQS-9, with Poller.Heartbeat)."""

from itertools import pairwise
from math import ceil

import pytest

from poller.core.heartbeat import (
    GONE,
    Dropped,
    Extend,
    ExtendDone,
    HeartbeatMachine,
    Held,
    NotExtended,
)
from poller.core.messages import Extended, Tick
from poller.core.model import Message

START = 1000.0


def message(name: str, lease: float = 29.0, now: float = START, receipt: str | None = None) -> Message:
    return Message(name, receipt or f"receipt-{name}", None, 1, 0.0, 100, now + lease, {}, now)


def messages(count: int, **fields) -> tuple[Message, ...]:
    return tuple(message(f"m{number}", **fields) for number in range(count))


def holding(*held: Message, now: float = START, seconds: int = 0) -> HeartbeatMachine:
    machine = HeartbeatMachine()
    assert machine.handle(Held(held, seconds or ceil(held[0].lease_until - now)), now) == []
    return machine


def tick(machine: HeartbeatMachine) -> tuple[list, float]:
    due = machine.deadline()
    assert due is not None
    return machine.handle(Tick(), due), due


def test_nothing_held_needs_no_timer():
    machine = HeartbeatMachine()
    assert machine.deadline() is None
    assert machine.handle(Tick(), START) == []


def test_sqs_9_extends_at_half_of_the_lease_by_its_length():
    """SQS-9's option: "now + visibility timeout", before it runs out."""
    machine = holding(message("a"))
    assert machine.deadline() == START + 14.5
    assert machine.handle(Tick(), START + 13.0) == []
    orders, _ = tick(machine)
    assert orders == [Extend((("a", "receipt-a"),), 29)]
    assert machine.deadline() is None  # until the call has ended


def test_little_was_left_of_a_lease_and_it_is_extended_by_all_of_it():
    """SQS-9: the answer was noticed late: in time for what is left, and then it is as long as any other."""
    machine = holding(message("a", lease=1.0), seconds=30)
    (order,), due = tick(machine)
    assert (order.seconds, due) == (30, START + 0.5)
    machine.handle(ExtendDone(order.entries, order.seconds, due, {}), due)
    assert machine.deadline() == due + 15.0


def test_an_extension_is_told_and_begins_a_new_lease():
    machine = holding(message("a"))
    (order,), due = tick(machine)
    told = machine.handle(ExtendDone(order.entries, order.seconds, due, {}), due + 0.2)
    assert told == [Extended(("a",), due + 29)]
    assert machine.deadline() == due + 14.5


def test_the_new_lease_counts_from_before_the_call():
    machine = holding(message("a"))
    (order,), due = tick(machine)
    machine.handle(ExtendDone(order.entries, order.seconds, due, {}), due + 10)
    (told,) = machine.handle(Tick(), due + 29)
    assert isinstance(told, NotExtended)


def test_tens_and_what_is_due_soon_goes_along():
    machine = holding(*messages(23))
    machine.handle(Held(tuple(message(f"later{n}", now=START + 0.5) for n in range(7)), 29), START + 0.5)
    orders, _ = tick(machine)
    assert [len(order.entries) for order in orders] == [10, 10, 10]


def test_different_lengths_are_different_calls():
    machine = holding(message("a", lease=29.0))
    machine.handle(Held((message("b", lease=30.0),), 30), START)
    orders, _ = tick(machine)
    assert [(order.entries[0][0], order.seconds) for order in orders] == [("a", 29), ("b", 30)]


def test_dropped_ones_are_left_alone():
    machine = holding(*messages(3))
    machine.handle(Dropped(("m0", "m2", "unknown")), START + 1)
    orders, _ = tick(machine)
    assert [order.entries for order in orders] == [(("m1", "receipt-m1"),)]


def test_everything_dropped_needs_one_look_and_no_timer_then():
    machine = holding(*messages(3))
    machine.handle(Dropped(("m0", "m1", "m2")), START + 1)
    assert tick(machine)[0] == []
    assert machine.deadline() is None


def test_a_failed_entry_is_tried_again_while_the_lease_lasts():
    machine = holding(message("a"), message("b"))
    (order,), due = tick(machine)
    ends = START + 29
    told = machine.handle(ExtendDone(order.entries, 29, due, {"a": "InternalError"}, "InternalError"), due + 1)
    assert told[0] == Extended(("b",), due + 29)
    assert isinstance(told[1], NotExtended)
    assert told[1].ids == ("a",)
    tries = 0
    while True:
        orders, now = tick(machine)
        again = [order for order in orders if isinstance(order, Extend)]
        if not again or again[0].entries[0][0] != "a":
            break
        assert now < ends
        tries += 1
        machine.handle(ExtendDone(again[0].entries, 29, now, {"a": ""}, "down"), now + 0.05)
    assert 3 <= tries <= 40
    assert len(machine) == 1


def test_a_failure_after_the_lease_is_not_tried_again():
    machine = holding(message("a"))
    (order,), due = tick(machine)
    (told,) = machine.handle(ExtendDone(order.entries, 29, due, {"a": ""}, "timed out"), START + 29)
    assert "no longer ours" in told.detail
    assert len(machine) == 0


def test_receipts_that_are_gone_are_forgotten():
    for code in (*GONE, "AWS.SimpleQueueService.MessageNotInflight"):
        machine = holding(message("a"))
        (order,), due = tick(machine)
        (told,) = machine.handle(ExtendDone(order.entries, 29, due, {"a": code}, code), due)
        assert isinstance(told, NotExtended)
        assert len(machine) == 0
        assert machine.deadline() is None


def test_a_late_tick_does_not_extend_what_has_run_out():
    machine = holding(message("a"))
    (told,) = machine.handle(Tick(), START + 29)
    assert isinstance(told, NotExtended)
    assert "visible again" in told.detail
    assert len(machine) == 0


def test_sqs_27_a_new_receipt_replaces_the_old_one():
    """SQS-27: the answer about the old receipt is nobody's business any more."""
    machine = holding(message("a"))
    (order,), due = tick(machine)
    machine.handle(Held((message("a", now=due, receipt="newer"),), 29), due)
    assert machine.handle(ExtendDone(order.entries, 29, due, {"a": "MessageNotInflight"}), due) == []
    assert machine.handle(ExtendDone(order.entries, 29, due, {}), due) == []
    orders, _ = tick(machine)
    assert orders == [Extend((("a", "newer"),), 29)]


def test_an_answer_about_a_dropped_message_is_not_told():
    machine = holding(message("a"))
    (order,), due = tick(machine)
    machine.handle(Dropped(("a",)), due)
    assert machine.handle(ExtendDone(order.entries, 29, due, {"a": "MessageNotInflight"}), due) == []
    assert machine.deadline() is None


def test_a_message_that_came_too_late_is_not_held():
    assert len(holding(message("a", lease=0.0))) == 0


@pytest.mark.parametrize("lease", [3600.0, 3598.0, 43_150.0])
def test_no_longer_than_twelve_hours_after_the_receive(lease: float):
    """SQS-9: nor shorter than it is, nor again for nothing."""
    machine = holding(message("a", lease=lease))
    asked: list[tuple[float, int]] = []
    while True:
        (order,), now = tick(machine)
        if isinstance(order, NotExtended):
            break
        asked.append((now, order.seconds))
        machine.handle(ExtendDone(order.entries, order.seconds, now, {}), now)
    ends = [START + lease, *(now + seconds for now, seconds in asked)]
    assert all(before < after < START + 43_200.0 for before, after in pairwise(ends))
    assert START + 43_200.0 - ends[-1] <= 6
    assert "12 hours" in order.detail
    assert len(machine) == 0


def test_a_visibility_of_one_second_works():
    machine = holding(message("a", lease=0.9))
    (order,), due = tick(machine)
    assert (order.seconds, due) == (1, START + 0.45)


def extending(*names: str) -> tuple[HeartbeatMachine, Extend, float]:
    """Leases of 29 s, and the call under way that extends them all."""
    machine = holding(*(message(name) for name in names))
    (order,), due = tick(machine)
    return machine, order, due


def test_what_was_dropped_during_a_call_says_nothing_about_the_others():
    """SQS-9: its place in the call is anywhere."""
    machine, order, due = extending("a", "b")
    machine.handle(Dropped(("a",)), due)
    told = machine.handle(ExtendDone(order.entries, order.seconds, due, {}), due)
    assert told == [Extended(("b",), due + 29)]
    assert machine.deadline() == due + 14.5


def test_what_is_gone_says_nothing_about_the_others():
    """SQS-9: one receipt is no good any more, and those after it in the call are extended again in time."""
    machine, order, due = extending("a", "b")
    told = machine.handle(ExtendDone(order.entries, order.seconds, due, {"a": min(GONE)}, "no"), due)
    assert told == [Extended(("b",), due + 29), NotExtended(("a",), "no; they are no longer ours")]
    assert (len(machine), machine.deadline()) == (1, due + 14.5)


def test_nothing_is_extended_twice_at_once():
    """SQS-9: what is in a call that has not ended is not looked at, however often others are due."""
    machine, order, due = extending("a")
    machine.handle(Held((message("b", now=due),), 29), due)
    (other,), later = tick(machine)
    assert [name for name, _ in other.entries] == ["b"]
    assert (order.seconds, later) == (29, due + 14.5)
    assert machine.deadline() is None


def test_a_failure_tells_why_and_is_tried_again_within_seconds():
    """SQS-9: a quarter of what is left, at most five seconds."""
    for detail, words in (("busy", "busy"), ("", "refused")):
        machine, order, due = extending("a")
        (told,) = machine.handle(ExtendDone(order.entries, order.seconds, due, {"a": "Busy"}, detail), due)
        assert told == NotExtended(("a",), f"{words}; tried again while they are ours")
        assert machine.deadline() == due + 14.5 / 4
        for ended in (START + 29.0, START + 29.5):
            machine, order, due = extending("a")
            (told,) = machine.handle(ExtendDone(order.entries, order.seconds, due, {"a": "Busy"}, detail), ended)
            assert told == NotExtended(("a",), f"{words}; they are no longer ours")
            assert len(machine) == 0
    for moment, wait in ((300.0, 5.0), (599.9, 0.1)):
        machine = holding(message("long", lease=600.0))
        (order,), _ = tick(machine)
        now = START + moment
        machine.handle(ExtendDone(order.entries, order.seconds, now, {"long": "Busy"}), now)
        assert machine.deadline() == now + wait


def test_a_message_that_came_again_too_late_is_not_held_any_more():
    """SQS-27: its old receipt is nothing to extend."""
    machine = holding(message("a"))
    machine.handle(Held((message("a", lease=-1.0, receipt="newer"),), 29), START)
    assert len(machine) == 0


def test_what_is_due_within_a_second_goes_along_and_no_more():
    """SQS-9: of a short lease an eighth."""
    for lease, near, far in ((40.0, 1.0, 1.1), (4.0, 0.5, 0.55)):
        for later, count in ((near, 2), (far, 1)):
            machine = holding(message("a", lease=lease), message("b", lease=lease + 2 * later))
            machine._leases["b"].seconds = int(lease)  # the same call
            orders, _ = tick(machine)
            assert sum(len(order.entries) for order in orders) == count, (lease, later)
