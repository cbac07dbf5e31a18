"""The shards of a mapping taken together: each in one state, sums, and the worst of them."""

import pytest

from poller.core.leases import Lease
from poller.core.records import Shard, ShardGauges
from poller.core.stream_gauges import NO_STREAM_GAUGES, ShardState, stream_gauges

IDLE = ShardGauges(
    buffered=0,
    buffered_bytes=0,
    in_flight_batches=0,
    in_flight_records=0,
    behind=0.0,
    iterator_age=0.0,
    blocked_since=None,
    oldest_pending_since=None,
    invoking_since=None,
    polling=True,
)
BUSY = ShardGauges(
    buffered=5,
    buffered_bytes=500,
    in_flight_batches=2,
    in_flight_records=20,
    behind=7.0,
    iterator_age=3.0,
    blocked_since=80.0,
    oldest_pending_since=70.0,
    invoking_since=95.0,
    polling=False,
)


def gauges(shards, known=(), rows=(), *, enabled=True, lanes=1, concurrency=1_000):
    return stream_gauges(
        shards,
        {shard.id: shard for shard in known},
        {row.key: row for row in rows},
        worker="we",
        enabled=enabled,
        lanes=lanes,
        concurrency=concurrency,
    )


def states(told):
    return {state: count for state, count in told.states.items() if count}


def lineage():
    """A parent at its end with a child, one that is read with another child, and one that nobody reads yet."""
    known = [
        *(Shard("old"), Shard("read"), Shard("failing"), Shard("free")),
        *(Shard("after-old", ("old",)), Shard("after-read", ("read",)), Shard("merged", ("old", "failing"))),
    ]
    rows = [
        Lease("old", "SHARD_END"),
        Lease("read", "17", owner="we"),
        Lease("failing", "18", owner="we"),
        Lease("free", "TRIM_HORIZON", owner="they"),
        *(Lease(shard.id, "TRIM_HORIZON", parents=shard.parents) for shard in known[4:]),
    ]
    return known, rows


def test_each_shard_with_a_row_is_in_one_state():
    """STR-2: what waits for a parent is told apart from what may be read."""
    known, rows = lineage()
    told = gauges({"read": IDLE, "failing": BUSY}, known, rows)

    assert states(told) == {"done": 1, "reading": 1, "blocked": 1, "leased": 2, "waiting_parent": 2}
    assert sum(told.states.values()) == len(rows)
    assert told.leases == 2


def test_a_paused_mapping_reads_nothing_and_keeps_its_rows():
    known, rows = lineage()
    told = gauges({"read": IDLE}, known, rows, enabled=False)

    assert states(told) == {"done": 1, "leased": 4, "waiting_parent": 2}
    assert told.leases == 2


def test_sums_and_the_worst():
    told = gauges({"a": IDLE, "b": BUSY, "c": BUSY})

    assert (told.buffered, told.buffered_bytes, told.in_flight_batches, told.in_flight_messages) == (
        *(10, 1_000, 4, 40),
    )
    assert (told.iterator_age, told.behind, told.polling) == (3.0, 7.0, True)
    assert (told.blocked_since, told.oldest_pending_since, told.invoking_since) == (80.0, 70.0, 95.0)


@pytest.mark.parametrize(("lanes", "concurrency", "limit"), [(1, 1_000, 2), (10, 1_000, 20), (10, 12, 12)])
def test_the_limit_is_that_of_the_lanes_that_are_read_and_of_the_handler(lanes, concurrency, limit):
    """STR-41: total concurrency is shards times lanes."""
    assert gauges({"a": IDLE, "b": IDLE}, lanes=lanes, concurrency=concurrency).limit == limit


def test_a_source_that_does_not_tell_is_not_behind_by_anything():
    assert gauges({"a": ShardGauges(0, 0, 0, 0, None, 0.0, None, None, None, polling=True)}).behind is None


def test_nothing_is_every_state_at_zero():
    assert dict(NO_STREAM_GAUGES.states) == dict.fromkeys(ShardState, 0)
    assert (NO_STREAM_GAUGES.limit, NO_STREAM_GAUGES.polling, NO_STREAM_GAUGES.behind) == (0, False, None)
    assert gauges({}).iterator_age == NO_STREAM_GAUGES.iterator_age == 0.0
