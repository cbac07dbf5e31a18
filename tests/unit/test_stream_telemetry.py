"""Each event and command of a shard that crosses its driver, and what the runtime tells of shards, as numbers and
log lines.
"""

import json
import logging
import sys
from dataclasses import replace
from typing import get_args

import pytest

from poller.core.cleanup import Lost
from poller.core.failure_document import failure_document
from poller.core.leases import Lease
from poller.core.mapping import DestinationArn, DestinationKind, EventSourceMapping, SourceArn, StreamSettings
from poller.core.messages import InvocationOutcome, Request, Requested, Tick
from poller.core.model import BatchTrigger, FunctionError, Instant, SourceKind, SourceProblem, Succeeded
from poller.core.records import (
    TRIM_HORIZON,
    Discard,
    DiscardReason,
    Page,
    Position,
    PositionKind,
    Progress,
    Record,
    Shard,
    StreamBatch,
    WindowCall,
    after,
)
from poller.core.stream_gauges import NO_STREAM_GAUGES
from poller.core.stream_messages import (
    Discarded,
    DocumentSent,
    Fetch,
    Fetched,
    FetchFailed,
    Filtered,
    Finished,
    Gap,
    Invoke,
    Invoked,
    LeaseLost,
    Save,
    Saved,
    SaveFailed,
    SendDocument,
    Settled,
    StreamCommand,
    StreamEvent,
)
from poller.errors import SourceError, StoreError
from poller.metrics_stats import MappingStats
from poller.stream_telemetry import MOST_LINES, StreamTelemetry
from poller.telling import TELL_EVERY

WALL = 1_700_000_000.0
SECRET = "c2VjcmV0IGRhdGE="
SHARD = "shardId-000000000001"
OTHER = "shardId-000000000002"
QUEUE = DestinationArn(
    "arn:aws:sqs:eu-west-1:123456789012:lost", DestinationKind.SQS, "eu-west-1", "123456789012", "lost"
)
NO_DELIVERY = {(kind, outcome): 0 for kind in ("sqs", "sns", "s3") for outcome in ("success", "error")}


def at(mono: float) -> Instant:
    return Instant(WALL + mono, mono)


def make_stats(**settings):
    text = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
    mapping = EventSourceMapping(
        uuid="11111111-1111-4111-8111-111111111111",
        name="clicks",
        source=SourceKind.KINESIS,
        arn=SourceArn(text, "aws", "eu-west-1", "123456789012", "clicks"),
        function_name="python:shop:handler",
        function_arn="arn:aws:lambda:::shop",
        stream=StreamSettings(TRIM_HORIZON, **settings),
    )
    return MappingStats(mapping, lambda: NO_STREAM_GAUGES, since=0.0)


def make_telemetry(stats):
    telemetry = StreamTelemetry(stats)
    telemetry.shard_started(SHARD, TRIM_HORIZON, at(0.0))
    telemetry.shard_started(OTHER, TRIM_HORIZON, at(0.0))
    return telemetry


@pytest.fixture
def stats():
    return make_stats()


@pytest.fixture
def telemetry(stats, caplog):
    caplog.set_level(logging.DEBUG, logger="poller")
    telemetry = make_telemetry(stats)
    caplog.clear()
    return telemetry


def tell(telemetry, word, now, shard=SHARD):
    """As the driver does it."""
    told = telemetry.words.get(type(word))
    if told is not None:
        told(shard, word, now)


def records(first, count, lane=0, arrived_at=WALL):
    return tuple(
        Record(str(1_000 + offset), offset, lane, arrived_at, 100, {"Data": SECRET})
        for offset in range(first, first + count)
    )


def batch(held=None, number=1, trigger=BatchTrigger.SIZE, **more):
    held = records(0, 10) if held is None else held
    return StreamBatch(
        number, held[0].lane if held else 0, held, trigger, opened_at=3.0, size=100 * len(held), **more
    )


def page(count, size=2_000):
    return Fetched(Page([{"Data": SECRET}] * count, "iterator", 0.0, size))


FETCH = Fetch("iterator", TRIM_HORIZON, 10_000, 10.0)


def settled(of, outcome, succeeded=0, failed=None, detail="", retry_in=None, bisected=False):
    failed = len(of.records) - succeeded if failed is None else failed
    return Settled(of, InvocationOutcome(outcome), succeeded, failed, detail, retry_in, bisected)


