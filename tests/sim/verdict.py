"""The end of a run, in calm weather: every record is accounted for, and everything comes to rest within a bound.

8  every record is delivered, filtered, documented, given up, in a dead-letter queue, or was trimmed; none is lost
9  all is at rest within a bound: positions at the newest record, ends at their end, queues empty
"""

import asyncio
from typing import TYPE_CHECKING

from poller.core.model import SourceKind
from tests.sim.sources import Source

if TYPE_CHECKING:
    from tests.sim.world import World

BOUND = 1_500.0  # seconds of virtual time


async def end_well(world: "World") -> None:
    """Heals, waits, and ends the last process by a drain or a stop."""
    world.heal()
    await world.pass_time(0.0)  # somebody may be dead
    if world.random.random() < 0.5:
        for source in world.sources.all:
            source.put()
    await _rest(world)
    world.calm_since = world.time
    for source in world.sources.all:
        if source.mapping.window:
            await _trickle(world, source)
    await _rest(world)
    process = world.process
    if world.random.random() < 0.5:
        world.reached["stopped"] += 1
        await process.end(25.0)
    else:
        world.reached["drained"] += 1
        draining = asyncio.ensure_future(process.drain())
        await asyncio.wait([draining], timeout=300.0)
        world.rules.check(draining.done(), "a drain never ends")
        process.stopping_since = world.time
        await asyncio.sleep(30.0)
        await process.end(25.0)
    for source in world.sources.all:
        _account(world, source)
    world.rules.check(process._budget.used == 0, f"{process._budget.used} bytes are never given back")


async def _trickle(world: "World", source: Source) -> None:
    """Records that come one by one while a window is open must not put off its end (BAT-4)."""
    for _ in range(min(4, source.mapping.batch_size - 1)):
        source.put(key=0)
        await asyncio.sleep(0.6 * source.mapping.window)
        world.look()


async def _rest(world: "World") -> None:
    until = world.time + BOUND
    while what := next(filter(None, (_missing(world, source) for source in world.sources.all)), ""):
        world.look()
        if world.time > until:
            world.rules.check(False, f"never comes to rest: {what}")
            world.look()
        await world.pass_time(1.0)  # a record may end the process
    world.look()


def _missing(world: "World", source: Source) -> str:
    """What is still to be done, in words; empty when all is."""
    if source.kind is SourceKind.SQS:
        source.stored.advance(world.aws.clock.now())
        return f"{len(source.stored.messages)} messages in {source.mapping.name}" if source.stored.messages else ""
    owed = [rec.name for rec in source.records if not world.rules.may_be_passed(source, rec)]
    if owed:
        return f"{owed[:3]} of {source.mapping.name}"
    rows = world.rows.of(source.mapping.uuid)
    for key, shard in source.stored.shards.items():
        row = rows.get(key)
        recs = source.by_shard.get(key, [])
        ended = shard.closed is not None if source.kind is SourceKind.KINESIS else shard.ending is not None
        if row is None:
            if not ended:
                return f"{key} has no row"
            continue  # it ended before the start, or everybody knows that it is done
        if ended and row.checkpoint != "SHARD_END":
            return f"{key} has ended and is at {row.checkpoint}"
        if not ended and recs and not (recs[-1].trimmed or recs[-1].past or recs[-1].fate == "before the start"):
            last = recs[-1].sequence
            if not row.checkpoint.isdecimal() or int(row.checkpoint) != last:
                return f"{key} is at {row.checkpoint}, not at {last}"
    return ""


def _account(world: "World", source: Source) -> None:
    """8: the fate of every record."""
    dead: set[str] = set()
    if source.redrives:
        queue = world.aws.sqs.sqs.queues[f"dead-{source.mapping.arn.name}"]
        dead = {source.names_by_text[message.body] for message in queue.messages.values()}
    for rec in source.records:
        fate = rec.fate
        if rec.owed:
            fate = "dead letter" if rec.name in dead else "given up"
            passed = source.mapping.stream is not None and world.rules.may_be_passed(source, rec)
            world.rules.check(rec.name in dead or passed, f"{rec.name} of {source.mapping.name} is lost")
        world.reached[f"record: {fate}"] += 1
    if source.mapping.stream is not None:
        rows = world.rows.of(source.mapping.uuid).values()
        mine = {row.key for row in rows if row.owner == world.process.worker and row not in world.rules.unreleased}
        world.rules.check(not mine, f"rows are owned after the end: {mine}")
    world.rules.check(not world.rules.running, "a batch is with the function after the end")
