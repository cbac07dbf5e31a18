"""What a mapping of a stream takes and refuses, field by field, and what a valid one comes to."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from poller.core.mapping import (
    DestinationArn,
    DestinationKind,
    EventSourceMapping,
    HandlerSettings,
    Invalid,
    PollerSettings,
    StreamSettings,
    parse_mapping,
)
from poller.core.mapping_conflicts import find_conflicts
from poller.core.mapping_rules import FIELDS
from poller.core.mapping_shapes import FieldProblem, dotted
from poller.core.model import SourceKind
from poller.core.records import Position, PositionKind

CLICKS = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
TARGET = "python:shop.clicks:handler"
UNSUPPORTED = "Unsupported {} parameter for given event source mapping type."
INVALID, VALIDATION, TYPE = "InvalidParameterValueException", "ValidationException", "SerializationException"
BOTH = pytest.mark.parametrize("source", [CLICKS, TABLE])


def parsed(**fields: Any) -> EventSourceMapping | Invalid:
    least = {"EventSourceArn": CLICKS, "FunctionName": TARGET, "StartingPosition": "TRIM_HORIZON"}
    return parse_mapping(least | fields)


def valid(**fields: Any) -> EventSourceMapping:
    mapping = parsed(**fields)
    assert isinstance(mapping, EventSourceMapping), mapping
    return mapping


def stream(**fields: Any) -> StreamSettings:
    settings = valid(**fields).stream
    assert settings is not None
    return settings


def problems(**fields: Any) -> tuple[FieldProblem, ...]:
    refused = parsed(**fields)
    assert isinstance(refused, Invalid), refused
    assert all(problem.sentence.isprintable() and len(problem.sentence) < 500 for problem in refused.problems)
    return refused.problems


def only_problem(**fields: Any) -> FieldProblem:
    found = problems(**fields)
    assert len(found) == 1, [problem.sentence for problem in found]
    return found[0]


def check_refused(name: str, values: list[Any], code: str, words: str) -> None:
    for value in values:
        problem = only_problem(**{name: value})
        assert (problem.path, problem.code) == ((name,), code), value
        assert words in problem.detail, value


def test_a_mapping_of_three_fields_has_the_defaults() -> None:
    """CFG-4, CFG-6, CFG-11, CFG-12, CFG-13, CFG-14, CFG-31, CFG-56: a hundred records and no window, which is no
    mistake here; tried for ever, whatever their age.
    """
    mapping = valid()
    assert mapping == EventSourceMapping(
        uuid=mapping.uuid,
        name="clicks",
        source=SourceKind.KINESIS,
        arn=mapping.arn,
        function_name=TARGET,
        function_arn="arn:aws:lambda:eu-west-1:123456789012:function:clicks",
        enabled=True,
        batch_size=100,
        window=0.0,
        report_batch_item_failures=False,
        maximum_concurrency=None,
        provisioned=None,
        handler=HandlerSettings(timeout=30.0, concurrency=1_000, endpoint_url=None),
        poller=PollerSettings(),
        stream=StreamSettings(
            position=Position(PositionKind.TRIM_HORIZON),
            lanes=1,
            bisect=False,
            retries=None,
            maximum_age=None,
            tumbling_window=0,
            destination=None,
        ),
    )


def test_a_table_has_the_same_defaults() -> None:
    """CFG-1, CFG-4: its name is the table's, its label the stream's."""
    mapping = valid(EventSourceArn=TABLE)
    assert (mapping.source, mapping.name, mapping.batch_size) == (SourceKind.DYNAMODB, "orders", 100)
    assert (mapping.arn.name, mapping.arn.label) == ("orders", "2026-01-01T00:00:00.000")
    assert mapping.stream == stream()


def test_a_stream_is_no_fifo_queue_whatever_its_name() -> None:
    """CFG-32 is about queues."""
    assert not valid(EventSourceArn=f"{CLICKS}.fifo", BatchSize=100, MaximumBatchingWindowInSeconds=5).arn.fifo


def test_every_field_arrives() -> None:
    """CFG-5, CFG-7, CFG-8, CFG-9, CFG-15: nothing that was said gets lost on the way."""
    mapping = valid(
        Name="eu-clicks",
        Enabled=False,
        BatchSize=10_000,
        MaximumBatchingWindowInSeconds=300,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=1_700_000_000.5,
        ParallelizationFactor=10,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=3,
        MaximumRecordAgeInSeconds=3_600,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::clicks-failed"}},
        Handler={"TimeoutInSeconds": 5, "Concurrency": 7},
    )
    assert (mapping.name, mapping.enabled, mapping.batch_size, mapping.window) == (
        "eu-clicks",
        False,
        10_000,
        300.0,
    )
    assert mapping.report_batch_item_failures
    assert mapping.handler == HandlerSettings(5.0, 7)
    assert mapping.stream == StreamSettings(
        position=Position(PositionKind.AT_TIMESTAMP, timestamp=1_700_000_000.5),
        lanes=10,
        bisect=True,
        retries=3,
        maximum_age=3_600.0,
        tumbling_window=0,
        destination=DestinationArn("arn:aws:s3:::clicks-failed", DestinationKind.S3, "", "", "clicks-failed"),
    )
    assert stream(TumblingWindowInSeconds=900).tumbling_window == 900


def test_a_null_is_the_same_as_nothing() -> None:
    """CFG-1: as in the JSON of the API."""
    needed = {"EventSourceArn", "FunctionName", "StartingPosition"}
    assert valid(**{name: None for name in FIELDS if name not in needed}) == valid()


@BOTH
def test_batches_of_streams(source: str) -> None:
    """CFG-4, CFG-5, CFG-31: large batches need no window here."""
    for size in (1, 101, 10_000):
        assert valid(EventSourceArn=source, BatchSize=size).batch_size == size
    for size in (0, 10_001):
        assert only_problem(EventSourceArn=source, BatchSize=size).path == ("BatchSize",)
    assert only_problem(EventSourceArn=source, MaximumBatchingWindowInSeconds=301).code == VALIDATION


# --- where to begin ---


@BOTH
@pytest.mark.parametrize("position", [PositionKind.TRIM_HORIZON, PositionKind.LATEST])
def test_where_a_stream_begins(source: str, position: PositionKind) -> None:
    """CFG-7, STR-10, STR-11: TRIM_HORIZON and LATEST hold for both kinds."""
    assert stream(EventSourceArn=source, StartingPosition=position.value).position == Position(position)


@BOTH
def test_a_stream_must_say_where_it_begins(source: str) -> None:
    """CFG-33: AWS's text."""
    problem = only_problem(EventSourceArn=source, StartingPosition=None)
    assert (problem.path, problem.code) == (("StartingPosition",), VALIDATION)
    assert problem.message == (
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint:"
        " Member must not be null."
    )


