"""Streams beside queues in one process: one store, opened when it is needed, and what is remembered in it."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import poller
from poller.core import discovery, pace
from poller.core.mapping import DestinationArn, DestinationKind, EventSourceMapping
from poller.core.model import SourceKind, SourceProblem
from poller.core.records import Position, PositionKind
from poller.errors import ConfigurationError, SourceError, StoreError
from poller.runtime.stream_coordinator import Opened
from poller.service import Service
from poller.settings import State
from poller.store.sqlite import SqliteStore
from poller.testing import EmbeddedAws, FakeQueue
from tests.unit.runtime.rig import DEADLINE, mapping_of, until
from tests.unit.runtime.stream_rig import StreamInMemory, stream_mapping

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dummy credentials; shards are read all the time."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        monkeypatch.setitem(pace._IDLE, kind, 0.02)
        monkeypatch.setitem(pace._BEHIND, kind, 0.001)
    monkeypatch.setattr(discovery, "KINESIS_LOOK", 0.2)


class Seen:
    """A handler that remembers the partition keys it was given."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def __call__(self, event: Any, context: Any) -> None:
        for record in event["Records"]:
            self.keys.append(record["kinesis"]["partitionKey"] if "kinesis" in record else record["body"])

    async def has(self, *keys: str) -> None:
        await until(lambda: sorted(self.keys) == sorted(keys), f"{keys}, not {self.keys}")


class InMemory(Service):
    """On a stream and queues in memory; the store is the real one."""

    def __init__(self, stream: StreamInMemory, **settings: Any) -> None:
        super().__init__(**{"shutdown_timeout": 3.0} | settings)
        self.stream = stream
        self.queue = FakeQueue("orders")

    async def _open(self, mapping: EventSourceMapping) -> Any:
        return self.queue, await self.queue.describe()

    async def _open_stream(self, mapping: EventSourceMapping) -> Opened:
        return Opened(self.stream, None, await self.opened_store())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def there(file: Path) -> bool:
    return file.exists()


def spoil(file: Path) -> None:
    file.write_bytes(b"this is no database" * 1000)


def state(file: Path) -> State:
    return State("sqlite", str(file))


async def test_gen_1_streams_run_beside_queues(file: Path):
    """GEN-1: and the state file is made when the first stream needs it."""
    stream, seen = StreamInMemory(), Seen()
    async with InMemory(stream, state=state(file)) as service:
        service.add(mapping_of("orders"), seen)
        service.queue.send("from the queue")
        await seen.has("from the queue")
        assert not there(file)
        service.add(stream_mapping(), seen)
        stream.put("shard-00", "from the stream")
        await seen.has("from the queue", "from the stream")
        assert there(file)
        assert await service.first_problem() is None
        assert await service.stop() == 0


async def test_one_store_for_all_streams(file: Path, monkeypatch: pytest.MonkeyPatch):
    """It is opened once, however many come at the same moment, and closed after the last row was released."""
    opened: list[str] = []
    open_file = SqliteStore.__aenter__

    async def counted(store: SqliteStore) -> SqliteStore:
        opened.append("open")
        return await open_file(store)

    monkeypatch.setattr(SqliteStore, "__aenter__", counted)
    stream = StreamInMemory()
    async with InMemory(stream, state=state(file)) as service:
        for name in ("one", "two", "three"):
            service.add(stream_mapping(name=name, function_name=name), Seen())
        await until(
            lambda: all(one.stats.state.value == "Enabled" for one in service.coordinators.values()), "all"
        )
    assert opened == ["open"]
    async with SqliteStore(str(file)) as store:
        for name in ("one", "two", "three"):
            (row,) = await store.rows(f"uuid-of-{name}")
            assert row.owner is None


async def test_str_31_the_next_process_goes_on_where_this_one_was(file: Path):
    """STR-31: with a file; memory: ends with the process."""
    stream = StreamInMemory()
    stream.put("shard-00", "a")
    for kept, expected in ((True, ["b"]), (False, ["a", "b"])):
        first, second = Seen(), Seen()
        where = state(file) if kept else State("memory")
        async with InMemory(stream, state=where) as service:
            service.add(stream_mapping(), first)
            await first.has(*(record["PartitionKey"] for record in stream.shards["shard-00"].records))
        if kept:
            stream.put("shard-00", "b")
        async with InMemory(stream, state=where) as service:
            service.add(stream_mapping(), second)
            await second.has(*expected)


async def test_api_9_and_10_a_pause_keeps_the_position_and_removing_forgets_it(file: Path):
    """API-9, API-10: added again, it starts over at its StartingPosition."""
    stream, seen = StreamInMemory(), Seen()
    async with InMemory(stream, state=state(file)) as service:
        coordinator = service.add(stream_mapping(), seen)
        stream.put("shard-00", "a")
        await seen.has("a")
        await coordinator.pause()
        assert coordinator.stats.state.value == "Disabled"
        stream.put("shard-00", "b")
        coordinator.resume()
        await seen.has("a", "b")
        await service.remove(coordinator.mapping.uuid)
        again = Seen()
        service.add(stream_mapping(), again)
        await again.has("a", "b")
        with pytest.raises(ConfigurationError, match="no mapping with the UUID"):
            await service.remove("another")


