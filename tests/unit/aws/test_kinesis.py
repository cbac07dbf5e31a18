"""KinesisStream against scripted answers: the requests of each method, and every way they are refused."""

import email.utils
import json

import pytest

from poller.aws.clients import AwsClients
from poller.aws.kinesis import KinesisStream
from poller.core.mapping import SourceArn
from poller.core.model import SourceProblem
from poller.core.records import TRIM_HORIZON, Page, Position, PositionKind, Shard, StreamFacts, after
from poller.errors import ConfigurationError, SourceError
from poller.ports import StreamSource

TEXT = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
ARN = SourceArn(TEXT, "aws", "eu-west-1", "123456789012", "clicks")
NAMED = {"StreamName": "clicks", "StreamARN": TEXT}
SUMMARY = {"StreamStatus": "ACTIVE", "RetentionPeriodHours": 48}
DATE = 1_750_000_000.0

pytestmark = pytest.mark.usefixtures("known_credentials")


def error(code, status="400 x", message="why"):
    return status, {"__type": code, "message": message}


def wire_shard(number, **more):
    """A shard as ListShards tells it."""
    return {
        "ShardId": f"shardId-{number}",
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
        "SequenceNumberRange": {"StartingSequenceNumber": str(number)},
        **more,
    }


class Kinesis:
    """Answers by operation; a tuple is (status, body); a list is answered one after the other, 100 s apart."""

    def __init__(self, **answers):
        self.answers = {"DescribeStreamSummary": {"StreamDescriptionSummary": SUMMARY}, **answers}
        self.asked = []
        self.tells_time = True

    async def script(self, line, number):
        while True:
            head, body = await line.request()
            assert "Content-Type: application/x-amz-json-1.1" in head.decode()
            operation = head.decode().partition("X-Amz-Target: Kinesis_20131202.")[2].partition("\r\n")[0]
            self.asked.append((operation, json.loads(body)))
            answer = self.answers[operation]
            if isinstance(answer, list):
                answer = answer.pop(0)
            status, answer = answer if isinstance(answer, tuple) else ("200 OK", answer)
            wall = DATE + 100 * (len(self.asked) - 1)
            date = f"Date: {email.utils.formatdate(wall, usegmt=True)}\r\n" if self.tells_time else ""
            await line.answer(json.dumps(answer).encode(), status, date)


@pytest.fixture
async def stream_of(serve):
    entered = []

    async def make(kinesis, arn=ARN):
        server = await serve(kinesis.script)
        clients = await AwsClients(endpoint_url=server.url).__aenter__()
        entered.append(clients)
        return KinesisStream(clients, arn)

    yield make
    for clients in entered:
        await clients.__aexit__(None, None, None)


# --- describe ---


async def test_describe_asks_for_the_summary(stream_of):
    kinesis = Kinesis()
    source: StreamSource = await stream_of(kinesis)
    assert await source.describe() == StreamFacts("ACTIVE", True, 48 * 3600)
    assert kinesis.asked == [("DescribeStreamSummary", NAMED)]


@pytest.mark.parametrize(
    ("status", "reading"), [("ACTIVE", True), ("UPDATING", True), ("CREATING", False), ("DELETING", False)]
)
async def test_which_streams_can_be_read(stream_of, status, reading):
    stream = await stream_of(
        Kinesis(DescribeStreamSummary={"StreamDescriptionSummary": SUMMARY | {"StreamStatus": status}})
    )
    assert (await stream.describe()).reading is reading


async def test_a_consumer_arn_stands_for_its_stream(stream_of):
    """KIN-5: its stream can be read the ordinary way."""
    kinesis = Kinesis()
    consumer = SourceArn(TEXT + "/consumer/c:1", "aws", "eu-west-1", "123456789012", "clicks", "c:1")
    await (await stream_of(kinesis, consumer)).describe()
    assert kinesis.asked == [("DescribeStreamSummary", NAMED)]


