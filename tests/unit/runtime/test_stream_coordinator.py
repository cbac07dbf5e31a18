"""The life of a stream's mapping: its shards begin, end, crash and rest, and the store knows all the while."""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any

import pytest

from poller.core import discovery, pace, stream_saving
from poller.core.leases import ended, new_lease, progress_of, taken, with_progress
from poller.core.mapping import DestinationArn, DestinationKind, HandlerSettings
from poller.core.messages import Request
from poller.core.model import FunctionError, SourceKind, SourceProblem
from poller.core.records import Head, Position, PositionKind, Progress, Shard, after
from poller.core.stream_consumer import StreamConsumer
from poller.core.stream_messages import LeaseLost
from poller.errors import DestinationError, SourceError, StoreError
from poller.runtime import coordinator as coordinator_module
from poller.runtime import stream_coordinator, stream_shards
from poller.runtime.stream_driver import StreamDriver
from tests.unit.runtime.rig import DEADLINE, OK, turns, until
from tests.unit.runtime.stream_rig import (
    Store,
    StreamHands,
    StreamInMemory,
    StreamLife,
    Takes,
    gone,
    stream_mapping,
)

LATEST = Position(PositionKind.LATEST)
DEAD = DestinationArn("arn:aws:sqs:us-east-1:000000000000:dead", DestinationKind.SQS, "us-east-1", "0", "dead")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits longer than it must."""
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        monkeypatch.setitem(pace._IDLE, kind, 0.005)
        monkeypatch.setitem(pace._BEHIND, kind, 0.001)
    monkeypatch.setattr(pace, "delay", lambda *_: 0.005)
    monkeypatch.setattr(stream_saving, "SAVE_EVERY", 0.005)
    monkeypatch.setattr(stream_saving, "delay", lambda *_: 0.005)
    for module in (coordinator_module, stream_coordinator, stream_shards):
        monkeypatch.setattr(module, "delay", lambda *_: 0.005)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are listed all the time."""
    monkeypatch.setattr(discovery, "KINESIS_LOOK", 0.01)
    monkeypatch.setattr(discovery, "CONFIRM_LOOK", 0.01)


@pytest.fixture
def states(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "poller")

    def read() -> list[str]:
        return [record.state.value for record in caplog.records if getattr(record, "state", None)]

    return read


async def stopped(life: StreamLife) -> None:
    """As it should be: every handler has ended, every row of its own is released, no task is left."""
    life.coordinator.request(Request.STOP)
    await life.ended()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert life.coordinator.abandoned == 0
    for row in life.store._apps["uuid-of-clicks"].values():
        assert row.owner != life.worker


async def killed(life: StreamLife) -> None:
    """As by `kill -9`: nothing more is written."""
    life.coordinator.task.cancel()
    await asyncio.wait([life.coordinator.task])
    await turns()


# --- reading and remembering ---


async def test_str_31_a_restart_goes_on_where_the_last_run_was():
    """STR-31, STR-14: the position counts, StartingPosition does not."""
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", *"ab")
    stream.put("shard-01", *"cd")
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    await life.seen(*"abcd")
    await stopped(life)
    stream.put("shard-00", "e")
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    await life.seen("e")
    await stopped(life)
    assert store.row("shard-01").checkpoint == stream.shards["shard-01"].records[-1]["SequenceNumber"]


async def test_str_30_the_position_passes_nothing_that_is_not_resolved():
    """STR-30, GEN-2: cut off with a handler at work, it is delivered again."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    life = StreamLife(stream, store).start()
    await until(lambda: life.hands.running, "the invocation")
    await killed(life)
    assert store.row("shard-00").checkpoint == "TRIM_HORIZON"
    assert life.coordinator.abandoned == 1
    life = StreamLife(stream, store, hands=StreamHands(OK), worker="the next one").start()
    await life.seen("a")
    await stopped(life)


async def test_a_row_of_an_earlier_worker_is_taken_at_once():
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store, worker="first").start().enabled()
    await until(lambda: store.row("shard-00").owner == "first", "the row")
    await killed(life)
    life = await StreamLife(stream, store, worker="second").start().enabled()
    await until(lambda: store.row("shard-00").owner == "second", "the row")
    await stopped(life)


async def test_err_33_a_document_goes_out_before_the_position_passes():
    """ERR-33, DST-2: with the id of the last request, and the event for S3 beside it."""
    stream, store, takes = StreamInMemory(), Store(), Takes()
    stream.put("shard-00", "a")
    mapping = stream_mapping(retries=0, destination=DEAD)
    hands = StreamHands(FunctionError("ValueError", "planted"))
    life = StreamLife(stream, store, mapping, hands=hands, destination=takes).start()
    await until(lambda: takes.documents, "the document")
    (told,) = takes.documents
    assert told.document["requestContext"]["requestId"] == "request-1"
    assert told.document["KinesisBatchInfo"]["shardId"] == "shard-00"
    assert told.event["Records"][0]["kinesis"]["partitionKey"] == "a"
    assert told.key.startswith("aws/lambda/uuid-of-clicks/shard-00/")
    await until(lambda: store.moved("shard-00"), "the position")
    await stopped(life)


async def test_dst_30_a_destination_that_refuses_holds_nothing_up():
    """DST-30: dropped after its tries."""
    stream, store, takes = StreamInMemory(), Store(), Takes(DestinationError("planted: no"))
    stream.put("shard-00", "a")
    hands = StreamHands(FunctionError("ValueError", "planted"))
    mapping = stream_mapping(retries=0, destination=DEAD)
    life = StreamLife(stream, store, mapping, hands=hands, destination=takes).start()
    await until(lambda: store.moved("shard-00"), "the position")
    assert len(takes.documents) == 1
    await stopped(life)


# --- LATEST ---


async def test_str_11_latest_is_pinned_before_the_mapping_is_enabled(states: Any):
    """STR-11: a first read that fails keeps it in Creating, and is the first attempt's problem."""
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", "old")
    stream.failing["iterator"] = [gone(SourceProblem.DENIED)]
    stream.hold = asyncio.Event()
    life = StreamLife(stream, store, stream_mapping(LATEST), hands=StreamHands(OK)).start()
    error = await asyncio.wait_for(asyncio.shield(life.coordinator.first_attempt), DEADLINE)
    assert isinstance(error, SourceError)
    assert error.problem is SourceProblem.DENIED
    await until(lambda: stream.reading == 2, "both reads")
    assert states() == ["Creating"]
    assert {row.checkpoint for row in await store.rows("uuid-of-clicks")} == {"LATEST"}
    assert store.row("shard-00").start is not None
    stream.put("shard-00", "new")
    stream.hold.set()
    await life.enabled()
    stream.put("shard-01", "newer")
    await life.seen("new", "newer")
    await stopped(life)
    assert stream.asked("iterator").count("shard-00 LATEST") >= 1


