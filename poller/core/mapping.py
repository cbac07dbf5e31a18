"""EventSourceMapping: one mapping's configuration, frozen and valid, and the one way to make it (CFG).

Whether a configuration is legal is decided by `parse_mapping` and nowhere else; the file loader, the library and
the control API all come through it. Its rules are in mapping_rules.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

from poller.core.fact import Word
from poller.core.mapping_arns import parse_destination_arn, parse_source_arn
from poller.core.mapping_filters import filter_texts, plain_data_patterns, written_filters
from poller.core.mapping_names import mapping_uuid
from poller.core.mapping_rules import field_problems, queue_problems
from poller.core.mapping_shapes import FieldProblem
from poller.core.mapping_streams import epoch_seconds, stream_problems
from poller.core.mapping_targets import (
    ExecTarget,
    ProcessTarget,
    Target,
    function_arn,
    function_reference,
    handler_problems,
    parse_target,
)
from poller.core.model import SourceKind
from poller.core.records import Position, PositionKind


@dataclass(frozen=True, slots=True)
class SourceArn:
    """The ARN of a queue or stream, taken apart; `text` is as the user wrote it.

    `name` is that of the queue, stream or table; `label` a DynamoDB stream's time, or a Kinesis consumer.
    """

    text: str
    partition: str
    region: str
    account: str
    name: str
    label: str = ""

    @property
    def fifo(self) -> bool:
        """Whether it names a FIFO queue: SQS itself tells by the suffix."""
        return self.name.endswith(".fifo") and ":sqs:" in self.text


@dataclass(frozen=True, slots=True)
class HandlerSettings:
    """`Handler`: seconds a call may last, calls at once in this process, where a Lambda target is.

    `hmac_secret_variable` names the environment variable that holds the key with which requests to an HTTP target
    are signed; `recycle_after` is the invocations after which a worker of a `process:` target makes room for a
    new one. None: not signed, not replaced.

    `concurrency` of a stream is 1,000 unless set, the most there is: its shards and lanes are the bound that AWS
    has (STR-41), each has one call at a time, and threads are only made for calls that run. A lower one is a cap
    for functions that cannot run so often side by side; a lane beyond it waits for its turn, outside its timeout.
    That of a queue is 10, and so is that of a stream whose target is `process:` or `exec:`: each call at once is
    a process there, and how many a machine carries is not known here.
    """

    timeout: float = 30.0
    concurrency: int = 10
    endpoint_url: str | None = None
    hmac_secret_variable: str | None = None
    recycle_after: int | None = None


@dataclass(frozen=True, slots=True)
class RetryDelay:
    """`Poller.RetryDelay`: seconds before a failed message returns: initial * 2^(receives - 1), capped."""

    initial: float
    maximum: float


@dataclass(frozen=True, slots=True)
class PollerSettings:
    """`Poller`: what AWS's own mapping does not do, off unless asked for (SQS-9)."""

    heartbeat: bool = False
    retry_delay: RetryDelay | None = None


@dataclass(frozen=True, slots=True)
class ProvisionedPollers:
    """`ProvisionedPollerConfig` (CFG-18, CFG-19)."""

    minimum: int = 2
    maximum: int = 200