def attempt(telemetry, of, outcome, mono=5.0, seconds=0.5, shard=SHARD, **more):
    """One invocation from its order to its judgement, as the driver tells it."""
    tell(telemetry, Invoke(of), at(mono), shard)
    telemetry.invoked(shard, seconds)
    tell(telemetry, Invoked(of, Succeeded(b"null"), "r"), at(mono + seconds), shard)
    tell(telemetry, settled(of, outcome, **more), at(mono + seconds), shard)


def discard(of=None, reason=DiscardReason.RETRIES, when=100.0, **more):
    of = batch() if of is None else of
    return Discard(1, of, reason, WALL + when, of.attempts, FunctionError("ValueError", "no"), "r-1", **more)


def counted(values):
    return {key: count for key, count in values.items() if count}


def lines(caplog, action=None):
    return [record for record in caplog.records if action is None or record.action == action]


# --- reading ---


def test_records_read_are_counted_and_timed_met_1(telemetry, stats):
    """MET-1: PolledEventCount."""
    tell(telemetry, FETCH, at(10.0))
    tell(telemetry, page(500, size=350_000), at(10.2))

    assert counted(stats.polls) == {"records": 1}
    assert (stats.polled_events, stats.polled_bytes) == (500, 350_000)
    assert (stats.poll_duration.count, stats.poll_duration.total) == (1, pytest.approx(0.2))
    assert stats.last_poll_at == WALL + 10.2
    assert stats.rate.per_second(10.5) > 0


def test_an_empty_read_adds_no_event_met_1(telemetry, stats):
    """MET-1: an empty poll emits 0; it is progress all the same (STR-26)."""
    tell(telemetry, FETCH, at(10.0))
    tell(telemetry, page(0), at(10.1))

    assert counted(stats.polls) == {"empty": 1}
    assert stats.polled_events == stats.polled_bytes == 0
    assert stats.last_poll_at == WALL + 10.1
    assert stats.waiting_since == 10.1


def test_nothing_is_filtered_without_a_filter_met_2(telemetry, stats):
    """MET-2: 0 for records that match."""
    tell(telemetry, page(5), at(10.1))

    assert stats.filtered_events == 0


@pytest.mark.parametrize("problem", SourceProblem)
def test_a_failed_read_is_counted_by_what_it_was(telemetry, stats, problem):
    tell(telemetry, FETCH, at(1.0))
    tell(telemetry, FetchFailed(problem, "the stream said no"), at(2.0))

    assert counted(stats.polls) == {"throttled" if problem is SourceProblem.THROTTLED else "error": 1}
    assert stats.last_problem == f"{problem}: the stream said no"
    assert stats.poll_duration.count == 1
    assert stats.last_poll_at == 0.0, "only a read that succeeded is progress"


def test_a_thousand_failing_shards_are_no_flood_and_the_end_of_it_is_told_once(telemetry, caplog):
    shards = [f"shardId-{number:012}" for number in range(1_000)]
    for second in range(60):
        for shard in shards:
            tell(telemetry, FetchFailed(SourceProblem.UNREACHABLE, "refused"), at(float(second)), shard)

    told = lines(caplog, "fetch_failed")
    assert len(told) == 60 / TELL_EVERY
    assert (told[0].shard, told[0].problem, told[0].untold) == (shards[0], "unreachable", 0)
    assert told[1].untold == TELL_EVERY * 1_000 - 1
    caplog.clear()
    for shard in shards:
        tell(telemetry, page(0), at(60.0), shard)
        tell(telemetry, page(0), at(61.0), shard)

    (recovered,) = lines(caplog)
    assert recovered.getMessage() == "clicks: reading again after 60000 failures in 60 s"
    assert recovered.action == "fetch_recovered"


def test_a_shard_that_fails_alone_is_told_while_the_others_are_read(telemetry, stats, caplog):
    tell(telemetry, FetchFailed(SourceProblem.THROTTLED, "slow down"), at(1.0), OTHER)
    tell(telemetry, page(1), at(1.1), SHARD)
    assert stats.last_problem is not None
    tell(telemetry, page(1), at(2.0), OTHER)

    assert [line.action for line in lines(caplog)] == ["fetch_failed", "fetch_recovered"]
    assert stats.last_problem is None


@pytest.mark.parametrize("problem", [SourceProblem.EXPIRED, SourceProblem.TRIMMED])
def test_a_place_that_is_got_anew_is_no_trouble_but_counted(telemetry, stats, caplog, problem):
    """STR-24, STR-25: the reader goes on by itself, and a loss is told as a gap."""
    tell(telemetry, FetchFailed(problem, "iterator of 06:00"), at(1.0))
    tell(telemetry, page(1), at(1.1))

    assert counted(stats.polls) == {"error": 1, "records": 1}
    assert [line.levelname for line in lines(caplog)] == ["DEBUG"]
    assert stats.last_error == ""
    assert stats.last_problem is None