@pytest.mark.parametrize(
    ("answer", "problem", "starts"),
    [
        (error("ResourceNotFoundException"), SourceProblem.MISSING, f"Stream not found: {TEXT}"),
        (error("AccessDeniedException"), SourceProblem.DENIED, f"Cannot access stream {TEXT}. Please"),
        (error("InvalidArgumentException"), SourceProblem.REFUSED, "kinesis DescribeStreamSummary"),
        ({}, SourceProblem.SERVER, "kinesis DescribeStreamSummary"),
        ({"StreamDescriptionSummary": SUMMARY | {"RetentionPeriodHours": "x"}}, SourceProblem.SERVER, "kinesis"),
    ],
)  # fmt: skip
async def test_describe_is_refused(stream_of, answer, problem, starts):
    """CFG-41, CFG-43."""
    stream = await stream_of(Kinesis(DescribeStreamSummary=answer))
    with pytest.raises(SourceError) as caught:
        await stream.describe()
    assert caught.value.problem is problem
    assert str(caught.value).startswith(starts)


async def test_an_endpoint_that_cannot_be_used_is_told_when_it_is_asked():
    async with AwsClients(endpoint_url="ftp://x") as clients:
        stream = KinesisStream(clients, ARN)
        with pytest.raises(ConfigurationError):
            await stream.describe()


# --- shards ---


async def test_shards_of_all_pages(stream_of):
    """STR-5: the pages after the first are asked for by their token alone."""
    parents = {"ParentShardId": "shardId-0", "AdjacentParentShardId": "shardId-1"}
    ended = {"StartingSequenceNumber": "3", "EndingSequenceNumber": "4"}
    pages = [
        {"Shards": [wire_shard(0), wire_shard(1)], "NextToken": "t1"},
        {"Shards": [wire_shard(2, **parents)], "NextToken": "t2"},
        {"Shards": [wire_shard(3, SequenceNumberRange=ended)]},
    ]
    kinesis = Kinesis(ListShards=pages)
    listing = await (await stream_of(kinesis)).list_shards()
    assert [request for _, request in kinesis.asked] == [NAMED, {"NextToken": "t1"}, {"NextToken": "t2"}]
    assert listing.shards == (
        Shard("shardId-0", (), "0", None, "0", "9"),
        Shard("shardId-1", (), "1", None, "0", "9"),
        Shard("shardId-2", ("shardId-0", "shardId-1"), "2", None, "0", "9"),
        Shard("shardId-3", (), "3", "4", "0", "9"),
    )
    assert listing.complete


async def test_the_time_of_a_listing_is_that_of_its_first_page(stream_of):
    """STR-11: what a later page's time would pin comes after records that the first page's shards may have had."""
    kinesis = Kinesis(ListShards=[{"Shards": [wire_shard(0)], "NextToken": "t"}, {"Shards": [wire_shard(1)]}])
    stream = await stream_of(kinesis)
    assert (await stream.list_shards()).told_at == DATE


async def test_a_listing_without_a_time_is_no_listing(stream_of):
    """STR-11."""
    kinesis = Kinesis(ListShards={"Shards": [wire_shard(0)]})
    kinesis.tells_time = False
    with pytest.raises(SourceError, match="no Date header"):
        await (await stream_of(kinesis)).list_shards()


async def test_shards_after_one(stream_of):
    kinesis = Kinesis(ListShards={"Shards": [wire_shard(1)]})
    listing = await (await stream_of(kinesis)).list_shards("shardId-0")
    assert kinesis.asked == [("ListShards", NAMED | {"ExclusiveStartShardId": "shardId-0"})]
    assert not listing.complete


async def test_children_are_those_that_name_the_shard(stream_of):
    """STR-2: as either parent."""
    shards = [
        wire_shard(1, ParentShardId="shardId-0"),
        wire_shard(2, ParentShardId="shardId-9", AdjacentParentShardId="shardId-0"),
        wire_shard(3, ParentShardId="shardId-1"),
        wire_shard(4),
    ]
    kinesis = Kinesis(ListShards={"Shards": shards})
    children = await (await stream_of(kinesis)).children("shardId-0")
    assert [child.id for child in children] == ["shardId-1", "shardId-2"]
    assert kinesis.asked[0][1]["ExclusiveStartShardId"] == "shardId-0"


