"""The event records of Kinesis (KIN) and DynamoDB Streams (DDB), their bytes, their lanes, and the event."""

import copy
import json
import subprocess
import sys
from collections import Counter
from typing import Any

import orjson
import pytest

from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings
from poller.core.model import BatchTrigger, JsonObject, SourceKind
from poller.core.payload import EVENT_LIMIT, EVENT_OVERHEAD, event_size, serialise
from poller.core.records import TRIM_HORIZON, Record, StreamBatch, WindowCall, sequence_value
from poller.core.stream_payload import (
    FIRST_SEQUENCE,
    UNKNOWN_ARRIVAL,
    event_overhead,
    invoke_identity_arn,
    lane_of,
    make_records,
    stream_event,
)

SHARD = "shardId-000000000006"
STREAM = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
TABLE = "arn:aws:dynamodb:us-east-2:123456789012:table/t/stream/2019-06-10T19:26:16.525"
SEQUENCE = "49590338271490256608559692538361571095921575989136588898"


def mapping_of(kind: SourceKind, arn: str = "", lanes: int = 1) -> EventSourceMapping:
    text = arn or {SourceKind.KINESIS: STREAM, SourceKind.DYNAMODB: TABLE}[kind]
    return EventSourceMapping(
        uuid="14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        name="m",
        source=kind,
        arn=SourceArn(text, text.split(":")[1], "us-east-2", "123456789012", "s"),
        function_name="python:a:b",
        function_arn="arn:aws:lambda:us-east-2:123456789012:function:m",
        stream=StreamSettings(TRIM_HORIZON, lanes=lanes),
    )


KINESIS = mapping_of(SourceKind.KINESIS)
DYNAMODB = mapping_of(SourceKind.DYNAMODB)


def put(**changes: Any) -> JsonObject:
    """A record of Kinesis as GetRecords has it."""
    return {
        "SequenceNumber": SEQUENCE,
        "ApproximateArrivalTimestamp": 1545084650.987,
        "Data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        "PartitionKey": "1",
        "EncryptionType": "KMS",
    } | changes


def change(**changes: Any) -> JsonObject:
    """A record of DynamoDB Streams as GetRecords has it; `changes` are of its `dynamodb`."""
    return {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "somewhere-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1733418659,
            "Keys": {"id": {"S": "101"}},
            "NewImage": {"id": {"S": "101"}, "n": {"N": "5"}, "b": {"B": "Zm9v"}},
            "OldImage": {"id": {"S": "101"}},
            "SequenceNumber": "111",
            "SizeBytes": 59,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        | changes,
    }


def made(wire: Any, mapping: EventSourceMapping) -> Record:
    (record,) = make_records([wire], mapping, SHARD, 0)
    return record


def shown(record: Record, mapping: EventSourceMapping) -> JsonObject:
    """The record as the function sees it."""
    (one,) = stream_event(batch_of([record]), mapping, SHARD)["Records"]
    return dict(one)


def batch_of(records: list[Record], call: WindowCall | None = None) -> StreamBatch:
    return StreamBatch(1, 0, tuple(records), BatchTrigger.SIZE, 0.0, 0, call=call)


# --- Kinesis ---


def test_the_record_of_kinesis() -> None:
    """KIN-1, KIN-2, KIN-4: exactly these fields and values in this order; no encryptionType."""
    record = shown(made(put(), KINESIS), KINESIS)
    assert list(record["kinesis"].items()) == [
        ("kinesisSchemaVersion", "1.0"),
        ("partitionKey", "1"),
        ("sequenceNumber", SEQUENCE),
        ("data", "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg=="),
        ("approximateArrivalTimestamp", 1545084650.987),
    ]
    del record["kinesis"]
    assert list(record.items()) == [
        ("eventSource", "aws:kinesis"),
        ("eventVersion", "1.0"),
        ("eventID", f"{SHARD}:{SEQUENCE}"),
        ("eventName", "aws:kinesis:record"),
        ("invokeIdentityArn", "arn:aws:iam::123456789012:role/esm-poller"),
        ("awsRegion", "us-east-2"),
        ("eventSourceARN", STREAM),
    ]


def test_what_the_core_reads_of_a_record() -> None:
    """KIN-1, STR-30: sequence number, place, lane, arrival and bytes, read once."""
    first, second = make_records([put(), put(SequenceNumber="99")], KINESIS, SHARD, 41)
    assert (first.sequence, first.offset, first.lane) == (SEQUENCE, 41, 0)
    assert (second.sequence, second.offset) == ("99", 42)
    assert first.arrived_at == 1545084650.987
    assert first.size == len(orjson.dumps(shown(first, KINESIS)))


