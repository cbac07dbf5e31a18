"""Which window a record belongs to, when it is over, and how much state it may carry (TMB)."""

import pytest

from poller.core.payload import serialise
from poller.core.records import WindowState
from poller.core.tumbling import GRACE, STATE_LIMIT, closes_at, fits, state_size, too_large, window_of

WINDOW = WindowState(1607497440, 1607497560, {}, 1607497440.5)


@pytest.mark.parametrize(
    ("arrived_at", "length", "window"),
    [
        (1607497440.0, 120, (1607497440, 1607497560)),  # 07:04:00 and so 07:04 to 07:06
        (1607497559.999, 120, (1607497440, 1607497560)),
        (1607497560.0, 120, (1607497560, 1607497680)),
        (1607497439.999, 120, (1607497320, 1607497440)),
        (59.0, 1, (59, 60)),
        (1607497440.0, 900, (1607497200, 1607498100)),
        (0.0, 900, (0, 900)),
        (250_000_000_000.0, 900, (249_999_999_300, 250_000_000_200)),
    ],
)
def test_windows_are_aligned_to_the_epoch(arrived_at: float, length: int, window: tuple[int, int]) -> None:
    """TMB-1: [start, end), multiples of the length."""
    assert window_of(arrived_at, length) == window


@pytest.mark.parametrize("length", [1, 7, 60, 899, 900])
def test_windows_follow_each_other_without_gap_or_overlap(length: int) -> None:
    """TMB-1: the end belongs to the next one, and times are whole seconds."""
    start, end = window_of(1607497440.987, length)
    assert start <= 1607497440.987 < end == start + length
    assert start % length == 0
    assert (type(start), type(end)) == (int, int)
    assert window_of(end, length) == (end, end + length)
    assert window_of(end - 0.001, length) == (start, end)


@pytest.mark.parametrize(
    ("arrived_at", "inside"),
    [
        (1607497440.0, True),
        (1607497559.999, True),
        (1607497560.0, False),
        (1607497999.0, False),
        (1607497439.0, True),
        (0.0, True),
    ],
)
def test_what_belongs_into_the_open_window(arrived_at: float, inside: bool) -> None:
    """TMB-1, TMB-4, TMB-7: all but records of a later one; a straggler of an earlier one is not lost."""
    assert fits(WINDOW, arrived_at) is inside


def test_when_an_idle_window_ends() -> None:
    """TMB-7: two minutes after its end, or as long as is asked for."""
    assert GRACE == 120.0
    assert closes_at(WINDOW) == 1607497680.0
    assert closes_at(WINDOW, 5.0) == 1607497565.0


@pytest.mark.parametrize("filler", ["x", "ä", '"', "\ud800"])
def test_the_limit_of_state(filler: str) -> None:
    """TMB-6: 1,048,576 bytes as serialised; that many are allowed, one more is too large."""
    assert STATE_LIMIT == 1_048_576
    room = STATE_LIMIT - len(serialise({"k": ""}))
    width = len(serialise({"k": filler})) - len(serialise({"k": ""}))
    state = {"k": filler * (room // width) + "x" * (room % width)}
    assert state_size(state) == len(serialise(state)) == STATE_LIMIT
    assert not too_large(state)
    assert too_large({"k": state["k"] + "x"})
    assert not too_large({})
