"""Metrics in a registry: every name, label and zero, mappings that come and go, scrapes beside the work."""

import functools
import sys
import threading
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from poller.core.mapping import EventSourceMapping, SourceArn, StreamSettings, parse_mapping
from poller.core.messages import InvocationOutcome
from poller.core.model import Instant, MappingState, QueueFacts, QueueGauges, SourceKind, SourceProblem
from poller.core.records import TRIM_HORIZON, ShardGauges
from poller.core.stream_gauges import NO_STREAM_GAUGES, stream_gauges
from poller.errors import ConfigurationError
from poller.metrics import MANY_MAPPINGS, Metrics, Shown
from poller.metrics_export import MOST_SHARDS
from poller.metrics_numbers import MOST_NAMES
from poller.metrics_stats import NO_GAUGES, BatchTrigger, Histogram, Rate
from poller.metrics_text import exposition
from poller.version import __version__

PROBLEMS = {"throttled", "denied", "missing", "credentials", "unreachable", "server", "refused"}
OUTCOMES = {"success", "partial", "error", "timeout", "throttled", "invalid_response"}
LEASE_EVENTS = {"acquired", "renew_failed", "lost", "released", "stolen"}
STATES = {"Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting"}

# name, type, label and its values: the list that users' dashboards and alerts depend on
SHARED_SERIES = [
    ("esm_polls_total", "counter", "outcome", {"records", "empty", "throttled", "error"}),
    ("esm_poll_duration_seconds", "histogram", None, None),
    ("esm_polled_events_total", "counter", None, None),
    ("esm_polled_bytes_total", "counter", None, None),
    ("esm_filtered_events_total", "counter", None, None),
    ("esm_buffered_events", "gauge", None, None),
    ("esm_buffered_bytes", "gauge", None, None),
    ("esm_batch_events", "histogram", None, None),
    ("esm_batch_bytes", "histogram", None, None),
    ("esm_batch_wait_seconds", "histogram", None, None),
    ("esm_batches_total", "counter", "trigger", {"size", "window", "bytes", "immediate", "stop"}),
    ("esm_invocations_total", "counter", "outcome", OUTCOMES),
    ("esm_invocation_duration_seconds", "histogram", "outcome", OUTCOMES),
    ("esm_near_timeout_invocations_total", "counter", None, None),
    ("esm_invocation_errors_total", "counter", "error", OUTCOMES - {"success", "error"} | {"other"}),
    ("esm_invoked_events_total", "counter", None, None),
    ("esm_failed_invoke_events_total", "counter", None, None),
    ("esm_inflight_invocations", "gauge", None, None),
    ("esm_inflight_events", "gauge", None, None),
    ("esm_concurrency_limit", "gauge", None, None),
    ("esm_retries_total", "counter", "reason", {"error", "timeout", "partial", "throttled"}),
    ("esm_event_age_seconds", "histogram", None, None),
    ("esm_poll_due", "gauge", None, None),
    ("esm_oldest_pending_seconds", "gauge", None, None),
    ("esm_last_poll_timestamp_seconds", "gauge", None, None),
    ("esm_last_success_timestamp_seconds", "gauge", None, None),
    ("esm_mapping_state", "gauge", "state", STATES),
    ("esm_event_loop_blocked_seconds_total", "counter", None, None),
    ("esm_worker_restarts_total", "counter", "reason", {"crash"}),
]
QUEUE_SERIES = [
    ("esm_redelivered_events_total", "counter", None, None),
    ("esm_pollers", "gauge", None, None),
    ("esm_deleted_events_total", "counter", None, None),
    ("esm_delete_failures_total", "counter", None, None),
    ("esm_released_events_total", "counter", "reason", {"failed", "stop", "group_blocked"}),
    ("esm_visibility_extensions_total", "counter", "outcome", {"success", "error"}),
    ("esm_visibility_lost_events_total", "counter", None, None),
    ("esm_queue_messages", "gauge", "state", {"visible", "inflight", "delayed"}),
    ("esm_fifo_groups", "gauge", "state", {"active", "waiting", "blocked"}),
]
STREAM_SERIES = [
    ("esm_bisections_total", "counter", None, None),
    ("esm_checkpoints_total", "counter", "outcome", {"success", "error"}),
    ("esm_checkpoint_duration_seconds", "histogram", None, None),
    ("esm_discarded_events_total", "counter", "reason", {"retries", "age", "non_retryable", "oversize"}),
    ("esm_dropped_events_total", "counter", None, None),
    ("esm_destination_events_total", "counter", None, None),
    ("esm_gaps_total", "counter", "reason", {"trimmed", "shard_lost", "stream_remade"}),
    ("esm_iterator_age_seconds", "gauge", None, None),
    ("esm_shard_blocked_seconds", "gauge", None, None),
    ("esm_shards", "gauge", "state", {"waiting_parent", "leased", "reading", "blocked", "done"}),
    ("esm_leases_held", "gauge", None, None),
    ("esm_lease_events_total", "counter", "event", LEASE_EVENTS),
]
KINESIS_SERIES = [("esm_behind_latest_seconds", "gauge", None, None)]
SERIES = [
    *((SourceKind.SQS, *row) for row in [*SHARED_SERIES, *QUEUE_SERIES]),
    *((SourceKind.KINESIS, *row) for row in [*SHARED_SERIES, *STREAM_SERIES, *KINESIS_SERIES]),
    *((SourceKind.DYNAMODB, *row) for row in [*SHARED_SERIES, *STREAM_SERIES]),
]


