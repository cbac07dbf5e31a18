"""DynamoDB Streams in time, asked by DynamoDbStream of the embedded one alone, on a clock that the test moves.

No server that others wrote has more than one shard a table, closes shards by itself, trims, or lets iterators age.
"""

from collections.abc import AsyncIterator

import pytest

from poller.aws.clients import AwsClients
from poller.core.model import SourceProblem
from poller.core.records import after
from poller.testing import EmbeddedAws, ManualClock
from tests.contract.dynamodb_server import REGION, Server, Table, number_of, problem, put_numbers

HOUR = 3600.0


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


class Moved:
    """The embedded AWS on a clock that the test moves."""

    def __init__(self, aws: EmbeddedAws, clock: ManualClock, clients: AwsClients) -> None:
        self.aws = aws
        self.clock = clock
        self.server = Server("embedded", clients)

    def roll(self, table: Table, into: int = 1) -> None:
        self.aws.dynamodb.roll(self.clock.now(), table.name, into)


@pytest.fixture
async def moved() -> AsyncIterator[Moved]:
    clock = ManualClock()
    async with EmbeddedAws(clock=clock) as aws, AwsClients(endpoint_url=aws.url, region=REGION) as clients:
        yield Moved(aws, clock, clients)


async def test_children_of_a_shard_that_closed_by_itself(moved: Moved) -> None:
    """STR-4, STR-7."""
    table = await moved.server.table()
    stream = table.stream
    first = await stream.ids()
    assert len(first) == 2
    moved.clock.advance(4 * HOUR)
    for parent in first:
        [child] = await stream.children(parent)
        assert child.parents == (parent,)
        assert child.ending is None
    told = {shard.id: shard for shard in (await stream.list_shards()).shards}
    assert [told[shard].ending is None for shard in first] == [False, False]


@pytest.mark.parametrize("child_filter", [True, False])
@pytest.mark.parametrize("into", [1, 2])
async def test_children_with_and_without_the_filter(moved: Moved, child_filter: bool, into: int) -> None:
    """STR-4: an older server refuses the filter."""
    moved.aws.dynamodb.streams.child_filter = child_filter
    table = await moved.server.table()
    stream = table.stream
    first = await stream.ids()
    moved.roll(table, into)
    second = [child for parent in first for child in await stream.children(parent)]
    moved.roll(table)
    assert len(second) == 2 * into
    assert sorted(child.id for child in second) == (await stream.ids())[2 : 2 + 2 * into]
    for child in second:
        assert [grandchild.parents for grandchild in await stream.children(child.id)] == [(child.id,)]


async def test_hundreds_of_shards_are_listed_whole_and_in_part(moved: Moved) -> None:
    """STR-5."""
    moved.aws.dynamodb.shards = 120
    table = await moved.server.table()
    moved.roll(table)
    listing = await table.stream.list_shards()
    assert (len(listing.shards), listing.complete) == (240, True)
    assert listing.told_at == moved.clock.now().wall
    late = await table.stream.list_shards(since=listing.shards[129].id)
    assert late.shards == listing.shards[130:]
    assert moved.aws.dynamodb_streams_service.calls["DescribeStream"] == 3 + 2


async def test_children_of_a_shard_that_is_gone(moved: Moved) -> None:
    """STR-3, STR-7."""
    table = await moved.server.table()
    stream = table.stream
    [gone, _] = await stream.ids()
    moved.clock.advance(28 * HOUR)
    assert gone not in await stream.ids()
    [child] = await stream.children(gone)
    assert child.parents == (gone,)
    with problem(SourceProblem.MISSING):
        await stream.at(gone)


async def test_an_iterator_expires(moved: Moved) -> None:
    """STR-24."""
    stream = (await moved.server.table()).stream
    [shard, _] = await stream.ids()
    iterator = await stream.at(shard)
    moved.clock.advance(901)
    with problem(SourceProblem.EXPIRED):
        await stream.page(iterator)


async def test_records_are_trimmed_before_they_are_read(moved: Moved) -> None:
    """STR-25, DDB-7."""
    table = await moved.server.table()
    stream = table.stream
    await put_numbers(table, 1)
    shard, [record] = await stream.shard_with(1)
    moved.clock.advance(HOUR)
    await put_numbers(table, 2)
    moved.clock.advance(23 * HOUR - 60)
    iterator = await stream.at(shard)
    moved.clock.advance(60)
    with problem(SourceProblem.TRIMMED):
        await stream.page(iterator)
    with problem(SourceProblem.TRIMMED):
        await stream.at(shard, after(record["dynamodb"]["SequenceNumber"]))
    page = await stream.page(await stream.at(shard))
    assert [number_of(record) for record in page.records] == [2]
    assert page.iterator is None


async def test_throttling(moved: Moved) -> None:
    """STR-23: reading is tried once, listing again."""
    table = await moved.server.table()
    stream = table.stream
    await put_numbers(table, 1)
    shard, _ = await stream.shard_with(1)
    iterator = await stream.at(shard)
    moved.aws.faults.throttle("GetRecords")
    with problem(SourceProblem.THROTTLED):
        await stream.page(iterator)
    assert len((await stream.page(iterator)).records) == 1
    moved.aws.faults.throttle("dynamodbstreams:DescribeStream")
    assert len(await stream.ids()) == 2
