"""The delays of SQS-24 and ERR-6: values, bounds and medians."""

from itertools import pairwise
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.core.backoff import delay


class Middle(Random):
    """Random that always answers with the middle, so that the plain schedule shows."""

    def random(self) -> float:
        return 0.5


def test_the_schedule_without_jitter() -> None:
    """SQS-24: 1 s doubling to 30 s."""
    assert [delay(attempt, 1, 30, Middle()) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_an_attempt_that_has_not_failed_waits_like_the_first() -> None:
    """SQS-24: counters that start at zero do no harm."""
    assert delay(0, 1, 30, Middle()) == delay(-5, 1, 30, Middle()) == 1


def test_a_first_delay_above_the_cap() -> None:
    """SQS-24: the cap holds from the first attempt on."""
    assert delay(1, 60, 30, Middle()) == 30


@given(st.integers(), st.floats(0.001, 100), st.floats(0.001, 10_000), st.randoms(use_true_random=False))
def test_bounds(attempt: int, first: float, cap: float, random: Random) -> None:
    """SQS-24, ERR-6: within 20 % of the plain schedule and never above the cap, for any attempt number."""
    plain = min(cap, first * 2.0 ** min(max(attempt - 1, 0), 100))
    waited = delay(attempt, first, cap, random)
    assert 0.8 * plain * (1 - 1e-9) <= waited <= min(cap, 1.2 * plain * (1 + 1e-9))


@pytest.mark.parametrize("attempt", [10**3, 10**9, 10**30])
def test_attempt_numbers_without_end(attempt: int) -> None:
    """SQS-24: a queue may be throttled for weeks."""
    assert 24 <= delay(attempt, 1, 30, Random(1)) <= 30


def test_medians_rise_and_values_spread() -> None:
    """ERR-6: later attempts wait longer in the middle, and no two waiters in step."""
    random = Random(7)
    samples = [[delay(attempt, 1, 30, random) for _ in range(401)] for attempt in range(1, 9)]
    medians = [round(median(values)) for values in samples]
    assert all(later >= earlier for earlier, later in pairwise(medians))
    assert all(max(values) - min(values) > 0.15 * median(values) for values in samples)
