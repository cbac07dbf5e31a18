"""What the tests of streams build on: a stream and a store in memory that do as they are told, and a mapping."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from poller.clock import SystemClock
from poller.core.budget import ByteBudget
from poller.core.leases import Conflict, Lease
from poller.core.mapping import EventSourceMapping, HandlerSettings, SourceArn, StreamSettings
from poller.core.model import InvocationResult, JsonObject, SourceKind, SourceProblem
from poller.core.records import TRIM_HORIZON, Listing, Page, Position, PositionKind, Shard, StreamFacts
from poller.errors import SourceError
from poller.metrics import Metrics
from poller.ports import FailureDocument
from poller.runtime.stream_coordinator import Opened, StreamCoordinator
from poller.runtime.stream_driver import ShardWork
from poller.store.memory import MemoryStore
from tests.unit.runtime.rig import DEADLINE, NoHandler, until

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
Done = Callable[[InvocationResult, float], None]


def stream_mapping(
    position: Position = TRIM_HORIZON, *, name: str = "clicks", **fields: Any
) -> EventSourceMapping:
    settings = {key: fields.pop(key) for key in ("lanes", "retries", "bisect", "destination") if key in fields}
    plain = EventSourceMapping(
        uuid=f"uuid-of-{name}",
        name=name,
        source=SourceKind.KINESIS,
        arn=SourceArn(ARN, "aws", "us-east-1", "000000000000", "clicks"),
        function_name="python:a:b",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:b",
        batch_size=100,
        handler=HandlerSettings(timeout=5.0, concurrency=1000),
        stream=StreamSettings(position, **settings),
    )
    return replace(plain, **fields)


class _ShardOfStream:
    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.records: list[JsonObject] = []
        self.closed = False
        self.told: tuple[Shard, ...] = ()


class StreamInMemory:
    """A ports.StreamSource. `calls` has what was asked, in order; `failing` maps the name of a method to the
    errors that its next calls raise; `hold` makes reads wait.
    """

    def __init__(self, shards: int = 1) -> None:
        self.shards: dict[str, _ShardOfStream] = {}
        self.now = 1_750_000_000.0
        self.generation = 1
        self.calls: list[tuple[str, str]] = []
        self.failing: dict[str, list[Exception]] = {}
        self.failing_shards: dict[str, Exception] = {}
        self.facts = StreamFacts("ACTIVE", reading=True, retention=86_400.0)
        self.hold: asyncio.Event | None = None
        self.reading = 0
        self.tells_children = True
        self._next = 1
        for _ in range(shards):
            self.add()

    def _number(self) -> str:
        self._next += 1
        return str(self.generation * 10_000 + self._next)

    def add(self, *parents: str) -> str:
        key = f"shard-{len(self.shards):02}"
        self.shards[key] = _ShardOfStream(Shard(key, parents, self._number(), None, "0", "1"))
        return key

    def put(self, key: str, *names: str) -> None:
        """Records, whose partition keys and data are their names."""
        for name in names:
            data = base64.b64encode(name.encode()).decode()
            self.now += 0.001
            self.shards[key].records.append(
                {
                    "SequenceNumber": self._number(),
                    "PartitionKey": name,
                    "Data": data,
                    "ApproximateArrivalTimestamp": self.now,
                }
            )

    def close(self, *keys: str, children: int = 1) -> tuple[str, ...]:
        """A split (or a merge, of several keys): the shards end, and have children."""
        born = tuple(self.add(*keys) for _ in range(children))
        for key in keys:
            one = self.shards[key]
            one.shard = replace(one.shard, ending=self._number())
            one.closed = True
            one.told = tuple(Shard(child, keys) for child in born)
        return born

    def asked(self, method: str) -> list[str]:
        return [what for name, what in self.calls if name == method]

    async def _asked(self, method: str, what: str) -> None:
        self.calls.append((method, what))
        planted = self.failing.get(method)
        if planted:
            raise planted.pop(0)

    # --- ports.StreamSource ---

    async def describe(self) -> StreamFacts:
        await self._asked("describe", "")
        return self.facts

    async def list_shards(self, since: str | None = None) -> Listing:
        await self._asked("list_shards", since or "")
        return Listing(tuple(one.shard for one in self.shards.values()), complete=True, told_at=self.now)

    async def children(self, shard_id: str) -> tuple[Shard, ...]:
        await self._asked("children", shard_id)
        return tuple(one.shard for one in self.shards.values() if shard_id in one.shard.parents)

    async def iterator(self, shard_id: str, position: Position, deadline: float) -> str:
        await self._asked("iterator", f"{shard_id} {position.kind.value}")
        records = self.shards[shard_id].records
        match position.kind:
            case PositionKind.LATEST:
                place = len(records)
            case PositionKind.AFTER:
                place = sum(int(record["SequenceNumber"]) <= int(position.sequence) for record in records)
            case PositionKind.AT_TIMESTAMP:
                place = sum(record["ApproximateArrivalTimestamp"] < position.timestamp for record in records)
            case _:
                place = 0
        return f"{shard_id} {place}"

    async def records(self, shard_id: str, iterator: str, limit: int, deadline: float) -> Page:
        key, place = iterator.split()
        await self._asked("records", key)
        if key in self.failing_shards:
            raise self.failing_shards[key]
        if self.hold is not None:
            self.reading += 1
            try:
                await self.hold.wait()
            finally:
                self.reading -= 1
        one = self.shards[key]
        found = one.records[int(place) : int(place) + limit]
        following: str | None = f"{key} {int(place) + len(found)}"
        if one.closed and int(place) + len(found) == len(one.records):
            following = None
        children = one.told if following is None and self.tells_children else ()
        return Page(found, following, 0.0, 100, children)


class Store(MemoryStore):
    """Remembers its writes. `before` and `after` are called with each write (its name, the row): what they raise
    is raised before it is done, or instead of its answer.
    """

    def __init__(self, *, lasting: bool = True) -> None:
        super().__init__()
        self.writes: list[tuple[str, Lease]] = []
        self.before: Callable[[str, Lease], None] = lambda *_: None
        self.after: Callable[[str, Lease], None] = lambda *_: None
        self._lasting = lasting

    @property
    def lasting(self) -> bool:
        return self._lasting

    async def create(self, app: str, lease: Lease) -> bool:
        self.before("create", lease)
        created = await super().create(app, lease)
        self.writes.append(("create", lease))
        self.after("create", lease)
        return created

    async def swap(self, app: str, expected: Lease, lease: Lease, *, durable: bool = True) -> Lease | Conflict:
        self.before("swap", lease)
        answer = await super().swap(app, expected, lease, durable=durable)
        if isinstance(answer, Lease):
            self.writes.append(("swap", answer))
        self.after("swap", lease)
        return answer

    def row(self, key: str, app: str = "uuid-of-clicks") -> Lease:
        return self._apps[app][key]

    def moved(self, key: str) -> bool:
        """Whether something of the shard is resolved, and written down."""
        row = self._apps["uuid-of-clicks"].get(key)
        return row is not None and row.checkpoint.isdecimal()

    def poke(self, lease: Lease, app: str = "uuid-of-clicks") -> None:
        """Somebody else writes the row."""
        self._apps[app][lease.key] = replace(lease, counter=lease.counter + 1)


class StreamHands:
    """A dispatcher whose invocations end when the test says so, or at once with `result`."""

    def __init__(self, result: InvocationResult | None = None) -> None:
        self.result = result
        self.seen: list[str] = []
        self.running: list[tuple[ShardWork, Done]] = []
        self._number = 0

    def start(self, work: ShardWork, on_done: Done, /) -> str:
        self.seen += [record.source["PartitionKey"] for record in work.batch.records]
        if self.result is None:
            self.running.append((work, on_done))
        else:
            asyncio.get_running_loop().call_soon(on_done, self.result, 0.0)
        self._number += 1
        return f"request-{self._number}"

    def end(self, result: InvocationResult, place: int = 0) -> None:
        _, on_done = self.running.pop(place)
        on_done(result, 0.5)


class Takes:
    """A destination that remembers its documents."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.documents: list[FailureDocument] = []

    async def deliver(self, document: FailureDocument) -> None:
        self.documents.append(document)
        if self.error is not None:
            raise self.error


