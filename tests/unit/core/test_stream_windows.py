"""The open tumbling window of a shard, from one invocation to the next (TMB)."""

import pytest

from poller.core.records import WindowCall, WindowState
from poller.core.stream_windows import Windows
from poller.core.tumbling import STATE_LIMIT
from tests.unit.core.stream_machine import record, some_records, wall

START, END = int(wall(0.0)), int(wall(100.0))
LARGE = {"s": "x" * STATE_LIMIT}


def windows_of(state: WindowState | None = None) -> Windows:
    return Windows(100, state)


def opened(at: float = 10.0) -> Windows:
    windows = windows_of()
    assert windows.open_for(record(1, at=at))
    return windows


def test_a_record_opens_its_window() -> None:
    """TMB-1, TMB-3: with an empty state."""
    windows = opened(99.999)
    assert windows.state == WindowState(START, END, {}, wall(99.999))
    assert windows.call() == WindowCall(START, END, {})


def test_which_records_the_window_takes() -> None:
    """TMB-4, TMB-7: those of later windows not; late ones of earlier windows, which are over, yes."""
    windows = opened()
    assert windows.belongs(record(2, at=99.999))
    assert windows.belongs(record(2, at=-500.0))
    assert not windows.belongs(record(2, at=100.0))
    assert not windows.open_for(record(2, at=100.0))
    assert windows.state is not None
    assert windows.state.start == START


def test_without_a_window_nothing_belongs_and_nothing_is_over() -> None:
    """TMB-14."""
    windows = windows_of()
    assert not windows.belongs(record(1))
    assert not windows.over(ended=True, tip_at=1e12)


@pytest.mark.parametrize(
    ("ended", "tip_at", "over"),
    [
        (False, None, False),
        (False, wall(219.999), False),
        (False, wall(220.0), True),
        (True, None, True),
        (True, wall(0.0), True),
    ],
)
def test_when_a_window_is_over_by_itself(ended: bool, tip_at: float | None, over: bool) -> None:
    """TMB-7, TMB-11: the shard has ended, or its tip was seen 120 s after the window."""
    assert opened().over(ended=ended, tip_at=tip_at) == over


def test_state_goes_from_call_to_call() -> None:
    """TMB-3, TMB-12: the last one counts; a retry gets the same again."""
    windows = opened()
    assert not windows.succeeded(windows.call(), some_records(1, 2, at=20.0), {"n": 2})
    assert windows.call() == windows.call() == WindowCall(START, END, {"n": 2})
    assert not windows.succeeded(windows.call(), (record(3, at=15.0),), {"n": 3})
    assert windows.state == WindowState(START, END, {"n": 3}, wall(20.0))
    assert windows.call(final=True) == WindowCall(START, END, {"n": 3}, final=True)


def test_the_last_call_closes_the_window() -> None:
    """TMB-8: the state is dropped."""
    windows = opened()
    windows.succeeded(windows.call(), (), {"n": 1})
    assert not windows.succeeded(windows.call(final=True), (), None)
    assert windows.state is None
    assert windows.open_for(record(9, at=250.0))
    assert windows.call() == WindowCall(END + 100, END + 200, {})


def test_a_state_that_is_too_large() -> None:
    """TMB-6: the last call carries all of it; then the same window goes on with a fresh one."""
    windows = opened()
    assert windows.succeeded(windows.call(), (), LARGE)
    call = windows.call(final=True, early=True)
    assert call == WindowCall(START, END, LARGE, final=True, early=True)
    windows.succeeded(call, (), None)
    assert windows.call() == WindowCall(START, END, {})


def test_a_state_of_just_the_limit() -> None:
    """TMB-6: 1,048,576 bytes are allowed."""
    windows = opened()
    most = {"s": "x" * (STATE_LIMIT - len('{"s":""}'))}
    assert not windows.succeeded(windows.call(), (), most)
    assert windows.succeeded(windows.call(), (), {"s": most["s"] + "x"})


def test_a_last_call_that_is_given_up() -> None:
    """TMB-9: closes the window like one that succeeded."""
    windows = opened()
    windows.closed(windows.call(final=True, early=True))
    assert windows.call() == WindowCall(START, END, {})
    windows.closed(windows.call(final=True))
    assert windows.state is None


def test_after_a_restart() -> None:
    """TMB-12, TMB-6: it goes on; what was to end early still is."""
    kept = WindowState(START, END, {"n": 7}, wall(5.0))
    windows = windows_of(kept)
    assert windows.call() == WindowCall(START, END, {"n": 7})
    assert not windows.unfinished
    assert windows_of(WindowState(START, END, LARGE, wall(5.0))).unfinished
    assert not windows_of().unfinished