@pytest.mark.parametrize(
    "answer",
    [
        {}, {"Shards": None}, {"Shards": [{}]}, {"Shards": [1]}, {"Shards": 1}, {"Shards": {}}, {"Shards": ""},
        {"Shards": [{"ShardId": None}]}, {"Shards": [{"ShardId": ""}]}, {"Shards": [{"ShardId": 5}]},
        {"Shards": [wire_shard(0, SequenceNumberRange=["1"])]},
    ],
)  # fmt: skip
async def test_a_listing_that_is_none(stream_of, answer):
    with pytest.raises(SourceError) as caught:
        await (await stream_of(Kinesis(ListShards=answer))).list_shards()
    assert caught.value.problem is SourceProblem.SERVER


@pytest.mark.parametrize("ending", [None, ""])
async def test_a_shard_without_an_ending_number_is_open(stream_of, ending):
    """STR-12: one that passed for closed would be skipped at LATEST."""
    numbers = {"StartingSequenceNumber": "1", "EndingSequenceNumber": ending}
    kinesis = Kinesis(ListShards={"Shards": [wire_shard(0, SequenceNumberRange=numbers)]})
    assert (await (await stream_of(kinesis)).list_shards()).shards[0].ending is None


@pytest.mark.parametrize("starting", [None, "", "0x1f", "LATEST", 17, {}])
async def test_a_beginning_that_is_no_number_is_not_known(stream_of, starting):
    """STR-28: they are compared as integers."""
    numbers = {"StartingSequenceNumber": starting}
    kinesis = Kinesis(ListShards={"Shards": [wire_shard(0, SequenceNumberRange=numbers)]})
    told = (await (await stream_of(kinesis)).list_shards()).shards[0].starting
    assert told == ("17" if starting == 17 else "")


async def test_a_token_that_leads_nowhere_does_not_lead_for_ever(stream_of):
    kinesis = Kinesis(ListShards={"Shards": [wire_shard(0)], "NextToken": "t"})
    with pytest.raises(SourceError, match="no new shard"):
        await (await stream_of(kinesis)).list_shards()
    assert len(kinesis.asked) == 2


async def test_a_throttled_page_is_asked_for_again(stream_of):
    """STR-23."""
    pages = [
        {"Shards": [wire_shard(0)], "NextToken": "t"}, error("LimitExceededException"), {"Shards": [wire_shard(1)]}
    ]  # fmt: skip
    kinesis = Kinesis(ListShards=pages)
    assert len((await (await stream_of(kinesis)).list_shards()).shards) == 2
    assert [request for _, request in kinesis.asked][1:] == [{"NextToken": "t"}] * 2


# --- iterators ---


@pytest.mark.parametrize(
    ("position", "told"),
    [
        (TRIM_HORIZON, {"ShardIteratorType": "TRIM_HORIZON"}),
        (Position(PositionKind.LATEST), {"ShardIteratorType": "LATEST"}),
        (after("49"), {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "49"}),
        (
            Position(PositionKind.AT_TIMESTAMP, timestamp=1_750_000_000.1239),
            {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1_750_000_000.123},
        ),
    ],
    ids=["horizon", "latest", "after", "time"],
)
async def test_how_a_position_is_told(stream_of, position, told):
    """STR-10, STR-11, STR-13, STR-24: a time never later than the one that is meant."""
    kinesis = Kinesis(GetShardIterator={"ShardIterator": "it"})
    assert await (await stream_of(kinesis)).iterator("shardId-0", position, 5) == "it"
    assert kinesis.asked == [("GetShardIterator", NAMED | {"ShardId": "shardId-0"} | told)]


