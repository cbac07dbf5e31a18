"""The machine and its batches: windows, attempts, stale receipts, what is settled how."""

import json

import pytest

from poller.core.mapping import PollerSettings
from poller.core.messages import (
    ChangeVisibility,
    Delete,
    Extended,
    Hold,
    InvocationOutcome,
    Invoke,
    LeaseLapsed,
    LetGo,
    Settled,
    Tick,
)
from poller.core.model import BatchTrigger, FunctionError, NotInvoked, SourceProblem, Succeeded, Throttled
from poller.core.payload import EVENT_LIMIT, event_size
from tests.unit.core.machine import Rig, ids, wire, wires

BOOM = FunctionError("Boom", "no")


def listing(*identifiers: str) -> Succeeded:
    return Succeeded(json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]}).encode())


def test_one_receive_is_one_batch() -> None:
    """BAT-3, BAT-8, GEN-3, SQS-46: it leaves at once and in the order in which it came."""
    rig = Rig()
    rig.at(1.0).bring(*wires("c", "a", "b"))
    batch = rig.one(Invoke).batch
    assert (ids(batch.messages), batch.trigger, batch.opened_at) == (["c", "a", "b"], BatchTrigger.IMMEDIATE, 1.0)
    assert batch.size == event_size([one.size for one in batch.messages])


@pytest.mark.parametrize(("window", "told"), [(0.0, []), (1.0, [None]), (300.0, [None])])
def test_a_window_shows_in_what_a_message_without_attributes_says(window: float, told: list[None]) -> None:
    """SQS-44: md5OfMessageAttributes is null with one and not there without."""
    rig = Rig(window=window, batch_size=1, visibility=1000.0)
    rig.bring(wire("a"))
    record = rig.runs[0].batch.messages[0].record
    assert [value for key, value in record.items() if key == "md5OfMessageAttributes"] == told


def test_a_receive_is_cut_by_batch_size() -> None:
    """BAT-1: (a), each part in a slot of its own."""
    rig = Rig(batch_size=2)
    rig.bring(*wires("a", "b", "c"))
    assert rig.running == [["a", "b"], ["c"]]


def test_what_has_no_id_or_receipt_is_left_alone() -> None:
    """SQS-40: it can neither be reported nor deleted."""
    rig = Rig()
    rig.bring({"Body": "x"}, wire("a") | {"ReceiptHandle": ""}, wire("b"))
    assert rig.running == [["b"]]


def test_a_window_is_kept_to_the_second() -> None:
    """BAT-1, BAT-4, BAT-9: (b); the wait of each receive is cut to what is left, and none outlasts it."""
    rig = Rig(batch_size=100, window=5.0)
    rig.at(10.0).bring(wire("a"))
    assert (rig.runs, rig.polls[0].wait) == ([], 5)
    rig.at(12.5).bring(wire("b"))
    assert rig.polls[0].wait == 2
    rig.at(14.5).bring()
    assert rig.polls == []
    rig.tick()
    assert rig.now == 15.0
    batch = rig.one(Invoke).batch
    assert (ids(batch.messages), batch.trigger) == (["a", "b"], BatchTrigger.WINDOW)
    assert rig.polls[0].wait == 20


def test_a_full_batch_does_not_wait_for_its_window() -> None:
    """BAT-1, BAT-8: (a) several receives fill it."""
    rig = Rig(batch_size=12, window=300.0, timeout=1.0, visibility=1000.0)
    rig.bring(*(wire(f"a{place}") for place in range(10)))
    rig.at(1.0).bring(*wires("b", "c", "d"))
    assert rig.one(Invoke).batch.trigger is BatchTrigger.SIZE
    assert len(rig.runs[0].batch.messages) == 12
    assert rig.machine.gauges().buffered == 1


def test_a_window_without_records_invokes_nothing() -> None:
    """BAT-4: and sets no clock."""
    rig = Rig(batch_size=100, window=5.0)
    rig.at(20.0).bring()
    assert rig.machine.deadline() == 60.0
    assert rig.runs == []


