"""Does a mapping need somebody to look at it? The one place that decides it for the status page and the terminal.

The alerts of Prometheus look at longer times and have thresholds of their own: this is for whoever is looking now.
"""

from poller.core.fact import Word, fact
from poller.core.model import MappingState

FAILING_SHARE = 0.05
"""Of what was invoked in the last minute."""

LATE = 300.0
"""Seconds behind from which on a mapping is late."""

STANDING_STILL = 60.0
"""Seconds for which a shard may stand still behind a failing batch before it is more than a retry."""

_AT_REST = frozenset({MappingState.DISABLING, MappingState.DISABLED, MappingState.DELETING})


class Level(Word):
    """BAD: something does not go on. WARN: it goes on, and not well."""

    BAD = "bad"
    WARN = "warn"


@fact
class Trouble:
    """`reason` is a part of a sentence."""

    level: Level
    reason: str


@fact
class TroubleFacts:
    """What is known of one mapping. `stuck` is why it makes no progress (liveness.py), `problem` why its source
    cannot be read at the moment, `failing` the share of failures in the last minute, `error` the last one.
    `blocked` of its `shards` stand still, the longest of them for `blocked_for` seconds; `lag` is seconds. `held`
    is why it does not run although it shall, empty for all others.
    """

    state: MappingState
    finished: bool
    stuck: str | None
    problem: str | None
    failing: float
    error: str
    lag: float
    shards: int = 0
    blocked: int = 0
    blocked_for: float = 0.0
    held: str = ""


def find_trouble(facts: TroubleFacts) -> Trouble | None:
    """The worst of it; None while all is well, or when the mapping is to stand still."""
    if facts.held:
        return Trouble(Level.BAD, f"it does not run: {facts.held}")
    if facts.finished or facts.state in _AT_REST:
        return None
    if facts.stuck is not None:
        return Trouble(Level.BAD, facts.stuck)
    if facts.problem is not None:
        return Trouble(Level.BAD, f"its source cannot be read: {facts.problem}")
    if facts.blocked:
        level = Level.BAD if facts.blocked_for >= STANDING_STILL else Level.WARN
        verb = "stands" if facts.blocked == 1 else "stand"
        which = f"{facts.blocked:,} of {facts.shards:,} shards {verb} still behind a failing batch"
        return Trouble(level, f"{which}, for {_span(facts.blocked_for)}: {facts.error}")
    if facts.failing >= FAILING_SHARE:
        return Trouble(Level.WARN, f"{facts.failing:.0%} failed in the last minute: {facts.error}")
    if facts.lag >= LATE:
        return Trouble(Level.WARN, f"{_span(facts.lag)} behind")
    return None


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
