"""What a failure document asks to be done again."""

import json
from dataclasses import replace
from typing import Any

import pytest

from poller.core.failed_batch import FailedBatch, documents_in, read_failure
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.records import Record
from poller.core.replay import (
    choose_mapping,
    event_of,
    find_records,
    in_batches,
    payload_records,
    shortened,
)
from poller.core.stream_payload import make_records

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks"
SHARD = "shardId-000000000000"


def mapping(name: str = "clicks", **more: Any) -> EventSourceMapping:
    fields = {
        "Name": name,
        "EventSourceArn": STREAM,
        "StartingPosition": "LATEST",
        "FunctionName": f"python:m:{name}",
    }
    parsed = parse_mapping(fields | more)
    assert not isinstance(parsed, Invalid), parsed
    return parsed


def document(first: str = "10", last: str = "14", count: Any = 3, **more: Any) -> dict[str, Any]:
    return {
        "requestContext": {"functionArn": mapping().function_arn, "condition": "RetryAttemptsExhausted"},
        "version": "1.0",
        "KinesisBatchInfo": {
            "shardId": SHARD, "startSequenceNumber": first, "endSequenceNumber": last,
            "approximateArrivalOfFirstRecord": "2026-01-01T00:00:00.000Z", "batchSize": count, "streamArn": STREAM,
        },
        **more,
    }  # fmt: skip


def failed(*arguments: str, **more: Any) -> FailedBatch:
    read = read_failure(document(*arguments, **more))
    assert isinstance(read, FailedBatch), read
    return read


def records(*keys: str, of: EventSourceMapping | None = None, first: int = 10) -> list[Record]:
    wires = [
        {
            "SequenceNumber": str(n),
            "PartitionKey": key,
            "Data": "e30=",
            "ApproximateArrivalTimestamp": 1000.123 + n,
        }
        for n, key in enumerate(keys, start=first)
    ]
    return make_records(wires, of or mapping(), SHARD, 0)


def found(read: list[Record], of: EventSourceMapping, batch: FailedBatch, *, whole: bool = False) -> Any:
    return find_records(read, batch, of, lambda record: record.source["PartitionKey"] != "out", whole=whole)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text,
        lambda text: text.encode(),
        lambda text: {"Type": "Notification", "Message": text},
        lambda text: json.dumps({"TopicArn": "t", "Message": text}),
        lambda text: {"Sns": {"Message": text}},
        lambda text: {"Body": json.dumps({"Type": "Notification", "Message": text})},
    ],
)
def test_a_document_is_known_in_every_envelope(wrap: Any) -> None:
    """DST-2."""
    read = read_failure(wrap(json.dumps(document())))
    assert isinstance(read, FailedBatch)
    assert (read.stream_arn, read.shard_id, read.first, read.last, read.count) == (STREAM, SHARD, "10", "14", 3)


@pytest.mark.parametrize(
    "value",
    [
        "{", "[]", "null", {}, {"KinesisBatchInfo": {}}, b"\xff", 7,
        document("x"), document("10", ""), document("9" * 5000), document(count=0),
        document(count="3"), document(count=True),
        document(payload="{}"), document(payload=7), document(payload='{"Records": 3}'),
    ],
)  # fmt: skip
def test_what_is_no_document_is_told_in_a_sentence(value: Any) -> None:
    """DST-2, DST-10."""
    assert isinstance(read_failure(value), str)


def test_a_file_has_one_value_after_the_other() -> None:
    """As saved by hand, by `aws sqs receive-message`, or by a function."""
    messages = json.dumps({"Messages": [{"Body": "1"}, {"Body": "2"}]}, indent=1)
    event = json.dumps({"Records": [{"Sns": {"Message": "3"}}]})
    values = list(documents_in(f" {json.dumps({'a': 1})}{messages}\n\n{event}[4, [5]] "))
    assert values == [{"a": 1}, {"Body": "1"}, {"Body": "2"}, {"Sns": {"Message": "3"}}, 4, 5]
    with pytest.raises(ValueError, match="line 2 begins"):
        list(documents_in("{}\n}"))
    assert len(list(documents_in("[" * 500 + "]" * 500))) == 1