@pytest.mark.parametrize(
    ("given", "written"), [(1545084650.987, b"1545084650.987"), (1545084650, b"1545084650.0")]
)
def test_the_arrival_is_a_number_with_a_fraction(given: float, written: bytes) -> None:
    """KIN-2: seconds, and a float to the handler also where a server sends a whole number."""
    record = shown(made(put(ApproximateArrivalTimestamp=given), KINESIS), KINESIS)
    assert b'"approximateArrivalTimestamp":' + written + b"}" in orjson.dumps(record)


def test_data_is_not_touched() -> None:
    """KIN-2: base64 stays the text that came, also where it holds JSON, or is no base64 at all."""
    for data in ("eyJhIjogMX0=", "", "no base64!", "\ud800"):
        assert shown(made(put(Data=data), KINESIS), KINESIS)["kinesis"]["data"] == data


def test_the_identity() -> None:
    """KIN-3: an ARN in the partition and account of the stream."""
    arn = SourceArn("x", "aws-cn", "cn-north-1", "210987654321", "s")
    assert invoke_identity_arn(arn) == "arn:aws-cn:iam::210987654321:role/esm-poller"


def test_the_arn_of_a_consumer() -> None:
    """KIN-5: a mapping of a consumer shows the consumer's ARN."""
    consumer = f"{STREAM}/consumer/c:1545084650"
    mapping = mapping_of(SourceKind.KINESIS, consumer)
    record = shown(made(put(), mapping), mapping)
    assert record["eventSourceARN"] == consumer


def test_an_aggregated_record_is_one_record() -> None:
    """KIN-6, STR-44: what a producer packed together stays packed, in the lane of the outer key."""
    packed = "84mawgoFaW5uZXIaCAgAGgRkYXRhHLpKlFYHNkP5a8EyeBSrYQ=="
    mapping = mapping_of(SourceKind.KINESIS, lanes=10)
    records = make_records([put(Data=packed, PartitionKey="a")], mapping, SHARD, 0)
    assert [shown(record, mapping)["kinesis"]["data"] for record in records] == [packed]
    assert records[0].lane == lane_of("a", 10)


# --- DynamoDB Streams ---


def test_the_record_of_dynamodb() -> None:
    """DDB-1, DDB-2, DDB-6: exactly these fields in this order, no invokeIdentityArn; region and ARN are ours."""
    assert list(shown(made(change(), DYNAMODB), DYNAMODB).items()) == [
        ("eventID", "c4ca4238a0b923820dcc509a6f75849b"),
        ("eventName", "MODIFY"),
        ("eventVersion", "1.1"),
        ("eventSource", "aws:dynamodb"),
        ("awsRegion", "us-east-2"),
        (
            "dynamodb",
            {
                "ApproximateCreationDateTime": 1733418659.0,
                "Keys": {"id": {"S": "101"}},
                "NewImage": {"id": {"S": "101"}, "n": {"N": "5"}, "b": {"B": "Zm9v"}},
                "OldImage": {"id": {"S": "101"}},
                "SequenceNumber": "111",
                "SizeBytes": 59,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        ),
        ("eventSourceARN", TABLE),
    ]


@pytest.mark.parametrize("name", ["INSERT", "MODIFY", "REMOVE"])
def test_the_name_of_a_change(name: str) -> None:
    """DDB-2: as it came; the version is 1.1, also where a server does not send one."""
    wire = change() | {"eventName": name}
    assert shown(made(wire, DYNAMODB), DYNAMODB)["eventName"] == name
    del wire["eventVersion"]
    assert shown(made(wire, DYNAMODB), DYNAMODB)["eventVersion"] == "1.1"


def test_images_of_every_type() -> None:
    """DDB-3: DynamoDB's typed JSON, passed on as it is."""
    image = {
        "s": {"S": "text"},
        "n": {"N": "3.14"},
        "b": {"B": "Zm9v"},
        "bool": {"BOOL": False},
        "null": {"NULL": True},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "2"]},
        "bs": {"BS": ["Zm9v"]},
        "l": {"L": [{"S": "x"}, {"M": {"deep": {"L": [{"NULL": True}]}}}]},
        "m": {"M": {}},
    }
    record = made(change(NewImage=image), DYNAMODB)
    event = shown(record, DYNAMODB)
    assert event["dynamodb"]["NewImage"] == image
    assert json.loads(orjson.dumps(event))["dynamodb"]["NewImage"] == image