def test_on_a_busy_mapping_the_window_begins_when_a_slot_is_free() -> None:
    """BAT-4: the later of the first record and the end of the invocation."""
    rig = Rig(batch_size=4, window=5.0, concurrency=2, visibility=100.0)
    rig.bring(*wires("a", "b", "c", "d"))
    rig.at(1.0).bring(*wires("e", "f", "g", "h", "i"))
    assert rig.running == [["a", "b", "c", "d"], ["e", "f", "g", "h"]]
    assert rig.machine.gauges().buffered == 1
    assert rig.polls == []
    rig.at(20.0).end()
    assert len(rig.polls) == 1
    assert rig.polls[0].wait <= 5
    rig.at(24.5).bring()
    rig.tick()
    assert rig.now == 25.0
    assert rig.one(Invoke).batch.opened_at == 1.0


def test_the_end_of_a_batch_beside_a_free_slot_moves_no_window() -> None:
    """BAT-4: one of two slots was free all the time, so the window of 5 s began with its first message."""
    rig = Rig(batch_size=10, window=5.0, concurrency=2, visibility=100.0)
    rig.bring(*(wire(f"m{place}") for place in range(10)))
    rig.at(1.0).bring(wire("x"))
    rig.at(3.0).end()
    rig.at(6.0).feed(Tick())
    assert rig.running == [["x"]]


def test_a_window_begins_when_a_fallen_limit_has_risen_again() -> None:
    """BAT-4, SQS-24: three batches run where two may; the success at 3 s gives back more slots than the one."""
    rig = Rig(batch_size=10, window=5.0, visibility=100.0)
    for place in range(4):
        rig.bring(*(wire(f"m{place}-{one}") for one in range(10)))
    rig.at(1.0).end(BOOM)
    assert (rig.machine.gauges().limit, len(rig.runs)) == (2, 3)
    rig.bring(wire("x"))
    rig.at(3.0).end()
    assert (rig.machine.gauges().limit, len(rig.runs)) == (7, 2)
    rig.at(7.9).feed(Tick())
    assert len(rig.runs) == 2
    rig.at(8.0).feed(Tick())
    assert rig.running[2:] == [["x"]]


def test_a_receive_in_flight_keeps_its_room_when_a_window_ends() -> None:
    """SQS-2, BAT-9: with one slot the open batch waits for the receive, whose wait is within the window."""
    rig = Rig(batch_size=100, window=3.0, concurrency=1)
    rig.at(10.0).bring(wire("a"))
    assert rig.polls[0].wait == 3
    # the answer is a moment late, after the window: the batch takes it along
    assert rig.machine.deadline() == 60.0
    rig.at(13.01).bring(wire("b"))
    assert rig.running == [["a", "b"]]


def test_bytes_close_a_batch() -> None:
    """BAT-1, BAT-2: (c), and what did not fit opens the next."""
    rig = Rig(batch_size=10, window=0.0)
    rig.bring(*(wire(f"m{place}", body="x" * 1_000_000) for place in range(8)))
    assert [len(run.batch.messages) for run in rig.runs] == [6, 2]
    assert all(run.batch.size <= EVENT_LIMIT for run in rig.runs)


def test_a_message_that_can_never_be_sent() -> None:
    """BAT-11, SQS-21, SQS-25: not invoked, not deleted, told as failed; those around it run."""
    rig = Rig()
    rig.bring(wire("a"), wire("monster", body="\x01" * 1_048_576), wire("b"))
    assert rig.running == [["a"], ["b"]]
    settled = rig.one(Settled)
    assert (settled.outcome, ids(settled.failed)) == (InvocationOutcome.ERROR, ["monster"])
    assert "6291456" in settled.detail
    assert rig.all(Delete) == []
    assert rig.all(ChangeVisibility) == []