async def test_str_11_after_a_restart_latest_is_the_pinned_time():
    """STR-11: what was written while nothing ran is not skipped."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "old")
    stream.now += 60
    life = await StreamLife(stream, store, stream_mapping(LATEST), hands=StreamHands(OK)).start().enabled()
    await killed(life)
    stream.put("shard-00", "meanwhile")
    life = StreamLife(stream, store, stream_mapping(LATEST), hands=StreamHands(OK)).start()
    await life.seen("meanwhile")
    await stopped(life)
    assert stream.asked("iterator")[0] == "shard-00 LATEST"
    assert stream.asked("iterator")[-1] == "shard-00 AT_TIMESTAMP"


async def test_api_9_a_mapping_that_begins_disabled_reads_from_its_beginning_on(states: Any):
    """API-9, STR-11: LATEST is that of the day of its creation, not of the day on which it was enabled."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "old")
    stream.now += 60
    mapping = stream_mapping(LATEST, enabled=False)
    life = StreamLife(stream, store, mapping, hands=StreamHands(OK)).start()
    await until(lambda: life.state == "Disabled", "the state")
    stream.put("shard-00", "a")
    await turns()
    assert stream.asked("iterator") == []
    life.coordinator.resume()
    await life.seen("a")
    await stopped(life)
    assert states() == ["Creating", "Disabled", "Enabling", "Enabled"]


async def test_str_11_paused_before_the_place_was_found(states: Any):
    """STR-11, API-8: resumed it goes by the pinned time, not by the newest record of then."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "old")
    stream.now += 60
    stream.hold = asyncio.Event()
    life = StreamLife(stream, store, stream_mapping(LATEST), hands=StreamHands(OK)).start()
    await until(lambda: stream.reading, "the first read")
    await life.coordinator.pause()
    assert life.state == "Disabled"
    await until(lambda: not stream.reading, "the end of it")
    stream.put("shard-00", "a")
    stream.hold = None
    life.coordinator.resume()
    await life.seen("a")
    await stopped(life)
    assert states() == ["Creating", "Disabled", "Enabling", "Enabled"]


async def test_a_stop_after_a_pause_before_the_place_was_found_releases_the_row():
    """API-8, STR-11: the next worker need not wait, and goes by the pinned time."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "old")
    stream.now += 60
    stream.hold = asyncio.Event()
    life = StreamLife(stream, store, stream_mapping(LATEST)).start()
    await until(lambda: stream.reading, "the first read")
    pinned = store.row("shard-00").start
    await life.coordinator.pause()
    await stopped(life)
    assert (store.row("shard-00").owner, store.row("shard-00").start) == (None, pinned)


async def test_str_11_stopped_before_the_place_was_found(states: Any):
    """STR-11: it was never Enabled."""
    stream, store = StreamInMemory(), Store()
    stream.hold = asyncio.Event()
    life = StreamLife(stream, store, stream_mapping(LATEST)).start()
    await until(lambda: stream.reading, "the first read")
    await stopped(life)
    assert states() == ["Creating"]
    assert life.coordinator.first_attempt.result() is None


# --- the end of a shard ---


async def test_str_2_a_child_waits_for_all_parents():
    """STR-2: until the last record of each is resolved, not merely read."""
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", "a")
    stream.put("shard-01", "b")
    (child,) = stream.close("shard-00", "shard-01")
    stream.put(child, "c")
    life = StreamLife(stream, store).start()
    await until(lambda: len(life.hands.running) == 2, "both parents")
    life.hands.end(OK)
    await until(
        lambda: sum(row.ended_at is not None for row in store._apps["uuid-of-clicks"].values()) == 1, "one"
    )
    await turns()
    assert sorted(life.hands.seen) == ["a", "b"]
    life.hands.end(OK)
    await until(lambda: life.hands.seen[-1] == "c", "the child")
    life.hands.end(OK)
    await stopped(life)


