"""The machine of a shard with tumbling windows (TMB)."""

import orjson
import pytest

from poller.core.messages import Request
from poller.core.model import InvocationResult, SourceKind, Succeeded
from poller.core.payload import EVENT_LIMIT
from poller.core.records import DiscardReason, Head, Progress, WindowCall, WindowState, after
from poller.core.stream_messages import Discarded, Finished, Invoke, Save, SendDocument, Settled
from poller.core.stream_payload import stream_event
from poller.core.stream_reading import BELIEVED
from poller.core.tumbling import STATE_LIMIT
from tests.unit.core.stream_machine import (
    BOOM,
    BUSY,
    CHILD,
    OK,
    QUEUE,
    SHARD,
    Rig,
    change,
    state,
    wall,
    wire,
    wires,
)

START, END = int(wall(0.0)), int(wall(100.0))
LARGE = {"s": "x" * STATE_LIMIT}
MIB = 1024 * 1024


def windowed(**fields: object) -> Rig:
    return Rig(**{"tumbling_window": 100, **fields})


def call_of(rig: Rig) -> WindowCall:
    """How the window is invoked by what runs."""
    call = rig.runs[0].batch.call
    assert call is not None
    return call


def closing(**fields: object) -> Rig:
    """The last call of the first window runs; a record of the second waits."""
    rig = windowed(**fields)
    rig.at(110.0).bring(*wires(1, 2, at=10.0), *wires(3, at=105.0))
    assert rig.running == [[1, 2]]
    rig.end(state({"n": 2}))
    assert rig.running == [[]]
    return rig


def test_state_from_call_to_call() -> None:
    """TMB-1, TMB-2, TMB-3: empty at first, then what was returned; the window is that of arrival."""
    rig = windowed(batch_size=1)
    rig.at(10.0).bring(*wires(1, 2, at=5.0))
    assert call_of(rig) == WindowCall(START, END, {})
    event = stream_event(rig.runs[0].batch, rig.mapping, SHARD.id)
    assert (event["state"], event["shardId"], event["isFinalInvokeForWindow"]) == ({}, SHARD.id, False)
    rig.end(state({"n": 1}))
    assert rig.running == [[2]]
    assert call_of(rig) == WindowCall(START, END, {"n": 1})


def test_a_failed_call_gets_the_same_state_again() -> None:
    """TMB-3, TMB-5: also where it returned none."""
    rig = windowed(batch_size=1)
    rig.bring(*wires(1, 2))
    rig.end(state({"n": 1}))
    for result in (BOOM, OK, BUSY):
        assert call_of(rig) == WindowCall(START, END, {"n": 1})
        rig.end(result)
        assert rig.one(Settled).succeeded == 0
        rig.until(Invoke)
        assert rig.running == [[2]]


def test_a_batch_is_cut_at_the_boundary() -> None:
    """TMB-4, TMB-7, TMB-8: the record of a later window ends the one before: a last call, without records."""
    rig = closing()
    assert call_of(rig) == WindowCall(START, END, {"n": 2}, final=True)
    event = stream_event(rig.runs[0].batch, rig.mapping, SHARD.id)
    assert (event["Records"], event["isFinalInvokeForWindow"]) == ([], True)
    rig.end(OK)
    assert rig.running == [[3]]
    assert call_of(rig) == WindowCall(END, END + 100, {})
    assert rig.one(Settled).succeeded == 0


def test_state_and_position_are_one_write() -> None:
    """TMB-8, TMB-12: neither is ahead of the other."""
    rig = windowed(batch_size=1, saving=False)
    rig.bring(*wires(1, 2))
    rig.end(state({"n": 1}))
    kept = WindowState(START, END, {"n": 1}, wall(0.0))
    assert rig.one(Save).progress == Progress(after("1"), (), kept, 1)
    rig.saved()
    rig.end(state({"n": 2}))
    rig.until(Save)
    assert rig.one(Save).progress.window == WindowState(START, END, {"n": 2}, wall(0.0))