def test_a_message_that_can_just_be_sent() -> None:
    """BAT-2, BAT-11: an event of exactly 6,291,456 bytes is invoked."""
    rig = Rig()
    rig.bring(wire("a", body=""))
    around = rig.runs[0].batch.size
    rig.bring(wire("b", body="x" * (6_291_456 - around)))
    assert [run.batch.size for run in rig.runs] == [around, 6_291_456]
    assert rig.all(Settled) == []


# --- outcomes ---


def test_success_deletes() -> None:
    """SQS-20, MET-5: all of it, with the receipts it came with."""
    rig = Rig()
    rig.bring(*wires("a", "b"))
    rig.end()
    assert [one.receipt for one in rig.one(Delete).messages] == ["a#1", "b#1"]
    settled = rig.one(Settled)
    assert (settled.outcome, ids(settled.succeeded), settled.failed) == (InvocationOutcome.SUCCESS, ["a", "b"], ())
    assert settled.stale == 0


@pytest.mark.parametrize(
    "result", [BOOM, FunctionError("Sandbox.Timedout", "", timed_out=True), FunctionError("E", "m", handled=True)]
)
def test_a_function_error_leaves_everything_alone(result: FunctionError) -> None:
    """SQS-21, SQS-9, FIFO-5, MET-4: no delete, no visibility change, no attempt of ours."""
    rig = Rig()
    rig.bring(*wires("a", "b"))
    rig.end(result)
    assert [type(command) for command in rig.told] == [Settled]
    assert ids(rig.one(Settled).failed) == ["a", "b"]
    assert rig.budget.used == 0
    assert rig.machine.deadline() == 60.0


def test_what_comes_back_may_meet_others() -> None:
    """SQS-22: the failed ones are single messages again."""
    rig = Rig()
    rig.bring(*wires("a", "b"))
    rig.end(BOOM)
    rig.at(31.0).bring(*wires("b", count=2), *wires("c"))
    assert rig.running == [["b", "c"]]
    assert rig.runs[0].batch.messages[0].receive_count == 2


def test_a_partial_response() -> None:
    """PBR-10, MET-4: the listed stay as they are, the others are deleted at once."""
    rig = Rig(report_batch_item_failures=True)
    rig.bring(*wires("a", "b", "c"))
    rig.end(listing("b"))
    assert ids(rig.one(Delete).messages) == ["a", "c"]
    assert rig.all(ChangeVisibility) == []
    settled = rig.one(Settled)
    assert (settled.outcome, ids(settled.failed)) == (InvocationOutcome.PARTIAL, ["b"])


def test_a_response_that_cannot_be_read() -> None:
    """PBR-11, SUR-5: nothing is deleted."""
    rig = Rig(report_batch_item_failures=True)
    rig.bring(*wires("a", "b"))
    rig.end(listing("who"))
    assert [type(command) for command in rig.told] == [Settled]


# --- not reached ---


def test_a_throttled_batch_is_tried_again_as_it_was() -> None:
    """SQS-23, SQS-24, BAT-6, MET-3: after 1 s, 2 s, 4 s; nothing is deleted, nothing joins it."""
    rig = Rig(concurrency=1, visibility=60.0)
    rig.bring(*wires("a", "b"))
    for attempt, pause in enumerate((1.0, 2.0, 4.0), start=1):
        began = rig.now
        rig.end(Throttled("busy") if attempt % 2 else NotInvoked("refused"))
        settled = rig.one(Settled)
        assert (settled.outcome, settled.retry_in) == (InvocationOutcome.THROTTLED, pause)
        assert settled.succeeded == settled.failed == ()
        rig.tick()
        assert rig.now == began + pause
        batch = rig.one(Invoke).batch
        assert (ids(batch.messages), batch.not_invoked, batch.number) == (["a", "b"], attempt, 1)
    assert rig.budget.used > 0


