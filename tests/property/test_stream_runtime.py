"""The runtime of streams, all of it, in a world with faults: what must hold at every step, for many seeds.

A failure names its seed; the same seed gives the same run. What is asserted stands in runtime_world.py.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from poller.core import pace
from poller.core.messages import Request
from poller.core.model import SourceKind
from poller.core.records import TRIM_HORIZON, Position, PositionKind
from tests.property.runtime_world import APP, World, any_mapping
from tests.property.virtual_loop import run_virtually

SEEDS = 120
CHUNK = 20
IDLE = 10.0  # seconds between two reads


@pytest.fixture(autouse=True)
def _idle_shards_are_read_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else most of the work would be reads that find nothing, four a second while nothing happens for a minute."""
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        monkeypatch.setitem(pace._IDLE, kind, IDLE)


async def pause(world: World) -> None:
    """For a while; whoever asked must not be kept waiting."""
    life = world.lives[-1]
    pausing = asyncio.ensure_future(life.coordinator.pause())
    done, _ = await asyncio.wait([pausing], timeout=world.random.choice([0.1, 60.0]))
    if done and not life.coordinator.task.done():
        world.check(not life.running, "paused, and a function is at work")
        life.paused = True
        await asyncio.sleep(world.random.choice([0.1, 5.0, 100.0]))
        life.paused = False
        world.marks["paused"] += 1
    life.coordinator.resume()
    async with asyncio.timeout(300):
        await pausing


async def disturb(world: World, *, trims: bool) -> None:
    """Something that the outside may do at any moment."""
    random, life = world.random, world.lives[-1]
    match random.randint(0, 17):
        case 0 | 1:
            await life.kill()
            world.start()
        case 2:
            await life.stop(random.choice([0.0, 1.0, 25.0]))
            world.start()
        case 3:
            await pause(world)
        case 4 | 5 | 6:
            world.reshard()
        case 7 if trims:
            world.trim()
        case 8 if trims:
            world.vanish()
        case 9:
            world.store.down = not world.store.down
        case 10:
            asyncio.get_running_loop().block(random.choice([1.0, 10.0]))  # type: ignore[attr-defined]
        case 11:
            assert world.mapping.stream is not None
            lanes = random.choice([1, 2, 5])
            await life.kill()
            world.start(replace(world.mapping, stream=replace(world.mapping.stream, lanes=lanes)))
        case 12:
            shards = life.coordinator._shards
            if shards is not None and shards._drivers:
                random.choice(list(shards._drivers.values())).feed(None)  # type: ignore[arg-type]  # it breaks
                world.marks["crash of a shard"] += 1
        case 13 if world.mapping.stream.position == TRIM_HORIZON:
            await life.stop(25.0)
            await world.store.forget(APP)
            world.marks["removed"] += 1
            world.start()
        case 14:
            world.start()  # a second process, in spite of the lock
            await asyncio.sleep(random.choice([0.1, 5.0, 100.0]))
            world.marks["twins"] += 1
            if random.random() < 0.5:
                world.lives.append(life)
                life = world.lives[-2]
            await life.kill()
        case _:
            for _ in range(random.randint(0, 8)):
                world.put()


async def converged(world: World) -> None:
    """Every record is resolved, every shard that was closed is at its end, every other at its newest record."""

    def problem() -> str:
        if world.owed:
            return f"{len(world.owed)} records are not resolved, {list(world.owed)[:3]}"
        rows = world.store.all_rows()
        for shard in world.shards.values():
            row = rows.get(shard.id)
            if row is None:
                return f"{shard.id} has no row"
            if shard.ending is not None:
                if row.checkpoint != "SHARD_END":
                    return f"{shard.id} has ended and is at {row.checkpoint}"
                continue
            last = shard.records[-1].sequence if shard.records else 0
            if last > shard.trimmed and row.checkpoint != str(last):
                return f"{shard.id} is at {row.checkpoint}, not at {last}"
        return ""

    deadline = world.wall + 3_000
    while what := problem():
        assert world.wall < deadline, what
        await asyncio.sleep(1.0)


async def lived(seed: int, *, trims: bool) -> World:
    random = Random(seed)
    kind = random.choice([SourceKind.KINESIS, SourceKind.DYNAMODB])
    position = random.choice([TRIM_HORIZON, TRIM_HORIZON, Position(PositionKind.LATEST)])
    world = World(random, any_mapping(random, kind, position), random.randint(1, 3))
    for _ in range(random.randint(0, 30)):
        world.put()
    world.start()
    for _ in range(random.randint(10, 60)):
        await asyncio.sleep(random.choice([0.0, 0.01, 0.3, 2.0, 20.0, 70.0]))
        if random.random() < 0.5:
            world.put()
        if random.random() < 0.4:
            await disturb(world, trims=trims)
        assert not world.broken, world.broken
    world.heal()
    world.store.down = False
    for key in range(8):
        world.put(key)
    await converged(world)
    life = world.lives[-1]
    before = life.coordinator.abandoned
    life.coordinator.request(Request.STOP)
    async with asyncio.timeout(60):
        await asyncio.wait([life.coordinator.task])
    life.coordinator.task.result()
    life.dead = True
    if not (world.marks["late write"] or world.marks["twins"]):  # else somebody may have taken a row away from us
        assert life.coordinator.abandoned == before
    assert life.budget.used == 0
    owners = {row.key for row in world.store.all_rows().values() if row.owner is not None}
    assert not owners, f"rows are owned after a stop: {owners}"
    for late in world.store.late:
        late.cancel()
    await asyncio.sleep(40)  # what a killed process left under way
    assert not world.broken, world.broken
    return world


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_record_is_lost_whatever_fails(first: int) -> None:
    """STR-1, STR-2, STR-3, STR-30, STR-31, ERR-33, GEN-2: the real coordinator, rows and drivers."""
    marks: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        try:
            world = run_virtually(lived(seed, trims=seed % 2 == 1))
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        marks += world.marks
    # a run that did not meet these proved little
    wanted = {
        "killed", "stopped", "paused", "removed", "twins", "crash of a shard", "split", "merge", "trimmed",
        "source trouble", "lost answer", "late write", "store down", "FunctionError",
    }  # fmt: skip
    assert wanted <= set(marks), f"never reached: {wanted - set(marks)}"
