"""What sources and destinations say of a mapping before it runs, as `poller check --online` tells it."""

from dataclasses import replace
from typing import Any

import pytest

from poller.check_sources import Remark, look
from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import QueueFacts, SourceProblem
from poller.core.records import Listing, Page, Position, Shard, StreamFacts
from poller.errors import ConfigurationError, DestinationError, PollerError, SourceError
from poller.ports import Destination, QueueSource, StreamSource
from poller.settings import Settings
from poller.sources import Sources, opened_sources
from poller.testing import EmbeddedAws, FakeQueue
from tests.unit.runtime.stream_rig import Takes

ACCOUNT = "us-east-1:000000000000"
QUEUE = f"arn:aws:sqs:{ACCOUNT}:orders"
STREAM = f"arn:aws:kinesis:{ACCOUNT}:stream/clicks"
TABLE = f"arn:aws:dynamodb:{ACCOUNT}:table/changes/stream/2026-01-01T00:00:00.000"
REDRIVE = {"deadLetterTargetArn": f"{QUEUE}-dead", "maxReceiveCount": 5}
NO_QUEUE = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    " SQS Error Message: The specified queue does not exist."
)
NO_PERMISSION = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
DAY = 86_400.0
CAP = "Handler.Concurrency allows 9."
OPEN, CLOSED = Shard("open", starting="1"), Shard("closed", starting="1", ending="2")
ALL_WELL = StreamFacts("ACTIVE", reading=True, retention=DAY)


def mapping(arn: str, **fields: Any) -> EventSourceMapping:
    """One without anything to be advised on, unless `fields` bring it."""
    least: dict[str, Any] = {"EventSourceArn": arn, "FunctionName": "python:shop.orders:handler"}
    if ":sqs:" not in arn:
        least |= {"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 3}
        least["DestinationConfig"] = {"OnFailure": {"Destination": f"{QUEUE}-failed"}}
    parsed = parse_mapping(least | fields)
    assert isinstance(parsed, EventSourceMapping), parsed
    return parsed


class Told:
    """Sources that say what they are told to say. An error instead of facts is raised; `asked` has what was done
    to the stream.
    """

    def __init__(
        self,
        facts: QueueFacts | StreamFacts | Exception = ALL_WELL,
        shards: tuple[Shard, ...] = (OPEN,),
        reading: Exception | None = None,
        failure: Exception | None = None,
        remarks: tuple[Remark, ...] = (),
    ) -> None:
        self.facts = facts
        self.shards = shards
        self.reading = reading
        self.failure = failure
        self.remarks = remarks
        self.asked: list[str] = []

    async def queue(self, mapping: EventSourceMapping) -> tuple[QueueSource, QueueFacts]:
        if isinstance(self.facts, Exception):
            raise self.facts
        assert isinstance(self.facts, QueueFacts)
        return FakeQueue(mapping.arn.name), self.facts

    def stream(self, mapping: EventSourceMapping) -> StreamSource:
        return self

    async def destination(self, mapping: EventSourceMapping) -> Destination | None:
        if self.failure is not None:
            raise self.failure
        return Takes()

    async def function(self, mapping: EventSourceMapping) -> list[Remark]:
        return list(self.remarks)

    async def describe(self) -> StreamFacts:
        if isinstance(self.facts, Exception):
            raise self.facts
        assert isinstance(self.facts, StreamFacts)
        return self.facts

    async def list_shards(self, since: str | None = None) -> Listing:
        return Listing(self.shards, complete=True, told_at=0.0)

    async def children(self, shard_id: str) -> tuple[Shard, ...]:
        raise AssertionError("a check follows no shard")

    async def iterator(self, shard_id: str, position: Position, deadline: float) -> str:
        self.asked.append(f"{shard_id} {position.kind}")
        return shard_id

    async def records(self, shard_id: str, iterator: str, limit: int, deadline: float) -> Page:
        self.asked.append(f"read {iterator} {limit}")
        if self.reading is not None:
            raise self.reading
        return Page([], None, 0.0, 0)


async def remarks_on(facts: QueueFacts | StreamFacts | Exception, arn: str = QUEUE, **fields: Any) -> list[Remark]:
    """All of them but the number of shards."""
    found = await look(mapping(arn, **fields), Told(facts))
    for remark in found:
        assert remark.sentence.isprintable()
        assert remark.sentence.endswith(".")
    return [remark for remark in found if remark.level != "info"]


async def only_remark(facts: QueueFacts | StreamFacts | Exception, arn: str = QUEUE, **fields: Any) -> Remark:
    (remark,) = await remarks_on(facts, arn, **fields)
    return remark


def queue_facts(visibility: float = 30, redrive: dict[str, Any] | None = None) -> QueueFacts:
    return QueueFacts(visibility, 0, 0, 0, redrive)


# --- queues ---


async def test_a_queue_in_good_order() -> None:
    """CFG-44, SQS-25: equal timeouts and five receives are fine."""
    assert await remarks_on(queue_facts(30, REDRIVE)) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Queue orders is not there.", f"{NO_QUEUE[:-1]}. Queue orders is not there."),
        (f"{NO_QUEUE} Check the name.", f"{NO_QUEUE} Check the name."),
    ],
)
async def test_a_queue_that_does_not_exist(text: str, told: str) -> None:
    """CFG-40: AWS's sentence, once."""
    remark = await only_remark(SourceError(SourceProblem.MISSING, text))
    assert (remark.level, remark.sentence) == ("error", told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sqs denied it.", f"{NO_PERMISSION}. sqs denied it."),
        (f"{NO_PERMISSION}. Allow it.", f"{NO_PERMISSION}. Allow it."),
    ],
)
async def test_a_queue_that_may_not_be_read(text: str, told: str) -> None:
    """CFG-42: AWS's sentence, once."""
    remark = await only_remark(SourceError(SourceProblem.DENIED, text))
    assert (remark.level, remark.sentence) == ("error", told)


