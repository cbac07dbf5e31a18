"""What stands in the list of a field, read and judged (FLT-10 to FLT-20): texts, numbers and operator objects."""

from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

from poller.core.filter_operators import (
    BOUND,
    MILLIONTHS,
    Cidr,
    Exists,
    IgnoreCase,
    Number,
    Operator,
    Other,
    OtherText,
    Prefix,
    Range,
    Same,
    SameNumber,
    Suffix,
    TextTest,
    Wildcard,
    millionths,
    number_key,
)
from poller.core.mapping_shapes import Path, key_text, quote

_LONGEST_CIDR: Final = 49  # characters
_REPEATS: Final = 3


@dataclass(frozen=True, slots=True)
class PatternProblem:
    """Why this is no pattern: the place inside it, what is there, what may be."""

    path: Path
    found: str
    allowed: str


class MalformedError(Exception):
    """Ends the reading of a pattern; does not leave filter_pattern.py."""

    def __init__(self, path: Path, found: str, allowed: str) -> None:
        super().__init__(found)
        self.problem = PatternProblem(path, found, allowed)


NAMES: Final = (
    "anything-but", "cidr", "equals-ignore-case", "exists", "numeric", "prefix", "suffix", "wildcard",
)  # fmt: skip
_NESTED: Final = ("equals-ignore-case", "prefix", "suffix", "wildcard")


def parse_operator(value: object, path: Path) -> Operator:
    """One element of a field's list (FLT-10 to FLT-20); raises MalformedError."""
    match value:
        case None | str() | bool():
            return Same(value)
        case int() | float():
            return SameNumber(_number(value, path))
        case dict():
            name, argument = _single(value, path, NAMES)
            return _operator(name, argument, (*path, name))
        case _:
            raise MalformedError(
                path,
                f"{quote(value)} is no alternative",
                "allowed: text, a number, true, false, null or an operator",
            )


def _single(value: dict[Any, Any], path: Path, names: tuple[str, ...]) -> tuple[str, object]:
    """The name and argument of an operator object: {"prefix": "x"}."""
    for name in value:
        if name not in names:
            raise MalformedError(
                (*path, key_text(name)), f"{quote(name)} is not an operator here", f"allowed: {', '.join(names)}"
            )
    if len(value) != 1:
        what = "several operators in one object" if value else "an object without an operator"
        raise MalformedError(
            path, what, "allowed: one operator in each object; alternatives are objects of their own"
        )
    ((name, argument),) = value.items()
    return name, argument


def _operator(name: str, value: object, path: Path) -> Operator:
    match name:
        case "exists":
            if not isinstance(value, bool):
                raise MalformedError(path, f"{quote(value)} is not true or false", "allowed: true or false")
            return Exists(value)
        case "numeric":
            return _range(value, path)
        case "anything-but":
            return _anything_but(value, path)
        case "cidr":
            return _cidr(_text(value, path), path)
        case "prefix" | "suffix":
            kind = Prefix if name == "prefix" else Suffix
            if isinstance(value, dict):
                inner, text = _single(value, path, ("equals-ignore-case",))
                return kind(_text(text, (*path, inner)).casefold(), folded=True)
            return kind(_text(value, path))
        case _:
            return _text_test(name, value, path)


def _text_test(name: str, value: object, path: Path) -> TextTest:
    """The operators that anything-but takes too."""
    text = _text(value, path)
    match name:
        case "prefix":
            return Prefix(text)
        case "suffix":
            return Suffix(text)
        case "wildcard":
            return _parse_wildcard(text, path)
        case _:
            return IgnoreCase(text.casefold())


def _text(value: object, path: Path) -> str:
    if not isinstance(value, str):
        raise MalformedError(path, f"{quote(value)} is not text", "allowed: text")
    return value


_LARGEST = 10 ** (1_000 - 2)
"""Of whole numbers: a longer one would be read back from the pattern's text as infinity."""


def _number(value: float, path: Path) -> Number:
    # said this way round, NaN is none either
    if not abs(value) < float("inf") or (isinstance(value, int) and abs(value) >= _LARGEST):
        raise MalformedError(path, f"{quote(value)} is not a number of JSON", "allowed: a number")
    return number_key(value)


