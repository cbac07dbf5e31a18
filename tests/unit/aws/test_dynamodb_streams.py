"""DynamoDbStream against scripted answers: the requests of each method, and every way they are refused."""

import json
from email.utils import formatdate

import pytest

from poller.aws.clients import AwsClients
from poller.aws.dynamodb_streams import DynamoDbStream
from poller.core.mapping import SourceArn
from poller.core.model import SourceProblem
from poller.core.records import (
    TRIM_HORIZON,
    Page,
    Position,
    PositionKind,
    Shard,
    StreamFacts,
    after,
)
from poller.errors import SourceError
from poller.ports import StreamSource

TEXT = "arn:aws:dynamodb:eu-west-1:123456789012:table/shop/stream/2026-01-01T00:00:00.000"
ARN = SourceArn(TEXT, "aws", "eu-west-1", "123456789012", "shop", "2026-01-01T00:00:00.000")
NOW = 1_700_000_000.0

pytestmark = pytest.mark.usefixtures("known_credentials")


def refusal(code, message="no"):
    return ("400 Bad Request", {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message})


MISSING = refusal("ResourceNotFoundException", "Requested resource not found: Stream: it not found")
INVALID = refusal("ValidationException", "1 validation error detected")


def shard(shard_id, parent=None, ending=None):
    numbers = {"StartingSequenceNumber": "100"} | ({"EndingSequenceNumber": ending} if ending else {})
    return {"ShardId": shard_id, "SequenceNumberRange": numbers} | ({"ParentShardId": parent} if parent else {})


def page(*shards, last=None, status="ENABLED"):
    told = {"StreamArn": TEXT, "StreamStatus": status, "Shards": list(shards)}
    return {"StreamDescription": told | ({"LastEvaluatedShardId": last} if last else {})}


class Streams:
    """Answers each operation by its script, a list one after the other; a tuple is (status, body). The clock of
    the service goes on by a second with each answer; with `clock` False it tells no time.
    """

    def __init__(self, clock=True, **answers):
        self.answers = {"DescribeStream": page(), **answers}
        self.clock = clock
        self.asked = []

    async def script(self, line, number):
        while True:
            head, body = await line.request()
            operation = head.decode().partition("X-Amz-Target: DynamoDBStreams_20120810.")[2].partition("\r\n")[0]
            self.asked.append((operation, json.loads(body)))
            answer = self.answers[operation]
            answer = answer.pop(0) if isinstance(answer, list) else answer
            status, answer = answer if isinstance(answer, tuple) else ("200 OK", answer)
            date = f"Date: {formatdate(NOW + len(self.asked) - 1, usegmt=True)}\r\n" if self.clock else ""
            await line.answer(json.dumps(answer).encode(), status, date)

    def bodies(self, operation):
        return [body for name, body in self.asked if name == operation]


@pytest.fixture
async def stream_of(serve):
    entered = []

    async def make(streams):
        server = await serve(streams.script)
        clients = await AwsClients(endpoint_url=server.url).__aenter__()
        entered.append(clients)
        return DynamoDbStream(clients, ARN)

    yield make
    for clients in entered:
        await clients.__aexit__(None, None, None)


def refused(problem, saying=""):
    return pytest.raises(SourceError, check=lambda error: error.problem is problem and saying in str(error))


# --- describing ---


@pytest.mark.parametrize(
    ("status", "reading"), [("ENABLED", True), ("ENABLING", False), ("DISABLING", True), ("DISABLED", True)]
)
async def test_a_disabled_stream_can_be_read_for_a_day(stream_of, status, reading):
    """DDB-7, DDB-9."""
    streams = Streams(DescribeStream=page(status=status))
    source: StreamSource = await stream_of(streams)
    assert await source.describe() == StreamFacts(status, reading, 86_400.0)
    assert streams.bodies("DescribeStream") == [{"StreamArn": TEXT, "Limit": 1}]


async def test_a_missing_stream_is_told_as_aws_does(stream_of):
    """CFG-41."""
    stream = await stream_of(Streams(DescribeStream=MISSING))
    with refused(SourceProblem.MISSING) as caught:
        await stream.describe()
    assert str(caught.value).startswith(f"Stream not found: {TEXT}. ")
    assert "switched off and on again" in str(caught.value)