@pytest.mark.parametrize(
    ("position", "code", "problem"),
    [
        (after("1"), "InvalidArgumentException", SourceProblem.TRIMMED),
        (after("1"), "ValidationException", SourceProblem.TRIMMED),
        (Position(PositionKind.AT_TIMESTAMP), "InvalidArgumentException", SourceProblem.REFUSED),
        (TRIM_HORIZON, "InvalidArgumentException", SourceProblem.REFUSED),
        (after("1"), "ResourceNotFoundException", SourceProblem.MISSING),
        (after("1"), "ProvisionedThroughputExceededException", SourceProblem.THROTTLED),
        (after("1"), "AccessDeniedException", SourceProblem.DENIED),
    ],
)
async def test_an_iterator_is_refused(stream_of, position, code, problem):
    """STR-23, STR-25: one attempt, the machine decides on the next."""
    kinesis = Kinesis(GetShardIterator=error(code))
    with pytest.raises(SourceError) as caught:
        await (await stream_of(kinesis)).iterator("shardId-0", position, 5)
    assert (caught.value.problem, caught.value.code) == (problem, code)
    assert len(kinesis.asked) == 1


@pytest.mark.parametrize("answer", [{}, {"ShardIterator": None}, {"ShardIterator": ""}])
async def test_an_answer_without_an_iterator(stream_of, answer):
    with pytest.raises(SourceError) as caught:
        await (await stream_of(Kinesis(GetShardIterator=answer))).iterator("shardId-0", TRIM_HORIZON, 5)
    assert caught.value.problem is SourceProblem.SERVER


# --- records ---


async def test_a_page_of_records(stream_of):
    """STR-20: they stay as they came; milliseconds become seconds."""
    record = {"SequenceNumber": "1", "Data": "YQ==", "PartitionKey": "k", "ApproximateArrivalTimestamp": 1.5}
    answer = {"Records": [record], "NextShardIterator": "next", "MillisBehindLatest": 2500}
    kinesis = Kinesis(GetRecords=answer)
    page = await (await stream_of(kinesis)).records("shardId-0", "it", 100, 5)
    assert page == Page([record], "next", 2.5, len(json.dumps(answer)), ())
    assert kinesis.asked == [("GetRecords", {"ShardIterator": "it", "Limit": 100, "StreamARN": TEXT})]


async def test_an_empty_page_is_nothing_special(stream_of):
    """STR-26."""
    answer = {"Records": [], "NextShardIterator": "next", "MillisBehindLatest": 60_000}
    page = await (await stream_of(Kinesis(GetRecords=answer))).records("shardId-0", "it", 100, 5)
    assert (page.records, page.iterator, page.behind) == ([], "next", 60)


@pytest.mark.parametrize("ending", [{"NextShardIterator": None}, {}], ids=["null", "not there"])
async def test_the_end_of_a_shard_and_its_children(stream_of, ending):
    """STR-4."""
    child = {
        "ShardId": "shardId-2",
        "ParentShards": ["shardId-0", "shardId-1"],
        "HashKeyRange": {"StartingHashKey": "1", "EndingHashKey": "5"},
    }
    answer = {"Records": [], "MillisBehindLatest": 0, "ChildShards": [child], **ending}
    kinesis = Kinesis(GetRecords=answer)
    page = await (await stream_of(kinesis)).records("shardId-0", "it", 100, 5)
    assert len(kinesis.asked) == 1
    assert page.iterator is None
    assert page.children == (Shard("shardId-2", ("shardId-0", "shardId-1"), "", None, "1", "5"),)