@BOTH
@pytest.mark.parametrize(
    "value", ["x", "latest", "", 5, True, ["LATEST"], {}, "AFTER_SEQUENCE_NUMBER", "SHARD_END"]
)
def test_starting_positions_that_are_none(source: str, value: Any) -> None:
    """CFG-34: AWS's text, and the three words."""
    problem = only_problem(EventSourceArn=source, StartingPosition=value)
    assert (problem.path, problem.code) == (("StartingPosition",), VALIDATION)
    limit = "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]"
    assert problem.message.endswith(f" at 'startingPosition' failed to satisfy constraint: {limit}")
    if value == "x":
        assert problem.message.startswith("1 validation error detected: Value 'x' at ")


def test_a_table_cannot_begin_at_a_time() -> None:
    """CFG-35, CFG-8."""
    problem = only_problem(EventSourceArn=TABLE, StartingPosition="AT_TIMESTAMP")
    assert (problem.path, problem.code) == (("StartingPosition",), INVALID)
    assert problem.message == f"Unsupported starting position for arn type: {TABLE}"
    problem = only_problem(EventSourceArn=TABLE, StartingPositionTimestamp=5)
    assert problem.message == UNSUPPORTED.format("StartingPositionTimestamp")


def test_a_time_goes_with_at_timestamp_and_only_with_it() -> None:
    """CFG-8."""
    problem = only_problem(StartingPosition="AT_TIMESTAMP")
    assert (problem.path, problem.code) == (("StartingPositionTimestamp",), INVALID)
    assert "AT_TIMESTAMP needs a StartingPositionTimestamp" in problem.message
    for position in ("LATEST", "TRIM_HORIZON"):
        problem = only_problem(StartingPosition=position, StartingPositionTimestamp=5)
        assert (problem.path, problem.code) == (("StartingPositionTimestamp",), INVALID)
        assert f"is for StartingPosition AT_TIMESTAMP, not for {position}" in problem.message


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.25, 1_700_000_000.25),
        ("2026-01-31T12:00:00Z", 1_769_860_800.0),
        ("2026-01-31t12:00:00z", 1_769_860_800.0),
        ("2026-01-31T14:00:00+02:00", 1_769_860_800.0),
        ("2026-01-31T14:00+0200", 1_769_860_800.0),
        ("2026-1-31 7:00:00.000 -5", 1_769_860_800.0),
        ("2026-01-31 12:00:00.25Z", 1_769_860_800.25),
        ("2026-01-31T12:00:00,123456789Z", 1_769_860_800.123456),
        ("2024-02-29T00:00:00Z", 1_709_164_800.0),
        ("1969-12-31T23:30:00-01:00", 1_800.0),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), 1_769_860_800.0),
        (datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2))), 1_769_860_800.0),
    ],
)
def test_times(written: Any, seconds: float) -> None:
    """CFG-8, STR-13: seconds since 1970, text of ISO 8601 or YAML, or a datetime of the calling program."""
    position = stream(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=written).position
    assert position.kind is PositionKind.AT_TIMESTAMP
    assert position.timestamp == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2026-01-31", "'2026-01-31' has no time zone"),
        ("2026-01-31T12:00:00", "has no time zone"),
        (datetime(2026, 1, 31, 12), "has no time zone; give it a tzinfo"),  # noqa: DTZ001 - that is the mistake
        ("2026-02-29T00:00:00Z", "is not a time of the calendar"),
        ("2026-01-31T24:00:00Z", "is not a time of the calendar"),
        ("2026-01-31T12:00:60Z", "is not a time of the calendar"),
        ("2026-01-31T12:00:00+24:00", "is not a time of the calendar"),
        ("0000-01-31T12:00:00Z", "is not a time of the calendar"),
        ("1969-12-31T23:59:59Z", "is no time since 1970"),
        ("0001-01-01T00:00:00+23:59", "is no time since 1970"),
        ("9999-12-31T23:59:59-23:59", None),
        ("1700000000", "'1700000000' is not a time"),
        ("yesterday", "'yesterday' is not a time"),
        ("", "'' is not a time"),
        ("2026-01-31T12:00:00Z\n", "is not a time"),
        ("٢٠٢٦-01-31T12:00:00Z", "is not a time"),
        (1_700_000_000_000, "looks like milliseconds"),
        (-1, "-1 is no time since 1970"),
        (10**500, "is no time since 1970"),
        (math.nan, "is no time since 1970"),
        (math.inf, "is no time since 1970"),
        (True, "true is not a time"),
        ([], "a list is not a time"),
        ({}, "a map is not a time"),
    ],
)
def test_what_is_no_time(written: Any, words: str | None) -> None:
    """CFG-8: a time without a zone may be hours off, and hours too late lose records, so it is none."""
    given = parsed(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=written)
    if words is None:
        assert isinstance(given, EventSourceMapping)
        return
    problem = only_problem(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=written)
    assert (problem.path, problem.code) == (("StartingPositionTimestamp",), INVALID)
    assert words in problem.detail
    assert "2026-01-31T12:00:00Z" in problem.detail
    assert "\n" not in problem.detail