async def test_a_stream_that_may_not_be_read_is_told_as_aws_does(stream_of):
    """CFG-43, IAM-4."""
    stream = await stream_of(Streams(DescribeStream=refusal("AccessDeniedException", "not authorized")))
    with refused(SourceProblem.DENIED, "allow dynamodb:DescribeStream") as caught:
        await stream.describe()
    assert str(caught.value).startswith(
        f"Cannot access stream {TEXT}. Please ensure the role can perform the GetRecords, GetShardIterator, "
        "DescribeStream, and ListStreams Actions on your stream in IAM."
    )


@pytest.mark.parametrize("answer", [{}, {"StreamDescription": None}, {"StreamDescription": "x"}])
async def test_an_answer_without_a_description_is_the_services_fault(stream_of, answer):
    stream = await stream_of(Streams(DescribeStream=answer))
    with refused(SourceProblem.SERVER, "DescribeStream"):
        await stream.describe()


# --- shards ---


async def test_shards_are_listed_through_all_pages(stream_of):
    """STR-5, STR-11: pinned by the service's own time, that of the first page."""
    pages = [page(shard("a", "gone", "200"), last="a"), page(shard("b", "a"), last="b"), page()]
    streams = Streams(DescribeStream=pages)
    stream = await stream_of(streams)
    listing = await stream.list_shards()
    assert listing.shards == (Shard("a", ("gone",), "100", "200"), Shard("b", ("a",), "100", None))
    assert listing.complete
    assert listing.told_at == NOW
    starts = [body.get("ExclusiveStartShardId") for body in streams.bodies("DescribeStream")]
    assert starts == [None, "a", "b"]


async def test_shards_since_one_are_not_all(stream_of):
    streams = Streams(DescribeStream=[page(shard("b", "a"), last="b"), page(shard("c"))])
    stream = await stream_of(streams)
    listing = await stream.list_shards(since="a")
    assert [found.id for found in listing.shards] == ["b", "c"]
    assert not listing.complete
    starts = [body.get("ExclusiveStartShardId") for body in streams.bodies("DescribeStream")]
    assert starts == ["a", "b"]


@pytest.mark.parametrize("answer", [MISSING, INVALID], ids=["missing", "refused"])
async def test_all_shards_are_listed_when_the_one_to_begin_behind_is_gone(stream_of, answer):
    """STR-6: a listing that cannot begin there must not hide the shards."""
    streams = Streams(DescribeStream=[answer, page(shard("b"))])
    stream = await stream_of(streams)
    listing = await stream.list_shards(since="a")
    assert ([found.id for found in listing.shards], listing.complete) == (["b"], True)


async def test_a_stream_that_is_gone_is_missing_whatever_is_asked(stream_of):
    streams = Streams(DescribeStream=[MISSING, MISSING, MISSING, MISSING, MISSING])
    stream = await stream_of(streams)
    for listing in (stream.list_shards(since="a"), stream.children("a")):
        with refused(SourceProblem.MISSING, "Stream not found"):
            await listing


async def test_a_page_that_leads_back_to_itself_ends(stream_of):
    streams = Streams(DescribeStream=page(shard("a"), last="a"))
    stream = await stream_of(streams)
    with refused(SourceProblem.SERVER, "again and again"):
        await stream.list_shards()


@pytest.mark.parametrize("wrong", [{}, "x", None, 5, {"ShardId": None}, {"ShardId": ""}, {"ShardId": 5}])
async def test_a_shard_in_another_form_is_the_services_fault(stream_of, wrong):
    stream = await stream_of(Streams(DescribeStream=[page(wrong)]))
    with refused(SourceProblem.SERVER, "another form"):
        await stream.list_shards()


@pytest.mark.parametrize("wrong", [{}, {"Shards": None}, {"Shards": {}}, {"Shards": ""}])
async def test_a_description_without_a_list_has_not_no_shards(stream_of, wrong):
    """STR-5."""
    stream = await stream_of(Streams(DescribeStream={"StreamDescription": {"StreamStatus": "ENABLED"} | wrong}))
    with refused(SourceProblem.SERVER, "no list of shards"):
        await stream.list_shards()


@pytest.mark.parametrize("last", [{"a": 1}, ["a"], 5])
async def test_a_page_that_leads_to_no_shard(stream_of, last):
    stream = await stream_of(Streams(DescribeStream=page(shard("a"), last=last)))
    with refused(SourceProblem.SERVER, "DescribeStream"):
        await stream.list_shards()


