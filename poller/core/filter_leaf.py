"""The alternatives of one field, of all patterns together, as tables to look a plain value up in (FLT-2)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from poller.core.filter_operators import (
    EXACT,
    Exists,
    Number,
    Operator,
    Other,
    OtherText,
    Range,
    Same,
    SameNumber,
    matches,
    millionths,
    number_key,
    text_predicate,
)

Bits: TypeAlias = int
"""A set of ways to pass, each its own bit."""


class Leaf:
    """The alternatives that ways have for one field; each way has at most one list of them here."""

    __slots__ = (
        "_constants",
        "_numbers",
        "_other_numbers",
        "_other_texts",
        "_ranges",
        "_tests",
        "_texts",
        "absent",
        "free",
    )

    def __init__(self, lists: Sequence[tuple[Bits, tuple[Operator, ...]]], everything: Bits) -> None:
        """`free` are the ways without a list here, `absent` those that also pass if there is no value."""
        pairs = [(bit, operator) for bit, operators in lists for operator in operators]
        self.free = everything & ~union(bit for bit, _ in lists)
        self.absent = self.free | union(bit for bit, operator in pairs if operator == Exists(present=False))
        texts = {
            text
            for _, operator in pairs
            for text in (operator.values if isinstance(operator, Other) else _exact(operator))
            if isinstance(text, str)
        }
        decided = [(bit, operator) for bit, operator in pairs if isinstance(operator, Same | Exists | Other)]
        self._texts = {text: union(b for b, o in decided if matches(o, text)) for text in texts}
        self._other_texts = union(bit for bit, operator in decided if _takes_other_texts(operator))
        self._tests = _text_tests(pairs)
        keys = {key for _, operator in pairs for key in _keys(operator)}
        plain = [(bit, operator) for bit, operator in pairs if not isinstance(operator, Range)]
        self._numbers = {key: union(b for b, o in plain if _passes_key(o, key)) for key in keys}
        self._other_numbers = union(bit for bit, operator in plain if _passes_key(operator, None))
        self._ranges = tuple((o.low, o.high, bit) for bit, o in pairs if isinstance(o, Range))
        self._constants = {
            value: union(bit for bit, operator in pairs if matches(operator, value))
            for value in (True, False, None)
        }

    def bits(self, value: Any) -> Bits:
        """The ways whose alternatives match this plain value; none for anything else."""
        kind = type(value)
        if kind is str:
            found = self._texts.get(value, self._other_texts)
            for predicate, bit in self._tests:
                if found & bit != bit and predicate(value):
                    found |= bit
            return found
        if kind is bool or value is None:
            return self._constants[value]
        if kind is int or kind is float:
            return self._number_bits(value)
        return 0

    def _number_bits(self, value: float) -> Bits:
        found = self._other_numbers
        if self._numbers:
            exact = type(value) is int and -EXACT < value < EXACT
            found = self._numbers.get(value if exact else number_key(value), found)
        if self._ranges:
            at = millionths(value)
            if at is not None:
                for low, high, bit in self._ranges:
                    if low <= at <= high:
                        found |= bit
        return found


def union(bits: Iterable[Bits]) -> Bits:
    union = 0
    for bit in bits:
        union |= bit
    return union


def _exact(operator: Operator) -> tuple[str, ...]:
    return (operator.value,) if isinstance(operator, Same) and isinstance(operator.value, str) else ()


def _takes_other_texts(operator: Operator) -> bool:
    """Whether it matches a text that no operator of the leaf names."""
    return isinstance(operator, Other) or operator == Exists(present=True)


def _text_tests(pairs: list[tuple[Bits, Operator]]) -> tuple[tuple[Callable[[str], bool], Bits], ...]:
    """What a text must be tried on; the same test of several ways is tried once."""
    bits: dict[Operator, Bits] = {}
    for bit, operator in pairs:
        if not isinstance(operator, Same | SameNumber | Exists | Range | Other):
            bits[operator] = bits.get(operator, 0) | bit
    return tuple((_predicate(operator), bit) for operator, bit in bits.items())


def _predicate(operator: Operator) -> Callable[[str], bool]:
    if isinstance(operator, OtherText):
        refused = [text_predicate(test) for test in operator.tests]
        return lambda value: not any(predicate(value) for predicate in refused)
    assert not isinstance(operator, Same | SameNumber | Exists | Range | Other)
    return text_predicate(operator)


def _keys(operator: Operator) -> Iterator[Number]:
    if isinstance(operator, SameNumber):
        yield operator.key
    elif isinstance(operator, Other):
        yield from (value for value in operator.values if not isinstance(value, str))


def _passes_key(operator: Operator, key: Number | None) -> bool:
    """Whether a number with this key passes; None stands for a number that no operator of the leaf names."""
    match operator:
        case SameNumber(wanted):
            return wanted == key
        case Other(values):
            return key not in values
        case Exists(present):
            return present
        case OtherText():
            return True
        case _:
            return False
