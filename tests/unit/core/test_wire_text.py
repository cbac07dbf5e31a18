"""Text where text belongs."""

import pytest

from poller.core.wire_text import json_text, nested_too_deeply, text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (None, ""), (5, "5"), ({"b": 1, "a": "\u00e4"}, '{"a":"\u00e4","b":1}')],
)
def test_what_is_no_text_is_shown_as_json(value: object, text: str) -> None:
    """SQS-41."""
    assert text_of(value) == text


def test_the_order_of_attributes_says_nothing() -> None:
    """STR-40: also where one of them is text that orjson refuses; all else is as it would have written it."""
    odd = {"b": "\ud800", "a": "\u00e4"}
    assert json_text(odd) == json_text(dict(reversed(odd.items()))) == '{"a":"\u00e4","b":"\ud800"}'


def test_what_is_nested_without_end_has_no_text() -> None:
    """ERR-8: and a usual depth is no reason."""
    deep: object = "\ud800"
    for levels in range(500):
        assert nested_too_deeply(deep) is (levels >= 200)
        deep = [deep]
    assert json_text(deep) == ""
