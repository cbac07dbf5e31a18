"""How the shape of a value is told as JSON Schema (draft 2020-12), for editors; what is legal is not decided here.

A schema refuses nothing that the checks take, but for a null where a field of another source might be. It lets a
little more pass: rules between fields are the checks'.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_VARIABLE = r"\$\{"  # what holds one is text in the file, whatever it comes to when it is filled in


def matching(*patterns: str) -> Schema:
    """Text that matches one of some regular expressions as a whole.

    Editors know no named groups, and read a pattern as one to be found anywhere in the text.
    """
    several = "|".join(re.sub(r"\?P<\w+>", "?:", pattern) for pattern in patterns)
    return {"type": "string", "pattern": f"^(?:{several})$"}


def one_of(*words: str) -> Schema:
    """One of some words, which an editor can offer."""
    return {"enum": list(words)}


def list_of(member: Schema, maximum: int) -> Schema:
    """A list of up to so many."""
    return {"type": "array", "items": fillable(member), "maxItems": maximum}


def map_of(fields: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """A map that holds these fields and no others; null is as good as nothing where a field is not required."""
    properties = {
        name: fillable(schema) if name in required else optional(schema) for name, schema in fields.items()
    }
    told: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return told | {"required": list(required)} if required else told


def fillable(schema: Schema) -> Schema:
    """The same, or text with a `${VARIABLE}` in it."""
    return _widened(schema, "string")


def optional(schema: Schema) -> Schema:
    """The same, or text with a `${VARIABLE}` in it, or null."""
    return _widened(schema, "string", "null")


def _widened(schema: Schema, *types: str) -> Schema:
    """With one list of types rather than alternatives, where that can be: editors then name the limit that was
    broken.
    """
    if "type" not in schema:
        others = [
            {"type": "string", "pattern": _VARIABLE},
            *({"type": name} for name in types if name != "string"),
        ]
        return {"anyOf": [schema, *others]}
    own = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    pattern = schema.get("pattern", "" if "string" in own else None)
    told = schema | {"type": [*own, *(name for name in types if name not in own)]}
    if pattern != "":
        told["pattern"] = _VARIABLE if pattern is None else f"{pattern}|{_VARIABLE}"
    return told