# --- lanes, failures, windows ---


@BOTH
def test_parallelization_factor(source: str) -> None:
    """CFG-6, STR-40."""
    assert [stream(EventSourceArn=source, ParallelizationFactor=n).lanes for n in (1, 10)] == [1, 10]
    check_refused("ParallelizationFactor", [0, -1, 11], VALIDATION, "a whole number from 1 to 10")
    check_refused("ParallelizationFactor", ["2", 2.0, True, []], TYPE, "a whole number from 1 to 10")


def test_record_age() -> None:
    """CFG-11, CFG-48: for ever (-1), or a minute to a week."""
    assert [stream(MaximumRecordAgeInSeconds=n).maximum_age for n in (-1, 60, 604_800)] == [None, 60.0, 604_800.0]
    check_refused(
        "MaximumRecordAgeInSeconds", [0, 1, 59], VALIDATION, "-1 for no limit, or a whole number from 60"
    )
    check_refused("MaximumRecordAgeInSeconds", [-2, 604_801], VALIDATION, "from -1 to 604800")
    check_refused("MaximumRecordAgeInSeconds", ["60", 60.0, True, False], TYPE, "a whole number from -1")


def test_bisect() -> None:
    """CFG-12."""
    assert stream(BisectBatchOnFunctionError=True).bisect
    assert not stream(BisectBatchOnFunctionError=False).bisect
    check_refused("BisectBatchOnFunctionError", ["true", 1, []], TYPE, "allowed: true or false")


