"""Every rule of a mapping by itself, and what a valid one comes to. One test names one clause, where it can."""

import math
import re
from typing import Any

import pytest

from poller.core.mapping import (
    EventSourceMapping,
    HandlerSettings,
    Invalid,
    PollerSettings,
    ProvisionedPollers,
    RetryDelay,
    parse_mapping,
    visibility_conflict,
)
from poller.core.mapping_conflicts import find_conflicts
from poller.core.mapping_rules import FIELDS
from poller.core.mapping_shapes import FieldProblem, dotted
from poller.core.model import SourceKind

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
FIFO = f"{QUEUE}.fifo"
TARGET = "python:shop.orders:handler"
UNSUPPORTED = "Unsupported {} parameter for given event source mapping type."
INVALID, VALIDATION, TYPE = "InvalidParameterValueException", "ValidationException", "SerializationException"


def valid(**fields: Any) -> EventSourceMapping:
    parsed = parse_mapping({"EventSourceArn": QUEUE, "FunctionName": TARGET, **fields})
    assert isinstance(parsed, EventSourceMapping), parsed
    return parsed


def problems(**fields: Any) -> tuple[FieldProblem, ...]:
    parsed = parse_mapping({"EventSourceArn": QUEUE, "FunctionName": TARGET, **fields})
    assert isinstance(parsed, Invalid), parsed
    assert parsed.problems
    return parsed.problems


def only_problem(**fields: Any) -> FieldProblem:
    found = problems(**fields)
    assert len(found) == 1, [problem.sentence for problem in found]
    return found[0]


def check_range(name: str, accepted: list[Any], refused: list[Any], code: str, words: str = "") -> None:
    """`name` may be dotted: a field inside a block."""

    def fields(value: Any) -> dict[str, Any]:
        outer, _, inner = name.partition(".")
        return {outer: {inner: value} if inner else value}

    for value in accepted:
        valid(**fields(value))
    for value in refused:
        problem = only_problem(**fields(value))
        assert (dotted(problem.path), problem.code) == (name, code), value
        assert words in problem.detail, value


def test_a_mapping_of_two_fields_has_the_defaults() -> None:
    """CFG-3, CFG-4, CFG-5, CFG-15, CFG-17: what is so when nothing is said."""
    mapping = valid()
    assert mapping == EventSourceMapping(
        uuid=mapping.uuid,
        name="orders",
        source=SourceKind.SQS,
        arn=mapping.arn,
        function_name=TARGET,
        function_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders",
        enabled=True,
        batch_size=10,
        window=0.0,
        report_batch_item_failures=False,
        maximum_concurrency=None,
        provisioned=None,
        handler=HandlerSettings(timeout=30.0, concurrency=10, endpoint_url=None),
        poller=PollerSettings(heartbeat=False, retry_delay=None),
    )


def test_every_field_arrives() -> None:
    """CFG-17, CFG-15: nothing that was said gets lost on the way."""
    mapping = valid(
        Name="eu-orders",
        Enabled=False,
        BatchSize=100,
        MaximumBatchingWindowInSeconds=5,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": 50},
        Handler={"TimeoutInSeconds": 29.5, "Concurrency": 50},
        Poller={"Heartbeat": True, "RetryDelay": {"Initial": 0.5, "Max": 60}},
    )
    assert mapping.name == "eu-orders"
    assert not mapping.enabled
    assert (mapping.batch_size, mapping.window, mapping.maximum_concurrency) == (100, 5.0, 50)
    assert mapping.report_batch_item_failures
    assert mapping.handler == HandlerSettings(29.5, 50)
    assert mapping.poller == PollerSettings(heartbeat=True, retry_delay=RetryDelay(0.5, 60.0))


def test_a_null_is_the_same_as_nothing() -> None:
    """CFG-1: as in the JSON of the API."""
    nothing = {name: None for name in FIELDS if name not in {"EventSourceArn", "FunctionName"}}
    assert valid(**nothing) == valid()


