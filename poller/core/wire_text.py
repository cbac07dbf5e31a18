"""What a source sends in a place where text belongs, made text all the same; and what is nested too deeply to be
passed on. No service of AWS does this, but stand-ins, proxies and bugs do, and a record must not be lost by it.
"""

import json
from typing import Final

import orjson

_LEVELS: Final = 200  # orjson takes 254, of which the event needs some; an item of DynamoDB has at most 32


def nested_too_deeply(value: object) -> bool:
    """Whether this has more levels than can be relied on to be written as JSON, in an event or a row."""
    level = [value]
    for _ in range(_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        if not level:
            return False
    return True


def text_of(value: object) -> str:
    """A field of text. What is missing is empty, and anything else is shown as the JSON that came."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text(value)


def json_text(value: object) -> str:
    """JSON that is the same in whatever order the attributes of an object came (STR-40)."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:
        if nested_too_deeply(value):
            return ""
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