def test_a_throttled_batch_is_let_go_before_its_receipts_are_stale() -> None:
    """SQS-23, SUR-1: at 29 s the lease of 30 s ends; the attempt that would come later is not waited for."""
    rig = Rig(visibility=30.0)
    rig.bring(*wires("a"))
    started = [0.0]
    while True:
        rig.end(Throttled("busy"))
        if rig.one(Settled).retry_in is None:
            break
        rig.tick()
        started.append(rig.now)
    assert started == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert ids(rig.one(Settled).failed) == ["a"]
    assert rig.all(Delete) == rig.all(ChangeVisibility) == []
    assert rig.budget.used == 0


def test_an_attempt_that_wakes_up_late_is_not_made() -> None:
    """SQS-23: the process slept over the lease: no invocation with stale receipts, and nothing is deleted."""
    rig = Rig(visibility=30.0)
    rig.bring(*wires("a"))
    rig.end(Throttled("busy"))
    assert rig.machine.deadline() == 1.0
    rig.at(29.5).describe()
    assert ids(rig.one(LeaseLapsed).messages) == ["a"]
    assert rig.runs == []
    assert rig.budget.used == 0
    assert rig.machine.gauges().in_flight_batches == 0


@pytest.mark.parametrize("group", [None, "g"])
def test_an_answer_that_is_noticed_late_gives_no_longer_lease(group: str | None) -> None:
    """SQS-23, FIFO-6: with a wait of 20 s and 12 s of visibility the receipts are over at 32 s at the latest."""
    rig = Rig(fifo=group is not None, visibility=12.0)
    assert (rig.polls[0].wait, rig.polls[0].deadline) == (20, 30.0)
    rig.at(29.9).bring(wire("a", group=group))
    rig.end(Throttled("busy"))
    rig.tick()
    assert (rig.now, rig.running) == (30.9, [["a"]])
    rig.end(Throttled("busy"))
    assert (rig.one(Settled).retry_in, rig.runs) == (None, [])


@pytest.mark.parametrize("group", [None, "g"])
def test_what_is_over_when_it_is_noticed_is_not_invoked(group: str | None) -> None:
    """SQS-23, FIFO-6: nor kept; what the queue brings again at once is invoked, for it is noticed at once."""
    rig = Rig(fifo=group is not None, visibility=6.0)
    rig.at(28.0).bring(wire("a", group=group))
    assert ids(rig.one(LeaseLapsed).messages) == ["a"]
    assert (rig.runs, rig.all(Delete), rig.all(ChangeVisibility), rig.budget.used) == ([], [], [], 0)
    rig.polls = rig.polls[-1:]
    rig.at(40.0).bring(wire("a", group=group, count=2))
    assert rig.running == [["a"]]


@pytest.mark.parametrize(("visibility", "way"), [(0.0, 1.0), (1.0, 1.75), (5.0, 2.9)])
def test_a_slow_way_there_does_not_use_up_a_short_lease(visibility: float, way: float) -> None:
    """SQS-23: a receive without a wait, whose connection took its time: else it would come again for ever."""
    rig = Rig(visibility=visibility)
    while rig.polls:
        rig.fail()
    rig.tick()
    assert (rig.polls[0].wait, rig.polls[0].deadline) == (0, 3.0)
    rig.at(rig.now + way).bring(wire("a"))
    assert rig.running == [["a"]]


def test_a_short_wait_and_a_slow_way_there_leave_a_lease() -> None:
    """SQS-23: the receives of a backlog wait for a second; what they bring can be tried for 1 s + 2 s - 0.2 s."""
    rig = Rig(visibility=2.0)
    rig.bring(*(wire(f"m{place}") for place in range(10)))
    rig.polls = [next(poll for poll in rig.polls if poll.wait == 1)]
    rig.at(2.7).bring(wire("a"))
    assert rig.running[-1] == ["a"]