@pytest.mark.parametrize(
    ("arn", "words"),
    [
        (None, "EventSourceArn is missing"),
        ("", "'' is not an ARN"),
        ("orders", "'orders' is a name; write the whole ARN"),
        ("shop orders", "'shop orders' is not an ARN"),
        ("arn", "'arn' is not a whole ARN"),
        ("arn:aws", "'arn:aws' is not a whole ARN"),
        ("arn:aws:sqs:eu-west-1:123456789012", "has 5 parts instead of 6"),
        (f"{QUEUE}:x", "has 7 parts instead of 6"),
        ("arn:amazon:sqs:eu-west-1:123456789012:orders", "'amazon' is not a partition"),
        ("arn:aws:sqs:eu-west1:123456789012:orders", "'eu-west1' is not a region"),
        ("arn:aws:sqs::123456789012:orders", "'' is not a region"),
        ("arn:aws:sqs:eu-west-1:12345:orders", "'12345' is not an account"),
        ("arn:aws:sqs:eu-west-1:123456789012:", "'' is not a queue name"),
        ("arn:aws:sqs:eu-west-1:123456789012:or/ders", "'or/ders' is not a queue name"),
        (f"arn:aws:sqs:eu-west-1:123456789012:{'q' * 81}", "is not a queue name"),
        (f"arn:aws:sqs:eu-west-1:123456789012:{'q' * 76}.fifo", "is not a queue name"),
        (f"{QUEUE}\n", "is not a queue name"),
        ("arn:aws:sns:eu-west-1:123456789012:topic", "This is an ARN of 'sns'"),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/t", "ARN of a table"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", f"URL of a queue; write its ARN, {QUEUE}"),
        ("http://127.0.0.1:4566/000000000000/q", "write its ARN, arn:aws:sqs:<region>:000000000000:q"),
        ("https://example.com", "This is a URL"),
    ],
)
def test_what_is_no_queue(arn: Any, words: str) -> None:
    """CFG-1, CFG-37: AWS's sentence, then what was written instead of a queue's ARN."""
    problem = only_problem(EventSourceArn=arn)
    assert problem.path == ("EventSourceArn",)
    assert (problem.code, problem.message) == (INVALID, "Unrecognized event source.")
    assert words in problem.detail


def test_an_arn_is_text_of_a_bounded_length() -> None:
    """CFG-1."""
    assert only_problem(EventSourceArn=7).code == TYPE
    problem = only_problem(EventSourceArn=f"{QUEUE}{'x' * 10_000}")
    assert "Member must have length less than or equal to 10000" in problem.message
    assert len(problem.detail) < 500


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws-cn:sqs:cn-north-1:123456789012:q",
        "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:q",
        "arn:aws-iso-b:sqs:us-isob-east-1:123456789012:q_-9",
        f"arn:aws:sqs:ap-southeast-2:123456789012:{'q' * 75}.fifo",
        f"arn:aws:sqs:ap-southeast-2:123456789012:{'q' * 80}",
    ],
)
def test_queues_of_every_partition(arn: str) -> None:
    """CFG-1."""
    mapping = valid(EventSourceArn=arn)
    assert mapping.arn.text == arn
    assert ":".join(("arn", mapping.arn.partition, "sqs", *(mapping.arn.region, mapping.arn.account))) in arn
    assert mapping.arn.fifo == arn.endswith(".fifo")
    assert mapping.function_arn.startswith(f"arn:{mapping.arn.partition}:lambda:{mapping.arn.region}:")


def test_enabled() -> None:
    """CFG-3."""
    check_range("Enabled", [True, False], ["true", 1, 0, []], TYPE, "allowed: true or false")


def test_batch_size() -> None:
    """CFG-4."""
    check_range("BatchSize", [1, 10], [0, -1, 10_001, 10**500], VALIDATION, "a whole number from 1 to 10000")
    check_range("BatchSize", [], ["10", 10.0, True, [], {}, math.nan], TYPE, "a whole number from 1 to 10000")
    assert valid(BatchSize=10_000, MaximumBatchingWindowInSeconds=1).batch_size == 10_000
    assert only_problem(BatchSize=0).message == (
        "1 validation error detected: Value '0' at 'batchSize' failed to satisfy constraint:"
        " Member must have value greater than or equal to 1"
    )