class FixedClock:
    def __init__(self) -> None:
        self.instant = Instant(wall=1_000_000.0, mono=500.0)

    def now(self) -> Instant:
        return self.instant


def make_mapping(name="orders", uuid="11111111-1111-4111-8111-111111111111", fifo=True):
    queue = f"{name}.fifo" if fifo else name
    text = f"arn:aws:sqs:eu-west-1:123456789012:{queue}"
    arn = SourceArn(text, "aws", "eu-west-1", "123456789012", queue)
    return EventSourceMapping(uuid, name, SourceKind.SQS, arn, "python:shop:handler", "arn:aws:lambda:::shop")


def make_stream(name="clicks", uuid="22222222-2222-4222-8222-222222222222", source=SourceKind.KINESIS):
    text = f"arn:aws:{source.value}:eu-west-1:123456789012:stream/{name}"
    arn = SourceArn(text, "aws", "eu-west-1", "123456789012", name)
    stream = StreamSettings(TRIM_HORIZON)
    return EventSourceMapping(
        uuid, name, source, arn, "python:shop:handler", "arn:aws:lambda:::shop", stream=stream
    )


def make_source(source):
    return make_mapping() if source is SourceKind.SQS else make_stream("orders", source=source)


def shard_gauges(**more):
    return replace(ShardGauges(0, 0, 0, 0, 0.0, 0.0, None, None, None, polling=True), **more)


def standing(shards):
    return stream_gauges(shards, {}, {}, worker="we", enabled=True, lanes=2, concurrency=1_000, retention=86_400.0)


def make_metrics(**more):
    return Metrics(clock=FixedClock(), **more)


def no_gauges():
    return NO_GAUGES


def families(metrics, written=None):
    """What a Prometheus server would read, through the strict parser of OpenMetrics."""
    text = written or generate_openmetrics(metrics.registry)
    found = list(text_string_to_metric_families(text.decode()))
    assert len({family.name for family in found}) == len(found), "a family is shown twice"
    return {family.name: family for family in found}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


@functools.cache
def at_the_start(source):
    """Families of a mapping that has done nothing yet."""
    metrics = make_metrics()
    metrics.add(make_source(source), no_gauges if source is SourceKind.SQS else lambda: NO_STREAM_GAUGES)
    return families(metrics)


@pytest.mark.parametrize(
    ("source", "name", "kind", "label", "values"), SERIES, ids=[f"{row[0]}-{row[1]}" for row in SERIES]
)
def test_every_series_is_there_at_zero_from_the_start(source, name, kind, label, values):
    family = at_the_start(source)[name.removesuffix("_total")]

    assert family.type == kind
    sample_name = f"{name}_count" if kind == "histogram" else name
    samples = [sample for sample in family.samples if sample.name == sample_name]
    assert all(sample.labels["mapping"] == "orders" for sample in samples)
    assert all(sample.labels["source"] == source.value for sample in samples)
    assert {frozenset(sample.labels) for sample in samples} == {
        frozenset({"mapping", "source"} | ({label} - {None}))
    }
    if label is None:
        assert len(samples) == 1
    else:
        assert {sample.labels[label] for sample in samples} == values
        assert len(samples) == len(values)
    at_start = {sample.labels.get(label): sample.value for sample in samples}
    expected_one = "Creating" if name == "esm_mapping_state" else object()
    assert all(shown == (1 if key == expected_one else 0) for key, shown in at_start.items())


