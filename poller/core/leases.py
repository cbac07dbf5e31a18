"""The row that is kept for each shard of a mapping: whose it is, and how far it has come.

What is here is the row and its meaning; lease_items.py has its attributes' names, which are KCL's, stores
(poller/store/) keep it, coordinators change it.

A row that has no meaning raises ValueError with a sentence. It is never read as "nothing is known yet": that would
be a start from the horizon that nobody asked for.
"""

import json
import re
from dataclasses import fields, replace
from typing import Any

from poller.core.fact import fact
from poller.core.records import (
    SHARD_END,
    Head,
    Position,
    PositionKind,
    Progress,
    Shard,
    WindowState,
    after,
    sequence_value,
)

_SEQUENCE = re.compile(r"[0-9]{1,129}")  # Kinesis allows 129 digits; some servers begin with zeros
_PINNED = frozenset({PositionKind.LATEST, PositionKind.AT_TIMESTAMP})
_ORDER = {
    PositionKind.AT_TIMESTAMP: 0,
    PositionKind.TRIM_HORIZON: 1,
    PositionKind.LATEST: 2,
    PositionKind.AFTER: 3,
    PositionKind.SHARD_END: 4,
}


@fact
class Lease:
    """One row. Every write is a compare-and-set on `counter` and `owner`, and adds one to the counter.

    `key` is the shard id; `checkpoint` a sequence number or TRIM_HORIZON, LATEST, AT_TIMESTAMP, SHARD_END;
    `switches` counts changes of owner since the last checkpoint. `tenure` is a random word of the owner's, new
    each time it takes the row. `start` is the epoch second at which LATEST was pinned, or AT_TIMESTAMP's.
    `progress` is what Progress holds beside the position, as JSON text, empty for nothing. `ended_at` is the epoch
    second at which SHARD_END was written. `starting` is the sequence number at which the shard began: a stream
    that is deleted and made anew has shards of the same ids, and this is how they are told apart.
    """

    key: str
    checkpoint: str
    owner: str | None = None
    counter: int = 0
    sub_sequence: int = 0
    switches: int = 0
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    hash_start: str = ""
    hash_end: str = ""
    tenure: str = ""
    start: float | None = None
    progress: str = ""
    ended_at: float | None = None
    starting: str = ""


@fact
class Conflict:
    """A compare-and-set that found another row than expected: `found` is what is there, None for nothing."""

    found: Lease | None


# --- what a row becomes; the store adds one to the counter ---


def new_lease(shard: Shard, position: Position) -> Lease:
    """The first row of a shard, nobody's yet. A LATEST position must have been pinned (STR-11): ValueError."""
    if position.kind is PositionKind.LATEST and position.timestamp <= 0:
        raise ValueError(f"LATEST of shard {shard.id} has no time: a restart would skip what came in between")
    lease = Lease(
        key=shard.id,
        checkpoint="",
        parents=shard.parents,
        hash_start=shard.hash_start,
        hash_end=shard.hash_end,
        starting=shard.starting,
    )
    return _at(lease, position)


def taken(lease: Lease, owner: str, tenure: str) -> Lease:
    """The row in the hands of this owner; `tenure` is a random word, to tell its writes from earlier ones."""
    return replace(lease, owner=owner, tenure=tenure, switches=lease.switches + 1)


def released(lease: Lease) -> Lease:
    """The row with nobody as owner: the next one need not wait."""
    return replace(lease, owner=None, tenure="")


def ended(lease: Lease, at: float) -> Lease:
    """The row of a shard of which every record is resolved (STR-2), at this epoch second."""
    return replace(released(moved(lease, SHARD_END)), ended_at=at)


def moved(lease: Lease, position: Position) -> Lease:
    """The row at another position, forward or back, without what was known of the batches and window there.

    For people who skip or replay; whoever reads the shard uses `with_progress`.
    """
    return replace(_at(lease, position), progress="", switches=0, sub_sequence=0, ended_at=None)


def with_progress(lease: Lease, progress: Progress) -> Lease:
    """The row after this much has been done (STR-30). The position in it never goes back: what it says is done
    stays done, also when the reader had to begin again further back (STR-25).
    """
    if progress.position.kind is PositionKind.SHARD_END:
        raise ValueError(f"the end of shard {lease.key} is written with the time of it, by `ended`")
    text = _progress_text(progress)
    if may_follow(progress.position, position_of(lease)):  # no further than the row; LATEST stays pinned (STR-11)
        return replace(lease, progress=text)
    return replace(_at(lease, progress.position), progress=text, switches=0, sub_sequence=0)


