"""What editors are told of a shape: never less than the checks take."""

import re

from poller.core.mapping_schema import fillable, list_of, map_of, matching, one_of, optional

VARIABLE = r"\$\{"


def test_a_field_may_hold_a_variable_or_be_null() -> None:
    """Text in the file, whatever it comes to when it is filled in; null only where nothing would do, too."""
    number = {"type": "integer", "minimum": 1}
    assert fillable(number) == {"type": ["integer", "string"], "minimum": 1, "pattern": VARIABLE}
    assert optional(number) == {"type": ["integer", "string", "null"], "minimum": 1, "pattern": VARIABLE}
    several = {"type": ["object", "string"]}
    assert fillable(several) == several
    assert optional(several) == {"type": ["object", "string", "null"]}


def test_text_of_a_form_may_hold_a_variable() -> None:
    told = fillable(matching("a+"))
    assert told == {"type": ["string"], "pattern": rf"^(?:a+)$|{VARIABLE}"}
    for text, found in (("aa", True), ("b", False), ("x${Y}", True)):
        assert bool(re.search(told["pattern"], text)) is found
    assert fillable({"type": "string"}) == {"type": ["string"]}


def test_a_word_of_some_may_be_a_variable_or_null() -> None:
    words = one_of("A", "B")
    assert words == {"enum": ["A", "B"]}
    variable = {"type": "string", "pattern": VARIABLE}
    assert fillable(words) == {"anyOf": [words, variable]}
    assert optional(words) == {"anyOf": [words, variable, {"type": "null"}]}


def test_lists_and_maps() -> None:
    """What is required is not null, and without anything required nothing is said of it."""
    text = {"type": "string"}
    assert list_of(text, 3) == {"type": "array", "items": fillable(text), "maxItems": 3}
    told = map_of({"a": text, "b": text}, required=("a",))
    assert told == {
        "type": "object",
        "properties": {"a": {"type": ["string"]}, "b": {"type": ["string", "null"]}},
        "additionalProperties": False,
        "required": ["a"],
    }
    assert "required" not in map_of({"a": text})


def test_several_forms_are_one() -> None:
    """Editors know no named groups."""
    assert matching("(?P<a>x)", "y") == {"type": "string", "pattern": "^(?:(?:x)|y)$"}
