"""Tumbling windows: which one a record belongs to, when one is over, how much state it may carry (TMB).

Questions about one window only, all pure. When they are asked, and what follows, is the shard machine's business;
what an invocation shows of a window is stream_payload.py's.
"""

from typing import Final

from poller.core.model import JsonObject
from poller.core.payload import serialise
from poller.core.records import WindowState

STATE_LIMIT: Final = 1_048_576
"""The most bytes of state, serialised, that a window may carry on (TMB-6)."""

GRACE: Final = 120.0
"""Seconds that an idle window stays open past its end, for stragglers (TMB-7)."""


def window_of(arrived_at: float, length: int) -> tuple[int, int]:
    """The window [start, end) that a record belongs to by its arrival; epoch seconds, `length` seconds (TMB-1).

    A window starts at a multiple of its length since the epoch, so that all shards and all restarts agree.
    """
    start = int(arrived_at // length) * length
    return start, start + length


def fits(window: WindowState, arrived_at: float) -> bool:
    """Whether a record still goes into the open window (TMB-1, TMB-7): what is not from a later one does.

    Arrival times need not ascend. A record from before the window's start is taken in as well, because its own
    window is over and will not be opened again, and to leave it out would be to lose it.
    """
    return arrived_at < window.end


def closes_at(window: WindowState, grace: float = GRACE) -> float:
    """The epoch second at which a window ends that gets no more records (TMB-7).

    Only for a reader that is caught up: in a backlog every window is past its end by the clock, although the next
    read may bring more of it.
    """
    return window.end + grace


def state_size(state: JsonObject) -> int:
    """Bytes of the state within the serialised event."""
    return len(serialise(state))


def too_large(state: JsonObject) -> bool:
    """Whether the window has to end early, because a function returned more state than may be kept (TMB-6)."""
    return state_size(state) > STATE_LIMIT
