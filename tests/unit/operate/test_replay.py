"""What becomes of a failure document and of its records: places in memory, a handler in this process."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from poller.clock import SystemClock
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.model import JsonObject, SourceProblem
from poller.errors import SourceError
from poller.operate.borrowed import Borrowed
from poller.operate.failures import BucketPlace, FilePlace, QueuePlace
from poller.operate.replay import Replay, Replayed
from poller.settings import Settings
from poller.sources import Sources, opened_sources
from poller.testing import ManualClock
from tests.unit.operate.queues import TestedQueue

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks"
SHARD = "shardId-000000000000"
WINDOW = {"window": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:02:00Z"}, "state": {"n": 1}}
seen: list[JsonObject] = []


def function(event: JsonObject, context: Any) -> Any:
    """Fails where a record or the state says so; of several it reports the bad ones."""
    seen.append(event)
    if event.get("state", {}).get("bad"):
        raise ValueError("broken")
    bad = [one["kinesis"]["sequenceNumber"] for one in event["Records"] if one["kinesis"]["partitionKey"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in bad], "state": {}}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    seen.clear()


@pytest.fixture
async def sources(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sources]:
    async with opened_sources(Settings()) as opened:
        yield opened


def mapping(**more: Any) -> EventSourceMapping:
    parsed = parse_mapping(
        {
            "EventSourceArn": STREAM,
            "StartingPosition": "LATEST",
            "FunctionName": "python:tests.unit.operate.test_replay:function",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            **more,
        }
    )
    assert not isinstance(parsed, Invalid), parsed
    return parsed


def shown(*keys: str, first: int = 10) -> list[JsonObject]:
    return [
        {"kinesis": {"sequenceNumber": str(number), "partitionKey": key}}
        for number, key in enumerate(keys, start=first)
    ]


def document(records: list[JsonObject], count: int | None = None, **event: Any) -> JsonObject:
    """As S3 has it; without records that of a window's end (TMB-10)."""
    info: JsonObject = {"shardId": SHARD, "streamArn": STREAM}
    if records:
        first, last = (records[end]["kinesis"]["sequenceNumber"] for end in (0, -1))
        info |= {"startSequenceNumber": first, "endSequenceNumber": last, "batchSize": count or len(records)}
    payload = json.dumps({"Records": records, **event})
    return {
        "requestContext": {"functionArn": mapping().function_arn},
        "KinesisBatchInfo": info,
        "payload": payload,
    }


class Bucket:
    """ports.FailureBucket in memory; `faults` are the errors of keys that cannot be read."""

    def __init__(self, *documents: JsonObject) -> None:
        self.objects = {f"k{n}": json.dumps(one).encode() for n, one in enumerate(documents)}
        self.faults: dict[str, SourceProblem] = {}

    async def keys(self, prefix: str, after: str) -> tuple[str, ...]:
        """Two a page."""
        return tuple(sorted(key for key in {*self.objects, *self.faults} if key > after))[:2]

    async def get(self, key: str) -> bytes:
        if key in self.faults:
            problem = self.faults[key]
            raise SourceError(problem, f"no {key}", "NoSuchKey" if problem is SourceProblem.MISSING else "")
        return self.objects[key]

    async def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    async def delete(self, key: str) -> None:
        del self.objects[key]


async def replayed(
    sources: Sources, place: Any, of: EventSourceMapping | None = None, **how: Any
) -> list[Replayed]:
    how = {"name": None, "dry": False, "keep": False, "whole": False} | how
    async with AsyncExitStack() as stack:
        return [one async for one in Replay(sources, [of or mapping()], stack, **how).run(place)]


async def test_a_windows_end_that_fails_again_keeps_its_document(sources: Sources) -> None:
    """TMB-9, TMB-10: it has no records, and its document is all that there is of the window's state."""
    end = document([], **WINDOW | {"state": {"bad": True}, "isFinalInvokeForWindow": True})
    bucket = Bucket(end)
    (one,) = await replayed(sources, BucketPlace(bucket, ""))
    assert len(seen) == 1
    assert (one.fate, one.detail) == ("left", "ValueError: broken")
    assert bucket.objects


async def test_a_windows_end_is_replayed(sources: Sources) -> None:
    """TMB-8, TMB-10."""
    bucket = Bucket(document([], **WINDOW | {"isFinalInvokeForWindow": True}))
    (one,) = await replayed(sources, BucketPlace(bucket, ""))
    assert (one.fate, seen[0]["state"], bucket.objects) == ("done", {"n": 1}, {})


async def test_the_middle_of_a_window_is_left(sources: Sources) -> None:
    """TMB-3: the state that the function returned would be lost, and the document with it."""
    bucket = Bucket(document(shown("a"), **WINDOW | {"isFinalInvokeForWindow": False}))
    (one,) = await replayed(sources, BucketPlace(bucket, ""))
    assert (one.fate, len(bucket.objects), seen) == ("left", 1, [])
    assert "poller invoke --event" in one.detail


async def test_a_payload_with_other_than_the_documents_records_is_left(sources: Sources) -> None:
    """DST-10: what is missing in it would be forgotten."""
    bucket = Bucket(document(shown("a"), count=2))
    (one,) = await replayed(sources, BucketPlace(bucket, ""))
    assert (one.fate, len(bucket.objects), seen) == ("left", 1, [])
    assert "1 records" in one.detail


async def test_a_document_is_replayed_in_batches_of_the_mapping(sources: Sources) -> None:
    """BAT-1, DST-10: what had expired together may be more than one invocation takes."""
    bucket = Bucket(document(shown(*["a"] * 5)))
    (one,) = await replayed(sources, BucketPlace(bucket, ""), mapping(BatchSize=2))
    assert [event["Records"] for event in seen] == [
        shown("a", "a"), shown("a", "a", first=12), shown("a", first=14),
    ]  # fmt: skip
    assert (one.fate, one.done, one.left, bucket.objects) == ("done", 5, 0, {})


