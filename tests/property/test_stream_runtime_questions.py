"""What the runtime of streams does in trouble that has a name: in the world of runtime_world.py, in no time."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from poller.core.discovery import DYNAMODB_LOOK, KINESIS_LOOK
from poller.core.mapping import EventSourceMapping, HandlerSettings, SourceArn, StreamSettings
from poller.core.messages import Request
from poller.core.model import FunctionError, SourceKind
from poller.core.records import TRIM_HORIZON
from poller.errors import StoreError
from poller.runtime.shutdown import stop_all
from tests.property.runtime_world import APP, DEAD, KEYS, World
from tests.property.virtual_loop import run_virtually

KINDS = pytest.mark.parametrize("kind", [SourceKind.KINESIS, SourceKind.DYNAMODB])


def plain_mapping(kind: SourceKind, **stream: Any) -> EventSourceMapping:
    service = "kinesis" if kind is SourceKind.KINESIS else "dynamodb"
    return EventSourceMapping(
        uuid=APP,
        name="world",
        source=kind,
        arn=SourceArn(f"arn:aws:{service}:us-east-1:0:stream/world", "aws", "us-east-1", "0", "world"),
        function_name="python:a:b",
        function_arn="arn:aws:lambda:us-east-1:000000000000:function:b",
        batch_size=10,
        handler=HandlerSettings(timeout=30.0, concurrency=1000),
        stream=StreamSettings(TRIM_HORIZON, **stream),
    )


def world_of(kind: SourceKind = SourceKind.KINESIS, shards: int = 1, **stream: Any) -> World:
    """Where nothing fails by itself."""
    world = World(Random(1), plain_mapping(kind, **stream), shards)
    world.heal()
    world.store.guarded = True
    return world


async def until(condition: Any, seconds: float, what: str) -> None:
    """Of the world's time."""
    async with asyncio.timeout(seconds):
        while not condition():
            assert what
            await asyncio.sleep(0.05)


async def end(world: World) -> None:
    life = world.lives[-1]
    life.coordinator.request(Request.STOP)
    async with asyncio.timeout(60):
        await asyncio.wait([life.coordinator.task])
    life.coordinator.task.result()
    assert not world.broken, world.broken


def in_no_time(main: Coroutine[Any, Any, None]) -> None:
    run_virtually(main)


def test_a_stop_while_the_store_hangs_keeps_its_deadline() -> None:
    """STR-31, GEN-2: what could not be written is delivered again, and nothing else is lost."""

    async def main() -> None:
        world = world_of()
        life = world.start()
        world.put()
        await until(lambda: not world.owed, 20, "the record")
        await asyncio.sleep(5)
        world.store.hung = asyncio.Event()
        world.put()
        await until(lambda: not world.owed, 20, "the record")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await stop_all([life.coordinator], 25.0)
        assert loop.time() - begun < 28
        assert life.coordinator.task.done()
        life.dead = True
        world.store.hung.set()
        world.store.hung = None
        world.start()
        key = next(iter(world.numbers))
        world.put(key)
        await until(lambda: not world.owed, 20, "the next record")
        await end(world)

    in_no_time(main())


@KINDS
def test_a_store_that_is_down_for_a_minute_delivers_nothing_twice(kind: SourceKind) -> None:
    """STR-30, STR-31: without limit of attempts, functions go on meanwhile."""

    async def main() -> None:
        world = world_of(kind, lanes=2)
        world.start()
        world.put()
        await until(lambda: not world.owed, 20, "the record")
        world.store.down = True
        for _ in range(60):
            world.put()
            await asyncio.sleep(1)
        await until(lambda: not world.owed, 20, "records in spite of the store")
        world.store.down = False
        (shard,) = world.shards.values()
        last = str(shard.records[-1].sequence)
        await until(lambda: world.store.all_rows()[shard.id].checkpoint == last, 30, "the position")
        assert set(world.deliveries.values()) == {1}
        await end(world)

    in_no_time(main())


def test_attempts_that_have_to_be_counted_wait_for_the_store() -> None:
    """ERR-5: with a limit of attempts nothing starts that is not written down; it does when the store is back."""

    async def main() -> None:
        world = world_of(retries=1)
        world.start()
        world.put()
        await until(lambda: not world.owed, 20, "the record")
        world.store.down = True
        for _ in range(60):
            world.put()
            await asyncio.sleep(1)
        assert len(world.owed) >= 59
        world.store.down = False
        await until(lambda: not world.owed, 60, "all")
        assert set(world.deliveries.values()) == {1}
        await end(world)

    in_no_time(main())


