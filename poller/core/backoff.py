"""How long to wait before the next attempt: doubling, capped, jittered. Everyone who waits asks here."""

from random import Random

LONGEST_ASKED = 300.0
"""Seconds: a target that asks for a day (Retry-After) shall not put a lane to sleep for one."""

_SPREAD = 0.2
# Doubling past this is beyond any cap; without a bound the power itself would overflow.
_MOST_DOUBLINGS = 64


def delay(attempt: int, first: float, cap: float, random: Random) -> float:
    """Seconds to wait after the `attempt`-th failure in a row (1 is the first one); SQS-24, ERR-6.

    `first` seconds doubling up to `cap`, spread by 20 % to either side so that many waiters do not return
    together; never above `cap`, for any attempt number.
    """
    doublings = min(max(attempt - 1, 0), _MOST_DOUBLINGS)
    return min(cap, min(cap, first * 2.0**doublings) * random.uniform(1 - _SPREAD, 1 + _SPREAD))


def as_asked(own: float, asked: float | None) -> float:
    """Seconds to wait where the target named a time (INV-4): the longer of that and our own delay. Of the target's
    no more than LONGEST_ASKED counts; `asked` may be anything that a float can be.
    """
    return max(own, min(asked or 0.0, LONGEST_ASKED))
