"""The trend of each mapping, from what is counted of it."""

from dataclasses import replace

import pytest

from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import Instant, SourceKind
from poller.core.stream_gauges import NO_STREAM_GAUGES
from poller.core.trend import Totals, Trend
from poller.http.status import history_status
from poller.http.trends import Trends, lag_of, totals_of
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES, DiscardedFor


class FixedClock:
    mono = 100.0

    def now(self):
        return Instant(wall=1_700_000_000.0 + self.mono, mono=self.mono)


@pytest.fixture
def metrics():
    return Metrics(clock=FixedClock())


def mapping(name, source=SourceKind.SQS):
    arn = SourceArn(f"arn:aws:sqs:eu-west-1:123456789012:{name}", "aws", "eu-west-1", "123456789012", name)
    return EventSourceMapping(f"u-{name}", name, source, arn, "python:shop:handler", "arn:aws:lambda:::shop")


def test_what_leaves_is_what_succeeded_was_filtered_out_or_given_up(metrics):
    stats = metrics.add(mapping("clicks", SourceKind.KINESIS), lambda: NO_STREAM_GAUGES)
    trends = Trends(metrics)
    trends.note()
    stats.succeeded_events, stats.filtered_events = 50, 30
    stats.stream.discarded_events[DiscardedFor.AGE] = 20
    metrics.clock.mono = 110.0

    assert trends.of(stats).out_per_second(totals_of(stats, 110.0)) == 10.0


def test_the_lag_is_noted_every_ten_seconds_for_each_mapping(metrics):
    held = replace(NO_GAUGES, oldest_pending_since=97.0)
    metrics.add(mapping("one"), lambda: held)
    metrics.add(mapping("two"), lambda: NO_GAUGES)
    trends = Trends(metrics)
    for mono in (100.0, 102.0, 110.0):
        metrics.clock.mono = mono
        trends.note()

    assert history_status(metrics, trends) == {"seconds": 10.0, "lag": {"u-one": [3.0, 13], "u-two": [0.0, 0.0]}}


def test_a_mapping_whose_counting_begins_again_keeps_its_lag(metrics):
    """As after an update: the same UUID, and sums that begin at 0."""
    stats = metrics.add(mapping("one"), lambda: NO_GAUGES)
    trends = Trends(metrics)
    stats.succeeded_events = 1_000
    trends.note()
    metrics.remove(stats)
    again = metrics.add(mapping("one"), lambda: NO_GAUGES)
    metrics.clock.mono = 102.0
    trends.note()
    again.succeeded_events = 8

    assert trends.of(again).out_per_second(totals_of(again, 104.0)) == 2.0
    assert len(trends.of(again).lags) == 1


def test_a_mapping_that_is_gone_is_forgotten(metrics):
    stats = metrics.add(mapping("one"), lambda: NO_GAUGES)
    trends = Trends(metrics)
    trends.note()
    metrics.remove(stats)
    trends.note()

    assert not trends.of(stats).lags
    assert history_status(metrics, trends)["lag"] == {}


def test_the_lag_of_a_stream_is_the_worse_of_age_and_distance():
    now, trend, totals = Instant(0.0, 50.0), Trend(Totals(0.0)), Totals(50.0, ages=1_000.0, aged=1)

    assert lag_of(replace(NO_STREAM_GAUGES, iterator_age=2.0, behind=None), trend, totals, now) == 2.0
    assert lag_of(replace(NO_STREAM_GAUGES, iterator_age=2.0, behind=7.0), trend, totals, now) == 7.0


def test_the_lag_of_a_queue_is_the_age_at_dispatch_or_of_what_waits_in_our_hands():
    now, trend, totals = Instant(0.0, 50.0), Trend(Totals(45.0)), Totals(50.0, ages=12.0, aged=3)

    assert lag_of(NO_GAUGES, trend, totals, now) == 4.0
    assert lag_of(replace(NO_GAUGES, oldest_pending_since=20.0), trend, totals, now) == 30.0