@pytest.mark.parametrize("tells", [True, False])
async def test_str_2_a_merged_child_waits_for_a_parent_that_nobody_has_listed_yet(tells: bool):
    """STR-2, STR-3: a split, then a merge of a child of it, since the last look: the parent that has neither a row
    nor was listed is not taken for trimmed.
    """
    stream, store = StreamInMemory(2), Store()
    stream.tells_children = tells
    stream.put("shard-00", "a")
    stream.put("shard-01", "b")
    life = StreamLife(stream, store).start()
    await until(lambda: len(life.hands.running) == 2, "both")
    (between,) = stream.close("shard-00")
    stream.put(between, "c")
    (merged,) = stream.close(between, "shard-01")
    stream.put(merged, "d")
    life.hands.end(OK, place=life.hands.seen.index("b"))
    await until(lambda: store.row("shard-01").ended_at is not None, "the end of the one")
    await turns()
    assert merged in store._apps["uuid-of-clicks"]
    assert sorted(life.hands.seen) == ["a", "b"]
    for name in ("c", "d"):
        life.hands.end(OK)
        await until(lambda name=name: life.hands.seen[-1] == name, name)
    life.hands.end(OK)
    await stopped(life)
    assert life.hands.seen[2:] == ["c", "d"]


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("tells", [True, False])
async def test_str_6_children_that_were_not_known_get_their_rows_before_the_end_of_the_parent(tells: bool):
    """STR-4, STR-6: whether the page names them or not; and they begin at their oldest record."""
    stream, store = StreamInMemory(), Store()
    stream.tells_children = tells
    life = await StreamLife(stream, store, stream_mapping(LATEST), hands=StreamHands(OK)).start().enabled()
    stream.put("shard-00", "a")
    left, right = stream.close("shard-00", children=2)
    stream.put(left, "b")
    stream.put(right, "c")
    await life.seen("a", "b", "c")
    await stopped(life)
    names = [(what, lease.key, lease.checkpoint == "SHARD_END") for what, lease in store.writes]
    end = names.index(("swap", "shard-00", True))
    assert {("create", left, False), ("create", right, False)} <= set(names[:end])
    assert store.row("shard-00").children == (left, right)
    assert store.row("shard-00").owner is None


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(9))
async def test_a_crash_at_any_write_of_a_split_loses_nothing(number: int, moment: str):
    """STR-2, STR-6, STR-31, GEN-2: whichever write is the last one, what follows reads every record, a parent
    before its children, and none a third time.
    """
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    children = stream.close("shard-00", children=2)
    for child in children:
        stream.put(child, f"of {child}")
    life = StreamLife(stream, store, hands=StreamHands(OK))
    left = number

    def cut(what: str, lease: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            life.coordinator.task.cancel()
            raise asyncio.CancelledError

    setattr(store, moment, cut)
    life.start()
    await until(lambda: life.coordinator.task.done() or len(life.hands.seen) == 3, "the cut, or the end")
    await killed(life)
    store.before = store.after = lambda *_: None
    again = StreamLife(stream, store, hands=StreamHands(OK), worker="the next one").start()
    await until(lambda: len(set(life.hands.seen + again.hands.seen)) == 3, "all")
    seen = life.hands.seen + again.hands.seen
    assert seen[0] == "a"
    await until(lambda: store.row("shard-00").ended_at is not None, "the parent's end")
    assert max(seen.count(name) for name in seen) <= 2
    assert again.hands.seen.count("a") <= 1
    if "a" in again.hands.seen:
        assert again.hands.seen[0] == "a"
    await stopped(again)


async def test_str_30_the_end_of_a_shard_is_written_while_nobody_can_say_what_follows_it():
    """STR-30, GEN-2: once, however often the source is asked; and so it is there when the process is killed."""
    stream, store = StreamInMemory(), Store()
    stream.tells_children = False
    stream.put("shard-00", *"ab")
    stream.close("shard-00")
    stream.failing["children"] = [gone(SourceProblem.UNREACHABLE) for _ in range(10_000)]
    life = StreamLife(stream, store, stream_mapping(batch_size=2), hands=StreamHands(OK)).start()
    last = stream.shards["shard-00"].records[-1]["SequenceNumber"]
    await until(lambda: len(stream.asked("children")) > 5, "several questions")
    assert store.row("shard-00").checkpoint == last
    writes = len(store.writes)
    asked = len(stream.asked("children"))
    await until(lambda: len(stream.asked("children")) > asked + 3, "more questions")
    assert len(store.writes) == writes
    await killed(life)
    stream.failing.clear()
    life = StreamLife(stream, store, hands=StreamHands(OK), worker="the next one").start()
    await until(lambda: store.row("shard-00").checkpoint == "SHARD_END", "the end")
    assert life.hands.seen == []
    await stopped(life)


async def test_str_30_a_stop_while_nobody_can_say_what_follows_a_shard_releases_its_row():
    """STR-30, API-8: at its last position, and the next worker need not wait; also where that could not be written
    before.
    """
    stream, store = StreamInMemory(), Store()
    stream.tells_children = False
    stream.put("shard-00", "a")
    stream.failing["children"] = [gone(SourceProblem.UNREACHABLE) for _ in range(10_000)]
    away = True

    def fail(what: str, lease: Any) -> None:
        if away and lease.checkpoint.isdecimal():
            raise StoreError("planted: the disk is full")

    store.before = fail
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    await life.seen("a")
    stream.close("shard-00")
    await until(lambda: stream.asked("children"), "the question")
    away = False
    await stopped(life)
    assert store.row("shard-00").checkpoint == stream.shards["shard-00"].records[-1]["SequenceNumber"]


async def test_gen_4_a_shard_whose_row_is_somebody_elses_at_its_end_is_left_alone():
    """GEN-4: the source is not asked for ever what follows it."""
    stream, store = StreamInMemory(), Store()
    stream.tells_children = False
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    shards = life.coordinator._shards
    assert shards is not None
    stream.put("shard-00", "a")
    await until(lambda: store.moved("shard-00"), "the position")
    stream.failing["children"] = [gone(SourceProblem.UNREACHABLE) for _ in range(10_000)]
    theirs = taken(store.row("shard-00"), "somebody else", "their tenure")
    store.poke(theirs)
    stream.close("shard-00")
    await until(lambda: shards.idle, "the end of it")
    assert len(stream.asked("children")) == 1
    assert store.row("shard-00").owner == "somebody else"
    life.coordinator.request(Request.STOP)
    await life.ended()


async def test_str_2_children_whose_creation_had_no_answer_are_read_at_once(caplog: Any):
    """STR-2, STR-6: they need not be listed anew; nor is another shard's child forgotten over it."""
    stream, store = StreamInMemory(2), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    looks = len(stream.asked("list_shards"))
    left = 1

    def fail(what: str, lease: Any) -> None:
        nonlocal left
        if what == "create" and left:
            left -= 1
            raise StoreError("planted: no answer")

    store.after = fail
    for parent, name in (("shard-00", "a"), ("shard-01", "b")):
        (child,) = stream.close(parent)
        stream.put(child, name)
    await life.seen("a", "b")
    assert "planted: no answer" in caplog.text
    assert len(stream.asked("list_shards")) == looks
    await stopped(life)


async def test_a_store_that_is_away_at_the_end_of_a_shard_is_asked_until_it_answers(caplog: Any):
    """STR-2: told, and the children wait."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    (child,) = stream.close("shard-00")
    stream.put(child, "b")
    failures = 3

    def fail(what: str, lease: Any) -> None:
        nonlocal failures
        if lease.ended_at is not None and lease.key == "shard-00" and failures:
            failures -= 1
            raise StoreError("planted: the disk is full")

    store.before = fail
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    await life.seen("a", "b")
    assert failures == 0
    assert "planted: the disk is full" in caplog.text
    await stopped(life)


# --- the row ---


async def test_a_row_that_somebody_else_has_written_is_left_alone():
    """GEN-4: nothing more of the shard is delivered or written; the others go on."""
    stream, store = StreamInMemory(2), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    stream.put("shard-00", "a")
    stream.put("shard-01", "b")
    await until(lambda: all(store.moved(f"shard-0{n}") for n in (0, 1)), "positions")
    theirs = taken(store.row("shard-00"), "somebody else", "their tenure")
    store.poke(theirs)
    stream.put("shard-00", "c")
    await until(lambda: len(life.coordinator.gauges().shards) == 1, "the end of it")
    reads = stream.asked("records").count("shard-00")
    stream.put("shard-00", "d")
    stream.put("shard-01", "e")
    await until(lambda: "e" in life.hands.seen, "the other's record")
    assert store.row("shard-00").owner == "somebody else"
    assert store.row("shard-00").checkpoint == theirs.checkpoint
    assert stream.asked("records").count("shard-00") == reads
    assert "d" not in life.hands.seen
    life.coordinator.request(Request.STOP)
    await life.ended()


@pytest.mark.usefixtures("looking")
async def test_str_1_a_shard_that_was_lost_is_not_read_again_before_its_handler_has_ended():
    """STR-1, GEN-4: whoever had its row for a moment."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    life = await StreamLife(stream, store, stream_mapping()).start().enabled()
    await until(lambda: life.hands.running, "the invocation")
    shards = life.coordinator._shards
    assert shards is not None
    shards._drivers["shard-00"].feed(LeaseLost())
    assert not shards._drivers
    looks = len(stream.asked("describe"))
    await until(lambda: len(stream.asked("describe")) > looks + 3, "some looks")
    assert life.hands.seen == ["a"]
    life.hands.end(OK)
    await until(lambda: life.hands.seen == ["a", "a"], "the record again")
    life.hands.end(OK)
    life.coordinator.request(Request.STOP)
    await life.ended()


async def test_a_write_whose_answer_was_lost_is_ours_all_the_same():
    """STR-31: the row carries our tenure."""
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    failures = 2

    def fail(what: str, lease: Any) -> None:
        nonlocal failures
        if lease.checkpoint.isdecimal() and failures:
            failures -= 1
            raise StoreError("planted: no answer")

    store.after = fail
    stream.put("shard-00", "a")
    await until(lambda: not failures, "both failures")
    stream.put("shard-00", "b")
    await life.seen("a", "b")
    last = stream.shards["shard-00"].records[-1]["SequenceNumber"]
    await until(lambda: store.row("shard-00").checkpoint == last, "the position")
    await stopped(life)


@pytest.mark.usefixtures("looking")
async def test_str_31_a_row_that_was_taken_away_by_hand_is_put_back():
    """STR-31: as we know it, so that nothing is read anew."""
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    stream.put("shard-00", "a")
    await until(lambda: store.moved("shard-00"), "the position")
    row = store._apps["uuid-of-clicks"].pop("shard-00")
    await until(lambda: "shard-00" in store._apps["uuid-of-clicks"], "the row")
    assert store.row("shard-00").checkpoint == row.checkpoint
    stream.put("shard-00", "b")
    await life.seen("a", "b")
    await stopped(life)


async def test_a_row_without_a_meaning_is_told_and_never_read_as_a_new_one():
    """STR-31: the first attempt says it, in one sentence."""
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    await stopped(life)
    store.poke(replace(store.row("shard-00"), checkpoint="nonsense"))
    stream.put("shard-00", "a")
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    error = await asyncio.wait_for(asyncio.shield(life.coordinator.first_attempt), DEADLINE)
    assert isinstance(error, StoreError)
    assert "shard-00" in str(error)
    assert "nonsense" in str(error)
    await turns()
    assert life.hands.seen == []
    life.coordinator.request(Request.STOP)
    await life.ended()


async def test_str_43_another_number_of_lanes_drops_the_heads_of_before():
    """STR-43: and every record is delivered, however the lanes were cut."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", *"abcdefgh")
    first = stream.shards["shard-00"].records[0]["SequenceNumber"]
    last = stream.shards["shard-00"].records[-1]["SequenceNumber"]
    mapping = stream_mapping(lanes=1, retries=3)
    life = await StreamLife(stream, store, mapping).start().enabled()
    await until(lambda: life.hands.running, "the invocation")
    await killed(life)
    row = store.row("shard-00")
    head = Head(0, first, last, 8, 2, 0, 1.0, running=True)
    store.poke(with_progress(row, Progress(Position(PositionKind.TRIM_HORIZON), (head,), lanes=1)))
    life = StreamLife(stream, store, stream_mapping(lanes=4, retries=3), hands=StreamHands(OK)).start()
    await life.seen(*"abcdefgh")
    await until(lambda: store.row("shard-00").checkpoint == last, "the position")
    await stopped(life)


@pytest.mark.parametrize("lasting", [True, False])
async def test_err_5_an_attempt_is_written_down_before_it_begins(lasting: bool):
    """ERR-5: where the store outlasts the process, and not as if the power might fail."""
    stream, store = StreamInMemory(), Store(lasting=lasting)
    stream.put("shard-00", "a")
    life = StreamLife(stream, store, stream_mapping(retries=3)).start()
    await until(lambda: life.hands.running, "the invocation")
    heads = progress_of(store.row("shard-00")).heads
    assert [head.running for head in heads] == ([True] if lasting else [])
    life.hands.end(OK)
    await stopped(life)


async def test_s14_a_row_that_nobody_needs_any_more_is_deleted():
    """STR-3: its shard is not listed, and has been worked off long ago."""
    stream, store = StreamInMemory(), Store()
    app = "uuid-of-clicks"
    for key, ended_at in (("old", 1.0), ("young", time.time() - 60)):
        await store.create(app, ended(new_lease(Shard(key), Position(PositionKind.TRIM_HORIZON)), ended_at))
    life = await StreamLife(stream, store).start().enabled()
    assert sorted(row.key for row in await store.rows(app)) == ["shard-00", "young"]
    await stopped(life)


# --- pause, stop, drain ---


async def test_api_8_a_pause_lets_the_handler_finish_and_saves_the_position(states: Any):
    """API-8, API-9: nothing is read meanwhile, and then it goes on where it was."""
    stream, store = StreamInMemory(2), Store()
    life = await StreamLife(stream, store).start().enabled()
    stream.put("shard-00", "a")
    await until(lambda: life.hands.running, "the invocation")
    pause = asyncio.create_task(life.coordinator.pause())
    await turns()
    assert life.state == "Disabling"
    assert not pause.done()
    life.hands.end(OK)
    async with asyncio.timeout(DEADLINE):
        await pause
    assert life.state == "Disabled"
    assert store.row("shard-00").checkpoint == stream.shards["shard-00"].records[0]["SequenceNumber"]
    reads = len(stream.asked("records"))
    stream.put("shard-00", "b")
    stream.put("shard-01", "c")
    await asyncio.sleep(0.05)  # long enough for some reads, if there were any
    assert len(stream.asked("records")) == reads
    life.coordinator.resume()
    await life.seen("a", "b", "c")
    life.hands.end(OK)
    life.hands.end(OK)
    await stopped(life)
    assert states() == ["Creating", "Enabled", "Disabling", "Disabled", "Enabling", "Enabled"]


async def test_api_8_paused_while_its_shards_begin(monkeypatch: pytest.MonkeyPatch):
    """API-8: what has not begun does not."""
    monkeypatch.setattr(stream_shards, "SPREAD", 0.02)
    monkeypatch.setattr(stream_shards, "TOGETHER", 1)
    stream, store = StreamInMemory(3), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    async with asyncio.timeout(DEADLINE):
        await life.coordinator.pause()
    shards = life.coordinator._shards
    assert shards is not None
    await until(lambda: not shards._chores, "the end of their beginning")
    reads = len(stream.asked("records"))
    for number, name in enumerate("abc"):
        stream.put(f"shard-0{number}", name)
    await asyncio.sleep(0.03)  # long enough for some reads, if there were any
    assert len(stream.asked("records")) == reads
    life.coordinator.resume()
    await life.seen("a", "b", "c")
    await stopped(life)


async def test_api_8_paused_while_a_row_is_taken_and_resumed_while_it_is_given_back():
    """API-8, API-9: it is read at once, and not only after the next look."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    life = StreamLife(stream, store, hands=StreamHands(OK))
    wishes = [Request.PAUSE, Request.RESUME]

    def wish(what: str, lease: Any) -> None:
        if what == "swap" and wishes:
            life.coordinator.request(wishes.pop(0))

    store.after = wish
    life.start()
    await life.seen("a")
    assert not wishes
    assert [row.owner for what, row in store.writes if what == "swap"][:3] == ["worker", None, "worker"]
    await stopped(life)


async def test_a_shard_that_ends_while_paused_has_its_children_read_after_the_resume():
    """API-8, STR-2."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    (child,) = stream.close("shard-00")
    stream.put(child, "b")
    life = await StreamLife(stream, store).start().enabled()
    await until(lambda: life.hands.running, "the invocation")
    pause = asyncio.create_task(life.coordinator.pause())
    await turns()
    life.hands.end(OK)
    async with asyncio.timeout(DEADLINE):
        await pause
    assert life.hands.seen == ["a"]
    life.coordinator.resume()
    await until(lambda: len(life.hands.running) == 1, "the child")
    assert life.hands.seen == ["a", "b"]
    life.hands.end(OK)
    await stopped(life)


async def test_a_stop_waits_for_the_handler_and_releases_the_rows():
    """API-8: what it was doing counts; the next worker need not wait."""
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", "a")
    life = await StreamLife(stream, store).start().enabled()
    await until(lambda: life.hands.running, "the invocation")
    life.coordinator.request(Request.STOP)
    await until(lambda: store.row("shard-01").owner is None, "the other row")
    assert not life.coordinator.task.done()
    stream.put("shard-00", "b")
    life.hands.end(OK)
    await stopped(life)
    assert store.row("shard-00").checkpoint == stream.shards["shard-00"].records[0]["SequenceNumber"]
    assert life.hands.seen == ["a"]


async def test_a_stop_does_not_wait_for_a_read():
    """Nothing is taken from a stream by reading it."""
    stream, store = StreamInMemory(), Store()
    stream.hold = asyncio.Event()
    life = await StreamLife(stream, store).start().enabled()
    await until(lambda: stream.reading, "a read")
    await stopped(life)
    assert stream.reading == 0


async def test_abandoned_records_are_counted_and_delivered_again():
    """GEN-2: near the stop deadline nobody waits for the handler."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", *"ab")
    life = StreamLife(stream, store).start()
    await until(lambda: life.hands.running, "the invocation")
    life.coordinator.request(Request.STOP)
    await turns()
    life.coordinator.request(Request.ABANDON)
    await life.ended()
    assert life.coordinator.abandoned == 2
    assert store.row("shard-00").owner is None
    life.hands.end(OK)  # it comes too late for anybody
    again = StreamLife(stream, store, hands=StreamHands(OK)).start()
    await again.seen("a", "b")
    await stopped(again)


