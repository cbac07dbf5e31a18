"""FilterCriteria in a mapping: where its problems are, in an object and in a text, and what is kept of it."""

from typing import Any

import pytest

from poller.config import Rejected, parse
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.mapping_shapes import FieldProblem

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
DYNAMODB = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"
PLACE = ("FilterCriteria", "Filters", 0, "Pattern")


def parsed(*filters: Any, source: str = QUEUE) -> EventSourceMapping | Invalid:
    fields: dict[str, Any] = {"EventSourceArn": source, "FunctionName": "python:shop.orders:handler"}
    if source != QUEUE:
        fields["StartingPosition"] = "LATEST"
    return parse_mapping({**fields, "FilterCriteria": {"Filters": list(filters)}})


def problem(pattern: Any, source: str = QUEUE) -> FieldProblem:
    result = parsed({"Pattern": pattern}, source=source)
    assert isinstance(result, Invalid)
    (one,) = result.problems
    return one


def test_a_mapping_keeps_its_patterns_as_texts() -> None:
    """CFG-16, FLT-4: however they were written; of duplicate keys the last."""
    mapping = parsed(
        {"Pattern": {"body": {"type": ["order", 1, None]}}}, {"Pattern": ' {"a": [1],\n "a": ["é"]} '}
    )
    assert isinstance(mapping, EventSourceMapping)
    assert mapping.filters == ('{"body":{"type":["order",1,null]}}', '{"a":["\\u00e9"]}')


def test_the_same_pattern_in_other_words_is_the_same_mapping() -> None:
    """CFG-16: nothing has to begin anew for it."""
    assert (
        parsed({"Pattern": '{"a":[1]}'})
        == parsed({"Pattern": '{ "a" : [ 1 ] }'})
        == parsed({"Pattern": {"a": [1]}})
    )
    assert parsed({"Pattern": '{"a":[1]}'}) != parsed({"Pattern": '{"a":[2]}'})


def test_other_filters_replace_all() -> None:
    """FLT-7, CFG-46: a configuration holds what it says, and without filters there are none."""
    for empty in ({}, {"Filters": []}, None):
        mapping = parse_mapping({"EventSourceArn": QUEUE, "FunctionName": "python:a:b", "FilterCriteria": empty})
        assert isinstance(mapping, EventSourceMapping)
        assert mapping.filters == ()


def test_the_place_inside_an_object() -> None:
    """CFG-45: a part of the path, so that it has a line."""
    found = problem({"body": {"type": ["order", {"prefix": 1}]}})
    assert found.path == (*PLACE, "body", "type", 1, "prefix")
    assert found.message == "Invalid filter pattern definition."
    assert found.detail == "Invalid filter pattern definition. 1 is not text; allowed: text."


def test_the_place_inside_a_text() -> None:
    """CFG-45: in words, because a text has one line."""
    found = problem('{"body": {"type": ["order", {"prefix": 1}]}}')
    assert found.path == PLACE
    assert found.detail == (
        "Invalid filter pattern definition. At body.type[1].prefix: 1 is not text; allowed: text."
    )
    assert problem("{").detail == (
        "Invalid filter pattern definition. This is not JSON;"
        " allowed: a JSON object whose leaves are lists that are not empty."
    )


def test_the_line_of_a_place() -> None:
    """CFG-45: that of the value, in a file."""
    text = f"""EventSourceMappings:
  - EventSourceArn: {QUEUE}
    FunctionName: python:a:b
    FilterCriteria:
      Filters:
        - Pattern:
            body:
              type: [order]
              amount:
                - numeric: [">", "5"]
"""
    rejected = parse(text, "poller.yaml", {})
    assert isinstance(rejected, Rejected)
    (one,) = rejected.problems
    assert one.line == 10
    assert "'5' is no bound" in one.sentence


def test_what_yaml_has_and_json_has_not() -> None:
    """CFG-45."""
    deep: Any = ["x"]
    for _ in range(10_000):
        deep = {"a": deep}
    for pattern in ({1: ["x"]}, {"a": [b"x"]}, {"a": [float("nan")]}, {"a": {"x"}}, {"a": [10**5_000]}, deep):
        assert problem(pattern).message == "Invalid filter pattern definition."
        assert len(problem(pattern).sentence) < 300


@pytest.mark.parametrize("source", [KINESIS, DYNAMODB])
def test_plain_patterns_for_the_data_of_a_stream(source: str) -> None:
    """FLT-36: refused, wherever they stand; JSON patterns and other fields are not."""
    key = "data" if source == KINESIS else "dynamodb"
    for pattern in ({key: ["x"]}, {key: [{"prefix": "x"}]}, {"$or": [{key: ["x"]}, {"eventName": ["x"]}]}):
        found = problem(pattern, source)
        assert found.path == (*PLACE, key)
        assert found.message == "Invalid filter pattern definition."
        assert " list here is for plain text" in found.detail
    assert f"At {key}: a list" in problem(f'{{"{key}": ["x"]}}', source).detail
    for pattern in ({key: {"a": ["x"]}}, {"eventName": ["x"]}, {f"{key}.a": ["x"]}):
        assert isinstance(parsed({"Pattern": pattern}, source=source), EventSourceMapping)
    assert isinstance(parsed({"Pattern": {"body": ["x"]}}), EventSourceMapping)


def test_the_place_of_a_filter_behind_one_that_is_none() -> None:
    """FLT-36, CFG-16."""
    result = parsed(7, {"Pattern": "{"}, {"Pattern": {"data": ["x"]}}, source=KINESIS)
    assert isinstance(result, Invalid)
    assert [p.path[:3] for p in result.problems] == [("FilterCriteria", "Filters", n) for n in (0, 1, 2)]


def test_lengths() -> None:
    """FLT-6: ten filters; 4,096 characters of an object as JSON without needless space, of a text as it stands."""
    assert isinstance(parsed(*[{"Pattern": {"a": [1]}}] * 10), EventSourceMapping)
    eleven = parsed(*[{"Pattern": {"a": [1]}}] * 11)
    assert isinstance(eleven, Invalid)
    assert "less than or equal to 10" in eleven.problems[0].message
    fits = {"a": ["é" * (4_096 - len('{"a":[""]}'))]}
    assert isinstance(parsed({"Pattern": fits}), EventSourceMapping)
    assert "less than or equal to 4096" in problem({"a": [*fits["a"], 1]}).message
    assert "less than or equal to 4096" in problem('{"a": [1]}' + " " * 4_096).message


@pytest.mark.parametrize("filters", [5, "xy", {"Pattern": "{}"}])
def test_filters_that_are_no_list(filters: object) -> None:
    """CFG-45: one problem, and nothing is said of what is in it."""
    criteria = {"Filters": filters}
    result = parse_mapping({"EventSourceArn": QUEUE, "FunctionName": "python:a:b", "FilterCriteria": criteria})
    assert isinstance(result, Invalid)
    assert [problem.path for problem in result.problems] == [("FilterCriteria", "Filters")]


def test_a_pattern_that_is_too_long_is_not_read() -> None:
    """FLT-6: one problem, whatever else is wrong with it."""
    found = problem("{" * 4_097)
    assert found.path == PLACE
    assert "4096" in found.detail
