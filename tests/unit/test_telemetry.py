"""Each event and command that crosses the driver, as numbers and log lines."""

import logging
import sys
from typing import get_args

import pytest

from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.messages import (
    ChangeVisibility,
    Command,
    Delete,
    Deleted,
    Describe,
    Described,
    DescribeFailed,
    Event,
    Extended,
    Filtered,
    Finished,
    Hold,
    InvocationOutcome,
    Invoke,
    Invoked,
    LeaseLapsed,
    LetGo,
    Receive,
    Received,
    ReceivedAgain,
    ReceiveFailed,
    ReleaseReason,
    Request,
    Requested,
    Settled,
    Tick,
    VisibilityChanged,
)
from poller.core.model import (
    Batch,
    BatchTrigger,
    Instant,
    MappingState,
    Message,
    QueueFacts,
    SourceKind,
    SourceProblem,
    Succeeded,
)
from poller.metrics_stats import NO_GAUGES, MappingStats
from poller.telemetry import Telemetry
from poller.telling import MOST_DETAIL, MOST_KINDS, TELL_EVERY, Repeats, one_line

WALL = 1_700_000_000.0
SECRET = "AQEB-the-receipt-handle"


def at(mono: float) -> Instant:
    return Instant(WALL + mono, mono)


@pytest.fixture
def stats():
    arn = SourceArn("arn:aws:sqs:eu-west-1:123456789012:orders", "aws", "eu-west-1", "123456789012", "orders")
    mapping = EventSourceMapping(
        "u", "orders", SourceKind.SQS, arn, "python:shop:handler", "arn:aws:lambda:::shop"
    )
    return MappingStats(mapping, lambda: NO_GAUGES, since=0.0)


@pytest.fixture
def telemetry(stats, caplog):
    caplog.set_level(logging.DEBUG, logger="poller")
    return Telemetry(stats)


def tell(telemetry, word, now):
    """As the driver does it."""
    told = telemetry.words.get(type(word))
    if told is not None:
        told(word, now)


def message(name="m0", receives=1, sent_at=WALL):
    return Message(
        id=name,
        receipt=SECRET,
        group=None,
        receive_count=receives,
        sent_at=sent_at,
        size=100,
        lease_until=1e9,
        received_at=0.0,
        record={"body": "the secret body"},
    )


def messages(count, **more):
    return tuple(message(f"m{number}", **more) for number in range(count))


def batch(held=None, not_invoked=0, trigger=BatchTrigger.SIZE):
    return Batch(
        1, held or messages(10), trigger, opened_at=3.0, size=1_000, lease_until=99.0, not_invoked=not_invoked
    )


def wire(*counts):
    return [{"MessageId": "x", "Attributes": {"ApproximateReceiveCount": count}} for count in counts]


def settled(outcome, succeeded=(), failed=(), detail="", retry_in=None, stale=0, of=None):
    return Settled(of or batch(), outcome, tuple(succeeded), tuple(failed), detail, retry_in, stale)


def actions(caplog, level=logging.INFO):
    return [record.action for record in caplog.records if record.levelno >= level]


# --- polls ---


def test_received_messages_are_counted_and_timed_met_1(telemetry, stats):
    """MET-1: PolledEventCount."""
    tell(telemetry, Receive(7, 10, 20, None, 30.0), at(10.0))
    tell(telemetry, Received(7, [{}, {}, {}], 2_345), at(10.2))

    assert stats.polls == {"records": 1, "empty": 0, "throttled": 0, "error": 0}
    assert stats.polled_events == 3
    assert stats.polled_bytes == 2_345
    assert stats.poll_duration.count == 1
    assert stats.poll_duration.total == pytest.approx(0.2)
    assert stats.last_poll_at == WALL + 10.2
    assert stats.rate.per_second(10.5) > 0


def test_an_empty_poll_adds_no_event_met_1(telemetry, stats):
    """MET-1: an empty poll emits 0."""
    tell(telemetry, Receive(1, 10, 20, None, 30.0), at(10.0))
    tell(telemetry, Received(1, [], 80), at(30.0))

    assert stats.polls["empty"] == 1
    assert stats.polls["records"] == stats.polled_events == stats.polled_bytes == 0
    assert stats.last_poll_at == WALL + 30.0


