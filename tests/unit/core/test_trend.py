"""What is told of the last seconds, from sums noted every two of them."""

import pytest

from poller.core.trend import LAG_EVERY, LAG_POINTS, NOTE_EVERY, Totals, Trend


def noted(seconds, per_second):
    """A trend after so many seconds of steady work, and the sums of now."""
    trend, at = Trend(Totals(0.0)), 0.0
    while at < seconds:
        at += NOTE_EVERY
        trend.note(per_second(at))
    return trend


def test_the_rate_is_that_of_the_last_ten_seconds():
    trend = noted(100.0, lambda at: Totals(at, done=int(max(0.0, at - 90.0) * 50)))

    assert trend.out_per_second(Totals(100.0, done=500)) == 50.0
    assert trend.out_per_second(Totals(101.0, done=600)) == pytest.approx(600 / 11)
    steady = noted(100.0, lambda at: Totals(at, done=int(at) * 50))
    assert steady.out_per_second(Totals(100.0, done=5_000)) == 50.0


def test_at_the_beginning_the_rate_is_that_since_then():
    trend = Trend(Totals(7.0))

    assert trend.out_per_second(Totals(7.5, done=3)) == 3.0, "of half a second nobody makes twice as much"
    assert trend.out_per_second(Totals(11.0, done=20)) == 5.0
    trend.note(Totals(9.0, done=18))
    assert trend.out_per_second(Totals(11.0, done=20)) == 5.0


def test_nothing_has_been_counted_at_first():
    assert Totals(7.0) == Totals(7.0, done=0, invoked=0, failed=0, ages=0.0, aged=0)


def test_the_age_is_the_mean_of_what_was_dispatched_lately():
    trend = noted(60.0, lambda at: Totals(at, ages=9_000.0, aged=3))

    assert trend.age(Totals(60.0, ages=9_000.0, aged=3)) == 0.0, "nothing was dispatched"
    assert trend.age(Totals(60.0, ages=9_030.0, aged=13)) == 3.0
    assert trend.age(Totals(60.0, ages=9_000.5, aged=4)) == 0.5
    assert trend.age(Totals(60.0, ages=8_999.5, aged=4)) == 0.0, "a clock that is ahead"
    trend = noted(60.0, lambda at: Totals(at, ages=10.0 if at >= 55 else 0.0, aged=10 if at >= 55 else 0))
    assert trend.age(Totals(60.0, ages=60.0, aged=20)) == 3.0


def test_failures_are_told_over_a_minute():
    trend = noted(120.0, lambda at: Totals(at, invoked=int(at) * 10, failed=80 if at >= 70 else 0))

    assert trend.failing(Totals(120.0, invoked=1_200, failed=80)) == pytest.approx(80 / 600)
    assert (
        noted(140.0, lambda at: Totals(at, invoked=int(at), failed=9 if at >= 70 else 0)).failing(
            Totals(140.0, invoked=140, failed=9)
        )
        == 0.0
    ), "more than a minute ago"


def test_nothing_invoked_is_nothing_failed():
    trend = Trend(Totals(0.0))

    assert trend.failing(Totals(5.0)) == 0.0
    assert trend.failing(Totals(5.0, invoked=1, failed=10)) == 1.0, "begun before the minute, failed in it"


def test_counting_that_begins_again_is_no_work_undone():
    trend = noted(30.0, lambda at: Totals(at, done=1_000))
    trend.begin_again(Totals(30.0))

    assert trend.out_per_second(Totals(35.0, done=10)) == 2.0
    assert trend.out_per_second(Totals(40.0, done=20)) == 2.0


def test_points_of_the_lag_are_ten_seconds_apart_and_the_oldest_are_forgotten():
    trend, at = Trend(Totals(3.0)), 3.0
    while len(trend.lags) < LAG_POINTS:
        assert trend.lag_due(at)
        trend.note_lag(at, at)
        assert not trend.lag_due(at + LAG_EVERY - 0.1)
        assert trend.lag_due(at + LAG_EVERY + 0.1)
        at += LAG_EVERY
    trend.note_lag(-1.0, at)

    assert (len(trend.lags), trend.lags[0], trend.lags[-1]) == (LAG_POINTS, 13.0, -1.0)