async def test_a_stop_withdraws_what_waits_for_its_turn():
    """API-8: with one call at a time, of two shards one waits."""
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", "a")
    stream.put("shard-01", "b")
    mapping = stream_mapping(handler=HandlerSettings(timeout=5.0, concurrency=1))
    life = await StreamLife(stream, store, mapping).start().enabled()
    await until(lambda: life.hands.running, "the invocation")
    await until(
        lambda: len(life.coordinator.gauges().shards) == 2 and life.coordinator.gauges().buffered == 1, "both"
    )
    assert len(life.hands.seen) == 1
    life.coordinator.request(Request.STOP)
    await turns()
    life.hands.end(OK)
    await stopped(life)
    assert len(life.hands.seen) == 1


async def test_a_drain_reads_every_shard_to_its_newest_record():
    """STR-2: children included, and shards that end meanwhile."""
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", *"ab")
    stream.put("shard-01", "c")
    left, right = stream.close("shard-00", children=2)
    stream.put(left, "d")
    stream.put(right, "e")
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    life.coordinator.request(Request.DRAIN)
    await life.ended()
    assert sorted(life.hands.seen) == list("abcde")
    assert all(row.owner is None for row in store._apps["uuid-of-clicks"].values())
    assert life.coordinator.stats.finished


async def test_a_drain_ends_with_a_look_for_new_shards():
    """STR-6: what came since the last look is not left for the next run."""
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    new = stream.add()
    stream.put(new, "a")
    stream.failing["list_shards"] = [gone(SourceProblem.THROTTLED)]
    life.coordinator.request(Request.DRAIN)
    await life.ended()
    assert life.hands.seen == ["a"]


