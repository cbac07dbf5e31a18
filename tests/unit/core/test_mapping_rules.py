"""The limits of single fields and of fields together, to the last value that is allowed (CFG)."""

from typing import Any

import pytest

from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.mapping_rules import FIELDS
from poller.core.mapping_streams import epoch_seconds

QUEUE = {"EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders", "FunctionName": "python:shop:handler"}
FIFO = {**QUEUE, "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"}
STREAM = {
    "EventSourceArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
    "FunctionName": "python:shop:handler",
    "StartingPosition": "LATEST",
}
WINDOW, POLLERS = "MaximumBatchingWindowInSeconds", "ProvisionedPollerConfig"


def pollers(least: int, most: int) -> dict[str, Any]:
    return {POLLERS: {"MinimumPollers": least, "MaximumPollers": most}}


@pytest.mark.parametrize(
    ("base", "given"),
    [
        (QUEUE, {"BatchSize": 10}),
        (QUEUE, {"BatchSize": 11, WINDOW: 1}),
        (QUEUE, {"BatchSize": 10_000, WINDOW: 300}),
        (FIFO, {"BatchSize": 1}),
        (FIFO, {"BatchSize": 10, WINDOW: 0}),
        (QUEUE, pollers(2, 2)),
        (QUEUE, pollers(200, 200)),
        (QUEUE, {"Tags": {"k" * 128: "v" * 256}}),
        (QUEUE, {"Tags": {"k": ""}}),
        (QUEUE, {"MetricsConfig": {"Metrics": ["EventCount"] * 3}}),
    ],
)
def test_what_is_allowed(base: dict[str, Any], given: dict[str, Any]) -> None:
    """CFG-4, CFG-5, CFG-18, CFG-19, CFG-22, CFG-24, CFG-30: up to the limit itself."""
    assert isinstance(parse_mapping({**base, **given}), EventSourceMapping)


@pytest.mark.parametrize(
    ("base", "given", "path", "words"),
    [
        (QUEUE, {"BatchSize": 11}, ("BatchSize",), "Maximum batch window"),
        (QUEUE, {"BatchSize": 10_000}, ("BatchSize",), "Maximum batch window"),
        (QUEUE, {"BatchSize": 10_001}, ("BatchSize",), "10000"),
        (QUEUE, {"BatchSize": 11, WINDOW: -1}, (WINDOW,), "0"),
        (FIFO, {"BatchSize": 11}, ("BatchSize",), "FIFO"),
        (FIFO, {"BatchSize": 10_000}, ("BatchSize",), "FIFO"),
        (FIFO, {"BatchSize": 10_001}, ("BatchSize",), "10000"),
        (FIFO, {WINDOW: 1}, (WINDOW,), "FIFO"),
        (FIFO, {WINDOW: 300}, (WINDOW,), "FIFO"),
        (FIFO, {WINDOW: 301}, (WINDOW,), "300"),
        (FIFO, {WINDOW: -1}, (WINDOW,), "0"),
        (QUEUE, pollers(3, 2), (POLLERS, "MinimumPollers"), "3 is greater than MaximumPollers 2"),
        (QUEUE, pollers(200, 199), (POLLERS, "MinimumPollers"), "200 is greater than MaximumPollers 199"),
        (QUEUE, pollers(201, 5), (POLLERS, "MinimumPollers"), "200"),
        (QUEUE, pollers(5, 1), (POLLERS, "MaximumPollers"), "2"),
        (QUEUE, {"Tags": {"k" * 129: "v"}}, ("Tags", "k" * 129), "too long"),
        (QUEUE, {"Tags": {"k": "v" * 257}}, ("Tags", "k"), "too long"),
        (QUEUE, {"Tags": {"": "v"}}, ("Tags", ""), "no name"),
        (QUEUE, {"MetricsConfig": {"Metrics": ["EventCount"] * 4}}, ("MetricsConfig", "Metrics"), "3"),
    ],
)
def test_what_is_refused(base: dict[str, Any], given: dict[str, Any], path: tuple[str, ...], words: str) -> None:
    """CFG-4, CFG-5, CFG-18, CFG-22, CFG-24, CFG-30, CFG-32: one problem for each mistake, at its place."""
    parsed = parse_mapping({**base, **given})
    assert isinstance(parsed, Invalid)
    (problem,) = parsed.problems
    assert problem.path == path
    assert words in problem.message + problem.detail


