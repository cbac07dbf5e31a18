"""The row of a shard: what it becomes, what it says, and that nonsense in it is never a silent start."""

import json
import sys
from dataclasses import fields, replace

import pytest

from poller.core.leases import (
    Lease,
    ended,
    may_follow,
    moved,
    new_lease,
    position_of,
    progress_of,
    released,
    taken,
    with_progress,
)
from poller.core.records import (
    SHARD_END,
    TRIM_HORIZON,
    Head,
    Position,
    PositionKind,
    Progress,
    Shard,
    WindowState,
    after,
)

LATEST = Position(PositionKind.LATEST, timestamp=1700000000.25)
AT = Position(PositionKind.AT_TIMESTAMP, timestamp=1600000000.0)
LONG = "9" * 129
HEAD = Head(lane=3, first="7", last="12", count=4, attempts=2, interrupted=1, failed_at=1700000001.5, running=True)
WINDOW = WindowState(
    start=1700000000, end=1700000060, state={"sum": 1.5, "né": ["\ud800", None]}, last_arrival=3.0
)
HEAD_FIELDS = {one.name: getattr(HEAD, one.name) for one in fields(HEAD)}
SHARD = Shard("shardId-1", ("shardId-a", "shardId-b"), starting="495", hash_start="0", hash_end="170")


def row(position: Position = TRIM_HORIZON) -> Lease:
    return new_lease(SHARD, position)


# --- made ---


def test_a_new_row_has_the_shard_and_nobody() -> None:
    """STR-10: nobody's, at its position, counter 0."""
    assert row() == Lease(
        "shardId-1",
        "TRIM_HORIZON",
        parents=("shardId-a", "shardId-b"),
        hash_start="0",
        hash_end="170",
        starting="495",
    )


@pytest.mark.parametrize("position", [TRIM_HORIZON, LATEST, AT, after("0012"), after(LONG)])
def test_a_row_says_the_position_it_was_made_with(position: Position) -> None:
    """STR-11, STR-13, STR-30: LATEST and AT_TIMESTAMP with their time, sequence numbers letter for letter."""
    assert progress_of(row(position)) == Progress(position)


def test_latest_is_not_kept_unpinned() -> None:
    """STR-11: without its time, a restart would skip what was written in between."""
    with pytest.raises(ValueError, match=r"LATEST of shard shardId-1 has no time"):
        new_lease(SHARD, Position(PositionKind.LATEST))


# --- order ---


def test_positions_are_in_the_order_of_kcl() -> None:
    """STR-28: AT_TIMESTAMP, TRIM_HORIZON, LATEST, integers (never text), the end."""
    order = [AT, TRIM_HORIZON, LATEST, after("0"), after("9"), after("10"), after("0011"), after(LONG), SHARD_END]
    for earlier, one in enumerate(order):
        for later, other in enumerate(order):
            assert may_follow(one, other) is (later >= earlier), (one, other)


# --- written ---


@pytest.mark.parametrize("heads", [(), (HEAD,), (HEAD, replace(HEAD, lane=0, failed_at=None, running=False))])
@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize("position", [LATEST, after("12"), after(LONG)])
def test_progress_comes_back_as_it_was_written(
    heads: tuple[Head, ...], window: WindowState | None, position: Position
) -> None:
    """ERR-5, BAT-6, TMB-12, STR-31: heads and window in one piece with the position, any JSON in the state."""
    progress = Progress(position, heads, window)
    written = with_progress(row(LATEST), progress)
    assert progress_of(written) == progress
    written.progress.encode()  # text that any store takes, whatever the state holds


def test_nothing_to_remember_is_no_text() -> None:
    busy = with_progress(row(), Progress(after("5"), (HEAD,), WINDOW))
    assert with_progress(busy, Progress(after("6"))).progress == ""
    assert with_progress(busy, Progress(after("6"), lanes=1)).progress == ""