def test_nothing_is_filtered_without_a_filter_met_2(telemetry, stats):
    """MET-2: 0 for messages that match."""
    tell(telemetry, Received(1, wire("1"), 10), at(1.0))

    assert stats.filtered_events == 0


def test_messages_that_come_again_are_redelivered_and_tried_again(telemetry, stats):
    tell(telemetry, ReceivedAgain(2), at(1.0))
    tell(telemetry, ReceivedAgain(1), at(2.0))

    assert stats.redelivered_events == 3
    assert stats.retried_events == 3
    assert stats.polled_events == 0, "Received counts them"


@pytest.mark.parametrize("problem", SourceProblem)
def test_a_failed_poll_is_counted_by_what_it_was(telemetry, stats, problem):
    tell(telemetry, Receive(1, 10, 20, None, 30.0), at(1.0))
    tell(telemetry, ReceiveFailed(1, problem, "the queue said no"), at(2.0))

    outcome = "throttled" if problem is SourceProblem.THROTTLED else "error"
    assert {key: count for key, count in stats.polls.items() if count} == {outcome: 1}
    assert stats.last_problem == f"{problem}: the queue said no"
    assert stats.last_error == stats.last_problem
    assert stats.poll_duration.count == 1
    assert stats.last_poll_at == 0.0, "only a poll that succeeded is progress"


def test_an_outage_of_an_hour_is_no_flood_and_its_end_is_told(telemetry, stats, caplog):
    for second in range(3_600):
        tell(telemetry, ReceiveFailed(1, SourceProblem.UNREACHABLE, "connection refused"), at(float(second)))
    lines = [record for record in caplog.records if record.action == "poll_failed"]

    assert len(lines) == 3_600 / TELL_EVERY
    assert lines[0].untold == 0
    assert lines[1].untold == TELL_EVERY - 1
    assert "29 more like this" in lines[1].getMessage()
    tell(telemetry, Received(2, [], 0), at(3_600.0))
    assert caplog.records[-1].getMessage() == "orders: receiving again after 3600 failures in 3600 s"
    assert caplog.records[-1].action == "poll_recovered"
    assert stats.last_problem is None
    told = len(caplog.records)
    tell(telemetry, Received(3, [], 0), at(3_601.0))
    assert len(caplog.records) == told, "the end of an outage is told once"


# --- when the wait for a successful poll began: liveness ---


def test_the_wait_goes_on_through_an_outage(telemetry, stats):
    tell(telemetry, Received(1, [], 0), at(100.0))
    for poll, second in enumerate(range(101, 160, 3), start=2):
        tell(telemetry, Receive(poll, 10, 20, None, 30.0), at(float(second)))
        tell(telemetry, ReceiveFailed(poll, SourceProblem.SERVER, "500"), at(second + 1.0))

    assert stats.waiting_since == 101.0


def test_a_rest_with_every_slot_busy_is_no_wait(telemetry, stats):
    tell(telemetry, Received(1, wire("1"), 1), at(100.0))
    tell(telemetry, Receive(2, 10, 20, None, 30.0), at(700.0))

    assert stats.waiting_since == 700.0


def test_a_second_poll_beside_a_hanging_one_does_not_renew_the_wait(telemetry, stats):
    tell(telemetry, Receive(1, 10, 20, None, 30.0), at(100.0))
    tell(telemetry, Receive(2, 10, 20, None, 30.0), at(140.0))

    assert stats.waiting_since == 100.0


def test_a_long_rest_after_a_failure_ends_the_wait(telemetry, stats):
    tell(telemetry, ReceiveFailed(1, SourceProblem.SERVER, "500"), at(100.0))
    tell(telemetry, Receive(2, 10, 20, None, 30.0), at(700.0))

    assert stats.waiting_since == 700.0


def test_resuming_begins_the_wait_anew(telemetry, stats):
    tell(telemetry, ReceiveFailed(1, SourceProblem.SERVER, "500"), at(100.0))
    tell(telemetry, Requested(Request.RESUME), at(120.0))
    tell(telemetry, Receive(2, 10, 20, None, 30.0), at(121.0))

    assert stats.waiting_since == 121.0


