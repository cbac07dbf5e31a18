"""What is said about a valid mapping once the time and the store are known."""

from typing import Any

import pytest

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.mapping_advice import future_start, lost_positions

NOW = 1_769_860_800.0  # 2026-01-31T12:00:00Z


def mapping(**fields: Any) -> EventSourceMapping:
    least = {
        "EventSourceArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        "FunctionName": "python:a:b",
        "StartingPosition": "TRIM_HORIZON",
    }
    parsed = parse_mapping(least | fields)
    assert isinstance(parsed, EventSourceMapping), parsed
    return parsed


def queue() -> EventSourceMapping:
    return mapping(EventSourceArn="arn:aws:sqs:eu-west-1:123456789012:orders", StartingPosition=None)


def at(timestamp: Any) -> EventSourceMapping:
    return mapping(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=timestamp)


def test_a_start_in_the_future() -> None:
    """CFG-8, STR-13: told with both times, so that a wrong clock is seen too."""
    assert future_start(at("2026-01-31T12:00:01Z"), NOW) == (
        "StartingPositionTimestamp 2026-01-31T12:00:01Z is in the future, it is 2026-01-31T12:00:00Z now;"
        " write a time that has passed, or StartingPosition: LATEST."
    )
    assert future_start(at("9999-12-31T23:59:59Z"), NOW) is not None


@pytest.mark.parametrize("fine", [at(NOW), at(0), mapping(), mapping(StartingPosition="LATEST"), queue()])
def test_starts_that_are_not_in_the_future(fine: EventSourceMapping) -> None:
    """CFG-8."""
    assert future_start(fine, NOW) is None


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (mapping(), "StartingPosition TRIM_HORIZON and handles records again"),
        (at(5), "StartingPosition AT_TIMESTAMP and handles records again"),
        (mapping(StartingPosition="LATEST"), "StartingPosition LATEST and misses what was written meanwhile"),
    ],
)
def test_positions_that_end_with_the_process(stream: EventSourceMapping, words: str) -> None:
    """STR-31: what that costs, and what to write instead."""
    told = lost_positions(stream, lasting=False)
    assert told is not None
    assert words in told
    assert "State sqlite:<path>" in told
    assert lost_positions(stream, lasting=True) is None


def test_a_queue_has_no_positions() -> None:
    """STR-31: SQS itself keeps what is not done."""
    assert lost_positions(queue(), lasting=False) is None
