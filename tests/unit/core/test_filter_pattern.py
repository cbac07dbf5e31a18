"""What is a pattern: every way to be none, with the place; limits on what a short text may stand for."""

import json
from typing import Any

import pytest

from poller.core.filter_alternatives import PatternProblem
from poller.core.filter_pattern import Pattern, parse_pattern, pattern_text
from tests.unit.core.filter_table import INVALID, TABLE


def test_what_is_no_pattern_is_told_with_its_place() -> None:
    """FLT-3, FLT-5, FLT-11, FLT-12, FLT-13, FLT-14, FLT-15, FLT-16, FLT-17, FLT-18, FLT-19, FLT-20, FLT-21,
    FLT-24.
    """
    for clause, pattern, place, words in INVALID:
        problem = parse_pattern(pattern)
        assert isinstance(problem, PatternProblem), (clause, pattern)
        assert problem.path == place, (clause, pattern, problem)
        assert words in problem.found, (clause, pattern, problem)
        assert problem.allowed.startswith("allowed: ")


def test_text_and_object_are_the_same_pattern() -> None:
    """FLT-1, FLT-3: and so is the text that a mapping keeps."""
    patterns = [row.pattern for row in TABLE if not isinstance(row.pattern, str)]
    for pattern in patterns:
        parsed = parse_pattern(pattern)
        assert isinstance(parsed, Pattern)
        assert parsed == parse_pattern(json.dumps(pattern)) == parse_pattern(pattern_text(pattern))
    assert pattern_text('{ "a" : [ 1 ], "a" : [ "\u00e9" ] }') == '{"a":["\\u00e9"]}'


def test_operators_that_are_not_in_lambdas_own_table() -> None:
    """FLT-22: wildcard and cidr are taken."""
    assert isinstance(parse_pattern({"a": [{"wildcard": "a*"}, {"cidr": "10.0.0.0/8"}]}), Pattern)


def test_names_of_operators_are_names_of_fields_elsewhere() -> None:
    """FLT-21: only inside $or would one be a mistake that drops everything."""
    assert isinstance(parse_pattern({"prefix": ["x"], "a": {"exists": [True]}}), Pattern)


@pytest.mark.parametrize(
    "text", ["{", "[" * 4_000, '{"a":' * 680 + "[1]" + "}" * 680, '{"a": [' + "9" * 4_000 + "]}x"]
)
def test_text_that_is_hard_to_read(text: str) -> None:
    """FLT-3, FLT-6."""
    assert isinstance(parse_pattern(text), PatternProblem)


def test_what_is_nested_without_end() -> None:
    """FLT-3: an object that a program made may be deeper than any stack, or hold itself."""
    deep: Any = [1]
    for _ in range(10_000):
        deep = {"a": deep}
    assert parse_pattern(deep) == PatternProblem(
        ("a",) * 5, "this is nested too deeply", "allowed: up to 100 levels"
    )
    alternatives: Any = {"a": [1]}
    for _ in range(10_000):
        alternatives = {"$or": [alternatives, {"a": [1]}]}
    assert parse_pattern(alternatives) == PatternProblem(
        ("$or", 0, "$or", 0, "$or"), "this is nested too deeply", "allowed: up to 100 levels"
    )
    itself: dict[str, Any] = {}
    itself["a"] = itself
    assert isinstance(parse_pattern(itself), PatternProblem)
    with pytest.raises(ValueError):
        pattern_text(itself)
    with pytest.raises(ValueError):
        pattern_text({"a": object()})


def test_levels_count_dots_too() -> None:
    """FLT-26: up to a hundred."""
    assert isinstance(parse_pattern({".".join("a" * 100): [1]}), Pattern)
    assert isinstance(parse_pattern({".".join("a" * 101): [1]}), PatternProblem)
    assert isinstance(parse_pattern({"a.a": {".".join("a" * 99): [1]}}), PatternProblem)


