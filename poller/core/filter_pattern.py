"""A filter pattern, read and judged: its fields and its `$or` (FLT-1 to FLT-6, FLT-21, FLT-26).

What may stand in a list is said in filter_alternatives.py. Nothing here looks at a record.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, Final, NoReturn, TypeAlias

from poller.core.filter_alternatives import NAMES, MalformedError, PatternProblem, parse_operator
from poller.core.filter_operators import Operator
from poller.core.mapping_shapes import Path, key_text, quote

MAX_CHARACTERS: Final = 4_096
_MAX_LEVELS: Final = 100
_MOST_DIGITS: Final = 1_000
_MAX_WAYS: Final = 1_000  # what EventBridge allows too
_MAX_CONSTRAINTS: Final = 20_000  # of all ways together: keeps the reading of any pattern short
_OR: Final = "$or"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A field, named by the steps that lead to it, and its alternatives: one of them must match (FLT-2)."""

    steps: tuple[str, ...]
    operators: tuple[Operator, ...]


Way: TypeAlias = tuple[Constraint, ...]
"""One way to match: all of these."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A valid pattern as its ways to match, of which one is enough: each `$or` multiplies them (FLT-21)."""

    ways: tuple[Way, ...]


def parse_pattern(value: object) -> Pattern | PatternProblem:
    """A pattern, as JSON text or as the object it stands for; never raises, whatever comes in."""
    try:
        return Pattern(tuple(_ways(_object(value), (), ())))
    except MalformedError as malformed:
        return malformed.problem


def pattern_text(value: object) -> str:
    """The same pattern as JSON text without needless space. Raises ValueError for what is no JSON.

    Of duplicate keys the last one is in it (FLT-4). Text that is not ASCII is escaped, so that any can be written.
    """
    try:
        return json.dumps(
            read_json(value) if isinstance(value, str) else value, allow_nan=False, separators=(",", ":")
        )
    except (RecursionError, TypeError) as error:
        raise ValueError(str(error)) from error


class TooDeepError(ValueError):
    """Text that may be JSON, with more levels than can be read."""


def read_json(text: str) -> Any:
    """What JSON text stands for. Raises ValueError for any other, and TooDeepError, which is one, for text nested
    so deeply that nobody can tell.
    """
    try:
        return json.loads(text, parse_int=_whole, parse_constant=_no_constant)
    except RecursionError as error:
        raise TooDeepError("it is nested too deeply") from error


def _whole(digits: str) -> float:
    """int() has a limit of digits; what is longer is beyond any float, too."""
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object(value: object) -> dict[Any, Any]:
    wanted = "allowed: a JSON object whose leaves are lists that are not empty"
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError:
            raise MalformedError((), "this is not JSON", wanted) from None
    if not isinstance(value, dict):
        raise MalformedError((), f"{'nothing' if value is None else quote(value)} is not a pattern", wanted)
    return value


def _ways(node: dict[Any, Any], path: Path, steps: tuple[str, ...], *, within_or: bool = False) -> list[Way]:
    """The ways to match the object at `path`, whose field names so far are `steps`; all its keys must match."""
    if not node:
        raise MalformedError(path, "an empty object says nothing", "allowed: an object with at least one field")
    factors: list[list[Way]] = []
    for key, value in node.items():
        place = (*path, key_text(key))
        if not isinstance(key, str):
            raise MalformedError(place, f"the name {quote(key)} is not text", "allowed: names in quotes")
        factors.append(
            _alternatives(value, place, steps)
            if key == _OR
            else _field(value, place, (*steps, *key.split(".")), within_or=within_or)
        )
    return factors[0] if len(factors) == 1 else _multiplied(factors, path)


def _multiplied(factors: list[list[Way]], path: Path) -> list[Way]:
    """Every combination of one way of each. Counted before it is made: a short pattern can stand for very many."""
    count = 1
    for factor in factors:
        count *= len(factor)
        if count > _MAX_WAYS:
            _too_many(path)
    if sum(count // len(factor) * sum(map(len, factor)) for factor in factors) > _MAX_CONSTRAINTS:
        _too_many(path)
    return [tuple(chain.from_iterable(ways)) for ways in product(*factors)]


def _field(value: object, path: Path, steps: tuple[str, ...], *, within_or: bool) -> list[Way]:
    if len(steps) > _MAX_LEVELS or len(path) > _MAX_LEVELS:
        raise MalformedError(path[:5], "this is nested too deeply", f"allowed: up to {_MAX_LEVELS} levels")
    if within_or and path[-1] in NAMES:
        # An operator that lost its list would be a field that no record has, and drop all of them.
        raise MalformedError(
            path, f"{quote(path[-1])} is an operator, not a field", "allowed: fields with their lists"
        )
    match value:
        case dict():
            return _ways(value, path, steps, within_or=within_or)
        case list():
            return [(Constraint(steps, tuple(_operators(value, path))),)]
        case _:
            raise MalformedError(
                path,
                f"{quote(value)} stands outside a list",
                "allowed: a list of alternatives, such as [1], or an object",
            )


def _operators(values: list[object], path: Path) -> Iterator[Operator]:
    if not values:
        raise MalformedError(path, "the list is empty", "allowed: at least one alternative")
    for index, value in enumerate(values):
        yield parse_operator(value, (*path, index))


def _alternatives(value: object, path: Path, steps: tuple[str, ...]) -> list[Way]:
    """`$or`: a list of patterns for the same object (FLT-21)."""
    wanted = "allowed: a list of two patterns or more"
    if not isinstance(value, list):
        raise MalformedError(path, f"{quote(value)} is not a list", wanted)
    if len(path) > _MAX_LEVELS:
        raise MalformedError(path[:5], "this is nested too deeply", f"allowed: up to {_MAX_LEVELS} levels")
    if len(value) < 2:
        raise MalformedError(path, f"a list of {len(value)} leaves nothing to choose", wanted)
    found: list[Way] = []
    for index, member in enumerate(value):
        place = (*path, index)
        if not isinstance(member, dict):
            raise MalformedError(place, f"{quote(member)} is not a pattern", "allowed: an object")
        found += _ways(member, place, steps, within_or=True)
        if len(found) > _MAX_WAYS:
            _too_many(path)
    return found


def _too_many(path: Path) -> NoReturn:
    raise MalformedError(path, "$or makes too many combinations here", f"allowed: up to {_MAX_WAYS}")