@pytest.mark.parametrize(
    ("position", "resumed_at", "said"),
    [
        (after("1000"), "1700", "those between 1000 and 1700;"),
        (after("1000"), "", "those between 1000 and the end of the shard;"),
        (
            Position(PositionKind.AT_TIMESTAMP, timestamp=WALL),
            "7",
            "those between AT_TIMESTAMP 1700000000.000 and 7;",
        ),
    ],
)
def test_a_gap_tells_how_much_is_known_of_it(telemetry, stats, caplog, position, resumed_at, said):
    """STR-25: the loss is logged."""
    tell(telemetry, Gap(position, resumed_at), at(1.0))

    (line,) = lines(caplog, "gap")
    assert (line.levelname, line.shard, line.resumed_at) == ("ERROR", SHARD, resumed_at)
    assert said in line.getMessage()
    assert counted(stats.stream.gaps) == {"trimmed": 1}


# --- since when a success is waited for: liveness ---


def test_one_shard_that_is_read_is_progress_of_the_mapping(telemetry, stats):
    tell(telemetry, FETCH, at(100.0), SHARD)
    tell(telemetry, FETCH, at(100.0), OTHER)
    for second in range(101, 160, 3):
        tell(telemetry, FetchFailed(SourceProblem.SERVER, "500"), at(float(second)), SHARD)
        tell(telemetry, FETCH, at(second + 1.0), SHARD)
    assert stats.waiting_since == 100.0, "an outage does not renew the wait"

    tell(telemetry, page(0), at(160.0), OTHER)
    assert stats.waiting_since == 160.0


def test_a_rest_of_all_shards_with_full_buffers_is_no_wait(telemetry, stats):
    tell(telemetry, FETCH, at(99.0))
    tell(telemetry, page(10), at(100.0))
    tell(telemetry, FETCH, at(700.0))

    assert stats.waiting_since == 700.0


def test_a_failure_that_was_overcome_does_not_lengthen_the_next_wait(telemetry, stats):
    tell(telemetry, FetchFailed(SourceProblem.SERVER, "500"), at(98.0))
    tell(telemetry, page(10), at(100.0))
    tell(telemetry, FETCH, at(140.0))

    assert stats.waiting_since == 140.0


def test_a_shard_that_was_stopped_in_the_middle_of_a_read_is_not_waited_for(telemetry, stats):
    tell(telemetry, FETCH, at(100.0), OTHER)
    telemetry.shard_stopped(OTHER, at(101.0))
    tell(telemetry, FETCH, at(700.0), SHARD)

    assert stats.waiting_since == 700.0
    assert set(stats.stream.heard_at) == {SHARD}


def test_each_try_and_each_answer_is_a_sign_of_its_shard(telemetry, stats):
    heard = stats.stream.heard_at
    tell(telemetry, FETCH, at(10.0))
    assert heard == {SHARD: 10.0}
    tell(telemetry, page(0), at(11.0))
    tell(telemetry, FETCH, at(12.0), OTHER)
    tell(telemetry, FetchFailed(SourceProblem.SERVER, "500"), at(13.0), OTHER)
    assert heard == {SHARD: 11.0, OTHER: 13.0}


def test_a_row_that_cannot_be_had_is_told_and_known_to_the_health_check(telemetry, stats, caplog):
    for second in range(40):
        telemetry.shard_failed(SHARD, StoreError("The disk is full."), at(100.0 + second))

    assert len(lines(caplog, "shard_failed")) == 2
    assert stats.stream.chore_failed_at == 139.0
    assert stats.waiting_since == 100.0
    assert stats.last_problem == stats.last_error == "The disk is full."


def test_discovery_that_fails_stops_nobody_who_reads(stats, caplog):
    telemetry = make_telemetry(stats)
    telemetry.discovery_failed(SourceError(SourceProblem.DENIED, "no ListShards"), at(5.0))
    assert stats.stream.chore_failed_at is None

    telemetry.shard_stopped(SHARD, at(6.0))
    telemetry.shard_stopped(OTHER, at(6.0))
    telemetry.discovery_failed(SourceError(SourceProblem.DENIED, "no ListShards"), at(7.0))
    assert stats.stream.chore_failed_at == 7.0, "nothing is read, and this is why"
    assert [line.action for line in lines(caplog)].count("discovery_failed") == 1


# --- invocations ---


