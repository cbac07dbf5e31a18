"""The machine and what it gives away: deletes, duplicates, delays of failed messages."""

import json

import pytest

from poller.core.mapping import PollerSettings, RetryDelay
from poller.core.messages import (
    ChangeVisibility,
    Delete,
    Hold,
    LeaseLapsed,
    LetGo,
    ReceivedAgain,
    ReleaseReason,
)
from poller.core.model import FunctionError, Succeeded, Throttled
from tests.unit.core.machine import Rig, ids, wire, wires

BOOM = FunctionError("Boom", "no")
SLOW_RETRY = PollerSettings(retry_delay=RetryDelay(2.0, 60.0))


def test_a_big_batch_is_deleted_in_tens() -> None:
    """SQS-20: twenty-five messages, three calls, each id once."""
    rig = Rig(batch_size=25, window=1.0)
    for place in range(3):
        rig.bring(*(wire(f"m{place}-{one}") for one in range(10)))
    assert len(rig.runs[0].batch.messages) == 25
    rig.end()
    assert [len(call.messages) for call in rig.deletes] == [10, 10]
    rig.deleted()
    rig.deleted()
    assert len(rig.deletes[0].messages) == 5


def test_a_refused_delete_is_tried_again_while_the_lease_lasts() -> None:
    """SQS-26, MET-5: the other is done; this one is tried in growing pauses and then given up, told by name."""
    rig = Rig(visibility=10.0)
    rig.bring(*wires("a", "b"))
    rig.at(1.0).end()
    rig.deleted("b")
    times = []
    while rig.machine.deadline() != 60.0:
        rig.tick()
        times.append(round(rig.now, 2))
        assert ids(rig.one(Delete).messages) == ["b"]
        rig.deleted("b")
    assert times == [1.2, 1.6, 2.4, 4.0, 7.2]
    assert ids(rig.one(LeaseLapsed).messages) == ["b"]
    assert "delivered again" in rig.one(LeaseLapsed).detail
    assert rig.budget.used == 0
    assert rig.runs == []


def test_the_mapping_goes_on_while_a_delete_fails() -> None:
    """SQS-26: receives, batches and other deletes are not held up."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.end()
    rig.deleted("a")
    rig.bring(*wires("b"))
    rig.end()
    assert ids(rig.one(Delete).messages) == ["b"]


# --- the same message twice ---


def test_a_message_that_comes_again_while_it_runs() -> None:
    """SQS-27, SUR-17: it runs once, and the delete uses the newest receipt."""
    rig = Rig()
    rig.bring(*wires("a", "b"))
    rig.at(31.0).bring(*wires("a", count=2), *wires("c"))
    assert rig.running == [["a", "b"], ["c"]]
    rig.end()
    assert [one.receipt for one in rig.one(Delete).messages] == ["a#2", "b#1"]


def test_of_what_comes_those_that_came_before_are_told() -> None:
    """MET-1: by their receive counts, also while they are held; a count that cannot be read is a first one."""
    rig = Rig(concurrency=3)
    odd = wire("d")
    odd["Attributes"] = {}
    told = rig.bring(*wires("a"), *wires("b", count=3), *wires("c", count=2), odd)
    assert [one for one in told if isinstance(one, ReceivedAgain)] == [ReceivedAgain(2)]
    told = rig.bring(*wires("a", count=2), *wires("e"))
    assert [one for one in told if isinstance(one, ReceivedAgain)] == [ReceivedAgain(1)]
    told = rig.bring(*wires("f"))
    assert [one for one in told if isinstance(one, ReceivedAgain)] == []


def test_a_message_that_comes_again_while_it_waits_for_its_window() -> None:
    """SQS-27, SQS-23: it is there once, with the newest receipt and its lease."""
    rig = Rig(batch_size=100, window=25.0, timeout=1.0, visibility=27.0, concurrency=3)
    rig.bring(*wires("a"))
    rig.at(24.0).bring(*wires("a", count=2))
    rig.tick()
    assert rig.running == [["a"]]
    message = rig.runs[0].batch.messages[0]
    assert (message.receipt, message.receive_count, message.record["receiptHandle"]) == ("a#2", 2, "a#2")


def test_a_message_that_comes_again_while_it_is_deleted() -> None:
    """SQS-27: never in two calls at once; whatever the older call says, the newest receipt is sent after it."""
    for refused in ((), ("a",)):
        rig = Rig()
        rig.bring(*wires("a"))
        rig.end()
        rig.at(31.0).bring(*wires("a", count=2))
        assert (rig.runs, rig.all(Delete)) == ([], [])
        rig.deleted(*refused)
        assert [one.receipt for one in rig.one(Delete).messages] == ["a#2"]
        rig.deleted()
        assert rig.budget.used == 0


def test_a_message_twice_in_one_receive() -> None:
    """SQS-27: one of them, in one batch."""
    rig = Rig()
    rig.bring(*wires("a"), *wires("b"), *wires("a", count=2))
    assert [sorted(batch) for batch in rig.running] == [["a", "b"]]
    assert rig.budget.used == sum(one.size for one in rig.runs[0].batch.messages)


def test_a_message_that_comes_after_it_was_deleted_is_new() -> None:
    """GEN-2, SUR-17: at least once: SQS may show it again, and then it runs again."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.end()
    rig.deleted()
    rig.bring(*wires("a", count=2))
    assert rig.running == [["a"]]


