"""Which field a source takes, in which range, and which fields go together: the one table and the rules across it.

Ranges and applicability are CFG-1 to CFG-25, the rules across fields CFG-30 to CFG-54. Nothing here asks AWS. What
only streams have is judged in mapping_streams.py.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from poller.core.mapping_arns import SOURCE_PATTERNS, parse_source_arn
from poller.core.mapping_filters import filter_criteria
from poller.core.mapping_names import ENDPOINT, url_problem
from poller.core.mapping_schema import list_of, map_of, matching, one_of
from poller.core.mapping_shapes import (
    FieldProblem,
    Path,
    Shape,
    block,
    flag,
    invalid,
    key_text,
    never,
    seconds,
    text,
    unknown,
    unsupported,
    violation,
    whole,
    whole_in,
    wrong_type,
)
from poller.core.mapping_streams import destination_config, record_age, starting_position, starting_timestamp
from poller.core.mapping_targets import TARGET_PATTERNS, parse_target
from poller.core.model import SourceKind

_ALL = frozenset(SourceKind)
_QUEUES = frozenset({SourceKind.SQS})
_STREAMS = _ALL - _QUEUES
_KINESIS = frozenset({SourceKind.KINESIS})
_NONE: frozenset[SourceKind] = frozenset()

_METRICS = ("EventCount", "ErrorCount", "KafkaMetrics")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
MAX_RETRY_DELAY = 43_200  # seconds: SQS keeps a message invisible for 12 hours at most


class Field(NamedTuple):
    """A row: what the field's value must be, which sources take it, and AWS's own refusal where it is known."""

    shape: Shape
    sources: frozenset[SourceKind]
    refusal: str = ""


def _source_arn(value: object, path: Path) -> Iterator[FieldProblem]:
    parsed = parse_source_arn(value, path)
    if isinstance(parsed, FieldProblem):
        yield parsed


def _target(value: object, path: Path) -> Iterator[FieldProblem]:
    parsed = parse_target(value, path)
    if isinstance(parsed, FieldProblem):
        yield parsed


def _response_types(value: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-15: nothing, or the one word, once."""
    allowed = "allowed: [] or [ReportBatchItemFailures]"
    if not isinstance(value, list):
        yield wrong_type(path, value, "a list", "[] or [ReportBatchItemFailures]")
        return
    if len(value) > 1:
        yield violation(path, value, "Member must have length less than or equal to 1", allowed)
    for index, word in enumerate(value):
        if word != "ReportBatchItemFailures":
            limit = "Member must satisfy enum value set: [ReportBatchItemFailures]"
            yield violation((*path, index), word, limit, allowed)