def test_every_attempt_counts_its_records_met_3(telemetry, stats):
    """MET-3: records sent in invocation attempts; retries count again."""
    first = batch()
    attempt(telemetry, first, "error", detail="x", retry_in=1.0)
    attempt(telemetry, replace(first, attempts=1), "success", mono=9.0, succeeded=10)

    assert stats.invoked_events == 20
    assert stats.succeeded_events == 10
    assert counted(stats.invocations) == {"error": 1, "success": 1}
    assert counted({key: value.count for key, value in stats.invocation_duration.items()}) == {
        "error": 1,
        "success": 1,
    }


def test_size_wait_and_age_are_told_once_for_each_record_over_retries_bisections_and_rests(telemetry, stats):
    """ERR-20, PBR-22: halves and rests are new batches of records that the function has had before."""
    whole = batch(records(0, 8, arrived_at=WALL + 1.0), number=1, trigger=BatchTrigger.WINDOW)
    attempt(telemetry, whole, "error", detail="x", retry_in=0.0, bisected=True)
    first, rest = batch(whole.records[:4], number=2), batch(whole.records[4:], number=3)
    attempt(telemetry, first, "partial", mono=6.0, succeeded=2, detail="x", retry_in=0.0)
    attempt(telemetry, batch(first.records[2:], number=4), "success", mono=7.0, succeeded=2)
    attempt(telemetry, rest, "throttled", mono=8.0, detail="x", retry_in=1.0)
    attempt(telemetry, replace(rest, not_reached=1), "success", mono=9.0, succeeded=4)

    assert counted(stats.batches) == {"window": 1}
    assert (stats.batch_events.count, stats.batch_events.total) == (1, 8.0)
    assert (stats.batch_bytes.count, stats.batch_bytes.total) == (1, 800.0)
    assert (stats.batch_wait.count, stats.batch_wait.total) == (1, 2.0)
    assert (stats.event_age.count, stats.event_age.total) == (8, pytest.approx(32.0))
    assert stats.succeeded_events == 8, "each record succeeds once"
    assert stats.invoked_events == 8 + 4 + 2 + 4 + 4
    assert stats.stream.bisections == 1
    assert counted(stats.retries) == {"partial": 1, "throttled": 1}, "a bisection is no retry"
    assert stats.retried_events == 8 + 2 + 4


def test_the_next_batches_of_each_lane_are_first_dispatches(telemetry, stats):
    """STR-41: lanes batch separately, and the offsets of one say nothing of another's."""
    attempt(telemetry, batch(records(10, 5, lane=1), number=1), "success", succeeded=5)
    attempt(telemetry, batch(records(0, 5, lane=0), number=2), "success", succeeded=5)
    attempt(telemetry, batch(records(5, 5, lane=0), number=3), "success", succeeded=5)
    attempt(telemetry, batch(records(0, 5, lane=0), number=1), "success", succeeded=5, shard=OTHER)

    assert stats.batch_events.count == 4
    assert stats.event_age.count == 20


def test_a_shard_that_is_started_again_counts_from_its_beginning(telemetry, stats):
    attempt(telemetry, batch(), "success", succeeded=10)
    telemetry.shard_stopped(SHARD, at(6.0))
    telemetry.shard_started(SHARD, after("1009"), at(7.0))
    attempt(telemetry, batch(), "success", mono=8.0, succeeded=10)

    assert stats.batch_events.count == 2


def test_records_from_the_future_are_of_no_age(telemetry, stats):
    """A record without a readable time has one far ahead."""
    held = (*records(0, 1, arrived_at=WALL), *records(1, 1, arrived_at=2.5e11))
    attempt(telemetry, batch(held), "success", succeeded=2)

    assert (stats.event_age.count, stats.event_age.total) == (2, 5.0)


@pytest.mark.parametrize("outcome", ["error", "timeout", "throttled", "invalid_response"])
def test_a_failed_attempt_counts_all_its_records_met_4(telemetry, stats, outcome):
    """MET-4: FailedInvokeEventCount."""
    attempt(telemetry, batch(), outcome, detail="ValueError: no", retry_in=2.0)

    assert stats.failed_invoke_events == 10
    assert stats.succeeded_events == 0
    assert stats.last_success_at == 0.0
    assert (stats.last_result, stats.last_error) == (outcome, "ValueError: no")
    reason = outcome if outcome in {"timeout", "throttled"} else "error"
    assert counted(stats.retries) == {reason: 1}
    assert counted(stats.invocation_errors) == {"ValueError" if outcome == "error" else outcome: 1}


