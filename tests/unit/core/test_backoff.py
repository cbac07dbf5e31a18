"""The delays of SQS-24 and ERR-6: values, bounds and medians."""

import math
from itertools import pairwise
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.core.backoff import LONGEST_ASKED, as_asked, delay


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


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, 2), (0.0, 2), (1.5, 2), (2.5, 2.5), (300.0, 300), (301.0, 300), (86_400.0, 300), (math.inf, 300)],
)
def test_a_target_may_ask_for_more_time_but_not_for_any(asked: float | None, wait: float) -> None:
    """INV-4: never less than our own delay, and of what the target asks no more than five minutes."""
    assert as_asked(2.0, asked) == wait
    assert as_asked(0.2, None) == 0.2


@given(st.floats(0, 30), st.none() | st.floats())
def test_no_number_makes_it_wait_for_ever_or_not_at_all(own: float, asked: float | None) -> None:
    """INV-4: negative, endless, or not a number at all."""
    assert own <= as_asked(own, asked) <= LONGEST_ASKED
