"""The machine of a shard with an old backlog: what expired in its buffer is given up batch by batch (ERR-14).

What becomes of batches that are formed already is in test_stream_consumer_failing.py.
"""

import orjson
import pytest

from poller.core.payload import EVENT_LIMIT
from poller.core.records import DiscardReason
from poller.core.stream_payload import stream_event
from tests.unit.core.stream_machine import QUEUE, SHARD, Rig, numbers, wire, wires


def test_an_old_backlog_has_a_document_for_each_batch_that_it_could_have_been() -> None:
    """ERR-14, BAT-1, DST-13: at most BatchSize records, each run by itself, in order, and none left out."""
    rig = Rig(maximum_age=60.0, destination=QUEUE, batch_size=2)
    rig.at(100.0)
    rig.bring(*wires(1, 2, 3, 4, 5, at=1.0), *wires(6, at=99.0), *wires(7, at=2.0))
    told = []
    while rig.documents:
        (order,) = rig.documents
        told.append(order.discard)
        rig.sent()
    assert [numbers(discard) for discard in told] == [[1, 2], [3, 4], [5], [7]]
    assert {discard.reason for discard in told} == {DiscardReason.AGE}
    assert len({discard.batch.number for discard in told}) == len({discard.number for discard in told}) == 4
    assert rig.running == [[6]]
    rig.end()
    assert rig.rest().place == 7


@pytest.mark.parametrize("over", [0, 1])
def test_the_payload_of_what_has_expired_is_an_event_that_is_allowed(over: int) -> None:
    """BAT-2, ERR-14, DST-10: as large as may be, and no larger."""
    small = Rig()
    small.bring(wire(1, size=1_000), wire(2, size=1_000))
    rig = Rig(maximum_age=60.0, destination=QUEUE)
    rig.at(100.0)
    rig.bring(
        wire(1, size=1_000), wire(2, size=1_000 + EVENT_LIMIT - small.runs[0].batch.size + over), wire(3, size=4)
    )
    told = []
    while rig.documents:
        told.append(numbers(rig.documents[0].discard))
        event = orjson.dumps(stream_event(rig.documents[0].discard.batch, rig.mapping, SHARD.id))
        assert len(event) <= EVENT_LIMIT
        rig.sent()
    assert told == ([[1], [2, 3]] if over else [[1, 2], [3]])


def test_the_position_passes_only_what_has_its_document() -> None:
    """ERR-33: of an old backlog in several batches the rest is told of again after a crash."""
    rig = Rig(maximum_age=60.0, destination=QUEUE, batch_size=2)
    rig.at(100.0).bring(*wires(1, 2, 3, 4, 5, at=1.0))
    rig.sent()
    rig.sent("refused")
    assert [[numbers(told.discard), told.dropped] for told in rig.gone] == [[[1, 2], False], [[3, 4], True]]
    while rig.place != 4:
        rig.bring() if rig.reads else rig.tick()
    again = rig.again()
    again.bring(*wires(5, at=1.0))
    assert [numbers(one.discard) for one in again.documents] == [[5]]


def test_an_old_backlog_without_a_destination() -> None:
    """MET-6: each record is told of once, whatever it is cut into."""
    rig = Rig(maximum_age=60.0, batch_size=2)
    rig.at(100.0).bring(*wires(1, 2, 3, 4, 5, at=1.0))
    assert rig.discarded == [[1, 2], [3, 4], [5]]
    assert all(told.dropped for told in rig.gone)
    assert rig.rest().place == 5