def test_retry_attempts() -> None:
    """CFG-13, CFG-56: -1 is for ever and the default, 0 is no retry."""
    assert [stream(MaximumRetryAttempts=n).retries for n in (-1, 0, 10_000)] == [None, 0, 10_000]
    check_refused("MaximumRetryAttempts", [-2, 10_001], VALIDATION, "a whole number from -1 to 10000")
    check_refused("MaximumRetryAttempts", ["3", 3.0, False], TYPE, "a whole number from -1 to 10000")


def test_tumbling_window() -> None:
    """CFG-14."""
    assert [stream(TumblingWindowInSeconds=n).tumbling_window for n in (0, 1, 900)] == [0, 1, 900]
    check_refused("TumblingWindowInSeconds", [-1, 901], VALIDATION, "a whole number from 0 to 900")
    check_refused("TumblingWindowInSeconds", ["9", 0.5, True], TYPE, "a whole number from 0 to 900")


def test_what_a_tumbling_window_excludes() -> None:
    """CFG-49, TMB-13: several lanes, and filters; an empty filter container does no harm."""
    problem = only_problem(TumblingWindowInSeconds=1, ParallelizationFactor=2)
    assert (problem.path, problem.code) == (("TumblingWindowInSeconds",), INVALID)
    assert "cannot be combined with a ParallelizationFactor above 1" in problem.message
    assert valid(TumblingWindowInSeconds=1, ParallelizationFactor=1)
    assert valid(TumblingWindowInSeconds=0, ParallelizationFactor=10)
    for empty in ({}, {"Filters": []}, {"Filters": None}):
        assert valid(TumblingWindowInSeconds=1, FilterCriteria=empty)
    told = [
        p.message for p in problems(TumblingWindowInSeconds=1, FilterCriteria={"Filters": [{"Pattern": "{}"}]})
    ]
    assert told[-1] == "TumblingWindowInSeconds cannot be combined with FilterCriteria"


def test_a_filter_arrives() -> None:
    """CFG-16: as text, however it was written."""
    assert valid(FilterCriteria={"Filters": [{"Pattern": {"data": {"a": [1]}}}]}).filters == (
        '{"data":{"a":[1]}}',
    )


# --- failure destinations ---


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        (
            "arn:aws:sqs:eu-west-1:123456789012:failed",
            (DestinationKind.SQS, "eu-west-1", "123456789012", "failed"),
        ),
        (
            "arn:aws-cn:sns:cn-north-1:000000000000:failed_-9",
            (DestinationKind.SNS, "cn-north-1", "000000000000", "failed_-9"),
        ),
        ("arn:aws:s3:::clicks.failed-2", (DestinationKind.S3, "", "", "clicks.failed-2")),
    ],
)
@BOTH
def test_destinations(source: str, text: str, destination: tuple[Any, ...]) -> None:
    """CFG-9, DST-1: a standard queue, a standard topic, a bucket."""
    given = stream(EventSourceArn=source, DestinationConfig={"OnFailure": {"Destination": text}}).destination
    assert given == DestinationArn(text, *destination)