async def test_of_a_document_in_batches_all_from_the_first_failure_on_stays(sources: Sources) -> None:
    """PBR-22, DST-10: in its document, with its payload; what comes behind it was not tried."""
    bucket = Bucket(document(shown("a", "a", "a", "bad", "a", "a", "a")))
    (one,) = await replayed(sources, BucketPlace(bucket, ""), mapping(BatchSize=2))
    assert [len(event["Records"]) for event in seen] == [2, 2, 1]
    assert (one.fate, one.done, one.left) == ("partly done", 3, 4)
    (left,) = map(json.loads, bucket.objects.values())
    assert json.loads(left["payload"])["Records"] == shown("bad", "a", "a", "a", first=13)
    assert left["KinesisBatchInfo"]["batchSize"] == 4


async def test_objects_that_cannot_be_read_stop_nothing(sources: Sources) -> None:
    """One that went meanwhile is none; of one that S3 refuses it is told; all others are handled."""
    bucket = Bucket(*[document(shown("a", first=10 * n)) for n in range(1, 4)])
    bucket.faults = {"k0a": SourceProblem.MISSING, "k1a": SourceProblem.DENIED}
    told = await replayed(sources, BucketPlace(bucket, ""))
    assert [(one.name, one.fate) for one in told] == [
        ("k0", "done"), ("k1", "done"), ("k1a", "left"), ("k2", "done"),
    ]  # fmt: skip
    bucket.faults = {"k0": SourceProblem.UNREACHABLE}
    with pytest.raises(SourceError):
        await replayed(sources, BucketPlace(bucket, ""))


@pytest.mark.parametrize("keep", [False, True])
async def test_what_is_kept_is_changed_in_no_way(sources: Sources, keep: bool) -> None:
    """PBR-22: with --keep neither a partial response nor a success touches the object."""
    documents = [document(shown("a", "bad")), document(shown("a", first=20))]
    bucket = Bucket(*documents)
    fates = [one.fate for one in await replayed(sources, BucketPlace(bucket, ""), keep=keep)]
    assert fates == ["partly done", "done"]
    assert (bucket.objects == Bucket(*documents).objects) == keep
    if not keep:
        (left,) = (json.loads(body) for body in bucket.objects.values())
        assert left["KinesisBatchInfo"] | {"batchSize": 0} == {
            "shardId": SHARD, "streamArn": STREAM,
            "startSequenceNumber": "11", "endSequenceNumber": "11", "batchSize": 0,
        }  # fmt: skip


async def test_a_long_run_over_a_queue_ends_with_its_last_document(sources: Sources) -> None:
    """SQS-9: what was left, and is shown again because its time is over, hides no document behind it."""
    clock = ManualClock()
    queue = TestedQueue(clock, seconds=2)
    for _ in range(9):
        queue.send_now("no document")
    queue.send_now(json.dumps(document(shown("a"))))
    told = await replayed(sources, QueuePlace(queue, Borrowed(queue, 6), 10))
    assert [one.fate for one in told] == ["left"] * 9 + ["done"]
    assert queue.bodies() == ["no document"] * 9


async def test_what_is_left_of_a_document_is_sent_before_it_goes(sources: Sources) -> None:
    """PBR-22: and is not taken up by the run that wrote it."""
    queue = TestedQueue(SystemClock())
    queue.send_now(json.dumps(document(shown("a", "bad"))))
    (one,) = await replayed(sources, QueuePlace(queue, Borrowed(queue, 60), 1))
    assert (one.fate, one.done, one.left, queue.order) == ("partly done", 1, 1, ["send", "delete"])
    (left,) = map(json.loads, queue.bodies())
    assert json.loads(left["payload"])["Records"] == shown("bad", first=11)


async def test_a_document_that_is_out_of_our_hands_is_not_removed(sources: Sources) -> None:
    """Its time was over before it was handled: somebody else may have it."""
    queue = TestedQueue(SystemClock())
    queue.send_now(json.dumps(document(shown("a"))))
    queue.fake.faults.fail_entries("ChangeMessageVisibilityBatch", [0])
    (one,) = await replayed(sources, QueuePlace(queue, Borrowed(queue, 60), 1))
    assert (one.fate, seen, len(queue.bodies())) == ("left", [], 1)
    assert "out of our hands" in one.detail


async def test_a_document_of_another_function_is_left_until_its_mapping_is_named(sources: Sources) -> None:
    """DST-5: a queue of documents may have those of functions that nobody here knows."""
    text = document(shown("a"))
    text["requestContext"]["functionArn"] = "arn:aws:lambda:us-east-1:123456789012:function:others"
    (left,) = await replayed(sources, FilePlace("f", [text]))
    assert (left.fate, left.done, left.taker, seen) == ("left", 0, mapping().name, [])
    (done,) = await replayed(sources, FilePlace("f", [text]), name=mapping().name)
    assert (done.fate, done.taker) == ("done", "")


async def test_damaged_documents_are_told_of_one_by_one(sources: Sources) -> None:
    """DST-2: none ends the run, whatever is in it."""
    good = document(shown("a"))
    long = document(shown("a"))
    long["KinesisBatchInfo"]["startSequenceNumber"] = "9" * 5_000
    strange = [None, 7, "", "[" * 100_000, {"payload": 1}, long, {**good, "payload": "{}"}, [good]]
    told = await replayed(sources, FilePlace("f", [*strange, good]))
    assert [one.fate for one in told] == ["left"] * len(strange) + ["done"]
