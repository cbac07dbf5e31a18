"""What a section of the benchmark returns: rows, and the goals that they are held to."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """Bounds of a row's ratio, or of its figure where it has no ratio."""

    text: str
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Row:
    """One measured thing: `ratio` is its figure divided by that of `against`, in the same run.

    Without a figure it was not available, and `unit` tells why. `rounds` are the values whose median is shown.
    """

    what: str
    figure: float | None
    unit: str
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    rounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Work:
    """How much is done: all of it, or with `quick` a tenth of it and one round, to see that it works."""

    quick: bool = False

    def count(self, usual: int) -> int:
        return usual // 10 if self.quick else usual

    def rounds(self, usual: int) -> int:
        return 1 if self.quick else usual

    def seconds(self, usual: float) -> float:
        return max(2.0, usual / 10) if self.quick else usual


def at_least(least: float, text: str = "") -> Goal:
    return Goal(text or f"at least {least:g} times", least=least)


def at_most(most: float, text: str = "") -> Goal:
    return Goal(text or f"at most {most:g} times", most=most)


def row(
    what: str, figures: float | Sequence[float], unit: str, against: str = "", ratio: float | None = None,
    goal: Goal | None = None,
) -> Row:  # fmt: skip
    """A row of one figure or of the median of some, judged."""
    rounds = (figures,) if isinstance(figures, (int, float)) else tuple(figures)
    figure = statistics.median(rounds)
    judged = figure if ratio is None else ratio
    return Row(
        what=what,
        figure=figure,
        unit=unit,
        against=against,
        ratio=ratio,
        goal="" if goal is None else goal.text,
        met=None if goal is None else goal.least <= judged <= goal.most,
        rounds=rounds if len(rounds) > 1 else (),
    )


def not_available(what: str, why: str) -> Row:
    return Row(what, None, f"not available: {why}")