def test_batching_window() -> None:
    """CFG-5."""
    check_range("MaximumBatchingWindowInSeconds", [0, 300], [-1, 301], VALIDATION, "from 0 to 300")
    check_range("MaximumBatchingWindowInSeconds", [], [0.5, "5", False], TYPE, "from 0 to 300")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ParallelizationFactor", 2),
        ("StartingPositionTimestamp", 1_700_000_000),
        ("DestinationConfig", {"OnFailure": {"Destination": "arn:aws:sns:eu-west-1:123456789012:t"}}),
        ("DestinationConfig", {"OnSuccess": {}}),
        ("MaximumRecordAgeInSeconds", 60),
        ("BisectBatchOnFunctionError", False),
        ("MaximumRetryAttempts", -1),
        ("TumblingWindowInSeconds", 0),
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
@pytest.mark.parametrize("source", [QUEUE, FIFO])
def test_fields_that_a_queue_does_not_take(source: str, field: str, value: Any) -> None:
    """CFG-6, CFG-8, CFG-9, CFG-10, CFG-11, CFG-12, CFG-13, CFG-14, CFG-23, CFG-25, CFG-39: refused by one
    sentence, also with a value that changes nothing.
    """
    problem = only_problem(EventSourceArn=source, **{field: value})
    assert (problem.path, problem.code, problem.message) == ((field,), INVALID, UNSUPPORTED.format(field))


@pytest.mark.parametrize("source", [QUEUE, FIFO])
@pytest.mark.parametrize("position", ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "x"])
def test_starting_position_on_a_queue(source: str, position: str) -> None:
    """CFG-7, CFG-36: the text that AWS has for this one."""
    problem = only_problem(EventSourceArn=source, StartingPosition=position)
    assert (problem.code, problem.message) == (INVALID, "StartingPosition is not valid for SQS event sources.")


def test_function_response_types() -> None:
    """CFG-15."""
    assert not valid(FunctionResponseTypes=[]).report_batch_item_failures
    assert valid(FunctionResponseTypes=["ReportBatchItemFailures"]).report_batch_item_failures
    check_range("FunctionResponseTypes", [], ["ReportBatchItemFailures", {}, 1], TYPE, "ReportBatchItemFailures")
    wrong = only_problem(FunctionResponseTypes=["reportBatchItemFailures"])
    assert wrong.path == ("FunctionResponseTypes", 0)
    assert "Member must satisfy enum value set: [ReportBatchItemFailures]" in wrong.message
    assert (
        "length less than or equal to 1"
        in only_problem(FunctionResponseTypes=["ReportBatchItemFailures"] * 2).message
    )
    assert only_problem(FunctionResponseTypes=[None]).path == ("FunctionResponseTypes", 0)


@pytest.mark.parametrize("empty", [{}, {"Filters": []}, {"Filters": None}])
def test_an_empty_filter_container_is_no_filter(empty: Any) -> None:
    """CFG-46."""
    assert valid(FilterCriteria=empty) == valid()


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ('{"body": {"a": [1]}}', '{"body":{"a":[1]}}'),
        ({"body": {"type": ["order", {"exists": True}]}}, '{"body":{"type":["order",{"exists":true}]}}'),
        ('{"body": ["a"], "body": ["b"]}', '{"body":["b"]}'),
    ],
)
def test_a_filter_arrives(pattern: Any, kept: str) -> None:
    """CFG-16: as text, however it was written."""
    assert valid(FilterCriteria={"Filters": [{"Pattern": pattern}]}).filters == (kept,)


@pytest.mark.parametrize(
    "filter_",
    [
        {},
        {"Pattern": None},
        {"Pattern": ""},
        {"Pattern": "body"},
        {"Pattern": "[1]"},
        {"Pattern": '"text"'},
        {"Pattern": "null"},
        {"Pattern": '{"body": "order"}'},
        {"Pattern": '{"body": null}'},
        {"Pattern": '{"body": []}'},
        {"Pattern": {"body": {"type": "order"}}},
        {"Pattern": {"body": {"type": []}}},
        {"Pattern": {"$or": [{"a": [1]}, {"b": 2}]}},
        {"Pattern": {"$or": [1]}},
        {"Pattern": 7},
        {"Pattern": ["a"]},
        {"Pattern": "[" * 4_000},
        {"Pattern": {"a": object()}},
    ],
)
def test_a_malformed_pattern_has_its_own_text(filter_: Any) -> None:
    """CFG-45: at the pattern, or at the place inside it."""
    problem = only_problem(FilterCriteria={"Filters": [filter_]})
    assert problem.path[:4] == ("FilterCriteria", "Filters", 0, "Pattern")
    assert (problem.code, problem.message) == (INVALID, "Invalid filter pattern definition.")