def test_the_heartbeat_is_told_of_the_newest_receipt() -> None:
    """SQS-27, SQS-9: it extends with that one from now on."""
    rig = Rig(poller=PollerSettings(heartbeat=True))
    rig.bring(*wires("a"))
    rig.at(31.0).bring(*wires("a", count=2))
    assert [one.receipt for one in rig.one(Hold).messages] == ["a#2"]


# --- Poller.RetryDelay ---


def test_a_failed_message_is_told_when_to_come_back() -> None:
    """SUR-7: in whole seconds, doubling with its receives; it is out of our hands then."""
    rig = Rig(poller=SLOW_RETRY)
    rig.bring(*wires("a"), *wires("b", count=3))
    rig.end(BOOM)
    change = rig.one(ChangeVisibility)
    assert (ids(change.messages), change.seconds, change.reason) == (["a", "b"], (2, 8), ReleaseReason.FAILED)
    assert rig.all(Delete) == []
    assert rig.budget.used == 0
    rig.changed()


def test_only_the_listed_ones_are_told() -> None:
    """PBR-10, SUR-7: the others are deleted."""
    rig = Rig(poller=SLOW_RETRY, report_batch_item_failures=True)
    rig.bring(*wires("a", "b"))
    rig.end(Succeeded(json.dumps({"batchItemFailures": [{"itemIdentifier": "b"}]}).encode()))
    assert ids(rig.one(ChangeVisibility).messages) == ["b"]
    assert ids(rig.one(Delete).messages) == ["a"]


def test_the_newest_receipt_is_told_in_tens() -> None:
    """SUR-7, SQS-27: at most ten entries in a call."""
    rig = Rig(batch_size=12, window=1.0, poller=SLOW_RETRY)
    rig.bring(*(wire(f"m{one}") for one in range(10)))
    rig.bring(*wires("x", "y"))
    rig.at(31.0).bring(*wires("m0", count=2))
    rig.end(BOOM)
    assert [len(change.messages) for change in rig.changes] == [10, 2]
    assert rig.changes[0].messages[0].receipt == "m0#2"
    assert rig.changes[0].seconds[:2] == (4, 2)


def test_a_change_of_visibility_stops_the_heartbeat() -> None:
    """SUR-7, SQS-9: or the next beat would undo it."""
    rig = Rig(poller=PollerSettings(heartbeat=True, retry_delay=RetryDelay(1.0, 10.0)))
    rig.bring(*wires("a"))
    rig.end(BOOM)
    assert rig.one(ChangeVisibility).seconds == (1,)
    assert rig.one(LetGo).ids == ("a",)


def test_what_never_ran_is_not_hurried_back() -> None:
    """SQS-23, INV-4: a target that asks for more time than the lease has must not be called again at once, nor
    receives be counted up to the dead-letter queue meanwhile.
    """
    rig = Rig(poller=SLOW_RETRY)
    rig.bring(*wires("a"))
    rig.end(Throttled("busy", retry_after=60.0))
    assert rig.all(ChangeVisibility) == []
    assert rig.budget.used == 0


@pytest.mark.parametrize("heartbeat", [False, True])
def test_nothing_is_kept_of_what_was_deleted(heartbeat: bool) -> None:
    """SQS-20: memory stays flat."""
    rig = Rig(poller=PollerSettings(heartbeat=heartbeat))
    for place in range(50):
        rig.bring(*wires(f"m{place}"))
        rig.end()
        rig.deleted()
    machine = rig.machine
    assert len(machine._held) == len(machine._deletes) == rig.budget.used == 0
    assert machine.gauges().oldest_pending_since is None