def test_the_end_of_a_window_is_written() -> None:
    """TMB-8: after the last call the state is gone, also when no position moves with it."""
    rig = closing(saving=False)
    rig.saved()
    assert rig.row.window is not None
    rig.at(120.0).end(OK)
    assert rig.one(Save).progress == Progress(after("2"), (), WindowState(END, END + 100, {}, wall(105.0)), 1)
    idle = windowed(saving=False)
    idle.bring(*wires(1))
    idle.end(state({"n": 1}))
    idle.saved()
    idle.until(Invoke, 1_000)
    idle.end(OK)
    assert idle.saves[0].progress == Progress(after("1"), (), None, 1)


def test_an_idle_window_closes_after_a_while() -> None:
    """TMB-7: 120 s after its end, once the tip of the stream was seen; the timer for it is the next read."""
    rig = windowed()
    rig.at(50.0).bring(*wires(1, at=50.0))
    rig.end(state({"n": 1}))
    rig.until(Invoke, 1_000)
    assert 220.0 <= rig.now <= 221.0
    assert (rig.running, call_of(rig).final) == ([[]], True)
    rig.end(OK)
    for _ in range(600):
        rig.bring() if rig.reads else rig.tick()
    assert rig.runs == []


def test_an_answer_that_was_long_on_its_way_does_not_close_a_window() -> None:
    """TMB-7: it was given before the stragglers were due (the machine slept meanwhile); the next read tells."""
    rig = windowed()
    rig.at(50.0).bring(*wires(1, at=50.0))
    rig.end(state({"n": 1}))
    rig.until_read()
    rig.at(1_000.0).bring()
    assert rig.runs == []
    rig.until_read()
    rig.bring(*wires(2, at=90.0))
    assert (rig.running, call_of(rig).state) == ([[2]], {"n": 1})


def test_an_empty_read_of_dynamodb_closes_no_window() -> None:
    """TMB-7, STR-26: it may stand in the middle of a backlog, of which the next read brings more of the window."""
    rig = windowed(source=SourceKind.DYNAMODB)
    rig.at(1_000.0).bring(change(1, at=30.0), behind=None)
    rig.end(state({"n": 1}))
    for _ in range(BELIEVED - 1):
        rig.until_read()
        rig.bring(behind=None)
        assert rig.runs == []
    rig.until_read()
    rig.bring(change(2, at=31.0), behind=None)
    assert (rig.running, call_of(rig).state) == ([[2]], {"n": 1})


def test_a_window_in_a_backlog_does_not_close_by_the_clock() -> None:
    """TMB-7: the next read may bring more of it."""
    rig = windowed()
    rig.at(5_000.0).bring(*wires(1, at=50.0), behind=4_950.0)
    rig.end(state({"n": 1}))
    assert rig.runs == []
    rig.bring(*wires(2, at=60.0), behind=4_000.0)
    assert rig.running == [[2]]
    assert call_of(rig).state == {"n": 1}


def test_a_late_record_goes_into_the_open_window() -> None:
    """TMB-7, TMB-1: its own is over."""
    rig = windowed()
    rig.at(110.0).bring(*wires(1, at=105.0), *wires(2, at=99.0))
    assert rig.running == [[1, 2]]
    assert call_of(rig).start == END


def test_no_window_without_records() -> None:
    """TMB-14: an idle shard is never invoked, nor are the windows between two records."""
    rig = windowed()
    rig.at(1_000.0).bring(*wires(1, at=5.0), *wires(2, at=950.0))
    calls = []
    while rig.runs:
        calls.append((call_of(rig).start - START, rig.running[0]))
        rig.end(state({}))
    assert calls == [(0, [1]), (0, []), (900, [2])]


def test_the_shards_end_closes_the_window() -> None:
    """TMB-11, STR-2: the shard has not ended before its last call has succeeded."""
    rig = windowed()
    rig.bring(*wires(1), iterator=None, children=(CHILD,))
    rig.end(state({"n": 1}))
    assert call_of(rig) == WindowCall(START, END, {"n": 1}, final=True)
    assert rig.finished is None
    rig.end(OK)
    assert rig.one(Finished) == Finished(True, Progress(after("1"), lanes=1), (CHILD,))