def test_the_limits_of_filters() -> None:
    """CFG-16: ten filters of 4,096 characters each."""
    good = {"Pattern": '{"a": [1]}'}
    long = {"Pattern": '{"a": ["' + "x" * (4_096 - 11) + '"]}'}
    assert len(long["Pattern"]) == 4_096
    assert len(valid(FilterCriteria={"Filters": [good] * 9 + [long]}).filters) == 10
    too_many = problems(FilterCriteria={"Filters": [good] * 11})
    assert "length less than or equal to 10" in too_many[0].message
    too_long = problems(FilterCriteria={"Filters": [{"Pattern": long["Pattern"] + " "}]})
    assert "length less than or equal to 4096" in too_long[0].message
    assert (
        "length less than or equal to 4096"
        in problems(FilterCriteria={"Filters": [{"Pattern": {"a": ["x" * 4_096]}}]})[0].message
    )


def test_the_shape_around_patterns() -> None:
    """CFG-16: maps and lists where they belong, no other names."""
    assert only_problem(FilterCriteria=[]).path == ("FilterCriteria",)
    assert only_problem(FilterCriteria={"Filters": {}}).path == ("FilterCriteria", "Filters")
    assert only_problem(FilterCriteria={"Filter": []}).detail.endswith("did you mean Filters?")
    assert problems(FilterCriteria={"Filters": [7]})[0].path == ("FilterCriteria", "Filters", 0)
    assert problems(FilterCriteria={"Filters": [{"pattern": "{}"}]})[0].detail.endswith("did you mean Pattern?")


def test_maximum_concurrency() -> None:
    """CFG-17."""
    check_range("ScalingConfig.MaximumConcurrency", [2, 1_000], [1, 0, 1_001], VALIDATION, "from 2 to 1000")
    check_range("ScalingConfig.MaximumConcurrency", [None], ["2", 2.5, True], TYPE, "from 2 to 1000")
    assert valid(ScalingConfig={"MaximumConcurrency": 2}).maximum_concurrency == 2
    assert valid(ScalingConfig={}).maximum_concurrency is None
    assert "'scalingConfig.maximumConcurrency'" in only_problem(ScalingConfig={"MaximumConcurrency": 1}).message
    assert only_problem(ScalingConfig=5).code == TYPE


def test_minimum_pollers() -> None:
    """CFG-18: 2 if absent."""
    check_range("ProvisionedPollerConfig.MinimumPollers", [2, 200], [1, 201], VALIDATION, "from 2 to 200")
    check_range("ProvisionedPollerConfig.MinimumPollers", [None], ["2"], TYPE)
    assert valid(ProvisionedPollerConfig={"MaximumPollers": 9}).provisioned == ProvisionedPollers(2, 9)
    assert valid(ProvisionedPollerConfig={}).provisioned is None


def test_maximum_pollers() -> None:
    """CFG-19: 200 if absent, and never below the minimum."""
    check_range("ProvisionedPollerConfig.MaximumPollers", [2, 10_000], [1, 10_001], VALIDATION, "from 2 to 10000")
    assert valid(ProvisionedPollerConfig={"MinimumPollers": 5}).provisioned == ProvisionedPollers(5, 200)
    problem = only_problem(ProvisionedPollerConfig={"MinimumPollers": 9, "MaximumPollers": 8})
    assert problem.path == ("ProvisionedPollerConfig", "MinimumPollers")
    assert "MinimumPollers 9 is greater than MaximumPollers 8" in problem.message
    assert valid(ProvisionedPollerConfig={"MinimumPollers": 9, "MaximumPollers": 9})


def test_poller_groups_are_for_kafka() -> None:
    """CFG-20."""
    problem = only_problem(ProvisionedPollerConfig={"PollerGroupName": "g"})
    assert problem.message == UNSUPPORTED.format("PollerGroupName")


