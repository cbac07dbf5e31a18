"""What the span of an invocation says: name, attributes, links and error, by OpenTelemetry's semantic conventions
for messaging and AWS Lambda, as of 2026.

The producers are linked to, also by a batch of one, and never the parent: how many messages are in a batch depends
on the traffic, and the shape of a trace should not.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias, assert_never

from poller.core.fact import fact
from poller.core.mapping import EventSourceMapping
from poller.core.messages import InvocationOutcome
from poller.core.model import (
    Batch,
    FunctionError,
    InvocationResult,
    Message,
    NotInvoked,
    SourceKind,
    Succeeded,
    Throttled,
)
from poller.core.records import StreamBatch
from poller.core.trace_headers import TraceContext, parse_traceparent, parse_xray

Attributes: TypeAlias = dict[str, str | int]

MOST_LINKS: Final = 128
"""Links of one span, as many as OpenTelemetry's SDKs keep unless told otherwise; a batch may have 10,000
messages."""

OTHER_ERROR: Final = "_OTHER"
"""The conventions' word for an error whose type cannot be told."""

_SYSTEMS: Final = {
    SourceKind.SQS: ("aws_sqs", "pubsub"),
    SourceKind.KINESIS: ("aws.kinesis", "pubsub"),
    SourceKind.DYNAMODB: ("aws.dynamodb", "datasource"),
}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.$:]{0,99}", re.ASCII)


@fact
class SpanFacts:
    """What differs from batch to batch; each link has the context of a message's producer and the message's id."""

    attributes: Attributes
    links: list[tuple[TraceContext, str]]


def span_name(mapping: EventSourceMapping) -> str:
    """Operation and destination; there are as many names as sources."""
    return f"process {mapping.arn.name}"


def mapping_attributes(mapping: EventSourceMapping) -> Attributes:
    """What all spans of a mapping have. `esm.mapping.name` is the label `mapping` of metrics and log lines."""
    system, trigger = _SYSTEMS[mapping.source]
    return {
        "messaging.system": system,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": mapping.arn.name,
        "aws.lambda.resource_mapping.id": mapping.uuid,
        "aws.lambda.invoked_arn": mapping.function_arn,
        "faas.trigger": trigger,
        "esm.mapping.name": mapping.name,
    }


def queue_span(batch: Batch) -> SpanFacts:
    """Of a batch of messages."""
    messages = batch.messages
    attributes: Attributes = {"messaging.batch.message_count": len(messages)}
    if len(messages) == 1:
        attributes["messaging.message.id"] = messages[0].id
    return SpanFacts(attributes, _links(messages))


def shard_span(shard_id: str, batch: StreamBatch) -> SpanFacts:
    """Of a batch of a shard: records of streams carry no context."""
    return SpanFacts(
        {"messaging.batch.message_count": len(batch.records), "messaging.destination.partition.id": shard_id}, []
    )


def span_error(result: InvocationResult, judged: InvocationOutcome | None) -> str | None:
    """`error.type`, None for none: the word of esm_invocations_total's `outcome`, or the type of the function's
    error. `judged` is what the response came to, where that is known.
    """
    match result:
        case Succeeded():
            return None if judged in {None, InvocationOutcome.SUCCESS} else str(judged)
        case FunctionError(timed_out=True):
            return InvocationOutcome.TIMEOUT.value
        case FunctionError(kind):
            return kind if _NAME.fullmatch(kind) else OTHER_ERROR
        case Throttled() | NotInvoked():
            return InvocationOutcome.THROTTLED.value
        case _:
            assert_never(result)


def _links(messages: Iterable[Message]) -> list[tuple[TraceContext, str]]:
    links: list[tuple[TraceContext, str]] = []
    for message in messages:
        if (context := creation_context(message)) is not None:
            links.append((context, message.id))
            if len(links) == MOST_LINKS:
                break
    return links


def creation_context(message: Message) -> TraceContext | None:
    """The context in which a message was made: what its producer wrote into it (traceparent), else what came with
    the request that sent it (SQS-42), which may be that of the transport.
    """
    sent = message.record["messageAttributes"]
    if "traceparent" in sent:
        state = sent["tracestate"].get("stringValue") if "tracestate" in sent else ""
        context = parse_traceparent(sent["traceparent"].get("stringValue"), state)
        if context is not None:
            return context
    return parse_xray(message.record["attributes"].get("AWSTraceHeader"))