# --- invocations ---


def test_every_attempt_counts_its_messages_met_3(telemetry, stats):
    """MET-3: records sent in invocation attempts; retries count again."""
    tell(telemetry, Invoke(batch()), at(5.0))
    tell(telemetry, Invoke(batch(not_invoked=1)), at(6.0))

    assert stats.invoked_events == 20


def test_size_wait_and_age_are_those_of_the_first_dispatch(telemetry, stats):
    held = (*messages(2, sent_at=WALL + 1.0), message("again", receives=2, sent_at=WALL - 500.0))
    first = batch(held, trigger=BatchTrigger.WINDOW)

    tell(telemetry, Invoke(first), at(5.0))
    tell(telemetry, Invoke(batch(held, not_invoked=1, trigger=BatchTrigger.WINDOW)), at(9.0))

    assert {key: count for key, count in stats.batches.items() if count} == {"window": 1}
    assert (stats.batch_events.count, stats.batch_events.total) == (1, 3.0)
    assert (stats.batch_bytes.count, stats.batch_bytes.total) == (1, 1_000.0)
    assert (stats.batch_wait.count, stats.batch_wait.total) == (1, 2.0)
    assert (stats.event_age.count, stats.event_age.total) == (2, 8.0)


def test_a_success_is_counted_with_its_duration(telemetry, stats, caplog):
    done = batch()
    tell(telemetry, Invoke(done), at(5.0))
    telemetry.invoked(0.25)
    tell(telemetry, Invoked(done, Succeeded(b"null")), at(5.3))
    tell(telemetry, settled(InvocationOutcome.SUCCESS, succeeded=done.messages, of=done), at(5.3))

    assert {key: count for key, count in stats.invocations.items() if count} == {"success": 1}
    durations = {key: (h.count, h.total) for key, h in stats.invocation_duration.items() if h.count}
    assert durations == {"success": (1, 0.25)}
    assert stats.succeeded_events == 10
    assert stats.failed_invoke_events == 0
    assert stats.last_success_at == WALL + 5.3
    assert stats.last_result == "success"
    assert actions(caplog) == []


@pytest.mark.parametrize("outcome", ["error", "timeout", "throttled", "invalid_response"])
def test_a_failed_attempt_counts_all_its_messages_met_4(telemetry, stats, outcome):
    """MET-4: FailedInvokeEventCount."""
    failed = batch()
    telemetry.invoked(1.0)
    tell(telemetry, settled(InvocationOutcome(outcome), failed=failed.messages, detail="ValueError: no"), at(5.0))

    assert stats.failed_invoke_events == 10
    assert stats.invocations[InvocationOutcome(outcome)] == 1
    assert stats.invocation_duration[InvocationOutcome(outcome)].count == 1
    assert stats.succeeded_events == 0
    assert stats.last_success_at == 0.0
    assert (stats.last_result, stats.last_error) == (outcome, "ValueError: no")


def test_an_invocation_beyond_four_fifths_of_its_time_was_near_its_timeout(telemetry, stats):
    for seconds in (1.0, 24.0, 24.1, 30.0):
        telemetry.invoked(seconds)
        tell(telemetry, settled(InvocationOutcome.SUCCESS, succeeded=messages(10)), at(5.0))

    assert stats.near_timeouts == 2


def test_failed_attempts_are_counted_by_error(telemetry, stats):
    for outcome, detail in [
        (InvocationOutcome.ERROR, "ValueError: no"),
        (InvocationOutcome.ERROR, "ValueError"),
        (InvocationOutcome.THROTTLED, "busy: later"),
    ]:
        tell(telemetry, settled(outcome, failed=messages(10), detail=detail), at(5.0))

    assert {name: count for name, count in stats.invocation_errors.items() if count} == {
        "ValueError": 2,
        "throttled": 1,
    }


