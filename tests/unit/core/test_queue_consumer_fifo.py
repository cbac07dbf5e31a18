"""The machine on a FIFO queue: order in a group, groups side by side (FIFO)."""

import json

from poller.core.mapping import PollerSettings, RetryDelay
from poller.core.messages import ChangeVisibility, Delete, Invoke, LeaseLapsed, ReleaseReason, Request, Settled
from poller.core.model import FunctionError, Succeeded, Throttled
from tests.unit.core.machine import Rig, ids, wire, wires

BOOM = FunctionError("Boom", "no")


def of(group: str, *names: str, count: int = 1) -> list:
    return wires(*names, group=group, count=count)


def overtaken(**fields: object) -> Rig:
    """m1 of group g still runs when its visibility ends: SQS shows it again, and m2 and m3 behind it."""
    rig = Rig(fifo=True, visibility=30.0, **fields)
    rig.bring(*of("g", "m1"))
    rig.at(31.0).bring(*of("g", "m1", count=2), *of("g", "m2", "m3"))
    return rig


def test_one_receive_is_one_batch_of_several_groups() -> None:
    """FIFO-2, OPEN-11, FIFO-1: as SQS gave it, not split by group."""
    rig = Rig(fifo=True)
    rig.bring(*of("g", "1"), *of("h", "2"), *of("g", "3"))
    assert rig.running == [["1", "2", "3"]]
    assert rig.machine.gauges().groups_active == 2


def test_receives_ask_for_one_batch_each() -> None:
    """FIFO-2, SQS-2: BatchSize messages, one receive for each free slot."""
    rig = Rig(fifo=True, batch_size=3, concurrency=2)
    assert [poll.maximum for poll in rig.polls] == [3]
    rig.bring(*of("g", "1", "2", "3"))
    assert [poll.maximum for poll in rig.polls] == [3]
    rig.bring(*of("h", "4", "5", "6"))
    assert (len(rig.runs), rig.polls) == (2, [])


def test_groups_run_side_by_side() -> None:
    """FIFO-3, FIFO-8: up to the concurrency."""
    rig = Rig(fifo=True, batch_size=1, concurrency=3, maximum_concurrency=2)
    rig.bring(*of("g", "1"))
    rig.bring(*of("h", "2"))
    assert (rig.running, rig.polls) == ([["1"], ["2"]], [])


def test_a_group_of_five_with_batch_size_one_is_worked_through_in_order() -> None:
    """FIFO-3, FIFO-10: each delete goes at once, because it is what frees the group."""
    rig = Rig(fifo=True, batch_size=1)
    for name in "12345":
        rig.bring(*of("g", name))
        rig.end()
        assert ids(rig.one(Delete).messages) == [name]
        rig.deleted()
    assert rig.machine.gauges().groups_active == 0


def test_deletes_of_a_fifo_queue_do_not_wait_for_each_other() -> None:
    """FIFO-10: a second call goes out while the first is under way."""
    rig = Rig(fifo=True)
    rig.bring(*of("g", "1"))
    rig.bring(*of("h", "2"))
    rig.end()
    rig.end()
    assert [ids(call.messages) for call in rig.deletes] == [["1"], ["2"]]


def test_a_group_does_not_run_twice_at_once() -> None:
    """FIFO-1, FIFO-6: what SQS shows too early waits for the batch before it."""
    rig = overtaken()
    assert rig.running == [["m1"]]
    gauges = rig.machine.gauges()
    assert (gauges.groups_waiting, gauges.buffered) == (1, 2)
    rig.at(32.0).end()
    assert [one.receipt for one in rig.one(Delete).messages] == ["m1#2"]
    assert rig.running == [["m2", "m3"]]


def test_other_groups_do_not_wait() -> None:
    """FIFO-3, FIFO-4: only the group that runs is held back."""
    rig = overtaken()
    rig.at(32.0).bring(*of("g", "m4"), *of("h", "x"))
    assert rig.running == [["m1"], ["x"]]
    rig.end()
    assert rig.running == [["x"], ["m2", "m3", "m4"]]
    assert rig.runs[1].batch.opened_at == 31.0, "since when the oldest of them waits"


