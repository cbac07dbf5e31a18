"""Clients of one comparison: they run in turn, round after round, so that a slow spell of the machine meets all of
them, and each round has ratios of its own, whose median counts.
"""

import statistics
from collections.abc import Callable, Mapping

from tests.bench.rows import Goal, Row, not_available, row

OURS = "poller run, the whole product"


class NotAvailable(Exception):  # noqa: N818 - it tells what is so, not what went wrong
    """A peer that cannot be had here; the text tells why."""


def compare(
    unit: str, ours: Callable[[], float], peers: Mapping[str, Callable[[], float]], rounds: int,
    goals: Mapping[str, Goal] | None = None,
) -> list[Row]:  # fmt: skip
    """Our figure, those of the peers, and ours against each of them. A peer may raise NotAvailable."""
    taken: dict[str, list[float]] = {OURS: [], **{name: [] for name in peers}}
    missing: dict[str, str] = {}
    for _ in range(rounds):
        for name, measure in peers.items():
            if name in missing:
                continue
            try:
                taken[name].append(measure())
            except NotAvailable as why:
                missing[name] = str(why)
        taken[OURS].append(ours())
    rows = [
        not_available(name, missing[name]) if name in missing else row(name, taken[name], unit) for name in peers
    ]
    present = [name for name in peers if name not in missing]
    for name in present:
        ratio = statistics.median(mine / theirs for mine, theirs in zip(taken[OURS], taken[name], strict=True))
        rows.append(row(OURS, taken[OURS], unit, name, ratio, (goals or {}).get(name)))
    return rows if present else [*rows, row(OURS, taken[OURS], unit)]
