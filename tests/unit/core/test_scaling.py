"""How many batches and how many receives: climbing and falling on evidence (SQS-3 to SQS-7, SQS-24)."""

import pytest

from poller.core.mapping import ProvisionedPollers
from poller.core.scaling import Concurrency, Polling
from tests.unit.core.machine import mapping


def climb(slots: Concurrency, seconds: float, start: float = 0.0, step: float = 0.01) -> None:
    """Successes all along, with a backlog."""
    for tick in range(round(seconds / step) + 1):
        slots.succeeded(start + tick * step, backlog=True)


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"concurrency": 2000}, 5),
        ({"concurrency": 3}, 3),
        ({"concurrency": 100, "maximum_concurrency": 2}, 2),
        ({"concurrency": 2000, "provisioned": ProvisionedPollers(3, 10)}, 30),
        ({"concurrency": 8, "provisioned": ProvisionedPollers(3, 10)}, 8),
    ],
)
def test_where_it_begins(fields: dict, start: int) -> None:
    """SQS-3, SQS-6, SQS-7: five, or less if less is allowed; ten for each provisioned poller."""
    assert Concurrency(mapping(**fields)).limit == start


@pytest.mark.parametrize(
    ("fields", "ceiling"),
    [
        ({"concurrency": 5000}, 1250),
        ({"concurrency": 40}, 40),
        ({"concurrency": 5000, "maximum_concurrency": 30}, 30),
        ({"concurrency": 5000, "provisioned": ProvisionedPollers(2, 7)}, 70),
    ],
)
def test_where_it_ends(fields: dict, ceiling: int) -> None:
    """SQS-3, SQS-6, SQS-7, OPEN-10: never above the ceiling, however long the backlog lasts."""
    slots = Concurrency(mapping(**fields))
    climb(slots, 600, step=0.2)
    assert slots.limit == ceiling


def test_three_hundred_more_in_a_minute() -> None:
    """SQS-3: the rate while a backlog remains, neither much slower nor faster."""
    slots = Concurrency(mapping(concurrency=5000))
    climb(slots, 60)
    assert 280 <= slots.limit - 5 <= 300


def test_a_thousand_more_in_a_minute_when_provisioned() -> None:
    """SQS-7: provisioned mode climbs faster."""
    slots = Concurrency(mapping(concurrency=50_000, provisioned=ProvisionedPollers(2, 2000)))
    climb(slots, 60)
    assert 830 <= slots.limit - 20 <= 1000


def test_no_backlog_no_growth() -> None:
    """SQS-3: successes alone are no reason for more."""
    slots = Concurrency(mapping(concurrency=50))
    for tick in range(1000):
        slots.succeeded(tick * 0.1, backlog=False)
    assert slots.limit == 5
    climb(slots, 3.0, start=200.0)
    above = slots.limit
    assert 5 < above < 50
    for tick in range(1000):
        slots.succeeded(300.0 + tick * 0.1, backlog=False)
    assert slots.limit == above


def test_an_idle_spell_saves_nothing_up() -> None:
    """SQS-3: after an hour without work one success raises by one second's growth at most."""
    slots = Concurrency(mapping(concurrency=5000))
    slots.succeeded(0.0, backlog=True)
    slots.succeeded(3600.0, backlog=True)
    assert slots.limit == 10


def test_failures_halve_down_to_one_and_once_a_second() -> None:
    """SQS-24, OPEN-18: at most once a second, never below 1."""
    slots = Concurrency(mapping(concurrency=100))
    seen = []
    for now in (10.0, 10.5, 10.999, 11.0, 12.0, 13.0):
        slots.failed(now)
        seen.append(slots.limit)
    assert seen == [2, 2, 2, 1, 1, 1]
    slots = Concurrency(mapping(concurrency=100))
    for now, limit in ((0.0, 2), (7.3, 1)):
        slots.failed(now)
        assert slots.limit == limit


def test_successes_win_back_what_failures_took() -> None:
    """SQS-24: at the rate of SQS-3, without a backlog too, and no further than the start then."""
    slots = Concurrency(mapping(concurrency=100))
    slots.failed(0.0)
    slots.failed(1.0)
    assert slots.limit == 1
    slots.succeeded(1.1, backlog=False)
    assert slots.limit == 1
    slots.succeeded(1.21, backlog=False)
    assert slots.limit == 2
    for tick in range(100):
        slots.succeeded(2.0 + tick, backlog=False)
    assert slots.limit == 5


def test_an_empty_queue_takes_it_back_to_the_start() -> None:
    """SQS-5: down to where it began, but what failures took stays taken."""
    slots = Concurrency(mapping(concurrency=100))
    climb(slots, 10)
    assert slots.limit > 40
    slots.idle()
    assert slots.limit == 5
    slots.failed(20.0)
    slots.idle()
    assert slots.limit == 2


def test_one_receive_while_idle() -> None:
    """SUR-18, SQS-5: empty receives never raise the number."""
    polling = Polling(mapping())
    for _ in range(10):
        polling.received(10, 0)
    assert (polling.target, polling.floor, polling.backlog) == (1, 1, False)


def test_full_receives_call_for_more() -> None:
    """SQS-3: one more for each full one, up to what the handler may do at once."""
    polling = Polling(mapping(concurrency=4))
    seen = []
    for _ in range(5):
        polling.received(10, 10)
        seen.append(polling.target)
    assert seen == [2, 3, 4, 4, 4]
    assert polling.backlog


def test_thin_receives_call_for_fewer() -> None:
    """SQS-5: less than half full halves, half full changes nothing."""
    polling = Polling(mapping(concurrency=8))
    for _ in range(8):
        polling.received(10, 10)
    for got in (5, 6, 9):
        polling.received(10, got)
        assert polling.target == 8
    polling.received(10, 4)
    assert polling.target == 4
    polling.failed()
    assert polling.target == 1


def test_provisioned_pollers_bound_the_receives() -> None:
    """SQS-7: never fewer than the minimum, never more than the maximum."""
    polling = Polling(mapping(provisioned=ProvisionedPollers(2, 3)))
    assert polling.target == polling.floor == 2
    for _ in range(5):
        polling.received(10, 10)
    assert polling.target == 3
    for _ in range(5):
        polling.received(10, 0)
    assert polling.target == 2
