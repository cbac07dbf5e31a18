"""The text of /metrics is prometheus_client's, whoever writes it."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from poller.metrics_numbers import Histogram
from poller.metrics_text import DistributionFamily, exposition

ODD = 'a "quoted" \\ name\nof two lines, é'


class Families:
    def __init__(self, *families):
        self.families = families

    def collect(self):
        return self.families


def registry_of(*families):
    registry = CollectorRegistry()
    registry.register(Families(*families))
    return registry


def family(*rows, labels=("mapping", "outcome", "source"), **more):
    made = DistributionFamily("esm_x_seconds", "What it is.", labels, **more)
    for values, histogram in rows:
        made.add(values, histogram)
    return made


def observed(*values):
    histogram = Histogram((0.005, 1.0, 2.5))
    for value in values:
        histogram.observe(value)
    return histogram


@pytest.mark.parametrize("encode", [generate_latest, openmetrics.generate_latest])
@pytest.mark.parametrize("buckets", [True, False])
def test_a_histogram_is_written_as_the_library_writes_it(encode, buckets):
    many = observed()
    many.counts = [1_234_567, 0, 3, 12_345_678_901]
    many.total = 1e12 / 3
    rows = (
        ((ODD, "success", "sqs"), observed(0.001, 1.0, 7.25)),
        (("", "error", "sqs"), observed()),
        (("many", "error", "sqs"), many),
    )
    registry = registry_of(family(*rows, buckets=buckets), family(((), observed(3.0)), labels=()))

    assert exposition(registry, encode) == encode(registry)
    assert exposition(registry, encode) == encode(registry), "from what it remembers"


def test_what_was_observed_since_is_written():
    histogram = observed(1.0)
    registry = registry_of(family((("m", "success", "sqs"), histogram)))
    exposition(registry, generate_latest)
    histogram.observe(2.0)

    assert exposition(registry, generate_latest) == generate_latest(registry)
    assert b'esm_x_seconds_count{mapping="m",outcome="success",source="sqs"} 2.0' in exposition(
        registry, generate_latest
    )


def test_a_histogram_of_another_name_is_not_what_was_remembered():
    histogram = observed(1.0)
    exposition(registry_of(family((("old", "success", "sqs"), histogram))), generate_latest)

    assert b'mapping="new"' in exposition(
        registry_of(family((("new", "success", "sqs"), histogram))), generate_latest
    )


def test_exemplars_are_shown_where_the_format_has_them():
    histogram = observed(1.0)
    histogram.observe_traced(2.0, "4bf92f3577b34da6a3ce929d0e0e4736", 1_700_000_000.0)
    registry = registry_of(family((("m", "success", "sqs"), histogram)))

    assert exposition(registry, openmetrics.generate_latest) == openmetrics.generate_latest(registry)
    assert b"4bf92f3577b34da6a3ce929d0e0e4736" in exposition(registry, openmetrics.generate_latest)
    assert exposition(registry, generate_latest) == generate_latest(registry)