@pytest.mark.parametrize("problem", sorted(set(SourceProblem) - {SourceProblem.MISSING, SourceProblem.DENIED}))
async def test_a_queue_that_cannot_be_looked_at(problem: SourceProblem) -> None:
    remark = await only_remark(SourceError(problem, "nobody answers at h."))
    assert (remark.level, remark.sentence) == ("error", "nobody answers at h.")


async def test_an_endpoint_that_cannot_be_used() -> None:
    remark = await only_remark(ConfigurationError("this URL is none."))
    assert (remark.level, remark.sentence) == ("error", "this URL is none.")


async def test_a_visibility_timeout_that_is_too_short() -> None:
    """CFG-44: an error, also when there is other advice."""
    error, advice = await remarks_on(queue_facts(20), Handler={"TimeoutInSeconds": 20.5})
    assert (error.level, advice.level) == ("error", "warning")
    assert error.sentence == (
        "Queue visibility timeout: 20 seconds is less than Function timeout: 20.5 seconds;"
        " raise the queue's visibility timeout, lower Handler.TimeoutInSeconds, or set Poller.Heartbeat."
    )


async def test_a_queue_without_a_redrive_policy() -> None:
    """SQS-25: what fails comes back for days."""
    remark = await only_remark(queue_facts())
    assert remark.level == "warning"
    assert "queue orders has no redrive policy" in remark.sentence


@pytest.mark.parametrize("receives", [1, 4, "4"])
async def test_a_redrive_after_few_receives(receives: Any) -> None:
    """SQS-25: AWS advises five or more; some servers write the number as text."""
    remark = await only_remark(queue_facts(30, {**REDRIVE, "maxReceiveCount": receives}))
    assert (remark.level, "5 or more" in remark.sentence) == ("warning", True)


@pytest.mark.parametrize("receives", ["many", None, [], float("inf")])
async def test_a_redrive_policy_that_cannot_be_read(receives: Any) -> None:
    remark = await only_remark(queue_facts(30, {"maxReceiveCount": receives}))
    assert (remark.level, "no maxReceiveCount that can be read" in remark.sentence) == ("warning", True)


async def test_a_dead_letter_queue_breaks_the_order_of_a_group() -> None:
    """FIFO-11: by design, and worth knowing."""
    remark = await only_remark(queue_facts(30, REDRIVE), f"{QUEUE}.fifo")
    assert (remark.level, "order of the group" in remark.sentence) == ("warning", True)


# --- streams ---


@pytest.mark.parametrize("arn", [STREAM, TABLE])
async def test_a_stream_in_good_order(arn: str) -> None:
    """CFG-41, DDB-7: nothing to tell; an age limit as long as retention has an effect."""
    assert await remarks_on(ALL_WELL, arn) == []
    assert await remarks_on(ALL_WELL, arn, MaximumRecordAgeInSeconds=86_400) == []


