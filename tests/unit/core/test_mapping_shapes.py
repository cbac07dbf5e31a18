"""How a mistake is told: the value, short and on one line, its place, and what to write instead."""

import pytest

from poller.core.mapping_shapes import (
    Shape,
    block,
    flag,
    quote,
    seconds,
    text,
    unknown,
    violation,
    whole,
    wrong_type,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 60, repr("x" * 60)),
        ("x" * 61, repr("x" * 59 + "…")),
        (10**60 - 1, "9" * 60),
        (10**60, "a number of more than 60 digits"),
        (-(10**60), "a number of more than 60 digits"),
        (None, "null"),
        (True, "true"),
        ({}, "a map"),
        ((1,), "a list"),
        (object(), "a value of type object"),
    ],
)
def test_a_value_is_told_in_at_most_sixty_characters(value: object, shown: str) -> None:
    """Whatever it is; Python itself refuses to write out numbers without end."""
    assert quote(value) == shown


def test_a_number_without_end_is_told_in_words() -> None:
    assert quote(10**5_000) == quote(-(10**5_000)) == "a number of more than 60 digits"


LIMIT = "1 validation error detected: Value '{}' at 'f' failed to satisfy constraint: Member must have value"


def told(shape: Shape, value: object) -> list[str]:
    return [problem.sentence for problem in shape.check(value, ("F",))]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2, None),
        (5, None),
        (1, f"F: {LIMIT.format(1)} greater than or equal to 2; allowed: a whole number from 2 to 5."),
        (6, f"F: {LIMIT.format(6)} less than or equal to 5; allowed: a whole number from 2 to 5."),
        (3.0, "F: 3.0 is not a whole number; allowed: a whole number from 2 to 5."),
        (True, "F: true is not a whole number; allowed: a whole number from 2 to 5."),
        ("3", "F: '3' is not a whole number; allowed: a whole number from 2 to 5, without quotes."),
    ],
)
def test_a_whole_number(value: object, words: str | None) -> None:
    """CFG-34: in the service's words where it has some."""
    assert told(whole(2, 5), value) == ([] if words is None else [words])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, None),
        (1.5, None),
        (9, None),
        (0.9, "0.9 is out of range"),
        (9.1, "9.1 is out of range"),
        (float("nan"), "nan is out of range"),
        (True, "true is not a number"),
        ([], "a list is not a number"),
        ("1", "'1' is not a number; allowed: a number of seconds from 1 to 9, without quotes"),
    ],
)
def test_seconds(value: object, words: str | None) -> None:
    """Both ends are allowed, and what is no number is out of every range."""
    found = told(seconds(1, 9), value)
    assert len(found) == (words is not None)
    assert words is None or f"F: {words}" in found[0]


def test_text_of_a_form() -> None:
    shape = text("[a-z]{2}", "two letters")
    assert told(shape, "ab") == []
    assert told(shape, "abc") == ["F: 'abc' is not two letters; allowed: two letters."]
    assert told(shape, 5) == ["F: 5 is not text; allowed: two letters."]


def test_a_map_of_fields() -> None:
    """Each mistake for itself; null is the same as not there."""
    shape = block({"A": flag, "B": whole(1, 2)}, required=("B",))
    assert told(shape, {"A": True, "B": 1}) == told(shape, {"A": None, "B": 2}) == []
    assert told(shape, {"A": 1, "B": 1}) == ["F.A: 1 is not true or false; allowed: true or false."]
    missing = "F.B: B is missing; write B too."
    assert told(shape, {}) == told(shape, {"B": None}) == [missing]
    assert told(shape, {"B": 1, "C": 1})[0].startswith("F.C: 'C' is not a field of this version; ")
    for nothing in ("x", [], 5):
        assert told(shape, nothing) == [f"F: {quote(nothing)} is not a map; allowed: a map of A, B."]


def test_the_name_that_was_perhaps_meant() -> None:
    """The one that is nearest, or all there are."""
    known = ("BatchSize", "BatchSite", "Enabled")
    assert unknown(("batchsize",), known).message.endswith("did you mean BatchSize?")
    assert unknown(("BatchSitee",), known).message.endswith("did you mean BatchSite?")
    assert unknown(("x",), known).message.endswith("known here: BatchSite, BatchSize, Enabled.")


def test_places_in_the_spelling_of_the_api() -> None:
    """CFG-34: members are counted from 1."""
    problem = violation(("FunctionResponseTypes", 0), "x", "c", "a")
    assert "at 'functionResponseTypes.1.member'" in problem.message
    assert "Value null at 'scalingConfig.maximumConcurrency'" in (
        violation(("ScalingConfig", "MaximumConcurrency"), None, "c", "a").message
    )


def test_quotes_are_mentioned_where_they_may_be_the_mistake() -> None:
    assert wrong_type(("A",), "true", "true or false").allowed == "allowed: true or false, without quotes"
    assert wrong_type(("A",), "x", "a map").allowed == "allowed: a map"
    assert wrong_type(("A",), 5, "a number").allowed == "allowed: a number"
