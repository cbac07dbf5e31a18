"""The group gate: one batch at a time for each group (FIFO)."""

from poller.core.lanes import GroupGate
from tests.unit.core.machine import batch, ids, message


def of(group: str, *names: str) -> list:
    return [message(name, group=group) for name in names]


def test_what_is_free_enters_as_a_whole() -> None:
    """FIFO-2: several groups in one batch, in the order in which they came."""
    gate = GroupGate()
    whole = batch(*of("g", "1"), *of("h", "2"), *of("g", "3"))
    assert gate.admit(whole) is whole
    assert (gate.active, gate.waiting, gate.waiting_messages) == (2, 0, 0)


def test_a_group_that_runs_holds_its_later_messages_back() -> None:
    """FIFO-1, FIFO-6: two batches that share a group never run at once; other groups pass."""
    gate = GroupGate()
    gate.admit(batch(*of("g", "1")))
    entered = gate.admit(batch(*of("g", "2"), *of("h", "3"), *of("g", "4"), number=2))
    assert ids(entered.messages) == ["3"]
    assert entered.size == batch(*of("h", "3")).size
    assert (gate.active, gate.waiting, gate.waiting_messages) == (2, 1, 2)
    assert gate.admit(batch(*of("g", "5"))).messages == ()


def test_after_a_success_what_waited_may_go_on_in_order() -> None:
    """FIFO-1: behind it, in the order in which it came."""
    gate = GroupGate()
    first = batch(*of("g", "1"), *of("h", "2"))
    gate.admit(first)
    gate.admit(batch(*of("g", "3")))
    gate.admit(batch(*of("h", "4"), *of("g", "5")))
    released, back = gate.leave(first.messages, set())
    assert (ids(released), back) == (["3", "5", "4"], ())
    assert (gate.active, gate.waiting) == (0, 0)


def test_after_a_failure_what_waited_goes_back() -> None:
    """FIFO-5, FIFO-6: the failed one comes again before it; other groups are not held up (FIFO-4)."""
    gate = GroupGate()
    first = batch(*of("g", "1"), *of("h", "2"))
    gate.admit(first)
    gate.admit(batch(*of("g", "3"), *of("h", "4")))
    released, back = gate.leave(first.messages, {"g"})
    assert (ids(released), ids(back)) == (["4"], ["3"])
    assert gate.admit(batch(*of("g", "5"))).messages


def test_a_group_that_left_is_free_at_once() -> None:
    """FIFO-10: the next receive may bring it again."""
    gate = GroupGate()
    first = batch(*of("g", "1"))
    gate.admit(first)
    assert gate.leave(first.messages, set()) == ([], ())
    assert ids(gate.admit(batch(*of("g", "2"))).messages) == ["2"]


def test_dropping_what_waits_leaves_what_runs() -> None:
    """FIFO-6: a stop gives back what waits; the group that runs stays taken."""
    gate = GroupGate()
    gate.admit(batch(*of("g", "1")))
    gate.admit(batch(*of("g", "2", "3")))
    assert ids(gate.drop_waiting()) == ["2", "3"]
    assert (gate.active, gate.waiting_messages) == (1, 0)
