"""When a shard may be read again (STR-20, STR-21, STR-23)."""

from random import Random

import pytest

from poller.core.model import SourceKind, SourceProblem
from poller.core.pace import Pace
from tests.unit.core.machine import Middle

KINESIS, DYNAMODB = SourceKind.KINESIS, SourceKind.DYNAMODB
PLAIN = [one for one in SourceProblem if one not in {SourceProblem.EXPIRED, SourceProblem.TRIMMED}]
LASTING = {SourceProblem.MISSING, SourceProblem.DENIED, SourceProblem.REFUSED}


def pace_of(source: SourceKind = KINESIS) -> Pace:
    pace = Pace(source, Middle())
    pace.started(100.0)
    return pace


def test_the_first_read_is_due_at_once() -> None:
    """STR-20."""
    assert Pace(KINESIS, Middle()).due == 0.0


@pytest.mark.parametrize(("source", "idle", "behind"), [(KINESIS, 1.0, 0.25), (DYNAMODB, 0.25, 0.1)])
def test_idle_and_behind(source: SourceKind, idle: float, behind: float) -> None:
    """STR-20, STR-21: from start to start, so that a slow answer costs no time; never 5 a second on Kinesis."""
    pace = pace_of(source)
    pace.ended(behind=False, size=10**9)
    assert pace.due == 100.0 + idle
    pace.started(200.0)
    pace.ended(behind=True, size=100)
    assert pace.due == 200.0 + behind


def test_idle_shards_drift_apart() -> None:
    """STR-20: a thousand that started together are not read together for ever."""
    dues = set()
    for seed in range(20):
        pace = Pace(KINESIS, Random(seed))
        pace.started(100.0)
        pace.ended(behind=False, size=0)
        assert 100.95 <= pace.due <= 101.05
        dues.add(pace.due)
    assert len(dues) == 20


def test_a_large_answer_is_paid_for() -> None:
    """STR-21: Kinesis gives 2 MB of data a second, a third more on the wire; after 10 MB it rests 5 s."""
    pace = pace_of()
    pace.ended(behind=True, size=10 * 1024 * 1024 * 4 // 3)
    assert pace.due == pytest.approx(105.0, abs=0.01)
    table = pace_of(DYNAMODB)
    table.ended(behind=True, size=10 * 1024 * 1024)
    assert table.due == 100.1


@pytest.mark.parametrize("problem", PLAIN)
def test_a_failure_waits_longer_each_time(problem: SourceProblem) -> None:
    """STR-23, ERR-3: from its end, doubling up to a bound, which is higher where the answer was no."""
    pace = pace_of()
    waits = []
    for _ in range(12):
        pace.failed(problem, 200.0)
        waits.append(round(pace.due - 200.0, 3))
    cap = 30.0 if problem in LASTING else 3.0
    assert waits == [min(cap, 0.2 * 2**n) for n in range(12)]


@pytest.mark.parametrize("problem", [SourceProblem.EXPIRED, SourceProblem.TRIMMED])
def test_a_new_iterator_is_got_at_once_but_not_for_ever(problem: SourceProblem) -> None:
    """STR-24, STR-25: the first time at the pace of reads, after that like every failure: never a tight loop."""
    pace = pace_of()
    pace.failed(problem, 100.05)
    assert pace.due == 100.25
    pace.started(101.0)
    pace.failed(problem, 101.0)
    assert pace.due == 101.4
    pace.failed(problem, 101.0)
    assert pace.due == 101.8


def test_a_success_ends_the_row_of_failures() -> None:
    """STR-23: the next failure is the first again."""
    pace = pace_of()
    for _ in range(9):
        pace.failed(SourceProblem.THROTTLED, 100.0)
    pace.ended(behind=True, size=0)
    pace.failed(SourceProblem.THROTTLED, 100.0)
    assert pace.due == 100.2


def test_failures_are_spread() -> None:
    """STR-23: with jitter, 20 per cent to either side."""
    dues = set()
    for seed in range(20):
        pace = Pace(KINESIS, Random(seed))
        pace.failed(SourceProblem.THROTTLED, 10.0)
        assert 10.16 <= pace.due <= 10.24
        dues.add(pace.due)
    assert len(dues) == 20