def test_a_last_call_that_fails_at_the_shards_end() -> None:
    """TMB-9, TMB-11, STR-2: is tried again before the shard is left."""
    rig = windowed()
    rig.bring(*wires(1), iterator=None)
    rig.end(state({"n": 1}))
    rig.end(BOOM)
    assert rig.finished is None
    rig.until(Invoke)
    assert call_of(rig) == WindowCall(START, END, {"n": 1}, final=True)
    rig.end(OK)
    assert rig.one(Finished).ended


# --- after a restart ---


def test_the_state_outlives_the_process() -> None:
    """TMB-12, TMB-3: it goes on with the state that belongs to the position."""
    rig = windowed(batch_size=1)
    rig.bring(*wires(1, 2))
    rig.end(state({"n": 1}))
    later = rig.again()
    later.bring(*wires(2))
    assert call_of(later) == WindowCall(START, END, {"n": 1})


def test_a_window_that_ended_while_nobody_was_there() -> None:
    """TMB-7, TMB-12: it is closed by the first record of a later one, or by the tip."""
    rig = windowed(progress=Progress(after("1"), (), WindowState(START, END, {"n": 1}, wall(0.0)), 1), now=500.0)
    rig.bring(*wires(2, at=450.0))
    assert (rig.running, call_of(rig).state) == ([[]], {"n": 1})
    idle = windowed(progress=Progress(after("1"), (), WindowState(START, END, {"n": 1}, wall(0.0)), 1), now=500.0)
    assert idle.runs == []
    idle.bring()
    assert (idle.running, call_of(idle).state) == ([[]], {"n": 1})


def test_a_last_call_that_ends_the_process() -> None:
    """TMB-9, ERR-5: it has attempts like a batch, and they outlive it; then the shard goes on."""
    rig = windowed(guarded=True, retries=0, destination=QUEUE)
    rig.bring(*wires(1))
    rig.end(state({"n": 1}))
    rig.rest()
    for _ in range(2):
        rig = rig.again(now=500.0)
        rig.bring(*wires(2, at=450.0))
        assert rig.running == [[]]
    rig = rig.again()
    rig.bring(*wires(2, at=450.0))
    discard = rig.one(SendDocument).discard
    assert (discard.batch.records, discard.invocations, discard.reason) == ((), 2, DiscardReason.RETRIES)
    assert discard.batch.call == WindowCall(START, END, {"n": 1}, final=True)
    rig.sent()
    assert rig.running == [[2]]


def test_a_late_record_after_an_interrupted_last_call() -> None:
    """ERR-5, TMB-7: it is invoked first, its own attempts are remembered, and the last call begins anew."""
    head = Head(0, "", "", 0, 1, 0, None, running=False)
    kept = WindowState(START, END, {"n": 1}, wall(0.0))
    rig = windowed(progress=Progress(after("1"), (head,), kept, 1), guarded=True, retries=1, now=500.0)
    rig.bring(*wires(2, at=99.0), behind=3.0)
    assert rig.running == [[2]]
    assert rig.row.heads == (Head(0, "2", "2", 1, 0, 0, None, running=True),)
    rig.end(state({"n": 2}))
    rig.until(Invoke)
    assert (call_of(rig).final, rig.runs[0].batch.attempts) == (True, 0)


# --- too much state ---


def test_a_state_that_is_too_large() -> None:
    """TMB-6: one last call with all of it, before anything else; then the window goes on with a fresh state."""
    rig = windowed(batch_size=1)
    rig.bring(*wires(1, 2))
    rig.end(state(LARGE))
    assert rig.running == [[]]
    assert call_of(rig) == WindowCall(START, END, LARGE, final=True, early=True)
    assert rig.place == 1
    rig.end(OK)
    assert rig.running == [[2]]
    assert call_of(rig) == WindowCall(START, END, {})


