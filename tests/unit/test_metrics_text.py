"""The text of /metrics is prometheus_client's, whoever writes it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Info, Summary, generate_latest
from prometheus_client import Histogram as TheirHistogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import exposition as openmetrics

from poller.core.messages import InvocationOutcome
from poller.core.model import SourceKind
from poller.metrics import Shown
from poller.metrics_numbers import Histogram
from poller.metrics_stats import NO_GAUGES
from poller.metrics_text import DistributionFamily, NumberFamily, exposition
from tests.unit.test_metrics import make_mapping, make_metrics, make_stream, shard_gauges, standing

ODD = 'a "quoted" \\ name\nof two lines, é, 100 %s {} %'
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FORMATS = {
    "text": generate_latest,
    "openmetrics": openmetrics.generate_latest,
    # what a Prometheus 3 asks for, by its metric_name_escaping_scheme
    **{
        f"{kind} {scheme}": choose_encoder(f"{kind};version=1.0.0;escaping={scheme}")[0]
        for kind in ("text/plain", "application/openmetrics-text")
        for scheme in ("allow-utf-8", "underscores", "dots", "values")
    },
}
every_format = pytest.mark.parametrize("encode", FORMATS.values(), ids=FORMATS)
values = st.one_of(st.integers(), st.floats(), st.booleans()).map(lambda value: value or 0.0)


class Families:
    def __init__(self, *families):
        self.families = families

    def collect(self):
        return self.families


def registry_of(*families):
    registry = CollectorRegistry()
    registry.register(Families(*families))
    return registry


def family(*rows, labels=("mapping", "source", "outcome"), **more):
    made = DistributionFamily("esm_x_seconds", "What it is.", labels, **more)
    for owner, histogram in rows:
        made.add(owner, histogram)
    return made


def observed(*values):
    histogram = Histogram((0.005, 1.0, 2.5))
    for value in values:
        histogram.observe(value)
    return histogram


NAMES = ("orders", ODD, "\0", "%s", "")


def busy(shown=None, names=NAMES):
    """A registry with mappings of all kinds that have done something, and with what belongs to others."""
    registry = CollectorRegistry(target_info={"service": 'the "shop"'})
    Counter("app_requests", 'The "application\'s"\nown, 100 % \\.', ["path"], registry=registry).labels(
        '/"%s"'
    ).inc(3, exemplar={"trace_id": TRACE})
    metrics = make_metrics(registry=registry, shown=shown)
    Gauge("app_é.gauge", "A name for which there are several ways.", registry=registry).set(7e9)
    Summary("app_took", "Theirs.", registry=registry).observe(1.5)
    TheirHistogram("app_size", "Theirs.", registry=registry).observe(2.0, exemplar={"trace_id": TRACE})
    Info("app_build", "Theirs.", registry=registry).info({"version": ODD})
    Enum("app_state", "Theirs.", states=["up", "down"], registry=registry).state("down")
    for number, name in enumerate(names):
        stats = metrics.add(make_mapping(name, f"u-{number}", fifo=name != "orders"), lambda: NO_GAUGES)
        stats.polled_bytes, stats.last_poll_at = 12_345_678_901, 1_700_000_000.25
        stats.batch_events.observe_all([1.0, 10.0, 20_000.0])
        stats.invocation_took(InvocationOutcome.ERROR, 0.3 + number, TRACE, 1_700_000_000.5)
        stats.invocation_took(InvocationOutcome.ERROR, 5_000.0, TRACE, 1_700_000_001.0)
        stats.invocation_took(InvocationOutcome.SUCCESS, 0.004, "", 1_700_000_001.0)
        stats.invocation_failed(InvocationOutcome.ERROR, f"Error{number % 3}: no")
        metrics.process.aws_request("sqs", "Receive%s", "success", 0.1)
    for number, source in enumerate((SourceKind.KINESIS, SourceKind.DYNAMODB, SourceKind.KINESIS)):
        shards = {f'{ODD}"{shard}': shard_gauges(iterator_age=shard * 0.1) for shard in range(2 * number)}
        metrics.add(make_stream(f"clicks{number}", f"s-{number}", source), lambda shards=shards: standing(shards))
    return registry, metrics


@pytest.mark.parametrize("encode", [generate_latest, openmetrics.generate_latest])
@pytest.mark.parametrize("buckets", [True, False])
def test_a_histogram_is_written_as_the_library_writes_it(encode, buckets):
    many = observed()
    many.counts = [1_234_567, 0, 3, 12_345_678_901]
    many.total = 1e12 / 3
    rows = (
        ((ODD, "sqs"), {"success": observed(0.001, 1.0, 7.25), ODD: observed(0.001)}),
        (("", "sqs"), {"error": observed()}),
        (("many", "sqs"), {"error": many}),
        (("many", "kinesis"), {"error": many}),
    )
    registry = registry_of(family(*rows, buckets=buckets), family(((), observed(3.0)), labels=()))

    assert exposition(registry, encode) == encode(registry)


@every_format
@pytest.mark.parametrize("shown", [Shown(), Shown(histograms=False, max_shards=2)], ids=["all", "less"])
def test_everything_is_written_as_the_library_writes_it(encode, shown):
    registry, _ = busy(shown)

    assert exposition(registry, encode) == encode(registry)


@every_format
def test_what_changes_between_two_scrapes_is_written_as_it_is(encode):
    registry, metrics = busy(names=("orders", ODD))
    exposition(registry, encode)
    first, *_, last = metrics.mappings()

    first.batch_events.observe(7.0)
    first.polled_events += 5
    first.invocation_failed(InvocationOutcome.ERROR, "New: name")
    metrics.remove(last)
    metrics.add(make_mapping("new", "u-new"), lambda: NO_GAUGES)
    text = exposition(registry, encode)

    assert text == encode(registry)
    assert b'mapping="new"' in text
    assert f'mapping="{last.name}"'.encode() not in text
    for stats in metrics.mappings():
        metrics.remove(stats)
    assert exposition(registry, encode) == encode(registry)
    assert b"mapping=" not in exposition(registry, encode)


@pytest.mark.parametrize("encode", [generate_latest, openmetrics.generate_latest])
def test_a_part_that_was_asked_for_is_written_as_the_library_writes_it(encode):
    registry, _ = busy()
    part = registry.restricted_registry(
        ["esm_polled_bytes_total", "esm_batch_events_bucket", "esm_buffered_events"]
    )

    assert exposition(part, encode) == encode(part)
    assert b"esm_batch_events_bucket" in exposition(part, encode)


@example(rows=[("a", {'"\0': 1}), ("\0", {"%s": 2})])
@given(rows=st.lists(st.tuples(st.text(), st.dictionaries(st.text(), values))))
def test_any_number_and_any_label_is_written_as_the_library_writes_it(rows):
    """But for a zero below zero, which may be written as zero."""
    counter = NumberFamily("counter", "esm_x_total", "What it is.", ("mapping", "source", "error"))
    gauge = NumberFamily("gauge", "esm_y", "What it is.", ("mapping", "source", "error"))
    for mapping, found in rows:
        counter.add((mapping, "sqs"), found)
        gauge.add((mapping, "sqs"), found)
    registry = registry_of(counter, gauge)

    for encode in (generate_latest, openmetrics.generate_latest):
        assert exposition(registry, encode) == encode(registry)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), -1e300, 999_999.9, 1e6, 1e-7, 0, True]
)
def test_a_number_is_written_as_go_does(value):
    made = NumberFamily("gauge", "esm_x", "What it is.")
    made.add((), value)
    registry = registry_of(made)

    assert exposition(registry, generate_latest) == generate_latest(registry)


def test_exemplars_are_shown_where_the_format_has_them():
    histogram = observed(1.0)
    histogram.observe_traced(2.0, TRACE, 1_700_000_000.0)
    histogram.observe_traced(9.0, TRACE, 1_700_000_000.5)
    other = observed(1.0)
    other.observe_traced(0.001, TRACE, 1_700_000_000.0)
    rows = {"success": observed(), "error": histogram, "timeout": other}
    registry = registry_of(family((("m", "sqs"), rows), (("n", "sqs"), rows)), family(((), histogram), labels=()))

    assert exposition(registry, openmetrics.generate_latest) == openmetrics.generate_latest(registry)
    assert exposition(registry, openmetrics.generate_latest).count(TRACE.encode()) == 8
    assert exposition(registry, generate_latest) == generate_latest(registry)


class Busy(Histogram):
    """Something is observed between any two looks at it."""

    looks = 0

    @property
    def counts(self):
        self.looks += 1
        return [self.looks, 0, 0, 0]

    @counts.setter
    def counts(self, value):
        pass


@pytest.mark.parametrize("buckets", [True, False])
def test_a_histogram_that_goes_on_counting_agrees_with_itself(buckets):
    text = exposition(
        registry_of(family(((), Busy((0.005, 1.0, 2.5))), labels=(), buckets=buckets)), generate_latest
    )

    reached = {line.split()[1] for line in text.decode().splitlines() if line[0] != "#" and "_sum" not in line}
    assert len(reached) == 1, text


class Growing(dict):
    """A name comes between any two looks at it."""

    def values(self):
        self[f"Error{len(self)}"] = 1
        return super().values()


def test_a_name_that_comes_while_its_row_is_written_waits_for_the_next_scrape():
    made = NumberFamily("counter", "esm_x_total", "What it is.", ("mapping", "error"))
    made.add(("m",), Growing(other=0))
    registry = registry_of(made)

    assert exposition(registry, generate_latest) == generate_latest(registry)


@pytest.mark.parametrize(
    "form", [form for form in FORMATS if "dots" not in form and "openmetrics-text values" not in form]
)
def test_no_line_of_ours_is_an_object(form):
    """It would be right, and take four times as long."""
    registry, _ = busy()
    seen = []

    def watched(asked):
        families = list(asked.collect())
        seen.extend(sample for each in families for sample in each.samples)
        return FORMATS[form](Families(*families))

    exposition(registry, watched)

    assert {sample.name for sample in seen} > {"app_requests_total", "app_build_info"}
    assert [sample for sample in seen if sample.name.startswith("esm_")] == []
