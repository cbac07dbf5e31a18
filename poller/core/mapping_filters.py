"""FilterCriteria: what is wrong with it, and its patterns as a mapping keeps them (CFG-16, CFG-45, FLT-36).

The language of patterns is filter_pattern.py's; here its problems get the place and the words of a field.
"""

import json
from collections.abc import Iterator, Mapping

from poller.core.filter_alternatives import PatternProblem
from poller.core.filter_pattern import MAX_CHARACTERS, parse_pattern, pattern_text
from poller.core.mapping_shapes import (
    FieldProblem,
    Path,
    dotted,
    invalid,
    key_text,
    unknown,
    violation,
    wrong_type,
)
from poller.core.model import SourceKind

_MAX_FILTERS = 10  # 5 by default, 10 on request: we have no quota to ask about
_INVALID = "Invalid filter pattern definition."
_OBJECT = '{"type": ["order"]}'
_DATA = {SourceKind.KINESIS: "data", SourceKind.DYNAMODB: "dynamodb"}


def filter_criteria(value: object, path: Path) -> Iterator[FieldProblem]:
    """What is wrong with a FilterCriteria, whatever the source; nothing for an empty one (CFG-46)."""
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


def plain_data_patterns(fields: Mapping[str, object], source: SourceKind) -> Iterator[FieldProblem]:
    """FLT-36: what a stream's record carries can only be matched as JSON; patterns wrong in themselves are passed
    over.
    """
    data = _DATA.get(source)
    if data is None:
        return
    for index, pattern in _patterns(fields):
        parsed = parse_pattern(pattern)
        if isinstance(parsed, PatternProblem):
            continue
        if any(constraint.steps == (data,) for way in parsed.ways for constraint in way):
            problem = PatternProblem(
                (data,), "a list here is for plain text", f"allowed: an object, such as {_OBJECT}"
            )
            yield _invalid_pattern(problem, pattern, ("FilterCriteria", "Filters", index, "Pattern"))


def filter_texts(fields: Mapping[str, object]) -> tuple[str, ...]:
    """The patterns of valid fields, as EventSourceMapping.filters has them."""
    return tuple(pattern_text(pattern) for _, pattern in _patterns(fields))


def written_filters(fields: Mapping[str, object]) -> tuple[str, ...]:
    """The patterns of valid fields as they were written; those that were objects, as text."""
    return tuple(_written(pattern) or pattern_text(pattern) for _, pattern in _patterns(fields))


def _patterns(fields: Mapping[str, object]) -> Iterator[tuple[int, object]]:
    """Each pattern with the place of its filter in the list."""
    criteria = fields.get("FilterCriteria")
    filters = criteria.get("Filters") if isinstance(criteria, Mapping) else None
    for index, member in enumerate(filters if isinstance(filters, list) else ()):
        if isinstance(member, Mapping):
            yield index, member.get("Pattern")


def _filter(value: object, path: Path) -> Iterator[FieldProblem]:
    if not isinstance(value, Mapping):
        yield wrong_type(path, value, "a map", "a map with Pattern")
        return
    for name in value:
        if name != "Pattern":
            yield unknown((*path, key_text(name)), ("Pattern",))
    path = (*path, "Pattern")
    pattern = value.get("Pattern")
    written = _written(pattern)
    if written is not None and len(written) > MAX_CHARACTERS:
        limit = f"Member must have length less than or equal to {MAX_CHARACTERS}"
        yield violation(path, written, limit, f"allowed: up to {MAX_CHARACTERS} characters")
        return
    parsed = parse_pattern(pattern)
    if isinstance(parsed, PatternProblem):
        yield _invalid_pattern(parsed, pattern, path)
    elif written is None:  # an object that looked like a pattern to the end and is none: YAML has more than JSON
        yield invalid(
            path, _INVALID, "allowed: what JSON has: objects, lists, text, numbers, true, false and null"
        )


def _written(pattern: object) -> str | None:
    """The pattern as it would stand in an API call; None if it cannot be written."""
    if isinstance(pattern, str):
        return pattern
    try:
        return json.dumps(pattern, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        return None


def _invalid_pattern(problem: PatternProblem, pattern: object, path: Path) -> FieldProblem:
    """CFG-45. An object's parts have lines of their own in a file; inside a text the place is told in words."""
    if isinstance(pattern, str):
        where = f"at {dotted(problem.path)}: " if problem.path else ""
        return invalid(path, _INVALID, f"{where}{problem.found}; {problem.allowed}")
    return invalid((*path, *problem.path), _INVALID, f"{problem.found}; {problem.allowed}")