def test_after_a_failure_what_waited_is_given_back() -> None:
    """FIFO-5, FIFO-1: m1 comes again first; what was behind it must not run before."""
    rig = overtaken()
    rig.at(32.0).end(BOOM)
    change = rig.one(ChangeVisibility)
    assert (ids(change.messages), change.seconds, change.reason) == (
        ["m2", "m3"],
        (0, 0),
        ReleaseReason.GROUP_BLOCKED,
    )
    assert (rig.runs, rig.budget.used) == ([], 0)
    rig.changed()
    rig.at(60.0).bring(*of("g", "m1", count=3), *of("g", "m2", "m3", count=2))
    assert rig.running == [["m1", "m2", "m3"]]


def test_what_waited_past_its_lease_is_let_go() -> None:
    """FIFO-6: with all behind it in the group; SQS brings them back in order."""
    rig = overtaken()
    rig.at(65.0).end()
    assert ids(rig.one(LeaseLapsed).messages) == ["m2", "m3"]
    assert rig.runs == []
    rig.deleted()
    assert rig.budget.used == 0
    rig.at(66.0).bring(*of("g", "m2", "m3", count=2))
    assert rig.running == [["m2", "m3"]]


def test_a_stale_message_takes_those_behind_it_along() -> None:
    """FIFO-6, FIFO-1: m2 is stale and m3 is not, but m3 must not run before m2; the other group runs."""
    rig = Rig(fifo=True, visibility=30.0)
    rig.bring(*of("g", "m1"), *of("h", "h1"))
    rig.at(31.0).bring(*of("g", "m1", count=2), *of("g", "m2"), *of("h", "h1", count=2), *of("h", "h2"))
    rig.at(59.0).bring(*of("g", "m3"), *of("h", "h2", count=2))
    rig.at(61.0).end()
    assert ids(rig.one(LeaseLapsed).messages) == ["m2", "m3"]
    assert rig.running == [["h2"]]
    rig.end()
    assert rig.machine.gauges().groups_active == 0


def test_what_waits_behind_a_lapsed_attempt_is_given_back() -> None:
    """FIFO-6, SQS-23: the queue brings m1 again, and m2 must not run before it."""
    rig = Rig(fifo=True, visibility=30.0)
    rig.bring(*of("g", "m1"))
    rig.at(1.0).end(Throttled("busy"))
    rig.bring(*of("g", "m2"))
    rig.at(29.5).describe()
    assert ids(rig.one(LeaseLapsed).messages) == ["m1"]
    change = rig.one(ChangeVisibility)
    assert (ids(change.messages), change.seconds, change.reason) == (["m2"], (0,), ReleaseReason.GROUP_BLOCKED)
    assert (rig.runs, rig.machine.gauges().groups_active) == ([], 0)


def test_a_receive_that_needs_two_batches_runs_them_one_after_the_other() -> None:
    """FIFO-1, BAT-2: 6 MB hold six of these ten; the rest of the group waits, another group does not."""
    rig = Rig(fifo=True, visibility=300.0)
    big = [wire(f"m{place}", group="g", body="x" * 1_000_000) for place in range(9)]
    rig.bring(*big, wire("h", group="h", body="x"))
    assert rig.running == [[f"m{place}" for place in range(6)], ["h"]]
    rig.end()
    assert rig.running == [["h"], ["m6", "m7", "m8"]]


def test_what_waited_keeps_the_limits_of_a_batch() -> None:
    """BAT-1, BAT-2, FIFO-1: several batches, one after the other."""
    rig = Rig(fifo=True, batch_size=4, visibility=30.0)
    rig.bring(*of("g", "m0"))
    rig.at(31.0).bring(*of("g", "m0", count=2), *of("g", "m1", "m2", "m3"))
    rig.bring(*of("g", "m4", "m5", "m6"))
    for expected in (["m0"], ["m1", "m2", "m3", "m4"], ["m5", "m6"]):
        assert rig.running == [expected]
        rig.end()
    assert rig.runs == []
    assert rig.machine.gauges().groups_active == 0


def test_a_failed_batch_holds_up_its_groups_only() -> None:
    """FIFO-4, FIFO-5: both groups of the batch wait in SQS for their visibility; a third goes on."""
    rig = Rig(fifo=True)
    rig.bring(*of("g", "1"), *of("h", "2"))
    rig.end(BOOM)
    assert [type(command) for command in rig.told if not hasattr(command, "poll")] == [Settled]
    rig.bring(*of("i", "3"))
    assert rig.running == [["3"]]


