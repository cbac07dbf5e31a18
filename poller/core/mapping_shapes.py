"""What a field's value may look like: small shapes that the table of fields is put together from.

A check takes any value at all and yields what is wrong with it; its JSON Schema stands beside it. Which field
takes which is not said here. Texts follow the service's own where it has one, so that they can be looked up.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from poller.core.mapping_schema import Schema, map_of, matching

Path: TypeAlias = tuple[str | int, ...]
Code: TypeAlias = Literal[
    "InvalidParameterValueException",
    "ValidationException",
    "SerializationException",
    "ResourceConflictException",
]
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_UNQUOTED = {"true or false", "a whole number", "a number"}
_NO: Mapping[str, "Check"] = MappingProxyType({})
_SHOWN = 60  # characters of a value that a message repeats


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field. `path` leads to it; `message` is AWS's text where it has one; `allowed` says
    what to write instead.
    """

    path: Path
    code: Code
    message: str
    allowed: str = ""

    @property
    def detail(self) -> str:
        """Message and advice in one line."""
        if not self.allowed:
            return self.message
        if self.message.endswith("."):
            return f"{self.message} {self.allowed[0].upper()}{self.allowed[1:]}."
        return f"{self.message}; {self.allowed}."

    @property
    def sentence(self) -> str:
        """The line for people who gave fields, not a file."""
        return f"{dotted(self.path)}: {self.detail}" if self.path else self.detail


Check: TypeAlias = Callable[[object, Path], Iterator[FieldProblem]]


class Shape(NamedTuple):
    """What a value may be, said twice: a check of ours that explains itself, and the schema that editors read."""

    check: Check
    schema: Schema


