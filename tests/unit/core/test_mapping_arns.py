"""ARNs of streams: which are taken, what they come to, and what is said to the others."""

from typing import Any

import pytest

from poller.core.mapping_arns import SourceParts, parse_source_arn
from poller.core.mapping_shapes import FieldProblem
from poller.core.model import SourceKind

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012"
DYNAMODB = "arn:aws:dynamodb:eu-west-1:123456789012"
LABEL = "2026-01-01T00:00:00.000"


@pytest.mark.parametrize(
    ("arn", "parts"),
    [
        (f"{KINESIS}:stream/clicks", ("aws", "eu-west-1", "123456789012", "clicks")),
        ("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b_C-9",
         ("aws-cn", "cn-north-1", "123456789012", "a.b_C-9")),
        ("arn:aws-us-gov:kinesis:us-gov-west-1:000000000000:stream/" + "s" * 128,
         ("aws-us-gov", "us-gov-west-1", "000000000000", "s" * 128)),
    ],
)  # fmt: skip
def test_kinesis_streams(arn: str, parts: tuple[str, ...]) -> None:
    """CFG-1."""
    assert parse_source_arn(arn) == SourceParts(SourceKind.KINESIS, *parts)


@pytest.mark.parametrize(
    ("arn", "parts"),
    [
        (f"{DYNAMODB}:table/orders/stream/{LABEL}", ("aws", "eu-west-1", "123456789012", "orders", LABEL)),
        (f"arn:aws:dynamodb:ddblocal:000000000000:table/a.b_C-9/stream/{LABEL}",
         ("aws", "ddblocal", "000000000000", "a.b_C-9", LABEL)),
        (f"arn:aws:dynamodb:local:000000000000:table/t/stream/{LABEL}+00:00",
         ("aws", "local", "000000000000", "t", f"{LABEL}+00:00")),
    ],
)  # fmt: skip
def test_streams_of_tables(arn: str, parts: tuple[str, ...]) -> None:
    """CFG-1: the time in it has colons; DynamoDB Local has a region of its own."""
    assert parse_source_arn(arn) == SourceParts(SourceKind.DYNAMODB, *parts)


@pytest.mark.parametrize(
    ("arn", "words"),
    [
        (
            f"{KINESIS}:clicks",
            "is not the ARN of a stream; write arn:aws:kinesis:<region>:<account>:stream/<stream>",
        ),
        (f"{KINESIS}:stream", "is not the ARN of a stream"),
        (f"{KINESIS}:stream/", "'' is not a stream name"),
        (f"{KINESIS}:stream/a/b", "'a/b' is not a stream name"),
        (f"{KINESIS}:stream/{'s' * 129}", "is not a stream name"),
        (f"{KINESIS}:stream/clicks\n", "is not a stream name"),
        (KINESIS, "has 5 parts instead of 6: write arn:aws:kinesis:"),
        ("arn:aws:kinesis:eu-west1:123456789012:stream/s", "'eu-west1' is not a region"),
        ("arn:aws:kinesis:ddblocal:123456789012:stream/s", "'ddblocal' is not a region"),
        ("arn:aws:kinesis:eu-west-1:1:stream/s", "'1' is not an account"),
        ("arn:aws:kinesis:eu-west-1:١٢٣٤٥٦٧٨٩٠١٢:stream/s", "is not an account"),
        ("arn:x:kinesis:eu-west-1:123456789012:stream/s", "'x' is not a partition"),
        (f"{DYNAMODB}:table/orders", "this is the ARN of a table: a mapping reads its stream, whose ARN is the"),
        (f"{DYNAMODB}:table/orders/index/i", "is not the ARN of a table's stream; write arn:aws:dynamodb:"),
        (f"{DYNAMODB}:table/orders/stream", "'' is not the time in the ARN of a stream"),
        (f"{DYNAMODB}:table/orders/stream/", "'' is not the time in the ARN of a stream"),
        (f"{DYNAMODB}:table/orders/stream/a b", "'a b' is not the time in the ARN of a stream"),
        (f"{DYNAMODB}:table//stream/{LABEL}", "'' is not a table name"),
        (f"{DYNAMODB}:backup/orders", "is not the ARN of a table's stream"),
        (DYNAMODB, "has 5 parts instead of 6: write arn:aws:dynamodb:"),
        (f"arn:aws:dynamodb:eu-west1:123456789012:table/t/stream/{LABEL}", "'eu-west1' is not a region"),
        (f"arn:aws:dynamodb::123456789012:table/t/stream/{LABEL}", "'' is not a region"),
    ],
)
def test_what_is_no_stream(arn: str, words: str) -> None:
    """CFG-1, CFG-37: AWS's sentence, then what was written instead."""
    problem = parse_source_arn(arn)
    assert isinstance(problem, FieldProblem)
    assert (problem.path, problem.message) == (("EventSourceArn",), "Unrecognized event source.")
    assert words.casefold() in problem.detail.casefold()
    assert problem.detail.isprintable()


def test_a_consumer_is_recognised_and_refused() -> None:
    """KIN-5: enhanced fan-out is not built; the stream's own ARN is at hand."""
    problem = parse_source_arn(f"{KINESIS}:stream/clicks/consumer/mine:1700000000")
    assert isinstance(problem, FieldProblem)
    assert problem.detail == (
        "Enhanced fan-out is not part of this version, and this is the ARN of a consumer;"
        f" write the stream's ARN, {KINESIS}:stream/clicks."
    )
    long = parse_source_arn(f"{KINESIS}:stream/{'s' * 900}/consumer/mine:1")
    assert isinstance(long, FieldProblem)
    assert long.detail.endswith("write the stream's ARN, arn:aws:kinesis:<region>:<account>:stream/<stream>.")


@pytest.mark.parametrize("value", [None, "", "orders", "shop orders", "arn:aws", "https://example.com", 7])
def test_all_kinds_of_sources_are_named(value: Any) -> None:
    """CFG-1: to somebody who wrote none of them."""
    problem = parse_source_arn(value)
    assert isinstance(problem, FieldProblem)
    for form in ("arn:aws:sqs:<region>", "arn:aws:kinesis:<region>", "arn:aws:dynamodb:<region>"):
        assert form in problem.detail