def _parse_wildcard(text: str, path: Path) -> Wildcard:
    r"""`*` is any run of characters, `\*` and `\\` are the characters themselves."""
    parts = [""]
    characters = iter(text)
    previous = ""
    for character in characters:
        if character == "*":
            if previous == "*":
                raise MalformedError(path, "** has two wildcards in a row", "allowed: a single * there")
            parts.append("")
            previous = "*"
            continue
        taken = next(characters, "") if character == "\\" else character
        if character == "\\" and taken not in {"*", "\\"}:
            raise MalformedError(path, "a backslash stands before neither * nor another", r"allowed: \* and \\")
        parts[-1] += taken
        previous = ""
    repeats = Counter(parts[1:-1])
    if repeats and max(repeats.values()) > _REPEATS:
        raise MalformedError(
            path,
            "this wildcard is overly complex",
            f"allowed: the same characters between two wildcards up to {_REPEATS} times",
        )
    return Wildcard(tuple(parts))


def _cidr(text: str, path: Path) -> Cidr:
    _, _, bits = text.partition("/")
    if bits.isascii() and bits.isdigit() and "%" not in text and len(text) <= _LONGEST_CIDR:
        try:
            return Cidr(ip_network(text, strict=False))
        except ValueError:
            pass
    raise MalformedError(path, f"{quote(text)} is not a CIDR", "allowed: an address and bits, such as 10.0.0.0/24")


_WANTED: Final = 'allowed: [">", 0], ["<=", 5], [">", 0, "<=", 5] or ["=", 3]'


def _range(value: object, path: Path) -> Range:
    """FLT-17: one comparison, or a lower bound and then an upper one."""
    if not isinstance(value, list):
        raise MalformedError(path, f"{quote(value)} is not a list", _WANTED)
    if len(value) not in {2, 4}:
        raise MalformedError(path, f"a list of {len(value)} is not one comparison or two", _WANTED)
    low, high = -BOUND * MILLIONTHS, BOUND * MILLIONTHS
    told: list[str] = []
    for index in range(0, len(value), 2):
        sign, bound = value[index], _bound(value[index + 1], (*path, index + 1))
        match sign:
            case "=" if len(value) == 2:
                return Range(bound, bound)
            case ">" | ">=" if not told:
                low = bound + (sign == ">")
                told.append("lower")
            case "<" | "<=" if "upper" not in told:
                high = bound - (sign == "<")
                told.append("upper")
            case _:
                raise MalformedError((*path, index), f"{quote(sign)} cannot stand here", _WANTED)
    if low > high:
        raise MalformedError(
            path, "no number is between these bounds", "allowed: a lower bound below the upper one"
        )
    return Range(low, high)


def _bound(value: object, path: Path) -> int:
    at = millionths(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if at is None:
        raise MalformedError(path, f"{quote(value)} is no bound", f"allowed: a number from -{BOUND} to {BOUND}")
    return at


def _anything_but(value: object, path: Path) -> Operator:
    """FLT-18, FLT-19: text or numbers, one or a list of one type; or one operator, its text or a list of texts."""
    if isinstance(value, dict):
        name, argument = _single(value, path, _NESTED)
        path = (*path, name)
        tests = tuple(_text_test(name, text, place) for text, place in _members(argument, path))
        for test in tests:
            if test in {Prefix(""), Suffix("")}:
                raise MalformedError(
                    path, "every text has an empty prefix and suffix", "allowed: text that is not empty"
                )
        return OtherText(tests)
    members = _members(value, path)
    kind = str if isinstance(members[0][0], str) else (int, float)
    for member, place in members:
        if isinstance(member, bool) or not isinstance(member, kind):
            raise MalformedError(
                place,
                f"{quote(member)} cannot stand here",
                "allowed: text or a number, or a list with texts only or numbers only",
            )
    return Other(frozenset(_other(member, place) for member, place in members))


def _other(value: Any, path: Path) -> str | Number:
    return value if isinstance(value, str) else _number(value, path)


def _members(value: object, path: Path) -> list[tuple[object, Path]]:
    """One value or a list of them, each with its place."""
    if not isinstance(value, list):
        return [(value, path)]
    if not value:
        raise MalformedError(path, "the list is empty", "allowed: at least one value")
    return [(member, (*path, index)) for index, member in enumerate(value)]
