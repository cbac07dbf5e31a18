"""A shard's machine and its filter: what does not pass is done with, and the position passes it."""

import base64
import tracemalloc

import orjson
import pytest

from poller.core.messages import Request
from poller.core.model import JsonObject, SourceKind
from poller.core.records import TRIM_HORIZON, DiscardReason, Position, PositionKind, Progress, after
from poller.core.stream_messages import Filtered, Invoke
from tests.unit.core.stream_machine import BOOM, QUEUE, Rig, change, key_in, listing, numbers, wall, wire

HOT = ('{"data":{"heat":[{"numeric":[">",50]}]}}',)


def heat(number: int, degrees: int, *, key: str = "k", at: float = 0.0) -> JsonObject:
    data = base64.b64encode(orjson.dumps({"heat": degrees})).decode()
    return wire(number, key=key, at=at) | {"Data": data}


def hot(number: int, **fields: object) -> JsonObject:
    return heat(number, 90, **fields)  # type: ignore[arg-type]


def cold(number: int, **fields: object) -> JsonObject:
    return heat(number, 10, **fields)  # type: ignore[arg-type]


def test_the_function_gets_what_passes_and_the_position_passes_the_rest() -> None:
    """FLT-41, BAT-5, FLT-37: the data stays base64."""
    rig = Rig(filters=HOT)
    rig.bring(cold(1), hot(2), cold(3), hot(4), filtered=[1, 3])
    assert numbers(rig.runs[0].batch) == [2, 4]
    assert rig.runs[0].batch.records[0].source["Data"] == hot(2)["Data"]
    assert rig.one(Filtered).count == 2
    rig.end()
    rig.rest()
    assert rig.row.position == after("4")


def test_nothing_is_told_where_all_pass() -> None:
    """MET-2: no more than there is to count."""
    rig = Rig(filters=HOT)
    rig.bring(hot(1), hot(2))
    assert rig.running == [[1, 2]]
    assert rig.all(Filtered) == []


def test_a_tail_of_which_nothing_passes_is_remembered() -> None:
    """STR-32, FLT-42: without a single invocation, or a restart would read all of it again."""
    rig = Rig(filters=HOT)
    rig.bring(cold(1), cold(2), cold(3), filtered=[1, 2, 3])
    assert rig.runs == []
    rig.rest()
    assert rig.row.position == after("3")


def test_the_position_waits_for_what_passed_before() -> None:
    """STR-30: filtered records behind a failing one are done, and the position is before it nevertheless."""
    rig = Rig(filters=HOT)
    rig.bring(cold(1), hot(2), cold(3), filtered=[1, 3])
    rig.end(BOOM)
    rig.rest()
    assert rig.row.position == after("1")
    rig.tick()
    rig.end()
    rig.rest()
    assert rig.row.position == after("3")


def test_lanes_get_what_passes() -> None:
    """STR-40, STR-42."""
    first, second = key_in(0, 2), key_in(1, 2)
    rig = Rig(filters=HOT, lanes=2)
    rig.bring(cold(1, key=first), hot(2, key=second), cold(3, key=second), hot(4, key=first), filtered=[1, 3])
    assert sorted(numbers(run.batch) for run in rig.runs) == [[2], [4]]
    rig.end(run=0)
    rig.end()
    rig.rest()
    assert rig.row.position == after("4")


def test_what_is_filtered_is_never_too_old_and_in_no_document() -> None:
    """DST-14, ERR-12: the old record that passes is given up, the old one that does not is nobody's business."""
    rig = Rig(filters=HOT, maximum_age=60.0, destination=QUEUE, now=100.0)
    rig.bring(cold(1), hot(2), cold(3), hot(4, at=95.0), filtered=[1, 3])
    assert rig.documents[0].discard.reason is DiscardReason.AGE
    assert numbers(rig.documents[0].discard) == [2]


def test_a_partial_response_counts_records_that_passed() -> None:
    """PBR-20: the position stops before the one that is named."""
    rig = Rig(filters=HOT, partial=True)
    rig.bring(hot(1), cold(2), hot(3), cold(4), filtered=[2, 4])
    rig.end(listing(3))
    assert numbers(rig.runs[0].batch) == [3]
    assert rig.row.position == after("2")
    rig.end()
    rig.rest()
    assert rig.row.position == after("4")


def test_the_items_of_a_table() -> None:
    """FLT-33: typed values, and the name of the event."""
    rig = Rig(source=SourceKind.DYNAMODB, filters=('{"dynamodb":{"Keys":{"id":{"S":["a"]}}}}',))
    rig.bring(change(1, key="a"), change(2, key="b"), filtered=[2])
    assert numbers(rig.runs[0].batch) == [1]
    named = Rig(source=SourceKind.DYNAMODB, filters=('{"eventName":["REMOVE"]}',))
    named.bring(change(1), filtered=[1])
    assert named.runs == []


@pytest.mark.parametrize("request_", [Request.PAUSE, Request.STOP])
def test_a_read_that_ends_after_a_stop(request_: Request) -> None:
    """FLT-41: nothing is invoked any more, and no position passes what would have been."""
    rig = Rig(filters=HOT)
    rig.ask(request_)
    rig.bring(cold(1), hot(2), filtered=[1])
    assert rig.runs == []
    assert rig.row.position in [TRIM_HORIZON, after("1")]


def test_filtered_records_behind_a_failing_batch_take_no_room() -> None:
    """STR-27: reading goes on, for hours if need be, and leaves nothing behind but where it has come to."""
    rig = Rig(filters=HOT)
    rig.bring(hot(1))
    for number in range(2, 2_002):
        if rig.runs:
            rig.end(BOOM)
        rig.until_read()
        if number == 102:
            tracemalloc.start()
        rig.bring(cold(number), filtered=[number])
    room = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert room < 80_000
    assert rig.machine.gauges().oldest_pending_since == 0.0
    assert rig.machine.held == 1


def test_a_batch_formed_again_does_not_wait_for_what_another_filter_removes() -> None:
    """BAT-6, FLT-43: reading is past its end, so no more of it comes, however much else does."""
    rig = Rig(retries=5, guarded=True, batch_size=3)
    rig.bring(hot(1), hot(2), cold(3))
    assert rig.row.heads[0].count == 3
    rig = rig.again(filters=HOT)
    rig.bring(hot(1), behind=9.0)
    rig.until_read().bring(hot(2), behind=9.0)
    assert rig.runs == []
    rig.until_read().bring(cold(3), filtered=[3], behind=9.0)
    assert rig.running == [[1, 2]]
    assert rig.one(Invoke).batch.interrupted == 1


def test_the_iterator_age_of_what_nobody_is_handed() -> None:
    """MET-9, FLT-42: it is that of the last record read; that of an invocation long ago would look like a lag."""
    rig = Rig(filters=HOT, now=5_000.0)
    rig.bring(hot(1, at=0.0))
    rig.end()
    assert rig.machine.gauges().iterator_age == 5_000.0
    rig.until_read()
    assert rig.machine.gauges().iterator_age == 5_000.0
    rig.bring(cold(2, at=rig.now - 9.0), cold(3, at=rig.now - 7.0), filtered=[2, 3])
    assert rig.machine.gauges().iterator_age == 7.0
    rig.until_read().bring(hot(4, at=rig.now - 5.0))
    rig.until_read().bring(cold(5, at=rig.now), filtered=[5])
    assert rig.machine.gauges().iterator_age == 5.0, "there is one that the function has"


def test_what_is_older_than_the_start_is_counted_before_the_filter() -> None:
    """STR-11, FLT-41: what the filter removes of it is no reason to pass over what is new."""
    start = Progress(Position(PositionKind.AT_TIMESTAMP, timestamp=wall(1_000.0)))
    only_b = ('{"dynamodb":{"Keys":{"id":{"S":["b"]}}}}',)
    rig = Rig(source=SourceKind.DYNAMODB, filters=only_b, progress=start, now=2_000.0)
    rig.bring(change(1, key="a"), change(2, key="b"), change(3, key="b", at=1_500.0), passed=2)
    assert rig.running == [[3]]
