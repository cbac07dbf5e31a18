"""Patterns that are valid and never match: all messages of a queue would be deleted without a word (SUR-8)."""

from poller.core.filter_alternatives import PatternProblem
from poller.core.filter_operators import Exists, Range, SameNumber
from poller.core.filter_pattern import Constraint, parse_pattern
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_shapes import dotted
from poller.core.model import SourceKind

_ALL = {"eventSource", "eventSourceARN", "awsRegion"}
FIELDS = {
    SourceKind.SQS: _ALL
    | {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "md5OfMessageAttributes",
    },
    SourceKind.KINESIS: _ALL
    | {"kinesisSchemaVersion", "partitionKey", "sequenceNumber", "data", "approximateArrivalTimestamp"}
    | {"eventID", "eventName", "eventVersion", "invokeIdentityArn"},
    SourceKind.DYNAMODB: _ALL | {"eventID", "eventName", "eventVersion", "dynamodb", "userIdentity"},
}
"""The fields that records have as patterns see them (FLT-31, FLT-32)."""

_ITEMS = {"Keys", "NewImage", "OldImage"}


def hopeless_patterns(mapping: EventSourceMapping) -> tuple[str, ...]:
    """A sentence for each filter that no record can pass, for `poller check` and the start."""
    sentences = []
    for index, text in enumerate(mapping.filters):
        pattern = parse_pattern(text)
        assert not isinstance(pattern, PatternProblem)
        reasons = [next(filter(None, (_reason(one, mapping.source) for one in way)), "") for way in pattern.ways]
        if all(reasons):
            sentences.append(f"Filters[{index}] matches no record: {reasons[0]}.")
    return tuple(sentences)


def _reason(constraint: Constraint, source: SourceKind) -> str:
    """Why nothing can meet this constraint; empty where something may."""
    steps = constraint.steps
    if Exists(present=False) in constraint.operators:
        return ""
    if steps[0] not in FIELDS[source]:
        return f"{dotted(steps)} is in none, because their fields are {', '.join(sorted(FIELDS[source]))}"
    if source is not SourceKind.DYNAMODB or len(steps) < 3 or steps[0] != "dynamodb" or steps[1] not in _ITEMS:
        return ""
    if len(steps) == 3:
        return f'{dotted(steps)} has a type below it, as in {{"{steps[2]}": {{"S": ["text"]}}}}'
    if steps[-1] == "N" and all(isinstance(operator, Range | SameNumber) for operator in constraint.operators):
        return f'{dotted(steps)} is a number written as text, so it only matches text, as in ["101"]'
    return ""
