"""A shard's row under the names of KCL's attributes, so that its tables can be taken over and given back.

Attributes that KCL does not know, and leaves alone, begin with `esm_`. https://github.com/awslabs/amazon-kinesis-client
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeAlias

from poller.core.leases import Lease

Kind: TypeAlias = type[str] | type[int] | type[float] | type[tuple[str, ...]]

ATTRIBUTES: tuple[tuple[str, str, Kind], ...] = (
    ("leaseKey", "key", str),
    ("leaseOwner", "owner", str),
    ("leaseCounter", "counter", int),
    ("checkpoint", "checkpoint", str),
    ("checkpointSubSequenceNumber", "sub_sequence", int),
    ("ownerSwitchesSinceCheckpoint", "switches", int),
    ("parentShardId", "parents", tuple),
    ("childShardIds", "children", tuple),
    ("startingHashKey", "hash_start", str),
    ("endingHashKey", "hash_end", str),
    ("esm_tenure", "tenure", str),
    ("esm_start", "start", float),
    ("esm_progress", "progress", str),
    ("esm_ended", "ended_at", float),
    ("esm_starting", "starting", str),
)
"""Attribute, field of Lease, type."""

_LETTERS: dict[Kind, str] = {str: "S", int: "N", float: "N", tuple: "SS"}


def to_item(lease: Lease) -> dict[str, dict[str, Any]]:
    """The row as an item of KCL's table, in DynamoDB's JSON; what is empty is left out, as KCL does."""
    item = {}
    for attribute, name, kind in ATTRIBUTES:
        value = getattr(lease, name)
        if value is None or value in ("", ()):
            continue
        plain = value if kind is str else list(value) if kind is tuple else repr(value)
        item[attribute] = {_LETTERS[kind]: plain}
    return item


def from_item(item: Mapping[str, Any]) -> Lease:
    """A row from such an item, KCL's own among them. Raises ValueError for what is no lease."""
    if item.get("entityType", {"S": "LEASE"}) != {"S": "LEASE"}:
        raise ValueError("this item is none of a shard's")
    values: dict[str, object] = {}
    for attribute, _name, kind in ATTRIBUTES:
        letter = _LETTERS[kind]
        typed = item.get(attribute)
        if typed is None:
            continue
        if not isinstance(typed, dict) or set(typed) != {letter}:
            raise ValueError(f"its {attribute} is not of the type {letter}")
        values[attribute] = _plain(typed[letter], kind, attribute)
    return lease_from(values)


def lease_from(values: Mapping[str, object]) -> Lease:
    """A row from the plain values of its attributes; None is the same as not there. Raises ValueError for values
    that no row has.
    """
    fields: dict[str, Any] = {}
    for attribute, name, kind in ATTRIBUTES:
        value = values.get(attribute)
        if value is None:
            continue
        right = isinstance(value, (int, float) if kind is float else kind)
        if isinstance(value, tuple):
            right = right and all(isinstance(member, str) for member in value)
        elif isinstance(value, float):
            right = right and isfinite(value)
        if not right:
            raise ValueError(f"its {attribute} is no {_LETTERS[kind]}")
        fields[name] = value
    for attribute, name, _kind in ATTRIBUTES:
        if name in {"key", "counter", "checkpoint"} and fields.get(name) in {None, ""}:
            raise ValueError(f"it has no {attribute}")
    return Lease(**fields)


def _plain(value: Any, kind: Kind, attribute: str) -> object:
    if kind is tuple:
        return tuple(value) if isinstance(value, list) else value
    if kind is str:
        return value
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise ValueError(f"its {attribute} is no number") from None
