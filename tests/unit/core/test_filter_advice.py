"""Filters that can let nothing pass are told of; those that may let something pass are not."""

from typing import Any

import pytest

from poller.core.filter_advice import FIELDS, hopeless_patterns
from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import SourceKind
from poller.core.payload import make_messages
from poller.core.stream_payload import kinesis_event, make_records

ARNS = {
    SourceKind.SQS: "arn:aws:sqs:eu-west-1:123456789012:q",
    SourceKind.KINESIS: "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
    SourceKind.DYNAMODB: "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000",
}


def mapping(source: SourceKind, *patterns: Any) -> EventSourceMapping:
    fields: dict[str, Any] = {"EventSourceArn": ARNS[source], "FunctionName": "python:a:b"}
    if source is not SourceKind.SQS:
        fields["StartingPosition"] = "LATEST"
    parsed = parse_mapping({**fields, "FilterCriteria": {"Filters": [{"Pattern": p} for p in patterns]}})
    assert isinstance(parsed, EventSourceMapping), parsed
    return parsed


@pytest.mark.parametrize(
    ("source", "pattern", "words"),
    [
        (
            SourceKind.SQS,
            {"Body": {"a": [1]}},
            "Body.a is in none, because their fields are attributes, awsRegion, body",
        ),
        (SourceKind.SQS, {"body": {"a": [1]}, "data": {"b": [2]}}, "data.b is in none"),
        (SourceKind.SQS, {"$or": [{"detail": ["x"]}, {"data": ["y"]}]}, "detail is in none"),
        (SourceKind.KINESIS, {"kinesis": {"data": {"a": [1]}}}, "kinesis.data.a is in none"),
        (SourceKind.DYNAMODB, {"body": {"a": [1]}}, "body.a is in none"),
        (SourceKind.DYNAMODB, {"dynamodb": {"NewImage": {"a": ["x"]}}}, "dynamodb.NewImage.a has a type below it"),
        (SourceKind.DYNAMODB, {"dynamodb": {"NewImage": {"a": ["x"]}}}, 'as in {"a": {"S": ["text"]}}'),
        (SourceKind.DYNAMODB, {"dynamodb": {"Keys": {"a": {"N": [1]}}}}, "is a number written as text"),
        (SourceKind.DYNAMODB, {"dynamodb": {"Keys": {"a": {"N": [{"numeric": [">", 1]}]}}}}, "written as text"),
    ],
)
def test_a_filter_that_nothing_passes(source: SourceKind, pattern: Any, words: str) -> None:
    """FLT-31, FLT-33, SUR-9, SUR-21."""
    (sentence,) = hopeless_patterns(mapping(source, {"eventSource": ["x"]}, pattern))
    assert sentence.startswith("Filters[1] matches no record: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("source", "pattern"),
    [
        (SourceKind.SQS, {"body": {"a": [1]}}),
        (SourceKind.SQS, {"detail": [{"exists": False}]}),
        (SourceKind.SQS, {"$or": [{"detail": ["x"]}, {"body": ["y"]}]}),
        (SourceKind.KINESIS, {"data": {"a": [1]}, "partitionKey": ["k"]}),
        (SourceKind.DYNAMODB, {"dynamodb": {"NewImage": {"a": {"S": ["x"]}, "b": {"N": ["1", 1]}}}}),
        (SourceKind.DYNAMODB, {"dynamodb": {"NewImage": {"a": [{"exists": False}]}}}),
        (SourceKind.DYNAMODB, {"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 1]}]}}),
        (SourceKind.DYNAMODB, {"dynamodb": {"Other": {"a": ["x"]}}}),
        (SourceKind.DYNAMODB, {"dynamodb": {"NewImage": {"a": {"BOOL": [1]}}}}),
        (SourceKind.DYNAMODB, {"dynamodb": {"NewImage": {"a": {"SS": [1]}}}}),
    ],
)
def test_a_filter_that_something_may_pass(source: SourceKind, pattern: Any) -> None:
    """FLT-32, FLT-33: or of which it is not said why nothing would."""
    assert hopeless_patterns(mapping(source, pattern)) == ()
    assert hopeless_patterns(mapping(source)) == ()


def test_the_fields_are_those_of_records() -> None:
    """FLT-31, FLT-32: no field that a record has is said to be in none."""
    wire = {"MessageId": "m", "ReceiptHandle": "r", "Body": "", "MD5OfBody": "", "Attributes": {}}
    sqs = mapping(SourceKind.SQS).arn
    (message,) = make_messages([wire], sqs, True, 0.0, 0.0)
    assert set(message.record) == FIELDS[SourceKind.SQS]
    kinesis = mapping(SourceKind.KINESIS)
    read = {"SequenceNumber": "1", "PartitionKey": "k", "Data": "", "ApproximateArrivalTimestamp": 1.0}
    event = kinesis_event(make_records([read], kinesis, "s", 0)[0], kinesis.arn, "s")
    event.update(event.pop("kinesis"))
    assert set(event) == FIELDS[SourceKind.KINESIS]
    change = {"eventName": "REMOVE", "dynamodb": {}, "userIdentity": {"Type": "Service"}}
    assert (
        set(make_records([change], mapping(SourceKind.DYNAMODB), "s", 0)[0].source) == FIELDS[SourceKind.DYNAMODB]
    )