def test_the_trace_of_an_invocation_is_kept_with_its_duration(telemetry, stats):
    one = batch()
    tell(telemetry, Invoke(one), at(1.0))
    telemetry.invoked(SHARD, 0.5, "4bf92f3577b34da6a3ce929d0e0e4736")
    tell(telemetry, settled(one, "success", succeeded=10), at(5.0))
    attempt(telemetry, batch(number=2), "success", mono=6.0, succeeded=10)

    kept = stats.invocation_duration["success"].exemplars
    assert list(kept.values()) == [("4bf92f3577b34da6a3ce929d0e0e4736", 0.5, WALL + 5.0)]


def test_a_partial_failure_counts_what_it_leaves_undone_met_4(telemetry, stats, caplog):
    """MET-4, PBR-20: the partial counts are per record."""
    attempt(telemetry, batch(), "partial", succeeded=7, detail="record 8 of 10", retry_in=0.0)

    assert (stats.failed_invoke_events, stats.succeeded_events) == (3, 7)
    assert stats.last_success_at == WALL + 5.5
    (line,) = lines(caplog, "batch_retried")
    assert "3 of 10 records of shard" in line.getMessage()


def test_a_failed_batch_is_told_with_its_shard_and_range(telemetry, caplog):
    attempt(telemetry, batch(), "error", detail="ValueError: no", retry_in=2.0)
    attempt(telemetry, batch(), "timeout", mono=7.0, detail="Task timed out", retry_in=0.0, bisected=True)
    attempt(telemetry, batch(), "error", mono=9.0, detail="KeyError: 7")

    retried, bisected, failed = lines(caplog)
    assert [line.action for line in (retried, bisected, failed)] == ["batch_retried", "bisected", "batch_failed"]
    for line in (retried, bisected, failed):
        assert (line.shard, line.first_sequence, line.last_sequence, line.events) == (SHARD, "1000", "1009", 10)
    assert retried.getMessage() == (
        f"clicks: a batch of 10 records of shard {SHARD} failed (error): ValueError: no; again in 2.0 s"
    )
    assert "as two halves" in bisected.getMessage()


def test_a_batch_that_fails_for_ever_is_no_flood(telemetry, caplog):
    for second in range(120):
        shard = SHARD if second % 2 else OTHER
        attempt(telemetry, batch(), "error", float(second), shard=shard, detail=f"No: {second}", retry_in=1.0)

    assert len(lines(caplog, "batch_retried")) == 120 / TELL_EVERY


def test_an_event_too_large_to_be_sent_is_an_attempt_without_a_duration_err_8(telemetry, stats):
    """ERR-8: the same accounting as for an attempt that failed; nobody has called the function."""
    large = batch(records(0, 1))
    tell(telemetry, settled(large, "error", detail="RequestTooLarge: 7 MB", retry_in=1.0), at(5.0))
    attempt(telemetry, batch(records(1, 1), number=2), "success", succeeded=1)

    assert (stats.invoked_events, stats.failed_invoke_events) == (2, 1)
    assert counted(stats.invocations) == {"error": 1, "success": 1}
    assert stats.invocation_duration[InvocationOutcome.ERROR].count == 0
    assert counted(stats.retries) == {"error": 1}


def test_a_batch_whose_turn_never_came_has_failed_nobody(telemetry, stats, caplog):
    """A stop withdraws what waits for a free place."""
    withdrawn = batch()
    tell(telemetry, Invoke(withdrawn), at(5.0))
    tell(telemetry, settled(withdrawn, "throttled", detail="poller stopped", retry_in=1.0), at(6.0))

    assert sum(stats.invocations.values()) == stats.failed_invoke_events == sum(stats.retries.values()) == 0
    assert lines(caplog) == []


def test_the_final_invocation_of_a_window_has_no_records(telemetry, stats):
    """TMB-8: it is an invocation, and no batch."""
    final = batch((), call=WindowCall(0, 60, {}, final=True))
    attempt(telemetry, final, "success")

    assert counted(stats.invocations) == {"success": 1}
    assert stats.batch_events.count == stats.event_age.count == sum(stats.batches.values()) == 0
    assert stats.last_success_at == WALL + 5.5


# --- giving up ---