class DestinationKind(Word):
    """What takes failure documents (DST-1); the value is the `destination` label."""

    SQS = "sqs"
    SNS = "sns"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class DestinationArn:
    """`DestinationConfig.OnFailure.Destination`; `region` and `account` are empty for a bucket."""

    text: str
    kind: DestinationKind
    region: str
    account: str
    name: str


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What only a stream has (CFG-8 to CFG-14 in AWS's words); None means no limit.

    `position` is where a shard without a stored position is read from. `maximum_age` and `tumbling_window`
    (0: none) are seconds; `retries` is MaximumRetryAttempts: a batch is invoked at most once more than that
    (ERR-5).
    """

    position: Position
    lanes: int = 1
    bisect: bool = False
    retries: int | None = None
    maximum_age: float | None = None
    tumbling_window: int = 0
    destination: DestinationArn | None = None


@dataclass(frozen=True, slots=True)
class EventSourceMapping:
    """A valid mapping. `window` is MaximumBatchingWindowInSeconds; None means no limit was configured."""

    uuid: str
    name: str
    source: SourceKind
    arn: SourceArn
    function_name: str
    function_arn: str
    enabled: bool = True
    batch_size: int = 10
    window: float = 0.0
    report_batch_item_failures: bool = False
    filters: tuple[str, ...] = ()
    """The patterns of FilterCriteria as JSON texts; a record passes if any of them matches (FLT-1), or there are
    none (CFG-46)."""
    maximum_concurrency: int | None = None
    provisioned: ProvisionedPollers | None = None
    handler: HandlerSettings = field(default_factory=HandlerSettings)
    poller: PollerSettings = field(default_factory=PollerSettings)
    stream: StreamSettings | None = None
    """Set for Kinesis and DynamoDB Streams, and only for them."""
    tags: tuple[tuple[str, str], ...] = ()
    kms_key: str = ""
    metrics: tuple[str, ...] = ()
    """These three, Tags, KMSKeyArn and MetricsConfig, are told by the control API and change nothing that runs."""
    written_filters: tuple[str, ...] = field(default=(), compare=False)
    """`filters` as the user wrote them, which is how they are told: clients compare the texts."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """Why fields make no mapping: everything that is wrong, in a fixed order, never empty."""

    problems: tuple[FieldProblem, ...]


def parse_mapping(fields: Mapping[str, object], taken: Collection[str] = ()) -> EventSourceMapping | Invalid:
    """CreateEventSourceMapping's fields and ours (`Name`, `Handler`, `Poller`) -> a mapping, or all that is wrong.

    Any value of any type may come in; null is the same as not there. Without a Name it is that of the queue,
    stream or table, with a number behind it where `taken` has that name already.
    """
    arn = parse_source_arn(fields.get("EventSourceArn"))
    if isinstance(arn, FieldProblem):
        return Invalid(tuple(field_problems(fields, None)))
    source = SourceArn(str(fields["EventSourceArn"]), *arn[1:])
    queue = arn.kind is SourceKind.SQS
    problems = tuple(field_problems(fields, arn.kind))
    rules = chain(
        handler_problems(fields),
        plain_data_patterns(fields, arn.kind),
        queue_problems(fields, fifo=source.fifo) if queue else stream_problems(fields, arn.kind),
    )
    told = {problem.path for problem in problems}  # a value that is wrong by itself is told once
    problems += tuple(problem for problem in rules if problem.path not in told)
    if problems:
        return Invalid(problems)
    # Nothing below can fail: the problems above are all there are.
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    name = given.get("Name") or _free_name(source.name, taken)
    target = parse_target(given["FunctionName"])
    assert not isinstance(target, FieldProblem)
    function = function_arn(target, arn, name)
    return EventSourceMapping(
        uuid=_uuid(given, arn.kind, name, function_reference(given["FunctionName"], function)),
        name=name,
        source=arn.kind,
        arn=source,
        function_name=given["FunctionName"],
        function_arn=function,
        enabled=given.get("Enabled", True),
        batch_size=given.get("BatchSize", 10 if queue else 100),
        window=float(given.get("MaximumBatchingWindowInSeconds", 0)),
        report_batch_item_failures=bool(given.get("FunctionResponseTypes")),
        filters=filter_texts(given),
        written_filters=written_filters(given),
        maximum_concurrency=given.get("ScalingConfig", {}).get("MaximumConcurrency"),
        provisioned=_provisioned(given.get("ProvisionedPollerConfig", {})),
        handler=_handler(given.get("Handler", {}), _concurrency(target, queue=queue)),
        poller=_poller(given.get("Poller", {})),
        stream=None if queue else _stream(given),
        tags=tuple(given.get("Tags", {}).items()),
        kms_key=given.get("KMSKeyArn", ""),
        metrics=tuple(given.get("MetricsConfig", {}).get("Metrics") or ()),
    )


def visibility_conflict(visibility_timeout: float, mapping: EventSourceMapping) -> str | None:
    """CFG-44: AWS's sentence when a message would come back while the function still has it.

    `visibility_timeout` is the queue's, in seconds. With Poller.Heartbeat it does not come back: that is what the
    heartbeat is for.
    """
    function_timeout = mapping.handler.timeout
    if function_timeout <= visibility_timeout or mapping.poller.heartbeat:
        return None
    return (
        f"Queue visibility timeout: {visibility_timeout:g} seconds"
        f" is less than Function timeout: {function_timeout:g} seconds"
    )


def _uuid(given: Mapping[str, Any], kind: SourceKind, name: str, function: str) -> str:
    """API-2. A stream's positions are kept under it (STR-31), so there it must not change where AWS's would not.

    A stream's mapping with a Name keeps its positions when its function changes (CFG-2). One without is known by
    its function (CFG-51): a derived name depends on the order in the file, and may be another mapping's tomorrow.
    `function` is the reference, of a Lambda function its ARN however it was written.
    """
    source = given["EventSourceArn"]
    if kind is SourceKind.SQS:
        return mapping_uuid(name, source, function)
    return mapping_uuid(given["Name"], source, "") if "Name" in given else mapping_uuid("", source, function)


def _free_name(name: str, taken: Collection[str]) -> str:
    numbered = (f"{name}-{number}" for number in count(2))
    return next(free for free in chain((name,), numbered) if free not in taken)


def _provisioned(given: Mapping[str, Any]) -> ProvisionedPollers | None:
    values = {key: value for key, value in given.items() if value is not None}
    if not values:  # an empty one clears the setting, as in the API
        return None
    return ProvisionedPollers(values.get("MinimumPollers", 2), values.get("MaximumPollers", 200))


def _stream(given: Mapping[str, Any]) -> StreamSettings:
    age = given.get("MaximumRecordAgeInSeconds", -1)
    retries = given.get("MaximumRetryAttempts", -1)
    return StreamSettings(
        position=_position(given),
        lanes=given.get("ParallelizationFactor", 1),
        bisect=given.get("BisectBatchOnFunctionError", False),
        retries=None if retries == -1 else retries,
        maximum_age=None if age == -1 else float(age),
        tumbling_window=given.get("TumblingWindowInSeconds", 0),
        destination=_destination(given.get("DestinationConfig", {})),
    )


def _position(given: Mapping[str, Any]) -> Position:
    time = given.get("StartingPositionTimestamp")
    seconds = 0.0 if time is None else epoch_seconds(time)
    assert isinstance(seconds, float)
    return Position(PositionKind(given["StartingPosition"]), timestamp=seconds)


def _destination(given: Mapping[str, Any]) -> DestinationArn | None:
    text = (given.get("OnFailure") or {}).get("Destination")
    if not text:  # an empty one clears the setting, as in the API
        return None
    parts = parse_destination_arn(text)
    assert not isinstance(parts, str)
    return DestinationArn(text, DestinationKind(parts.service), parts.region, parts.account, parts.name)


def _concurrency(target: Target, *, queue: bool) -> int:
    """`Handler.Concurrency` unless it is set: see HandlerSettings."""
    return 10 if queue or isinstance(target, ProcessTarget | ExecTarget) else 1_000


def _handler(given: Mapping[str, Any], concurrency: int) -> HandlerSettings:
    return HandlerSettings(
        timeout=float(given.get("TimeoutInSeconds") or HandlerSettings().timeout),
        concurrency=given.get("Concurrency") or concurrency,
        endpoint_url=given.get("EndpointUrl"),
        hmac_secret_variable=given.get("HmacSecretVariable"),
        recycle_after=given.get("RecycleAfter"),
    )


def _poller(given: Mapping[str, Any]) -> PollerSettings:
    delay = given.get("RetryDelay")
    return PollerSettings(
        heartbeat=bool(given.get("Heartbeat")),
        retry_delay=None if delay is None else RetryDelay(float(delay["Initial"]), float(delay["Max"])),
    )