async def test_a_mapping_whose_positions_cannot_be_forgotten_stays_to_be_removed(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    """API-10: else it would not start over, and nobody would know."""
    stream = StreamInMemory()

    async def full(store: SqliteStore, app: str) -> None:
        raise StoreError("planted: full")

    async with InMemory(stream, state=state(file)) as service:
        uuid = service.add(stream_mapping(), Seen()).mapping.uuid
        await until(lambda: service.find(uuid).stats.state.value == "Enabled", "Enabled")
        with monkeypatch.context() as broken:
            broken.setattr(SqliteStore, "forget", full)
            with pytest.raises(StoreError, match="planted: full"):
                await service.remove(uuid)
        await service.remove(uuid)
        assert service.coordinators == {}


@pytest.mark.parametrize("trouble", ["corrupt", "locked"])
async def test_a_state_file_that_cannot_be_used_is_the_first_problem(file: Path, trouble: str):
    """STR-31: in one sentence, exit code 1, and never a start from scratch."""
    stream, seen = StreamInMemory(), Seen()
    stream.put("shard-00", "a")
    async with contextlib.AsyncExitStack() as stack:
        if trouble == "corrupt":
            spoil(file)
        else:
            await stack.enter_async_context(SqliteStore(str(file)))
        async with InMemory(stream, state=state(file)) as service:
            service.add(stream_mapping(), seen)
            service.add(mapping_of("orders"), Seen())
            problem = await asyncio.wait_for(service.first_problem(), DEADLINE)
            assert isinstance(problem, StoreError)
            assert problem.exit_code == 1
            assert str(file) in str(problem)
            assert "\n" not in str(problem)
            assert seen.keys == []


async def test_a_state_file_that_is_free_again_is_used(file: Path, monkeypatch: pytest.MonkeyPatch):
    """STR-31: inside an application nobody starts the mapping again."""
    monkeypatch.setattr("poller.runtime.coordinator.delay", lambda *_: 0.02)
    stream, seen = StreamInMemory(), Seen()
    stream.put("shard-00", "a")
    async with InMemory(stream, state=state(file)) as service:
        async with SqliteStore(str(file)):
            service.add(stream_mapping(), seen)
            assert isinstance(await service.first_problem(), StoreError)
        await seen.has("a")


# --- on the embedded AWS ---


class Clicks:
    """A Kinesis stream of the embedded AWS."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.do("CreateStream", StreamName="clicks", ShardCount=1)

    def do(self, operation: str, **request: Any) -> Any:
        return self.aws.kinesis.apply(self.aws.service.clock.now(), operation, request)

    def put(self, *keys: str) -> None:
        for key in keys:
            data = base64.b64encode(key.encode()).decode()
            self.do("PutRecord", StreamName="clicks", PartitionKey=key, Data=data)


@pytest.fixture
async def aws() -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws() as embedded:
        embedded.kinesis.limits = False
        yield embedded


async def test_str_14_a_poller_with_a_file_remembers(aws: EmbeddedAws, file: Path):
    """STR-14, STR-11: LATEST means the day of the first run."""
    clicks = Clicks(aws)
    clicks.put("old")
    settings: Any = {"state": f"sqlite:{file}", "endpoint_url": aws.url, "region": "us-east-1"}
    seen = Seen()
    async with poller.Poller(**settings) as p:
        mapping = p.add(ARN, seen, StartingPosition="LATEST")
        await mapping.started()
        assert mapping.state == "Enabled"
        clicks.put("a")
        await seen.has("a")
        assert mapping.in_flight == 0
    clicks.put("meanwhile")
    async with poller.Poller(**settings) as p:
        p.add(ARN, seen, StartingPosition="LATEST")
        await p.drain()
        assert seen.keys == ["a", "meanwhile"]


async def test_two_handlers_of_one_stream_do_not_share_positions_unseen(aws: EmbeddedAws, file: Path):
    """CFG-51, GEN-4: what has no name of its own, such as objects of one class, is one function to whoever looks
    for its positions; with a Name each has its own, and both see every record.
    """
    clicks, first, second = Clicks(aws), Seen(), Seen()
    clicks.put("a")
    begin: Any = {"StartingPosition": "TRIM_HORIZON"}
    async with poller.Poller(state=f"sqlite:{file}", endpoint_url=aws.url, region="us-east-1") as p:
        p.add(ARN, first, **begin)
        with pytest.raises(ConfigurationError, match=r"'clicks-2' would share its positions with 'clicks'"):
            p.add(ARN, second, **begin)
        p.add(ARN, second, Name="second", **begin)
        await first.has("a")
        await second.has("a")
        assert [mapping.name for mapping in p.mappings()] == ["clicks", "second"]


async def test_run_reads_a_stream(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch):
    """STR-10."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    clicks, seen = Clicks(aws), Seen()
    clicks.put("a", "b")
    running = asyncio.create_task(poller.run(ARN, seen, StartingPosition="TRIM_HORIZON"))
    await seen.has("a", "b")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(SourceError, match="Stream not found"):
        await poller.run(f"{ARN}-missing", seen, StartingPosition="TRIM_HORIZON")


async def test_dst_1_a_destination_that_does_not_exist_is_the_first_problem(aws: EmbeddedAws):
    """DST-1: like a source that does not exist; an AWS that is away is waited for."""
    Clicks(aws)
    dead = DestinationArn(
        "arn:aws:sqs:us-east-1:000000000000:nowhere", DestinationKind.SQS, "us-east-1", "000000000000", "nowhere"
    )
    async with Service(region="us-east-1", endpoint_url=aws.url) as service:
        service.add(stream_mapping(Position(PositionKind.TRIM_HORIZON), destination=dead), Seen())
        problem = await asyncio.wait_for(service.first_problem(), DEADLINE)
        assert isinstance(problem, SourceError)
        assert problem.problem is SourceProblem.MISSING
        assert problem.exit_code == 2
        assert "on-failure destination" in str(problem)
    aws.faults.throttle("GetQueueUrl", times=None)
    async with Service(region="us-east-1", endpoint_url=aws.url) as service:
        service.add(stream_mapping(Position(PositionKind.TRIM_HORIZON), destination=dead), Seen())
        assert await asyncio.wait_for(service.first_problem(), DEADLINE) is None
