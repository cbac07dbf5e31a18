"""What happens to whole processes, streams and clocks, at any moment."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from poller.core.mapping import EventSourceMapping
from poller.core.mapping_changes import Changes
from poller.core.model import MappingState, SourceKind
from poller.errors import StoreError

if TYPE_CHECKING:
    from tests.sim.world import World

PAUSES = (0.1, 3.0, 15.0)


async def kill(world: "World") -> None:
    """kill -9, and another worker in its place."""
    await world.process.kill()
    world.rules.kills += 1
    if world.random.random() < 0.3:
        world.reached["power failure"] += 1
        world.rules.power_failures += 1
        world.rows.power_failure()
    await asyncio.sleep(world.random.choice([0.0, 0.5, 8.0]))
    await world.start()


async def strike(world: "World") -> None:
    """The same, in the middle of something."""
    world.strike()


async def stop(world: "World") -> None:
    """SIGTERM, and another worker in its place."""
    timeout = world.random.choice([0.0, 2.0, 25.0])
    await world.process.end(timeout)
    if timeout < 25.0:
        world.rules.cut_offs += 1
    await world.start()


async def pause(world: "World") -> None:
    process = world.process
    coordinator = world.random.choice(list(process.coordinators.values()))
    name = coordinator.mapping.name
    pausing = asyncio.ensure_future(coordinator.pause())
    await asyncio.wait([pausing], timeout=60.0)
    # what is known must be written down first
    excused = world.stores_failed or process.dead
    world.rules.check(pausing.done() or excused, f"the pause of {name} never comes to rest")
    if process.dead:
        pausing.cancel()
        return
    if coordinator.stats.state is MappingState.DISABLED:
        process.paused.add(name)
        await asyncio.sleep(world.random.choice(PAUSES))
        process.paused.discard(name)
    coordinator.resume()
    await pausing


async def reshard(world: "World") -> None:
    streams = [one for one in world.sources.all if one.kind is not SourceKind.SQS]
    if streams and world.shards_left:
        world.shards_left -= 1
        source = world.random.choice(streams)
        for _ in range(world.random.randint(0, 3)):
            source.put()
        world.reached[source.reshard()] += 1


async def trim(world: "World") -> None:
    for source in world.sources.all:
        if source.kind is not SourceKind.SQS and source.trim():
            world.reached["trimmed"] += 1


async def store_down(world: "World") -> None:
    if world.stores_failed:
        world.rows.down = not world.rows.down


async def suspend(world: "World") -> None:
    """The whole process stands still; long enough, and its iterators are too old when it goes on."""
    seconds = world.random.choice([2.0, 10.0, 10.0, 1_000.0])
    world.loop.block(seconds)
    world.reached["suspended"] += 1


async def step_clock(world: "World") -> None:
    world.clock.step(world.random.choice([-3_600.0, -40.0, 40.0]))


async def change_lanes(world: "World") -> None:
    """Another number of lanes over the same rows."""
    source = world.random.choice(world.sources.all)
    stream = source.mapping.stream
    if stream is None or stream.tumbling_window:
        return
    world.rules.lanes_changed = True
    await world.process.end(25.0)
    source.mapping = replace(source.mapping, stream=replace(stream, lanes=world.random.choice([1, 2, 4])))
    await world.start()


async def change_settings(world: "World") -> None:
    """A configuration read anew, or an update through the API: positions stay (API-7)."""
    process, source = world.process, world.random.choice(world.sources.all)
    old, new = source.mapping, _altered(world, source.mapping)
    coordinator = process.coordinators[old.name]
    world.rules.counts(coordinator.stats)
    world.rules.cut_offs += 1  # the deadline of a stop may pass
    source.changes += 1
    world.rules.lanes_changed |= (
        old.stream is not None and new.stream is not None and old.stream.lanes != new.stream.lanes
    )
    process.ending[old.name] = world.time
    if world.random.random() < 0.5:
        work = process.change(Changes((old,), (new,)))
    else:
        work = process.replace(old.uuid, new, MappingState.UPDATING)
    changing = asyncio.ensure_future(work)
    await asyncio.wait([changing], timeout=90.0)
    # what is known must be written down first
    excused = world.stores_failed or process.dead
    world.rules.check(changing.done() or excused, f"the change of {old.name} never ends")
    if not changing.done():
        changing.cancel()
        await asyncio.wait([changing])
        await kill(world)


async def remove(world: "World") -> None:
    """The mapping goes, with its positions, and later another one comes for the same source (API-10)."""
    process, source = world.process, world.random.choice(world.sources.all)
    mapping = source.mapping
    world.rules.counts(process.coordinators[mapping.name].stats)
    world.rules.cut_offs += 1
    process.ending[mapping.name] = world.time
    world.rules.removing.add(mapping.uuid)
    removed = False
    for _ in range(5):
        try:
            await process.remove(mapping.uuid)
        except StoreError:
            await asyncio.sleep(1.0)
        else:
            removed = True
            break
    world.rules.removing.discard(mapping.uuid)
    if not removed:
        world.reached["not removed"] += 1
        if mapping.stream is not None and not world.rows.of(mapping.uuid):
            source.removed()  # its rows are gone all the same
        source.changes += 1
        await kill(world)
        return
    left = world.rows.of(mapping.uuid) if mapping.stream is not None else {}
    world.rules.check(not left, f"{list(left)} of {mapping.name} are left when it is removed")
    source.removed()
    await asyncio.sleep(world.random.choice([0.0, 3.0, 15.0]))
    if not process.dead:
        process.add(mapping)


def _altered(world: "World", mapping: EventSourceMapping) -> EventSourceMapping:
    """With other settings, of those that mean nothing for what has to become of a record."""
    random, stream = world.random, mapping.stream
    if stream is not None:
        stream = replace(
            stream,
            bisect=random.random() < 0.5,
            retries=random.choice([stream.retries, 0, 3]),
            lanes=stream.lanes if stream.tumbling_window else random.choice([stream.lanes, 1, 4]),
        )
    return replace(
        mapping,
        batch_size=random.choice([1, 2, 4] if mapping.arn.fifo else [1, 2, 5, 10]),
        window=0.0 if mapping.arn.fifo else random.choice([0.0, 1.0, 5.0]),
        handler=replace(mapping.handler, concurrency=random.choice([1, 2, 8])),
        stream=stream,
    )


DISTURBANCES = {
    "kill": (kill, 2),
    "struck": (strike, 3),
    "stop": (stop, 2),
    "pause": (pause, 2),
    "reshard": (reshard, 3),
    "trim": (trim, 1),
    "store toggled": (store_down, 1),
    "suspend": (suspend, 2),
    "clock stepped": (step_clock, 1),
    "lanes changed": (change_lanes, 1),
    "settings changed": (change_settings, 2),
    "removed": (remove, 1),
}