@pytest.mark.parametrize(
    ("reason", "oversize", "label"),
    [
        (DiscardReason.RETRIES, False, "retries"),
        (DiscardReason.AGE, False, "age"),
        (DiscardReason.RETRIES, True, "oversize"),
    ],
)
def test_without_a_destination_the_records_are_dropped_met_6(caplog, reason, oversize, label):
    """MET-6, ERR-31: counted, and one warning with shard, sequence range and condition."""
    stats = make_stats(maximum_age=60.0)
    telemetry = make_telemetry(stats)
    caplog.clear()
    tell(telemetry, Discarded(discard(reason=reason, oversize=oversize), dropped=True), at(100.0))

    assert counted(stats.stream.discarded_events) == {label: 10}
    assert stats.stream.dropped_events == 10
    assert stats.stream.destination_events == 0
    assert stats.stream.destination_deliveries == NO_DELIVERY
    (line,) = lines(caplog)
    assert (line.action, line.levelname, line.condition) == ("discarded", "WARNING", reason.value)
    assert (line.shard, line.first_sequence, line.last_sequence, line.events) == (SHARD, "1000", "1009", 10)
    assert f"(1000 to 1009) given up ({reason.value})" in line.getMessage()


def test_each_discard_has_a_line_of_its_own_err_31(telemetry, caplog):
    """ERR-31: a loss is never left out because it repeats."""
    for _ in range(100):
        tell(telemetry, Discarded(discard(), dropped=True), at(100.0))

    assert len(lines(caplog, "discarded")) == 100


def test_records_whose_document_was_delivered_are_no_drop_met_7(caplog):
    """MET-7: records and not documents; a successful delivery is not also a drop."""
    stats = make_stats(destination=QUEUE)
    telemetry = make_telemetry(stats)
    caplog.clear()
    tell(telemetry, Discarded(discard(batch(records(0, 3))), dropped=False), at(100.0))

    assert stats.stream.destination_events == 3
    assert stats.stream.destination_deliveries == NO_DELIVERY | {("sqs", "success"): 1}
    assert stats.stream.dropped_events == 0
    assert stats.stream.discarded == 3
    (line,) = lines(caplog)
    assert (line.levelname, line.destination) == ("WARNING", QUEUE.text)


def test_a_refused_document_is_one_failed_delivery_and_is_logged_whole_met_8(caplog):
    """MET-8: 1 for each failed delivery, and the records are dropped. DST-30: the document at error level."""
    stats = make_stats(destination=replace(QUEUE, kind=DestinationKind.S3))
    telemetry = make_telemetry(stats)
    caplog.clear()
    refused = discard(batch(records(0, 3), attempts=4))
    tell(telemetry, Discarded(refused, dropped=True, problem="access denied"), at(100.0))

    assert stats.stream.destination_deliveries == NO_DELIVERY | {("s3", "error"): 1}
    assert (stats.stream.dropped_events, stats.stream.destination_events) == (3, 0)
    (line,) = lines(caplog)
    document = failure_document(refused, stats.mapping, SHARD)
    assert line.levelname == "ERROR"
    assert line.document == document
    assert "access denied" in line.getMessage()
    assert json.loads(line.getMessage().partition("; it is ")[2]) == document
    assert document["requestContext"]["approximateInvokeCount"] == 4


@pytest.mark.parametrize(
    ("maximum_age", "arrived_at", "dropped"),
    [
        (None, WALL - 86_401, 0),
        (604_800.0, WALL - 86_401, 0),  # the stream keeps them for a day only
        (604_800.0, WALL - 604_801, 10),
        (3_600.0, WALL - 3_601, 10),
    ],
)
def test_what_the_retention_of_the_stream_took_is_not_dropped_by_us_err_15(maximum_age, arrived_at, dropped):
    """ERR-15, MET-6: given up for their age, but not those lost to source retention."""
    stats = make_stats(maximum_age=maximum_age)
    expired = discard(batch(records(0, 10, arrived_at=arrived_at)), DiscardReason.AGE, when=0.0)
    tell(make_telemetry(stats), Discarded(expired, dropped=True), at(0.0))

    assert counted(stats.stream.discarded_events) == {"age": 10}
    assert stats.stream.dropped_events == dropped


def test_a_final_invocation_that_was_given_up_has_no_records_to_count(caplog):
    """TMB-10: it has a document."""
    stats = make_stats(destination=QUEUE)
    telemetry = make_telemetry(stats)
    caplog.clear()
    final = batch((), call=WindowCall(0, 60, {}, final=True))
    tell(telemetry, Discarded(discard(final), dropped=False), at(100.0))

    assert stats.stream.discarded == stats.stream.destination_events == 0
    assert counted(stats.stream.destination_deliveries) == {("sqs", "success"): 1}
    assert "the final invocation of a window" in lines(caplog)[0].getMessage()


# --- positions and rows ---