@pytest.mark.parametrize(
    ("shards", "fields", "told"),
    [
        ((OPEN, OPEN, CLOSED), {}, "2 open shards, ParallelizationFactor is 1: up to 2 batches at once."),
        ((OPEN,), {}, "1 open shard, ParallelizationFactor is 1: up to 1 batch at once."),
        ((), {}, "0 open shards, ParallelizationFactor is 1: up to 0 batches at once."),
        (
            (OPEN, OPEN),
            {"ParallelizationFactor": 5},
            "2 open shards, ParallelizationFactor is 5: up to 10 batches at once.",
        ),
        (
            (OPEN, OPEN),
            {"ParallelizationFactor": 5, "Handler": {"Concurrency": 10}},
            "2 open shards, ParallelizationFactor is 5: up to 10 batches at once.",
        ),
        (
            (OPEN, OPEN),
            {"ParallelizationFactor": 5, "Handler": {"Concurrency": 9}},
            f"2 open shards, ParallelizationFactor is 5: 10 batches could run at once, {CAP}",
        ),
    ],
)
async def test_how_many_batches_can_run_at_once(
    shards: tuple[Shard, ...], fields: dict[str, Any], told: str
) -> None:
    """STR-41: open shards times ParallelizationFactor, as information."""
    assert await look(mapping(STREAM, **fields), Told(shards=shards)) == [("info", f"stream clicks has {told}")]


@pytest.mark.parametrize(
    ("shards", "asked"),
    [
        ((CLOSED, OPEN), ["open LATEST", "read open 1"]),
        ((OPEN,), ["open LATEST", "read open 1"]),
        ((CLOSED, replace(CLOSED, id="last")), ["last TRIM_HORIZON", "read last 1"]),
        ((), []),
    ],
)
async def test_one_read_tells_whether_the_stream_may_be_read(shards: tuple[Shard, ...], asked: list[str]) -> None:
    """IAM-2, IAM-4: of the tip of an open shard if there is one, where it costs others least."""
    told = Told(shards=shards)
    await look(mapping(STREAM), told)
    assert told.asked == asked


@pytest.mark.parametrize("problem", ["throttled", "expired", "trimmed", "missing"])
async def test_a_read_that_others_or_time_spoilt_was_allowed(problem: str) -> None:
    """STR-21, STR-22, SUR-15: two readers of a shard are busy already, or it has just gone: that is no fault."""
    reading = SourceError(SourceProblem(problem), "not now.")
    assert [remark.level for remark in await look(mapping(STREAM), Told(reading=reading))] == ["info"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SourceError(SourceProblem.DENIED, "Not allowed."), f"Cannot access stream {STREAM}. Not allowed."),
        (SourceError(SourceProblem.SERVER, "It broke."), "It broke."),
        (ConfigurationError("This URL is none."), "This URL is none."),
    ],
)
async def test_a_read_that_fails(error: PollerError, told: str) -> None:
    """CFG-43: AWS's sentence first where it is a matter of permission."""
    found = await look(mapping(STREAM), Told(reading=error))
    assert [remark.level for remark in found] == ["info", "error"]
    assert found[1].sentence == told


async def test_a_stream_that_is_being_made_is_waited_for() -> None:
    remark = await only_remark(StreamFacts("CREATING", reading=False, retention=DAY), STREAM)
    assert remark == (
        "warning",
        "stream clicks is CREATING and cannot be read now; `poller run` waits for it.",
    )


async def test_a_stream_that_is_being_deleted_is_an_error() -> None:
    remark = await only_remark(StreamFacts("DELETING", reading=False, retention=DAY), STREAM)
    assert remark == ("error", "stream clicks is DELETING and cannot be read now.")


@pytest.mark.parametrize("status", ["DISABLING", "DISABLED"])
async def test_a_stream_that_was_switched_off_runs_dry(status: str) -> None:
    """DDB-9: it is read to its end, and told."""
    level, sentence = await only_remark(StreamFacts(status, reading=True, retention=DAY), TABLE)
    assert level == "warning"
    assert f"the stream of table changes is {status} and runs dry" in sentence
    assert "LatestStreamArn" in sentence


async def test_an_age_limit_beyond_retention_has_no_effect() -> None:
    """DDB-7, CFG-11: of DynamoDB's day, or of what the Kinesis stream keeps."""
    for arn, name in ((TABLE, "changes"), (STREAM, "clicks")):
        level, sentence = await only_remark(ALL_WELL, arn, MaximumRecordAgeInSeconds=86_401)
        assert level == "warning"
        assert sentence == (
            f"MaximumRecordAgeInSeconds 86401 has no effect: stream {name} keeps its records for 86400 seconds."
        )
    week = replace(ALL_WELL, retention=7 * DAY)
    assert await remarks_on(week, STREAM, MaximumRecordAgeInSeconds=86_401) == []


