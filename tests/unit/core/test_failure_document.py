"""The failure document, field for field (DST-2 to DST-13, TMB-10), its S3 object and the key of that."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from poller.core.failure_document import document_key, failure_document, s3_object
from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings
from poller.core.model import (
    BatchTrigger,
    FunctionError,
    InvocationResult,
    JsonObject,
    NotInvoked,
    SourceKind,
    Succeeded,
    Throttled,
)
from poller.core.records import TRIM_HORIZON, Discard, DiscardReason, Record, StreamBatch, WindowCall
from poller.core.stream_payload import iso_seconds, make_records, stream_event

UUID = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
SHARD = "shardId-000000000001"
STREAM = "arn:aws:kinesis:us-east-2:123456789012:stream/mystream"
TABLE = "arn:aws:dynamodb:us-east-2:123456789012:table/t/stream/2019-06-10T19:26:16.525"
FUNCTION = "arn:aws:lambda:us-east-2:123456789012:function:myfunction"
FIRST = "49601189658422359378836298521827638475320189012309704722"
LAST = "49601189658422359378836298522902373528957594348623495186"


def mapping_of(kind: SourceKind, arn: str) -> EventSourceMapping:
    return EventSourceMapping(
        uuid=UUID,
        name="m",
        source=kind,
        arn=SourceArn(arn, "aws", "us-east-2", "123456789012", "mystream"),
        function_name="myfunction",
        function_arn=FUNCTION,
        stream=StreamSettings(TRIM_HORIZON),
    )


KINESIS = mapping_of(SourceKind.KINESIS, STREAM)
DYNAMODB = mapping_of(SourceKind.DYNAMODB, TABLE)


def record_of(sequence: str, arrived_at: float) -> Record:
    return Record(sequence, 0, 0, arrived_at, 9, {})


RECORDS = (
    record_of(FIRST, 1573691884.835),
    *[record_of(str(int(FIRST) + n), 1573691885.0) for n in range(1, 499)],
    record_of(LAST, 1573691885.58),
)


def discard_of(
    result: InvocationResult | None = None,
    reason: DiscardReason = DiscardReason.RETRIES,
    records: tuple[Record, ...] = RECORDS,
    call: WindowCall | None = None,
    **changes: Any,
) -> Discard:
    batch = StreamBatch(3, 0, records, BatchTrigger.SIZE, 0.0, 9, call=call)
    given: dict[str, Any] = {
        "number": 1,
        "batch": batch,
        "reason": reason,
        "at": 1573691886.021,
        "invocations": 1,
        "result": result,
        "request_id": "c9b8fa9f-5a7f-4b3e-af9c-0c604cde93a5",
    }
    return Discard(**given | changes)


CRASHED = FunctionError("ValueError", "no")


def test_the_document_of_kinesis() -> None:
    """DST-2, DST-3, DST-5, DST-9: this document, these fields, in this order, and nothing of the records."""
    document = failure_document(discard_of(CRASHED), KINESIS, SHARD)
    expected = f"""{{
      "requestContext": {{
        "requestId": "c9b8fa9f-5a7f-4b3e-af9c-0c604cde93a5",
        "functionArn": "{FUNCTION}",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1
      }},
      "responseContext": {{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}},
      "version": "1.0",
      "timestamp": "2019-11-14T00:38:06.021Z",
      "KinesisBatchInfo": {{
        "shardId": "{SHARD}",
        "startSequenceNumber": "{FIRST}",
        "endSequenceNumber": "{LAST}",
        "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
        "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
        "batchSize": 500,
        "streamArn": "{STREAM}"
      }}
    }}"""
    assert orjson.dumps(document) == orjson.dumps(orjson.loads(expected))


def test_the_document_of_dynamodb() -> None:
    """DST-2, DST-3: the same but for the name of its batch information and whole seconds of arrival."""
    records = (record_of("800000000003126276362", 1573690399.0), record_of("800000000003126276399", 1573690400.9))
    document = failure_document(discard_of(CRASHED, records=records), DYNAMODB, SHARD)
    assert list(document) == ["requestContext", "responseContext", "version", "timestamp", "DDBStreamBatchInfo"]
    assert document["timestamp"] == "2019-11-14T00:38:06.021Z"
    assert list(document["DDBStreamBatchInfo"].items()) == [
        ("shardId", SHARD),
        ("startSequenceNumber", "800000000003126276362"),
        ("endSequenceNumber", "800000000003126276399"),
        ("approximateArrivalOfFirstRecord", "2019-11-14T00:13:19Z"),
        ("approximateArrivalOfLastRecord", "2019-11-14T00:13:20Z"),
        ("batchSize", 2),
        ("streamArn", TABLE),
    ]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (1573691886.021, "2019-11-14T00:38:06.021Z"),
        (1573691886.0, "2019-11-14T00:38:06.000Z"),
        (1573691886, "2019-11-14T00:38:06.000Z"),
        (1573691886.9996, "2019-11-14T00:38:06.999Z"),
        (1577836799.5, "2019-12-31T23:59:59.500Z"),
    ],
)
def test_times_of_kinesis_always_have_milliseconds(at: float, text: str) -> None:
    """DST-3: three digits and Z, in the timestamp and for both arrivals."""
    document = failure_document(discard_of(at=at, records=(record_of("1", at),)), KINESIS, SHARD)
    info = document["KinesisBatchInfo"]
    times = document["timestamp"], info["approximateArrivalOfFirstRecord"], info["approximateArrivalOfLastRecord"]
    assert times == (text, text, text)


def test_milliseconds_are_not_off_by_one() -> None:
    """DST-3: what was read as a number with three digits is written with the same three."""
    for milliseconds in range(1_573_691_886_000, 1_573_691_887_000):
        document = failure_document(discard_of(at=milliseconds / 1000), KINESIS, SHARD)
        assert document["timestamp"].endswith(f".{milliseconds % 1000:03}Z")


@pytest.mark.parametrize(
    ("reason", "condition"),
    [(DiscardReason.RETRIES, "RetryAttemptsExhausted"), (DiscardReason.AGE, "RecordAgeExceeded")],
)
def test_the_condition(reason: DiscardReason, condition: str) -> None:
    """DST-4: one of these two words, plain text."""
    document = failure_document(discard_of(CRASHED, reason), KINESIS, SHARD)
    assert document["requestContext"]["condition"] == condition
    assert type(document["requestContext"]["condition"]) is str
    assert set(DiscardReason) == {"RetryAttemptsExhausted", "RecordAgeExceeded"}


def test_the_function_is_the_one_that_was_configured() -> None:
    """DST-5: with the qualifier that the mapping has, and without one if it has none."""
    for arn in (FUNCTION, FUNCTION + ":live", FUNCTION + ":$LATEST"):
        document = failure_document(discard_of(CRASHED), replace(KINESIS, function_arn=arn), SHARD)
        assert document["requestContext"]["functionArn"] == arn


@pytest.mark.parametrize(
    ("result", "error", "version"),
    [
        (FunctionError("E", "m"), "Unhandled", "$LATEST"),
        (FunctionError("E", "m", timed_out=True, executed_version="7"), "Unhandled", "7"),
        (FunctionError("E", "m", handled=True, executed_version="7"), "Handled", "7"),
        (Succeeded(b'{"batchItemFailures":[{"itemIdentifier":"1"}]}', "7"), None, "7"),
        (None, "Unhandled", "$LATEST"),
    ],
)
@pytest.mark.parametrize("invocations", [1, 4])
def test_the_response_context(
    result: InvocationResult | None, error: str | None, version: str, invocations: int
) -> None:
    """DST-6, PBR-26: after an invocation that failed, was partly a failure, or took its process with it."""
    document = failure_document(discard_of(result, invocations=invocations), KINESIS, SHARD)
    assert list(document["responseContext"].items()) == [
        ("statusCode", 200),
        ("executedVersion", version),
        ("functionError", error),
    ]
    assert list(document)[:2] == ["requestContext", "responseContext"]


@pytest.mark.parametrize("result", [None, CRASHED, Succeeded(b"1"), Throttled("no room"), NotInvoked("gone")])
@pytest.mark.parametrize(
    ("reason", "oversize", "invocations"),
    [
        (DiscardReason.AGE, False, 0),
        (DiscardReason.AGE, False, 8),
        (DiscardReason.AGE, True, 3),
        (DiscardReason.RETRIES, True, 3),
    ],
)
def test_no_response_context(
    result: InvocationResult | None, reason: DiscardReason, oversize: bool, invocations: int
) -> None:
    """DST-7, ERR-8: for age, whatever came before, and for a record that is too large; no key at all."""
    discard = discard_of(result, reason, oversize=oversize, invocations=invocations)
    document = failure_document(discard, KINESIS, SHARD)
    assert list(document) == ["requestContext", "version", "timestamp", "KinesisBatchInfo"]


@pytest.mark.parametrize("result", [Throttled("no room"), NotInvoked("gone"), None])
def test_no_response_context_without_an_invocation(result: InvocationResult | None) -> None:
    """DST-6: where no function ran there is nothing to tell of it."""
    assert "responseContext" not in failure_document(discard_of(result, invocations=0), KINESIS, SHARD)


@pytest.mark.parametrize(("invocations", "count"), [(0, 1), (1, 1), (2, 2), (4, 4)])
@pytest.mark.parametrize("reason", list(DiscardReason))
def test_the_invoke_count(invocations: int, count: int, reason: DiscardReason) -> None:
    """DST-8, OPEN-2: invocations of this batch, and never 0."""
    document = failure_document(discard_of(CRASHED, reason, invocations=invocations), KINESIS, SHARD)
    assert document["requestContext"]["approximateInvokeCount"] == count


def test_the_document_of_one_record() -> None:
    """DST-13: a batch of its own, first and last at once."""
    record = record_of("7", 1573691884.835)
    info = failure_document(discard_of(CRASHED, records=(record,)), KINESIS, SHARD)["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("7", "7", 1)
    assert info["approximateArrivalOfFirstRecord"] == info["approximateArrivalOfLastRecord"]


def test_a_request_id_is_always_there() -> None:
    """DST-2, DST-32: records that never were invoked get one; the same again, and another one for others."""

    def made_up(sequence: str, shard: str = SHARD, records: int = 1) -> str:
        given = tuple(record_of(sequence, 1.0) for _ in range(records))
        discard = discard_of(None, DiscardReason.AGE, given, invocations=0, request_id="")
        return str(failure_document(discard, KINESIS, shard)["requestContext"]["requestId"])

    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made_up("1"))
    assert made_up("1") == made_up("1")
    assert len({made_up("1"), made_up("2"), made_up("1", "shardId-2"), made_up("", records=0)}) == 4


def test_the_consumer_of_a_stream() -> None:
    """KIN-5: streamArn is the ARN that is the source, a consumer's too."""
    consumer = mapping_of(SourceKind.KINESIS, f"{STREAM}/consumer/c:1545084650")
    document = failure_document(discard_of(CRASHED), consumer, SHARD)
    assert document["KinesisBatchInfo"]["streamArn"] == f"{STREAM}/consumer/c:1545084650"


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("mapping", "key"), [(KINESIS, "KinesisBatchInfo"), (DYNAMODB, "DDBStreamBatchInfo")])
def test_the_document_of_a_final_invocation(early: bool, mapping: EventSourceMapping, key: str) -> None:
    """TMB-10: the window, and batch information with shard and stream only."""
    call = WindowCall(1607497440, 1607497560, {"secret": 1}, final=True, early=early)
    document = failure_document(discard_of(CRASHED, records=(), call=call), mapping, SHARD)
    assert list(document) == [
        "requestContext",
        "responseContext",
        "version",
        "timestamp",
        key,
        "timeWindowInfo",
    ]
    assert list(document[key].items()) == [("shardId", SHARD), ("streamArn", mapping.arn.text)]
    assert list(document["timeWindowInfo"].items()) == [
        ("window", {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"}),
        ("isFinalInvokeForWindow", True),
        ("isWindowTerminatedEarly", early),
    ]


def test_records_of_a_window_have_the_usual_document() -> None:
    """TMB-10: only the final invocation's names the window."""
    call = WindowCall(1607497440, 1607497560, {})
    discard = discard_of(CRASHED, call=call)
    plain = failure_document(replace(discard, batch=replace(discard.batch, call=None)), KINESIS, SHARD)
    assert failure_document(discard, KINESIS, SHARD) == plain


def test_the_key_of_the_object() -> None:
    """DST-11: date and second in UTC, those of the document's timestamp."""
    unique = "8a8f7e64-5d6c-4c0e-9a44-0bd24a3e4a5e"
    key = document_key(KINESIS, SHARD, 1573691886.021, unique)
    assert key == f"aws/lambda/{UUID}/{SHARD}/2019/11/14/2019-11-14T00.38.06-{unique}"
    for at in (1577836799.9996, 1577836799.9999999, 1577836800.0, 1573600000):
        timestamp = failure_document(discard_of(at=at), KINESIS, SHARD)["timestamp"]
        second = document_key(KINESIS, SHARD, at, "u").split("/")[-1]
        assert second == timestamp[:19].replace(":", ".") + "-u"
        assert document_key(KINESIS, SHARD, at, "u").split("/")[4:7] == timestamp[:10].split("-")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine far from Greenwich."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-11:30")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("mapping", [KINESIS, DYNAMODB], ids=["kinesis", "dynamodb"])
def test_times_are_utc_wherever_the_machine_stands(mapping: EventSourceMapping) -> None:
    """DST-2, DST-3, DST-11, TMB-2."""
    document = failure_document(discard_of(at=1573691886.021), mapping, SHARD)
    assert document["timestamp"] == "2019-11-14T00:38:06.021Z"
    assert "/2019/11/14/2019-11-14T00.38.06-" in document_key(mapping, SHARD, 1573691886.021, "u")
    assert iso_seconds(1573691886.021) == "2019-11-14T00:38:06Z"


@pytest.mark.parametrize("data", ["SGVsbG8=", 'quote " and \\ and ä', "\ud800"])
def test_the_object(data: str) -> None:
    """DST-10: the document, and the whole event as text that parses back to it."""
    wire: JsonObject = {
        "SequenceNumber": "7",
        "PartitionKey": "k",
        "Data": data,
        "ApproximateArrivalTimestamp": 1573691884.835,
    }
    records = make_records([wire], KINESIS, SHARD, 0)
    discard = discard_of(CRASHED, records=tuple(records))
    document = failure_document(discard, KINESIS, SHARD)
    event = stream_event(discard.batch, KINESIS, SHARD)
    read = json.loads(s3_object(document, event))
    assert list(read) == [*document, "payload"]
    payload = read.pop("payload")
    assert read == document
    assert isinstance(payload, str)
    assert json.loads(payload) == event
    assert "payload" not in document


def test_the_document_is_small() -> None:
    """DST-12, DST-9: whatever the batch, far below what a queue or a topic takes."""
    records = (record_of("9" * 129, 1.0),) * 10_000
    document = failure_document(discard_of(CRASHED, records=records), KINESIS, SHARD)
    assert len(orjson.dumps(document)) < 2_000
