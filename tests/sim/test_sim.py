"""The whole worker, simulated: every invariant of invariants.py and verdict.py over 150 seeds, and over those that
have failed once.

A failure names its seed and the command that repeats it. More seeds: `make sim`.
"""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.sim.reached import COMMON, missing
from tests.sim.run import kept
from tests.sim.world import run

SEEDS = 150
CHUNK = 75


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_whatever_goes_wrong_nothing_is_lost(first: int) -> None:
    """GEN-2, GEN-5, BAT-1 to BAT-6, SQS-20, SQS-21, SQS-23, FIFO-1, FIFO-2, FIFO-6, PBR-10, PBR-22, ERR-5, ERR-10,
    ERR-20, ERR-33, DST-30, STR-2, STR-11, STR-28, STR-30, STR-40, API-8: the real service, its runtime and core,
    against AWS, store, functions and clocks that misbehave by seed.
    """
    reached: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        reached += run(seed).reached
    assert not missing(reached, COMMON), "a simulation that meets nothing proves nothing"


def test_a_seed_that_failed_once_never_fails_again() -> None:
    """GEN-2: seeds.txt."""
    for seed, steps in kept():
        run(seed, steps)


def test_the_same_seed_gives_the_same_trace() -> None:
    """What failed can be looked at: also in another process, whose hashes of texts are others."""
    seeds = (6, 7, 8)
    here = [run(seed).digest for seed in seeds]
    program = f"from tests.sim.world import run; print(*[run(seed).digest for seed in {seeds}])"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.getcwd()},  # noqa: PTH109 - as it was set
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert other.stdout.split() == here
    assert len(set(here)) == len(seeds)