def test_combinations_have_a_limit() -> None:
    """FLT-21: up to a thousand, counted before they are made."""
    tens = {name: {"$or": [{"x": [n]} for n in range(10)]} for name in ("a", "b", "c")}
    parsed = parse_pattern(tens)
    assert isinstance(parsed, Pattern)
    assert len(parsed.ways) == 1_000
    assert isinstance(parse_pattern({**tens, "d": {"$or": [{"x": [1]}, {"x": [2]}]}}), PatternProblem)
    many = {f"a{n}": {"$or": [{"x": [1]}, {"x": [2]}]} for n in range(100)}  # 2 ** 100
    assert isinstance(parse_pattern(many), PatternProblem)
    wide = {**tens, **{f"f{n}": [1] for n in range(200)}}
    assert isinstance(parse_pattern(wide), PatternProblem)
    assert isinstance(parse_pattern({"$or": [{"a": [n]} for n in range(1_001)]}), PatternProblem)
    thick = {"$or": [{f"x{field}": [n] for field in range(25)} for n in range(900)]}
    assert isinstance(parse_pattern({"a": [1], **thick}), PatternProblem)


def test_the_longest_patterns_are_read() -> None:
    """FLT-6: what 4,096 characters can ask for at most."""
    patterns: list[Any] = [
        {"a": ["x" * 4_000]},
        {"a": [{"anything-but": [str(n) for n in range(700)]}]},
        {f"{n}": [n] for n in range(400)},
        {".".join("a" * 90): {f"a{n}": [n] for n in range(300)}},
    ]
    for pattern in patterns:
        assert isinstance(parse_pattern(json.dumps(pattern)), Pattern)


def test_a_number_beyond_any_float_is_refused_in_an_object_as_in_a_text() -> None:
    """FLT-24: what is taken must be taken again when it is read from the text that is kept."""
    for number in (10**1000, -(10 ** (1000 - 1)), 10 ** (1000 - 2)):
        for pattern in ({"body": {"a": [{"anything-but": [1, number]}]}}, {"body": {"a": [number]}}):
            assert isinstance(parse_pattern(pattern), PatternProblem)
    largest = int("9" * 998)
    for pattern in ({"a": [{"anything-but": [1, largest]}]}, {"a": [-largest]}):
        assert parse_pattern(pattern) == parse_pattern(pattern_text(pattern))
        assert isinstance(parse_pattern(pattern), Pattern)


def test_bounds_that_are_the_same_number_have_it_between_them() -> None:
    """FLT-17."""
    assert isinstance(parse_pattern({"a": [{"numeric": [">=", 5, "<=", 5]}]}), Pattern)
    assert isinstance(parse_pattern({"a": [{"numeric": [">=", 5, "<", 5]}]}), PatternProblem)
    assert isinstance(parse_pattern({"a": [{"numeric": ["=", 1, "=", 1]}]}), PatternProblem)


def test_choices_have_the_same_limit_however_they_come_together() -> None:
    """FLT-21: a thousand ways, and no more, also when the last member brings several at once."""

    def one_of(count: int) -> Any:
        return {"$or": [{"a": [n]} for n in range(count)]}

    def together(*counts: int) -> Any:
        return {"$or": [one_of(count) for count in counts]}

    assert isinstance(parse_pattern(one_of(1_000)), Pattern)
    assert isinstance(parse_pattern(one_of(1_001)), PatternProblem)
    assert isinstance(parse_pattern(together(500, 500)), Pattern)
    assert isinstance(parse_pattern(together(700, 700)), PatternProblem)


def test_choices_may_stand_on_the_last_level_that_fields_have() -> None:
    """FLT-21."""

    def nested(levels: int) -> Any:
        pattern: Any = {"$or": [{"a": [1]}, {"a": [2]}]}
        for _ in range(levels):
            pattern = {"x": pattern}
        return pattern

    limit = max(levels for levels in range(120) if isinstance(parse_pattern(nested(levels)), Pattern))
    assert 90 <= limit < 119
    assert isinstance(parse_pattern(nested(limit + 1)), PatternProblem)


def test_text_of_a_pattern_has_no_numbers_that_json_has_not() -> None:
    """FLT-24."""
    with pytest.raises(ValueError, match="JSON"):
        pattern_text({"a": [float("nan")]})
    with pytest.raises(ValueError, match="JSON"):
        pattern_text('{"a": [NaN]}')
