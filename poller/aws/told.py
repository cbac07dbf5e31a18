"""What services tell beside records, read with distrust: numbers to reckon with, and where reading goes on.

Each raises TypeError or ValueError for what cannot be meant. Shards are shards.py's.
"""

from typing import Any, Final

_MOST: Final = 1e12  # of anything that is counted: messages, seconds, hours


def amount(told: Any) -> float:
    """A number of at least 0; text that has one is as good."""
    if not isinstance(told, str | int | float):
        raise TypeError("no number")
    number = float(told)
    if not 0 <= number <= _MOST:  # NaN is not, either
        raise ValueError("no number that can be meant")
    return number


def count(told: Any) -> int:
    """A whole number of at least 0."""
    return int(amount(told))


def following(told: Any) -> str | None:
    """The iterator for the next read; null, nothing and an empty text are the end of a shard. What is no text must
    not pass for it, or the rest of the shard would be lost.
    """
    if told is not None and not isinstance(told, str):
        raise TypeError("no iterator")
    return told or None
