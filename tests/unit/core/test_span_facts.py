"""What a span says of a batch, and of what became of it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.messages import InvocationOutcome
from poller.core.model import Batch, BatchTrigger, FunctionError, NotInvoked, Succeeded, Throttled
from poller.core.payload import make_messages
from poller.core.records import Record, StreamBatch
from poller.core.span_facts import (
    MOST_LINKS,
    creation_context,
    mapping_attributes,
    queue_span,
    shard_span,
    span_error,
    span_name,
)
from poller.core.trace_headers import TraceContext

TRACE, SPAN, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"
XRAY = f"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={OTHER};Sampled=1"
FROM_XRAY = TraceContext(TRACE, OTHER, sampled=True)


def mapping_of(arn: str) -> EventSourceMapping:
    fields = {"EventSourceArn": arn, "FunctionName": "python:a:b", "Name": "one"}
    found = parse_mapping(fields if ":sqs:" in arn else fields | {"StartingPosition": "LATEST"})
    assert isinstance(found, EventSourceMapping), found
    return found


QUEUE = mapping_of("arn:aws:sqs:eu-west-1:123456789012:orders")


def batch_of(*wires: dict[str, Any]) -> Batch:
    messages = make_messages(
        [{"MessageId": f"m{place}", "ReceiptHandle": "r", "Body": "b"} | wire for place, wire in enumerate(wires)],
        QUEUE.arn, False, 60.0, 0.0,
    )  # fmt: skip
    return Batch(1, tuple(messages), BatchTrigger.SIZE, 0.0, 10, 60.0)


def sent(**attributes: str) -> dict[str, Any]:
    return {"MessageAttributes": {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()}}


def w3c(span: str = SPAN) -> str:
    return f"00-{TRACE}-{span}-01"


def test_a_span_is_named_after_what_is_done_with_which_source() -> None:
    assert span_name(QUEUE) == "process orders"


@pytest.mark.parametrize(
    ("arn", "system", "destination", "trigger"),
    [
        ("arn:aws:sqs:eu-west-1:123456789012:orders", "aws_sqs", "orders", "pubsub"),
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks", "aws.kinesis", "clicks", "pubsub"),
        (
            "arn:aws:dynamodb:eu-west-1:123456789012:table/stock/stream/2026-11-01T00:00:00.000",
            "aws.dynamodb",
            "stock",
            "datasource",
        ),
    ],
)
def test_the_source_is_told_by_the_conventions(arn: str, system: str, destination: str, trigger: str) -> None:
    mapping = mapping_of(arn)
    assert mapping_attributes(mapping) == {
        "messaging.system": system,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": destination,
        "aws.lambda.resource_mapping.id": mapping.uuid,
        "aws.lambda.invoked_arn": mapping.function_arn,
        "faas.trigger": trigger,
        "esm.mapping.name": "one",
    }


def test_a_batch_tells_its_size_and_a_single_message_its_id() -> None:
    assert queue_span(batch_of({}, {})).attributes == {"messaging.batch.message_count": 2}
    assert queue_span(batch_of({})).attributes == {
        "messaging.batch.message_count": 1,
        "messaging.message.id": "m0",
    }


def test_a_batch_of_a_shard_tells_where_it_is_from() -> None:
    records = tuple(Record(str(n), n, 0, 0.0, 1, {}) for n in range(3))
    found = shard_span("shardId-7", StreamBatch(1, 0, records, BatchTrigger.SIZE, 0.0, 3))
    assert found.attributes == {
        "messaging.batch.message_count": 3,
        "messaging.destination.partition.id": "shardId-7",
    }
    assert found.links == []


def test_each_message_links_to_its_producer() -> None:
    """SQS-42: the header of X-Ray; or what the producer itself has written."""
    found = queue_span(
        batch_of(
            {"Attributes": {"AWSTraceHeader": XRAY}},
            {},
            sent(traceparent=w3c(), tracestate="a=1"),
            sent(traceparent=w3c()),
        )
    )
    assert found.links == [
        (FROM_XRAY, "m0"),
        (TraceContext(TRACE, SPAN, True, "a=1"), "m2"),
        (TraceContext(TRACE, SPAN, True), "m3"),
    ]


def test_what_the_producer_wrote_goes_before_what_came_with_its_request() -> None:
    """SQS-42."""
    (message,) = batch_of({"Attributes": {"AWSTraceHeader": XRAY}} | sent(traceparent=w3c())).messages
    assert creation_context(message) == TraceContext(TRACE, SPAN, sampled=True)
    (message,) = batch_of({"Attributes": {"AWSTraceHeader": XRAY}} | sent(traceparent="mine")).messages
    assert creation_context(message) == FROM_XRAY


def test_links_are_limited() -> None:
    found = queue_span(batch_of(*[sent(traceparent=w3c())] * (MOST_LINKS + 1)))
    assert [message_id for _, message_id in found.links] == [f"m{n}" for n in range(128)]


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=60) | st.just(w3c()) | st.just(XRAY),
    lambda inner: st.dictionaries(st.sampled_from(["StringValue", "DataType", "BinaryValue"]), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), anything), anything)
def test_hostile_attributes_are_no_links_and_no_errors(attributes: Any, header: Any) -> None:
    wire = {"MessageAttributes": attributes, "Attributes": {"AWSTraceHeader": header}}
    for context, _ in queue_span(batch_of(wire)).links:
        assert context.trace_id == TRACE


@pytest.mark.parametrize(
    ("result", "judged", "error"),
    [
        (Succeeded(b"null"), None, None),
        (Succeeded(b"null"), InvocationOutcome.SUCCESS, None),
        (Succeeded(b"null"), InvocationOutcome.PARTIAL, "partial"),
        (Succeeded(b"null"), InvocationOutcome.INVALID_RESPONSE, "invalid_response"),
        (FunctionError("ValueError", "x"), InvocationOutcome.ERROR, "ValueError"),
        (FunctionError("Runtime.ExitError", "x"), None, "Runtime.ExitError"),
        (FunctionError("order 4711 is bad", "x"), InvocationOutcome.ERROR, "_OTHER"),
        (FunctionError("E" * 101, "x"), InvocationOutcome.ERROR, "_OTHER"),
        (FunctionError("Sandbox.Timedout", "x", timed_out=True), InvocationOutcome.TIMEOUT, "timeout"),
        (Throttled("x"), InvocationOutcome.THROTTLED, "throttled"),
        (NotInvoked("x"), InvocationOutcome.THROTTLED, "throttled"),
    ],
)
def test_the_error_is_a_word_of_few(result: Any, judged: InvocationOutcome | None, error: str | None) -> None:
    """INV-9, PBR-3: the words of the metric, or the type of the function's error if it looks like one."""
    assert span_error(result, judged) == error


def test_names_are_as_few_as_sources() -> None:
    assert span_name(replace(QUEUE, name="two")) == span_name(QUEUE)
