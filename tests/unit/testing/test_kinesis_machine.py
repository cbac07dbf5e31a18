"""What no server of others shows, or only after hours: age, limits, trimming, generations that vanish."""

import base64
from typing import Any

import pytest

from poller.core.model import JsonObject
from poller.testing import ManualClock
from poller.testing.calls import AwsError
from poller.testing.kinesis import Kinesis
from poller.testing.kinesis_stream import HASH_KEYS

HOUR = 3600.0
SHARD = "shardId-000000000000"
INVALID, NOT_FOUND = "InvalidArgumentException", "ResourceNotFoundException"
WRONG, UNREADABLE = "ValidationException", "SerializationException"


class Caller:
    """One Kinesis on a clock that the test moves, with a stream `s`."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.kinesis = Kinesis(limits=False)

    def call(self, operation: str, **request: Any) -> JsonObject:
        return self.kinesis.apply(self.clock.now(), operation, {"StreamName": "s"} | request)

    def refused(self, operation: str, **request: Any) -> str:
        with pytest.raises(AwsError) as caught:
            self.call(operation, **request)
        return caught.value.name

    def create(self, shards: int = 1) -> None:
        self.call("CreateStream", ShardCount=shards)

    def put(self, *texts: str, **fields: Any) -> list[str]:
        """The sequence numbers."""
        entries = [{"Data": encoded(text), "PartitionKey": text} | fields for text in texts]
        return [told["SequenceNumber"] for told in self.call("PutRecords", Records=entries)["Records"]]

    def iterator(self, shard: str = SHARD, kind: str = "TRIM_HORIZON", **fields: Any) -> str:
        answer = self.call("GetShardIterator", ShardId=shard, ShardIteratorType=kind, **fields)
        return str(answer["ShardIterator"])

    def read(self, iterator: str, limit: int = 10_000) -> JsonObject:
        return self.kinesis.apply(self.clock.now(), "GetRecords", {"ShardIterator": iterator, "Limit": limit})

    def listed(self, **request: Any) -> list[str]:
        return [shard["ShardId"][-1] for shard in self.call("ListShards", **request)["Shards"]]

    def split(self, shard: str = SHARD, at: int = HASH_KEYS // 2) -> None:
        self.call("SplitShard", ShardToSplit=shard, NewStartingHashKey=str(at))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def texts(page: JsonObject) -> list[str]:
    return [base64.b64decode(record["Data"]).decode() for record in page["Records"]]


@pytest.fixture
def caller() -> Caller:
    return Caller()


# --- iterators ---


def test_an_iterator_is_good_for_five_minutes(caller: Caller) -> None:
    """STR-24."""
    caller.create()
    caller.put("a")
    iterator = caller.iterator()
    caller.clock.advance(300)
    following = caller.read(iterator)["NextShardIterator"]
    caller.clock.advance(0.1)
    with pytest.raises(AwsError) as caught:
        caller.read(iterator)
    assert caught.value.name == "ExpiredIteratorException"
    assert caller.read(following)["Records"] == []


def test_a_step_of_the_wall_clock_ages_no_iterator(caller: Caller) -> None:
    caller.create()
    iterator = caller.iterator()
    caller.clock.step_wall(3600)
    assert caller.read(iterator)["Records"] == []


def test_an_iterator_may_be_used_twice(caller: Caller) -> None:
    """A read takes nothing away."""
    caller.create()
    caller.put("a", "b")
    iterator = caller.iterator()
    assert texts(caller.read(iterator)) == texts(caller.read(iterator)) == ["a", "b"]


@pytest.mark.parametrize(
    "iterator", ["nonsense", "%%%", encoded("v1|s|x|y|z|0|0"), encoded("v2|s|1|y|1|0|0.0"), "ü"]
)
def test_what_is_no_iterator_is_refused(caller: Caller, iterator: str) -> None:
    caller.create()
    with pytest.raises(AwsError) as caught:
        caller.read(iterator)
    assert caught.value.name == INVALID


def test_iterators_and_numbers_of_a_stream_that_was_made_anew_are_refused(caller: Caller) -> None:
    """STR-25."""
    caller.create()
    (number,) = caller.put("a")
    iterator = caller.iterator()
    caller.call("DeleteStream")
    with pytest.raises(AwsError) as caught:
        caller.read(iterator)
    assert caught.value.name == NOT_FOUND
    caller.create()
    with pytest.raises(AwsError) as caught:
        caller.read(iterator)
    assert caught.value.name == NOT_FOUND
    fields = {"ShardId": SHARD, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
    assert caller.refused("GetShardIterator", **fields) == INVALID
    (again,) = caller.put("b")
    assert int(again) > int(number)


def test_a_number_of_another_shard_is_refused(caller: Caller) -> None:
    caller.create(2)
    (number,) = caller.put("a", ExplicitHashKey="0")
    assert texts(caller.read(caller.iterator(kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=number))) == ["a"]
    fields = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
    other = "shardId-000000000001"
    assert caller.refused("GetShardIterator", ShardId=other, **fields) == INVALID


@pytest.mark.parametrize("number", ["1", "9" * 56, "x" * 56, "0"])
def test_what_is_no_number_of_the_shard_is_refused(caller: Caller, number: str) -> None:
    caller.create()
    fields = {"ShardId": SHARD, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
    assert caller.refused("GetShardIterator", **fields) == INVALID


@pytest.mark.parametrize("by", [-1, 1_000])
def test_a_number_from_before_or_after_the_shard_is_refused(caller: Caller, by: int) -> None:
    """STR-25: in the form of its numbers, and of its stream."""
    caller.create()
    caller.put("a", "b")
    caller.split()
    child = caller.call("ListShards")["Shards"][1]
    outside = (
        int(child["SequenceNumberRange"]["StartingSequenceNumber"]) + by * 10**12
    )  # the last digits: the shard
    fields = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": str(outside)}
    assert caller.refused("GetShardIterator", ShardId=child["ShardId"], **fields) == INVALID


def test_the_first_and_last_number_of_a_closed_shard_are_positions(caller: Caller) -> None:
    caller.create()
    caller.put("a")
    caller.split()
    numbers = caller.call("ListShards")["Shards"][0]["SequenceNumberRange"]
    start = caller.iterator(kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers["StartingSequenceNumber"])
    assert texts(caller.read(start)) == ["a"]
    end = caller.iterator(kind="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers["EndingSequenceNumber"])
    assert (caller.read(end)["Records"], caller.read(end)["NextShardIterator"]) == ([], None)


def test_a_time_finds_the_first_record_at_or_after_it(caller: Caller) -> None:
    """STR-13."""
    caller.create()
    start = caller.clock.now().wall
    for text in "abc":
        caller.put(text)
        caller.clock.advance(10)
    found = [
        texts(caller.read(caller.iterator(kind="AT_TIMESTAMP", Timestamp=start + t))) for t in (0, 0.5, 10, 21)
    ]
    assert found == [["a", "b", "c"], ["b", "c"], ["b", "c"], []]
    assert caller.refused(
        "GetShardIterator", ShardId=SHARD, ShardIteratorType="AT_TIMESTAMP", Timestamp=start + 31
    ) == INVALID  # fmt: skip


# --- retention ---


def test_records_are_trimmed_after_a_day(caller: Caller) -> None:
    """KIN-7."""
    caller.create()
    caller.put("a")
    caller.clock.advance(HOUR)
    caller.put("b")
    caller.clock.advance(23 * HOUR - 1)
    assert texts(caller.read(caller.iterator())) == ["a", "b"]
    caller.clock.advance(1)
    assert texts(caller.read(caller.iterator())) == ["b"]
    caller.clock.advance(HOUR)
    assert texts(caller.read(caller.iterator())) == []


def test_a_position_whose_records_are_trimmed_goes_on_with_the_oldest_left(caller: Caller) -> None:
    """STR-25: Kinesis itself says nothing of the gap."""
    caller.create()
    number, _ = caller.put("a", "b")
    caller.clock.advance(23 * HOUR)
    caller.put("c")
    caller.clock.advance(2 * HOUR)
    iterator = caller.iterator(kind="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)
    assert texts(caller.read(iterator)) == ["c"]


def test_a_page_is_trimmed_under_the_reader(caller: Caller) -> None:
    caller.create()
    caller.kinesis.streams["s"].retention = 60
    caller.put("a", "b")
    following = caller.read(caller.iterator(), limit=1)["NextShardIterator"]
    caller.clock.advance(60)
    caller.put("c")
    assert texts(caller.read(following)) == ["c"]


def test_trimming_thousands_keeps_the_order_and_the_rest(caller: Caller) -> None:
    caller.create()
    for _ in range(20):
        caller.put(*(f"old{n}" for n in range(500)))
    caller.clock.advance(HOUR)
    caller.put("x", "y")
    caller.clock.advance(23 * HOUR)
    page = caller.read(caller.iterator(), limit=1)
    assert texts(page) == ["x"]
    assert texts(caller.read(page["NextShardIterator"])) == ["y"]
    assert len(caller.kinesis.streams["s"].shards[SHARD].records) == 2


def test_retention_can_be_made_longer_and_shorter(caller: Caller) -> None:
    caller.create()
    caller.call("IncreaseStreamRetentionPeriod", RetentionPeriodHours=48)
    caller.put("a")
    caller.clock.advance(40 * HOUR)
    assert texts(caller.read(caller.iterator())) == ["a"]
    summary = caller.call("DescribeStreamSummary")["StreamDescriptionSummary"]
    assert summary["RetentionPeriodHours"] == 48
    assert caller.refused("IncreaseStreamRetentionPeriod", RetentionPeriodHours=24) == INVALID
    caller.call("DecreaseStreamRetentionPeriod", RetentionPeriodHours=24)
    assert texts(caller.read(caller.iterator())) == []


def test_a_closed_shard_is_listed_until_its_retention_ends(caller: Caller) -> None:
    """STR-3: then its children name a parent that is unknown."""
    caller.create()
    caller.clock.advance(HOUR)
    caller.split()
    iterator = caller.iterator()
    caller.clock.advance(24 * HOUR - 1)
    assert caller.listed() == ["0", "1", "2"]
    caller.clock.advance(1)
    assert caller.listed() == ["1", "2"]
    assert caller.call("ListShards")["Shards"][0]["ParentShardId"] == SHARD
    assert caller.refused("GetShardIterator", ShardId=SHARD, ShardIteratorType="LATEST") == NOT_FOUND
    with pytest.raises(AwsError) as caught:
        caller.read(iterator)
    assert caught.value.name == NOT_FOUND


# --- pages ---


def test_how_far_behind_is_the_age_of_what_is_left(caller: Caller) -> None:
    caller.create()
    caller.put("a", "b")
    assert caller.read(caller.iterator(), limit=1)["MillisBehindLatest"] == 1  # on a clock that stands still
    caller.clock.advance(7.5)
    page = caller.read(caller.iterator(), limit=1)
    assert page["MillisBehindLatest"] == 7_500
    assert caller.read(page["NextShardIterator"])["MillisBehindLatest"] == 0


def test_empty_pages_come_before_the_records(caller: Caller) -> None:
    """STR-26."""
    caller.create()
    caller.kinesis.empty_pages = 2
    caller.put("a", "b")
    iterator: str | None = caller.iterator()
    found = []
    for _ in range(7):
        page = caller.read(iterator or "", limit=1)
        found.append((texts(page), page["MillisBehindLatest"] > 0))
        iterator = page["NextShardIterator"]
    assert found == [([], True), ([], True), (["a"], True), ([], True), ([], True), (["b"], False), ([], False)]


def test_the_end_of_a_shard_is_told_with_its_last_records(caller: Caller) -> None:
    """STR-4."""
    caller.create()
    caller.put("a", "b")
    caller.split()
    page = caller.read(caller.iterator(), limit=1)
    assert page["NextShardIterator"]
    assert "ChildShards" not in page
    page = caller.read(page["NextShardIterator"], limit=1)
    assert (texts(page), page["NextShardIterator"]) == (["b"], None)
    assert [child["ParentShards"] for child in page["ChildShards"]] == [[SHARD], [SHARD]]


def test_a_large_record_comes_alone_if_it_must(caller: Caller) -> None:
    caller.create()
    for _ in range(11):
        caller.call("PutRecord", Data=encoded("x" * 1_000_000), PartitionKey="k")
    page = caller.read(caller.iterator())
    assert len(page["Records"]) == 10
    assert len(caller.read(page["NextShardIterator"])["Records"]) == 1


# --- limits ---


def test_five_reads_a_second_of_one_shard(caller: Caller) -> None:
    """STR-21, STR-23."""
    caller.create(2)
    caller.kinesis.limits = True
    iterator, other = caller.iterator(), caller.iterator("shardId-000000000001")
    for _ in range(5):
        caller.read(iterator)
    with pytest.raises(AwsError) as caught:
        caller.read(iterator)
    assert caught.value.name == "ProvisionedThroughputExceededException"
    with pytest.raises(AwsError) as again:
        caller.read(iterator)
    assert again.value is not caught.value, "one error raised for ever keeps every frame that it went through"
    caller.read(other)
    caller.clock.advance(0.9)
    with pytest.raises(AwsError):
        caller.read(iterator)
    caller.clock.advance(0.1)
    caller.read(iterator)


def test_two_megabytes_a_second(caller: Caller) -> None:
    """STR-21."""
    caller.create()
    for _ in range(6):
        caller.call("PutRecord", Data=encoded("x" * 1_000_000), PartitionKey="k")
    caller.kinesis.limits = True
    caller.read(caller.iterator(), limit=2)
    caller.read(caller.iterator(), limit=2)
    with pytest.raises(AwsError):
        caller.read(caller.iterator())
    caller.clock.advance(1)
    caller.read(caller.iterator(), limit=1)


def test_ten_megabytes_are_followed_by_five_seconds_of_nothing(caller: Caller) -> None:
    """STR-21."""
    caller.create()
    for _ in range(11):
        caller.call("PutRecord", Data=encoded("x" * 1_048_575), PartitionKey="k")
    caller.kinesis.limits = True
    iterator = caller.iterator()
    caller.read(iterator)
    caller.clock.advance(4.9)
    with pytest.raises(AwsError):
        caller.read(iterator, limit=1)
    caller.clock.advance(0.1)
    caller.read(iterator, limit=1)


def test_five_iterators_a_second(caller: Caller) -> None:
    caller.create()
    caller.kinesis.limits = True
    for _ in range(5):
        caller.iterator()
    fields = {"ShardId": SHARD, "ShardIteratorType": "LATEST"}
    assert caller.refused("GetShardIterator", **fields) == "ProvisionedThroughputExceededException"


# --- listings ---


def test_a_thousand_shards_a_page(caller: Caller) -> None:
    """STR-5."""
    caller.create(2_500)
    found, token = [], None
    for size in (1_000, 1_000, 500):
        request = {} if token is None else {"NextToken": token}
        page = caller.kinesis.apply(caller.clock.now(), "ListShards", request or {"StreamName": "s"})
        assert len(page["Shards"]) == size
        found += [shard["ShardId"] for shard in page["Shards"]]
        token = page.get("NextToken")
    assert token is None
    assert found == [f"shardId-{n:012d}" for n in range(2_500)]


def test_a_token_is_good_for_five_minutes(caller: Caller) -> None:
    caller.create(2)
    token = caller.call("ListShards", MaxResults=1)["NextToken"]
    caller.clock.advance(301)
    with pytest.raises(AwsError) as caught:
        caller.kinesis.apply(caller.clock.now(), "ListShards", {"NextToken": token})
    assert caught.value.name == "ExpiredNextTokenException"


def test_a_token_keeps_its_filter(caller: Caller) -> None:
    caller.create(2)
    caller.split(at=HASH_KEYS // 4)
    caller.split("shardId-000000000002", at=HASH_KEYS // 8)
    token = caller.call("ListShards", MaxResults=1, ShardFilter={"Type": "AT_LATEST"})["NextToken"]
    page = caller.kinesis.apply(caller.clock.now(), "ListShards", {"NextToken": token, "MaxResults": 1})
    assert page["Shards"][0]["ShardId"][-1] == "3"
    assert page["NextToken"]


def test_what_was_open_at_a_time(caller: Caller) -> None:
    """STR-12."""
    caller.create()
    start = caller.clock.now().wall
    caller.clock.advance(HOUR)
    caller.split()
    caller.clock.advance(HOUR)
    caller.split("shardId-000000000001", HASH_KEYS // 4)
    assert caller.listed() == ["0", "1", "2", "3", "4"]

    def at(kind: str, seconds: float) -> list[str]:
        return caller.listed(ShardFilter={"Type": kind, "Timestamp": start + seconds})

    assert at("AT_TIMESTAMP", 10) == ["0"]
    assert at("AT_TIMESTAMP", HOUR + 10) == ["1", "2"]
    assert at("FROM_TIMESTAMP", HOUR + 10) == ["1", "2", "3", "4"]
    assert at("FROM_TIMESTAMP", 10) == ["0", "1", "2", "3", "4"]
    assert caller.listed(ShardFilter={"Type": "AT_TRIM_HORIZON"}) == ["0"]
    caller.clock.advance(23.5 * HOUR)
    assert caller.listed(ShardFilter={"Type": "AT_TRIM_HORIZON"}) == ["1", "2"]
    assert caller.listed(ShardFilter={"Type": "AT_LATEST"}) == ["2", "3", "4"]


def test_streams_are_listed_in_pages(caller: Caller) -> None:
    for name in "cab":
        caller.call("CreateStream", StreamName=name, ShardCount=1)
    page = caller.kinesis.apply(caller.clock.now(), "ListStreams", {"Limit": 2})
    assert (page["StreamNames"], page["HasMoreStreams"]) == (["a", "b"], True)
    page = caller.kinesis.apply(caller.clock.now(), "ListStreams", {"NextToken": page["NextToken"]})
    assert (page["StreamNames"], page["HasMoreStreams"]) == (["c"], False)


def test_a_description_has_shards_in_pages(caller: Caller) -> None:
    caller.create(3)
    told = caller.call("DescribeStream", Limit=2)["StreamDescription"]
    assert (len(told["Shards"]), told["HasMoreShards"]) == (2, True)
    told = caller.call("DescribeStream", ExclusiveStartShardId=told["Shards"][-1]["ShardId"])["StreamDescription"]
    assert (len(told["Shards"]), told["HasMoreShards"]) == (1, False)


# --- what is refused ---


@pytest.mark.parametrize(
    ("operation", "request_", "name"),
    [
        ("Nonsense", {}, "UnknownOperationException"),
        ("GetRecords", {}, WRONG),
        ("GetShardIterator", {"ShardId": SHARD, "ShardIteratorType": "x"}, WRONG),
        ("GetShardIterator", {"ShardId": SHARD, "ShardIteratorType": "AT_TIMESTAMP"}, INVALID),
        ("GetShardIterator", {"ShardId": SHARD, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}, INVALID),
        ("ListShards", {"StreamName": "none"}, NOT_FOUND),
        ("ListShards", {"StreamName": None, "StreamARN": "arn:aws:kinesis:r:1:stream/none"}, NOT_FOUND),
        ("ListShards", {"StreamARN": "arn:aws:kinesis:r:1:stream/other"}, INVALID),
        ("ListShards", {"StreamName": None}, WRONG),
        ("ListShards", {"MaxResults": 0}, INVALID),
        ("ListShards", {"ShardFilter": {"Type": "x"}}, INVALID),
        ("ListShards", {"ShardFilter": {"Type": "AT_TIMESTAMP"}}, INVALID),
        ("ListShards", {"NextToken": "x", "StreamName": None}, INVALID),
        ("PutRecord", {"Data": "%", "PartitionKey": "k"}, UNREADABLE),
        ("PutRecord", {"Data": "", "PartitionKey": ""}, WRONG),
        ("PutRecord", {"PartitionKey": "k"}, WRONG),
        ("PutRecord", {"Data": "", "PartitionKey": "k" * 257}, WRONG),
        ("PutRecord", {"Data": "", "PartitionKey": "k", "ExplicitHashKey": str(HASH_KEYS)}, INVALID),
        ("PutRecords", {"Records": []}, INVALID),
        ("PutRecords", {"Records": ["x"]}, UNREADABLE),
        ("PutRecords", {"Records": [{"Data": 1, "PartitionKey": "k"}]}, UNREADABLE),
        ("PutRecords", {"Records": [{"Data": "", "PartitionKey": "k"}] * 501}, INVALID),
        ("SplitShard", {"ShardToSplit": SHARD, "NewStartingHashKey": "1"}, INVALID),
        ("SplitShard", {"ShardToSplit": "x", "NewStartingHashKey": "9"}, NOT_FOUND),
        ("UpdateShardCount", {"TargetShardCount": 3}, INVALID),
        ("CreateStream", {"StreamName": "a b", "ShardCount": 1}, INVALID),
        ("CreateStream", {"StreamName": "t"}, WRONG),
        ("CreateStream", {"StreamName": "t", "ShardCount": "1"}, UNREADABLE),
        ("IncreaseStreamRetentionPeriod", {"RetentionPeriodHours": 23}, INVALID),
    ],
)  # fmt: skip
def test_what_is_refused(caller: Caller, operation: str, request_: JsonObject, name: str) -> None:
    caller.create()
    assert caller.refused(operation, **request_) == name
    assert caller.listed() == ["0"]