async def test_a_drain_of_what_has_ended_long_ago_ends_at_once():
    """STR-4."""
    stream, store = StreamInMemory(), Store()
    stream.close("shard-00", children=0)
    for _ in range(2):
        life = StreamLife(stream, store, hands=StreamHands(OK)).start()
        life.coordinator.request(Request.DRAIN)
        await life.ended()
    assert store.row("shard-00").ended_at is not None


async def test_a_drain_with_a_failing_record_goes_on_until_it_is_resolved():
    """ERR-4."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    life = StreamLife(stream, store, stream_mapping(retries=0)).start()
    life.coordinator.request(Request.DRAIN)
    await until(lambda: life.hands.running, "the invocation")
    await until(lambda: len(stream.asked("records")) > 5, "readings of the tip")
    assert not life.coordinator.task.done()
    life.hands.end(FunctionError("ValueError", "planted"))
    await life.ended()
    assert store.moved("shard-00")


# --- trouble ---


def crash(monkeypatch: pytest.MonkeyPatch, shard: str, times: int = 1) -> None:
    """The machine of one shard breaks at its next facts, then it is whole again."""
    whole = StreamConsumer.handle
    left = times

    def broken(self: StreamConsumer, *args: Any) -> Any:
        nonlocal left
        if left and self._shard == shard:
            left -= 1
            raise ZeroDivisionError("planted")
        return whole(self, *args)

    monkeypatch.setattr(StreamConsumer, "handle", broken)


async def test_gen_9_a_shard_that_crashes_is_told_counted_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: Any, states: Any
):
    """GEN-9: the others do not notice."""
    stream, store = StreamInMemory(2), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    stream.put("shard-00", "a")
    await until(lambda: store.moved("shard-00"), "the position")
    tenure = await until(lambda: store.row("shard-01").tenure, "the other row")
    crash(monkeypatch, "shard-00", times=3)
    await until(lambda: life.coordinator.stats.worker_restarts["crash"] == 3, "the crashes")
    stream.put("shard-00", "b")
    stream.put("shard-01", "c")
    await life.seen("a", "b", "c")
    assert store.row("shard-01").tenure == tenure
    assert next(one for one in caplog.records if getattr(one, "action", "") == "shard_crashed").exc_info
    await stopped(life)
    assert states() == ["Creating", "Enabled"]


async def test_gen_9_a_shard_that_cannot_begin_is_its_own_trouble(monkeypatch: pytest.MonkeyPatch):
    """GEN-9: told, counted and tried again, while the others are read."""
    whole = StreamConsumer.__init__
    left = 2

    def broken(self: StreamConsumer, mapping: Any, shard: Shard, *args: Any, **settings: Any) -> None:
        nonlocal left
        if shard.id == "shard-00" and left:
            left -= 1
            raise ZeroDivisionError("planted")
        whole(self, mapping, shard, *args, **settings)

    monkeypatch.setattr(StreamConsumer, "__init__", broken)
    stream, store = StreamInMemory(2), Store()
    stream.put("shard-00", "a")
    stream.put("shard-01", "b")
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    await life.seen("a", "b")
    assert life.coordinator.stats.worker_restarts["crash"] == 2
    assert [what for what, row in store.writes if row.key == "shard-01"].count("create") == 1
    assert store.row("shard-01").switches <= 1
    assert stream.asked("describe") == [""]
    await stopped(life)


async def crashed_shard(monkeypatch: pytest.MonkeyPatch) -> StreamLife:
    """A life whose one shard has crashed while the function has a record of it."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    life = await StreamLife(stream, store).start().enabled()
    await until(lambda: life.hands.running, "the invocation")
    crash(monkeypatch, "shard-00")
    await until(lambda: life.coordinator.stats.worker_restarts["crash"], "the crash")
    return life