def dotted(path: Path) -> str:
    """`EventSourceMappings[0].Handler.Concurrency`; odd keys in quotes, long ones shortened."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _PLAIN_KEY.fullmatch(part) else quote(part))
    return text


def quote(value: object) -> str:
    """A value as a message shows it: on one line, printable, short, whatever it is."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() if abs(value) >= 10**_SHOWN:  # Python refuses to write out the very long ones
            return "a number of more than 60 digits"
        case int() | float():
            return str(value)
        case str():
            return repr(value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…")
        case Mapping():
            return "a map"
        case list() | tuple():
            return "a list"
        case _:
            return f"a value of type {type(value).__name__}"


def key_text(key: object) -> str:
    """The key of a map for a path; a program may have put in anything."""
    return key if isinstance(key, str) else quote(key)


def violation(path: Path, value: object, constraint: str, allowed: str) -> FieldProblem:
    """What the API says of a value outside its model (the form of CFG-34)."""
    shown = quote(value) if value is None or isinstance(value, str) else f"'{quote(value)}'"
    where = f"Value {shown} at '{_member(path)}'"
    message = f"1 validation error detected: {where} failed to satisfy constraint: {constraint}"
    return FieldProblem(path, "ValidationException", message, allowed)


def unsupported(path: Path) -> FieldProblem:
    """CFG-39: the sentence for a field that its source does not take."""
    name = str(path[-1])
    return FieldProblem(
        path,
        "InvalidParameterValueException",
        f"Unsupported {name} parameter for given event source mapping type.",
        "leave it out",
    )


def invalid(path: Path, message: str, allowed: str) -> FieldProblem:
    """A value that is well formed, and wrong for this source or beside the other fields."""
    return FieldProblem(path, "InvalidParameterValueException", message, allowed)


def unknown(path: Path, known: Collection[str], what: str = "field") -> FieldProblem:
    """A name that nobody knows, with the one that was perhaps meant."""
    name = str(path[-1])
    folded = {word.casefold(): word for word in known}
    similar = difflib.get_close_matches(name[:_SHOWN].casefold(), folded, n=1)
    advice = f"did you mean {folded[similar[0]]}?" if similar else f"known here: {', '.join(sorted(known))}."
    return FieldProblem(path, "ValidationException", f"{quote(name)} is not a {what} of this version; {advice}")


def wrong_type(path: Path, value: object, noun: str, wanted: str = "") -> FieldProblem:
    """A value of another type than the field's: `noun` is that type, `wanted` says more of what it may be."""
    quoted = isinstance(value, str) and noun in _UNQUOTED
    advice = f"allowed: {wanted or noun}{', without quotes' if quoted else ''}"
    return FieldProblem(path, "SerializationException", f"{quote(value)} is not {noun}", advice)


def _flag(value: object, path: Path) -> Iterator[FieldProblem]:
    if not isinstance(value, bool):
        yield wrong_type(path, value, "true or false")


flag = Shape(_flag, {"type": "boolean"})


def whole(minimum: int, maximum: int) -> Shape:
    """A whole number in a range, both ends allowed."""
    wanted = f"a whole number from {minimum} to {maximum}"

    def check(value: object, path: Path) -> Iterator[FieldProblem]:
        if not isinstance(value, int) or isinstance(value, bool):
            yield wrong_type(path, value, "a whole number", wanted)
        elif value < minimum:
            limit = f"Member must have value greater than or equal to {minimum}"
            yield violation(path, value, limit, f"allowed: {wanted}")
        elif value > maximum:
            limit = f"Member must have value less than or equal to {maximum}"
            yield violation(path, value, limit, f"allowed: {wanted}")

    return Shape(check, {"type": "integer", "minimum": minimum, "maximum": maximum})


def seconds(minimum: int, maximum: int) -> Shape:
    """Seconds in a range, fractions too; for settings of our own."""
    wanted = f"a number of seconds from {minimum} to {maximum}"

    def check(value: object, path: Path) -> Iterator[FieldProblem]:
        if not isinstance(value, int | float) or isinstance(value, bool):
            yield wrong_type(path, value, "a number", wanted)
        elif not minimum <= value <= maximum:  # said this way round, NaN is outside too
            yield FieldProblem(
                path, "ValidationException", f"{quote(value)} is out of range", f"allowed: {wanted}"
            )

    return Shape(check, {"type": "number", "minimum": minimum, "maximum": maximum})


def text(pattern: str, wanted: str) -> Shape:
    """Text that matches a regular expression as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: object, path: Path) -> Iterator[FieldProblem]:
        if not isinstance(value, str):
            yield wrong_type(path, value, "text", wanted)
        elif compiled.fullmatch(value) is None:
            yield FieldProblem(
                path, "ValidationException", f"{quote(value)} is not {wanted}", f"allowed: {wanted}"
            )

    return Shape(check, matching(pattern))


def block(
    fields: Mapping[str, Shape], required: tuple[str, ...] = (), refused: Mapping[str, Check] = _NO
) -> Shape:
    """A map of known fields; null is the same as not there. `refused`: those that AWS has, and ours have not."""
    checks = {**{name: shape.check for name, shape in fields.items()}, **refused}

    def check(value: object, path: Path) -> Iterator[FieldProblem]:
        if not isinstance(value, Mapping):
            yield wrong_type(path, value, "a map", f"a map of {', '.join(fields)}")
            return
        for name, member in value.items():
            if name not in checks:
                yield unknown((*path, key_text(name)), fields)
            elif member is not None:
                yield from checks[name](member, (*path, name))
        for name in required:
            if value.get(name) is None:
                yield FieldProblem((*path, name), "ValidationException", f"{name} is missing", f"write {name} too")

    return Shape(check, map_of({name: shape.schema for name, shape in fields.items()}, required))


def never(_: object, path: Path) -> Iterator[FieldProblem]:
    """A field that no source of ours takes (CFG-39), whatever its value."""
    yield unsupported(path)


def whole_in(fields: Mapping[str, object], name: str, default: int) -> int:
    """A field's whole number for the rules across fields; the default where it is none, which was told already."""
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _member(path: Path) -> str:
    """The path in the API's spelling: `scalingConfig.maximumConcurrency`, `functionResponseTypes.1.member`."""
    parts = [f"{p + 1}.member" if isinstance(p, int) else f"{p[:1].lower()}{p[1:]}" for p in path]
    return ".".join(parts)
