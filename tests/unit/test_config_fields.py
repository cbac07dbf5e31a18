"""Every field of every source, wrong in every way that it can be: the clause's words, the file and the line.

A row is a value and what is said of it; each row is tried on each source that it names. What the field is for is
tested beside its rule, in tests/unit/core.
"""

from typing import Any, NamedTuple

import pytest

from poller.config import Configuration, Rejected, parse, place, sentence
from poller.core.mapping_rules import FIELDS
from poller.core.model import SourceKind

ARNS = {
    "sqs": "arn:aws:sqs:eu-west-1:123456789012:orders",
    "fifo": "arn:aws:sqs:eu-west-1:123456789012:orders.fifo",
    "kinesis": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
    "dynamodb": "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000",
}
FIRST_MAPPING = "  - {EventSourceArn: 'arn:aws:sqs:eu-west-1:123456789012:first', FunctionName: first}"
KINDS = {
    "sqs": SourceKind.SQS,
    "fifo": SourceKind.SQS,
    "kinesis": SourceKind.KINESIS,
    "dynamodb": SourceKind.DYNAMODB,
}
EVERY, QUEUES, STREAMS, KINESIS = tuple(ARNS), ("sqs", "fifo"), ("kinesis", "dynamodb"), ("kinesis",)
OUTSIDE = "1 validation error detected: Value {} at '{}' failed to satisfy constraint: Member must "
UNSUPPORTED = "Unsupported {} parameter for given event source mapping type."
UNKNOWN = "{} is not a field of this version;"


class Row(NamedTuple):
    """`value` is YAML; the problem is told at `at`, or else at the field itself."""

    clause: str
    sources: tuple[str, ...]
    field: str
    value: str
    said: str
    at: str = ""


def between(clause: str, sources: tuple[str, ...], field: str, low: int, high: int) -> list[Row]:
    """A whole number that is none, and one beyond each end."""
    spelt = ".".join(f"{part[0].lower()}{part[1:]}" for part in field.split("."))
    beyond = OUTSIDE + "have value {} than or equal to {}"
    return [
        Row(clause, sources, field, "ten", "'ten' is not a whole number; allowed: a whole number from"),
        Row(clause, sources, field, "'5'", "'5' is not a whole number; allowed: a whole number from"),
        Row(clause, sources, field, "5.5", "5.5 is not a whole number"),
        Row(clause, sources, field, "true", "true is not a whole number"),
        Row(clause, sources, field, "[5]", "a list is not a whole number"),
        Row(clause, sources, field, str(low - 1), beyond.format(f"'{low - 1}'", spelt, "greater", low)),
        Row(clause, sources, field, str(high + 1), beyond.format(f"'{high + 1}'", spelt, "less", high)),
    ]


def in_seconds(sources: tuple[str, ...], field: str, low: int, high: int) -> list[Row]:
    return [
        Row("ours", sources, field, "soon", f"'soon' is not a number; allowed: a number of seconds from {low} to"),
        Row("ours", sources, field, "true", "true is not a number"),
        Row("ours", sources, field, str(low - 1), f"{low - 1} is out of range; allowed: a number of seconds from"),
        Row("ours", sources, field, str(high + 1), f"{high + 1} is out of range"),
        Row("ours", sources, field, ".nan", "nan is out of range"),
    ]


def flags(clause: str, sources: tuple[str, ...], field: str) -> list[Row]:
    return [
        Row(clause, sources, field, value, f"{shown} is not true or false; allowed: true or false")
        for value, shown in (("maybe", "'maybe'"), ("1", "1"), ("'true'", "'true'"), ("[]", "a list"))
    ]


def maps(clause: str, sources: tuple[str, ...], field: str, allowed: str) -> list[Row]:
    return [
        Row(clause, sources, field, "5", f"5 is not a map; allowed: a map of {allowed}"),
        Row(clause, sources, field, "[]", "a list is not a map"),
    ]


def foreign(clause: str, sources: tuple[str, ...], field: str, value: str) -> list[Row]:
    """Legal elsewhere; refused here whether the value is right or wrong."""
    return [Row(clause, sources, field, one, UNSUPPORTED.format(field)) for one in (value, "wrong")]