def test_the_trace_of_an_invocation_is_kept_with_its_duration(telemetry, stats):
    telemetry.invoked(0.5, "4bf92f3577b34da6a3ce929d0e0e4736")
    tell(telemetry, settled(InvocationOutcome.SUCCESS, succeeded=messages(10)), at(5.0))
    telemetry.invoked(20.0)
    tell(telemetry, settled(InvocationOutcome.SUCCESS, succeeded=messages(10)), at(6.0))

    kept = stats.invocation_duration[InvocationOutcome.SUCCESS].exemplars
    assert list(kept.values()) == [("4bf92f3577b34da6a3ce929d0e0e4736", 0.5, WALL + 5.0)]


def test_a_partial_failure_counts_what_the_function_listed_met_4(telemetry, stats, caplog):
    """MET-4: the partial counts are per record."""
    held = messages(10)
    telemetry.invoked(1.0)
    tell(telemetry, settled(InvocationOutcome.PARTIAL, held[:7], held[7:], "3 items"), at(5.0))

    assert stats.failed_invoke_events == 3
    assert stats.succeeded_events == 7
    assert stats.last_success_at > 0
    assert "3 of 10 messages failed (partial)" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("throttled", "throttled"), ("error", "error"), ("timeout", "timeout"), ("invalid_response", "error")],
)
def test_a_batch_that_stays_with_us_is_a_retry(telemetry, stats, caplog, outcome, reason):
    tell(telemetry, settled(InvocationOutcome(outcome), detail="busy", retry_in=2.0), at(5.0))

    assert {key: count for key, count in stats.retries.items() if count} == {reason: 1}
    assert stats.retried_events == 10
    assert actions(caplog) == ["batch_retried"]
    assert "again in 2.0 s" in caplog.text


def test_a_batch_that_comes_back_by_the_queue_is_no_retry_of_ours(telemetry, stats):
    tell(telemetry, settled(InvocationOutcome.ERROR, failed=messages(10), detail="x"), at(5.0))

    assert sum(stats.retries.values()) == 0


def test_a_batch_given_up_before_it_ran_has_no_duration(telemetry, stats):
    telemetry.invoked(1.0)
    tell(telemetry, settled(InvocationOutcome.SUCCESS, messages(1)), at(4.0))
    tell(telemetry, settled(InvocationOutcome.ERROR, failed=messages(1), detail="too large"), at(5.0))

    assert stats.invocations[InvocationOutcome.ERROR] == 1
    assert stats.invocation_duration[InvocationOutcome.ERROR].count == 0


def test_equal_failures_are_told_once_and_different_ones_apart(telemetry, caplog):
    for number in range(5):
        tell(telemetry, settled(InvocationOutcome.ERROR, detail=f"ValueError: order {number}"), at(5.0 + number))
    tell(telemetry, settled(InvocationOutcome.ERROR, detail="KeyError: 7"), at(11.0))
    tell(telemetry, settled(InvocationOutcome.TIMEOUT, detail="KeyError: 7"), at(12.0))

    assert [record.untold for record in caplog.records] == [0, 0, 0]


# --- settling ---


def test_only_what_was_deleted_counts_as_deleted_met_5(telemetry, stats, caplog):
    """MET-5: a failed delete emits 0."""
    held = messages(10)
    tell(telemetry, Deleted(held, ()), at(5.0))
    tell(telemetry, Deleted(held, held[8:], "InternalError"), at(6.0))

    assert stats.deleted_events == 18
    assert stats.delete_failures == 2
    assert actions(caplog) == ["delete_failed"]


def test_what_the_filter_removed_is_counted_as_that_only(telemetry, stats, caplog):
    """MET-2, MET-5: deleted too, but not after it was processed; neither does its loss make a duplicate."""
    kept, removed = messages(3), (message("x"), message("y"), message("z"))
    tell(telemetry, Filtered(removed), at(4.0))
    tell(telemetry, Deleted((*removed, *kept), (removed[0], kept[0]), "InternalError"), at(5.0))
    assert (stats.filtered_events, stats.deleted_events, stats.delete_failures) == (3, 2, 2)

    tell(telemetry, LeaseLapsed((removed[0], kept[0]), "not deleted in time"), at(6.0))
    assert stats.visibility_lost_events == 1

    tell(telemetry, Deleted((removed[0],), ()), at(7.0))
    assert stats.deleted_events == 3, "it came again, and was let pass by another filter"


