"""The machine and its receives: permits before polls, growth, failures of the source, the shared bytes."""

import pytest

from poller.core.budget import ByteBudget
from poller.core.mapping import ProvisionedPollers
from poller.core.messages import Describe, Receive, ReceiveFailed, Request, Tick
from poller.core.model import FunctionError, SourceProblem, Throttled
from poller.core.queue_consumer import QueueConsumer
from tests.unit.core.machine import Middle, Rig, mapping, wire, wires

BOOM = FunctionError("Boom", "no")


def ten(first: int) -> list:
    return [wire(f"m{place}") for place in range(first, first + 10)]


def test_the_first_receive() -> None:
    """SQS-1, SQS-9: as soon as the queue is known: ten messages, 20 s, the queue's own visibility."""
    rig = Rig()
    assert rig.all(Receive) == [Receive(1, 10, 20, None, 30.0)]


def test_nothing_is_received_before_the_queue_is_known() -> None:
    """SQS-8: the lease of a receipt depends on the queue's visibility timeout."""
    fresh = QueueConsumer(mapping(), Middle(), ByteBudget())
    assert fresh.deadline() is None
    rig = Rig(enabled=False)
    assert rig.polls == []
    assert rig.ask(Request.RESUME) == [Receive(1, 10, 20, None, 30.0)]


def test_an_idle_queue_has_one_receive_in_flight() -> None:
    """SUR-18, SQS-5: each empty answer is followed by one more long poll."""
    rig = Rig()
    for second in range(1, 10):
        rig.at(second * 20.0).bring()
        assert rig.all(Receive) == [rig.polls[0]]
        assert (len(rig.polls), rig.polls[0].wait) == (1, 20)


def test_full_receives_bring_more_receives() -> None:
    """SQS-3: one more for each full receive, and those beyond the first wait a second only."""
    rig = Rig()
    rig.at(0.1).bring(*ten(0))
    assert [poll.wait for poll in rig.polls] == [20, 1]
    rig.at(0.2).bring(*ten(10))
    assert [poll.wait for poll in rig.polls] == [1, 1, 1]
    rig.at(1.2).bring()
    assert [poll.wait for poll in rig.polls] == [1, 1]


@pytest.mark.parametrize(
    ("batch_size", "concurrency", "asked"),
    [(10, 1, [10]), (3, 1, [3]), (3, 2, [6]), (3, 4, [9]), (4, 5, [8]), (1, 2, [2]), (7, 9, [7]), (1, 50, [5])],
)
def test_a_receive_asks_for_what_free_slots_can_run(batch_size: int, concurrency: int, asked: list[int]) -> None:
    """SQS-2, SUR-1, SUR-2: whole batches, as many as there are slots (five in the beginning, SQS-3)."""
    rig = Rig(batch_size=batch_size, concurrency=concurrency)
    assert [poll.maximum for poll in rig.polls] == asked


def test_with_every_slot_taken_nothing_is_received() -> None:
    """SQS-2, SUR-1: concurrency 2 and a long backlog: two batches run, and not one message is asked for."""
    rig = Rig(concurrency=2)
    rig.bring(*ten(0))
    rig.bring(*ten(10))
    assert len(rig.runs) == 2
    assert rig.polls == []
    assert not rig.machine.gauges().polling
    rig.at(1.0).end()
    assert [poll.maximum for poll in rig.polls] == [10]
    rig.end()
    assert len(rig.polls) == 2


def test_asked_and_buffered_messages_count_against_the_slots() -> None:
    """SQS-2: with a window, what is in the open batch and in flight has its place before more is asked for."""
    rig = Rig(batch_size=15, window=10.0, concurrency=1)
    assert [poll.maximum for poll in rig.polls] == [10]
    rig.at(1.0).bring(*ten(0))
    assert [poll.maximum for poll in rig.polls] == [5]
    rig.at(2.0).bring(*wires("a", "b"))
    assert [poll.maximum for poll in rig.polls] == [3]


def test_maximum_concurrency_is_a_hard_limit_for_polling_too() -> None:
    """SQS-6: two slots, two receives of ten, however much waits."""
    rig = Rig(concurrency=100, maximum_concurrency=2)
    rig.bring(*ten(0))
    assert rig.machine.gauges().limit == 2
    assert [poll.maximum for poll in rig.polls] == [10]
    rig.bring(*ten(10))
    assert (rig.polls, len(rig.runs)) == ([], 2)


