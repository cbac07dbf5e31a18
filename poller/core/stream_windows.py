"""The open tumbling window of a shard: which records it takes, how it is invoked, when it closes (TMB).

The arithmetic of windows is in tumbling.py; here is what changes from one invocation to the next.
"""

from dataclasses import replace

from poller.core.model import JsonObject
from poller.core.records import Record, WindowCall, WindowState
from poller.core.tumbling import GRACE, closes_at, fits, too_large, window_of


class Windows:
    """At most one window is open; `state` is what has to be remembered of it, None without one."""

    def __init__(self, length: int, state: WindowState | None) -> None:
        """`length` is TumblingWindowInSeconds, above 0."""
        self._length = length
        self.state = state
        self.unfinished = state is not None and too_large(state.state)
        """Whether an earlier process was about to end the window early, for the size of its state (TMB-6)."""

    def belongs(self, record: Record) -> bool:
        """Whether the record is the open window's (TMB-4)."""
        return self.state is not None and fits(self.state, record.arrived_at)

    def open_for(self, record: Record) -> bool:
        """Opens a window for the next record where none is; False while another one has to be closed first."""
        if self.state is None:
            start, end = window_of(record.arrived_at, self._length)
            self.state = WindowState(start, end, {}, record.arrived_at)
        return self.belongs(record)

    def over(self, *, ended: bool, tip_at: float | None) -> bool:
        """Whether the window closes although no record of a later one has come (TMB-7): the shard has ended, or
        the tip of the stream was seen (`tip_at`, epoch seconds, None for never) when its stragglers were due.
        """
        if self.state is None:
            return False
        return ended or (tip_at is not None and tip_at >= closes_at(self.state, GRACE))

    def call(self, *, final: bool = False, early: bool = False) -> WindowCall:
        """How the window is invoked next (TMB-2, TMB-3)."""
        assert self.state is not None, "a window is opened before it is invoked"
        return WindowCall(self.state.start, self.state.end, self.state.state, final, early)

    def succeeded(self, call: WindowCall, records: tuple[Record, ...], state: JsonObject | None) -> bool:
        """An invocation returned this state; whether the window has to end early, as it is too large (TMB-6)."""
        if call.final:
            self.closed(call)
            return False
        assert self.state is not None, "an invocation belongs to the open window"
        newest = max([record.arrived_at for record in records], default=self.state.last_arrival)
        kept = {} if state is None else state
        self.state = replace(self.state, state=kept, last_arrival=max(newest, self.state.last_arrival))
        return too_large(kept)

    def closed(self, call: WindowCall) -> None:
        """A final invocation succeeded, or was given up: the state is dropped (TMB-8). A window that ended early
        goes on with a fresh one (TMB-6).
        """
        if self.state is not None:
            self.state = replace(self.state, state={}) if call.early else None
