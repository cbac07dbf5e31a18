"""A stream that lives, a store that fails, functions that fail, and the real runtime of streams between them.

What must hold at every step is asserted where it happens: at each write of the store, and at each invocation. An
assertion that fails is kept in `World.broken` too, because the runtime mends what is raised in it.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from poller.core.budget import ByteBudget
from poller.core.leases import Conflict, Lease, may_follow, position_of
from poller.core.mapping import (
    DestinationArn,
    DestinationKind,
    EventSourceMapping,
    HandlerSettings,
    SourceArn,
    StreamSettings,
)
from poller.core.model import (
    FunctionError,
    InvocationResult,
    JsonObject,
    MappingState,
    NotInvoked,
    SourceKind,
    SourceProblem,
    Succeeded,
    Throttled,
)
from poller.core.records import TRIM_HORIZON, Listing, Page, Position, PositionKind, Shard, StreamFacts
from poller.errors import DestinationError, SourceError, StoreError
from poller.metrics import Metrics
from poller.ports import FailureDocument
from poller.runtime.shutdown import stop_all
from poller.runtime.stream_coordinator import Opened, StreamCoordinator
from poller.runtime.stream_driver import ShardWork
from poller.store.memory import MemoryStore
from tests.property.virtual_loop import EPOCH, LoopClock

APP = "uuid-of-world"
KEYS = 8
DEAD = DestinationArn("arn:aws:sqs:us-east-1:000000000000:dead", DestinationKind.SQS, "us-east-1", "0", "dead")
TROUBLE = (SourceProblem.THROTTLED, SourceProblem.SERVER, SourceProblem.UNREACHABLE, SourceProblem.EXPIRED)
OK = Succeeded(b"null")
Done = Callable[[InvocationResult, float], None]


@dataclass
class Rec:
    sequence: int
    key: int
    number: int
    at: float


@dataclass
class RealShard:
    id: str
    parents: tuple[str, ...]
    starting: int
    keys: set[int]
    born: float
    ending: int | None = None
    records: list[Rec] = field(default_factory=list)
    trimmed: int = 0
    """Its records up to this sequence number are gone."""


def any_mapping(random: Random, kind: SourceKind, position: Position) -> EventSourceMapping:
    service = "kinesis" if kind is SourceKind.KINESIS else "dynamodb"
    arn = f"arn:aws:{service}:us-east-1:000000000000:stream/world"
    retries = random.choice([None, 0, 2])
    return EventSourceMapping(
        uuid=APP,
        name="world",
        source=kind,
        arn=SourceArn(arn, "aws", "us-east-1", "000000000000", "world"),
        function_name="python:a:b",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:b",
        batch_size=random.choice([1, 3, 10]),
        window=random.choice([0.0, 0.0, 1.0]),
        handler=HandlerSettings(timeout=30.0, concurrency=random.choice([1, 3, 1000])),
        stream=StreamSettings(
            position,
            lanes=random.choice([1, 1, 2, 5]),
            bisect=random.random() < 0.5,
            retries=retries,
            destination=None if retries is None else random.choice([None, DEAD, DEAD]),
        ),
    )


class World:
    """The stream, the store and the functions; `life` is the process that runs, if one does."""

    def __init__(self, random: Random, mapping: EventSourceMapping, shards: int) -> None:
        self.random = random
        self.mapping = mapping
        self.dynamodb = mapping.source is SourceKind.DYNAMODB
        self.faults = random.choice([0.0, 0.05, 0.2])
        self.store_faults = random.choice([0.0, 0.05, 0.3])
        self.failing = random.choice([0.0, 0.1, 0.5])
        self.marks: Counter[str] = Counter()
        self.broken: list[str] = []
        self.sequence = 99_900
        self.born = 0
        self.shards: dict[str, RealShard] = {}
        self.vanished: dict[str, RealShard] = {}
        self.numbers: Counter[int] = Counter()
        self.unreadable: set[str] = set()
        self.owed: dict[tuple[int, int], Rec] = {}
        """Records that nobody has resolved, by key and number."""
        self.gone: set[tuple[int, int]] = set()
        """Records that nobody has to resolve any more, and nobody can be blamed."""
        self.deliveries: Counter[tuple[int, int]] = Counter()
        self.store = FaultyStore(self)
        self.lives: list[Life] = []
        self.promised = mapping.stream is not None and mapping.stream.position == TRIM_HORIZON
        """Whether what is written from now on has to be delivered (STR-11)."""
        ways = [set(range(n, KEYS, shards)) for n in range(shards)]
        for keys in ways:
            self.bear((), keys)

    # --- time ---

    @property
    def wall(self) -> float:
        return LoopClock().now().wall

    def check(self, condition: object, what: str) -> None:
        if not condition:
            self.broken.append(what)
            raise AssertionError(what)

    # --- the stream ---

    def next_sequence(self) -> int:
        self.sequence += self.random.choice([1, 7, 5_000])
        return self.sequence

    def bear(self, parents: tuple[str, ...], keys: set[int]) -> RealShard:
        try:
            now = self.wall
        except RuntimeError:
            now = EPOCH
        key = f"shardId-{int(now * 1000):020d}-{self.born:04x}" if self.dynamodb else f"shardId-{self.born:012d}"
        self.born += 1
        lag = self.random.choice([0.0, 0.0, 3.0, 30.0]) if self.dynamodb and parents else 0.0
        latest = max([now + lag, *(self.shards[one].born for one in parents)])
        shard = self.shards[key] = RealShard(key, parents, self.next_sequence(), keys, latest)
        return shard

    def open(self) -> list[RealShard]:
        return [shard for shard in self.shards.values() if shard.ending is None]

    def put(self, key: int | None = None) -> None:
        key = self.random.randrange(KEYS) if key is None else key
        (shard,) = [one for one in self.open() if key in one.keys]
        self.numbers[key] += 1
        record = Rec(self.next_sequence(), key, self.numbers[key], self.wall)
        shard.records.append(record)
        if self.promised:
            self.owed[key, record.number] = record

    def reshard(self) -> None:
        shards = self.open()
        if self.dynamodb or self.random.random() < 0.5:
            parent = self.random.choice(shards)
            keys = sorted(parent.keys)
            parent.ending = self.next_sequence()
            if self.dynamodb or len(keys) < 2:
                self.bear((parent.id,), set(keys))
            else:
                cut = self.random.randint(1, len(keys) - 1)
                self.bear((parent.id,), set(keys[:cut]))
                self.bear((parent.id,), set(keys[cut:]))
            self.marks["split"] += 1
        elif len(shards) > 1:
            one, two = self.random.sample(shards, 2)
            one.ending, two.ending = self.next_sequence(), self.next_sequence()
            self.bear((one.id, two.id), one.keys | two.keys)
            self.marks["merge"] += 1

    def trim(self) -> None:
        """The oldest records of some shard are gone, resolved or not."""
        shard = self.random.choice(list(self.shards.values()))
        left = [record for record in shard.records if record.sequence > shard.trimmed]
        for record in left[: self.random.randint(0, 3)]:
            shard.trimmed = record.sequence
            self._lost(record)
            self.marks["trimmed"] += 1

    def vanish(self, *, forgets: bool = True) -> None:
        """The oldest shard is listed no more, and cannot be read; `forgets`: nobody is to deliver what it had."""
        oldest = next(iter(self.shards.values()))
        if oldest.ending is None or any(one.born > self.wall for one in self.shards.values()):
            return
        for record in oldest.records if forgets else ():
            self._lost(record)
        self.vanished[oldest.id] = self.shards.pop(oldest.id)
        self.marks["vanished"] += 1

    def _lost(self, record: Rec) -> None:
        if self.owed.pop((record.key, record.number), None) is not None:
            self.gone.add((record.key, record.number))
            self.marks["lost to retention"] += 1

    def resolve(self, record: Rec) -> None:
        self.owed.pop((record.key, record.number), None)

    def shown(self, shard: RealShard) -> Shard:
        hashes = ("", "") if self.dynamodb else ("0", "9")
        ending = None if shard.ending is None else str(shard.ending)
        return Shard(shard.id, shard.parents, str(shard.starting), ending, *hashes)

    def row_is_true(self, lease: Lease) -> None:
        """I3: everything up to the checkpoint is resolved, or gone for good."""
        shard = self.shards.get(lease.key) or self.vanished.get(lease.key)
        assert shard is not None
        position = position_of(lease)
        if position.kind is PositionKind.SHARD_END:
            skipped = lease.start is not None
            upto = float("inf")
            self.check(skipped or shard.ending is not None, f"{shard.id} is open and said to be at its end")
            if not skipped and lease.key in self.shards:
                rows = self.store.all_rows()
                for child in lease.children:
                    self.check(child in rows, f"the end of {shard.id} is written before the row of {child}")
            if skipped:
                return
        elif position.kind is PositionKind.AFTER:
            upto = float(position.sequence)
        else:
            return
        passed = [one for one in shard.records if one.sequence <= upto and (one.key, one.number) in self.owed]
        self.check(not passed, f"the position {lease.checkpoint} of {shard.id} has passed {passed}")

    # --- processes ---

    def start(self, mapping: EventSourceMapping | None = None) -> "Life":
        self.mapping = mapping or self.mapping
        life = Life(self, len(self.lives))
        self.lives.append(life)
        life.coordinator.start()
        return life

    def heal(self) -> None:
        self.faults = self.store_faults = self.failing = 0.0


class FaultyStore(MemoryStore):
    """Takes its time, fails, loses answers, and does what it was asked to long after it said that it failed."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.down = False
        self.hung: asyncio.Event | None = None
        self.late: set[asyncio.TimerHandle] = set()
        self.guarded = world.random.random() < 0.5

    @property
    def lasting(self) -> bool:
        return self.guarded

    def all_rows(self) -> dict[str, Lease]:
        return self._apps[APP]

    async def _meddle(self, write: Callable[[], Any] | None) -> bool:
        """Whether the answer is to be lost; raises what happens before the work is done."""
        world, random = self.world, self.world.random
        if self.hung is not None:
            await self.hung.wait()
        if random.random() < 0.5:
            await asyncio.sleep(random.choice([0.0, 0.001, 0.1, 1.0]))
        if self.down:
            world.marks["store down"] += 1
            raise StoreError("planted: down")
        if random.random() < world.store_faults:
            fate = random.randint(0, 2)
            if fate == 0 and write is not None:
                world.marks["late write"] += 1
                self.late.add(asyncio.get_running_loop().call_later(random.choice([0.2, 3.0, 30.0]), write))
            if fate == 1:
                world.marks["lost answer"] += 1
                return True
            raise StoreError("planted: no answer")
        return False

    def _swap(self, expected: Lease, lease: Lease) -> Lease | Conflict:
        found = self._apps[APP].get(lease.key)
        if found is None or (found.counter, found.owner) != (expected.counter, expected.owner):
            return Conflict(found)
        written = replace(lease, counter=expected.counter + 1)
        if written.starting != "0":
            self.world.row_is_true(written)
        old, new = position_of(found), position_of(written)
        self.world.check(
            may_follow(old, new), f"{lease.key} goes back from {found.checkpoint} to {written.checkpoint}"
        )
        self._apps[APP][lease.key] = written
        return written

    def _create(self, lease: Lease) -> bool:
        if lease.key in self._apps[APP]:
            return False
        self._apps[APP][lease.key] = lease
        return True

    async def create(self, app: str, lease: Lease) -> bool:
        lost = await self._meddle(lambda: self._create(lease))
        created = self._create(lease)
        if lost:
            raise StoreError("planted: lost answer")
        return created

    async def rows(self, app: str) -> tuple[Lease, ...]:
        lost = await self._meddle(None)
        found = await super().rows(app)
        if self.world.random.random() < 0.3:
            await asyncio.sleep(self.world.random.choice([0.001, 0.5]))  # the answer travels
        if lost:
            raise StoreError("planted: lost answer")
        return found

    async def get(self, app: str, key: str) -> Lease | None:
        if await self._meddle(None):
            raise StoreError("planted: lost answer")
        return await super().get(app, key)

    async def swap(self, app: str, expected: Lease, lease: Lease, *, durable: bool = True) -> Lease | Conflict:
        lost = await self._meddle(lambda: self._swap(expected, lease))
        answer = self._swap(expected, lease)
        if self.world.random.random() < 0.2:
            await asyncio.sleep(self.world.random.choice([0.001, 0.5]))
        if lost:
            raise StoreError("planted: lost answer")
        return answer

    async def delete(self, app: str, expected: Lease) -> bool:
        lost = await self._meddle(None)
        done = await super().delete(app, expected)
        if lost:
            raise StoreError("planted: lost answer")
        return done