def test_a_batch_that_waits_keeps_its_slot() -> None:
    """SQS-2, SQS-23: a throttled batch will run again, so its slot is not given to the queue."""
    rig = Rig(concurrency=1)
    rig.bring(*ten(0))
    rig.end(Throttled("busy"))
    assert rig.polls == []


def test_a_limit_that_fell_holds_receives_back() -> None:
    """SQS-24: with the concurrency down to 1 and one batch running nothing is asked for."""
    rig = Rig(concurrency=2)
    rig.bring(*ten(0))
    rig.bring(*ten(10))
    rig.at(1.0).end(BOOM)
    assert (rig.machine.gauges().limit, rig.polls) == (1, [])


def test_provisioned_pollers_are_in_flight_from_the_start() -> None:
    """SQS-7, MET-10: the minimum at once, the maximum when receives come back full."""
    rig = Rig(provisioned=ProvisionedPollers(2, 3), concurrency=50)
    assert len(rig.polls) == rig.machine.gauges().polls == 2
    for place in range(5):
        rig.bring(*ten(place * 10))
    assert len(rig.polls) == rig.machine.gauges().polls == 3
    assert [poll.wait for poll in rig.polls].count(1) >= 1


def test_a_window_that_needs_it_stretches_the_visibility() -> None:
    """SQS-8: window + timeout + 30 s on each receive, and the lease is reckoned with it."""
    rig = Rig(visibility=30.0, window=20.0, timeout=15.0, batch_size=100)
    assert rig.polls[0].visibility_timeout == 65
    rig.at(1.0).bring(wire("a"))
    rig.tick()
    assert rig.now == 21.0
    assert rig.running == [["a"]]
    assert rig.runs[0].batch.messages[0].lease_until == 1.0 + 65 - 1


def test_the_lease_is_that_of_the_receive_not_of_today() -> None:
    """SQS-8: the queue's visibility was raised while the receive was under way."""
    rig = Rig(visibility=10.0, window=20.0, timeout=15.0, batch_size=100)
    rig.visibility = 600.0
    rig.describe()
    rig.at(1.0).bring(wire("a"))
    rig.tick()
    assert rig.runs[0].batch.messages[0].lease_until == 1.0 + 65 - 1


def test_the_queue_is_described_once_a_minute() -> None:
    """SQS-8: its visibility timeout may change. One look is under way at a time, however long it takes."""
    rig = Rig()
    rig.tick()
    assert (rig.now, rig.told) == (60.0, [Describe()])
    assert rig.machine.deadline() is None
    assert rig.at(125.0).feed(Tick()) == []
    assert rig.not_described() == [Describe()], "the minute was over long ago"
    rig.at(126.0).describe()
    rig.tick()
    assert (rig.now, rig.told) == (186.0, [Describe()])
    rig.at(187.0).not_described()
    rig.tick()
    assert (rig.now, rig.told) == (246.0, [Describe()])


@pytest.mark.parametrize("problem", list(SourceProblem))
@pytest.mark.parametrize("silent", [False, True])
def test_work_resumes_soon_after_the_source_returns(problem: SourceProblem, silent: bool) -> None:
    """API-16, SQS-1: within 5 s, whether failures show at once or by the deadline of the probe, and whenever."""
    for away in range(1, 200, 7):
        rig = Rig()
        rig.at(1.0).fail(problem)
        back = 1.0 + away / 3
        failing: list[tuple[float, int]] = []
        while True:
            due = rig.machine.deadline()
            if failing and (due is None or min(failing)[0] <= due):
                ends, poll = failing.pop(failing.index(min(failing)))
                rig.at(ends).feed(ReceiveFailed(poll, problem, "away"))
            else:
                rig.tick()
            if rig.now >= back and rig.all(Receive):
                break
            for probe in rig.all(Receive):
                assert probe.wait == 0
                failing.append((rig.now + (probe.deadline if silent else 0.01), probe.poll))
        assert rig.now - back <= 5.0
        rig.polls = rig.all(Receive)
        answered = len(rig.polls)
        for place in range(answered):
            rig.bring(wire(f"m{place}"))
        assert len(rig.runs) == answered
        assert [poll.wait for poll in rig.polls] == [20], "work goes on, whatever still hangs"


def test_room_for_one_message_is_room_for_a_probe() -> None:
    """API-16, SQS-2: and the mapping polls, as far as the gauges tell, also between two probes."""
    rig = Rig(batch_size=1, concurrency=1)
    rig.at(1.0).fail()
    assert rig.polls == []
    assert rig.machine.gauges().polling
    assert rig.machine.deadline() == 1.2
    rig.tick()
    assert [poll.maximum for poll in rig.polls] == [1]