@pytest.mark.parametrize("starting", [None, "", "0x1f", "LATEST"])
async def test_a_beginning_that_is_no_number_is_not_known(stream_of, starting):
    """STR-28: they are compared as integers."""
    told = {"ShardId": "a", "SequenceNumberRange": {"StartingSequenceNumber": starting}}
    stream = await stream_of(Streams(DescribeStream=page(told)))
    assert (await stream.list_shards()).shards == (Shard("a"),)


async def test_without_the_services_time_nothing_is_listed(stream_of):
    """STR-11: LATEST is pinned by it."""
    stream = await stream_of(Streams(clock=False))
    with refused(SourceProblem.SERVER, "no Date header"):
        await stream.list_shards()


async def test_throttling_is_tried_again(stream_of):
    """STR-23."""
    streams = Streams(DescribeStream=[refusal("LimitExceededException"), page(shard("a"))])
    stream = await stream_of(streams)
    assert [found.id for found in (await stream.list_shards()).shards] == ["a"]


# --- children ---


async def test_children_are_asked_for_by_the_filter(stream_of):
    """STR-4."""
    streams = Streams(DescribeStream=[page(shard("b", "a"), shard("c", "a"))])
    stream = await stream_of(streams)
    assert await stream.children("a") == (Shard("b", ("a",), "100"), Shard("c", ("a",), "100"))
    filter_ = {"Type": "CHILD_SHARDS", "ShardId": "a"}
    assert streams.bodies("DescribeStream") == [{"StreamArn": TEXT, "ShardFilter": filter_}]


async def test_children_are_found_where_the_filter_is_not_heeded(stream_of):
    """STR-4: DynamoDB Local lists everything."""
    everything = [page(shard("a", "older"), shard("x"), last="x"), page(shard("b", "a"))]
    stream = await stream_of(Streams(DescribeStream=everything))
    assert [found.id for found in await stream.children("a")] == ["b"]


async def test_children_are_found_where_the_filter_is_refused(stream_of):
    """STR-4."""
    streams = Streams(DescribeStream=[INVALID, page(shard("b", "a"), shard("c", "b"))])
    stream = await stream_of(streams)
    assert [found.id for found in await stream.children("a")] == ["b"]
    assert streams.bodies("DescribeStream")[-1] == {"StreamArn": TEXT, "ExclusiveStartShardId": "a"}


async def test_other_errors_of_asking_for_children_are_told(stream_of):
    answers = [refusal("AccessDeniedException")]
    stream = await stream_of(Streams(DescribeStream=answers))
    with refused(SourceProblem.DENIED):
        await stream.children("a")


# --- iterators ---


@pytest.mark.parametrize(
    ("position", "asked"),
    [
        (TRIM_HORIZON, {"ShardIteratorType": "TRIM_HORIZON"}),
        (Position(PositionKind.LATEST, timestamp=5.0), {"ShardIteratorType": "LATEST"}),
        (Position(PositionKind.AT_TIMESTAMP, timestamp=5.0), {"ShardIteratorType": "TRIM_HORIZON"}),
        (after("000123"), {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "000123"}),
    ],
)
async def test_iterators_begin_at_the_position(stream_of, position, asked):
    """STR-11, STR-24: a time is the horizon, and the sequence number goes back as it came."""
    streams = Streams(GetShardIterator={"ShardIterator": "it"})
    stream = await stream_of(streams)
    assert await stream.iterator("a", position, 5) == "it"
    assert streams.bodies("GetShardIterator") == [{"StreamArn": TEXT, "ShardId": "a", **asked}]


