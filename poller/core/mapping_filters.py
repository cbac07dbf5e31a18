"""The shape of FilterCriteria (CFG-16, CFG-45, CFG-46). Filters are not built yet, so any is refused."""

import json
from collections.abc import Iterator, Mapping

from poller.core.mapping_shapes import FieldProblem, Path, key_text, unknown, violation, wrong_type

_MAX_FILTERS = 10  # 5 by default, 10 on request: we have no quota to ask about
_MAX_PATTERN = 4_096  # characters
_MAX_DEPTH = 100


def filter_criteria(value: object, path: Path) -> Iterator[FieldProblem]:
    """Nothing for an empty one (CFG-46); what is malformed; at last that filters are not part of this version.

    Never ignored: without its filter a mapping would hand over, and then delete, messages that were not meant for
    the handler.
    """
    if not isinstance(value, Mapping):
        yield wrong_type(path, value, "a map", "a map with Filters")
        return
    for name in value:
        if name != "Filters":
            yield unknown((*path, key_text(name)), ("Filters",))
    filters = value.get("Filters")
    if filters is None:
        return
    path = (*path, "Filters")
    if not isinstance(filters, list):
        yield wrong_type(path, filters, "a list", "a list of filters")
        return
    if len(filters) > _MAX_FILTERS:
        limit = f"Member must have length less than or equal to {_MAX_FILTERS}"
        yield violation(path, filters, limit, f"allowed: up to {_MAX_FILTERS} filters")
    for index, member in enumerate(filters):
        yield from _filter(member, (*path, index))
    if filters:
        yield FieldProblem(
            path,
            "InvalidParameterValueException",
            "Filters are not part of this version: every record would reach the handler",
            "leave FilterCriteria out and let the handler pass over what it does not want",
        )


def _filter(value: object, path: Path) -> Iterator[FieldProblem]:
    if not isinstance(value, Mapping):
        yield wrong_type(path, value, "a map", "a map with Pattern")
        return
    for name in value:
        if name != "Pattern":
            yield unknown((*path, key_text(name)), ("Pattern",))
    path = (*path, "Pattern")
    pattern = value.get("Pattern")
    try:
        written = pattern if isinstance(pattern, str) else json.dumps(pattern, separators=(",", ":"))
        if len(written) > _MAX_PATTERN:
            limit = f"Member must have length less than or equal to {_MAX_PATTERN}"
            yield violation(path, written, limit, f"allowed: up to {_MAX_PATTERN} characters")
        pattern = json.loads(pattern) if isinstance(pattern, str) else pattern
    except (ValueError, TypeError, RecursionError):
        pattern = None
    if not _well_formed(pattern):
        yield FieldProblem(
            path,
            "InvalidParameterValueException",
            "Invalid filter pattern definition.",
            "allowed: a JSON object whose leaves are lists that are not empty",
        )


def _well_formed(pattern: object) -> bool:
    """CFG-45: an object, and below it objects down to lists that are not empty; `$or` is a list of patterns."""
    if not isinstance(pattern, dict):
        return False
    waiting: list[tuple[object, int]] = [(pattern, 0)]
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, dict) or depth > _MAX_DEPTH:
            return False
        for key, value in node.items():
            if isinstance(value, list):
                if not value:
                    return False
                if key == "$or":
                    waiting.extend((alternative, depth + 1) for alternative in value)
            else:
                waiting.append((value, depth + 1))
    return True