async def test_defaults_under_which_one_record_holds_up_its_shard() -> None:
    """SUR-3, KIN-7, ERR-4: for as long as this stream keeps its records."""
    week = replace(ALL_WELL, retention=7 * DAY)
    level, sentence = await only_remark(week, STREAM, MaximumRetryAttempts=-1)
    assert level == "warning"
    assert "neither MaximumRetryAttempts nor MaximumRecordAgeInSeconds is set" in sentence
    assert sentence.endswith("after 168 hours.")
    assert await remarks_on(week, STREAM, MaximumRetryAttempts=-1, MaximumRecordAgeInSeconds=60) == []
    assert await remarks_on(week, STREAM, MaximumRetryAttempts=0) == []


async def test_limits_without_a_destination() -> None:
    """ERR-31: what is given up is in the log only."""
    level, sentence = await only_remark(ALL_WELL, STREAM, DestinationConfig=None)
    assert level == "warning"
    assert "name a DestinationConfig.OnFailure.Destination" in sentence
    both = await remarks_on(ALL_WELL, STREAM, DestinationConfig=None, MaximumRetryAttempts=-1)
    assert len(both) == 1
    assert "neither MaximumRetryAttempts" in both[0].sentence


@pytest.mark.parametrize(
    "error",
    [
        DestinationError("The queue is not ready."),
        SourceError(SourceProblem.MISSING, "The queue is not there."),
        SourceError(SourceProblem.DENIED, "The queue is not ours."),
    ],
)
async def test_a_destination_that_cannot_be_used(error: PollerError) -> None:
    """DST-31: an error of its own, beside whatever the stream says, in the words of whoever refused it."""
    found = await look(mapping(STREAM), Told(failure=error))
    assert [remark.level for remark in found] == ["info", "error"]
    assert found[1].sentence == str(error)
    gone = SourceError(SourceProblem.UNREACHABLE, "Nobody answers.")
    found = await look(mapping(STREAM), Told(gone, failure=error))
    assert found == [("error", "Nobody answers."), ("error", str(error))]


# --- streams of the embedded AWS, through the adapters that `poller run` has ---


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    async with EmbeddedAws() as aws:
        yield aws


@pytest.fixture
async def sources(aws: EmbeddedAws):
    async with opened_sources(Settings(region="us-east-1", endpoint_url=aws.url)) as sources:
        yield sources


def ask(aws: EmbeddedAws, machine: Any, operation: str, **request: Any) -> Any:
    return machine.apply(aws.service.clock.now(), operation, request)