def test_too_much_state_after_a_partial_success() -> None:
    """TMB-6, PBR-28: the early end comes before what is left."""
    rig = windowed(partial=True)
    rig.bring(*wires(1, 2))
    rig.end(state(LARGE, 2))
    assert (rig.running, call_of(rig).early) == ([[]], True)
    rig.end(OK)
    assert (rig.running, call_of(rig).state) == ([[2]], {})


def test_an_early_end_that_fails() -> None:
    """TMB-6, TMB-9: is tried again with the same state, then given up; the records behind it wait."""
    rig = windowed(batch_size=1, retries=1)
    rig.bring(*wires(1, 2))
    rig.end(state(LARGE))
    rig.end(BOOM)
    assert rig.runs == []
    rig.until(Invoke)
    assert call_of(rig) == WindowCall(START, END, LARGE, final=True, early=True)
    rig.end(BOOM)
    assert rig.one(Discarded).discard.batch.call == WindowCall(START, END, LARGE, final=True, early=True)
    assert (rig.running, call_of(rig).state) == ([[2]], {})


def test_an_early_end_outlives_the_process() -> None:
    """TMB-6, TMB-12, ERR-5: nobody else gets a state that is too large; its attempts go on."""
    rig = windowed(batch_size=1, guarded=True, retries=1)
    rig.bring(*wires(1, 2))
    rig.end(state(LARGE))
    rig.end(BOOM)
    rig.until(Save)
    later = rig.again()
    later.bring(*wires(2))
    assert (later.running, call_of(later).early, later.runs[0].batch.attempts) == ([[]], True, 1)
    later.end(OK)
    assert (later.running, call_of(later).state) == ([[2]], {})
    later.end(state({}))
    later.until(Invoke, 1_000)
    assert not call_of(later).early
    idle = rig.again()
    assert idle.running == [[]]


def test_a_batch_that_its_state_makes_too_large_is_cut() -> None:
    """BAT-1, BAT-2, ERR-8: what is left of a partial success meets a state that has grown; no attempt is spent."""
    rig = windowed(partial=True, retries=0)
    rig.bring(wire(1), wire(2, size=2 * MIB), wire(3, size=2 * MIB), wire(4, size=2 * MIB - 300_000))
    assert rig.running == [[1, 2, 3, 4]]
    rig.end(state({"s": "x" * 900_000}, 2))
    assert rig.running == [[2]]
    seen = []
    while rig.runs and rig.running[0]:
        assert rig.runs[0].batch.size <= EVENT_LIMIT
        seen += rig.running[0]
        rig.end(state({"s": "x" * 900_000}))
    assert (seen, rig.gone) == ([2, 3, 4], [])


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [((3 * MIB, 3 * MIB - 300_000), [[2], [3]]), ((MIB, MIB, 2 * MIB, 2 * MIB - 300_000), [[2, 3], [4, 5]])],
)
def test_a_batch_that_its_state_makes_too_large_is_cut_in_the_middle(
    sizes: tuple[int, ...], batches: list[list[int]]
) -> None:
    """BAT-1, ERR-8: no record of it is taken for one that no event can hold."""
    rig = windowed(partial=True, retries=0)
    rig.bring(wire(1), *(wire(n, size=size) for n, size in enumerate(sizes, start=2)))
    rig.end(state({"s": "x" * 900_000}, 2))
    seen = []
    while rig.runs and rig.running[0]:
        seen += rig.running
        rig.end(state({"s": "x" * 900_000}))
    assert (seen, rig.gone) == (batches, [])


def test_an_early_end_that_no_event_can_hold() -> None:
    """TMB-6, TMB-9: there is nothing to halve; the function is asked all the same, and what it says counts."""
    rig = windowed(retries=0, destination=QUEUE)
    rig.bring(*wires(1))
    rig.end(state({"s": "x" * EVENT_LIMIT}))
    assert (rig.running, call_of(rig).early) == ([[]], True)
    assert rig.runs[0].batch.size > EVENT_LIMIT
    rig.end(BOOM)
    assert rig.one(SendDocument).discard.result == BOOM