@pytest.fixture
def awaited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards of which somebody waits for what the function still has."""
    whole, found = StreamDriver.quiet, []

    async def quiet(self: StreamDriver) -> None:
        found.append(self.shard_id)
        await whole(self)

    monkeypatch.setattr(StreamDriver, "quiet", quiet)
    return found


async def test_a_crashed_shard_is_not_read_before_its_handler_has_ended(
    monkeypatch: pytest.MonkeyPatch, awaited: list[str]
):
    """STR-1: else a record could overtake the one before it."""
    life = await crashed_shard(monkeypatch)
    reads = len(life.stream.asked("iterator"))
    await until(lambda: awaited or life.hands.seen != ["a"], "the wait, or what must not be")
    await turns(200)
    assert len(life.stream.asked("iterator")) == reads
    assert life.hands.seen == ["a"]
    life.hands.end(OK)
    await until(lambda: life.hands.seen == ["a", "a"], "the record again")
    life.hands.end(OK)
    await stopped(life)


async def crashed_in_a_look(caplog: Any) -> StreamLife:
    """A life that has ended its run over a bug in the look for shards, while the function has a record."""
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store).start().enabled()
    stream.put("shard-00", "a")
    await until(lambda: life.hands.running, "the invocation")
    stream.failing["describe"] = [ZeroDivisionError("planted")]
    life.coordinator._discovery.soon.set()
    await until(lambda: "crashed" in actions(caplog), "the crash")
    return life


def actions(caplog: Any) -> list[str]:
    return [getattr(one, "action", "") for one in caplog.records]


@pytest.mark.usefixtures("looking")
async def test_str_1_after_a_bug_in_a_look_nothing_is_read_before_the_handlers_have_ended(
    caplog: Any, awaited: list[str]
):
    """STR-1, GEN-2: told at once; and no deadline of a stop has passed."""
    life = await crashed_in_a_look(caplog)
    await until(lambda: awaited or life.hands.seen != ["a"], "the wait, or what must not be")
    await turns(200)
    assert life.hands.seen == ["a"]
    assert len(life.hands.running) == 1
    life.hands.end(OK)
    await until(lambda: life.hands.seen == ["a", "a"], "the record again")
    life.hands.end(OK)
    await until(lambda: life.store.moved("shard-00"), "the position")
    await stopped(life)
    assert "cut_off" not in actions(caplog)


@pytest.mark.usefixtures("looking")
async def test_str_1_after_a_shards_crash_and_a_bug_in_a_look_its_handler_is_waited_for_as_well(
    caplog: Any, monkeypatch: pytest.MonkeyPatch, awaited: list[str]
):
    """STR-1: also what nobody was reading any more."""
    life = await crashed_shard(monkeypatch)
    awaited.clear()
    life.stream.failing["describe"] = [ZeroDivisionError("planted")]
    await until(lambda: "crashed" in actions(caplog), "the other crash")
    await until(lambda: awaited or life.hands.seen != ["a"], "the wait, or what must not be")
    await turns(200)
    assert life.hands.seen == ["a"]
    life.hands.end(OK)
    await until(lambda: life.hands.seen == ["a", "a"], "the record again")
    life.hands.end(OK)
    await stopped(life)


@pytest.mark.usefixtures("looking")
async def test_api_8_a_pause_after_a_bug_in_a_look_waits_for_the_handlers(caplog: Any):
    """API-8: they run, whoever reads what they return."""
    life = await crashed_in_a_look(caplog)
    pause = asyncio.create_task(life.coordinator.pause())
    await turns(200)
    assert not pause.done()
    life.hands.end(OK)
    async with asyncio.timeout(DEADLINE):
        await pause
    assert life.state == "Disabled"
    life.coordinator.request(Request.STOP)
    await life.ended()
    assert life.hands.seen == ["a"]


async def test_api_8_a_pause_after_a_shards_crash_waits_for_its_handler(monkeypatch: pytest.MonkeyPatch):
    """API-8: it runs, whoever reads what it returns."""
    life = await crashed_shard(monkeypatch)
    pause = asyncio.create_task(life.coordinator.pause())
    await turns(200)
    assert not pause.done()
    life.hands.end(OK)
    async with asyncio.timeout(DEADLINE):
        await pause
    assert life.state == "Disabled"
    life.coordinator.request(Request.STOP)
    await life.ended()
    assert life.hands.seen == ["a"]


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("ends", [True, False])
async def test_api_8_a_stop_after_a_bug_in_a_look_waits_for_the_handlers_until_near_its_deadline(
    ends: bool, caplog: Any
):
    """API-8: a handler that never ends holds up a stop for no longer than it may."""
    life = await crashed_in_a_look(caplog)
    life.coordinator.request(Request.STOP)
    await turns(200)
    assert not life.coordinator.task.done()
    if ends:
        life.hands.end(OK)
    else:
        life.coordinator.request(Request.ABANDON)
    await life.ended()
    assert life.hands.seen == ["a"]


@pytest.mark.parametrize("ends", [True, False])
async def test_api_8_a_stop_after_a_shards_crash_waits_for_its_handler_until_near_its_deadline(
    ends: bool, monkeypatch: pytest.MonkeyPatch
):
    """API-8: a handler that never ends holds up a stop for no longer than it may."""
    life = await crashed_shard(monkeypatch)
    life.coordinator.request(Request.STOP)
    await turns(200)
    assert not life.coordinator.task.done()
    if ends:
        life.hands.end(OK)
    else:
        life.coordinator.request(Request.ABANDON)
    await life.ended()
    assert life.hands.seen == ["a"]


async def test_gen_9_a_bug_in_reading_or_saving_is_one_shards_own(monkeypatch: pytest.MonkeyPatch):
    """GEN-9."""
    stream, store = StreamInMemory(2), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    stream.failing_shards["shard-00"] = ZeroDivisionError("planted: reading")
    await until(lambda: life.coordinator.stats.worker_restarts["crash"], "the crash")
    del stream.failing_shards["shard-00"]
    before = life.coordinator.stats.worker_restarts["crash"]
    left = 1

    def bug(what: str, lease: Any) -> None:
        nonlocal left
        if left and lease.key == "shard-00" and lease.checkpoint.isdecimal():
            left -= 1
            raise ZeroDivisionError("planted: saving")

    store.before = bug
    stream.put("shard-00", "a")
    stream.put("shard-01", "b")
    await until(lambda: store.moved("shard-00"), "the position")
    assert life.coordinator.stats.worker_restarts["crash"] == before + 1
    assert life.hands.seen.count("b") == 1
    await stopped(life)


@pytest.mark.usefixtures("looking")
async def test_api_16_a_source_that_is_gone_changes_no_state_and_buffered_work_goes_on(states: Any, caplog: Any):
    """API-16, ERR-3: told; and when it is back, reading goes on."""
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store).start().enabled()
    stream.put("shard-00", "a")
    await until(lambda: life.hands.running, "the invocation")
    away = [gone() for _ in range(1000)]
    stream.failing = {name: list(away) for name in ("describe", "iterator", "records", "list_shards")}
    await until(lambda: "cannot look for new shards" in caplog.text, "the log")
    life.hands.end(OK)
    await until(lambda: store.moved("shard-00"), "the position")
    stream.failing = {}
    stream.put("shard-00", "b")
    await life.seen("a", "b")
    life.hands.end(OK)
    await stopped(life)
    assert states() == ["Creating", "Enabled"]


async def test_api_16_a_stream_that_cannot_be_had_is_tried_until_it_can(states: Any):
    """API-16, CFG-41."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    error = gone()
    stream.failing["describe"] = [error, gone()]
    stream.failing["list_shards"] = [gone(SourceProblem.THROTTLED)]
    life = StreamLife(stream, store, hands=StreamHands(OK), answers=(StoreError("planted: locked"),)).start()
    await life.seen("a")
    assert str(life.coordinator.first_attempt.result()) == "planted: locked"
    await stopped(life)
    assert states() == ["Creating", "Enabled"]


