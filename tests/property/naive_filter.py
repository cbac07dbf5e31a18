"""Filters as slowly and plainly as they can be said: every way to choose one value for each field is tried.

Written from the clauses (FLT) and apart from poller/core/filter*.py. Patterns and records are plain objects, and
patterns must be valid. Only for small ones: the work grows with the product of all choices.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from decimal import Context
from fractions import Fraction
from ipaddress import ip_address, ip_network
from itertools import count, product
from typing import Any

Membership = dict[int, int]
"""Of each array that a value stands in: which of its elements."""


def passes(patterns: list[dict[str, Any]], record: dict[str, Any]) -> bool:
    """FLT-1, and CFG-46."""
    return not patterns or any(matches(pattern, record) for pattern in patterns)


def matches(pattern: dict[str, Any], record: dict[str, Any]) -> bool:
    """FLT-2: all fields, in one way of choosing among each `$or`."""
    values = list(_values(record, "", {}, {}, count()))
    return any(_way_matches(way, values) for way in _ways(pattern, ""))


def passes_message(patterns: list[dict[str, Any]], record: dict[str, Any]) -> bool:
    """FLT-34, FLT-35: each pattern, each of its ways by itself, against the row of the matrix that it falls in."""
    return not patterns or any(
        _data_way(w, record, "body", parsed(record["body"])) for p in patterns for w in _ways(p, "")
    )


def passes_data(patterns: list[dict[str, Any]], view: dict[str, Any]) -> bool:
    """FLT-36; `view` is the flat one of Kinesis (FLT-31). Data that is no JSON has nothing that can be matched."""
    value = parsed(b64decode(view["data"]).decode("utf-8", "surrogatepass"))
    return not patterns or any(
        _data_way(w, {**view, "data": None}, "data", value) for p in patterns for w in _ways(p, "")
    )


def _data_way(way: list[tuple[str, list[Any]]], record: dict[str, Any], key: str, value: Any) -> bool:
    plain = [alternatives for path, alternatives in way if path == key]
    below = [alternatives for path, alternatives in way if path.startswith(f"{key}.")]
    if below and (plain or value is None):
        return False
    if plain and value is not None:
        return False
    seen = {**record, key: value} if value is not None else record
    return _way_matches(way, list(_values(seen, "", {}, {}, count())))


def parsed(text: Any) -> Any:
    """FLT-35: the object or array that text is as JSON, else None."""

    def refused(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(text, parse_constant=refused)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _ways(pattern: dict[str, Any], path: str) -> list[list[tuple[str, list[Any]]]]:
    """FLT-21, FLT-26: paths are names joined by dots."""
    found: list[list[tuple[str, list[Any]]]] = [[]]
    for key, value in pattern.items():
        if key == "$or":
            more = [way for member in value for way in _ways(member, path)]
        elif isinstance(value, dict):
            more = _ways(value, f"{path}{key}.")
        else:
            more = [[(f"{path}{key}", value)]]
        found = [[*way, *another] for way in found for another in more]
    return found


def _values(
    node: Any, path: str, membership: Membership, within: Membership, arrays: Iterator[int]
) -> Iterator[tuple[str, Any, Membership]]:
    """Every plain value with its path (FLT-23): arrays leave no trace in it, but in the membership of fields."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _values(value, f"{path}.{key}" if path else key, {**membership, **within}, {}, arrays)
    elif isinstance(node, list):
        array = next(arrays)
        for index, element in enumerate(node):
            yield from _values(element, path, membership, {**within, array: index}, arrays)
    else:
        yield path, node, membership


def _way_matches(way: list[tuple[str, list[Any]]], values: list[tuple[str, Any, Membership]]) -> bool:
    choices: list[list[Membership | None]] = []
    for path, alternatives in way:
        choice: list[Membership | None] = [
            membership
            for at, value, membership in values
            if at == path and any(_alternative(a, value) for a in alternatives)
        ]
        if {"exists": False} in alternatives:
            choice.append(None)
        choices.append(choice)
    return any(_consistent(way, chosen, values) for chosen in product(*choices))


def _consistent(
    way: list[tuple[str, list[Any]]],
    chosen: tuple[Membership | None, ...],
    values: list[tuple[str, Any, Membership]],
) -> bool:
    """Whether no two values stand in different elements of one array, and what is to be absent is absent there."""
    together: Membership = {}
    for membership in chosen:
        for array, index in (membership or {}).items():
            if together.setdefault(array, index) != index:
                return False
    absent = {path for (path, _), membership in zip(way, chosen, strict=True) if membership is None}
    return not any(
        path in absent and all(together.get(array, index) == index for array, index in membership.items())
        for path, _, membership in values
    )


def _alternative(alternative: Any, value: Any) -> bool:
    if not isinstance(alternative, dict):
        return _same(alternative, value)
    ((name, argument),) = alternative.items()
    if name == "exists":
        return bool(argument)
    if name == "numeric":
        return _number(value) and abs(value) <= 5_000_000_000 and _numeric(argument, value)
    if name == "anything-but":
        if isinstance(argument, dict):
            ((inner, refused),) = argument.items()
            return not any(_alternative({inner: text}, value) for text in _listed(refused))
        return not any(_same(refused, value) for refused in _listed(argument))
    if not isinstance(value, str):
        return False
    if isinstance(argument, dict):
        argument, value = argument["equals-ignore-case"].casefold(), value.casefold()
    match name:
        case "prefix":
            return value[: len(argument)] == argument
        case "suffix":
            return argument == "" or value[-len(argument) :] == argument
        case "equals-ignore-case":
            return value.casefold() == argument.casefold()
        case "wildcard":
            parts = re.findall(r"\\[*\\]|\*|[^*\\]", argument, re.DOTALL)
            return (
                re.fullmatch("".join(".*" if p == "*" else re.escape(p[-1]) for p in parts), value, re.DOTALL)
                is not None
            )
        case _:
            return _in_network(argument, value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(wanted: Any, value: Any) -> bool:
    if _number(wanted) and _number(value):
        digits = Context(prec=15)
        return digits.create_decimal(wanted) == digits.create_decimal(value)
    return type(wanted) is type(value) and wanted == value


def _numeric(argument: list[Any], value: float) -> bool:
    at = round(Fraction(value) * 1_000_000)
    bounds = zip(argument[::2], argument[1::2], strict=True)
    signs = {
        "=": lambda bound: at == bound,
        "<": lambda bound: at < bound,
        "<=": lambda bound: at <= bound,
        ">": lambda bound: at > bound,
        ">=": lambda bound: at >= bound,
    }
    return all(signs[sign](round(Fraction(bound) * 1_000_000)) for sign, bound in bounds)


def _in_network(cidr: str, value: str) -> bool:
    network = ip_network(cidr, strict=False)
    try:
        address = ip_address(value)
    except ValueError:
        return False
    low, high = int(network.network_address), int(network.broadcast_address)
    return "%" not in value and address.version == network.version and low <= int(address) <= high
