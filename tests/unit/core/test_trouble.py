"""Which mapping needs somebody to look at it, and why."""

from dataclasses import replace

import pytest

from poller.core.model import MappingState
from poller.core.trouble import Level, Trouble, TroubleFacts, find_trouble

WELL = TroubleFacts(
    state=MappingState.ENABLED,
    finished=False,
    stuck=None,
    problem=None,
    failing=0.0,
    error="E: no",
    lag=0.0,
    shards=8,
)
WORST = replace(WELL, stuck="no answer", problem="unreachable", failing=1.0, lag=9e9, blocked=3, blocked_for=600.0)


def of(**facts):
    return find_trouble(replace(WELL, **facts))


def test_what_is_well_is_no_trouble():
    assert find_trouble(WELL) is None
    assert of(failing=0.049, lag=299.9) is None, "a few failures are retried"
    assert (of(failing=0.05), of(lag=300.0)) == (
        Trouble(Level.WARN, "5% failed in the last minute: E: no"),
        Trouble(Level.WARN, "5 min behind"),
    )
    plain = TroubleFacts(MappingState.ENABLED, False, None, None, 0.0, "", 0.0)
    assert (plain.shards, plain.blocked, plain.blocked_for) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(119, "119 s"), (120, "2 min"), (6_000, "100 min"), (7_199, "120 min"), (7_200, "2.0 h"), (9_000, "2.5 h")],
)
def test_spans_are_told_in_the_unit_that_says_most(seconds, told):
    assert (
        of(blocked=2, blocked_for=seconds).reason
        == f"2 of 8 shards stand still behind a failing batch, for {told}: E: no"
    )


def test_what_goes_worst_is_told_first():
    told, facts = [], WORST
    for mended in ({"stuck": None}, {"problem": None}, {"blocked": 0}, {"failing": 0.0}, {"lag": 0.0}):
        told.append(find_trouble(facts))
        facts = replace(facts, **mended)

    assert told == [
        Trouble(Level.BAD, "no answer"),
        Trouble(Level.BAD, "its source cannot be read: unreachable"),
        Trouble(Level.BAD, "3 of 8 shards stand still behind a failing batch, for 10 min: E: no"),
        Trouble(Level.WARN, "100% failed in the last minute: E: no"),
        Trouble(Level.WARN, "2500000.0 h behind"),
    ]
    assert find_trouble(facts) is None


def test_a_batch_that_is_tried_again_is_bad_once_it_lasts():
    assert of(blocked=1, blocked_for=59.9) == Trouble(
        Level.WARN, "1 of 8 shards stands still behind a failing batch, for 60 s: E: no"
    )
    assert of(blocked=1, blocked_for=60.0).level is Level.BAD


@pytest.mark.parametrize("state", [MappingState.DISABLING, MappingState.DISABLED, MappingState.DELETING])
def test_what_is_to_stand_still_is_no_trouble(state):
    assert find_trouble(replace(WORST, state=state)) is None


def test_what_has_finished_is_no_trouble():
    assert find_trouble(replace(WORST, finished=True)) is None