class StreamLife:
    """A coordinator on a StreamInMemory and a Store, not started yet. Those may be shared by one life after the
    other.
    """

    def __init__(
        self,
        stream: StreamInMemory,
        store: Store,
        mapping: EventSourceMapping | None = None,
        *,
        hands: StreamHands | None = None,
        destination: Takes | None = None,
        answers: tuple[Exception, ...] = (),
        worker: str = "worker",
    ) -> None:
        self.stream = stream
        self.store = store
        self.hands = hands or StreamHands()
        self.handler = NoHandler()
        self.destination = destination
        self.answers = list(answers)
        self.worker = worker
        self.budget = ByteBudget()
        self.coordinator = StreamCoordinator(
            mapping or stream_mapping(),
            self._open,
            self.handler,
            self.hands,
            worker=worker,
            metrics=Metrics(),
            clock=SystemClock(),
            budget=self.budget,
            random=Random(1),
        )

    @property
    def state(self) -> str:
        return str(self.coordinator.stats.state.value)

    async def _open(self) -> Opened:
        if self.answers:
            raise self.answers.pop(0)
        return Opened(self.stream, self.destination, self.store)

    def start(self) -> "StreamLife":
        self.coordinator.start()
        return self

    async def enabled(self) -> "StreamLife":
        await until(lambda: self.state == "Enabled", "Enabled")
        return self

    async def seen(self, *names: str) -> None:
        await until(lambda: sorted(self.hands.seen) == sorted(names), f"{names}")

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([self.coordinator.task])
        self.coordinator.task.result()
        assert self.budget.used == 0
        assert self.handler.closed == 1


def gone(problem: SourceProblem = SourceProblem.MISSING) -> SourceError:
    return SourceError(problem, f"planted: {problem.value}")