CLOSED = {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"}


@pytest.mark.parametrize("ending", [{"NextShardIterator": None}, {}, {"NextShardIterator": ""}])
@pytest.mark.parametrize("children", [{}, {"ChildShards": None}, {"ChildShards": []}])
@pytest.mark.parametrize(
    "shards",
    [
        [wire_shard(0, SequenceNumberRange=CLOSED)],
        [wire_shard(0), wire_shard(1, ParentShardId="shardId-0")],
        [wire_shard(0), wire_shard(1, ParentShardId="shardId-9", AdjacentParentShardId="shardId-0")],
        [wire_shard(7)],
    ],
    ids=["closed", "parent", "adjacent parent", "trimmed"],
)
async def test_an_end_without_children_is_looked_up(stream_of, ending, children, shards):
    """STR-4: some servers never name the children."""
    kinesis = Kinesis(GetRecords={"Records": [], **ending, **children}, ListShards={"Shards": shards})
    page = await (await stream_of(kinesis)).records("shardId-0", "it", 100, 5)
    assert (page.iterator, page.children) == (None, ())
    assert kinesis.asked[1:] == [("ListShards", NAMED)]


@pytest.mark.parametrize("records", [[], [{"SequenceNumber": "1"}]], ids=["empty", "with a record"])
async def test_an_end_that_the_list_denies_is_none(stream_of, records):
    """STR-4: a shard that was ended by mistake would never be read again, and what comes after it be lost."""
    shards = [wire_shard(0), wire_shard(1, ParentShardId="shardId-9", SequenceNumberRange=CLOSED)]
    kinesis = Kinesis(GetRecords={"Records": records, "NextShardIterator": None}, ListShards={"Shards": shards})
    with pytest.raises(SourceError, match="shardId-0, which is listed as open") as caught:
        await (await stream_of(kinesis)).records("shardId-0", "it", 100, 5)
    assert caught.value.problem is SourceProblem.EXPIRED


async def test_an_end_that_cannot_be_looked_up_is_none(stream_of):
    """STR-4."""
    kinesis = Kinesis(GetRecords={"Records": []}, ListShards=error("AccessDeniedException"))
    with pytest.raises(SourceError, match="ListShards"):
        await (await stream_of(kinesis)).records("shardId-0", "it", 100, 5)


@pytest.mark.parametrize("behind", [None, -1, "5", [], 10**400, True])
async def test_what_tells_nothing_of_how_far_behind(stream_of, behind):
    answer = {"Records": [], "NextShardIterator": "n", "MillisBehindLatest": behind}
    page = await (await stream_of(Kinesis(GetRecords=answer))).records("shardId-0", "it", 1, 5)
    assert page.behind is None


async def test_a_source_that_does_not_tell_how_far_behind(stream_of):
    stream = await stream_of(Kinesis(GetRecords={"Records": [], "NextShardIterator": "n"}))
    assert (await stream.records("shardId-0", "it", 1, 5)).behind is None


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (error("ExpiredIteratorException"), SourceProblem.EXPIRED),
        (error("ProvisionedThroughputExceededException"), SourceProblem.THROTTLED),
        (error("LimitExceededException"), SourceProblem.THROTTLED),
        (error("ResourceNotFoundException"), SourceProblem.MISSING),
        (error("InvalidArgumentException"), SourceProblem.REFUSED),
        (error("AccessDeniedException"), SourceProblem.DENIED),
        (error("ExpiredTokenException"), SourceProblem.CREDENTIALS),
        (error("KMSThrottlingException"), SourceProblem.THROTTLED),
        (error("KMSAccessDeniedException"), SourceProblem.DENIED),
        (error("KMSDisabledException"), SourceProblem.DENIED),
        (error("InternalFailureException", "500 x"), SourceProblem.SERVER),
        ({}, SourceProblem.SERVER),
        ({"Records": None}, SourceProblem.SERVER),
        ({"Records": [], "ChildShards": [1]}, SourceProblem.SERVER),
    ],
)
async def test_records_are_refused(stream_of, answer, problem):
    """STR-23, STR-24."""
    kinesis = Kinesis(GetRecords=answer)
    with pytest.raises(SourceError) as caught:
        await (await stream_of(kinesis)).records("shardId-0", "it", 100, 5)
    assert caught.value.problem is problem
    assert "GetRecords" in str(caught.value) or problem is SourceProblem.CREDENTIALS


async def test_an_answer_that_does_not_come_ends_at_the_deadline(serve):
    async def silent(line, number):
        await line.request()
        await line.gone()

    server = await serve(silent)
    async with AwsClients(endpoint_url=server.url) as clients:
        with pytest.raises(SourceError) as caught:
            await KinesisStream(clients, ARN).records("shardId-0", "it", 1, 0.05)
    assert caught.value.problem is SourceProblem.UNREACHABLE