def test_a_failing_source_is_asked_seldom() -> None:
    """SQS-1: no busy loop: some thirty probes in a minute of refusals."""
    rig = Rig()
    rig.fail()
    probes = 0
    while rig.now < 60.0:
        rig.tick()
        while rig.polls:
            probes += 1
            rig.fail()
    assert 25 <= probes <= 45


def test_a_probe_without_room_waits_for_a_slot_and_not_for_the_clock() -> None:
    """SQS-2, API-16: the source fails, and then every slot is taken: no busy loop until one is free."""
    rig = Rig(concurrency=2, visibility=100.0)
    rig.bring(*ten(0))
    rig.at(1.0).fail()
    rig.at(1.1).end(Throttled("busy"))
    assert rig.machine.gauges().limit == 1
    assert rig.machine.deadline() == 2.1, "the next attempt, not the probe that was due at 1.2"
    rig.tick()
    assert (len(rig.runs), rig.polls) == (1, [])
    assert rig.machine.deadline() == 60.0
    rig.at(5.0).end()
    assert [poll.wait for poll in rig.polls] == [0]


def test_a_drain_that_fails_to_ask_makes_no_busy_loop() -> None:
    """API-16: a probe is due, and so is a reading, which comes first and fails at once."""
    rig = Rig()
    rig.bring(*ten(0))
    rig.ask(Request.DRAIN)
    rig.end()
    rig.deleted()
    rig.at(1.0).bring()
    rig.fail()
    assert rig.one(Describe)
    seen = []
    while rig.now < 10.0:
        if rig.all(Describe):
            rig.not_described()
            assert rig.all(Describe) == []
        rig.tick()
        seen.append(rig.told)
        while rig.polls:
            rig.fail()
    assert len(seen) <= 40


def test_a_failure_takes_one_slot_only() -> None:
    """SQS-1: while the source fails one probe is in flight, with the backlog forgotten."""
    rig = Rig()
    for place in range(3):
        rig.bring(*ten(place * 10))
    while rig.polls:
        rig.at(rig.now + 0.01).fail()
    rig.tick()
    assert len(rig.polls) == 1
    assert (rig.polls[0].wait, rig.polls[0].deadline) == (0, 3.0)


# --- bytes of the process ---


def test_a_full_budget_holds_receives_back() -> None:
    """SQS-2: buffers are bounded in bytes; the deletes free them again."""
    rig = Rig(budget=ByteBudget(1000))
    rig.bring(wire("a", body="x" * 2000), wire("b"))
    assert rig.polls == []
    rig.at(0.5).end()
    assert rig.polls == []
    rig.deleted()
    assert len(rig.polls) == 1
    assert rig.budget.used == 0


def test_who_holds_nothing_may_poll_whatever_others_hold() -> None:
    """SQS-2: a mapping that holds much never stops another."""
    budget = ByteBudget(1000)
    much, little = Rig(budget=budget), Rig(budget=budget)
    much.bring(wire("a", body="x" * 2000))
    little.bring()
    assert (much.polls, len(little.polls)) == ([], 1)
    little.bring(wire("b"))
    assert little.polls == []
    little.end()
    little.deleted()
    assert len(little.polls) == 1


def test_bytes_that_another_mapping_gives_back_are_noticed() -> None:
    """SQS-2: within a second, although nothing happens in this mapping."""
    budget = ByteBudget(1000)
    much, other = Rig(budget=budget), Rig(budget=budget)
    much.bring(wire("a", body="x" * 2000))
    other.at(1.0).bring(wire("b"))
    assert other.polls == []
    assert not other.machine.gauges().polling, "who waits for bytes is not stuck"
    much.end()
    much.deleted()
    other.tick()
    assert other.now == 2.0
    assert len(other.polls) == 1


def test_too_many_undeleted_messages_hold_receives_back() -> None:
    """SQS-26: while deletes fail the backlog of acknowledged messages is bounded."""
    rig = Rig(visibility=3600.0)
    for place in range(250):
        if not rig.polls:
            break
        rig.bring(*ten(place * 10))
        while rig.runs:
            rig.end()
    assert rig.polls == []
    assert 2000 < len(rig.machine._deletes) <= 2100
    rig.deleted()
    while rig.deletes and not rig.polls:
        rig.deleted()
    assert rig.polls