def test_the_state_counts_when_a_batch_is_formed() -> None:
    """BAT-2: to the byte."""
    rig = windowed(batch_size=2)
    rig.bring(wire(1), wire(2), wire(3, size=3 * MIB), wire(4, size=3 * MIB - 500_000))
    rig.end(state({"s": "x" * 800_000}))
    assert rig.running == [[3]]


# --- a last call that fails ---


def test_a_failing_last_call_holds_the_shard() -> None:
    """TMB-9: with back-off, for as long as it takes."""
    rig = closing()
    for _ in range(10):
        rig.end(BOOM)
        assert rig.runs == []
        rig.until(Invoke, 1_000)
        assert (rig.running, call_of(rig).state) == ([[]], {"n": 2})
    rig.end(OK)
    assert rig.running == [[3]]


def test_a_last_call_that_is_given_up() -> None:
    """TMB-9, TMB-10, ERR-33: N + 1 attempts, a document, and first then the next window."""
    rig = closing(retries=1, destination=QUEUE)
    rig.end(BOOM)
    rig.until(Invoke)
    rig.end(BOOM)
    discard = rig.one(SendDocument).discard
    assert (discard.batch.records, discard.invocations, discard.result) == ((), 2, BOOM)
    assert discard.batch.call == WindowCall(START, END, {"n": 2}, final=True)
    assert rig.runs == []
    assert rig.row.window == WindowState(START, END, {"n": 2}, wall(10.0))
    rig.sent()
    assert rig.running == [[3]]
    assert call_of(rig) == WindowCall(END, END + 100, {})


def test_a_given_up_window_is_written() -> None:
    """TMB-9: else a restart would begin it again."""
    rig = windowed(retries=0)
    rig.bring(*wires(1))
    rig.end(state({"n": 1}))
    rig.until(Invoke, 1_000)
    rig.end(BOOM)
    assert rig.rest().row == Progress(after("1"), lanes=1)


@pytest.mark.parametrize(
    "fields", [{"maximum_age": 60.0}, {"retention": 60.0}, {"maximum_age": 60.0, "retention": 99.0}]
)
@pytest.mark.parametrize("result", [BOOM, BUSY])
def test_a_last_call_that_fails_for_too_long(fields: dict[str, float], result: object) -> None:
    """TMB-9, ERR-1, ERR-4: age ends it too, counted from its first failure; it is not too old before it began."""
    kept = WindowState(START, END, {"n": 1}, wall(0.0))
    rig = windowed(progress=Progress(after("1"), (), kept, 1), now=500.0, **fields)
    rig.bring(*wires(2, at=499.0))
    while not rig.gone:
        if rig.runs:
            assert rig.running == [[]]
            rig.end(result)
        else:
            rig.bring() if rig.reads else rig.tick()
    assert rig.running == ([[2]] if "maximum_age" not in fields else [])
    discard = rig.gone[0].discard
    assert (discard.reason, discard.result, discard.batch.records) == (DiscardReason.AGE, None, ())
    assert 560.0 < rig.now <= 595.0


@pytest.mark.parametrize("fields", [{"maximum_age": 60.0}, {"retention": 60.0}])
@pytest.mark.parametrize("retries", [None, 1_000])
@pytest.mark.parametrize("result", [BOOM, BUSY])
def test_a_last_call_ages_over_restarts(
    fields: dict[str, float], retries: int | None, result: InvocationResult
) -> None:
    """TMB-9, TMB-12, ERR-1, ERR-15: its age counts from its first failure, in whichever process that was. Each one
    here is killed soon after the call has failed in it, and the next is told to stop before it makes the call.
    """
    kept = WindowState(START, END, {"n": 1}, wall(0.0))
    progress = Progress(after("1"), (), kept, 1)
    rig = windowed(progress=progress, now=500.0, retries=retries, guarded=True, **fields)
    for life in range(4):
        rig.bring(*wires(2, at=rig.now))
        assert rig.running == [[]]
        assert rig.runs[0].batch.failed_at == (wall(500.0) if life else None)
        rig.end(result)
        rig.rest()
        assert rig.row.window == kept
        rig = rig.again()
        rig.ask(Request.STOP)  # what it has not come to yet is written again
        rig = rig.again(now=520.0 + 20.0 * life)
    rig.bring(*wires(2, at=rig.now))
    discard = rig.gone[0].discard
    assert (discard.reason, discard.batch.records, rig.running) == (DiscardReason.AGE, (), [[2]])


