"""The bytes that all mappings of a process may hold (SQS-2, STR-27)."""

import pytest

from poller.core.budget import ByteBudget


def test_there_is_room_below_the_limit_only() -> None:
    """SQS-2, STR-27: whichever way it is come to; what was asked for may be more than there is room for."""
    budget = ByteBudget(1_000)
    seen = []
    for change in (999, 1, 500, -500, -1, -999):
        budget.take(change) if change > 0 else budget.give_back(-change)
        seen.append((budget.used, budget.has_room))
    assert seen == [(999, True), (1_000, False), (1_500, False), (1_000, False), (999, True), (0, True)]
    budget.take(2_000)
    budget.give_back(500)
    assert not budget.has_room


def test_a_limit_of_nothing_has_no_room() -> None:
    """SQS-2: and the least that there is has."""
    assert not ByteBudget(0).has_room
    assert ByteBudget(1).has_room


def test_more_given_back_than_taken_is_a_bug() -> None:
    """SQS-2: a count that drifts would let everything in."""
    budget = ByteBudget()
    budget.take(1)
    with pytest.raises(AssertionError):
        budget.give_back(2)
