"""Records of streams that are not what they should be: every one of them is a record, in order, and what becomes
of it can be told, filtered, written and reported.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.core.failure_document import failure_document, s3_object
from poller.core.filter import make_filter
from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings
from poller.core.model import BatchTrigger, SourceKind
from poller.core.payload import EVENT_OVERHEAD, event_size, serialise
from poller.core.records import TRIM_HORIZON, Discard, DiscardReason, Record, StreamBatch, sequence_value
from poller.core.stream_payload import UNKNOWN_ARRIVAL, event_overhead, make_records, stream_event
from tests.property.hostile import (
    DEEPEST,
    MEGABYTE,
    ODD,
    costing_at_most,
    deep,
    deep_text,
    objects,
    odd,
    one_odd_field,
)

SHARD = "shardId-000000000000"
KINESIS = {"SequenceNumber": "5", "PartitionKey": "k", "Data": "eA==", "ApproximateArrivalTimestamp": 1.5e9}
IMAGE = {"id": {"S": "1"}, "n": {"N": "1"}}
CHANGE = {
    "SequenceNumber": "5",
    "Keys": {"id": {"S": "1"}},
    "NewImage": IMAGE,
    "OldImage": IMAGE,
    "ApproximateCreationDateTime": 1.5e9,
    "SizeBytes": 3,
    "StreamViewType": "NEW_AND_OLD_IMAGES",
}
IDENTITY = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
DYNAMODB = {
    "eventID": "e",
    "eventName": "INSERT",
    "eventVersion": "1.1",
    "eventSource": "aws:dynamodb",
    "awsRegion": "eu-west-1",
    "dynamodb": CHANGE,
    "userIdentity": IDENTITY,
}
PATTERNS = {
    SourceKind.KINESIS: ['{"data": {"a": [{"numeric": [">", 1]}, null]}}', '{"partitionKey": [{"prefix": "k"}]}'],
    SourceKind.DYNAMODB: ['{"dynamodb": {"NewImage": {"n": {"N": ["1"]}}}}', '{"eventName": ["INSERT"]}'],
}
ALL = {
    SourceKind.KINESIS: [*ODD, DEEPEST, *one_odd_field(KINESIS), {**KINESIS, "Data": DEEPEST}],
    SourceKind.DYNAMODB: [
        *ODD,
        *one_odd_field(DYNAMODB),
        *({**DYNAMODB, "dynamodb": change} for change in one_odd_field(CHANGE)),
        *({**DYNAMODB, "dynamodb": {**CHANGE, "NewImage": image}} for image in one_odd_field(IMAGE)),
        {**DYNAMODB, "eventID": DEEPEST},
        {**DYNAMODB, "dynamodb": {**CHANGE, "Keys": DEEPEST, "NewImage": DEEPEST}},
        *({**DYNAMODB, "userIdentity": identity} for identity in one_odd_field(IDENTITY)),
    ],
}
some = st.one_of(
    st.tuples(st.just(SourceKind.KINESIS), st.lists(objects(KINESIS) | odd, max_size=5)),
    st.tuples(
        st.just(SourceKind.DYNAMODB),
        st.lists(st.builds(lambda change: {**DYNAMODB, "dynamodb": change}, objects(CHANGE)) | odd, max_size=5),
    ),
)


def mapping_of(kind: SourceKind, lanes: int = 1) -> EventSourceMapping:
    arn = SourceArn("arn:aws:x:eu-west-1:123456789012:y", "aws", "eu-west-1", "123456789012", "y")
    return EventSourceMapping("u", "n", kind, arn, "f", "arn:f", stream=StreamSettings(TRIM_HORIZON, lanes=lanes))


def check(wires: Sequence[Any], mapping: EventSourceMapping) -> list[Record]:
    """What must hold of the records of a read, whatever came."""
    records = make_records(wires, mapping, SHARD, 3)
    assert [record.offset for record in records] == list(range(3, 3 + len(wires)))
    assert mapping.stream is not None
    assert all(0 <= record.lane < mapping.stream.lanes for record in records)
    assert all(0 <= sequence_value(record.sequence) < 10**129 for record in records)
    assert all(0 <= record.arrived_at <= UNKNOWN_ARRIVAL for record in records)
    filtered = make_filter(PATTERNS[mapping.source], mapping.source)
    assert {filtered.passes_record(record, mapping.arn, SHARD) for record in records} <= {True, False}
    batch = StreamBatch(1, 0, tuple(records), BatchTrigger.SIZE, 0.0, 0)
    event = stream_event(batch, mapping, SHARD)
    written = serialise(event)
    limited = any("Keys" not in record["dynamodb"] for record in event["Records"] if "dynamodb" in record)
    if not limited:  # the size of what could never be written is the limit itself (ERR-8)
        around = event_size([record.size for record in records]) - EVENT_OVERHEAD
        assert len(written) == event_overhead(None, mapping, SHARD) + around
    assert len(json.loads(written)["Records"]) == len(wires)
    document = failure_document(Discard(1, batch, DiscardReason.RETRIES, 1e9, 1), mapping, SHARD)
    assert json.loads(json.loads(s3_object(document, event))["payload"]) == json.loads(written)
    return records


@given(some, st.integers(1, 10))
def test_whatever_a_read_brings_is_records(read: tuple[SourceKind, list[Any]], lanes: int) -> None:
    """KIN-1, DDB-1, BAT-2, STR-28, STR-40, DST-2: none is left out, and the position cannot pass one by."""
    kind, wires = read
    check(wires, mapping_of(kind, lanes))


@pytest.mark.parametrize("kind", ALL)
def test_a_field_that_is_odd_costs_no_record(kind: SourceKind) -> None:
    """KIN-1, DDB-1, DDB-3: every field and every odd value of it, alone."""
    for wire in ALL[kind]:
        check([wire], mapping_of(kind, 3))


@pytest.mark.parametrize("kind", ALL)
def test_all_of_them_in_one_read(kind: SourceKind) -> None:
    """STR-28, ERR-12: numbers never fall behind the record before, nor do times that cannot be read; the good
    records between them are what they were sent as.
    """
    good: dict[str, Any] = KINESIS if kind is SourceKind.KINESIS else DYNAMODB
    records = check([one for wire in ALL[kind] for one in (wire, good)], mapping_of(kind))
    assert {(record.sequence, record.arrived_at, record.size) for record in records[1::2]} == {
        ("5", 1.5e9, records[1].size)
    }


def test_numbers_that_come_again() -> None:
    """KIN-6, STR-28: duplicates, and one of 200 digits, which takes that of its predecessor."""
    numbers = ["5", "5", "9" * 200, "6", "9" * 129, "0", "-7", " 8", "8\n", "\u0668", "1e3", "0x9", "", "5"]
    wires = [{**KINESIS, "SequenceNumber": number} for number in numbers]
    sequences = [record.sequence for record in check(wires, mapping_of(SourceKind.KINESIS))]
    assert sequences == ["5", "5", "5", "6", "9" * 129, *["0"] * 8, "5"]


@pytest.mark.parametrize(
    ("told", "arrived_at"),
    [
        *((odd_one, 7.0) for odd_one in (float("nan"), float("inf"), -1.0, 0, 1e15, 10**400, "NaN", "-5", [], {})),
        (True, 1.0),
        (1_500_000_000_000, 7.0),  # milliseconds
        (8, 8.0),
        ("8.5", 8.5),
        (5e-324, 5e-324),
    ],
)
def test_times_that_are_none(told: object, arrived_at: float) -> None:
    """ERR-12: a record without a readable time is as old as the one before it, and never too old by accident."""
    wires = [{**KINESIS, "ApproximateArrivalTimestamp": 7.0}, {**KINESIS, "ApproximateArrivalTimestamp": told}]
    assert check(wires, mapping_of(SourceKind.KINESIS))[1].arrived_at == arrived_at


DATA = {
    "empty": b"",
    "no UTF-8": b"\xff\xfe\x00\x80" * 1_000,
    "cut UTF-8": "\U0001f600".encode()[:3],
    "surrogates in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "NUL": bytes(1_000),
    "1 MiB of nothing": bytes(MEGABYTE),
    "1 MiB of brackets": b"[" * MEGABYTE,
    "deep": deep_text(10_000).encode(),
    "long numbers": b'{"a": ' + b"9" * 1_000 + b"}",
    "no number": b'{"a": NaN}',
    "a number without end": b'{"a": ' + b"9" * MEGABYTE + b"}",
    "an exponent without end": b'{"a": 1e' + b"9" * 1_000 + b"}",
    "UTF-16": '{"a": 2}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a": 2}'.encode("utf-16-le"),
    "a mark before it": b'\xef\xbb\xbf{"a": 2}',
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_what_data_costs_is_bounded(data: bytes) -> None:
    """KIN-1, FLT-36, FLT-37: made, filtered and written; what is no JSON in UTF-8 has no fields; unchanged all."""
    mapping = mapping_of(SourceKind.KINESIS)
    text = base64.b64encode(data).decode()
    wires = [{**KINESIS, "Data": text} for _ in range(5)]
    filtered = make_filter(['{"data": {"a": [{"exists": true}]}}'], SourceKind.KINESIS)
    with costing_at_most(megabytes=60, seconds=10):
        records = make_records(wires, mapping, SHARD, 0)
        passed = [filtered.passes_record(record, mapping.arn, SHARD) for record in records]
    # nobody can tell what stands in brackets without end, and what is filtered out is gone
    assert set(passed) == {data.startswith((b'{"a": 9', b'{"a": 1e', b'{"a": "\xed', b"[["))}
    check(wires[:1], mapping)
    batch = StreamBatch(1, 0, (records[0],), BatchTrigger.SIZE, 0.0, 0)
    assert stream_event(batch, mapping, SHARD)["Records"][0]["kinesis"]["data"] == text


@pytest.mark.parametrize("text", ["", "=", "a", "ab", "abc", "a===", "\0", "\ud800", "ä", "eA", "e A = ="])
def test_data_that_is_no_base64(text: str) -> None:
    """KIN-1, FLT-37: it is nobody's business but the function's."""
    [record] = check([{**KINESIS, "Data": text}], mapping_of(SourceKind.KINESIS))
    assert record.source["Data"] == text


IMAGES = {
    "ten thousand attributes": {f"a{number}": {"S": "x"} for number in range(10_000)},
    "1 MiB": {"a": {"S": "x" * MEGABYTE}},
    "1 MiB of lone surrogates": {"a": {"S": "\ud800" * (MEGABYTE // 3)}},
    "numbers where texts belong": {"a": {"N": 10**1_000}, "b": {"N": 2**64}, "c": {"BOOL": "yes"}},
    "32 levels, as a table may have": deep(32),
    "800 levels, as none has": deep(800),
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_what_an_image_costs_is_bounded(image: Any) -> None:
    """DDB-1, DDB-3, ERR-8: made, filtered, given to the function and reported."""
    wires = [{**DYNAMODB, "dynamodb": {**CHANGE, "NewImage": image}} for _ in range(3)]
    with costing_at_most(megabytes=120, seconds=10):
        check(wires, mapping_of(SourceKind.DYNAMODB, 2))