def test_kms_key() -> None:
    """CFG-21."""
    key = "arn:aws:kms:eu-west-1:123456789012:key/0f"
    check_range("KMSKeyArn", [key, ""], ["alias/mine", "arn:aws:kms"], VALIDATION, "the ARN of a key, or empty")
    assert only_problem(KMSKeyArn=1).code == TYPE


def test_metrics_config() -> None:
    """CFG-22, CFG-54: EventCount is the only one for queues."""
    check_range("MetricsConfig.Metrics", [[], ["EventCount"], None], ["EventCount", {}], TYPE, "[EventCount]")
    for words in (["ErrorCount"], ["KafkaMetrics", "EventCount"]):
        problem = only_problem(MetricsConfig={"Metrics": words})
        assert (problem.path, problem.code) == (("MetricsConfig", "Metrics", 0), INVALID)
        assert problem.message == UNSUPPORTED.format("MetricsConfig")
    for words in (["x"], [None], [[]]):
        problem = only_problem(MetricsConfig={"Metrics": words})
        assert (problem.path, problem.code) == (("MetricsConfig", "Metrics", 0), VALIDATION)
        assert (
            "enum value set: [EventCount, ErrorCount, KafkaMetrics]; allowed: [] or [EventCount]" in problem.detail
        )
    assert "less than or equal to 3" in only_problem(MetricsConfig={"Metrics": ["EventCount"] * 4}).message
    assert valid(MetricsConfig={}) == valid()


def test_tags() -> None:
    """CFG-24."""
    assert valid(Tags={f"k{n}": "" for n in range(50)}).tags == tuple((f"k{n}", "") for n in range(50))
    assert valid(Tags={}) == valid()
    assert "length less than or equal to 50" in only_problem(Tags={f"k{n}": "v" for n in range(51)}).message
    assert only_problem(Tags={"team": 7}).path == ("Tags", "team")
    assert only_problem(Tags=["team"]).code == TYPE
    for tags in ({"": "v"}, {"k" * 129: "v"}, {"k": "v" * 257}):
        assert "too long or has no name" in only_problem(Tags=tags).message


@pytest.mark.parametrize("window", [None, 0])
def test_a_large_batch_needs_a_window(window: int | None) -> None:
    """CFG-30."""
    problem = only_problem(BatchSize=11, MaximumBatchingWindowInSeconds=window)
    assert (problem.path, problem.code) == (("BatchSize",), INVALID)
    assert problem.message == (
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    )
    assert valid(BatchSize=11, MaximumBatchingWindowInSeconds=1).window == 1.0
    assert valid(BatchSize=10, MaximumBatchingWindowInSeconds=window).batch_size == 10


def test_a_fifo_queue_has_small_batches_and_no_window() -> None:
    """CFG-32, CFG-4, CFG-5, FIFO-8."""
    assert valid(EventSourceArn=FIFO, BatchSize=10, MaximumBatchingWindowInSeconds=0).arn.fifo
    size = only_problem(EventSourceArn=FIFO, BatchSize=11)
    assert (size.code, size.message) == (INVALID, "Batch size for FIFO queues must be between 1 and 10")
    window = only_problem(EventSourceArn=FIFO, MaximumBatchingWindowInSeconds=1)
    assert (window.code, window.message) == (INVALID, "Batching window is not supported for FIFO queues")
    assert len(problems(EventSourceArn=FIFO, BatchSize=100, MaximumBatchingWindowInSeconds=5)) == 2
    assert valid(EventSourceArn=FIFO, ScalingConfig={"MaximumConcurrency": 5}).maximum_concurrency == 5


def test_a_limit_and_provisioned_pollers_exclude_each_other() -> None:
    """CFG-47: cleared ones do no harm."""
    limit, pollers = {"MaximumConcurrency": 5}, {"MinimumPollers": 2}
    problem = only_problem(ScalingConfig=limit, ProvisionedPollerConfig=pollers)
    assert problem.message == "MaximumConcurrency and ProvisionedPollerConfig are mutually exclusive"
    assert valid(ScalingConfig={}, ProvisionedPollerConfig=pollers).provisioned == ProvisionedPollers()
    assert valid(ScalingConfig=limit, ProvisionedPollerConfig={}).maximum_concurrency == 5
    assert valid(ScalingConfig=limit, ProvisionedPollerConfig={"MinimumPollers": None}).provisioned is None