@pytest.mark.parametrize(
    "nothing",
    [
        {},
        {"OnFailure": {}},
        {"OnFailure": None},
        {"OnFailure": {"Destination": None}},
        {"OnFailure": {"Destination": ""}},
        {"OnFailure": {}, "OnSuccess": None},
    ],
)
def test_no_destination(nothing: Any) -> None:
    """CFG-9: empty ones clear the setting."""
    assert stream(DestinationConfig=nothing).destination is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arn:aws:sqs:eu-west-1:123456789012:failed.fifo", "a FIFO queue cannot take the failures of a stream"),
        ("arn:aws:sns:eu-west-1:123456789012:failed.fifo", "a FIFO topic cannot take the failures of a stream"),
        ("kafka://failed", "kafka:// is a destination for Kafka sources"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f", "a function cannot take the failures of a stream"),
        ("arn:aws:events:eu-west-1:123456789012:event-bus/b", "this is an ARN of 'events'"),
        (CLICKS, "this is an ARN of 'kinesis'"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/q", "this is the URL of a queue, not its ARN"),
        ("failed", "'failed' is not an ARN"),
        ("arn:aws:s3", "is not a whole ARN"),
        ("arn:amazon:s3:::b", "'amazon' is not a partition"),
        ("arn:aws:s3:::", "'' is not the name of a bucket"),
        ("arn:aws:s3:::a b c", "is not the name of a bucket"),
        ("arn:aws:s3:::bucket/prefix", "goes on behind the bucket"),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/a", "which has neither region nor account"),
        ("arn:aws:sqs:europe:123456789012:q", "'europe' is not a region"),
        ("arn:aws:sqs:eu-west-1:12:q", "'12' is not an account"),
        ("arn:aws:sqs:eu-west-1:123456789012:a/b", "'a/b' is not the name of a queue"),
        ("arn:aws:sns:eu-west-1:123456789012:t:0f-subscription", "is not the name of a topic"),
        ("arn:aws:sns:eu-west-1:123456789012:t\n", "is not the name of a topic"),
        (5, "5 is not text"),
        (f"arn:aws:s3:::{'b' * 350}", "Member must have length less than or equal to 350"),
    ],
)
def test_what_takes_no_failures(text: Any, words: str) -> None:
    """CFG-9, CFG-50, DST-1: refused when it is configured, not when the first document is due."""
    problem = only_problem(DestinationConfig={"OnFailure": {"Destination": text}})
    assert dotted(problem.path) == "DestinationConfig.OnFailure.Destination"
    assert words in problem.detail
    assert "arn:aws:s3:::<bucket>" in problem.detail


def test_a_stream_has_no_destination_for_successes() -> None:
    """CFG-10, CFG-39: in the words of the service."""
    for value in ({}, {"Destination": "arn:aws:s3:::b"}):
        problem = only_problem(DestinationConfig={"OnSuccess": value})
        assert problem.path == ("DestinationConfig", "OnSuccess")
        assert (problem.code, problem.message) == (INVALID, UNSUPPORTED.format("DestinationConfig"))
    assert "did you mean OnFailure?" in only_problem(DestinationConfig={"OnFailur": {}}).detail
    assert "did you mean Destination?" in only_problem(DestinationConfig={"OnFailure": {"destination": ""}}).detail
    for value in ([], "arn:aws:s3:::b", True):
        assert only_problem(DestinationConfig=value).code == TYPE
        assert only_problem(DestinationConfig={"OnFailure": value}).code == TYPE


# --- everything else ---


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ScalingConfig", {}),
        ("ScalingConfig", {"MaximumConcurrency": 5}),
        ("ProvisionedPollerConfig", {"MinimumPollers": 2}),
        ("Poller", {"Heartbeat": True}),
        ("LoggingConfig", {"SystemLogLevel": "INFO"}),
        ("Topics", ["t"]),
        ("Queues", ["q"]),
        ("SourceAccessConfigurations", []),
        ("SelfManagedEventSource", {}),
        ("AmazonManagedKafkaEventSourceConfig", {}),
        ("SelfManagedKafkaEventSourceConfig", {}),
        ("DocumentDBEventSourceConfig", {}),
    ],
)
@BOTH
def test_fields_that_a_stream_does_not_take(source: str, field: str, value: Any) -> None:
    """CFG-17, CFG-18, CFG-19, CFG-20, CFG-23, CFG-25, CFG-39: also with a value that changes nothing."""
    problem = only_problem(EventSourceArn=source, **{field: value})
    assert (problem.path, problem.code, problem.message) == ((field,), INVALID, UNSUPPORTED.format(field))