@pytest.mark.parametrize("absent", ["NewImage", "OldImage"])
def test_images_that_are_not_there(absent: str) -> None:
    """DDB-3: no key, and no null either where a server sends one."""
    wire = change(**{absent: None})
    assert absent not in shown(made(wire, DYNAMODB), DYNAMODB)["dynamodb"]
    del wire["dynamodb"][absent]
    assert absent not in shown(made(wire, DYNAMODB), DYNAMODB)["dynamodb"]


@pytest.mark.parametrize("given", [1733418659, 1733418659.0, 1733418659.999, "1733418659"])
def test_the_creation_time_has_whole_seconds(given: object) -> None:
    """DDB-4, OPEN-20: a number, in the event and for the age."""
    record = made(change(ApproximateCreationDateTime=given), DYNAMODB)
    assert record.arrived_at == 1733418659.0
    assert b'"ApproximateCreationDateTime":1733418659.0,' in orjson.dumps(shown(record, DYNAMODB))


@pytest.mark.parametrize(
    "identity",
    [
        {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
        {"principalId": "dynamodb.amazonaws.com", "type": "Service"},
    ],
)
def test_expiry_by_ttl(identity: JsonObject) -> None:
    """DDB-5: the service's identity, at the level of the record; a user's delete has none."""
    wire = change() | {"eventName": "REMOVE"}
    assert "userIdentity" not in shown(made(wire, DYNAMODB), DYNAMODB)
    assert "userIdentity" not in shown(made(wire | {"userIdentity": None}, DYNAMODB), DYNAMODB)
    told = shown(made(wire | {"userIdentity": identity}, DYNAMODB), DYNAMODB)["userIdentity"]
    assert list(told.items()) == [("type", "Service"), ("principalId", "dynamodb.amazonaws.com")]


# --- whatever a source sends ---


@pytest.mark.parametrize("bad", [None, "", "x", "-1", "1.0", "1e3", " 1", "\u0661", "9" * 130, 5, [], {}])
def test_a_record_without_a_sequence_number_is_never_left_out(bad: object) -> None:
    """STR-28, STR-30: it goes by its predecessor's, so no position can pass it before its time; the first by 0."""
    for mapping, good, broken in (
        (KINESIS, put(SequenceNumber="7"), put(SequenceNumber=bad)),
        (DYNAMODB, change(SequenceNumber="7"), change(SequenceNumber=bad)),
    ):
        records = make_records([broken, good, broken, broken], mapping, SHARD, 0)
        assert [record.sequence for record in records] == [FIRST_SEQUENCE, "7", "7", "7"]
        inner, field = ("kinesis", "sequenceNumber") if mapping is KINESIS else ("dynamodb", "SequenceNumber")
        assert shown(records[2], mapping)[inner][field] == "7"


def test_sequence_numbers_stay_as_written() -> None:
    """STR-28: leading zeros and 129 digits are text to us, and compared as integers."""
    for text in ("000000000000000000001", "9" * 129):
        record = made(put(SequenceNumber=text), KINESIS)
        assert record.sequence == shown(record, KINESIS)["kinesis"]["sequenceNumber"] == text
        assert sequence_value(record.sequence) == int(text)
        record = made(change(SequenceNumber=text), DYNAMODB)
        assert record.sequence == shown(record, DYNAMODB)["dynamodb"]["SequenceNumber"] == text


@pytest.mark.parametrize(
    "bad",
    [
        *(None, "", "x", -1, 0, -1.0, -0.5, 0.0, 250_000_000_000.0, 1.5e12, 10**400, float("nan"), float("inf")),
        *("9" * 5000, [], {}),
    ],
)
def test_a_record_without_an_arrival_is_never_too_old(bad: object) -> None:
    """ERR-11, ERR-13: it came with its predecessor, and without one it is newer than any limit of age."""
    for mapping, good, broken in (
        (KINESIS, put(), put(ApproximateArrivalTimestamp=bad)),
        (DYNAMODB, change(), change(ApproximateCreationDateTime=bad)),
    ):
        first, second, third = make_records([broken, good, broken], mapping, SHARD, 0)
        assert first.arrived_at == UNKNOWN_ARRIVAL
        assert third.arrived_at == second.arrived_at > 1.5e9


@pytest.mark.parametrize("wire", [None, [], "x", 5, {}, {"dynamodb": None}, {"dynamodb": [1]}])
@pytest.mark.parametrize("lanes", [1, 10])
def test_nonsense_is_a_record_all_the_same(wire: object, lanes: int) -> None:
    """KIN-1, DDB-1: nothing that a source sends raises, and nothing is left out."""
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        mapping = mapping_of(kind, lanes=lanes)
        record = made(wire, mapping)
        assert record.sequence == FIRST_SEQUENCE
        assert record.size == len(orjson.dumps(shown(record, mapping)))


@pytest.mark.parametrize("key", ["PartitionKey", "Data"])
def test_fields_of_kinesis_are_text(key: str) -> None:
    """KIN-1: missing is empty, and what is no text is shown as it came."""
    name = {"PartitionKey": "partitionKey", "Data": "data"}[key]
    wire = put()
    del wire[key]
    assert shown(made(wire, KINESIS), KINESIS)["kinesis"][name] == ""
    assert shown(made(put(**{key: None}), KINESIS), KINESIS)["kinesis"][name] == ""
    assert shown(made(put(**{key: {"b": 1, "a": [2]}}), KINESIS), KINESIS)["kinesis"][name] == '{"a":[2],"b":1}'
    assert shown(made(put(PartitionKey=None, Data=None), KINESIS), KINESIS)["kinesis"][name] == ""


@pytest.mark.parametrize("changes", [{"PartitionKey": "\ud800"}, {"Data": "a\udfff"}, {"PartitionKey": "\u00e4"}])
def test_the_bytes_of_a_record_with_any_text(changes: JsonObject) -> None:
    """BAT-2: also of text that orjson refuses."""
    record = made(put(**changes), KINESIS)
    assert record.size == len(serialise(shown(record, KINESIS)))


@pytest.mark.parametrize("depth", [190, 220, 600, 5_000])
def test_an_image_that_cannot_be_written_is_given_up_as_too_large(depth: int) -> None:
    """ERR-8: nested beyond all reason it has no event and counts as larger than any; less deep ones are sent."""
    image: JsonObject = {"S": "\ud800"}  # not for orjson, so that only the depth decides
    for _ in range(depth // 2):
        image = {"L": [image]}
    mapping = mapping_of(SourceKind.DYNAMODB, lanes=2)
    record = made(change(NewImage={"x": image}, Keys={"k": image}), mapping)
    event = serialise(stream_event(batch_of([record]), mapping, SHARD))
    if depth == 190:
        assert event_size([record.size]) == len(event)
        assert shown(record, mapping)["dynamodb"]["NewImage"] == {"x": image}
    else:
        assert event_size([record.size]) > EVENT_LIMIT
        assert shown(record, mapping)["dynamodb"] == {
            "ApproximateCreationDateTime": 1733418659.0,
            "SequenceNumber": "111",
        }
    odd = made(change() | {"eventID": [image], "userIdentity": {"Type": [image]}}, mapping)
    assert odd.size == len(serialise(shown(odd, mapping)))


# --- lanes ---


def test_lanes_are_the_same_in_every_process_and_version() -> None:
    """STR-40: these numbers may never change, because the rows of earlier versions go by them."""
    keys = ["", "1", "key-1", "key-2", "key-3", "ä", "\ud800", '{"id":{"S":"101"}}']
    expected = [0, 3, 8, 0, 8, 5, 0, 5]
    assert [lane_of(key, 10) for key in keys] == expected
    assert {lane_of(key, 1) for key in keys} == {0}
    program = f"from poller.core.stream_payload import lane_of; print([lane_of(k, 10) for k in {keys!a}])"
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert json.loads(told.stdout) == expected


@pytest.mark.parametrize("lanes", range(2, 11))
@pytest.mark.parametrize("form", ["{}", "user-{}", "order#{:08}", '{{"id":{{"S":"{}"}}}}', '{{"n":{{"N":"{}"}}}}'])
def test_keys_spread_over_the_lanes(lanes: int, form: str) -> None:
    """STR-40, STR-41: no lane of a thousand keys in sequence has less than half of its share or twice of it."""
    counts = Counter(lane_of(form.format(n), lanes) for n in range(1000))
    assert len(counts) == lanes
    assert min(counts.values()) > 500 / lanes
    assert max(counts.values()) < 2000 / lanes


def test_the_lane_of_a_record() -> None:
    """STR-40: by partition key alone, and by the item's primary key alone, in whatever order it came."""
    kinesis = mapping_of(SourceKind.KINESIS, lanes=10)
    for key in ("a", "b", "c", ""):
        records = make_records([put(PartitionKey=key), put(PartitionKey=key, Data="")], kinesis, SHARD, 0)
        assert {record.lane for record in records} == {lane_of(key, 10)}
    dynamodb = mapping_of(SourceKind.DYNAMODB, lanes=10)
    lanes = set()
    for n in range(20):
        keys = {"pk": {"S": f"customer-{n}"}, "sk": {"N": "7"}}
        turned = dict(reversed(keys.items()))
        wires = [change(Keys=keys), change(Keys=turned, NewImage=None), change(Keys=keys, SizeBytes=1)]
        lane = {record.lane for record in make_records(wires, dynamodb, SHARD, 0)}
        assert len(lane) == 1
        lanes |= lane
    assert len(lanes) > 5
    for mapping, wires in (
        (mapping_of(SourceKind.KINESIS, lanes=2), [put(PartitionKey=str(n)) for n in range(20)]),
        (mapping_of(SourceKind.DYNAMODB, lanes=2), [change(Keys={"id": {"S": str(n)}}) for n in range(20)]),
    ):
        assert {record.lane for record in make_records(wires, mapping, SHARD, 0)} == {0, 1}
    assert {made(change(Keys={"id": {"S": str(n)}}), DYNAMODB).lane for n in range(9)} == {0}
    assert 0 <= made(change(Keys={"id": {"S": "\ud800"}}), dynamodb).lane < 10


# --- the event ---

CALL = WindowCall(1607497440, 1607497560, {"1": 282})


def test_the_event() -> None:
    """KIN-1, DDB-1: the records and nothing beside them."""
    for mapping, wire in ((KINESIS, put()), (DYNAMODB, change())):
        records = make_records([wire, wire], mapping, SHARD, 0)
        event = stream_event(batch_of(records), mapping, SHARD)
        assert event == {"Records": [shown(record, mapping) for record in records]}


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("mapping", "wire"), [(KINESIS, put()), (DYNAMODB, change())])
def test_the_event_of_a_window(final: bool, early: bool, mapping: EventSourceMapping, wire: JsonObject) -> None:
    """TMB-2: these fields beside the records, in this order."""
    call = WindowCall(CALL.start, CALL.end, CALL.state, final, early)
    record = made(wire, mapping)
    assert list(stream_event(batch_of([record], call), mapping, SHARD).items()) == [
        ("Records", [shown(record, mapping)]),
        ("window", {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"}),
        ("state", {"1": 282}),
        ("shardId", SHARD),
        ("eventSourceARN", mapping.arn.text),
        ("isFinalInvokeForWindow", final),
        ("isWindowTerminatedEarly", early),
    ]


def test_the_final_event_has_no_records() -> None:
    """TMB-8, OPEN-16: an empty list, and the state whole, however large it is (TMB-6)."""
    state = {"x": "y" * 1_500_000}
    event = stream_event(batch_of([], WindowCall(0, 60, state, final=True, early=True)), KINESIS, SHARD)
    assert (event["Records"], event["state"]) == ([], state)


@pytest.mark.parametrize(
    "state", [{}, {"1": 282}, {"ä": ['"', 1.5, None, True]}, {"long": 2**70}, {"odd": "\ud800"}]
)
@pytest.mark.parametrize(("mapping", "wire"), [(KINESIS, put()), (DYNAMODB, change())])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_bytes_of_an_event(
    state: JsonObject, mapping: EventSourceMapping, wire: JsonObject, count: int
) -> None:
    """BAT-2: overhead, records and commas are all there is, the state included."""
    records = make_records([wire] * count, mapping, SHARD, 0)
    around = event_size([record.size for record in records]) - EVENT_OVERHEAD
    for call in (None, WindowCall(0, 900, state, final=True)):
        event = stream_event(batch_of(records, call), mapping, SHARD)
        assert event_overhead(call, mapping, SHARD) + around == len(serialise(event))
        assert call is None or event["state"] == state
    assert event_overhead(None, mapping, SHARD) == EVENT_OVERHEAD


@pytest.mark.parametrize(
    ("mapping", "wire"),
    [(KINESIS, put()), (DYNAMODB, change()), (DYNAMODB, change(NewImage={"x": {"S": "\ud800"}}))],
)
def test_a_function_that_writes_into_its_event_changes_no_retry(
    mapping: EventSourceMapping, wire: JsonObject
) -> None:
    """BAT-6, TMB-3: the next attempt shows records and state as they were, to the last level."""
    call = WindowCall(0, 60, {"sums": {"a": [1]}})
    batch = batch_of(make_records([wire], mapping, SHARD, 0), call)
    event = stream_event(batch, mapping, SHARD)
    before = copy.deepcopy(event)

    def spoil(value: Any) -> None:
        for inner in list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()):
            spoil(inner)
        if isinstance(value, dict | list):
            value.clear()

    spoil(event)
    assert event == {}
    assert stream_event(batch, mapping, SHARD) == before