# --- what a row says ---


def may_follow(old: Position, new: Position) -> bool:
    """Whether a checkpoint at `old` may be followed by one at `new`: the same or further, in KCL's order, sequence
    numbers as integers (STR-28).
    """
    return _rank(new) >= _rank(old)


def position_of(lease: Lease) -> Position:
    """How far the shard is. Raises ValueError when the row does not say it."""
    text = lease.checkpoint
    if lease.sub_sequence:
        raise _unreadable(
            lease, f"its checkpoint lies inside the aggregated record {text}, which is read whole here"
        )
    if _SEQUENCE.fullmatch(text):
        return after(text)
    if text == PositionKind.SHARD_END:
        return SHARD_END
    if text == PositionKind.TRIM_HORIZON:
        return Position(PositionKind.TRIM_HORIZON)
    if text not in _PINNED:
        raise _unreadable(
            lease, f"its checkpoint {text[:140]!r} is neither a sequence number nor a word for a place"
        )
    if lease.start is None:
        raise _unreadable(lease, f"it says {text} without the time of it (esm_start)")
    return Position(PositionKind(text), timestamp=lease.start)


def progress_of(lease: Lease) -> Progress:
    """All that the row says. Raises ValueError when it has no meaning."""
    position = position_of(lease)
    if not lease.progress:
        return Progress(position)
    try:
        match json.loads(lease.progress):
            case {"heads": list(heads), **rest} if set(rest) <= {"window", "lanes", "starts"}:
                window = rest.get("window")
                return Progress(
                    position,
                    tuple(_head(head) for head in heads),
                    None if window is None else _window(window),
                    _lanes(rest.get("lanes", 0)),
                    _starts(rest.get("starts", [])),
                )
        problem = "is not what was written there"
    except (json.JSONDecodeError, RecursionError):
        problem = "is no JSON"
    except ValueError as error:
        problem = str(error)
    raise _unreadable(lease, f"its esm_progress {problem}")


def _at(lease: Lease, position: Position) -> Lease:
    checkpoint = position.sequence if position.kind is PositionKind.AFTER else position.kind.value
    return replace(lease, checkpoint=checkpoint, start=position.timestamp if position.kind in _PINNED else None)


def _rank(position: Position) -> tuple[int, int]:
    return _ORDER[position.kind], sequence_value(position.sequence) if position.sequence else 0


def _unreadable(lease: Lease, why: str) -> ValueError:
    return ValueError(
        f"the row of shard {lease.key} cannot be read: {why}; say where to go on, with `checkpoint set`"
    )


def _progress_text(progress: Progress) -> str:
    told: dict[str, Any] = {}
    if progress.heads or progress.starts or progress.window is not None:
        told["heads"] = [_plain(head) for head in progress.heads]
    if (progress.heads or progress.starts) and progress.lanes:
        told["lanes"] = progress.lanes
    if progress.starts:
        told["starts"] = list(progress.starts)
    if progress.window is not None:
        told["window"] = _plain(progress.window)
    return json.dumps(told, separators=(",", ":")) if told else ""


def _plain(fact: Head | WindowState) -> dict[str, Any]:
    return {one.name: getattr(fact, one.name) for one in fields(fact)}


def _lanes(told: object) -> int:
    if isinstance(told, int) and told >= 0:
        return told
    raise ValueError("holds a number of lanes that is none")


def _starts(told: object) -> tuple[str, ...]:
    if isinstance(told, list) and all(isinstance(one, str) and _SEQUENCE.fullmatch(one) for one in told):
        return tuple(told)
    raise ValueError("holds a start of a lane that is none")


def _head(told: object) -> Head:
    match told:
        case {
            "lane": int(lane),
            "first": str(first),
            "last": str(last),
            "count": int(count),
            "attempts": int(attempts),
            "interrupted": int(interrupted),
            "failed_at": None | int() | float() as failed_at,
            "running": bool(running),
        } if min(lane, count, attempts, interrupted) >= 0 and (
            (_SEQUENCE.fullmatch(first) and _SEQUENCE.fullmatch(last))
            or first == last == ""  # the final invocation of a window has no records
        ):
            return Head(lane, first, last, count, attempts, interrupted, failed_at, running)
    raise ValueError("holds a batch that is none")


def _window(told: object) -> WindowState:
    match told:
        case {
            "start": int(start),
            "end": int(end),
            "state": dict(state),
            "last_arrival": int() | float() as last_arrival,
        }:
            return WindowState(start, end, state, last_arrival)
    raise ValueError("holds a window that is none")