def test_messages_behind_a_failed_one_are_deleted() -> None:
    """FIFO-7, SUR-6: exactly what is listed stays."""
    rig = Rig(fifo=True, report_batch_item_failures=True)
    rig.bring(*of("g", "1", "2", "3"))
    rig.end(Succeeded(json.dumps({"batchItemFailures": [{"itemIdentifier": "1"}]}).encode()))
    assert ids(rig.one(Delete).messages) == ["2", "3"]
    assert rig.all(ChangeVisibility) == []


def test_a_throttled_batch_keeps_its_groups() -> None:
    """FIFO-1, SQS-23: until the next attempt nothing of the group runs; the gauge tells that it is blocked."""
    rig = Rig(fifo=True, visibility=30.0)
    rig.bring(*of("g", "m1"))
    rig.at(28.0).end(Throttled("busy", retry_after=0.5))
    assert rig.one(Settled).retry_in is None, "the lease ends at 29"
    rig = Rig(fifo=True, visibility=30.0)
    rig.bring(*of("g", "m1"))
    rig.at(1.0).end(Throttled("busy"))
    assert rig.machine.gauges().groups_blocked == 1
    rig.bring(*of("g", "m2"))
    assert rig.runs == []
    rig.tick()
    assert rig.running == [["m1"]]
    rig.end()
    assert rig.running == [["m2"]]


def test_a_message_that_can_never_be_sent_blocks_its_group_only() -> None:
    """BAT-11, FIFO-5: what was received behind it goes back; SQS redrives the monster in the end."""
    rig = Rig(fifo=True)
    rig.bring(*of("h", "x"), wire("monster", group="g", body="\x01" * 1_048_576), *of("g", "m2"))
    assert rig.running == [["x"]]
    change = rig.one(ChangeVisibility)
    assert (ids(change.messages), change.reason) == (["m2"], ReleaseReason.GROUP_BLOCKED)
    assert ids(rig.one(Settled).failed) == ["monster"]


def test_a_group_is_given_back_as_a_whole() -> None:
    """FIFO-6, API-8: a stop gives back what waits behind a running batch, in order."""
    rig = overtaken()
    rig.ask(Request.STOP)
    assert ids(rig.one(ChangeVisibility).messages) == ["m2", "m3"]
    rig.changed()
    assert rig.running == [["m1"]]
    rig.bring()
    rig.end()
    rig.deleted()
    assert rig.machine.at_rest


def test_a_pause_leaves_no_group_behind() -> None:
    """API-8, FIFO-1: after the resume the group may run again."""
    rig = Rig(fifo=True)
    rig.bring(*of("g", "m1"))
    rig.end(Throttled("busy"))
    rig.ask(Request.PAUSE)
    assert ids(rig.one(ChangeVisibility).messages) == ["m1"]
    rig.changed()
    assert rig.machine.gauges().groups_active == 0
    rig.ask(Request.RESUME)
    rig.bring(*of("g", "m1", count=2))
    assert rig.running == [["m1"]]


def test_a_delay_is_the_same_for_all_of_a_group() -> None:
    """FIFO-1, SUR-7: given back one by one they could overtake each other."""
    rig = Rig(fifo=True, poller=PollerSettings(retry_delay=RetryDelay(1.0, 60.0)))
    rig.bring(*of("g", "1", count=3), *of("g", "2"), *of("h", "3"))
    rig.end(BOOM)
    assert rig.one(ChangeVisibility).seconds == (4, 4, 1)


def test_the_tenants_of_a_fair_queue_hold_nobody_back() -> None:
    """FIFO-12: on a standard queue MessageGroupId locks nothing."""
    rig = Rig(fifo=False)
    rig.bring(*of("tenant", "1"))
    rig.bring(*of("tenant", "2"))
    assert rig.running == [["1"], ["2"]]
    assert rig.machine.gauges().groups_active == 0


def test_too_many_messages_of_blocked_groups_hold_receives_back() -> None:
    """FIFO-6, SQS-2: what may not run is bounded; the end of the batch before them lets receives go on."""
    rig = Rig(fifo=True, visibility=30.0)
    rig.bring(*of("g", "m0"))
    place = 0
    while rig.polls:
        rig.bring(*of("g", *(f"x{place}-{one}" for one in range(10))))
        place += 1
    gauges = rig.machine.gauges()
    assert 1000 <= gauges.buffered < 1050
    assert not gauges.polling, "who waits for a handler is not stuck"
    ended = 0
    while not rig.polls:
        rig.end()
        assert rig.one(Invoke)
        ended += 1
    assert ended == gauges.buffered // 10 - 99
