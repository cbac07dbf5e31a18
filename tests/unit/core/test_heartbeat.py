"""When which receipts are extended (SQS-9, with Poller.Heartbeat)."""

from poller.core.heartbeat import (
    GONE,
    LONGEST,
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


def holding(*held: Message, now: float = START) -> HeartbeatMachine:
    machine = HeartbeatMachine()
    assert machine.handle(Held(held), now) == []
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
    machine.handle(Held(tuple(message(f"later{n}", now=START + 0.5) for n in range(7))), START + 0.5)
    orders, _ = tick(machine)
    assert [len(order.entries) for order in orders] == [10, 10, 10]


def test_different_lengths_are_different_calls():
    machine = holding(message("a", lease=29.0), message("b", lease=30.0))
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
    machine.handle(Held((message("a", now=due, receipt="newer"),)), due)
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


def test_no_longer_than_twelve_hours_after_the_receive():
    machine = holding(message("a", lease=3600.0))
    asked: list[tuple[float, int]] = []
    while True:
        (order,), now = tick(machine)
        if isinstance(order, NotExtended):
            break
        asked.append((now, order.seconds))
        machine.handle(ExtendDone(order.entries, order.seconds, now, {}), now)
    assert all(now + seconds < START + LONGEST for now, seconds in asked)
    assert START + LONGEST - asked[-1][0] - asked[-1][1] <= 6
    assert "12 hours" in order.detail
    assert len(machine) == 0


def test_a_visibility_of_one_second_works():
    machine = holding(message("a", lease=0.9))
    (order,), due = tick(machine)
    assert (order.seconds, due) == (1, START + 0.45)