async def test_an_answer_without_an_iterator_is_the_services_fault(stream_of):
    stream = await stream_of(Streams(GetShardIterator={}))
    with refused(SourceProblem.SERVER, "no ShardIterator"):
        await stream.iterator("a", TRIM_HORIZON, 5)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("TrimmedDataAccessException", SourceProblem.TRIMMED),
        ("ExpiredIteratorException", SourceProblem.EXPIRED),
        ("LimitExceededException", SourceProblem.THROTTLED),
        ("ProvisionedThroughputExceededException", SourceProblem.THROTTLED),
        ("ResourceNotFoundException", SourceProblem.MISSING),
        ("ValidationException", SourceProblem.REFUSED),
        ("AccessDeniedException", SourceProblem.DENIED),
        ("InternalServerError", SourceProblem.SERVER),
    ],
)
async def test_what_reading_is_refused_for(stream_of, code, problem):
    """STR-23, STR-24, STR-25: one attempt, then the machine decides."""
    streams = Streams(GetRecords=refusal(code), GetShardIterator=refusal(code))
    stream = await stream_of(streams)
    with refused(problem):
        await stream.records("a", "it", 10, 5)
    with refused(problem):
        await stream.iterator("a", TRIM_HORIZON, 5)
    assert len(streams.asked) == 2


async def test_a_sequence_number_that_is_refused_is_gone(stream_of):
    """STR-25: such as that of a record which had none; the shard goes on with what is left."""
    stream = await stream_of(Streams(GetShardIterator=INVALID))
    with refused(SourceProblem.TRIMMED, "ValidationException"):
        await stream.iterator("a", after("0"), 5)


# --- records ---


async def test_a_page_of_records(stream_of):
    """STR-21: no more than a thousand are asked for. DynamoDB does not tell how far behind one is."""
    answer = {"Records": [{"eventID": "1"}], "NextShardIterator": "next"}
    streams = Streams(GetRecords=answer)
    stream = await stream_of(streams)
    got = await stream.records("a", "it", 5_000, 5)
    assert got == Page([{"eventID": "1"}], "next", None, len(json.dumps(answer)))
    await stream.records("a", "it", 7, 5)
    assert [body["Limit"] for body in streams.bodies("GetRecords")] == [1_000, 7]
    assert streams.bodies("GetRecords")[0]["ShardIterator"] == "it"


@pytest.mark.parametrize("end", [{}, {"NextShardIterator": None}, {"NextShardIterator": ""}])
@pytest.mark.parametrize(
    ("told", "calls"),
    [
        ([page(shard("b", "a"))], 1),
        ([page(), page(status="DISABLED")], 2),
        ([page(), page(), page(shard("a", None, "200"))], 3),
        ([page(), page(), page(shard("a"), shard("b", "a"))], 3),
        ([page(), page(), page(shard("c"))], 3),
    ],
    ids=["a child", "disabled", "closed", "listed with a child", "gone"],
)
async def test_no_next_iterator_is_the_end_of_the_shard(stream_of, end, told, calls):
    """STR-4: if what is listed does not deny it. The shards of a disabled stream are final (DDB-9), and asking for
    the children costs one call; all shards are listed only where both tell nothing.
    """
    streams = Streams(GetRecords={"Records": []} | end, DescribeStream=list(told))
    stream = await stream_of(streams)
    assert (await stream.records("a", "it", 10, 5)).iterator is None
    assert len(streams.bodies("DescribeStream")) == calls


@pytest.mark.parametrize("status", ["ENABLED", "DISABLING"])
async def test_an_end_that_the_list_denies_is_none(stream_of, status):
    """STR-4: DynamoDB Local ends a shard so when an iterator is too old. What is written to it later would be
    lost, and another iterator finds it.
    """
    listed = page(shard("a"), shard("z", "y"))
    streams = Streams(GetRecords={"Records": []}, DescribeStream=[page(), page(status=status), listed])
    stream = await stream_of(streams)
    with refused(SourceProblem.EXPIRED, "a, which is listed as open"):
        await stream.records("a", "it", 10, 5)


async def test_an_end_that_cannot_be_looked_up_is_none(stream_of):
    """STR-4."""
    streams = Streams(GetRecords={"Records": []}, DescribeStream=refusal("AccessDeniedException"))
    stream = await stream_of(streams)
    with refused(SourceProblem.DENIED):
        await stream.records("a", "it", 10, 5)


@pytest.mark.parametrize(
    "answer", [{}, {"Records": {"a": 1}}, {"Records": None}, {"NextShardIterator": "next"}, {"status": "running"}]
)
async def test_what_is_no_page_of_records_is_not_the_end_of_a_shard(stream_of, answer):
    """STR-4: whatever a proxy or another server says in its place, no shard is given up for it."""
    stream = await stream_of(Streams(GetRecords=answer))
    with refused(SourceProblem.SERVER, "Records is not a list"):
        await stream.records("a", "it", 10, 5)