def test_a_batch_that_had_to_wait_loses_what_went_stale() -> None:
    """SQS-23, BAT-6: the limit fell while receives were under way; what came later is still good and runs."""
    rig = Rig(batch_size=20, window=1.0, timeout=1.0, visibility=30.0, concurrency=3)
    for place in range(4):
        rig.bring(*(wire(f"m{place}-{one}") for one in range(10)))
    assert (len(rig.runs), len(rig.polls)) == (2, 2)
    rig.at(0.5).end(BOOM)
    assert rig.machine.gauges().limit == 1
    assert [poll.wait for poll in rig.polls] == [1, 1]
    rig.bring(wire("old"))
    rig.at(1.0).bring(wire("new"))
    assert (len(rig.runs), rig.polls) == (1, [])
    rig.at(28.75).end()
    rig.tick()
    assert rig.now == 29.75  # their leases end at 29.5 and at 30
    assert rig.running == [["new"]]
    assert ids(rig.one(LeaseLapsed).messages) == ["old"]
    assert rig.one(Invoke).batch.size == event_size([rig.runs[0].batch.messages[0].size])


def test_after_throttles_the_attempts_keep_to_the_fallen_limit() -> None:
    """SQS-24: two throttled batches, a concurrency of 1: the second attempt waits for the first to end."""
    rig = Rig(concurrency=2, visibility=300.0)
    rig.bring(*(wire(f"a{place}") for place in range(10)))
    rig.bring(*(wire(f"b{place}") for place in range(10)))
    rig.end(Throttled("busy"))
    rig.end(Throttled("busy"))
    assert rig.machine.gauges().limit == 1
    rig.tick()
    assert rig.now == 1.0
    assert len(rig.runs) == 1
    assert rig.machine.deadline() == 60.0
    rig.at(2.0).end()
    assert len(rig.runs) == 1


def test_failures_slow_down_and_successes_win_back() -> None:
    """SQS-24: halved once a second; without partial responses a function error counts, with them it does not."""
    for partial, limit in ((False, 2), (True, 5)):
        rig = Rig(report_batch_item_failures=partial)
        rig.bring(*wires("a"))
        rig.at(1.0).end(BOOM)
        assert rig.machine.gauges().limit == limit


def test_an_empty_queue_takes_the_concurrency_back() -> None:
    """SQS-5: once nothing runs any more."""
    rig = Rig(concurrency=50)
    for place in range(40):
        rig.at(place * 0.3).bring(*(wire(f"m{place}-{one}") for one in range(10)))
        rig.end()
        rig.deleted()
    assert rig.machine.gauges().limit > 5
    rig.bring()
    assert rig.machine.gauges().limit == 5


# --- leases and the heartbeat ---


def test_without_the_heartbeat_nobody_extends() -> None:
    """SQS-9: receipts are neither held nor let go."""
    rig = Rig()
    rig.bring(*wires("a"))
    assert rig.all(Hold) == []
    rig.end()
    rig.deleted()
    assert rig.all(LetGo) == []


def test_with_the_heartbeat_receipts_are_held_from_receive_to_delete() -> None:
    """SQS-9: held as soon as they are here, let go when they are deleted."""
    rig = Rig(poller=PollerSettings(heartbeat=True))
    rig.bring(*wires("a", "b"))
    assert [type(command) for command in rig.told][:2] == [Hold, Invoke]
    assert (ids(rig.one(Hold).messages), rig.one(Hold).seconds) == (["a", "b"], 30)
    rig.end()
    assert rig.all(LetGo) == []
    rig.deleted()
    assert rig.one(LetGo).ids == ("a", "b")


def test_a_late_answer_and_a_second_receive_are_held_by_the_visibility_they_came_with() -> None:
    """SQS-8, SQS-9, SQS-27: not by what is left of it when they are noticed."""
    rig = Rig(visibility=12.0, window=10.0, timeout=5.0, batch_size=20, poller=PollerSettings(heartbeat=True))
    assert (rig.polls[0].visibility_timeout, rig.polls[0].wait) == (45, 20)
    rig.at(29.0).bring(wire("a"))
    assert (rig.one(Hold).seconds, rig.one(Hold).messages[0].lease_until) == (45, 64.0)
    rig.bring(wire("a", count=2))
    assert (rig.one(Hold).seconds, rig.one(Hold).messages[0].receipt) == (45, "a#2")


