"""Which mappings a list has, and how it is cut into pages."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from poller.core.api_answers import Refused
from poller.core.api_changes import Draft, drafted
from poller.core.api_lists import Page, page
from poller.core.mapping import EventSourceMapping
from tests.unit.core.test_api_changes import QUEUE, STREAM


def mapping(number: int, source: dict[str, Any] = QUEUE, **more: Any) -> EventSourceMapping:
    draft = drafted({**source, **more}, f"{number:08x}-2222-4333-8444-555555555555")
    assert isinstance(draft, Draft), draft
    return draft.mapping


def pages(mappings: list[EventSourceMapping], **query: str) -> list[list[int]]:
    """The numbers on each page."""
    found = []
    marker = ""
    while True:
        part = page({**query, "Marker": marker}, mappings)
        assert isinstance(part, Page), part
        found.append([int(one.uuid[:8], 16) for one in part.mappings])
        if part.marker is None:
            return found
        marker = part.marker


def test_a_page_has_at_most_a_hundred() -> None:
    """API-13: whatever MaxItems says; and nothing is left out or told twice."""
    many = [mapping(number) for number in reversed(range(250))]
    everything = [list(range(100)), list(range(100, 200)), list(range(200, 250))]
    assert pages(many) == pages(many, MaxItems="10000") == everything
    assert [len(part) for part in pages(many, MaxItems="99")] == [99, 99, 52]
    assert pages(many[:100]) == [list(range(150, 250))]
    assert pages(many[:3], MaxItems="1") == [[247], [248], [249]]
    assert pages([]) == [[]]


def test_what_comes_and_goes_meanwhile_moves_no_other() -> None:
    """API-13."""
    many = [mapping(number) for number in range(0, 20, 2)]
    first = page({"MaxItems": "3"}, many)
    assert isinstance(first, Page)
    assert first.marker is not None
    rest = page({"Marker": first.marker}, [*many[1:2], *many[3:], mapping(1), mapping(9)])
    assert isinstance(rest, Page)
    assert [int(one.uuid[:8], 16) for one in rest.mappings] == [6, 8, 9, 10, 12, 14, 16, 18]


def test_filters_are_exact() -> None:
    """API-13, CFG-52, CFG-53: by the whole ARN of the source, by any name of the very function."""
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:work"
    there = [
        mapping(1),
        mapping(2, STREAM),
        mapping(3, FunctionName="work:1"),
        mapping(4, FunctionName=arn),
        mapping(5, FunctionName="python:shop:work"),
    ]
    assert pages(there, EventSourceArn=STREAM["EventSourceArn"]) == [[2]]
    assert pages(there, EventSourceArn=STREAM["EventSourceArn"][:-1]) == [[]]
    assert pages(there, FunctionName="work") == pages(there, FunctionName=arn) == [[1, 2, 4]]
    assert pages(there, FunctionName="work:1") == pages(there, FunctionName=f"{arn}:1") == [[3]]
    assert pages(there, FunctionName="python:shop:work") == [[5]]
    assert pages(there, FunctionName="work", EventSourceArn=QUEUE["EventSourceArn"]) == [[1, 4]]
    assert pages(there, FunctionName="wor") == pages(there, FunctionName="\x00:") == [[]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"MaxItems": "0"}, "ValidationException"),
        ({"MaxItems": "9" * 9}, "ValidationException"),
        ({"MaxItems": "9" * 10}, "SerializationException"),
        (
            {"Marker": base64.urlsafe_b64encode(mapping(1).uuid.encode()).decode() + "!"},
            "InvalidParameterValueException",
        ),
        ({"MaxItems": "10001"}, "ValidationException"),
        ({"MaxItems": "-1"}, "SerializationException"),
        ({"MaxItems": "9" * 5000}, "SerializationException"),
        ({"MaxItems": "²"}, "SerializationException"),
        ({"Marker": "x"}, "InvalidParameterValueException"),
        ({"Marker": "\ud800"}, "InvalidParameterValueException"),
        ({"Marker": base64.urlsafe_b64encode(b"nobody's").decode()}, "InvalidParameterValueException"),
    ],
)
def test_a_wrong_query_is_refused(query: dict[str, str], code: str) -> None:
    """API-13."""
    answer = page(query, [mapping(1)])
    assert isinstance(answer, Refused)
    assert (answer.code, answer.status) == (code, 400)
    answer.message.encode()


@pytest.mark.parametrize(
    ("most", "limit"), [("0", "greater than or equal to 1"), ("10001", "less than or equal to 10000")]
)
def test_a_wrong_number_is_told_with_the_limit_that_it_breaks(most: str, limit: str) -> None:
    """API-13."""
    answer = page({"MaxItems": most}, [])
    assert isinstance(answer, Refused)
    assert answer.message.endswith(f"Member must have value {limit}")


def test_a_renamed_mapping_is_where_it_was() -> None:
    one = mapping(1)
    assert pages([replace(one, name="z"), mapping(2)]) == [[1, 2]]