WORD = OUTSIDE + "satisfy enum value set: [{}]"
LONG = OUTSIDE + "have length less than or equal to {}"
CALLS = "LATEST, AT_TIMESTAMP, TRIM_HORIZON"
INITIAL = "Poller.RetryDelay.Initial"
DESTINATION = "DestinationConfig.OnFailure.Destination"
FIRST = "FilterCriteria.Filters[0].Pattern"
PATTERN = "Invalid filter pattern definition."
ROWS = [
    Row("ours", EVERY, "Name", "a b", "'a b' is not a name of 1 to 128 letters, digits, '.', '_' and '-'"),
    Row("ours", EVERY, "Name", "7", "7 is not text"),
    Row("ours", EVERY, "Name", "n" * 129, f"'{'n' * 59}…' is not a name"),
    Row("CFG-37", EVERY, "EventSourceArn", "", "Unrecognized event source. EventSourceArn is missing: write"),
    Row("CFG-37", EVERY, "EventSourceArn", "orders", "Unrecognized event source. 'orders' is a name"),
    Row("CFG-37", EVERY, "EventSourceArn", "arn:aws:s3:::bucket", "Unrecognized event source. This is an ARN of"),
    Row("CFG-1", EVERY, "EventSourceArn", "7", "7 is not text; allowed: the ARN of a source"),
    Row("CFG-1", EVERY, "EventSourceArn", "a" * 10_001, LONG.format(f"'{'a' * 59}…'", "eventSourceArn", "10000")),
    Row("CFG-2", EVERY, "FunctionName", "", OUTSIDE.format("null", "functionName") + "not be null."),
    Row("CFG-2", EVERY, "FunctionName", "7", "7 is not text"),
    Row("CFG-2", EVERY, "FunctionName", "shop.orders:handler", "'shop.orders:handler' names no target"),
    Row("CFG-2", EVERY, "FunctionName", "f" * 257, LONG.format(f"'{'f' * 59}…'", "functionName", "256")),
    *flags("CFG-3", EVERY, "Enabled"),
    *between("CFG-4", EVERY, "BatchSize", 1, 10_000),
    Row("CFG-30", ("sqs",), "BatchSize", "11",
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"),
    Row("CFG-32", ("fifo",), "BatchSize", "11", "Batch size for FIFO queues must be between 1 and 10"),
    *between("CFG-5", EVERY, "MaximumBatchingWindowInSeconds", 0, 300),
    Row("CFG-32", ("fifo",), "MaximumBatchingWindowInSeconds", "1", "Batching window is not supported for FIFO"),
    *between("CFG-6", STREAMS, "ParallelizationFactor", 1, 10),
    *foreign("CFG-6", QUEUES, "ParallelizationFactor", "1"),
    Row("CFG-33", STREAMS, "StartingPosition", "", OUTSIDE.format("null", "startingPosition") + "not be null."),
    Row("CFG-34", STREAMS, "StartingPosition", "x", WORD.format("'x'", "startingPosition", CALLS)),
    Row("CFG-34", STREAMS, "StartingPosition", "7", WORD.format("'7'", "startingPosition", CALLS)),
    Row("CFG-35", ("dynamodb",), "StartingPosition", "AT_TIMESTAMP",
        f"Unsupported starting position for arn type: {ARNS['dynamodb']}"),
    Row("CFG-36", QUEUES, "StartingPosition", "LATEST", "StartingPosition is not valid for SQS event sources."),
    Row("CFG-36", QUEUES, "StartingPosition", "x", "StartingPosition is not valid for SQS event sources."),
    Row("CFG-8", KINESIS, "StartingPositionTimestamp", "soon", "'soon' is not a time; allowed: seconds"),
    Row("CFG-8", KINESIS, "StartingPositionTimestamp", "[]", "a list is not a time"),
    Row("CFG-8", KINESIS, "StartingPositionTimestamp", "-1", "-1 is no time since 1970"),
    Row("CFG-8", KINESIS, "StartingPositionTimestamp", "1769860800000", "1769860800000 looks like milli"),
    Row("CFG-8", KINESIS, "StartingPositionTimestamp", "2026-01-31T12:00:00", "'2026-01-31T12:00:00' has no"),
    Row("CFG-8", KINESIS, "StartingPositionTimestamp", "1769860800",
        "StartingPositionTimestamp is for StartingPosition AT_TIMESTAMP, not for LATEST"),
    Row("CFG-8", KINESIS, "StartingPosition", "AT_TIMESTAMP",
        "StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp", "StartingPositionTimestamp"),
    *foreign("CFG-8", ("sqs", "fifo", "dynamodb"), "StartingPositionTimestamp", "1769860800"),
    *maps("CFG-9", STREAMS, "DestinationConfig", "OnFailure"),
    *maps("CFG-9", STREAMS, "DestinationConfig.OnFailure", "Destination"),
    Row("CFG-9", STREAMS, "DestinationConfig.OnFail", "{}", UNKNOWN.format("'OnFail'") + " did you mean OnFa"),
    Row("CFG-9", STREAMS, DESTINATION, "7", "7 is not text; allowed: a standard queue, a standard topic or"),
    Row("CFG-9", STREAMS, DESTINATION, "failed", "'failed' is not an ARN; allowed: a standard queue"),
    Row("CFG-9", STREAMS, DESTINATION, "kafka://topic", "kafka:// is a destination for Kafka sources"),
    Row("CFG-9", STREAMS, DESTINATION, "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "a function cannot take the failures of a stream"),
    Row("CFG-9", STREAMS, DESTINATION, f"arn:aws:s3:::{'b' * 340}",
        LONG.format(f"'arn:aws:s3:::{'b' * 46}…'", "destinationConfig.onFailure.destination", "350")),
    Row("CFG-50", STREAMS, DESTINATION, "arn:aws:sqs:eu-west-1:123456789012:q.fifo",
        "a FIFO queue cannot take the failures of a stream"),
    Row("CFG-50", STREAMS, DESTINATION, "arn:aws:sns:eu-west-1:123456789012:t.fifo",
        "a FIFO topic cannot take the failures of a stream"),
    *foreign("CFG-9", QUEUES, "DestinationConfig", "{OnFailure: {Destination: 'arn:aws:s3:::bucket'}}"),
    Row("CFG-10", STREAMS, "DestinationConfig.OnSuccess", "{Destination: 'arn:aws:s3:::bucket'}",
        UNSUPPORTED.format("DestinationConfig")),
    Row("CFG-10", QUEUES, "DestinationConfig", "{OnSuccess: {}}", UNSUPPORTED.format("DestinationConfig")),
    *between("CFG-11", STREAMS, "MaximumRecordAgeInSeconds", -1, 604_800),
    Row("CFG-48", STREAMS, "MaximumRecordAgeInSeconds", "0",
        OUTSIDE.format("'0'", "maximumRecordAgeInSeconds") + "have value greater than or equal to 60"),
    Row("CFG-48", STREAMS, "MaximumRecordAgeInSeconds", "59",
        OUTSIDE.format("'59'", "maximumRecordAgeInSeconds") + "have value greater than or equal to 60"),
    *foreign("CFG-11", QUEUES, "MaximumRecordAgeInSeconds", "60"),
    *flags("CFG-12", STREAMS, "BisectBatchOnFunctionError"),
    *foreign("CFG-12", QUEUES, "BisectBatchOnFunctionError", "false"),
    *between("CFG-13", STREAMS, "MaximumRetryAttempts", -1, 10_000),
    *foreign("CFG-13", QUEUES, "MaximumRetryAttempts", "-1"),
    *between("CFG-14", STREAMS, "TumblingWindowInSeconds", 0, 900),
    *foreign("CFG-14", QUEUES, "TumblingWindowInSeconds", "0"),
    Row("CFG-15", EVERY, "FunctionResponseTypes", "ReportBatchItemFailures",
        "'ReportBatchItemFailures' is not a list; allowed: [] or [ReportBatchItemFailures]"),
    Row("CFG-15", EVERY, "FunctionResponseTypes", "[ReportBatchItemFailures, ReportBatchItemFailures]",
        LONG.format("'a list'", "functionResponseTypes", "1")),
    Row("CFG-15", EVERY, "FunctionResponseTypes", "[Report]",
        WORD.format("'Report'", "functionResponseTypes.1.member", "ReportBatchItemFailures"),
        "FunctionResponseTypes[0]"),
    Row("CFG-16", EVERY, "FilterCriteria", "[]", "a list is not a map; allowed: a map with Filters"),
    Row("CFG-16", EVERY, "FilterCriteria.Filter", "[]", UNKNOWN.format("'Filter'") + " did you mean Filters?"),
    Row("CFG-16", EVERY, "FilterCriteria.Filters", "{}", "a map is not a list; allowed: a list of filters"),
    Row("CFG-16", EVERY, "FilterCriteria.Filters", f"[{'{Pattern: {eventSource: [a]}}, ' * 11}]",
        LONG.format("'a list'", "filterCriteria.filters", "10")),
    Row("CFG-16", EVERY, "FilterCriteria.Filters", "[7]", "7 is not a map; allowed: a map with Pattern",
        "FilterCriteria.Filters[0]"),
    Row("CFG-16", EVERY, "FilterCriteria.Filters", f"[{{Pattern: '{'x' * 4_097}'}}]",
        LONG.format(f"'{'x' * 59}…'", "filterCriteria.filters.1.member.pattern", "4096"),
        FIRST),
    Row("CFG-45", EVERY, "FilterCriteria.Filters", "[{}]", PATTERN, FIRST),
    Row("CFG-45", EVERY, "FilterCriteria.Filters", "[{Pattern: 'x'}]", PATTERN, FIRST),
    Row("CFG-45", EVERY, "FilterCriteria.Filters", "[{Pattern: '[1]'}]", PATTERN, FIRST),
    Row("CFG-45", EVERY, "FilterCriteria.Filters", "[{Pattern: {a: 1}}]", PATTERN,
        "FilterCriteria.Filters[0].Pattern.a"),
    Row("CFG-45", EVERY, "FilterCriteria.Filters", "[{Pattern: {a: []}}]", PATTERN,
        "FilterCriteria.Filters[0].Pattern.a"),
    *maps("CFG-17", QUEUES, "ScalingConfig", "MaximumConcurrency"),
    *between("CFG-17", QUEUES, "ScalingConfig.MaximumConcurrency", 2, 1_000),
    Row("CFG-17", QUEUES, "ScalingConfig.Maximum", "2", UNKNOWN.format("'Maximum'")),
    *foreign("CFG-17", STREAMS, "ScalingConfig", "{MaximumConcurrency: 2}"),
    *maps("CFG-18", QUEUES, "ProvisionedPollerConfig", "MinimumPollers, MaximumPollers"),
    *between("CFG-18", QUEUES, "ProvisionedPollerConfig.MinimumPollers", 2, 200),
    *between("CFG-19", QUEUES, "ProvisionedPollerConfig.MaximumPollers", 2, 10_000),
    Row("CFG-20", QUEUES, "ProvisionedPollerConfig.PollerGroupName", "a", UNSUPPORTED.format("PollerGroupName")),
    *foreign("CFG-18", STREAMS, "ProvisionedPollerConfig", "{MinimumPollers: 2}"),
    Row("CFG-21", EVERY, "KMSKeyArn", "key", "'key' is not the ARN of a key, or empty"),
    Row("CFG-21", EVERY, "KMSKeyArn", "7", "7 is not text"),
    *maps("CFG-22", EVERY, "MetricsConfig", "Metrics"),
    Row("CFG-22", EVERY, "MetricsConfig.Metrics", "EventCount", "'EventCount' is not a list; allowed: [] or"),
    Row("CFG-22", EVERY, "MetricsConfig.Metrics", "[EventCount, EventCount, EventCount, EventCount]",
        LONG.format("'a list'", "metricsConfig.metrics", "3")),
    Row("CFG-22", EVERY, "MetricsConfig.Metrics", "[x]",
        WORD.format("'x'", "metricsConfig.metrics.1.member", "EventCount, ErrorCount, KafkaMetrics"),
        "MetricsConfig.Metrics[0]"),
    Row("CFG-54", EVERY, "MetricsConfig.Metrics", "[ErrorCount]", UNSUPPORTED.format("MetricsConfig"),
        "MetricsConfig.Metrics[0]"),
    Row("CFG-54", EVERY, "MetricsConfig.Metrics", "[EventCount, KafkaMetrics]",
        UNSUPPORTED.format("MetricsConfig"), "MetricsConfig.Metrics[1]"),
    *foreign("CFG-23", EVERY, "LoggingConfig", "{SystemLogLevel: INFO}"),
    Row("CFG-24", EVERY, "Tags", "[a]", "a list is not a map; allowed: a map of up to 50 texts"),
    Row("CFG-24", EVERY, "Tags.a", "1", "1 is not text"),
    Row("CFG-24", EVERY, "Tags", f"{{{', '.join(f'k{n}: v' for n in range(51))}}}",
        LONG.format("'a map'", "tags", "50")),
    Row("CFG-24", EVERY, "Tags.a", "v" * 257, "this tag is too long or has no name; allowed: keys of 1 to 128"),
    *foreign("CFG-25", EVERY, "Topics", "[a]"),
    *foreign("CFG-25", EVERY, "Queues", "[a]"),
    *foreign("CFG-25", EVERY, "SourceAccessConfigurations", "[{Type: BASIC_AUTH}]"),
    *foreign("CFG-25", EVERY, "SelfManagedEventSource", "{Endpoints: {}}"),
    *foreign("CFG-25", EVERY, "AmazonManagedKafkaEventSourceConfig", "{ConsumerGroupId: a}"),
    *foreign("CFG-25", EVERY, "SelfManagedKafkaEventSourceConfig", "{ConsumerGroupId: a}"),
    *foreign("CFG-25", EVERY, "DocumentDBEventSourceConfig", "{DatabaseName: a}"),
    *maps("ours", EVERY, "Handler", "TimeoutInSeconds, Concurrency, EndpointUrl"),
    *in_seconds(EVERY, "Handler.TimeoutInSeconds", 1, 900),
    *between("ours", EVERY, "Handler.Concurrency", 1, 1_000),
    Row("ours", EVERY, "Handler.EndpointUrl", "localhost", "this is not the URL of an endpoint; allowed: http://"),
    Row("ours", EVERY, "Handler.EndpointUrl", "7", "7 is not text; allowed: the URL of an endpoint"),
    Row("ours", EVERY, "Handler.EndpointUrl", "http://h", "EndpointUrl is for Lambda functions, and Functi"),
    Row("ours", EVERY, "Handler.HmacSecretVariable", "a b", "this is not the name of an environment variable; al"),
    Row("ours", EVERY, "Handler.HmacSecretVariable", "7", "this is not the name of an environment variable; al"),
    Row("ours", EVERY, "Handler.HmacSecretVariable", "KEY", "HmacSecretVariable is for http:// and https:// tar"),
    *between("ours", EVERY, "Handler.RecycleAfter", 1, 1_000_000_000),
    Row("ours", EVERY, "Handler.RecycleAfter", "5", "RecycleAfter is for process: targets, and FunctionName"),
    Row("ours", EVERY, "Handler.Timeout", "5", UNKNOWN.format("'Timeout'") + " did you mean TimeoutInSeconds?"),
    *maps("ours", QUEUES, "Poller", "Heartbeat, RetryDelay"),
    *flags("ours", QUEUES, "Poller.Heartbeat"),
    *maps("ours", QUEUES, "Poller.RetryDelay", "Initial, Max"),
    Row("ours", QUEUES, "Poller.RetryDelay", "{Max: 1}", "Initial is missing; write Initial too",
        INITIAL),
    Row("ours", QUEUES, "Poller.RetryDelay", "{Initial: 1}", "Max is missing; write Max too",
        "Poller.RetryDelay.Max"),
    Row("ours", QUEUES, "Poller.RetryDelay", "{Initial: 2, Max: 1}", "Initial is greater than Max",
        INITIAL),
    Row("ours", QUEUES, "Poller.RetryDelay", "{Initial: x, Max: 1}", "'x' is not a number", INITIAL),
    Row("ours", QUEUES, "Poller.RetryDelay", "{Initial: -1, Max: 1}", "-1 is out of range", INITIAL),
    Row("ours", QUEUES, "Poller.RetryDelay", "{Initial: 1, Max: 43201}", "43201 is out of",
        "Poller.RetryDelay.Max"),
    *foreign("ours", STREAMS, "Poller", "{Heartbeat: true}"),
    Row("ours", EVERY, "batchsize", "5", UNKNOWN.format("'batchsize'") + " did you mean BatchSize?"),
]  # fmt: skip

# Each field right by itself, and wrong together: the fields beside, the wrong one with its value, what is said.
TOGETHER = [
    Row("CFG-47", QUEUES, "ProvisionedPollerConfig", "{MinimumPollers: 2}",
        "MaximumConcurrency and ProvisionedPollerConfig are mutually exclusive",
        "ScalingConfig: {MaximumConcurrency: 2}"),
    Row("CFG-18", QUEUES, "ProvisionedPollerConfig.MinimumPollers", "5",
        "MinimumPollers 5 is greater than MaximumPollers 4", "MaximumPollers: 4"),
    Row("CFG-49", STREAMS, "TumblingWindowInSeconds", "1",
        "TumblingWindowInSeconds cannot be combined with a ParallelizationFactor above 1",
        "ParallelizationFactor: 2"),
    Row("CFG-49", STREAMS, "TumblingWindowInSeconds", "1",
        "TumblingWindowInSeconds cannot be combined with FilterCriteria",
        "FilterCriteria: {Filters: [{Pattern: {eventName: [INSERT]}}]}"),
    Row("CFG-30", ("sqs",), "BatchSize", "11",
        "Maximum batch window in seconds must be greater than 0", "MaximumBatchingWindowInSeconds: 0"),
]  # fmt: skip


def file(source: str, field: str, value: str, beside: str = "") -> tuple[str, int]:
    """A file whose second mapping has the field on a line of its own, and the number of that line."""
    least: dict[str, str] = {"EventSourceArn": ARNS[source], "FunctionName": "python:shop:handler"}
    if source in STREAMS:
        least["StartingPosition"] = "LATEST"
    names = field.split(".")
    least.pop(names[0], None)
    lines = ["EventSourceMappings:", FIRST_MAPPING, "  # the second", "  - Name: x" if field != "Name" else "  -"]
    lines += [f"    {name}: {told}" for name, told in least.items()]
    lines += [f"    {beside}"] if beside and len(names) == 1 else []
    for depth, name in enumerate(names):
        lines.append(f"{'  ' * depth}    {name}:")
    lines[-1] += f" {value}"
    number = len(lines)
    lines += [f"{'  ' * (len(names) - 1)}    {beside}"] if beside and len(names) > 1 else []
    return "\n".join(lines) + "\n", number


def told(text: str) -> list[str]:
    """What `poller check` prints."""
    result = parse(text, "poller.yaml", {})
    assert isinstance(result, Rejected), text
    return [f"{place(result.file, one.line, one.column)}: {sentence(one)}" for one in result.problems]


def case(row: Row) -> list[Any]:
    return [
        pytest.param(source, row, id=f"{row.clause}-{source}-{row.field}-{row.value[:30]}")
        for source in row.sources
    ]


@pytest.mark.parametrize(("source", "row"), [one for row in ROWS for one in case(row)])
def test_a_wrong_field(source: str, row: Row) -> None:
    """CFG-1, CFG-2, CFG-3, CFG-4, CFG-5, CFG-6, CFG-7, CFG-8, CFG-9, CFG-10, CFG-11, CFG-12, CFG-13, CFG-14,
    CFG-15, CFG-16, CFG-17, CFG-18, CFG-19, CFG-20, CFG-21, CFG-22, CFG-23, CFG-24, CFG-25, CFG-30, CFG-32,
    CFG-33, CFG-34, CFG-35, CFG-36, CFG-37, CFG-39, CFG-45, CFG-48, CFG-50, CFG-54, CFG-56: it is told once,
    and nothing else is.
    """
    text, number = file(source, row.field, row.value)
    (line,) = told(text)
    if row.at == "StartingPositionTimestamp":  # what is missing has no line but its mapping's
        number = 4
    assert line.startswith(f"poller.yaml:{number}: EventSourceMappings[1].{row.at or row.field}: {row.said}")
    assert line.endswith((".", "?"))
    assert line.isprintable()


@pytest.mark.parametrize(("source", "row"), [one for row in TOGETHER for one in case(row)])
def test_fields_that_do_not_go_together(source: str, row: Row) -> None:
    """CFG-30, CFG-47, CFG-49: at the line of the one that the rule is about."""
    text, number = file(source, row.field, row.value, row.at)
    (line,) = told(text)
    assert line.startswith(f"poller.yaml:{number}: EventSourceMappings[1].{row.field}: {row.said}")


@pytest.mark.parametrize("source", STREAMS)
def test_what_a_tumbling_window_goes_with(source: str) -> None:
    """CFG-49, CFG-46: an empty container is no filter; without a window there is nothing to exclude."""
    for beside, window in (("FilterCriteria: {}", 1), ("FilterCriteria: {Filters: []}", 1), ("Enabled: true", 1),
                           ("ParallelizationFactor: 1", 1), ("ParallelizationFactor: 2", 0),
                           ("FilterCriteria: {Filters: [{Pattern: {eventName: [INSERT]}}]}", 0)):  # fmt: skip
        text, _ = file(source, "TumblingWindowInSeconds", str(window), beside)
        assert isinstance(parse(text, "poller.yaml", {}), Configuration), beside


@pytest.mark.parametrize("source", EVERY)
def test_no_field_is_left_out(source: str) -> None:
    """CFG-39: each field of the table is wrong at least once for each source, by its value or by being there."""
    tried = {row.field.partition(".")[0] for row in ROWS if source in row.sources}
    assert set(FIELDS) - tried == set()
    refused = {row.field for row in ROWS if source in row.sources and row.said == UNSUPPORTED.format(row.field)}
    refused |= {"StartingPosition"} if source in QUEUES else set()
    assert {name for name, field in FIELDS.items() if KINDS[source] not in field.sources} == refused & set(FIELDS)


@pytest.mark.parametrize("source", EVERY)
def test_the_ends_of_each_range_are_in_it(source: str) -> None:
    """CFG-4, CFG-5, CFG-6, CFG-11, CFG-13, CFG-14, CFG-17, CFG-18, CFG-19, CFG-56: what the rows begin beyond."""
    ranges = {"BatchSize": (1, 10 if source in QUEUES else 10_000), "Handler.Concurrency": (1, 1_000),
              "MaximumBatchingWindowInSeconds": (0, 0 if source == "fifo" else 300)}  # fmt: skip
    if source in QUEUES:
        ranges |= {"ScalingConfig.MaximumConcurrency": (2, 1_000),
                   "ProvisionedPollerConfig.MinimumPollers": (2, 200),
                   "ProvisionedPollerConfig.MaximumPollers": (2, 10_000)}  # fmt: skip
    else:
        ranges |= {"ParallelizationFactor": (1, 10), "MaximumRetryAttempts": (-1, 10_000),
                   "TumblingWindowInSeconds": (0, 900), "MaximumRecordAgeInSeconds": (-1, 604_800)}  # fmt: skip
    for field, ends in ranges.items():
        for end in ends:
            text, _ = file(source, field, str(end))
            assert isinstance(parse(text, "poller.yaml", {}), Configuration), (field, end)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        *((one, 'An event source mapping with SQS arn (" {} ") and function (" shop ")') for one in QUEUES),
        *((one, 'The event source arn (" {} ") and function (" shop ") provided mapping') for one in STREAMS),
    ],
)
def test_the_same_source_and_function_twice(source: str, words: str) -> None:
    """CFG-51, CFG-52: in AWS's words for the source, at the second one's function; other references pass."""
    start = "" if source in QUEUES else ", StartingPosition: LATEST"
    mappings = [
        f"  - {{EventSourceArn: '{ARNS[source]}', FunctionName: '{one}'{start}}}\n"
        for one in ("shop", "shop:1", "shop")
    ]
    (line,) = told(f"EventSourceMappings:\n{''.join(mappings)}")
    assert line.startswith(f"poller.yaml:4: EventSourceMappings[2].FunctionName: {words.format(ARNS[source])}")
    assert "already exists. Please update or delete the existing mapping with UUID " in line


def test_where_the_function_is_stands_behind_what_it_may_be() -> None:
    """CFG-38: a file with a wrong field is refused for that; whether the function is there is asked afterwards."""
    text, number = file("kinesis", "DestinationConfig.OnSuccess", "{}")
    (line,) = told(text.replace("python:shop:handler", "python:no_such_module:handler"))
    assert line.startswith(f"poller.yaml:{number}: ")
    assert UNSUPPORTED.format("DestinationConfig") in line