@pytest.mark.parametrize("source", [SourceKind.KINESIS, SourceKind.DYNAMODB])
def test_deliveries_are_there_for_each_destination_and_outcome(source):
    metrics = make_metrics()
    metrics.add(make_source(source), lambda: NO_STREAM_GAUGES)

    shown = {
        (sample.labels["destination"], sample.labels["outcome"]): sample.value
        for sample in families(metrics)["esm_destination_deliveries"].samples
        if sample.name.endswith("_total")
    }

    assert shown == {(kind, outcome): 0 for kind in ("sqs", "sns", "s3") for outcome in ("success", "error")}


@pytest.mark.parametrize("source", SourceKind)
def test_no_family_of_a_mapping_is_missing_from_the_lists_above(source):
    metrics = make_metrics()
    metrics.add(make_source(source), no_gauges if source is SourceKind.SQS else lambda: NO_STREAM_GAUGES)

    shown = {
        name
        for name, family in families(metrics).items()
        if any("mapping" in sample.labels for sample in family.samples)
    }

    two_labels = set() if source is SourceKind.SQS else {"esm_destination_deliveries"}
    listed = {row[1].removesuffix("_total") for row in SERIES if row[0] is source}
    facts = {
        "esm_mapping_info",
        "esm_invocation_timeout_seconds",
    }  # never 0, and no fact is shown before it is known
    assert shown == listed | two_labels | facts


