"""`poller tail`: the order in which it shows what a stream has had, and what it tells when it cannot read."""

import asyncio

import pytest

from poller.cli_tail import beginning
from poller.core.model import SourceProblem
from poller.core.records import Record
from poller.errors import SourceError
from poller.operate.tail import Outage, Tail
from tests.unit.runtime.rig import DEADLINE
from tests.unit.runtime.stream_rig import StreamInMemory, stream_mapping


@pytest.mark.parametrize(
    ("line", "shown"),
    [("orders", "orders"), ("orders 12", "orders "), ("注文の受付", "注文の "), ("e\u0301" * 3, "e\u0301" * 3)],
)
def test_a_line_ends_where_the_terminal_does_whatever_it_is_written_in(line: str, shown: str) -> None:
    assert beginning(line, 7) == shown


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
        await Tail(stream, stream_mapping(), show, pytest.fail, since=0.0, most=5).run()
    assert sorted(shown[:4]) == ["a", "b", "c", "d"]
    assert shown[4] == "z"
    begun = stream.asked("iterator")
    assert begun[-1] == f"{child} TRIM_HORIZON"


async def told_while_failing(*problems: SourceProblem) -> list[str]:
    """What is told while the first reads fail like this; what comes then is shown."""
    stream, told, shown = StreamInMemory(), [], []
    stream.put("shard-00", "a")
    stream.failing["records"] = [SourceError(problem, f"this is {problem.value}.") for problem in problems]
    async with asyncio.timeout(DEADLINE):
        await Tail(stream, stream_mapping(), lambda *one: shown.append(one), told.append, since=0.0, most=1).run()
    assert len(shown) == 1
    return told


async def test_what_is_tried_again_is_told_once_and_when_it_goes_on() -> None:
    """STR-23: nobody looks at a stream that stands still without knowing why."""
    assert await told_while_failing(SourceProblem.UNREACHABLE, SourceProblem.THROTTLED) == [
        "shard-00 cannot be read at the moment, and is tried again: this is unreachable.",
        "It is read again, after 2 tries that failed.",
    ]


async def test_an_iterator_that_has_aged_is_nothing_to_tell_unless_the_next_has_too() -> None:
    """STR-24: each is good for five minutes, and is replaced at once."""
    assert await told_while_failing(SourceProblem.EXPIRED) == []
    told = await told_while_failing(SourceProblem.EXPIRED, SourceProblem.EXPIRED)
    assert told[0] == "shard-00 cannot be read at the moment, and is tried again: this is expired."


def test_an_outage_is_told_every_half_minute_with_a_count_and_its_end_when_all_shards_are_back() -> None:
    """Of a thousand shards that fail every three seconds nobody wants a line each."""
    told: list[str] = []
    outage = Outage(told.append)
    for second in range(0, 60, 3):
        for shard in ("s1", "s2"):
            outage.failed(shard, "it is away.", 1_000.0 + second)
    assert told == [
        "s1 cannot be read at the moment, and is tried again: it is away.",
        "2 shards cannot be read, and 21 tries have failed, the last because: it is away.",
    ]
    outage.over("s1")
    assert len(told) == 2
    outage.over("s2")
    assert told[2:] == ["It is read again, after 40 tries that failed."]


def test_what_flickers_is_told_no_more_often() -> None:
    """At most one failure in 30 s, and its end; the next line counts what was not told."""
    told: list[str] = []
    outage = Outage(told.append)
    for second in range(31):
        outage.failed("s", "it is throttled.", float(second))
        outage.over("s")
    assert told == [
        "s cannot be read at the moment, and is tried again: it is throttled.",
        "It is read again, after a try that failed.",
        "s cannot be read, and 30 tries have failed, the last because: it is throttled.",
        "It is read again, after 30 tries that failed.",
    ]


def test_all_is_well_says_nothing() -> None:
    """Reads that succeed."""
    outage = Outage(pytest.fail)
    outage.over("s")


def test_an_outage_long_after_a_flicker_is_counted_from_its_own_beginning() -> None:
    """What flickered within the 30 s after a line was never told of, and does not count an hour later."""
    told: list[str] = []
    outage = Outage(told.append)
    for second in (0.0, 5.0, 6.0):
        outage.failed("s", "it is throttled.", second)
        outage.over("s")
    outage.failed("s", "it is away.", 3_600.0)
    assert told[2:] == ["s cannot be read at the moment, and is tried again: it is away."]
