"""What a failure document asks to be done again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from poller.core.failed_batch import FailedBatch, documents_in, read_failure
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.records import Record
from poller.core.replay import (
    Unclaimed,
    batches_of,
    choose_mapping,
    event_of,
    find_records,
    once,
    payload_records,
    shortened,
)
from poller.core.stream_payload import make_records
from tests.unit.core.stream_machine import key_in

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


def failed(*arguments: Any, **more: Any) -> FailedBatch:
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
    assert read.condition == "RetryAttemptsExhausted"


def test_the_longest_numbers_are_read() -> None:
    """STR-28: of 129 digits."""
    read = read_failure(document("9" * 128, "9" * 129))
    assert isinstance(read, FailedBatch)
    assert (read.first, read.last) == ("9" * 128, "9" * 129)
    assert isinstance(read_failure(document("1", "9" * 130)), str)


def test_the_last_call_of_a_window_had_no_records() -> None:
    """TMB-10: neither range nor number; half of a range is none."""
    told = document()
    info = told["KinesisBatchInfo"]
    final = read_failure({**told, "KinesisBatchInfo": {key: info[key] for key in ("shardId", "streamArn")}})
    assert isinstance(final, FailedBatch)
    assert (final.first, final.last, final.count) == ("", "", 0)
    for end in ("startSequenceNumber", "endSequenceNumber"):
        half = {key: value for key, value in info.items() if key != end}
        assert isinstance(read_failure({**told, "KinesisBatchInfo": half}), str)


@pytest.mark.parametrize("key", ["streamArn", "shardId"])
@pytest.mark.parametrize("value", [None, "", 5, ["x"]])
def test_a_document_names_its_stream_and_shard(key: str, value: Any) -> None:
    """DST-2: in words."""
    told = document()
    broken = {**told, "KinesisBatchInfo": {**told["KinesisBatchInfo"], key: value}}
    assert read_failure(broken) == "this failure document names no stream or no shard"


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
    with pytest.raises(ValueError, match="line 2 begins"):
        list(documents_in("\n}"))
    assert len(list(documents_in("[" * 500 + "]" * 500))) == 1


def test_the_mapping_is_that_of_the_stream_and_of_several_that_of_the_function() -> None:
    """DST-5. Another function's is nobody's until a mapping is asked for; that gets none known to be another's."""
    one, two = mapping(), mapping("other")
    other_name = replace(failed(), function_arn="arn:aws:lambda:us-east-1:1:function:then")
    assert choose_mapping([one, two], failed(), None) is one
    assert choose_mapping([two], other_name, None) == Unclaimed(
        f"it names another function, {other_name.function_arn}; --mapping other takes it all the same",
        "other",
    )
    assert choose_mapping([two], other_name, "other") is two
    assert "it names no function" in str(choose_mapping([two], replace(failed(), function_arn=""), None))
    around = [mapping(name, EventSourceArn=STREAM.replace("clicks", name)) for name in ("alike", "zeal")]
    assert choose_mapping([*around, one], failed(), None) is one
    assert "no mapping reads its stream" in str(choose_mapping(around, failed(), None))
    assert choose_mapping([one, mapping("cliques")], other_name, "clicks") is one
    twins = [mapping(), replace(mapping("twin"), function_arn=mapping().function_arn)]
    assert "--mapping: clicks, twin" in str(choose_mapping(twins, failed(), None))
    neighbours = [mapping(name) for name in ("able", "zoo")]
    assert choose_mapping([*neighbours, one], failed(), None) is one
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


LEFT, OWN, RIGHT = (key_in(lane, 10) for lane in (3, 5, 7))


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        ((OWN, LEFT, OWN, RIGHT, OWN), ["10", "12", "14"]),
        ((OWN, LEFT, LEFT, RIGHT, OWN), []),
        ((LEFT, OWN, "out", OWN, OWN), []),
        ((RIGHT, OWN, OWN, LEFT, OWN), []),
        ((OWN, OWN, OWN, RIGHT, OWN), []),
    ],
)
def test_a_batch_has_both_ends_and_as_many_as_the_document_tells_of(
    keys: tuple[str, ...], taken: list[str]
) -> None:
    """DST-14, STR-40: fewer or more, or an end of another lane, is another batch than that."""
    lanes = mapping(ParallelizationFactor=10)
    batch = found(records(*keys, of=lanes), lanes, failed())
    assert [record.sequence for record in batch.records] == taken
    assert bool(batch.problem) is not bool(taken)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_range_that_is_its_batch(count: int, whole: bool) -> None:
    """DST-14: to the last record, also where there are none but the ends."""
    batch = found(records(*"a" * count), mapping(), failed("10", str(9 + count), count), whole=whole)
    assert (len(batch.records), batch.problem) == (count, "")


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
    short = payload_records(failed(count=3, payload=json.dumps(payload)))
    assert short == "its payload has 2 records, and it tells of 3"
    for place in (0, 1):
        broken = [{} if n == place else one for n, one in enumerate(event["Records"])]
        told = payload_records(failed(count=2, payload=json.dumps({"Records": broken})))
        assert told == f"record {place + 1} of the payload has no sequence number"