def test_failed_messages_are_let_go_at_once() -> None:
    """SQS-9, SQS-21: they come back when their visibility ends, so nobody may extend it."""
    rig = Rig(poller=PollerSettings(heartbeat=True))
    rig.bring(*wires("a"))
    rig.end(BOOM)
    assert rig.one(LetGo).ids == ("a",)


def test_an_extended_batch_can_be_tried_again_for_longer() -> None:
    """SQS-23, SQS-9: the lease is what the heartbeat made of it."""
    rig = Rig(visibility=10.0, poller=PollerSettings(heartbeat=True))
    rig.bring(*wires("a"))
    rig.at(8.5).feed(Extended(("a", "gone"), 17.5))
    rig.at(9.0).end(Throttled("busy"))
    assert rig.one(Settled).retry_in == 1.0
    rig.tick()
    assert rig.running == [["a"]]


def test_a_handler_that_outlives_the_lease_is_told() -> None:
    """SUR-19, SUR-17: its messages are probably delivered twice; the delete is tried all the same."""
    rig = Rig(visibility=30.0)
    rig.bring(*wires("a", "b"))
    rig.at(40.0).end()
    assert rig.one(Settled).stale == 2
    assert ids(rig.one(Delete).messages) == ["a", "b"]


def test_a_queue_that_hides_nothing() -> None:
    """SUR-19: somebody set the visibility timeout to 0: what arrives is invoked at once, not dropped."""
    rig = Rig(visibility=0.0)
    rig.bring(*wires("a"))
    assert rig.running == [["a"]]
    assert rig.all(LeaseLapsed) == []


# --- what the gauges say ---


def test_the_gauges() -> None:
    """MET-10: as it stands, at any moment."""
    rig = Rig(concurrency=2, visibility=100.0)
    gauges = rig.machine.gauges()
    assert (gauges.polls, gauges.polling, gauges.limit, gauges.oldest_pending_since) == (1, True, 2, None)
    rig.at(1.0).bring(*(wire(f"m{place}") for place in range(10)))
    rig.at(2.0).bring(*(wire(f"n{place}") for place in range(10)))
    gauges = rig.machine.gauges()
    assert (gauges.in_flight_batches, gauges.in_flight_messages, gauges.polls) == (2, 20, 0)
    assert (gauges.oldest_pending_since, gauges.invoking_since, gauges.polling) == (1.0, 1.0, False)
    rig.at(3.0).end(Throttled("busy"))
    gauges = rig.machine.gauges()
    assert (gauges.in_flight_batches, gauges.limit, gauges.groups_blocked) == (1, 1, 0)
    assert gauges.oldest_pending_since == 1.0


def test_what_waits_for_a_slot_is_buffered() -> None:
    """SQS-24, MET-10: two receives were under way when the limit fell to one."""
    rig = Rig(concurrency=3, visibility=100.0)
    rig.bring(*(wire(f"a{place}") for place in range(10)))
    rig.at(1.0).end(BOOM)
    assert (rig.machine.gauges().limit, len(rig.polls)) == (1, 2)
    rig.bring(*(wire(f"b{place}") for place in range(10)))
    rig.bring(*wires("x", "y"))
    gauges = rig.machine.gauges()
    assert (gauges.in_flight_messages, gauges.buffered) == (10, 2)
    rig.at(2.0).end()
    assert rig.running == [["x", "y"]]
    assert gauges.buffered_bytes == rig.runs[0].batch.size
    assert (rig.machine.gauges().buffered, rig.machine.gauges().buffered_bytes) == (0, 0)


def test_a_source_that_fails_does_not_touch_running_batches() -> None:
    """API-16: no attempt is counted, no state is lost."""
    rig = Rig()
    rig.bring(*wires("a"))
    rig.at(1.0).fail(SourceProblem.DENIED)
    rig.end()
    assert ids(rig.one(Delete).messages) == ["a"]