@pytest.mark.parametrize(
    ("visibility", "timeout", "conflict"), [(30, 30, False), (30, 29, False), (29.0, 30, True)]
)
def test_a_handler_must_be_done_before_its_messages_come_back(
    visibility: float, timeout: int, conflict: bool
) -> None:
    """CFG-44: equal values pass, and so does everything where the heartbeat keeps the messages away."""
    expected = (
        "Queue visibility timeout: 29 seconds is less than Function timeout: 30 seconds" if conflict else None
    )
    mapping = valid(Handler={"TimeoutInSeconds": timeout})
    assert visibility_conflict(visibility, mapping) == expected
    beating = valid(Handler={"TimeoutInSeconds": timeout}, Poller={"Heartbeat": True})
    assert visibility_conflict(visibility, beating) is None


def test_one_url_twice() -> None:
    """CFG-51: its query may hold a secret, and is not repeated."""
    url = "https://h/x?key=hunter2"
    (problem,) = find_conflicts([valid(Name="a", FunctionName=url), valid(Name="b", FunctionName=url)])
    assert '(" https://h/x ")' in problem.detail
    assert "hunter2" not in problem.detail


def test_one_queue_with_one_function_twice() -> None:
    """CFG-51: AWS's sentence with the id of the first."""
    first, other, again = valid(Name="a"), valid(Name="b", FunctionName="python:x:y"), valid(Name="c")
    (problem,) = find_conflicts([first, other, again])
    assert (problem.path, problem.code) == ((2, "FunctionName"), "ResourceConflictException")
    assert problem.message == (
        f'An event source mapping with SQS arn (" {QUEUE} ") and function (" {TARGET} ") already exists. '
        f"Please update or delete the existing mapping with UUID {first.uuid}"
    )


def test_other_references_and_other_queues_may_stand_side_by_side() -> None:
    """CFG-52: it is the exact reference that counts."""
    mappings = [
        valid(Name="a"),
        valid(Name="b", FunctionName=f"{TARGET}2"),
        valid(Name="c", EventSourceArn=f"{QUEUE}2"),
    ]
    assert find_conflicts(mappings) == ()


def test_a_name_is_given_once() -> None:
    """CFG-51: our names are as unique as AWS's ids."""
    (problem,) = find_conflicts([valid(Name="a"), valid(Name="a", FunctionName="python:x:y")])
    assert problem.path == (1, "Name")
    assert "'a' is taken by EventSourceMappings[0]" in problem.message


def test_names() -> None:
    """A name is a label of metrics and the end of an ARN."""
    check_range(
        "Name", ["a", "A.b_c-9", "n" * 128], ["", "a b", "ü", "n" * 129, "a\n"], VALIDATION, "letters, digits"
    )
    assert only_problem(Name=7).code == TYPE


def test_a_derived_name_leaves_the_taken_ones_alone() -> None:
    """The queue's name, then numbers behind it."""
    fields = {"EventSourceArn": QUEUE, "FunctionName": TARGET}
    names = [parse_mapping(fields, taken) for taken in ([], ["orders"], ["orders", "orders-2"])]
    assert [mapping.name for mapping in names if isinstance(mapping, EventSourceMapping)] == [
        "orders",
        "orders-2",
        "orders-3",
    ]
    assert valid(EventSourceArn=FIFO).name == "orders.fifo"


def test_the_uuid_is_stable_and_its_own() -> None:
    """API-2: 36 lower-case characters of version 4; the same after a restart, another for another mapping."""
    uuid = valid().uuid
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", uuid)
    assert uuid == valid(BatchSize=1, Enabled=False).uuid == "72bc4dc2-02e0-44b9-865d-a994b9bb7be3"
    others = {valid(Name="x").uuid, valid(FunctionName="python:x:y").uuid, valid(EventSourceArn=FIFO).uuid}
    assert len(others | {uuid}) == 4