def test_a_shorter_document_tells_the_rest_only() -> None:
    """DST-2, DST-3: in the same form, all else as it was."""
    left = shortened(failed(), records("a", "a", first=13))
    info = left["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("13", "14", 2)
    assert info["approximateArrivalOfFirstRecord"] == "1970-01-01T00:16:53.123Z"
    assert {**left, "KinesisBatchInfo": 0} == {**document(), "KinesisBatchInfo": 0}
    assert isinstance(read_failure(left), FailedBatch)
    three = [record._replace(arrived_at=2000.5 + record.offset / 8) for record in records("a", "a", "a", first=20)]
    info = shortened(failed(), three)["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("20", "22", 3)
    assert info["approximateArrivalOfFirstRecord"] == "1970-01-01T00:33:20.500Z"
    info = shortened(failed(), three[2:])["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("22", "22", 1)
    assert info["approximateArrivalOfFirstRecord"] == "1970-01-01T00:33:20.750Z"


def test_a_shorter_document_has_the_payload_of_the_rest_only() -> None:
    """DST-10: and its first arrival as it was, which no payload's record tells."""
    event = event_of(failed(), mapping(), tuple(records("a", "b", "c")))
    stored = failed(payload=json.dumps(event))
    again = payload_records(stored)
    assert not isinstance(again, str)
    left = shortened(stored, again[1:])
    assert json.loads(left["payload"]) == {"Records": event["Records"][1:]}
    assert left["KinesisBatchInfo"]["approximateArrivalOfFirstRecord"] == "2026-01-01T00:00:00.000Z"
    assert left["KinesisBatchInfo"]["batchSize"] == 2


def test_an_attempt_that_somebody_watches_decides_nothing() -> None:
    """ERR-5, ERR-20: it is neither halved nor given up, whatever the mapping would do."""
    settings = once(mapping(BisectBatchOnFunctionError=True, MaximumRetryAttempts=2)).stream
    assert settings is not None
    assert (settings.bisect, settings.retries) == (False, None)


def sizes(batches: Sequence[Sequence[Record]]) -> list[int]:
    return [len(batch) for batch in batches]


def test_a_document_of_too_many_records_is_cut_by_batch_size() -> None:
    """BAT-1: fetched records and a payload's alike, in order; a document of one batch stays one."""
    some = tuple(records(*"abcde"))
    stored = failed("10", "14", 5, payload=json.dumps(event_of(failed(), mapping(), some)))
    for batch, given in ((failed(), some), (stored, as_stored(stored))):
        for most, expected in ((2, [2, 2, 1]), (5, [5]), (100, [5])):
            cut = batches_of(batch, mapping(BatchSize=most), given)
            assert sizes(cut) == expected
            assert sum(cut, ()) == given


@pytest.mark.parametrize("over", [0, 1])
def test_records_of_a_document_make_no_event_above_the_limit(over: int) -> None:
    """BAT-2: of just its size one is allowed, and it has that size to the byte."""
    first, second = (
        stored_record(10, 3_000_000),
        stored_record(11, 6_291_456 - len('{"Records":[,]}') - 3_000_000 + over),
    )
    fetched = tuple(one._replace(size=len(json_bytes(one.source))) for one in (first, second))
    assert sizes(batches_of(failed(), mapping(), fetched)) == ([1, 1] if over else [2])
    batch = failed("10", "11", 2, payload=json_bytes({"Records": [first.source, second.source]}).decode())
    assert sizes(batches_of(batch, mapping(), as_stored(batch))) == ([1, 1] if over else [2])


def test_what_else_a_payload_has_counts_too() -> None:
    """BAT-2, DST-10: it is sent again with all of its fields."""
    room = 6_291_456 - len('{"Records":[,],"more":""}') - 3_000_000
    for more, expected in ((0, [2]), (1, [1, 1])):
        shown = [stored_record(10, 3_000_000).source, stored_record(11, room).source]
        batch = failed("10", "11", 2, payload=json_bytes({"Records": shown, "more": "m" * more}).decode())
        assert sizes(batches_of(batch, mapping(), as_stored(batch))) == expected


def test_a_record_that_is_too_large_is_alone() -> None:
    """ERR-8: it stops none of those around it."""
    large = tuple(one._replace(size=size) for one, size in zip(records(*"abc"), (9, 7_000_000, 9), strict=True))
    assert batches_of(failed(), mapping(), large) == tuple((one,) for one in large)


def test_a_windows_end_is_one_invocation() -> None:
    """TMB-8, TMB-10: whatever it has: its state is given once, and what has no records is invoked at all."""
    window = {"window": {"start": "a", "end": "b"}, "isFinalInvokeForWindow": True}
    end = failed(payload=json.dumps({"Records": [], **window}))
    assert batches_of(end, mapping(BatchSize=2), ()) == ((),)
    no_window = failed(payload=json.dumps({"Records": []}))
    assert batches_of(no_window, mapping(BatchSize=2), ()) == ((),)
    assert batches_of(end, mapping(BatchSize=2), some := tuple(records(*"abc"))) == (some,)


def stored_record(number: int, size: int) -> Record:
    """One of a payload that has just this size."""
    shown: dict[str, Any] = {"kinesis": {"sequenceNumber": str(number), "data": ""}}
    shown["kinesis"]["data"] = "A" * (size - len(json_bytes(shown)))
    return Record(str(number), 0, 0, 0.0, 0, shown)


def as_stored(batch: FailedBatch) -> tuple[Record, ...]:
    of = payload_records(batch)
    assert not isinstance(of, str)
    return of


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
