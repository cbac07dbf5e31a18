"""A queue's machine and its filter: what does not pass is deleted and never reaches a batch."""

import json

from poller.core.mapping import PollerSettings
from poller.core.messages import Filtered, Hold, Invoke, LeaseLapsed, Request
from poller.core.model import FunctionError, JsonObject
from tests.unit.core.machine import Rig, ids, wire

ORDERS = ('{"body":{"type":["order"]}}',)


def order(identifier: str, *, group: str | None = None, count: int = 1) -> JsonObject:
    return wire(identifier, group=group, count=count, body='{"type": "order"}')


def other(identifier: str, *, group: str | None = None, count: int = 1) -> JsonObject:
    return wire(identifier, group=group, count=count, body='{"type": "refund"}')


def test_what_does_not_pass_is_deleted_at_once_whatever_becomes_of_the_rest() -> None:
    """BAT-5, FLT-40: the function sees what passes, byte for byte; nothing waits for it."""
    rig = Rig(filters=ORDERS)
    rig.bring(other("a"), order("b"), other("c"))
    assert rig.running == [["b"]]
    assert ids(rig.deletes[0].messages) == ["a", "c"]
    assert ids(rig.one(Filtered).messages) == ["a", "c"]
    assert rig.runs[0].batch.messages[0].record["body"] == '{"type": "order"}'
    rig.deleted()
    rig.end(FunctionError("Boom", "no"))
    assert rig.deletes == []
    assert rig.machine.held == 0


def test_nothing_is_told_where_all_pass() -> None:
    """MET-2: no more than there is to count."""
    rig = Rig(filters=ORDERS)
    rig.bring(order("a"), order("b"))
    assert rig.running == [["a", "b"]]
    assert rig.all(Filtered) == []


def test_the_function_is_not_invoked_when_nothing_passes() -> None:
    """FLT-42, SUR-8: the queue is emptied all the same."""
    rig = Rig(filters=ORDERS)
    rig.bring(other("a"), other("b"))
    assert rig.runs == []
    rig.deleted()
    assert rig.machine.held == 0
    assert rig.polls, "it goes on receiving"


def test_any_of_several_filters_lets_a_message_pass() -> None:
    """FLT-1, FLT-32: and other keys than the body can be named."""
    rig = Rig(filters=(*ORDERS, '{"messageId":["z"]}'))
    rig.bring(other("a"), other("z"), order("b"))
    assert rig.running == [["z", "b"]]


def test_neither_batch_size_nor_bytes_count_what_is_filtered() -> None:
    """BAT-5."""
    rig = Rig(filters=ORDERS, batch_size=2, window=5.0)
    rig.bring(*[other(f"o{n}") for n in range(5)], order("a"))
    assert rig.runs == [], "one of two: it waits"
    rig.bring(order("b"))
    assert rig.running == [["a", "b"]]


def test_a_message_that_does_not_pass_blocks_no_group() -> None:
    """FIFO-9: it is deleted while the message before it runs, and the next ones wait for that one only."""
    rig = Rig(fifo=True, filters=ORDERS)
    rig.bring(order("a", group="g"), other("b", group="g"), order("c", group="g"), other("d", group="h"))
    assert rig.running == [["a", "c"]]
    assert ids(rig.deletes[0].messages) == ["b", "d"]
    rig.bring(other("e", group="h"), order("f", group="h"))
    assert rig.running == [["a", "c"], ["f"]]


def test_a_delete_that_fails_is_tried_again_and_then_left_to_the_queue() -> None:
    """SQS-26: a filtered message that comes again is filtered again."""
    rig = Rig(filters=ORDERS, visibility=30.0)
    rig.bring(other("a"))
    rig.deleted("a")
    rig.tick()
    assert ids(rig.deletes[0].messages) == ["a"]
    rig.at(40.0)
    rig.deleted("a")
    assert ids(rig.one(LeaseLapsed).messages) == ["a"]
    rig.bring(other("a", count=2))
    assert rig.deletes[0].messages[0].receipt == "a#2"
    assert rig.all(Invoke) == []


def test_one_that_comes_again_while_it_is_deleted_is_deleted_by_its_newest_receipt() -> None:
    """SQS-27."""
    rig = Rig(filters=ORDERS)
    rig.bring(other("a"))
    rig.bring(other("a", count=2))
    assert rig.all(Filtered) == [], "it was counted once"
    rig.deleted()
    assert rig.deletes[0].messages[0].receipt == "a#2"


def test_one_that_runs_is_not_judged_again() -> None:
    """FLT-43, SQS-27: what was taken is taken."""
    rig = Rig(filters=ORDERS)
    rig.bring(order("a"))
    rig.bring(other("a", count=2))
    assert rig.deletes == []
    rig.end()
    assert [one.receipt for one in rig.deletes[0].messages] == ["a#2"]


def test_a_paused_machine_gives_back_without_judging() -> None:
    """API-8: what comes after the pause is the next owner's business."""
    rig = Rig(filters=ORDERS)
    rig.ask(Request.PAUSE)
    rig.bring(other("a"), order("b"))
    assert rig.deletes == []
    assert ids(rig.changes[0].messages) == ["a", "b"]


def test_a_drain_ends_only_when_what_was_filtered_is_deleted() -> None:
    """FLT-40."""
    rig = Rig(filters=ORDERS)
    rig.ask(Request.DRAIN)
    rig.bring(other("a"))
    rig.bring()
    assert not rig.machine.at_rest
    rig.deleted()
    assert rig.machine.at_rest or rig.polls


def test_the_heartbeat_keeps_the_receipt_until_it_is_deleted() -> None:
    rig = Rig(filters=ORDERS, poller=PollerSettings(heartbeat=True))
    rig.bring(other("a"), order("b"))
    assert ids(rig.one(Hold).messages) == ["a", "b"]


def test_the_body_is_not_written_again() -> None:
    """FLT-37."""
    body = '{"type":  "order",\n "n": 1.50}'
    rig = Rig(filters=ORDERS)
    rig.bring(wire("a", body=body))
    assert rig.runs[0].batch.messages[0].record["body"] == body
    assert json.loads(body)["n"] == 1.5