def test_a_checkpoint_never_goes_back() -> None:
    """STR-25, STR-30: a reader that had to begin further back undoes nothing; its batches are kept."""
    at = with_progress(row(), Progress(after("100")))
    for back in (TRIM_HORIZON, LATEST, AT, after("99")):
        kept = with_progress(at, Progress(back, (HEAD,)))
        assert progress_of(kept) == Progress(after("100"), (HEAD,))
    assert progress_of(with_progress(at, Progress(after("101")))) == Progress(after("101"))


def test_latest_stays_where_it_was_pinned() -> None:
    """STR-11: never resolved again; only records that were done move it."""
    later = Position(PositionKind.LATEST, timestamp=LATEST.timestamp + 60)
    assert position_of(with_progress(row(LATEST), Progress(later, (HEAD,)))) == LATEST
    moved_on = with_progress(row(LATEST), Progress(after("1")))
    assert (moved_on.checkpoint, moved_on.start) == ("1", None)


def test_an_ended_shard_stays_ended() -> None:
    """STR-2: its children run already."""
    done = ended(row(), 5.0)
    assert position_of(with_progress(done, Progress(after("7")))) == SHARD_END
    with pytest.raises(ValueError, match="by `ended`"):
        with_progress(row(), Progress(SHARD_END))


def test_switches_count_from_the_last_step_forward() -> None:
    """As in KCL: owners that come and go without getting anywhere add up, saved attempts change nothing."""
    lease = taken(taken(row(after("1")), "a", "t1"), "b", "t2")
    assert (lease.owner, lease.tenure, lease.switches, lease.counter) == ("b", "t2", 2, 0)
    assert with_progress(lease, Progress(after("1"), (HEAD,))).switches == 2
    assert with_progress(lease, Progress(after("2"))).switches == 0


def test_released() -> None:
    """Nobody's, at the same place."""
    lease = with_progress(taken(row(), "a", "t"), Progress(after("1"), (HEAD,)))
    assert released(lease) == replace(lease, owner=None, tenure="")


def test_ended() -> None:
    """STR-2: nobody's, with the time of it, and nothing left to remember."""
    lease = with_progress(taken(row(LATEST), "a", "t"), Progress(after("1"), (HEAD,), WINDOW))
    assert ended(lease, 12.5) == replace(
        lease, checkpoint="SHARD_END", owner=None, tenure="", progress="", ended_at=12.5
    )


@pytest.mark.parametrize("to", [after("3"), TRIM_HORIZON, LATEST])
def test_moved_by_hand_goes_anywhere_and_forgets_what_was_there(to: Position) -> None:
    """What people do to replay: also back, also from the end; counts of batches elsewhere mean nothing there."""
    for lease in (
        with_progress(taken(row(), "a", "t"), Progress(after("100"), (HEAD,), WINDOW)),
        ended(row(), 5.0),
        replace(row(after("100")), sub_sequence=3),
    ):
        there = moved(lease, to)
        assert progress_of(there) == Progress(to)
        assert (there.ended_at, there.switches, there.owner) == (None, 0, lease.owner)