def test_durable_writes_are_checkpoints_and_notes_of_attempts_are_not(telemetry, stats):
    tell(telemetry, Save(1, Progress(after("7")), durable=True), at(5.0))
    tell(telemetry, Saved(1), at(5.25))
    tell(telemetry, Save(2, Progress(after("7")), durable=False), at(6.0))
    tell(telemetry, Saved(2), at(6.5))
    tell(telemetry, Saved(2), at(6.6))

    assert counted(stats.stream.checkpoints) == {"success": 1}
    assert (stats.stream.checkpoint_duration.count, stats.stream.checkpoint_duration.total) == (1, 0.25)


def test_an_attempt_that_is_made_alone_is_told(telemetry, caplog):
    """ERR-5: others stand still for it."""
    tell(telemetry, Save(1, Progress(after("7")), durable=False), at(5.0))
    tell(telemetry, Save(2, Progress(after("7")), durable=False, alone=True), at(6.0))
    (line,) = lines(caplog, "alone")
    assert "last attempt" in line.getMessage()


def test_a_full_disk_is_told_once_in_a_while_and_when_it_is_over(telemetry, stats, caplog):
    for second in range(60):
        for number, shard in enumerate([SHARD, OTHER], start=1):
            tell(telemetry, Save(number, Progress(after("7")), durable=True), at(float(second)), shard)
            tell(telemetry, SaveFailed(number, "The disk is full."), at(second + 0.5), shard)

    assert counted(stats.stream.checkpoints) == {"error": 120}
    assert len(lines(caplog, "checkpoint_failed")) == 2
    assert stats.last_error == "checkpoint: The disk is full."
    caplog.clear()
    for shard in (SHARD, OTHER, SHARD):
        tell(telemetry, Save(9, Progress(after("7")), durable=True), at(70.0), shard)
        tell(telemetry, Saved(9), at(70.1), shard)
    assert [line.action for line in lines(caplog)] == ["checkpoint_recovered"]
    assert stats.stream.checkpoint_duration.count == 3


def test_rows_are_counted_as_they_come_and_go(stats, caplog):
    caplog.set_level(logging.INFO, logger="poller")
    telemetry = make_telemetry(stats)
    assert counted(stats.stream.lease_events) == {"acquired": 2}

    telemetry.shard_stopped(SHARD, at(1.0))
    telemetry.shard_crashed(SHARD, KeyError(7), 0.5, at(1.0))
    telemetry.shard_started(SHARD, after("7"), at(2.0))
    assert stats.stream.lease_events["acquired"] == 2, "it was ours all the time"
    telemetry.shard_stopped(SHARD, at(3.0))
    telemetry.shard_ended(SHARD, (Shard("child-1"), Shard("child-2")), at(3.1))
    telemetry.shard_started("child-1", TRIM_HORIZON, at(3.2))
    telemetry.shard_stopped("child-1", at(4.0))
    telemetry.shard_released("child-1", at(4.1))
    telemetry.shard_stopped(OTHER, at(5.0))
    telemetry.lease_lost(OTHER, at(5.0))

    assert counted(stats.stream.lease_events) == {"acquired": 3, "released": 2, "lost": 1}
    assert counted(stats.stream.checkpoints) == {"success": 2}, "the last position of each"
    assert counted(stats.worker_restarts) == {"crash": 1}
    (ended,) = lines(caplog, "shard_ended")
    assert (ended.shard, ended.children) == (SHARD, ["child-1", "child-2"])
    assert [line.position for line in lines(caplog, "shard_started")] == [
        *("TRIM_HORIZON", "TRIM_HORIZON", "after 7", "TRIM_HORIZON")
    ]
    assert [line.levelname for line in lines(caplog, "lease_lost")] == ["WARNING"]


def test_lost_shards_are_counted_one_by_one_and_told_together(telemetry, stats, caplog):
    leases = [Lease(f"shard-{number}", "4711") for number in range(12)]
    gone = [Lost(lease, lease, remade=False) for lease in leases]
    telemetry.shards_lost([*gone, Lost(Lease(SHARD, "9"), Lease(SHARD, "TRIM_HORIZON"), remade=True)], at(1.0))

    assert counted(stats.stream.gaps) == {"shard_lost": 12, "stream_remade": 1}
    assert counted(stats.stream.lease_events) == {"acquired": 2, "released": 1}
    remade, lost = lines(caplog, "shards_lost")
    assert f"{SHARD} (at 9)" in remade.getMessage()
    assert "shard-9 (at 4711), ..." in lost.getMessage()
    assert "shard-10" not in lost.getMessage()