def test_messages_given_back_are_counted_by_reason_once_sqs_agreed(telemetry, stats, caplog):
    stopped, failed = messages(3), (message("f"),)
    tell(telemetry, ChangeVisibility(stopped, (0, 0, 0), ReleaseReason.STOP), at(5.0))
    tell(telemetry, ChangeVisibility(failed, (60,), ReleaseReason.FAILED), at(5.0))
    assert sum(stats.released_events.values()) == 0

    tell(telemetry, VisibilityChanged(failed, ()), at(5.1))
    tell(telemetry, VisibilityChanged(stopped, stopped[:1]), at(5.2))

    assert stats.released_events == {"failed": 1, "stop": 2, "group_blocked": 0}
    assert actions(caplog) == ["release_failed"]


def test_heartbeats_are_counted_for_each_message(telemetry, stats, caplog):
    tell(telemetry, Extended(("a", "b", "c"), 99.0), at(5.0))
    telemetry.extension_failed(2, "throttled", at(5.0))

    assert stats.visibility_extensions == {"success": 3, "error": 2}
    assert actions(caplog) == ["extension_failed"]


def test_messages_done_after_their_receipt_ran_out_are_likely_duplicates(telemetry, stats, caplog):
    held = messages(10)
    tell(telemetry, settled(InvocationOutcome.SUCCESS, held, stale=4), at(5.0))

    assert stats.visibility_lost_events == 4
    assert actions(caplog) == ["visibility_lost"]


def test_of_lapsed_leases_only_those_of_done_messages_are_likely_duplicates(telemetry, stats):
    held = messages(4)
    tell(telemetry, LeaseLapsed((message("never-ran"),), "not invoked in time"), at(5.0))
    assert stats.visibility_lost_events == 0

    tell(telemetry, Deleted(held, held, "unreachable"), at(6.0))
    tell(telemetry, Deleted(held[:1], (), ""), at(7.0))
    tell(telemetry, LeaseLapsed(held[1:], "not deleted in time"), at(8.0))

    assert stats.visibility_lost_events == 3


# --- the mapping ---


def test_the_last_facts_of_the_queue_are_kept(telemetry, stats):
    facts = QueueFacts(visibility_timeout=30.0, visible=5, in_flight=6, delayed=7)
    tell(telemetry, Described(facts), at(5.0))

    assert stats.queue is facts


def test_a_describe_that_fails_is_told_and_kept_for_the_health_check(telemetry, stats, caplog):
    tell(telemetry, DescribeFailed(SourceProblem.MISSING, "no such queue"), at(5.0))

    assert stats.last_problem == "missing: no such queue"
    assert actions(caplog) == ["describe_failed"]


def test_a_source_that_cannot_be_had_yet_is_told_and_forgotten_with_the_first_receive(telemetry, stats, caplog):
    for second in range(3):
        telemetry.source_unavailable(SourceProblem.DENIED, "no sqs:GetQueueAttributes", at(float(second)))

    assert stats.last_problem == stats.last_error == "denied: no sqs:GetQueueAttributes"
    assert stats.last_error_at == WALL + 2.0
    assert actions(caplog) == ["source_unavailable"]
    tell(telemetry, Received(1, [], 0), at(9.0))
    assert stats.last_problem is None


def test_a_blocked_loop_is_counted_while_it_lasts_and_told_with_its_mapping(telemetry, stats, caplog):
    for check in range(1, 11):
        telemetry.loop_blocked(0.1, check * 0.1, at(5.0 + check * 0.1))

    assert stats.loop_blocked_seconds == pytest.approx(1.0)
    assert [(record.action, record.mapping) for record in caplog.records] == [("loop_blocked", "orders")]


def test_states_crashes_and_restarts_are_told(telemetry, stats, caplog):
    telemetry.state_changed(MappingState.ENABLED, at(1.0))
    telemetry.crashed(KeyError("7"), at(2.0))
    assert (stats.state, stats.crashed) == (MappingState.ENABLED, "KeyError: '7'")
    assert caplog.records[-1].exc_info[0] is KeyError

    telemetry.restarted(at(60.0))

    assert stats.crashed is None
    assert stats.waiting_since == 60.0
    assert stats.worker_restarts == {"crash": 1}
    assert actions(caplog) == ["state_changed", "crashed", "restarted"]