def table_with_stream(aws: EmbeddedAws) -> str:
    made = ask(
        aws,
        aws.dynamodb,
        "CreateTable",
        TableName="changes",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


@pytest.mark.parametrize("arn", [STREAM, TABLE])
async def test_a_stream_that_does_not_exist(sources: Sources, arn: str) -> None:
    """CFG-41: AWS's sentence, once."""
    (error,) = await look(mapping(arn, DestinationConfig=None), sources)
    assert error.level == "error"
    assert error.sentence.count("Stream not found") == 1
    assert error.sentence.startswith(f"Stream not found: {arn}")


@pytest.mark.parametrize("operation", ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"])
async def test_each_permission_for_kinesis_is_missed(aws: EmbeddedAws, sources: Sources, operation: str) -> None:
    """CFG-43, IAM-2: AWS's sentence, once, and which action to allow. DescribeStream is not needed."""
    ask(aws, aws.kinesis, "CreateStream", StreamName="clicks", ShardCount=2)
    aws.faults.fail(operation, None, status=400, code="AccessDeniedException", message="Not you.")
    found = await look(mapping(STREAM, DestinationConfig=None), sources)
    (error,) = [remark for remark in found if remark.level == "error"]
    assert error.sentence.startswith(f"Cannot access stream {STREAM}. ")
    assert error.sentence.count("Cannot access stream") == 1
    assert f"kinesis:{operation} " in error.sentence


@pytest.mark.parametrize("operation", ["DescribeStream", "GetShardIterator", "GetRecords"])
async def test_each_permission_for_a_dynamodb_stream_is_missed(
    aws: EmbeddedAws, sources: Sources, operation: str
) -> None:
    """CFG-43, IAM-4: AWS's sentence, once, and which action to allow."""
    arn = table_with_stream(aws)
    aws.faults.fail(operation, None, status=400, code="AccessDeniedException", message="Not you.")
    found = await look(mapping(arn, DestinationConfig=None), sources)
    (error,) = [remark for remark in found if remark.level == "error"]
    assert error.sentence.startswith(f"Cannot access stream {arn}. ")
    assert error.sentence.count("Cannot access stream") == 1
    assert f"dynamodb:{operation}" in error.sentence


@pytest.mark.parametrize(
    "operation", ["kinesis:ListStreams", "kinesis:DescribeStream", "dynamodbstreams:ListStreams"]
)
async def test_ddb_8_permissions_of_aws_own_policy_that_nobody_needs(
    aws: EmbeddedAws, sources: Sources, operation: str
) -> None:
    """DDB-8, IAM-2, IAM-4: refused, they are not missed."""
    ask(aws, aws.kinesis, "CreateStream", StreamName="clicks", ShardCount=2)
    arn = table_with_stream(aws)
    aws.faults.fail(operation, None, status=400, code="AccessDeniedException")
    for source in (STREAM, arn):
        found = await look(mapping(source, DestinationConfig=None), sources)
        assert [remark.level for remark in found] == ["warning", "info"]


async def test_a_table_whose_stream_was_switched_off(aws: EmbeddedAws, sources: Sources) -> None:
    """DDB-9, DDB-7: with what the service itself tells."""
    arn = table_with_stream(aws)
    ask(aws, aws.dynamodb, "UpdateTable", TableName="changes", StreamSpecification={"StreamEnabled": False})
    found = await look(mapping(arn, MaximumRecordAgeInSeconds=100_000, DestinationConfig=None), sources)
    dry, age, lost, shards = found
    assert [remark.level for remark in found] == ["warning", "warning", "warning", "info"]
    assert "DISABLED and runs dry" in dry.sentence
    assert "MaximumRecordAgeInSeconds 100000 has no effect" in age.sentence
    assert "DestinationConfig" in lost.sentence
    assert "0 open shards" in shards.sentence


async def test_retention_of_the_stream_itself(aws: EmbeddedAws, sources: Sources) -> None:
    """CFG-11, KIN-7: a stream that keeps its records for longer makes sense of longer limits."""
    ask(aws, aws.kinesis, "CreateStream", StreamName="clicks", ShardCount=2)
    long = mapping(STREAM, MaximumRecordAgeInSeconds=100_000, DestinationConfig=None)
    assert "no effect" in (await look(long, sources))[0].sentence
    ask(aws, aws.kinesis, "IncreaseStreamRetentionPeriod", StreamName="clicks", RetentionPeriodHours=48)
    assert all("no effect" not in remark.sentence for remark in await look(long, sources))


async def test_a_destination_is_opened(aws: EmbeddedAws, sources: Sources) -> None:
    """DST-31: a queue must be there."""
    ask(aws, aws.kinesis, "CreateStream", StreamName="clicks", ShardCount=2)
    _, error = await look(mapping(STREAM), sources)
    assert error.level == "error"
    assert error.sentence.startswith(f"The on-failure destination {QUEUE}-failed cannot be used: ")
    assert "Stream not found" not in error.sentence
    ask(aws, aws.sqs, "CreateQueue", QueueName="orders-failed")
    assert [remark.level for remark in await look(mapping(STREAM), sources)] == ["info"]


async def test_a_destination_that_is_slow(
    aws: EmbeddedAws, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DST-31: told as it is."""
    monkeypatch.setattr("poller.aws.destinations.OPEN_DEADLINE", 0.05)
    ask(aws, aws.kinesis, "CreateStream", StreamName="clicks", ShardCount=2)
    aws.faults.hang("sqs:GetQueueUrl", None)
    _, error = await look(mapping(STREAM), sources)
    assert error.level == "error"
    assert "was not ready within" in error.sentence


# --- functions ---


async def test_what_lambda_says_of_the_function_is_told_after_the_source() -> None:
    """CFG-38."""
    missing = Remark("error", "Function does not exist.")
    assert (await look(mapping(QUEUE), Told(queue_facts(30, REDRIVE), remarks=(missing,))))[-1] == missing


async def test_a_function_of_lambda_is_looked_at(aws: EmbeddedAws, sources: Sources) -> None:
    """CFG-38: it is not there, then it is."""
    named = replace(mapping(QUEUE), function_name="shop", function_arn=aws.functions.arn("shop"))
    (missing,) = await sources.function(named)
    assert missing.level == "error"
    assert missing.sentence.startswith("Function does not exist.")
    aws.functions.add("shop", lambda event: None)
    assert await sources.function(named) == []