def test_handler_settings() -> None:
    """Ours: seconds of a call, calls at once."""
    timeout, concurrency = "Handler.TimeoutInSeconds", "Handler.Concurrency"
    check_range(timeout, [1, 900, 1.5, None], [0, 0.5, 901, math.nan, math.inf], VALIDATION, "from 1 to 900")
    check_range(timeout, [], ["30", True, "30s"], TYPE, "a number of seconds from 1 to 900")
    check_range(concurrency, [1, 1_000, None], [0, 1_001], VALIDATION, "from 1 to 1000")
    check_range(concurrency, [], [1.5, "10"], TYPE, "from 1 to 1000")
    assert valid(Handler={}).handler == HandlerSettings()
    assert "did you mean TimeoutInSeconds?" in only_problem(Handler={"Timeout": 5}).detail


def test_poller_settings() -> None:
    """SQS-9: what AWS does not do is off unless asked for."""
    check_range("Poller.Heartbeat", [True, False, None], ["yes", 1], TYPE, "allowed: true or false")
    assert valid(Poller={}).poller == PollerSettings()
    delays = [{"Initial": 0, "Max": 0}, {"Initial": 0, "Max": 43_200}, {"Initial": 43_200, "Max": 43_200}]
    check_range("Poller.RetryDelay", delays, [], VALIDATION)
    for delay, path, words in (
        ({"Initial": 2, "Max": 1}, "Poller.RetryDelay.Initial", "Initial is greater than Max"),
        ({"Initial": -1, "Max": 1}, "Poller.RetryDelay.Initial", "from 0 to 43200"),
        ({"Initial": 1, "Max": 43_201}, "Poller.RetryDelay.Max", "from 0 to 43200"),
        ({"Initial": 1, "Max": math.nan}, "Poller.RetryDelay.Max", "from 0 to 43200"),
        ({"Initial": 1, "Max": "9"}, "Poller.RetryDelay.Max", "from 0 to 43200"),
        ({"Initial": 1}, "Poller.RetryDelay.Max", "Max is missing"),
        ({"Max": 1}, "Poller.RetryDelay.Initial", "Initial is missing"),
        ({"Initial": 1, "Max": 2, "Maximum": 2}, "Poller.RetryDelay.Maximum", "did you mean Max?"),
        (5, "Poller.RetryDelay", "is not a map"),
    ):
        problem = only_problem(Poller={"RetryDelay": delay})
        assert dotted(problem.path) == path
        assert words in problem.detail


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Batchsize", "did you mean BatchSize?"),
        ("batch_size", "did you mean BatchSize?"),
        ("EventSourceARN", "did you mean EventSourceArn?"),
        ("aws_secret_access_key", "known here: "),
        ("StartPosition", "known here: "),
    ],
)
def test_unknown_fields(name: str, advice: str) -> None:
    """Only fields that this source takes are suggested; a secret's value is not repeated."""
    problem = only_problem(**{name: "hunter2"})
    assert problem.path == (name,)
    assert advice in problem.detail
    assert "hunter2" not in problem.detail
    assert "StartingPosition" not in problem.detail


def test_all_problems_are_told_at_once_and_in_a_fixed_order() -> None:
    """The order of the table, then unknown fields, then rules across fields."""
    wrong = {"Zzz": 1, "Poller": 1, "BatchSize": 50, "Enabled": "no", "FunctionName": "", "EventSourceArn": QUEUE}
    parsed = parse_mapping(wrong)
    assert isinstance(parsed, Invalid)
    assert [dotted(problem.path) for problem in parsed.problems] == [
        "FunctionName",
        "Enabled",
        "Poller",
        "Zzz",
        "BatchSize",
    ]
    assert parse_mapping(dict(reversed(wrong.items()))) == parsed


def test_messages_are_short_printable_lines() -> None:
    """Whatever was written."""
    for value in ("x" * 5_000, "a\nb\x1b[31m", "\ud83d", 10**6_000, [[]] * 9, {"a": 1}, object(), b"x"):
        for field in ("Name", "EventSourceArn", "FunctionName", "BatchSize", "KMSKeyArn"):
            for problem in problems(**{field: value}):
                assert problem.sentence.isprintable(), problem
                assert len(problem.sentence) < 400
    for name in ("n" * 5_000, "a\nb", "\ud83d"):
        problem = only_problem(**{name: 1})
        assert problem.sentence.isprintable()
    for anything in (7, None, ("a",), 10**6_000):
        for sentence in (p.sentence for p in problems(**{"Tags": {anything: 1}, "Handler": {anything: 1}})):  # noqa: PIE804 - the same form as above
            assert sentence.isprintable()