@pytest.mark.parametrize(("abandoned", "level"), [(0, logging.INFO), (3, logging.WARNING)])
def test_the_end_is_told(telemetry, stats, caplog, abandoned, level):
    tell(telemetry, Finished(abandoned), at(5.0))

    assert stats.finished
    assert [(record.action, record.levelno) for record in caplog.records] == [("finished", level)]


# --- the whole vocabulary ---

EVENTS = {
    Described: Described(QueueFacts(30.0, 0, 0, 0)),
    DescribeFailed: DescribeFailed(SourceProblem.SERVER, "x"),
    Received: Received(1, wire("1"), 10),
    ReceiveFailed: ReceiveFailed(1, SourceProblem.SERVER, "x"),
    Invoked: Invoked(batch(), Succeeded(b"null")),
    Deleted: Deleted(messages(2), messages(1)),
    VisibilityChanged: VisibilityChanged(messages(2), messages(1)),
    Extended: Extended(("a",), 1.0),
    Tick: Tick(),
    Requested: Requested(Request.STOP),
}
COMMANDS = {
    Receive: Receive(1, 10, 20, None, 30.0),
    Invoke: Invoke(batch()),
    Delete: Delete(messages(1)),
    ChangeVisibility: ChangeVisibility(messages(1), (0,), ReleaseReason.STOP),
    Describe: Describe(),
    Hold: Hold(messages(1), 30),
    LetGo: LetGo(("a",)),
    Settled: settled(InvocationOutcome.PARTIAL, messages(9), (message("m9"),), "x", stale=1),
    Filtered: Filtered(messages(9)),
    ReceivedAgain: ReceivedAgain(2),
    LeaseLapsed: LeaseLapsed(messages(9), "x"),
    Finished: Finished(0),
}


def test_every_word_can_be_told_and_no_line_tells_a_body_or_a_receipt(telemetry, caplog):
    assert set(EVENTS) == set(get_args(Event))
    assert set(COMMANDS) == set(get_args(Command))

    for number, word in enumerate(EVENTS.values()):
        tell(telemetry, word, at(100.0 * number))
    for number, word in enumerate(COMMANDS.values(), start=len(EVENTS)):
        tell(telemetry, word, at(100.0 * number))

    assert len(caplog.records) >= 8
    for record in caplog.records:
        assert record.mapping == "orders"
        assert SECRET not in str(vars(record))
        assert "secret body" not in str(vars(record))
        assert len(getattr(record, "message_ids", [])) <= 5


def test_texts_from_outside_stay_on_one_line_and_short():
    assert one_line("a\nb\r\n\x1b[31mc\t d") == "a b [31mc d"
    assert len(one_line("x" * 10_000)) == MOST_DETAIL
    assert one_line("") == ""


def test_kinds_of_failure_are_bounded():
    repeats = Repeats()

    told = [repeats.due("batch_failed", f"kind {number}", 0.0) for number in range(1_000)]

    assert told.count(0) == MOST_KINDS + 1


def test_the_hot_path_calls_as_little_for_a_hundred_messages_as_for_ten(telemetry, caplog):
    """The budget is 8 microseconds for a batch of ten; calls are counted, as speed would depend on the machine."""
    caplog.set_level(logging.INFO, logger="poller")

    def calls(size):
        held = messages(size)
        words = batch(held)
        received, ok = Received(1, wire(*["1"] * size), 6_000), settled(InvocationOutcome.SUCCESS, held, of=words)
        receive, invoke, done = Receive(1, 10, 20, None, 30.0), Invoke(words), Deleted(held, ())
        now = at(5.0)
        seen = 0

        def profile(_frame, kind, _arg):
            nonlocal seen
            seen += kind == "call"

        earlier = sys.getprofile()
        sys.setprofile(profile)
        try:
            tell(telemetry, receive, now)
            tell(telemetry, received, now)
            tell(telemetry, invoke, now)
            telemetry.invoked(0.01)
            tell(telemetry, ok, now)
            tell(telemetry, done, now)
        finally:
            sys.setprofile(earlier)
        return seen

    calls(1)  # the logger looks up its level once
    assert calls(10) == calls(100) <= 25
