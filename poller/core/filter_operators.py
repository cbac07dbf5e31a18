"""The operators of a filter pattern, and which plain values each of them matches (FLT-10 to FLT-20, FLT-24).

How they are written is filter_alternatives.py's question, which field they belong to filter_pattern.py's, how a
record is searched filter_match.py's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, TypeAlias, assert_never

Number: TypeAlias = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Same:
    """This text, true, false or null (FLT-10)."""

    value: str | bool | None


@dataclass(frozen=True, slots=True)
class SameNumber:
    """A number of this value; `key` is its `number_key` (FLT-24)."""

    key: Number


@dataclass(frozen=True, slots=True)
class Exists:
    """Any plain value (FLT-11), or that there is none (FLT-12)."""

    present: bool


@dataclass(frozen=True, slots=True)
class Prefix:
    """Text that begins so (FLT-13); `folded`: whatever the case, and then `text` is case-folded."""

    text: str
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Suffix:
    """Text that ends so (FLT-14)."""

    text: str
    folded: bool = False


@dataclass(frozen=True, slots=True)
class IgnoreCase:
    """This text whatever the case (FLT-15); `text` is case-folded."""

    text: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Text made of these parts in this order, with anything between two of them (FLT-16)."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cidr:
    """Text that is an address in this network (FLT-20)."""

    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Range:
    """A number between two bounds, in millionths (FLT-17, FLT-24), both included."""

    low: int
    high: int


TextTest: TypeAlias = Prefix | Suffix | IgnoreCase | Wildcard | Cidr


@dataclass(frozen=True, slots=True)
class Other:
    """anything-but: every plain value that is none of `values` (FLT-18)."""

    values: frozenset[str | Number]


@dataclass(frozen=True, slots=True)
class OtherText:
    """anything-but with an operator: every plain value that none of `tests` matches (FLT-19)."""

    tests: tuple[TextTest, ...]


Operator: TypeAlias = Same | SameNumber | Exists | TextTest | Range | Other | OtherText

BOUND: Final = 5_000_000_000
"""`numeric` has numbers from minus this to this (FLT-24)."""

MILLIONTHS: Final = 1_000_000
"""`numeric` looks at this many parts of one (FLT-24)."""

EXACT: Final = 10**15
"""Whole numbers below it have at most 15 digits."""

_DIGITS: Final = Context(prec=15, traps=[])
_ADDRESS: Final = 45  # characters of the longest IPv6 address


def number_key(value: Number) -> Number:
    """What numbers are the same by: their value, to 15 significant digits (FLT-24)."""
    if isinstance(value, int) and -EXACT < value < EXACT:
        return value
    return _DIGITS.create_decimal(value)


def millionths(value: float) -> int | None:
    """What numbers are compared by; None outside the range that `numeric` has (FLT-24)."""
    return round(value * MILLIONTHS) if -BOUND <= value <= BOUND else None


def text_predicate(test: TextTest) -> Callable[[str], bool]:
    """Whether a text passes, in time that grows with its length only: a record must not be able to stall us."""
    match test:
        case Prefix(text, folded):
            if folded:
                return lambda value: value.casefold().startswith(text)
            return lambda value: value.startswith(text)
        case Suffix(text, folded):
            if folded:
                return lambda value: value.casefold().endswith(text)
            return lambda value: value.endswith(text)
        case IgnoreCase(text):
            return lambda value: value.casefold() == text
        case Wildcard(parts):
            return _wildcard(parts)
        case Cidr(network):
            return lambda value: _contains(network, value)
        case _:
            assert_never(test)


def matches(operator: Operator, value: str | bool | None) -> bool:
    """Whether this text, true, false or null matches; numbers have tables of their own (filter_leaf.py)."""
    match operator:
        case Same(wanted):
            return value == wanted
        case Exists(present):
            return present
        case Other(values):
            return value not in values if isinstance(value, str) else True
        case OtherText(tests):
            return not (isinstance(value, str) and any(text_predicate(test)(value) for test in tests))
        case Prefix() | Suffix() | IgnoreCase() | Wildcard() | Cidr():
            return isinstance(value, str) and text_predicate(operator)(value)
        case SameNumber() | Range():
            return False
        case _:
            assert_never(operator)


def _wildcard(parts: tuple[str, ...]) -> Callable[[str], bool]:
    if len(parts) == 1:
        return lambda value: value == parts[0]
    first, *middle, last = parts
    shortest = len(first) + len(last)

    def passes(value: str) -> bool:
        # The earliest place for each part leaves most room for the rest, so there is nothing to try twice.
        end = len(value) - len(last)
        if len(value) < shortest or not value.startswith(first) or not value.endswith(last):
            return False
        at = len(first)
        for part in middle:
            found = value.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    return passes


def _contains(network: IPv4Network | IPv6Network, value: str) -> bool:
    if len(value) > _ADDRESS or "%" in value:  # no scope: which interface it is on says nothing here
        return False
    try:
        return ip_address(value) in network
    except ValueError:
        return False