async def test_a_stream_that_is_being_made_is_waited_for():
    """STR-11: LATEST is pinned as soon as there is something to pin."""
    stream, store = StreamInMemory(0), Store()
    facts = stream.facts
    stream.facts = replace(facts, status="CREATING", reading=False)
    life = StreamLife(stream, store, stream_mapping(LATEST), hands=StreamHands(OK)).start()
    error = await asyncio.wait_for(asyncio.shield(life.coordinator.first_attempt), DEADLINE)
    assert "CREATING" in str(error)
    stream.facts = facts
    await until(lambda: len(stream.asked("list_shards")) > 1, "looks")
    assert life.state == "Creating"
    key = stream.add()
    await life.enabled()
    stream.put(key, "a")
    await life.seen("a")
    await stopped(life)


@pytest.mark.usefixtures("looking")
async def test_a_stream_that_was_made_anew_is_read_from_its_start(caplog: Any):
    """STR-3: its shards have the ids of the former ones, and other records."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    await until(lambda: store.moved("shard-00"), "the position")
    stream.shards.clear()
    stream.generation += 1
    stream.add()
    stream.put("shard-00", "b")
    await life.seen("a", "b")
    last = stream.shards["shard-00"].records[-1]["SequenceNumber"]
    await until(lambda: store.row("shard-00").checkpoint == last, "the position")
    assert "made anew" in caplog.text
    await stopped(life)


async def test_a_bug_of_the_mappings_own_starts_all_of_it_again(monkeypatch: pytest.MonkeyPatch, states: Any):
    """GEN-2: from the rows, and the state stays what it was."""
    stream, store = StreamInMemory(2), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    stream.put("shard-00", "a")
    await until(lambda: store.moved("shard-00"), "the position")
    shards = life.coordinator._shards
    assert shards is not None

    async def bug() -> None:
        raise ZeroDivisionError("planted")

    shards._tasks.create_task(bug())
    await until(lambda: life.coordinator._shards not in {None, shards}, "the restart")
    stream.put("shard-00", "b")
    stream.put("shard-01", "c")
    await life.seen("a", "b", "c")
    assert life.coordinator.stats.worker_restarts["crash"] == 1
    await stopped(life)
    assert states() == ["Creating", "Enabled"]


async def test_positions_are_those_of_after_the_row():
    """STR-24: the iterator of a restart is AFTER_SEQUENCE_NUMBER of what was resolved."""
    stream, store = StreamInMemory(), Store()
    stream.put("shard-00", "a")
    life = StreamLife(stream, store, hands=StreamHands(OK)).start()
    await until(lambda: store.moved("shard-00"), "the position")
    await stopped(life)
    assert after(store.row("shard-00").checkpoint).kind is PositionKind.AFTER
    stream.calls.clear()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    await until(lambda: stream.asked("iterator"), "an iterator")
    assert stream.asked("iterator") == ["shard-00 AFTER_SEQUENCE_NUMBER"]
    await stopped(life)


async def test_a_shard_whose_end_is_written_unheard_is_not_lost_when_a_child_shows_up_meanwhile(caplog: Any):
    """STR-4: the write that is tried again is the same one."""
    caplog.set_level(logging.INFO, "poller")
    stream, store = StreamInMemory(), Store()
    stream.tells_children = False
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    listed, failures = stream.children, 1

    async def late(shard_id: str) -> tuple[Any, ...]:
        return await listed(shard_id) if not failures else ()

    def fail(what: str, lease: Any) -> None:
        nonlocal failures
        if lease.checkpoint == "SHARD_END" and failures:
            failures -= 1
            raise StoreError("planted: no answer")

    stream.children, store.after = late, fail  # type: ignore[method-assign]
    stream.close("shard-00")

    def told() -> set[str]:
        return {getattr(record, "action", "") for record in caplog.records}

    await until(lambda: told() & {"shard_ended", "lease_lost"}, "the end")
    assert "lease_lost" not in told()
    await stopped(life)


@pytest.mark.usefixtures("looking")
async def test_a_row_of_a_shard_that_has_ended_is_put_back_by_nobody():
    """STR-31: only what is being written is ours to keep; else rows could never be cleaned up."""
    stream, store = StreamInMemory(), Store()
    life = await StreamLife(stream, store, hands=StreamHands(OK)).start().enabled()
    (child,) = stream.close("shard-00")
    stream.put(child, "a")
    await life.seen("a")
    looks = len(stream.asked("list_shards"))
    await until(lambda: len(stream.asked("list_shards")) > looks + 1, "a look that began after its end")
    del store._apps["uuid-of-clicks"]["shard-00"]
    looks = len(stream.asked("list_shards"))
    await until(lambda: len(stream.asked("list_shards")) > looks + 2, "two more looks")
    assert list(store._apps["uuid-of-clicks"]) == [child]
    await stopped(life)
