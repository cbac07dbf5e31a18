"""What a run of many seeds has to reach: a simulation that meets nothing proves nothing."""

from collections import Counter

from tests.sim.disturb import DISTURBANCES
from tests.sim.faults import Fate

COMMON = frozenset(
    {
        *(fate for fate in Fate if fate is not Fate.DONE),
        *DISTURBANCES,
        "power failure", "destination down", "suspended", "split", "rollover",
        "store down", "store: conflict", "store: done after it failed", "store: lost answer",
        "outcome: success", "outcome: partial", "outcome: error", "outcome: timeout", "outcome: throttled",
        "outcome: invalid_response",
        "retry: error", "retry: partial", "retry: throttled", "bisect",
        "trigger: size", "trigger: window", "trigger: immediate", "trigger: stop",
        "discard: retries", "document: RetryAttemptsExhausted", "dropped",
        "released: failed", "released: stop", "deleted", "delete failed", "visibility lapsed",
        "heartbeat: success",
        "record: delivered", "record: filtered", "record: documented", "record: given up", "record: dead letter",
        "record: lost to retention", "killed by a record", "full budget",
    }
)  # fmt: skip
"""Met within a hundred seeds."""

RARE = frozenset(
    {
        "discard: age", "retry: timeout", "trimmed", "merge", "document: RecordAgeExceeded", "document refused",
        "record: dropped", "gap: trimmed", "heartbeat: error", "trigger: bytes", "drained", "stopped",
        "final invocation of a window", "released: group_blocked", "record: left behind",
    }
)  # fmt: skip
"""Met within two thousand."""

ALL = COMMON | RARE
ENOUGH = 2_000  # seeds, to ask for all of it


def missing(reached: Counter[str], wanted: frozenset[str] = ALL) -> list[str]:
    """What was not reached."""
    return sorted(str(word) for word in wanted if not reached[word])


def table(reached: Counter[str]) -> str:
    """Everything that was, and how often, in three columns."""
    cells = [f"{word:<34}{count:>9}" for word, count in sorted(reached.items()) if count]
    rows = -(-len(cells) // 3)
    lines = ["   ".join(cells[row::rows]) for row in range(rows)]
    return "\n".join(line.rstrip() for line in lines)
