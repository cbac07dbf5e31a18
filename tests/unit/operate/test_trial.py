"""Which records `poller invoke` takes, and how few of them from others."""

import json
from typing import Any

import pytest

from poller.core.mapping import EventSourceMapping
from poller.core.model import Succeeded
from poller.core.payload import EVENT_LIMIT
from poller.core.records import SHARD_END, after
from poller.operate.borrowed import Borrowed
from poller.operate.trial import (
    MOST_PASSED_OVER,
    read_records,
    received_too_often,
    response_of,
    take_messages,
)
from poller.testing import ManualClock
from tests.unit.operate.queues import TestedQueue
from tests.unit.runtime.rig import mapping_of
from tests.unit.runtime.stream_rig import StreamInMemory, stream_mapping


def keys(records: Any) -> list[str]:
    return [record.source["PartitionKey"] for record in records]


def only(key: str) -> EventSourceMapping:
    return stream_mapping(filters=(json.dumps({"partitionKey": [key]}),))


async def test_what_the_daemon_is_done_with_is_not_shown_again() -> None:
    """STR-30: a shard that was read to its end has nothing for the handler, unless it is asked for."""
    stream = StreamInMemory()
    stream.put("shard-00", "old")
    stream.close("shard-00")
    stream.put("shard-01", "done", "next")
    first = stream.shards["shard-01"].records[0]["SequenceNumber"]
    places = {"shard-00": SHARD_END, "shard-01": after(first)}
    shard, found = await read_records(stream, stream_mapping(), 5, places, None)
    assert (shard, keys(found)) == ("shard-01", ["next"])
    shard, found = await read_records(stream, stream_mapping(), 5, places, "shard-00")
    assert (shard, keys(found)) == ("shard-00", ["old"])


async def test_only_what_passes_counts_and_nothing_is_left_out_between() -> None:
    """BAT-2, FLT-1: megabytes that the filter takes out fill no event; the first that does not fit ends it."""
    stream = StreamInMemory()
    stream.put("shard-00", *["out"] * 8, *["in"] * 9)
    for record in stream.shards["shard-00"].records[:16]:
        record["Data"] = "A" * 1_000_000
    numbers = [record["SequenceNumber"] for record in stream.shards["shard-00"].records]
    _, found = await read_records(stream, only("in"), 9, {}, None)
    fitting = EVENT_LIMIT // 1_000_000
    assert [record.sequence for record in found] == numbers[8 : 8 + fitting]


@pytest.mark.parametrize("over", [0, 1])
async def test_the_event_around_the_records_counts(over: int) -> None:
    """BAT-2: two records of which only the event that has both would be too large."""
    stream = StreamInMemory()
    stream.put("shard-00", "k", "k")
    first, second = stream.shards["shard-00"].records
    _, small = await read_records(stream, stream_mapping(), 2, {}, None)
    room = EVENT_LIMIT - len('{"Records":[,]}') - sum(record.size for record in small)
    first["Data"] += "A" * 3_000_000
    second["Data"] += "A" * (room - 3_000_000 + over)
    _, found = await read_records(stream, stream_mapping(), 2, {}, None)
    assert len(found) == 2 - over


async def test_a_filter_that_nothing_passes_does_not_take_the_whole_queue() -> None:
    """FLT-40, SQS-9: each message that is looked at is hidden from its consumers, and counts as received."""
    queue = TestedQueue(ManualClock())
    for _ in range(MOST_PASSED_OVER + 50):
        queue.send_now("no")
    mapping = mapping_of(filters=(json.dumps({"body": ["yes"]}),))
    borrowed = Borrowed(queue, 60)
    messages, passed_over = await take_messages(borrowed, mapping, 10)
    assert (messages, passed_over) == ([], MOST_PASSED_OVER)
    await borrowed.give_back()
    assert sum(message.receives for message in queue.fake.queue.messages.values()) == MOST_PASSED_OVER


@pytest.mark.parametrize(
    ("most", "moved"),
    [(1, 3), (2, 2), ("3", 1), (4, 0), (None, 0), ("", 0), ("no", 0), ("-1", 0), (2.0, 0), (True, 0)],
)
async def test_which_messages_the_next_receive_takes_to_the_dead_letter_queue(most: Any, moved: int) -> None:
    """SQS-9: those that have been received maxReceiveCount times, this time included; AWS writes it as a number, a
    template may as text, and what is neither moves nothing.
    """
    queue = TestedQueue(ManualClock())
    messages = []
    for receives in (1, 2, 3):
        queue.send_now(str(receives))
        for _ in range(receives):
            borrowed = Borrowed(queue, 60)
            found = await take_messages(borrowed, mapping_of(), 10)
            await borrowed.give_back()
        messages += found[0]
        await queue.delete([one.receipt for one in found[0]])
    assert [one.receive_count for one in messages] == [1, 2, 3]
    assert received_too_often(messages, most) == moved


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "text", '{"a": NaN}'])
def test_what_is_no_json_is_shown_as_text(text: str) -> None:
    """Whoever reads --json reads no NaN."""
    assert response_of(Succeeded(text.encode())) == text