# --- nonsense ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint": ""}, "its checkpoint '' is neither"),
        ({"checkpoint": " 12"}, "its checkpoint ' 12' is neither"),
        ({"checkpoint": "-1"}, "neither"),
        ({"checkpoint": "1_0"}, "neither"),
        ({"checkpoint": "١٢"}, "neither"),
        ({"checkpoint": "latest"}, "neither"),
        ({"checkpoint": "AFTER_SEQUENCE_NUMBER"}, "neither"),
        ({"checkpoint": LONG + "9"}, "neither"),
        ({"checkpoint": "12\n"}, "neither"),
        ({"checkpoint": "LATEST"}, "it says LATEST without the time of it"),
        ({"checkpoint": "AT_TIMESTAMP"}, "it says AT_TIMESTAMP without the time of it"),
        ({"checkpoint": "495", "sub_sequence": 3}, "inside the aggregated record 495"),
        ({"progress": "{"}, "its esm_progress is no JSON"),
        ({"progress": "[" * sys.getrecursionlimit() * 50}, "its esm_progress is no JSON"),
        ({"progress": "[]"}, "is not what was written there"),
        ({"progress": "{}"}, "is not what was written there"),
        ({"progress": '{"heads":[],"later":1}'}, "is not what was written there"),
        ({"progress": '{"heads":[1]}'}, "holds a batch that is none"),
        ({"progress": '{"heads":[],"window":{"start":1}}'}, "holds a window that is none"),
    ],
)
def test_a_row_that_says_nothing_is_no_fresh_start(change: dict[str, object], words: str) -> None:
    """STR-14, STR-24: a sentence that names the shard and the way out, never the horizon."""
    with pytest.raises(ValueError) as caught:
        progress_of(replace(row(), **change))
    text = str(caught.value)
    assert text.startswith("the row of shard shardId-1 cannot be read: ")
    assert words in text
    assert text.endswith("`checkpoint set`")
    assert text.isprintable()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lane", "3"), ("lane", -1), ("first", 7), ("first", "x"), ("last", ""), ("count", -1), ("attempts", None),
        ("attempts", 1.5), ("interrupted", -1), ("failed_at", "now"), ("running", 1),
    ],
)  # fmt: skip
def test_a_batch_with_a_wrong_field_is_none(field: str, value: object) -> None:
    """ERR-5: a count that cannot be read is not taken for 0."""
    written = json.loads(with_progress(row(), Progress(after("5"), (HEAD,))).progress)
    written["heads"][0][field] = value
    with pytest.raises(ValueError, match="a batch that is none"):
        progress_of(replace(row(), progress=json.dumps(written)))


@pytest.mark.parametrize(("field", "value"), [("start", 1.5), ("end", None), ("state", []), ("last_arrival", "x")])
def test_a_window_with_a_wrong_field_is_none(field: str, value: object) -> None:
    """TMB-12: a state that cannot be read is not taken for an empty one."""
    written = json.loads(with_progress(row(), Progress(after("5"), (), WINDOW)).progress)
    written["window"][field] = value
    with pytest.raises(ValueError, match="a window that is none"):
        progress_of(replace(row(), progress=json.dumps(written)))


@pytest.mark.parametrize(
    "progress",
    [
        Progress(after("8"), lanes=2, starts=("9", "11")),
        Progress(after("8"), (HEAD,), lanes=4),
        Progress(after("8"), (HEAD,), lanes=4, starts=("9", "10", "11", "12")),
        Progress(after("8"), (replace(HEAD, first="", last="", count=0),), WINDOW, 1),
        Progress(LATEST, lanes=1, starts=("7",)),
        Progress(LATEST, (replace(HEAD, lane=0),), WINDOW, 1, ("7",)),
    ],
)
def test_where_lanes_go_on_comes_back_as_it_was_written(progress: Progress) -> None:
    """STR-42, STR-43, TMB-8: starts, the number of lanes that they are of, the last invocation of a window."""
    lease = new_lease(SHARD, LATEST if progress.position == LATEST else TRIM_HORIZON)
    assert progress_of(with_progress(lease, progress)) == progress


@pytest.mark.parametrize(
    "change",
    [
        {"lanes": -1},
        {"lanes": "2"},
        {"starts": "9"},
        {"starts": ["9", 10]},
        {"starts": ["9", "x"]},
        {"starts": {"9": "9"}},
        {"heads": [{**HEAD_FIELDS, "first": "", "last": "12"}]},
        {"heads": [{**HEAD_FIELDS, "first": "7", "last": ""}]},
        {"heads": [{**HEAD_FIELDS, "first": "x", "last": "x"}]},
        {"other": 1},
    ],
)
def test_lanes_that_are_none_are_no_fresh_start(change: dict[str, object]) -> None:
    """STR-42: nobody guesses where a lane goes on."""
    text = json.dumps({"heads": [], "lanes": 2, "starts": ["9", "11"], **change})
    with pytest.raises(ValueError, match="cannot be read"):
        progress_of(replace(new_lease(SHARD, TRIM_HORIZON), checkpoint="8", progress=text))
