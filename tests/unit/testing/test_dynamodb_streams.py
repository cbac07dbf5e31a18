"""The embedded DynamoDB Streams in time: shards that close by themselves, lineage, trimming, iterators that age.

No server that others wrote has more than one shard or moves time, so nothing but these tests holds this to AWS's
documentation.
"""

import re

import pytest

from poller.core.model import Instant
from poller.testing.dynamodb import DynamoDb
from poller.testing.dynamodb_errors import DynamoDbError

START = 1_750_000_000.0
HOUR = 3600.0
KEYS = [f"k{number}" for number in range(20)]


class World:
    """A DynamoDB with one table that has a stream of `shards` shards, and a time that the test moves."""

    def __init__(self, shards=2, **settings):
        self.db = DynamoDb(seed=1, shards=shards, **settings)
        self.mono = 100.0
        self.do(
            "CreateTable",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        self.arn = self.do("DescribeTable")["Table"]["LatestStreamArn"]
        self.written = 0

    @property
    def now(self):
        return Instant(START + self.mono, self.mono)

    def do(self, operation, **request):
        return self.db.apply(self.now, operation, {"TableName": "shop"} | request)

    def streams(self, operation, **request):
        return self.db.streams.apply(self.now, operation, request)

    def put(self, key="k0"):
        self.written += 1
        item = {"id": {"S": key}, "n": {"N": str(self.written)}}
        self.do("PutItem", Item=item)
        return self.written

    def describe(self, **request):
        return self.streams("DescribeStream", StreamArn=self.arn, **request)["StreamDescription"]

    def shards(self, **request):
        return self.describe(**request)["Shards"]

    def ids(self, **request):
        return [shard["ShardId"] for shard in self.shards(**request)]

    def iterator(self, shard_id, kind="TRIM_HORIZON", **request):
        request |= {"StreamArn": self.arn, "ShardId": shard_id, "ShardIteratorType": kind}
        return self.streams("GetShardIterator", **request)["ShardIterator"]

    def get(self, iterator, **request):
        answer = self.streams("GetRecords", ShardIterator=iterator, **request)
        return answer["Records"], answer.get("NextShardIterator")

    def read(self, shard_id, kind="TRIM_HORIZON", **request):
        """The n of all records of a shard, and whether it has ended."""
        iterator, found = self.iterator(shard_id, kind, **request), []
        while iterator is not None:
            records, iterator = self.get(iterator, Limit=3)
            if not records:
                break
            found += records
        return [n_of(record) for record in found], iterator is None

    def sequence_numbers(self):
        stream = self.db.all_streams[self.arn]
        return [change.sequence for shard in stream.shards.values() for change in shard.changes]


def n_of(record):
    return int(record["dynamodb"]["NewImage"]["n"]["N"])


@pytest.fixture
def world():
    return World()


def refused(code="ValidationException", saying=""):
    return pytest.raises(DynamoDbError, check=lambda error: error.name == code and saying in error.message)


# --- shards ---


def test_a_stream_begins_with_its_open_shards():
    shards = World(shards=3).shards()
    assert len(shards) == 3
    assert all(re.fullmatch(r"shardId-\d{20}-[0-9a-f]{8}", shard["ShardId"]) for shard in shards)
    assert all("ParentShardId" not in shard for shard in shards)
    assert all("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in shards)


def test_the_time_of_its_making_is_in_the_id_of_a_shard(world):
    world.mono += 5 * HOUR
    oldest, *_, newest = world.ids()
    assert int(oldest[8:28]) == int((START + 100) * 1000)
    assert int(newest[8:28]) == int((START + 100 + 4 * HOUR) * 1000)


def test_shards_close_by_themselves_and_have_one_child_each(world):
    """STR-7."""
    first = world.ids()
    world.mono += 4 * HOUR - 120
    assert world.ids() == first
    world.mono += 120
    shards = world.shards()
    assert sorted(shard.get("ParentShardId", "") for shard in shards) == ["", "", *first]
    ended = [shard["ShardId"] for shard in shards if "EndingSequenceNumber" in shard["SequenceNumberRange"]]
    assert ended == first


def test_shards_vanish_a_day_after_they_closed(world):
    """STR-7, STR-3: what is listed then names a parent that is not."""
    first = world.ids()
    world.mono += 28 * HOUR - 120
    assert set(first) <= set(world.ids())
    world.mono += 120
    assert not set(first) & set(world.ids())
    assert set(first) & {shard["ParentShardId"] for shard in world.shards()}
    with refused("ResourceNotFoundException", "Shard does not exist"):
        world.iterator(first[0])


def test_a_long_time_at_once_is_as_good_as_many_short_ones():
    once, often = World(), World()
    once.mono += 100 * HOUR
    for _ in range(1000):
        often.mono += HOUR / 10
        often.describe()
    assert [shard[:28] for shard in once.ids()] == [shard[:28] for shard in often.ids()]


def test_ids_ascend_in_the_order_of_making_even_when_the_clock_goes_back(world):
    world.db.roll(world.now, "shop")
    before = world.ids()
    world.db.roll(Instant(START - 1000, world.mono), "shop")
    assert world.ids()[: len(before)] == before
    assert world.ids() == sorted(world.ids())


def test_roll_may_split(world):
    parent = world.ids()[0]
    world.db.roll(world.now, "shop", into=2)
    children = world.ids(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent})
    assert len(children) == 2
    numbers = [world.put(key) for key in KEYS]
    found = [world.read(shard)[0] for shard in world.ids()]
    assert sorted(n for shard in found for n in shard) == numbers
    assert sum(map(bool, found)) == 4


def test_a_key_stays_in_its_line_of_descent(world):
    """STR-7."""
    numbers = {key: [] for key in KEYS}
    for _ in range(4):
        for key in KEYS:
            numbers[key].append(world.put(key))
        world.db.roll(world.now, "shop")
    lineage, where = {}, {}
    for shard in world.shards():
        root = lineage[shard["ShardId"]] = lineage.get(shard.get("ParentShardId"), shard["ShardId"])
        for number in world.read(shard["ShardId"])[0]:
            where[number] = root
    assert all(len({where[number] for number in numbers[key]}) == 1 for key in KEYS)
    assert len(set(where.values())) == 2


def test_sequence_numbers_ascend_and_grow_longer(world):
    """STR-28: as text they would not ascend."""
    for _ in range(40):
        world.put()
    shard = next(shard for shard in world.ids() if world.read(shard)[0])
    records, _ = world.get(world.iterator(shard))
    texts = [record["dynamodb"]["SequenceNumber"] for record in records]
    assert [int(text) for text in texts] == sorted(int(text) for text in texts)
    assert texts != sorted(texts)
    assert {len(text) for text in texts} == {21, 22}


def test_numbers_of_a_child_are_beyond_those_of_its_parent(world):
    for _ in range(3):
        world.put()
        world.db.roll(world.now, "shop")
    shards = {shard["ShardId"]: shard["SequenceNumberRange"] for shard in world.shards()}
    for shard in world.shards():
        if parent := shard.get("ParentShardId"):
            ending = int(shards[parent]["EndingSequenceNumber"])
            assert ending < int(shards[shard["ShardId"]]["StartingSequenceNumber"])


# --- DescribeStream ---


def test_shards_are_listed_by_the_hundred():
    """STR-5."""
    world = World(shards=230)
    pages, start = [], {}
    while True:
        told = world.describe(**start)
        pages.append([shard["ShardId"] for shard in told["Shards"]])
        if "LastEvaluatedShardId" not in told:
            break
        start = {"ExclusiveStartShardId": told["LastEvaluatedShardId"]}
    assert [len(page) for page in pages] == [100, 100, 30]
    assert len({shard for page in pages for shard in page}) == 230
    assert world.describe(Limit=1)["LastEvaluatedShardId"] == pages[0][0]
    for limit in (0, 101):
        with refused():
            world.describe(Limit=limit)


def test_listing_goes_on_behind_a_shard_that_is_gone(world):
    gone = world.ids()[1]
    world.mono += 30 * HOUR
    assert world.ids(ExclusiveStartShardId=gone) == world.ids()


def test_the_filter_gives_the_children_alone(world):
    """STR-4."""
    first = world.ids()
    world.db.roll(world.now, "shop")
    [child] = world.shards(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": first[0]})
    assert child["ParentShardId"] == first[0]
    assert world.shards(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": child["ShardId"]}) == []
    with refused():
        world.shards(ShardFilter={"Type": "OTHER", "ShardId": first[0]})


def test_an_older_server_refuses_the_filter(world):
    world.db.streams.child_filter = False
    with refused(saying="ShardFilter"):
        world.shards(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": world.ids()[0]})


# --- enabling, disabling, deleting ---


def test_a_stream_that_is_enabled_again_is_another_one(world):
    """DDB-9."""
    world.put()
    world.do("UpdateTable", StreamSpecification={"StreamEnabled": False})
    world.put()
    again = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    new = world.do("UpdateTable", StreamSpecification=again)["TableDescription"]["LatestStreamArn"]
    world.put()
    assert new != world.arn
    assert world.describe()["StreamStatus"] == "DISABLED"
    reads = [world.read(shard) for shard in world.ids()]
    assert sorted(reads) == [([], True), ([1], True)]
    world.arn = new
    assert world.describe()["StreamStatus"] == "ENABLED"
    assert sorted(world.read(shard) for shard in world.ids()) == [([], False), ([3], False)]
    listed = world.streams("ListStreams", TableName="shop")["Streams"]
    assert len(listed) == 2
    with refused(saying="already has an enabled stream"):
        world.do("UpdateTable", StreamSpecification=again)


def test_a_closed_stream_has_no_children_and_is_gone_after_a_day(world):
    """DDB-7, DDB-9."""
    world.put()
    world.do("DeleteTable")
    world.mono += 24 * HOUR - 1
    assert len(world.ids()) == 2
    world.mono += 1
    with refused("ResourceNotFoundException", "Stream"):
        world.describe()
    assert world.streams("ListStreams") == {"Streams": []}


# --- iterators ---


def test_iterators_begin_where_they_are_told(world):
    numbers = [world.put() for _ in range(5)]
    shard = next(shard for shard in world.ids() if world.read(shard)[0])
    sequence = world.get(world.iterator(shard))[0][2]["dynamodb"]["SequenceNumber"]
    latest = world.iterator(shard, "LATEST")
    assert world.read(shard) == (numbers, False)
    assert world.read(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=sequence)[0] == numbers[2:]
    assert world.read(shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=sequence)[0] == numbers[3:]
    number = world.put()
    assert [n_of(record) for record in world.get(latest)[0]] == [number]
    start = world.shards()[world.ids().index(shard)]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert world.read(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=start)[0] == [*numbers, number]


@pytest.mark.parametrize(
    ("kind", "sequence"),
    [
        ("AT_TIMESTAMP", None), ("OTHER", None), ("TRIM_HORIZON", "1" * 21), ("AFTER_SEQUENCE_NUMBER", None),
        ("AFTER_SEQUENCE_NUMBER", "x" * 21), ("AT_SEQUENCE_NUMBER", "0" * 21), ("AT_SEQUENCE_NUMBER", "9" * 30),
    ],
)  # fmt: skip
def test_wrong_positions_are_refused(world, kind, sequence):
    with refused():
        world.iterator(world.ids()[0], kind, SequenceNumber=sequence)


def test_the_number_of_another_shard_is_refused(world):
    """A checkpoint that was mixed up must be seen."""
    for key in KEYS:
        world.put(key)
    parent = world.ids()[0]
    last = world.get(world.iterator(parent))[0][-1]["dynamodb"]["SequenceNumber"]
    world.db.roll(world.now, "shop")
    [child] = world.ids(ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent})
    with refused(saying="not in the range of shard"):
        world.iterator(child, "AFTER_SEQUENCE_NUMBER", SequenceNumber=last)


def test_iterators_expire_after_a_quarter_of_an_hour(world):
    """STR-24."""
    shard = world.ids()[0]
    iterator = world.iterator(shard)
    world.mono += 900
    _, following = world.get(iterator)
    world.mono += 1
    with refused("ExpiredIteratorException"):
        world.get(iterator)
    world.mono += 899
    world.get(following)


@pytest.mark.parametrize("iterator", [None, "garbage", "a|1|b", "a|1|WzFd", ""])
def test_garbage_is_no_iterator(world, iterator):
    with refused(saying="Invalid ShardIterator"):
        world.get(iterator)


# --- records ---


def test_the_end_of_a_closed_shard_has_no_next_iterator(world):
    """STR-4."""
    numbers = [world.put() for _ in range(4)]
    shard = next(shard for shard in world.ids() if world.read(shard)[0])
    records, iterator = world.get(world.iterator(shard), Limit=3)
    world.db.roll(world.now, "shop")
    rest, end = world.get(iterator)
    assert [n_of(record) for record in records + rest] == numbers
    assert end is None
    assert world.get(world.iterator(shard, "LATEST")) == ([], None)


def test_a_page_has_at_most_a_thousand_records(world):
    """STR-21."""
    for _ in range(1003):
        world.put()
    shard = next(shard for shard in world.ids() if world.read(shard)[0])
    records, iterator = world.get(world.iterator(shard))
    assert len(records) == 1000
    assert [n_of(record) for record in world.get(iterator)[0]] == [1001, 1002, 1003]
    for limit in (0, 1001):
        with refused():
            world.get(iterator, Limit=limit)


def test_a_page_has_at_most_a_megabyte(world):
    """STR-21."""
    for number in range(5):
        world.do("PutItem", Item={"id": {"S": "k0"}, "n": {"N": str(number)}, "v": {"S": "x" * 390_000}})
    shard = next(shard for shard in world.ids() if world.read(shard)[0])
    records, iterator = world.get(world.iterator(shard))
    assert len(records) == 2
    assert len(world.get(iterator)[0]) == 2


def test_records_are_trimmed_after_a_day(world):
    """DDB-7, STR-25: the positions of what is gone are refused, at either call."""
    old = world.put()
    shard = next(shard for shard in world.ids() if world.read(shard)[0])
    world.mono += HOUR
    kept = world.put()
    records, _ = world.get(world.iterator(shard))
    first, second = (record["dynamodb"]["SequenceNumber"] for record in records)
    world.mono += 23 * HOUR - 600
    early = world.iterator(shard)
    at_second = world.iterator(shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=first)
    world.mono += 600
    assert old not in world.read(shard)[0]
    assert world.read(shard)[0] == [kept]
    with refused("TrimmedDataAccessException"):
        world.get(early)
    assert [n_of(record) for record in world.get(at_second)[0]] == [kept]
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        with refused("TrimmedDataAccessException"):
            world.iterator(shard, kind, SequenceNumber=first)
    assert world.read(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=second)[0] == [kept]


def test_an_iterator_at_the_tip_is_never_trimmed(world):
    world.put()
    shard = next(shard for shard in world.ids() if world.read(shard)[0])
    iterator = world.iterator(shard, "LATEST")
    for _ in range(200):
        world.mono += 600
        records, iterator = world.get(iterator)
        assert records == []
        if iterator is None:
            break
    assert iterator is None


def test_time_that_changes_nothing_costs_nothing(world):
    """Time is let pass at every call, so a stream to which nothing happened costs next to nothing."""
    stream = world.db.all_streams[world.arn]
    for _ in range(100):
        world.put()
    looked = []
    stream.shards = Watched(stream.shards, looked)
    for _ in range(100):
        world.mono += 1
        world.db.advance(world.now)
    assert looked == []


class Watched(dict):
    """Tells when somebody goes through it."""

    def __init__(self, content, looked):
        super().__init__(content)
        self.looked = looked

    def values(self):
        self.looked.append(1)
        return super().values()