@pytest.mark.parametrize(
    ("base", "path", "least", "most"),
    [
        (STREAM, ("BatchSize",), 1, 10_000),
        (STREAM, ("MaximumBatchingWindowInSeconds",), 0, 300),
        (QUEUE, ("ScalingConfig", "MaximumConcurrency"), 2, 1_000),
        (QUEUE, ("ProvisionedPollerConfig", "MinimumPollers"), 2, 200),
        (QUEUE, ("ProvisionedPollerConfig", "MaximumPollers"), 2, 10_000),
        (QUEUE, ("Handler", "TimeoutInSeconds"), 1, 900),
        (QUEUE, ("Handler", "Concurrency"), 1, 1_000),
        ({**QUEUE, "FunctionName": "process:shop:handler"}, ("Handler", "RecycleAfter"), 1, 1_000_000_000),
        (STREAM, ("ParallelizationFactor",), 1, 10),
        (STREAM, ("MaximumRetryAttempts",), -1, 10_000),
        (STREAM, ("TumblingWindowInSeconds",), 0, 900),
    ],
)
def test_a_range(base: dict[str, Any], path: tuple[str, ...], least: int, most: int) -> None:
    """CFG-4, CFG-5, CFG-6, CFG-13, CFG-14, CFG-17, CFG-18, CFG-19, INV-3: both ends are in it, for editors too."""

    def given(value: int) -> EventSourceMapping | Invalid:
        inner: Any = value
        for name in reversed(path):
            inner = {name: inner}
        return parse_mapping({**base, **inner})

    for value in (least, most):
        assert isinstance(given(value), EventSourceMapping), value
    for value in (least - 1, most + 1):
        refused = given(value)
        assert isinstance(refused, Invalid), value
        assert [problem.path for problem in refused.problems] == [path]
    told: Any = FIELDS[path[0]].shape.schema
    for name in path[1:]:
        told = told["properties"][name]
    assert (told["minimum"], told["maximum"]) == (least, most)


def test_the_delays_of_failed_messages() -> None:
    """SQS-9: SQS hides a message for 12 hours at most."""
    for first, last, wrong in (
        (0, 0, []),
        (43_200, 43_200, []),
        (0, 43_201, ["Max"]),
        (-1, 5, ["Initial"]),
        (6, 5, ["Initial"]),
    ):
        parsed = parse_mapping({**QUEUE, "Poller": {"RetryDelay": {"Initial": first, "Max": last}}})
        problems = parsed.problems if isinstance(parsed, Invalid) else ()
        assert [problem.path[-1] for problem in problems] == wrong


def test_what_an_editor_is_told_of_lists_and_tags() -> None:
    """CFG-15, CFG-16, CFG-22, CFG-24: as many, and as long, as the checks allow."""
    told: Any = {name: field.shape.schema for name, field in FIELDS.items()}
    assert told["FilterCriteria"]["properties"]["Filters"]["maxItems"] == 10
    assert told["MetricsConfig"]["properties"]["Metrics"]["maxItems"] == 3
    assert told["FunctionResponseTypes"]["maxItems"] == 1
    tags = told["Tags"]
    assert (tags["maxProperties"], tags["propertyNames"], tags["additionalProperties"]["maxLength"]) == (
        *(50, {"maxLength": 128}, 256),
    )


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (0, 0.0),
        (253_402_300_799, 253_402_300_799.0),
        (253_402_300_800, "253402300800 looks like milliseconds"),
        (253_402_300_799_000, "253402300799000 looks like milliseconds"),
        (253_402_300_799_001, "253402300799001 is no time since 1970"),
        (-1, "-1 is no time since 1970"),
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01T00:00:00.000001Z", 0.000001),
        ("1969-12-31T23:59:59Z", "'1969-12-31T23:59:59Z' is no time since 1970"),
        ("2026-01-01T00:00:00.5Z", 1_767_225_600.5),
    ],
)
def test_a_time_to_begin_at(value: object, read: float | str) -> None:
    """CFG-8: from 1970 to the end of 9999, both included; what is beyond is taken for what it mostly is."""
    assert epoch_seconds(value) == read


def test_what_an_editor_is_told_of_times_and_ages() -> None:
    """CFG-8, CFG-11: the ends that the checks have."""
    time: Any = FIELDS["StartingPositionTimestamp"].shape.schema
    age: Any = FIELDS["MaximumRecordAgeInSeconds"].shape.schema
    assert (time["minimum"], time["maximum"]) == (0, 253_402_300_799)
    assert age["anyOf"] == [{"const": -1}, {"minimum": 60}]
    assert (age["minimum"], age["maximum"]) == (-1, 604_800)


@pytest.mark.parametrize(
    ("age", "allowed"), [(-1, True), (0, False), (59, False), (60, True), (604_800, True), (604_801, False)]
)
def test_the_age_of_records(age: int, allowed: bool) -> None:
    """CFG-11, CFG-48: for ever, or a minute to a week."""
    parsed = parse_mapping({**STREAM, "MaximumRecordAgeInSeconds": age})
    assert isinstance(parsed, EventSourceMapping) is allowed


@pytest.mark.parametrize(("length", "words"), [(350, "arn:aws:sqs"), (351, "350")])
def test_the_length_of_a_destination(length: int, words: str) -> None:
    """CFG-9: what is too long is told as that, and as nothing else."""
    parsed = parse_mapping({**STREAM, "DestinationConfig": {"OnFailure": {"Destination": "x" * length}}})
    assert isinstance(parsed, Invalid)
    (problem,) = parsed.problems
    assert words in problem.message + problem.detail
    assert ("less than or equal to 350" in problem.message) is (length > 350)