def test_the_start_of_thousands_of_shards_is_no_flood(stats, caplog):
    caplog.set_level(logging.INFO, logger="poller")
    telemetry = StreamTelemetry(stats)
    for number in range(1_000):
        telemetry.shard_started(f"shard-{number}", TRIM_HORIZON, at(0.0))

    assert len(lines(caplog)) == MOST_LINES
    assert stats.stream.lease_events["acquired"] == 1_000


def test_records_left_in_the_hands_of_a_handler_are_told(telemetry, caplog):
    tell(telemetry, Finished(False, Progress(after("7"))), at(1.0))
    assert lines(caplog) == []
    tell(telemetry, Finished(False, Progress(after("7")), abandoned=5), at(1.0))
    telemetry.cut_off(7)

    assert [(line.action, line.levelname) for line in lines(caplog)] == [
        ("abandoned", "WARNING"),
        ("cut_off", "WARNING"),
    ]


# --- all words ---


EVENTS = {
    Fetched: page(3),
    FetchFailed: FetchFailed(SourceProblem.SERVER, "x\ny"),
    Invoked: Invoked(batch(), Succeeded(b"null"), "r"),
    DocumentSent: DocumentSent(discard()),
    Saved: Saved(1),
    SaveFailed: SaveFailed(1, "full"),
    LeaseLost: LeaseLost(),
    Tick: Tick(),
    Requested: Requested(Request.STOP),
}
COMMANDS = {
    Fetch: FETCH,
    Invoke: Invoke(batch()),
    SendDocument: SendDocument(discard()),
    Save: Save(1, Progress(after("7")), durable=True),
    Settled: settled(batch(), "partial", succeeded=4, detail="x", retry_in=0.0),
    Discarded: Discarded(discard(), dropped=True, problem="denied"),
    Filtered: Filtered(4),
    Gap: Gap(after("7"), "9"),
    Finished: Finished(False, Progress(after("7")), abandoned=1),
}


def test_what_the_filter_removed_is_counted(telemetry, stats):
    """MET-2."""
    tell(telemetry, Filtered(4), at(1.0))
    tell(telemetry, Filtered(1), at(2.0))

    assert stats.filtered_events == 5


def test_every_word_can_be_told_and_no_line_tells_data(caplog):
    assert set(EVENTS) == set(get_args(StreamEvent))
    assert set(COMMANDS) == set(get_args(StreamCommand))
    caplog.set_level(logging.DEBUG, logger="poller")
    telemetry = make_telemetry(make_stats(destination=QUEUE))

    for number, word in enumerate([*EVENTS.values(), *COMMANDS.values()], start=1):
        telemetry.invoked(SHARD, 0.1)
        tell(telemetry, word, at(100.0 * number))

    assert len(caplog.records) >= 8
    for record in caplog.records:
        assert (record.mapping, record.shard in {SHARD, OTHER}) == ("clicks", True)
        assert SECRET not in str(vars(record))
        assert "\n" not in record.getMessage()


def test_words_of_a_shard_that_nobody_announced_break_nothing(stats):
    telemetry = StreamTelemetry(stats)
    for word in [*EVENTS.values(), *COMMANDS.values()]:
        if not isinstance(word, Discarded):
            tell(telemetry, word, at(1.0), "shard-unknown")

    assert stats.polled_events == 3


def test_the_hot_path_calls_as_little_for_ten_thousand_records_as_for_ten(telemetry, caplog):
    """A page is one event and a batch is one: calls are counted, as speed would depend on the machine."""
    caplog.set_level(logging.INFO, logger="poller")
    offset = 0

    def calls(work):
        seen = 0

        def profile(_frame, kind, _arg):
            nonlocal seen
            seen += kind == "call"

        earlier = sys.getprofile()
        sys.setprofile(profile)
        try:
            work()
        finally:
            sys.setprofile(earlier)
        return seen

    def busy(size):
        nonlocal offset
        of, read, now = batch(records(offset, size)), page(size), at(5.0)
        offset += size
        done = settled(of, "success", succeeded=size)

        def work():
            tell(telemetry, FETCH, now)
            tell(telemetry, read, now)
            tell(telemetry, Invoke(of), now)
            telemetry.invoked(SHARD, 0.1)
            tell(telemetry, done, now)
            tell(telemetry, Save(1, Progress(after("7")), durable=True), now)
            tell(telemetry, Saved(1), now)

        return calls(work)

    def idle():
        tell(telemetry, FETCH, now)
        tell(telemetry, empty, now)

    empty, now = page(0), at(5.0)
    busy(1)  # the logger looks up its level once
    assert busy(10) == busy(10_000) <= 40
    assert calls(idle) <= 10
