"""Which mappings a reload touches."""

from typing import Any

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.mapping_changes import find_changes


def mapping(name: str, **fields: Any) -> EventSourceMapping:
    given = {
        "Name": name,
        "EventSourceArn": f"arn:aws:sqs:eu-west-1:123456789012:{name}",
        "FunctionName": "python:shop:handler",
    }
    parsed = parse_mapping(given | fields)
    assert isinstance(parsed, EventSourceMapping)
    return parsed


def stream(**fields: Any) -> EventSourceMapping:
    arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
    return mapping("clicks", EventSourceArn=arn, StartingPosition="LATEST", **fields)


def test_the_same_mappings_in_another_order_are_no_change() -> None:
    a, b = mapping("a"), mapping("b")
    assert not find_changes([a, b], [mapping("b"), mapping("a")])


def test_a_field_that_differs_stops_and_starts_that_mapping_only() -> None:
    a, b = mapping("a"), mapping("b")
    changed = mapping("b", BatchSize=5)
    changes = find_changes([a, b], [a, changed])
    assert changes.stop == (b,)
    assert changes.start == (changed,)


def test_what_is_new_starts_and_what_is_gone_stops() -> None:
    a, b, c = mapping("a"), mapping("b"), mapping("c")
    changes = find_changes([a, b], [b, c])
    assert changes.stop == (a,)
    assert changes.start == (c,)
    assert find_changes([a, b], [a])
    assert find_changes([a], [a, b])


def test_a_stream_whose_function_changes_is_the_same_mapping_with_the_same_positions() -> None:
    """STR-31: its rows are kept under its UUID."""
    before, after = stream(), stream(FunctionName="python:shop:other")
    changes = find_changes([before], [after])
    assert changes.stop == (before,)
    assert changes.start == (after,)
    assert before.uuid == after.uuid


def test_filters_count_and_enabled_does() -> None:
    """FLT-43, API-9: every field does."""
    for fields in ({"Enabled": False}, {"Handler": {"TimeoutInSeconds": 3}}, {"FunctionName": "python:shop:b"}):
        assert find_changes([mapping("a")], [mapping("a", **fields)])
