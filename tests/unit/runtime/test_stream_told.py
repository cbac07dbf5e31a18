"""What a mapping of a stream tells of itself while it runs: the numbers, where they are read, and its health."""

import logging
from typing import Any

import pytest

from poller.core import pace
from poller.core.mapping import HandlerSettings
from poller.core.messages import Request
from poller.core.model import FunctionError, SourceKind, SourceProblem
from poller.errors import StoreError
from tests.unit.runtime.rig import OK, until
from tests.unit.runtime.stream_rig import Store, StreamHands, StreamInMemory, StreamLife, gone, stream_mapping


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits longer than it must."""
    monkeypatch.setitem(pace._IDLE, SourceKind.KINESIS, 0.005)
    monkeypatch.setattr(pace, "delay", lambda *_: 0.005)


def counted(values: Any) -> dict[Any, int]:
    return {key: count for key, count in values.items() if count}


def states(life: StreamLife) -> dict[Any, int]:
    return counted(life.coordinator.gauges().states)


async def stopped(life: StreamLife) -> None:
    life.coordinator.request(Request.STOP)
    await life.ended()


async def test_the_life_of_shards_in_numbers():
    """STR-2, MET-1, MET-3: each read, invocation, position and row is counted where it happens."""
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", *"abc")
    stream.put("shard-01", "d")
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    await life.seen(*"abcd")
    assert states(life) == {"reading": 2}
    assert (life.coordinator.gauges().leases, life.coordinator.gauges().limit) == (2, 2)

    (child,) = stream.close("shard-00", "shard-01")
    stream.put(child, "e")
    await life.seen(*"abcde")
    await until(lambda: states(life) == {"done": 2, "reading": 1}, "the child alone")
    stats = life.coordinator.stats
    assert stats.stream is not None
    assert (stats.polled_events, stats.invoked_events, stats.succeeded_events) == (5, 5, 5)
    assert stats.batch_events.total == 5
    assert stats.polls["empty"] > 0
    assert stats.last_poll_at > 0
    await stopped(life)

    assert counted(stats.stream.lease_events) == {"acquired": 3, "released": 3}
    assert stats.stream.checkpoints["success"] >= 3
    assert stats.stream.heard_at == {}


async def test_what_waits_for_its_turn_is_not_in_the_hands_of_the_function():
    """However long it waits, no invocation of it is running over its time."""
    stream = StreamInMemory(2)
    stream.put("shard-00", "a")
    stream.put("shard-01", *"bc")
    mapping = stream_mapping(handler=HandlerSettings(timeout=5.0, concurrency=1))
    life = StreamLife(stream, Store(), mapping).start()

    def standing() -> Any:
        return life.coordinator.gauges()

    await until(lambda: standing().in_flight_messages + standing().buffered == 3, "both batches")
    gauges = standing()
    first = life.hands.running[0][0].shard_id
    other = ({"shard-00", "shard-01"} - {first}).pop()
    assert gauges.in_flight_batches == gauges.limit == 1
    assert gauges.shards[first].invoking_since is not None
    assert gauges.shards[other].invoking_since is None
    assert (gauges.shards[other].in_flight_batches, gauges.shards[other].in_flight_records) == (0, 0)
    assert gauges.shards[other].buffered == {"shard-00": 1, "shard-01": 2}[other]

    life.hands.end(OK)
    await until(lambda: standing().shards[other].invoking_since is not None, "its turn")
    life.hands.end(OK)
    await stopped(life)


async def test_a_failing_batch_blocks_its_shard_and_is_told(caplog: Any):
    """GEN-9: the other shard goes on."""
    caplog.set_level(logging.INFO, logger="poller")
    stream = StreamInMemory(2)
    stream.put("shard-00", *"ab")
    stream.put("shard-01", "c")
    life = StreamLife(stream, Store()).start()
    await until(lambda: len(life.hands.running) == 2, "both invocations")
    place = [work.shard_id for work, _ in life.hands.running].index("shard-00")
    life.hands.end(FunctionError("ValueError", "no"), place)
    life.hands.end(OK)
    await until(lambda: states(life) == {"blocked": 1, "reading": 1}, "one of them blocked")

    assert life.coordinator.gauges().blocked_since is not None
    stats = life.coordinator.stats
    assert (stats.failed_invoke_events, stats.succeeded_events) == (2, 1)
    assert counted(stats.retries) == {"error": 1}
    (line,) = [record for record in caplog.records if record.action == "batch_retried"]
    assert (line.shard, line.events) == ("shard-00", 2)
    await stopped(life)


async def test_a_source_that_is_gone_is_known_to_the_health_check():
    """API-16: the state stays, and the mapping does not look alive for ever."""
    stream = StreamInMemory()
    life = StreamLife(stream, Store(), hands=StreamHands(OK)).start()
    await until(lambda: life.coordinator.stats.last_poll_at > 0, "a read")
    stream.failing_shards["shard-00"] = gone(SourceProblem.DENIED)
    await until(lambda: life.coordinator.stats.polls["error"] > 0, "a failure")

    stats = life.coordinator.stats
    assert life.coordinator.gauges().polling
    assert stats.last_problem == "denied: planted: denied"
    del stream.failing_shards["shard-00"]
    await until(lambda: stats.last_problem is None, "its return")
    await stopped(life)


async def test_a_store_that_cannot_be_used_is_known_to_the_health_check():
    """Nothing is read then, and so nothing can fail to be read."""
    store = Store()

    def full(name: str, _lease: Any) -> None:
        if name == "swap" and planted:
            raise StoreError("planted: the disk is full")

    planted = True
    store.before = full
    life = StreamLife(StreamInMemory(), store, hands=StreamHands(OK)).start()
    stats = life.coordinator.stats
    assert stats.stream is not None
    await until(lambda: stats.last_problem == "planted: the disk is full", "the failure")
    assert stats.stream.chore_failed_at is not None

    planted = False
    await until(lambda: states(life) == {"reading": 1}, "the start")
    await until(lambda: stats.last_problem is None, "a read")
    await stopped(life)


async def test_a_paused_mapping_reads_no_shard_and_keeps_its_rows():
    life = await StreamLife(StreamInMemory(2), Store(), hands=StreamHands(OK)).start().enabled()
    await until(lambda: states(life) == {"reading": 2}, "both")

    await life.coordinator.pause()

    assert states(life) == {"leased": 2}
    assert life.coordinator.gauges().leases == 2
    assert not life.coordinator.gauges().polling, "so that nobody waits for a read"
    await stopped(life)