@pytest.mark.parametrize(
    ("name", "source", "meant"),
    [
        ("StartPosition", CLICKS, "StartingPosition"),
        ("startingposition", TABLE, "StartingPosition"),
        ("ParallelisationFactor", CLICKS, "ParallelizationFactor"),
        ("MaximumRetryAttempt", TABLE, "MaximumRetryAttempts"),
        ("BisectBatchOnError", CLICKS, "BisectBatchOnFunctionError"),
        ("StartingPositionTimestmp", CLICKS, "StartingPositionTimestamp"),
    ],
)
def test_unknown_fields_of_a_stream(name: str, source: str, meant: str) -> None:
    """Only what this source takes is suggested."""
    assert only_problem(EventSourceArn=source, **{name: 1}).detail.endswith(f"did you mean {meant}?")
    assert "ScalingConfig" not in only_problem(EventSourceArn=source, ScalingConf=1).detail


def test_one_lane_has_a_call_of_its_own() -> None:
    """STR-41: shards and lanes are the bound unless a cap is asked for."""
    assert valid().handler.concurrency == 1_000
    assert valid(Handler={}).handler == valid(Handler={"Concurrency": None}).handler == valid().handler
    assert valid(Handler={"Concurrency": 1}).handler.concurrency == 1
    assert problems(Handler={"Concurrency": 0})


def test_one_stream_with_one_function_twice() -> None:
    """CFG-51: AWS has another sentence for streams."""
    first, again = valid(Name="a"), valid(Name="b")
    (problem,) = find_conflicts([first, again])
    assert (problem.path, problem.code) == ((1, "FunctionName"), "ResourceConflictException")
    assert problem.message == (
        f'The event source arn (" {CLICKS} ") and function (" {TARGET} ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {first.uuid}"
    )
    assert find_conflicts([first, valid(Name="b", FunctionName="python:x:y")]) == ()


def test_positions_are_kept_under_the_name_that_was_given() -> None:
    """STR-31, API-2, CFG-2: the function may change, as in an update; another name or stream starts anew."""
    named = valid(Name="a")
    assert named.uuid == valid(Name="a", FunctionName="python:x:y", BatchSize=1).uuid
    others = {valid(Name="b").uuid, valid(Name="a", EventSourceArn=TABLE).uuid, valid(Name="clicks").uuid}
    assert len({named.uuid, valid().uuid} | others) == 5


def test_positions_without_a_name_are_kept_under_the_function() -> None:
    """STR-31, CFG-51: the order in the file decides the derived names, not whose position is whose."""
    fields = {"EventSourceArn": CLICKS, "StartingPosition": "LATEST", "FunctionName": TARGET}
    first, second = parse_mapping(fields), parse_mapping(fields, ["clicks"])
    assert isinstance(first, EventSourceMapping)
    assert isinstance(second, EventSourceMapping)
    assert (first.name, second.name) == ("clicks", "clicks-2")
    assert first.uuid == second.uuid != valid(FunctionName="python:x:y").uuid


def test_all_problems_are_told_at_once_and_in_a_fixed_order() -> None:
    """The order of the table, then unknown fields, then rules across fields."""
    wrong = {
        "Zzz": 1,
        "TumblingWindowInSeconds": 5,
        "ParallelizationFactor": 2,
        "MaximumRetryAttempts": -5,
        "Poller": {},
        "BatchSize": 0,
        "EventSourceArn": CLICKS,
    }
    refused = parse_mapping(wrong)
    assert isinstance(refused, Invalid)
    assert [dotted(problem.path) for problem in refused.problems] == [
        "FunctionName",
        "BatchSize",
        "Poller",
        "StartingPosition",
        "MaximumRetryAttempts",
        "Zzz",
        "TumblingWindowInSeconds",
    ]
    assert parse_mapping(dict(reversed(wrong.items()))) == refused


def test_messages_are_short_printable_lines() -> None:
    """Whatever was written: `problems` checks each."""
    for value in ("x" * 5_000, "a\nb\x1b[31m", "\ud83d", 10**6_000, [[]] * 9, {"a": 1}, object(), b"x"):
        for field in (
            "StartingPosition",
            "ParallelizationFactor",
            "MaximumRecordAgeInSeconds",
            "DestinationConfig",
        ):
            assert problems(**{field: value})
        assert problems(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=value)
        assert problems(DestinationConfig={"OnFailure": {"Destination": value}})