def _metrics(value: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-22, CFG-54: of AWS's three words, EventCount is the one for these sources."""
    allowed = "allowed: [] or [EventCount]"
    if not isinstance(value, list):
        yield wrong_type(path, value, "a list", "[] or [EventCount]")
        return
    if len(value) > 3:
        yield violation(path, value, "Member must have length less than or equal to 3", allowed)
    for index, word in enumerate(value):
        if word not in _METRICS:
            limit = f"Member must satisfy enum value set: [{', '.join(_METRICS)}]"
            yield violation((*path, index), word, limit, allowed)
        elif word != "EventCount":
            yield invalid((*path, index), unsupported(path[:1]).message, allowed)


def _tags(value: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-24: at most 50; key and value lengths are those of AWS tags in general."""
    wanted = "a map of up to 50 texts"
    if not isinstance(value, Mapping):
        yield wrong_type(path, value, "a map", wanted)
        return
    if len(value) > 50:
        yield violation(path, value, "Member must have length less than or equal to 50", f"allowed: {wanted}")
    for key, tag in value.items():
        where = (*path, key_text(key))
        if not isinstance(tag, str):
            yield wrong_type(where, tag, "text", "text, in quotes where it looks like something else")
        elif not 1 <= len(key_text(key)) <= 128 or len(tag) > 256:
            limits = "allowed: keys of 1 to 128 and values of up to 256 characters"
            yield FieldProblem(where, "ValidationException", "this tag is too long or has no name", limits)


def _endpoint(value: object, path: Path) -> Iterator[FieldProblem]:
    if not isinstance(value, str):
        yield wrong_type(path, value, "text", "the URL of an endpoint")
    elif (wrong := url_problem(value)) is not None:
        yield FieldProblem(path, "InvalidParameterValueException", wrong)


def _secret_variable(value: object, path: Path) -> Iterator[FieldProblem]:
    """What it holds is not repeated: who writes `${NAME}` in place of the name has written the secret itself."""
    if not isinstance(value, str) or VARIABLE.fullmatch(value) is None:
        message = "this is not the name of an environment variable"
        advice = "allowed: the name alone, such as HOOK_SECRET, without ${ }, and never the secret itself"
        yield FieldProblem(path, "ValidationException", message, advice)


_PATTERN = {"type": ["object", "string"]}
_FILTERS = map_of({"Filters": list_of(map_of({"Pattern": _PATTERN}, required=("Pattern",)), 10)})
_TAG = {"type": "string", "maxLength": 256}
_TAGS = {"type": "object", "maxProperties": 50, "additionalProperties": _TAG, "propertyNames": {"maxLength": 128}}
_FOREIGN = Field(Shape(never, {}), _NONE)

FIELDS: Mapping[str, Field] = {
    "Name": Field(text(r"[A-Za-z0-9._-]{1,128}", "a name of 1 to 128 letters, digits, '.', '_' and '-'"), _ALL),
    "EventSourceArn": Field(Shape(_source_arn, matching(*SOURCE_PATTERNS.values())), _ALL),
    "FunctionName": Field(Shape(_target, matching(*TARGET_PATTERNS)), _ALL),
    "Enabled": Field(flag, _ALL),
    "BatchSize": Field(whole(1, 10_000), _ALL),
    "MaximumBatchingWindowInSeconds": Field(whole(0, 300), _ALL),
    "FunctionResponseTypes": Field(Shape(_response_types, list_of(one_of("ReportBatchItemFailures"), 1)), _ALL),
    "FilterCriteria": Field(Shape(filter_criteria, _FILTERS), _ALL),
    "ScalingConfig": Field(block({"MaximumConcurrency": whole(2, 1_000)}), _QUEUES),
    "ProvisionedPollerConfig": Field(
        block(
            {"MinimumPollers": whole(2, 200), "MaximumPollers": whole(2, 10_000)},
            refused={"PollerGroupName": never},
        ),
        _QUEUES,
    ),
    "KMSKeyArn": Field(text(r"(arn:aws[a-zA-Z-]*:[a-z0-9.-]+:\S{1,2000})?", "the ARN of a key, or empty"), _ALL),
    "MetricsConfig": Field(block({"Metrics": Shape(_metrics, list_of(one_of("EventCount"), 3))}), _ALL),
    "Tags": Field(Shape(_tags, _TAGS), _ALL),
    "Handler": Field(
        block(
            {
                "TimeoutInSeconds": seconds(1, 900),
                "Concurrency": whole(1, 1_000),
                "EndpointUrl": Shape(_endpoint, matching(ENDPOINT)),
                "HmacSecretVariable": Shape(_secret_variable, matching(VARIABLE.pattern)),
                "RecycleAfter": whole(1, 1_000_000_000),
            }
        ),
        _ALL,
    ),
    "Poller": Field(
        block(
            {
                "Heartbeat": flag,
                "RetryDelay": block(
                    {"Initial": seconds(0, MAX_RETRY_DELAY), "Max": seconds(0, MAX_RETRY_DELAY)},
                    required=("Initial", "Max"),
                ),
            }
        ),
        _QUEUES,
    ),
    "StartingPosition": Field(starting_position, _STREAMS, "StartingPosition is not valid for SQS event sources."),
    "StartingPositionTimestamp": Field(starting_timestamp, _KINESIS),
    "ParallelizationFactor": Field(whole(1, 10), _STREAMS),
    "DestinationConfig": Field(destination_config, _STREAMS),
    "MaximumRecordAgeInSeconds": Field(record_age, _STREAMS),
    "BisectBatchOnFunctionError": Field(flag, _STREAMS),
    "MaximumRetryAttempts": Field(whole(-1, 10_000), _STREAMS),
    "TumblingWindowInSeconds": Field(whole(0, 900), _STREAMS),
    "LoggingConfig": _FOREIGN,
    "Topics": _FOREIGN,
    "Queues": _FOREIGN,
    "SourceAccessConfigurations": _FOREIGN,
    "SelfManagedEventSource": _FOREIGN,
    "AmazonManagedKafkaEventSourceConfig": _FOREIGN,
    "SelfManagedKafkaEventSourceConfig": _FOREIGN,
    "DocumentDBEventSourceConfig": _FOREIGN,
}
REQUIRED = {
    None: ("EventSourceArn", "FunctionName"),
    SourceKind.SQS: ("EventSourceArn", "FunctionName"),
    SourceKind.KINESIS: ("EventSourceArn", "FunctionName", "StartingPosition"),
    SourceKind.DYNAMODB: ("EventSourceArn", "FunctionName", "StartingPosition"),
}


def field_problems(fields: Mapping[str, object], source: SourceKind | None) -> Iterator[FieldProblem]:
    """Each field by itself: known, taken by this source (None: not known which), of the right type and range.

    In the order of the table, so that the same fields always give the same list; null is the same as not there.
    """
    for name, field in FIELDS.items():
        value = fields.get(name)
        if value is None and name not in REQUIRED[source]:
            continue
        if field.sources and (source is None or source in field.sources):
            yield from field.shape.check(value, (name,))
        elif field.refusal:
            yield FieldProblem((name,), "InvalidParameterValueException", field.refusal, "leave it out")
        else:
            yield unsupported((name,))
    for name in fields:
        if name not in FIELDS:
            yield unknown((key_text(name),), _taken_by(source))


def _taken_by(source: SourceKind | None) -> Collection[str]:
    """Names worth suggesting."""
    return [name for name, field in FIELDS.items() if source in field.sources or (not source and field.sources)]


def queue_problems(fields: Mapping[str, object], *, fifo: bool) -> Iterator[FieldProblem]:
    """The rules across fields of a queue; fields that are wrong by themselves are passed over."""
    size = whole_in(fields, "BatchSize", 10)
    window = whole_in(fields, "MaximumBatchingWindowInSeconds", 0)
    if fifo:
        yield from _fifo_problems(size, window)
    elif 10 < size <= 10_000 and window == 0:
        yield invalid(
            ("BatchSize",),
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
            "write a MaximumBatchingWindowInSeconds of 1 to 300, or a BatchSize of up to 10",
        )
    yield from _scaling_problems(fields)
    delay = _inner(_inner(fields, "Poller"), "RetryDelay")
    first, last = delay.get("Initial"), delay.get("Max")
    if isinstance(first, int | float) and isinstance(last, int | float) and first > last:
        yield invalid(
            ("Poller", "RetryDelay", "Initial"), "Initial is greater than Max", "allowed: Initial up to Max"
        )


def _fifo_problems(size: int, window: int) -> Iterator[FieldProblem]:
    """CFG-32."""
    if 10 < size <= 10_000:
        yield invalid(("BatchSize",), "Batch size for FIFO queues must be between 1 and 10", "allowed: 1 to 10")
    if 0 < window <= 300:
        text_ = "Batching window is not supported for FIFO queues"
        yield invalid(("MaximumBatchingWindowInSeconds",), text_, "allowed: 0")


def _scaling_problems(fields: Mapping[str, object]) -> Iterator[FieldProblem]:
    """CFG-47, and provisioned pollers that leave no room between their ends."""
    provisioned = {k: v for k, v in _inner(fields, "ProvisionedPollerConfig").items() if v is not None}
    if provisioned and _inner(fields, "ScalingConfig").get("MaximumConcurrency") is not None:
        yield invalid(
            ("ProvisionedPollerConfig",),
            "MaximumConcurrency and ProvisionedPollerConfig are mutually exclusive",
            "leave one of them out",
        )
    minimum = whole_in(provisioned, "MinimumPollers", 2)
    maximum = whole_in(provisioned, "MaximumPollers", 200)
    if 2 <= maximum < minimum <= 200:
        yield invalid(
            ("ProvisionedPollerConfig", "MinimumPollers"),
            f"MinimumPollers {minimum} is greater than MaximumPollers {maximum}",
            "allowed: MinimumPollers up to MaximumPollers",
        )


def _inner(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = fields.get(name)
    return value if isinstance(value, Mapping) else {}
