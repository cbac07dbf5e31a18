"""The ways between a mapping's states."""

from itertools import pairwise

import pytest

from poller.core.lifecycle import TRANSITIONS, may_become
from poller.core.model import MappingState

S = MappingState


@pytest.mark.parametrize(
    "way",
    [
        [S.CREATING, S.ENABLED, S.DISABLING, S.DISABLED, S.ENABLING, S.ENABLED, S.DELETING],
        [S.CREATING, S.DISABLED, S.DELETING],
        [S.ENABLED, S.UPDATING, S.ENABLED],
        [S.DISABLED, S.UPDATING, S.DISABLED],
        [S.ENABLED, S.DISABLING, S.ENABLING, S.ENABLED],
    ],
)
def test_api_3_ways_that_there_are(way: list[MappingState]) -> None:
    """API-3: switching goes through Enabling or Disabling; a pause may be taken back."""
    assert all(may_become(*step) for step in pairwise(way))


@pytest.mark.parametrize(
    ("state", "next_state"),
    [
        (S.CREATING, S.DISABLING),
        (S.DISABLED, S.ENABLED),
        (S.ENABLED, S.DISABLED),
        (S.ENABLED, S.ENABLING),
        (S.DISABLED, S.DISABLING),
        (S.DISABLING, S.ENABLED),
        (S.ENABLING, S.DISABLED),
    ],
)
def test_ways_that_there_are_not(state: MappingState, next_state: MappingState) -> None:
    """API-3."""
    assert not may_become(state, next_state)


def test_deleting_comes_after_every_state_and_is_the_last() -> None:
    """API-3: after it the mapping is not found."""
    others = set(S) - {S.DELETING}
    assert set(TRANSITIONS) == set(S)
    assert all(may_become(state, S.DELETING) for state in others)
    assert not any(may_become(S.DELETING, state) for state in S)


def test_nothing_becomes_what_it_is_and_nobody_returns_to_creating() -> None:
    """API-3."""
    assert not any(may_become(state, state) or may_become(state, S.CREATING) for state in S)
