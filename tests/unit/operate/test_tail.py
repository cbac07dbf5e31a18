"""The order in which `poller tail` shows what a stream has had."""

import asyncio

from poller.core.records import Record
from poller.operate.tail import Tail
from tests.unit.runtime.rig import DEADLINE
from tests.unit.runtime.stream_rig import StreamInMemory, stream_mapping


async def test_children_come_after_both_of_their_parents() -> None:
    """STR-2: a key's records stay in order through a merge, however slow one of the parents is."""
    stream = StreamInMemory(2)
    stream.put("shard-00", "a")
    stream.put("shard-01", *"bcd")
    (child,) = stream.close("shard-00", "shard-01")
    stream.put(child, "z")
    shown: list[str] = []

    def show(shard_id: str, record: Record) -> None:
        shown.append(record.source["PartitionKey"])

    async with asyncio.timeout(DEADLINE):
        await Tail(stream, stream_mapping(), show, since=0.0, most=5).run()
    assert sorted(shown[:4]) == ["a", "b", "c", "d"]
    assert shown[4] == "z"
    begun = stream.asked("iterator")
    assert begun[-1] == f"{child} TRIM_HORIZON"