def test_a_store_that_is_down_at_the_start_is_told_and_waited_for() -> None:
    """STR-31, STR-11."""

    async def main() -> None:
        world = world_of()
        world.store.down = True
        world.put()
        life = world.start()
        problem = await asyncio.wait_for(asyncio.shield(life.coordinator.first_attempt), 60)
        assert isinstance(problem, StoreError)
        await asyncio.sleep(60)
        world.store.down = False
        await until(lambda: not world.owed, 60, "the record")
        await end(world)

    in_no_time(main())


def test_str_4_children_that_are_listed_late_do_not_wait_for_the_next_look() -> None:
    """STR-4, STR-7: of a DynamoDB shard whose end names no child yet."""

    async def main() -> None:
        world = world_of(SourceKind.DYNAMODB)
        world.start()
        world.put(0)
        await until(lambda: not world.owed, 20, "the record")
        (parent,) = world.shards.values()
        await asyncio.sleep(3)
        parent.ending = world.next_sequence()
        child = world.bear((parent.id,), parent.keys)
        child.born = world.wall + 10
        world.put(0)
        row = world.store.all_rows
        await until(lambda: row()[parent.id].checkpoint == "SHARD_END", 20, "the end of the parent")
        await until(lambda: not world.owed, 40, "the child's record")
        await end(world)

    in_no_time(main())


@KINDS
def test_str_3_a_shard_that_is_gone_ends_after_two_listings_and_its_children_go_on(kind: SourceKind) -> None:
    """STR-3, ERR-4: a record that failed for as long as the stream keeps it must not take its children along."""

    async def main() -> None:
        world = world_of(kind)
        life = world.start()
        await until(lambda: life.coordinator.stats.state.value == "Enabled", 20, "Enabled")
        (parent,) = world.shards.values()
        world.unreadable.add(parent.id)
        await asyncio.sleep(1)
        world.put(0)
        parent.ending = world.next_sequence()
        world.bear((parent.id,), parent.keys).born = world.wall
        world.put(0)
        await asyncio.sleep(2 * DYNAMODB_LOOK)
        world.vanish()
        looked = world.marks["complete listing"]
        row = world.store.all_rows
        regular = KINESIS_LOOK if kind is SourceKind.KINESIS else DYNAMODB_LOOK
        await until(
            lambda: row()[parent.id].checkpoint == "SHARD_END", 1.2 * regular + 30, "the end of what is gone"
        )
        assert world.marks["complete listing"] >= looked + 2
        await until(lambda: not world.owed, 20, "the child's record")
        await end(world)

    in_no_time(main())


def test_err_3_what_is_in_hand_of_a_shard_that_is_gone_is_delivered() -> None:
    """ERR-3, STR-3: it was read in time, and only the function was slow."""

    async def main() -> None:
        world = world_of()
        world.mapping = replace(world.mapping, batch_size=1)
        life = world.start()
        await until(lambda: life.coordinator.stats.state.value == "Enabled", 20, "Enabled")
        (parent,) = world.shards.values()
        life.seconds = 100.0
        for _ in range(10):
            world.put(0)
        await until(lambda: life.running, 20, "the first of them")
        await asyncio.sleep(3)
        parent.ending = world.next_sequence()
        world.bear((parent.id,), parent.keys).born = world.wall
        world.put(0)
        await asyncio.sleep(1)
        world.vanish(forgets=False)
        await until(lambda: not world.owed, 3_000, "all that was in hand")
        await end(world)

    in_no_time(main())


def test_api_8_a_pause_waits_for_a_document_that_is_on_its_way() -> None:
    """API-8, ERR-33: and the position is written when it returns."""

    async def main() -> None:
        world = world_of(retries=0, destination=DEAD)
        life = world.start()
        life.delivering = 8.0
        world.failing = 1.0
        life.results = [FunctionError("E", "planted")]
        world.put(0)
        await until(lambda: world.marks["document"], 30, "the document")
        await life.coordinator.pause()
        (shard,) = world.shards.values()
        assert not world.owed
        assert world.store.all_rows()[shard.id].checkpoint == str(shard.records[-1].sequence)
        await end(world)

    in_no_time(main())


def test_two_thousand_shards_start_at_once() -> None:
    """STR-1: and stop again."""

    async def main() -> None:
        world = world_of(shards=KEYS)
        for _ in range(2_000 - KEYS):
            world.bear((), set())
        world.start()
        for key in range(KEYS):
            world.put(key)
        await until(lambda: not world.owed, 60, "all records")
        rows = world.store.all_rows
        await until(lambda: all(row.owner for row in rows().values()), 60, "every row")
        assert len(rows()) == 2_000
        await end(world)
        assert not [row for row in rows().values() if row.owner]

    in_no_time(main())