def test_the_mapping_is_that_of_the_stream_and_of_several_that_of_the_function() -> None:
    """DST-5. The mapping that is asked for gets no document that is known to be another's."""
    one, two = mapping(), mapping("other")
    other_name = replace(failed(), function_arn="arn:aws:lambda:us-east-1:1:function:then")
    assert choose_mapping([one, two], failed(), None) is one
    assert choose_mapping([two], other_name, None) is two
    assert choose_mapping([one, two], other_name, "other") is two
    assert "--mapping: clicks, other" in str(choose_mapping([one, two], other_name, None))
    assert "it is of the mapping clicks" in str(choose_mapping([one, two], failed(), "other"))
    assert "no mapping reads its stream" in str(choose_mapping([one], replace(failed(), stream_arn="x"), None))


def test_between_the_ends_only_the_lane_and_what_passes_counts() -> None:
    """DST-14, STR-40, STR-28: and what was read beyond the range is not of it."""
    lanes = mapping(ParallelizationFactor=10)
    read = records("before", "a", "b", "a", "out", "a", "a", of=lanes, first=9)
    batch = found(read, lanes, failed())
    assert [record.sequence for record in batch.records] == ["10", "12", "14"]
    assert not batch.problem
    whole = found(read, lanes, failed(), whole=True)
    assert [record.sequence for record in whole.records] == ["10", "11", "12", "14"]
    assert not whole.problem
    changed = found(records("before", "a", "b", "a", "out", "a", "a", first=9), mapping(), failed())
    assert not changed.records
    assert "--whole-range (4 records)" in changed.problem


@pytest.mark.parametrize("keys", [("a", "out", "out", "out", "a"), ("a", "b", "b", "b", "out")])
def test_a_whole_range_that_the_filter_takes_from_is_not_all_of_the_document(keys: tuple[str, ...]) -> None:
    """DST-14: a document's records have passed the filter, so another filter than then has taken some of them."""
    whole = found(records(*keys), mapping(), failed(), whole=True)
    assert len(whole.records) == sum(key != "out" for key in keys)
    assert "not all of the 3" in whole.problem


@pytest.mark.parametrize("there", [slice(1, 5), slice(0, 4), slice(2, 3), slice(0, 0)])
def test_what_has_been_trimmed_is_told_and_nothing_taken_for_the_batch(there: slice) -> None:
    """STR-25: with the whole range what is left may be handled, and the document is known not to be done."""
    read = records("a", "a", "a", "a", "a")[there]
    short = found(read, mapping(), failed(count=len(read) or 3))
    assert not short.records
    assert f"{len(read)} of the range are still there" in short.problem
    whole = found(read, mapping(), failed(), whole=True)
    assert list(whole.records) == read
    assert whole.problem


def test_the_event_is_the_daemons_and_the_payloads() -> None:
    """DST-10, BAT-6: each time anew, with what is left of it."""
    read = tuple(records("a", "b"))
    event = event_of(failed(), mapping(), read)
    assert [one["kinesis"]["partitionKey"] for one in event["Records"]] == ["a", "b"]
    payload = {"Records": event["Records"], "window": {"start": "s"}, "state": {"n": 2**70}}
    payload["isFinalInvokeForWindow"] = True
    stored = failed(count=2, payload=json.dumps(payload))
    again = payload_records(stored)
    assert not isinstance(again, str)
    assert [one.sequence for one in again] == ["10", "11"]
    assert event_of(stored, mapping(), again) == payload
    rest = event_of(stored, mapping(), again[1:])
    rest["Records"][0].clear()
    assert event_of(stored, mapping(), again[1:])["Records"] == event["Records"][1:]
    assert "no sequence number" in str(payload_records(failed(count=1, payload='{"Records": [{}]}')))


def test_a_shorter_document_tells_the_rest_only() -> None:
    """DST-2, DST-3: in the same form, all else as it was."""
    left = shortened(failed(), records("a", "a", first=13))
    info = left["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("13", "14", 2)
    assert info["approximateArrivalOfFirstRecord"] == "1970-01-01T00:16:53.123Z"
    assert {**left, "KinesisBatchInfo": 0} == {**document(), "KinesisBatchInfo": 0}
    assert isinstance(read_failure(left), FailedBatch)


def test_a_whole_range_is_handled_in_batches_of_the_mapping() -> None:
    """BAT-2: in order, at most BatchSize, and no event above the limit."""
    few = records("a", "b", "c")
    assert [len(batch) for batch in in_batches(few, mapping(BatchSize=2), SHARD)] == [2, 1]
    large = [record._replace(size=3_000_000) for record in records(*"abcde")]
    batches = list(in_batches(large, mapping(), SHARD))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [record for batch in batches for record in batch] == large
