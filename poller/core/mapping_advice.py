"""What a valid mapping of a stream runs into here and now: sentences for `poller check` and for the start.

Each function is handed the one fact that the mapping itself does not have.
"""

from datetime import UTC, datetime, timedelta

from poller.core.mapping import EventSourceMapping
from poller.core.records import PositionKind


def future_start(mapping: EventSourceMapping, now: float) -> str | None:
    """CFG-8, STR-13: why the stream cannot be read from there; `now` is epoch seconds."""
    if mapping.stream is None or mapping.stream.position.kind is not PositionKind.AT_TIMESTAMP:
        return None
    start = mapping.stream.position.timestamp
    if start <= now:
        return None
    return (
        f"StartingPositionTimestamp {_shown(start)} is in the future, it is {_shown(now)} now;"
        " write a time that has passed, or StartingPosition: LATEST."
    )


def lost_positions(mapping: EventSourceMapping, *, lasting: bool) -> str | None:
    """STR-31: what a stream loses when its positions end with the process; `lasting` says whether they do not."""
    if mapping.stream is None or lasting:
        return None
    position = mapping.stream.position.kind
    passed = "misses what was written meanwhile" if position is PositionKind.LATEST else "handles records again"
    return (
        f"positions and attempt counts of {mapping.arn.name} are kept in memory and lost when this process ends:"
        f" the next start begins at StartingPosition {position.value} and {passed};"
        " keep them in a file, with State sqlite:<path>."
    )


def _shown(seconds: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds))
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