def test_what_is_remembered_of_a_failing_last_call_without_a_bound() -> None:
    """TMB-9, ERR-4: since when it fails, written once. No attempts: a bound that is set later counts from then on,
    and does not have the call given up that its user may just have mended.
    """
    rig = closing(maximum_age=3_600.0)
    assert (rig.running, rig.row.heads) == ([[]], ())
    first = rig.now
    rig.end(BOOM)
    rig.until(Save)
    assert rig.row.heads == (Head(0, "", "", 0, 0, 0, wall(first), running=False),)
    assert rig.running == [[]]
    rig.end(BOOM)
    assert rig.machine.at_rest
    later = rig.again(retries=0)
    later.bring(*wires(3, at=105.0))
    assert (later.running, call_of(later).final) == ([[]], True)


def test_nothing_is_remembered_of_other_failures_without_a_bound() -> None:
    """ERR-4, ERR-10: records have their age from the stream."""
    rig = windowed(maximum_age=3_600.0)
    rig.bring(*wires(1))
    rig.end(BOOM)
    assert rig.machine.at_rest
    rig.ask(Request.STOP)
    assert rig.one(Finished).progress.heads == ()


def test_a_response_without_state_is_halved() -> None:
    """TMB-5, ERR-20: it is a failure of the batch."""
    rig = windowed(bisect=True)
    rig.bring(*wires(1, 2))
    rig.end(OK)
    assert rig.running == [[1]]
    rig.end(state({"n": 1}))
    assert (rig.running, call_of(rig).state) == ([[2]], {"n": 1})


def test_a_partial_response_carries_its_state() -> None:
    """PBR-28, PBR-25, TMB-13: the rest is invoked with it, at once."""
    rig = windowed(partial=True)
    rig.bring(*wires(1, 2, 3))
    rig.end(state({"n": 1}, 2))
    assert (rig.running, call_of(rig).state, rig.place) == ([[2, 3]], {"n": 1}, 1)


def test_a_discard_leaves_the_window_open() -> None:
    """TMB-9, ERR-30: records are given up, the state goes on."""
    rig = windowed(batch_size=1, retries=0)
    rig.bring(*wires(1, 2, 3))
    rig.end(state({"n": 1}))
    rig.end(BOOM)
    assert rig.discarded == [[2]]
    assert (rig.running, call_of(rig).state) == ([[3]], {"n": 1})


def test_sums_over_windows() -> None:
    """TMB-1, TMB-3, TMB-4, TMB-8: each record counts once, in the window of its arrival."""
    rig = windowed(batch_size=7)
    rig.at(1_000.0)
    rig.bring(*(wire(n, at=float(n * 3)) for n in range(1, 301)))
    sums: dict[int, int] = {}
    while rig.runs:
        batch, call = rig.runs[0].batch, call_of(rig)
        count = call.state.get("n", 0) + len(batch.records)
        if call.final:
            sums[call.start - START] = count
        rig.end(Succeeded(orjson.dumps({"state": {"n": count}})))
    assert sums == {
        start: sum(1 for n in range(1, 301) if start <= n * 3 < start + 100) for start in range(0, 900, 100)
    }


def test_a_batching_window_and_a_tumbling_one() -> None:
    """BAT-1, TMB-4, TMB-7: a batch waits for its batching window, but not once a later window has begun."""
    rig = windowed(window=30.0)
    rig.at(90.0).bring(*wires(1, at=90.0))
    assert rig.runs == []
    rig.at(105.0).bring(*wires(2, at=104.0))
    assert rig.running == [[1]]
    rig.end(state({"n": 1}))
    rig.end(OK)
    assert rig.runs == []
    rig.until(Invoke, 1_000)
    assert rig.running == [[2]]