def test_the_series_of_the_process_are_there_at_zero():
    metrics = make_metrics()
    metrics.add(make_mapping(), no_gauges)
    shown = families(metrics)

    calls = {
        (sample.labels["service"], sample.labels["operation"], sample.labels["outcome"]): sample.value
        for sample in shown["esm_aws_requests"].samples
    }
    operations = {"ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "GetQueueAttributes"}
    assert set(calls) == {("sqs", name, outcome) for name in operations for outcome in PROBLEMS | {"success"}}
    assert set(calls.values()) == {0}
    assert shown["esm_aws_request_duration_seconds"].type == "histogram"
    assert shown["esm_event_loop_lag_seconds"].type == "histogram"
    assert {sample.labels["outcome"] for sample in shown["esm_config_reloads"].samples} == {"success", "error"}
    assert [sample.labels for sample in shown["esm_build_info"].samples] == [{"version": __version__}]
    assert "process_cpu_seconds" in shown
    assert "python_gc_collections" in shown


@pytest.mark.parametrize(
    ("source", "service", "operations"),
    [
        (SourceKind.KINESIS, "kinesis", {"GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary"}),
        (SourceKind.DYNAMODB, "dynamodbstreams", {"GetRecords", "GetShardIterator", "DescribeStream"}),
    ],
)
def test_the_calls_of_a_stream_are_there_at_zero_with_the_first_of_its_mappings(source, service, operations):
    metrics = make_metrics()
    assert families(metrics)["esm_aws_requests"].samples == []
    metrics.add(make_source(source), lambda: NO_STREAM_GAUGES)

    calls = {
        (sample.labels["service"], sample.labels["operation"], sample.labels["outcome"])
        for sample in families(metrics)["esm_aws_requests"].samples
    }

    outcomes = PROBLEMS | {"success", "expired", "trimmed"}
    assert calls == {(service, operation, outcome) for operation in operations for outcome in outcomes}
    metrics.process.aws_request(service, "GetRecords", "success", 0.1)
    metrics.add(make_stream("second", "u-2", source), lambda: NO_STREAM_GAUGES)
    call = {"service": service, "operation": "GetRecords", "outcome": "success"}
    assert value(metrics, "esm_aws_requests_total", **call) == 1, "another mapping does not begin anew"


def test_the_gauges_of_a_stream_are_read_at_the_scrape():
    """MET-9: the age of the last record handed over, of the shard where it is highest."""
    metrics = make_metrics()
    shards = {
        "s-1": shard_gauges(buffered=3, buffered_bytes=300, iterator_age=2.0, behind=9.0),
        "s-2": shard_gauges(
            in_flight_batches=1, in_flight_records=10, iterator_age=5.0, blocked_since=480.0, invoking_since=499.0
        ),
    }
    metrics.add(make_stream(), lambda: standing(shards))
    at = {"mapping": "clicks", "source": "kinesis"}

    assert value(metrics, "esm_iterator_age_seconds", **at) == 5.0
    assert value(metrics, "esm_iterator_age_seconds", shard="s-1", **at) == 2.0
    assert value(metrics, "esm_behind_latest_seconds", **at) == 9.0
    assert value(metrics, "esm_behind_latest_seconds", shard="s-2", **at) == 0.0
    assert value(metrics, "esm_shard_blocked_seconds", **at) == 20.0
    assert value(metrics, "esm_shard_blocked_seconds", shard="s-1", **at) == 0.0
    assert value(metrics, "esm_buffered_events", **at) == 3
    assert value(metrics, "esm_inflight_events", **at) == 10
    assert value(metrics, "esm_concurrency_limit", **at) == 4
    assert value(metrics, "esm_source_retention_seconds", **at) == 86_400.0
    assert value(metrics, "esm_poll_due", **at) == 1


def test_a_shard_that_is_not_read_any_more_has_no_series():
    metrics = make_metrics()
    shards = {"s-1": shard_gauges(iterator_age=7.0), "s-2": shard_gauges()}
    metrics.add(make_stream(), lambda: standing(shards))
    at = {"mapping": "clicks", "source": "kinesis"}
    assert value(metrics, "esm_iterator_age_seconds", shard="s-1", **at) == 7.0

    del shards["s-1"]

    assert value(metrics, "esm_iterator_age_seconds", shard="s-1", **at) is None
    assert value(metrics, "esm_iterator_age_seconds", **at) == 0.0


@pytest.mark.parametrize(("count", "labelled"), [(MOST_SHARDS, MOST_SHARDS), (MOST_SHARDS + 1, 0), (5_000, 0)])
def test_of_many_shards_only_the_worst_is_shown(count, labelled):
    metrics = make_metrics()
    few = {name: len(family.samples) for name, family in families(metrics).items()}
    shards = {f"s-{number}": shard_gauges(iterator_age=float(number)) for number in range(count)}
    metrics.add(make_stream(), lambda: standing(shards))

    shown = families(metrics)
    with_shard = [sample for family in shown.values() for sample in family.samples if "shard" in sample.labels]

    assert len(with_shard) == 3 * labelled
    assert value(metrics, "esm_iterator_age_seconds", mapping="clicks", source="kinesis") == count - 1
    added = sum(len(family.samples) for family in shown.values()) - sum(few.values())
    assert added - len(with_shard) < 1_000, "whatever the number of shards"


@pytest.mark.parametrize(("most", "labelled"), [(0, 0), (2, 0), (3, 3)])
def test_how_many_shards_have_series_of_their_own_is_a_setting(most, labelled):
    metrics = make_metrics(shown=Shown(max_shards=most))
    shards = {f"s-{number}": shard_gauges(iterator_age=float(number)) for number in range(3)}
    metrics.add(make_stream(), lambda: standing(shards))

    ages = families(metrics)["esm_iterator_age_seconds"].samples

    assert len([sample for sample in ages if "shard" in sample.labels]) == labelled
    assert value(metrics, "esm_iterator_age_seconds", mapping="clicks", source="kinesis") == 2.0


@pytest.mark.parametrize("source", SourceKind)
def test_without_histograms_a_mapping_shows_their_counts_and_sums_only(source):
    metrics = make_metrics(shown=Shown(histograms=False))
    stats = metrics.add(make_source(source), no_gauges if source is SourceKind.SQS else lambda: NO_STREAM_GAUGES)
    stats.batch_events.observe_all([1.0, 10.0, 20_000.0])
    metrics.process.loop_lag.observe(0.3)

    shown = families(metrics)

    at = {"mapping": "orders", "source": source.value}
    assert value(metrics, "esm_batch_events_bucket", le="+Inf", **at) == 3
    assert value(metrics, "esm_batch_events_count", **at) == 3
    assert value(metrics, "esm_batch_events_sum", **at) == 20_011.0
    bounds = {
        s.labels["le"] for f in shown.values() for s in f.samples if "le" in s.labels and "mapping" in s.labels
    }
    assert bounds == {"+Inf"}
    assert value(metrics, "esm_event_loop_lag_seconds_bucket", le="0.5") == 1, "the process's own stay"
    count = sum("mapping" in sample.labels for family in shown.values() for sample in family.samples)
    assert count < 150
    full = [s for f in at_the_start(source).values() for s in f.samples if "mapping" in s.labels]
    assert 2 * count < len(full) < 400, "what the warning says of so many mappings"


def test_a_traced_invocation_is_the_exemplar_of_its_bucket():
    """For OpenMetrics only: the text format has no place for it."""
    metrics = make_metrics()
    stats = metrics.add(make_mapping(), no_gauges)
    durations = stats.invocation_duration["success"]
    durations.observe(0.02)
    durations.observe_traced(0.3, "0af7651916cd43dd8448eb211c80319c", 1_000.0)
    durations.observe_traced(0.4, "4bf92f3577b34da6a3ce929d0e0e4736", 1_001.5)
    durations.observe_traced(5_000.0, "00f067aa0ba902b7a3ce929d0e0e4736", 1_002.0)

    buckets = {
        sample.labels["le"]: sample
        for sample in families(metrics)["esm_invocation_duration_seconds"].samples
        if sample.name.endswith("_bucket") and sample.labels["outcome"] == "success"
    }

    traced = {le: sample.exemplar for le, sample in buckets.items() if sample.exemplar is not None}
    assert set(traced) == {"0.5", "+Inf"}
    assert traced["0.5"].labels == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert (traced["0.5"].value, float(traced["0.5"].timestamp)) == (0.4, 1_001.5)
    assert buckets["+Inf"].value == 4
    assert b"trace_id" not in generate_latest(metrics.registry)


def test_error_names_of_a_mapping_are_at_most_twenty_and_shaped_like_names():
    metrics = make_metrics()
    stats = metrics.add(make_mapping(), no_gauges)
    error = InvocationOutcome.ERROR

    stats.invocation_failed(InvocationOutcome.TIMEOUT, "Sandbox.Timedout: Task timed out after 3.00 seconds")
    for text in ("one two: x", "", "\u00e9t\u00e9: x", "A" * 101, 'x"y: z', "9: z"):
        stats.invocation_failed(error, text)
    for number in range(MOST_NAMES + 5):
        stats.invocation_failed(error, f"Error{number}: no")
    stats.invocation_failed(error, "Error0")

    counts = {
        sample.labels["error"]: sample.value
        for sample in families(metrics)["esm_invocation_errors"].samples
        if sample.name.endswith("_total")
    }
    assert counts.pop("timeout") == 1
    assert counts.pop("other") == 6 + 5
    assert counts.pop("Error0") == 2
    assert counts == {"partial": 0, "throttled": 0, "invalid_response": 0} | {
        f"Error{number}": 1 for number in range(1, MOST_NAMES)
    }


@pytest.mark.parametrize(
    ("destination", "function", "calls"),
    [
        (
            "arn:aws:sqs:eu-west-1:123456789012:dead",
            "python:a:b",
            {("sqs", "SendMessage"), ("sqs", "GetQueueUrl")},
        ),
        ("arn:aws:sns:eu-west-1:123456789012:dead", "python:a:b", {("sns", "Publish")}),
        ("arn:aws:s3:::dead", "https://h/x", {("s3", "PutObject")}),
        (None, "clicks", {("lambda", "Invoke")}),
        (None, "exec:cat", set()),
    ],
)
def test_calls_of_destination_and_function_are_there_at_zero(destination, function, calls):
    fields = {"DestinationConfig": {"OnFailure": {"Destination": destination}}} if destination else {}
    arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
    mapping = parse_mapping(
        {"EventSourceArn": arn, "FunctionName": function, "StartingPosition": "LATEST", **fields}
    )
    metrics = make_metrics()
    metrics.add(mapping, lambda: NO_STREAM_GAUGES)

    shown = {
        (sample.labels["service"], sample.labels["operation"])
        for sample in families(metrics)["esm_aws_requests"].samples
    }

    assert {call for call in shown if call[0] != "kinesis"} == calls


def test_a_dynamodb_stream_does_not_tell_how_far_reading_is_behind():
    metrics = make_metrics()
    shards = {"s-1": shard_gauges(behind=None)}
    metrics.add(make_stream(source=SourceKind.DYNAMODB), lambda: standing(shards))

    assert families(metrics)["esm_behind_latest_seconds"].samples == []


def test_a_stream_whose_machines_cannot_be_read_now_is_shown_as_nothing():
    metrics = make_metrics()

    def read():
        raise RuntimeError("dictionary changed size during iteration")

    metrics.add(make_stream(), read)

    assert value(metrics, "esm_shards", mapping="clicks", source="kinesis", state="reading") == 0


def test_info_leaves_out_the_query_of_a_url():
    """It may hold a secret."""
    metrics = make_metrics()
    mapping = replace(make_mapping(), function_name="https://h/x?key=hunter2")
    metrics.add(mapping, no_gauges)

    (info,) = families(metrics)["esm_mapping_info"].samples
    assert info.labels["function"] == "https://h/x"


def test_info_joins_what_would_be_too_much_on_every_series():
    metrics = make_metrics()
    mapping = make_mapping()
    metrics.add(mapping, no_gauges)

    labels = {
        "mapping": "orders",
        "source": "sqs",
        "uuid": mapping.uuid,
        "function": "python:shop:handler",
        "source_arn": mapping.arn.text,
    }
    assert value(metrics, "esm_mapping_info", **labels) == 1


def test_a_mapping_without_a_name_is_shown_by_its_uuid():
    metrics = make_metrics()
    metrics.add(make_mapping(name=""), no_gauges)

    uuid = "11111111-1111-4111-8111-111111111111"
    assert value(metrics, "esm_polled_events_total", mapping=uuid, source="sqs") == 0


def test_a_standard_queue_has_no_groups():
    metrics = make_metrics()
    metrics.add(make_mapping(fifo=False), no_gauges)

    assert families(metrics)["esm_fifo_groups"].samples == []


def test_gauges_are_read_at_the_scrape():
    metrics = make_metrics()
    gauges = QueueGauges(2, True, 7, 700, 3, 30, 5, 490.0, 495.0, 4, 6, 1)
    stats = metrics.add(make_mapping(), lambda: gauges)
    stats.queue = QueueFacts(visibility_timeout=30.0, visible=11, in_flight=12, delayed=13)
    stats.state = MappingState.ENABLED
    at = {"mapping": "orders", "source": "sqs"}

    assert value(metrics, "esm_pollers", **at) == 2
    assert value(metrics, "esm_buffered_events", **at) == 7
    assert value(metrics, "esm_buffered_bytes", **at) == 700
    assert value(metrics, "esm_inflight_invocations", **at) == 3
    assert value(metrics, "esm_inflight_events", **at) == 30
    assert value(metrics, "esm_concurrency_limit", **at) == 5
    assert value(metrics, "esm_oldest_pending_seconds", **at) == 10.0
    assert value(metrics, "esm_poll_due", **at) == 1
    assert value(metrics, "esm_invocation_timeout_seconds", **at) == 30.0
    assert [value(metrics, "esm_queue_messages", state=s, **at) for s in ("visible", "inflight", "delayed")] == [
        *(11, 12, 13)
    ]
    assert [value(metrics, "esm_fifo_groups", state=s, **at) for s in ("active", "waiting", "blocked")] == [
        4,
        6,
        1,
    ]
    assert {s: value(metrics, "esm_mapping_state", state=s, **at) for s in STATES} == {
        s: float(s == "Enabled") for s in STATES
    }


def test_a_reading_that_meets_a_change_is_tried_again_and_never_breaks_the_scrape():
    metrics = make_metrics()
    answers = iter([RuntimeError("dictionary changed size during iteration"), NO_GAUGES])
    broken = False

    def read():
        if broken:
            raise RuntimeError("deque mutated during iteration")
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return QueueGauges(9, True, 0, 0, 0, 0, 1, None, None, 0, 0, 0)

    metrics.add(make_mapping(), read)

    assert value(metrics, "esm_pollers", mapping="orders", source="sqs") == 9
    broken = True
    assert value(metrics, "esm_pollers", mapping="orders", source="sqs") == 9, "the reading before is shown"


def test_a_removed_mapping_is_gone_and_its_name_is_free_again():
    metrics = make_metrics()
    stats = metrics.add(make_mapping(), no_gauges)
    stats.polled_events = 5

    metrics.remove(stats)
    metrics.remove(stats)

    assert value(metrics, "esm_polled_events_total", mapping="orders", source="sqs") is None
    again = metrics.add(make_mapping(), no_gauges)
    metrics.remove(stats)  # the earlier one of that name must not take the new one along
    assert metrics.mappings() == [again]
    assert value(metrics, "esm_polled_events_total", mapping="orders", source="sqs") == 0


def test_several_pollers_share_a_registry_with_one_set_of_families():
    registry = CollectorRegistry()
    Counter("app_requests", "The application's own.", registry=registry)
    first, second = make_metrics(registry=registry), make_metrics(registry=registry)
    first.add(make_mapping("a", "u-a"), no_gauges).polled_events = 1
    second.add(make_mapping("b", "u-b"), no_gauges).polled_events = 2

    shown = families(first)

    assert {s.labels["mapping"]: s.value for s in shown["esm_polled_events"].samples} == {"a": 1, "b": 2}
    assert "app_requests" in shown
    assert "process_cpu_seconds" not in shown, "the application decides about those of its own registry"
    assert first.process is second.process
    first.close()
    assert {s.labels["mapping"] for s in families(second)["esm_polled_events"].samples} == {"b"}
    second.close()
    second.close()
    assert not any(name.startswith("esm_") for name in families(second))
    third = make_metrics(registry=registry)
    third.add(make_mapping("a", "u-a"), no_gauges)
    assert {s.value for s in families(third)["esm_polled_events"].samples} == {0}


def test_a_name_that_is_counted_already_is_refused_in_one_sentence():
    registry = CollectorRegistry()
    make_metrics_kept = make_metrics(registry=registry)
    make_metrics_kept.add(make_mapping(), no_gauges)

    with pytest.raises(ConfigurationError, match="A mapping named 'orders' is already counted"):
        make_metrics(registry=registry).add(make_mapping(uuid="another"), no_gauges)


def test_a_read_is_due_too_while_what_must_come_before_it_fails():
    """As the liveness check sees it: without a shard to read there is nothing that could be due."""
    metrics = make_metrics()
    stats = metrics.add(make_stream(), lambda: NO_STREAM_GAUGES)
    at = {"mapping": "clicks", "source": "kinesis"}
    assert value(metrics, "esm_poll_due", **at) == 0

    stats.stream.chore_failed_at = 460.0

    assert value(metrics, "esm_poll_due", **at) == 1
    stats.stream.chore_failed_at = 454.0
    assert value(metrics, "esm_poll_due", **at) == 0


def test_calls_of_aws_are_counted_and_timed_by_what_came_of_them():
    metrics = make_metrics()
    metrics.process.aws_request("sqs", "ReceiveMessage", "success", 0.02)
    metrics.process.aws_request("sqs", "ReceiveMessage", SourceProblem.THROTTLED, 0.3)
    metrics.process.aws_request("lambda", "Invoke", "success", 0.02)
    call = {"service": "sqs", "operation": "ReceiveMessage"}

    assert value(metrics, "esm_aws_requests_total", outcome="success", **call) == 1
    assert value(metrics, "esm_aws_requests_total", outcome="throttled", **call) == 1
    assert value(metrics, "esm_aws_request_duration_seconds_sum", outcome="throttled", **call) == 0.3
    assert value(metrics, "esm_aws_requests_total", service="lambda", operation="Invoke", outcome="success") == 1


def test_a_histogram_counts_by_inclusive_upper_bound():
    histogram = Histogram((1.0, 2.0, 5.0))

    for observed in (0.5, 1.0, 1.5, 5.0, 6.0):
        histogram.observe(observed)

    assert histogram.counts == [2, 1, 1, 1]
    assert histogram.total == 14.0
    assert histogram.count == 5


@pytest.mark.parametrize(
    "values", [[1.2, 1.9, 1.5], [0.5, 1.5, 9.0], [-1.0, 0.5], [5.0], [9.0, 8.0], [1.0, 2.0, 5.0, 6.0, 2.0]]
)
def test_many_observations_at_once_equal_single_ones(values):
    together, single = Histogram((1.0, 2.0, 5.0)), Histogram((1.0, 2.0, 5.0))

    together.observe_all(list(values))
    for observed in values:
        single.observe(observed)

    assert together.counts == single.counts
    assert together.total == pytest.approx(single.total)


def test_buckets_are_cumulative_and_end_with_the_count():
    metrics = make_metrics()
    stats = metrics.add(make_mapping(), no_gauges)
    stats.batch_events.observe_all([1.0, 10.0, 20_000.0])

    at = {"mapping": "orders", "source": "sqs"}
    bucket = "esm_batch_events_bucket"
    assert [value(metrics, bucket, le=le, **at) for le in ("1.0", "5.0", "10.0", "10000.0", "+Inf")] == [
        1,
        1,
        2,
        2,
        3,
    ]
    assert value(metrics, "esm_batch_events_count", **at) == 3


def test_the_rate_is_that_of_the_last_ten_seconds():
    rate = Rate(since=100.0)

    rate.add(10, 100.2)
    assert rate.per_second(100.5) == 10.0, "less than a second counts as one"
    rate.add(30, 103.0)
    assert rate.per_second(104.0) == 10.0
    assert rate.per_second(110.0) == pytest.approx(30 / 9)
    assert rate.per_second(113.0) == 0.0
    rate.add(5, 123.1)
    assert rate.per_second(123.5) == pytest.approx(5 / 9.5)


def test_scraping_beside_the_work_always_shows_whole_histograms():
    metrics = make_metrics()
    stop = threading.Event()
    added = 0

    def work():
        nonlocal added
        while not stop.is_set():
            stats = metrics.add(make_mapping(f"m{added % 7}", f"u{added}"), no_gauges)
            for size in range(300):
                stats.batch_events.observe(size)
                stats.batches[BatchTrigger.SIZE] += 1
                stats.invocation_failed(InvocationOutcome.ERROR, f"Error{size}: no")
            metrics.remove(stats)
            added += 1

    worker = threading.Thread(target=work)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that the worker goes on between any two steps of a scrape
    worker.start()
    try:
        scrapes = 0
        while scrapes < 8 or not added:
            written = exposition(metrics.registry, generate_openmetrics) if scrapes % 2 else None
            families(metrics, written)  # the strict parser refuses a histogram whose buckets and count disagree
            scrapes += 1
    finally:
        stop.set()
        worker.join()
        sys.setswitchinterval(usual)
    assert added > 0


def test_so_many_mappings_are_warned_about_once(caplog):
    metrics = make_metrics()

    for number in range(MANY_MAPPINGS + 3):
        metrics.add(make_mapping(f"m{number}", f"u{number}"), no_gauges)

    assert [record.action for record in caplog.records] == ["many_mappings"]
    assert "Metrics.Histograms: false" in caplog.text


def test_who_has_switched_histograms_off_is_not_told_to(caplog):
    metrics = make_metrics(shown=Shown(histograms=False))

    for number in range(MANY_MAPPINGS + 1):
        metrics.add(make_mapping(f"m{number}", f"u{number}"), no_gauges)

    assert [record.action for record in caplog.records] == ["many_mappings"]
    assert "Histograms" not in caplog.text


def test_the_text_format_is_understood_too():
    metrics = make_metrics()
    metrics.add(make_mapping('tricky"name\\with\nbreaks'), no_gauges)

    text = generate_latest(metrics.registry).decode()

    assert 'esm_polled_events_total{mapping="tricky\\"name\\\\with\\nbreaks",source="sqs"} 0.0' in text