class Life:
    """One process: source, hands and destination as it sees them."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.dead = False
        self.running: dict[str, set[tuple[int, int]]] = {}
        self._number = 0
        self.budget = ByteBudget()
        self.handler = NoHandler()
        self.paused = False
        self.results: list[InvocationResult] = [
            FunctionError("E", "planted"),
            Throttled("planted"),
            NotInvoked("planted"),
        ]
        self.seconds: float | None = None
        """How long an invocation takes; else it is as it comes."""
        self.delivering: float | None = None
        self.coordinator = StreamCoordinator(
            world.mapping,
            self._open,
            self.handler,
            self,
            worker=f"worker-{number}",
            metrics=Metrics(CollectorRegistry()),
            clock=LoopClock(),
            budget=self.budget,
            random=Random(world.random.random()),
        )

    async def _open(self) -> Opened:
        return Opened(self, self, self.world.store)

    async def kill(self) -> None:
        """As by kill -9: what it has sent may still arrive, and nobody hears of it."""
        self.coordinator.task.cancel()
        await asyncio.wait([self.coordinator.task])
        self.dead = True
        self.world.marks["killed"] += 1

    async def stop(self, timeout: float) -> None:
        await stop_all([self.coordinator], timeout)
        self.world.marks["stopped"] += 1
        await asyncio.wait([self.coordinator.task])
        if not self.coordinator.task.cancelled():
            self.coordinator.task.result()
        self.dead = True

    # --- ports.StreamSource ---

    async def _asked(self, shard_id: str | None = None) -> RealShard | None:
        world, random = self.world, self.world.random
        await asyncio.sleep(random.choice([0.0, 0.01, 0.05]))
        if self.coordinator.stats.state in {MappingState.ENABLED, MappingState.DISABLED}:
            world.promised = True
        if random.random() < world.faults:
            problem = random.choice(TROUBLE)
            world.marks["source trouble"] += 1
            raise SourceError(problem, f"planted: {problem.value}")
        if shard_id is None:
            return None
        if shard_id in world.unreadable and shard_id in world.shards:
            raise SourceError(SourceProblem.THROTTLED, "planted: throttled")
        if shard_id not in world.shards:
            world.marks["missing"] += 1
            raise SourceError(SourceProblem.MISSING, "planted: no such shard")
        return world.shards[shard_id]

    async def describe(self) -> StreamFacts:
        await self._asked()
        return StreamFacts("ACTIVE", reading=True, retention=86_400.0)

    async def list_shards(self, since: str | None = None) -> Listing:
        await self._asked()
        world = self.world
        listed = [shard for shard in world.shards.values() if shard.born <= world.wall]
        keys = [shard.id for shard in listed]
        after = keys.index(since) + 1 if since in keys else 0
        found = tuple(world.shown(shard) for shard in listed[after:])
        told_at = float(int(world.wall))
        world.marks["listing" if since else "complete listing"] += 1
        await asyncio.sleep(world.random.choice([0.0, 0.1]))
        return Listing(found, complete=since is None, told_at=told_at)

    async def children(self, shard_id: str) -> tuple[Shard, ...]:
        await self._asked(shard_id)
        return tuple(
            self.world.shown(one)
            for one in self.world.shards.values()
            if shard_id in one.parents and one.born <= self.world.wall
        )

    async def iterator(self, shard_id: str, position: Position, deadline: float) -> str:
        shard = await self._asked(shard_id)
        assert shard is not None
        match position.kind:
            case PositionKind.AFTER:
                if int(position.sequence) < shard.trimmed:
                    self.world.marks["behind the trim"] += 1
                    raise SourceError(SourceProblem.TRIMMED, "planted: trimmed")
                at = int(position.sequence)
            case PositionKind.LATEST:
                at = max([shard.trimmed, *(record.sequence for record in shard.records)])
            case PositionKind.AT_TIMESTAMP if not self.world.dynamodb:
                at = max([0, *(one.sequence for one in shard.records if one.at < position.timestamp)])
            case PositionKind.TRIM_HORIZON | PositionKind.AT_TIMESTAMP:
                at = 0
            case _:
                self.world.check(False, f"an iterator for {position}")
                raise AssertionError
        return f"{shard_id} {at}"

    async def records(self, shard_id: str, iterator: str, limit: int, deadline: float) -> Page:
        key, at = iterator.split()
        self.world.check(key == shard_id, f"an iterator of {key} for {shard_id}")
        shard = await self._asked(key)
        assert shard is not None
        left = [one for one in shard.records if one.sequence > max(int(at), shard.trimmed)]
        found = left[: min(limit, self.world.random.choice([2, 50]))]
        following: str | None = f"{key} {found[-1].sequence if found else at}"
        children: tuple[Shard, ...] = ()
        if shard.ending is not None and len(found) == len(left):
            following = None
            if not self.world.dynamodb:
                shown = [one for one in self.world.shards.values() if key in one.parents]
                children = tuple(replace(self.world.shown(one), starting="") for one in shown)
        behind = None if self.world.dynamodb else 0.0 if len(found) == len(left) else 5.0
        return Page([self._wire(one) for one in found], following, behind, 100, children)

    def _wire(self, record: Rec) -> JsonObject:
        name = f"{record.key}:{record.number}"
        if not self.world.dynamodb:
            return {
                "SequenceNumber": str(record.sequence),
                "PartitionKey": str(record.key),
                "Data": base64.b64encode(name.encode()).decode(),
                "ApproximateArrivalTimestamp": record.at,
            }
        return {
            "eventID": name,
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": int(record.at),
                "Keys": {"id": {"S": str(record.key)}},
                "NewImage": {"id": {"S": str(record.key)}, "n": {"N": str(record.number)}},
                "SequenceNumber": str(record.sequence),
                "SizeBytes": 10,
                "StreamViewType": "NEW_IMAGE",
            },
        }

    # --- the dispatcher ---

    def names(self, work: ShardWork) -> list[tuple[int, int]]:
        named = []
        for record in work.batch.records:
            source = record.source
            if self.world.dynamodb:
                image = source["dynamodb"]["NewImage"]
                named.append((int(image["id"]["S"]), int(image["n"]["N"])))
            else:
                key, number = base64.b64decode(source["Data"]).decode().split(":")
                named.append((int(key), int(number)))
        return named

    def start(self, work: ShardWork, on_done: Done, /) -> str:
        world, random = self.world, self.world.random
        names = self.names(work)
        self._number += 1
        request = f"{id(self)}-{self._number}"
        world.check(not self.dead, "a dead process invokes")
        world.check(not self.paused, f"a paused mapping invokes {names}")
        shard = world.shards.get(work.shard_id) or world.vanished[work.shard_id]
        for parent in shard.parents:
            row = world.store.all_rows().get(parent)
            ended = row is None or row.checkpoint == "SHARD_END"
            world.check(ended, f"{shard.id} is delivered before the end of {parent}")
        within: dict[int, int] = {}
        for key, number in names:
            world.deliveries[key, number] += 1
            twice = any(key == one for other in self.running.values() for one, _ in other)
            world.check(not twice, f"{key} is with the function twice")
            world.check(within.get(key, 0) < number, f"{names} is out of order")
            skipped = [one for one in range(within.get(key, 0) + 1, number) if (key, one) in world.owed]
            world.check(not skipped, f"{key}:{number} comes before {skipped} of its key")
            within[key] = number
        self.running[request] = set(names)
        result: InvocationResult = OK
        if random.random() < world.failing:
            result = random.choice(self.results)
            world.marks[type(result).__name__] += 1
        wait = random.choice([0.0, 0.01, 0.5, 5.0]) if self.seconds is None else self.seconds
        asyncio.get_running_loop().call_later(wait, self._end, request, work, on_done, result, wait)
        return request

    def _end(self, request: str, work: ShardWork, on_done: Done, result: InvocationResult, wait: float) -> None:
        if self.dead:
            return
        names = self.running.pop(request)
        if result is OK:
            for name in names:
                self.world.owed.pop(name, None)
        elif isinstance(result, FunctionError) and not self._has_destination:
            self._may_be_dropped(names)
        on_done(result, wait)

    @property
    def _has_destination(self) -> bool:
        stream = self.world.mapping.stream
        assert stream is not None
        return stream.destination is not None

    def _may_be_dropped(self, names: set[tuple[int, int]]) -> None:
        """Without a destination the position passes at once what is given up: nobody can tell from outside."""
        stream = self.world.mapping.stream
        assert stream is not None
        if stream.retries is None:
            return
        for name in names:
            if self.world.deliveries[name] > stream.retries:
                self.world.owed.pop(name, None)

    # --- ports.Destination ---

    async def deliver(self, document: FailureDocument) -> None:
        self.world.marks["document"] += 1
        seconds = self.world.random.choice([0.0, 0.5, 3.0]) if self.delivering is None else self.delivering
        await asyncio.sleep(seconds)
        assert json.dumps(document.document)
        batch = document.document["KinesisBatchInfo" if not self.world.dynamodb else "DDBStreamBatchInfo"]
        first, last = int(batch["startSequenceNumber"]), int(batch["endSequenceNumber"])
        shard = self.world.shards.get(batch["shardId"]) or self.world.vanished[batch["shardId"]]
        named = [json.loads(json.dumps(one)) for one in document.event["Records"]]
        sequences = {
            int(
                (one.get("kinesis") or one["dynamodb"])["sequenceNumber" if "kinesis" in one else "SequenceNumber"]
            )
            for one in named
        }
        assert min(sequences) == first
        assert max(sequences) == last
        for record in shard.records:
            if record.sequence in sequences:
                self.world.resolve(record)
        if self.world.random.random() < 0.2:
            raise DestinationError("planted: no")


class NoHandler:
    """Its invocations are the Life's business."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass
