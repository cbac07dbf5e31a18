"""Records of streams: exact sizes, stable lanes, nothing lost, whatever a source or a function sends."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from poller.core.failure_document import failure_document, s3_object
from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings
from poller.core.model import BatchTrigger, JsonObject, SourceKind
from poller.core.payload import EVENT_OVERHEAD, event_size, serialise
from poller.core.records import TRIM_HORIZON, Discard, DiscardReason, StreamBatch, WindowCall, sequence_value
from poller.core.response import (
    Failure,
    PartialProgress,
    Success,
    interpret_stream_response,
    interpret_window_response,
)
from poller.core.stream_payload import event_overhead, lane_of, make_records, stream_event
from poller.core.tumbling import state_size, window_of

SHARD = "shardId-000000000000"
# Surrogates included: no sender should send them, some servers let them through.
TEXT = st.text(st.characters())
# Without exponents, which the two writers of JSON spell in two ways.
FLOAT = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOAT | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)
NUMBER = st.integers(0, 10**129 - 1).map(str)
TIME = st.floats(1.0, 2e9) | st.integers(1, 2_000_000_000)
PUT = st.fixed_dictionaries(
    {"SequenceNumber": NUMBER, "PartitionKey": TEXT, "Data": TEXT, "ApproximateArrivalTimestamp": TIME},
    optional={"EncryptionType": TEXT},
)
ITEM = st.dictionaries(TEXT, st.fixed_dictionaries({"S": TEXT}) | st.fixed_dictionaries({"N": NUMBER}), max_size=4)
CHANGE = st.fixed_dictionaries(
    {
        "eventID": TEXT,
        "eventName": st.sampled_from(["INSERT", "MODIFY", "REMOVE"]),
        "dynamodb": st.fixed_dictionaries(
            {"SequenceNumber": NUMBER, "Keys": ITEM, "ApproximateCreationDateTime": TIME},
            optional={"NewImage": ITEM, "OldImage": ITEM | st.none(), "SizeBytes": st.integers()},
        ),
    },
    optional={"userIdentity": st.fixed_dictionaries({"PrincipalId": TEXT, "Type": TEXT})},
)
BROKEN = st.dictionaries(st.sampled_from(["SequenceNumber", "PartitionKey", "Data", "dynamodb", "eventID"]), JUNK)
STATE = st.dictionaries(TEXT, st.integers() | FLOAT | TEXT | st.none())
CALL = st.none() | st.builds(
    WindowCall, st.integers(0, 2**31), st.integers(0, 2**31), STATE, st.booleans(), st.booleans()
)


def mapping_of(kind: SourceKind, lanes: int = 1) -> EventSourceMapping:
    arn = SourceArn("arn:aws:x:eu-west-1:123456789012:y", "aws", "eu-west-1", "123456789012", "y")
    return EventSourceMapping("u", "n", kind, arn, "f", "arn:f", stream=StreamSettings(TRIM_HORIZON, lanes=lanes))


SOURCES = st.one_of(
    st.tuples(st.just(SourceKind.KINESIS), st.lists(PUT | BROKEN | JUNK, max_size=5)),
    st.tuples(st.just(SourceKind.DYNAMODB), st.lists(CHANGE | BROKEN | JUNK, max_size=5)),
)


def as_read(event: JsonObject) -> Any:
    """What a function that is sent the event's bytes would have."""
    return json.loads(serialise(event))


@given(SOURCES, st.integers(1, 10), CALL)
def test_the_event_is_as_big_as_its_sizes_say(
    source: tuple[SourceKind, list[Any]], lanes: int, call: WindowCall | None
) -> None:
    """BAT-2: exact bytes of the whole event, state and all; every wire is a record of it, in order."""
    kind, wires = source
    mapping = mapping_of(kind, lanes)
    records = make_records(wires, mapping, SHARD, 7)
    assert [record.offset for record in records] == list(range(7, 7 + len(wires)))
    assert all(0 <= record.lane < lanes for record in records)
    assert all(sequence_value(record.sequence) >= 0 for record in records)
    batch = StreamBatch(1, 0, tuple(records), BatchTrigger.SIZE, 0.0, 0, call=call)
    event = stream_event(batch, mapping, SHARD)
    written = serialise(event)
    around = event_size([record.size for record in records]) - EVENT_OVERHEAD
    assert len(written) == event_overhead(call, mapping, SHARD) + around
    assert len(event["Records"]) == len(wires)
    assert as_read(stream_event(batch, mapping, SHARD)) == as_read(event)


@given(st.lists(PUT, max_size=5))
def test_records_of_kinesis_are_complete(wires: list[JsonObject]) -> None:
    """KIN-1, KIN-2: data, key and sequence number as they came, for any text."""
    mapping = mapping_of(SourceKind.KINESIS)
    records = make_records(wires, mapping, SHARD, 0)
    batch = StreamBatch(1, 0, tuple(records), BatchTrigger.SIZE, 0.0, 0)
    events = stream_event(batch, mapping, SHARD)["Records"]
    for wire, record, event in zip(wires, records, events, strict=True):
        kinesis = event["kinesis"]
        assert (kinesis["data"], kinesis["partitionKey"]) == (wire["Data"], wire["PartitionKey"])
        assert kinesis["sequenceNumber"] == record.sequence == wire["SequenceNumber"]
        assert kinesis["approximateArrivalTimestamp"] == record.arrived_at == wire["ApproximateArrivalTimestamp"]


@given(CHANGE, st.integers(2, 10), st.randoms())
def test_an_item_has_one_lane(wire: JsonObject, lanes: int, random: Any) -> None:
    """STR-40: by its key alone, however the attributes of that are ordered."""
    mapping = mapping_of(SourceKind.DYNAMODB, lanes)
    keys = list(wire["dynamodb"]["Keys"].items())
    random.shuffle(keys)
    other = {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "1", "Keys": dict(keys)}}
    first, second = make_records([wire, other], mapping, SHARD, 0)
    assert first.lane == second.lane


@given(TEXT, st.integers(1, 10))
def test_a_key_has_one_lane(key: str, lanes: int) -> None:
    """STR-40: one of those that there are, the same each time."""
    assert 0 <= lane_of(key, lanes) < lanes
    assert lane_of(key, lanes) == lane_of(
        str(key.encode("utf-8", "surrogatepass"), "utf-8", "surrogatepass"), lanes
    )


# --- responses ---

SENT = st.lists(st.integers(0, 200), min_size=1, max_size=8, unique=True).map(
    lambda n: [str(one) for one in sorted(n)]
)
RESPONSE = st.binary() | JUNK.map(lambda value: json.dumps(value).encode())


@given(RESPONSE, SENT)
def test_no_response_raises(payload: bytes, sent: list[str]) -> None:
    """PBR-3, TMB-5: any bytes are a success, a failure or progress within the batch."""
    outcome = interpret_stream_response(payload, sent, True)
    assert isinstance(outcome, Success | PartialProgress | Failure)
    assert not isinstance(outcome, PartialProgress) or 0 <= outcome.lowest < len(sent)
    told = interpret_window_response(payload)
    assert isinstance(told, dict | Failure)


@given(st.lists(JUNK, max_size=4), SENT)
def test_no_list_of_failures_raises(entries: list[Any], sent: list[str]) -> None:
    """PBR-3: whatever the entries are."""
    payload = json.dumps({"batchItemFailures": entries}).encode()
    outcome = interpret_stream_response(payload, sent, True)
    assert isinstance(outcome, Failure) if entries else isinstance(outcome, Success | Failure)


@given(SENT, st.data())
def test_progress_is_up_to_the_lowest_by_value(sent: list[str], data: st.DataObject) -> None:
    """PBR-20, PBR-21: in whatever order and however often they are listed."""
    listed = data.draw(st.lists(st.sampled_from(sent), min_size=1))
    payload = json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in listed]}).encode()
    outcome = interpret_stream_response(payload, sent, True)
    assert outcome == PartialProgress(sent.index(min(listed, key=int)))


@given(STATE)
def test_state_comes_back_as_it_was_returned(state: JsonObject) -> None:
    """TMB-3, TMB-6: from the response to the next event, and its size is that of its JSON."""
    told = interpret_window_response(serialise({"state": state}))
    assert isinstance(told, dict)
    assert serialise(told) == serialise(state)
    assert state_size(told) == len(serialise(state))


# --- failure documents, windows ---


@given(SOURCES, CALL, st.sampled_from(DiscardReason), st.floats(0, 4e9), st.integers(0, 9), st.booleans())
def test_any_discard_has_a_document(
    source: tuple[SourceKind, list[Any]],
    call: WindowCall | None,
    reason: DiscardReason,
    at: float,
    invocations: int,
    oversize: bool,
) -> None:
    """DST-2, DST-8, DST-10: nothing that a source sent keeps a record from being reported."""
    kind, wires = source
    mapping = mapping_of(kind)
    batch = StreamBatch(1, 0, tuple(make_records(wires, mapping, SHARD, 0)), BatchTrigger.SIZE, 0.0, 0, call=call)
    document = failure_document(Discard(1, batch, reason, at, invocations, oversize=oversize), mapping, SHARD)
    assert document["requestContext"]["approximateInvokeCount"] >= 1
    event = stream_event(batch, mapping, SHARD)
    read = json.loads(s3_object(document, event))
    assert json.loads(read["payload"]) == as_read(event)


@given(st.floats(0, 250_000_000_000), st.integers(1, 900))
def test_every_arrival_has_one_window(arrived_at: float, length: int) -> None:
    """TMB-1: aligned, of the right length, and around the arrival."""
    start, end = window_of(arrived_at, length)
    assert start <= arrived_at < end == start + length
    assert start % length == 0
