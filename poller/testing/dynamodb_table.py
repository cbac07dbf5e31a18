"""One table: its keys, its items, their time to live, and what is written to its stream."""

import hashlib
import heapq
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

import orjson

from poller.core.model import Instant, JsonObject
from poller.testing.dynamodb_errors import invalid, invalid_value
from poller.testing.dynamodb_shards import Stream
from poller.testing.dynamodb_values import Item, Value, read_value, sort_value

Key: TypeAlias = tuple[str, ...]
"""The contents of an item's key attributes; their types are the table's."""

# Items that expired longer ago are let alone: their attribute is most likely no time (DynamoDB's guide, "TTL").
_OLDEST_EXPIRY: Final = 5 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class KeySchema:
    """The key attributes by name, with their types S, N or B; `sort` is None for a table without a sort key."""

    partition: str
    sort: str | None
    types: dict[str, str]

    def shown(self) -> list[JsonObject]:
        """As DescribeTable tells it."""
        roles = [(self.partition, "HASH")] + ([] if self.sort is None else [(self.sort, "RANGE")])
        return [{"AttributeName": name, "KeyType": role} for name, role in roles]

    def read(self, given: Any) -> Item:
        """A Key of a request: just the key attributes."""
        if not isinstance(given, dict) or given.keys() != self.types.keys():
            raise invalid("The provided key element does not match the schema")
        keys = {name: read_value(value) for name, value in given.items()}
        self.key_of(keys)
        return keys

    def key_of(self, item: Item) -> Key:
        """What the item is found by. Raises DynamoDbError when a key attribute is missing or wrong."""
        for name, kind in self.types.items():
            if name not in item:
                raise invalid_value(f"Missing the key {name} in the item")
            if kind not in item[name]:
                found = next(iter(item[name]))
                raise invalid_value(f"Type mismatch for key {name} expected: {kind} actual: {found}")
            if not item[name][kind]:
                word = "string" if kind == "S" else "binary"
                raise invalid(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
                    f"contain an empty {word} value. Key: {name}"
                )
        return tuple(str(item[name][kind]) for name, kind in self.types.items())

    def keys_of(self, item: Item) -> Item:
        """The key attributes of an item."""
        return {name: item[name] for name in self.types}

    def hash_of(self, item: Item) -> int:
        """Which partition it is in: of the partition key alone."""
        return hash_value(item[self.partition])

    def order(self, item: Item) -> tuple[int, Any]:
        """What Scan and Query go by."""
        return self.hash_of(item), sort_value(item[self.sort]) if self.sort is not None else None


def hash_value(value: Value) -> int:
    """A stable hash in shards.HASHES."""
    return int.from_bytes(hashlib.md5(orjson.dumps(value)).digest(), "big")


class Table:
    """One table. `stream` is its enabled stream, `latest_stream` that or the one it had last."""

    def __init__(self, now: Instant, name: str, arn: str, schema: KeySchema, settings: JsonObject) -> None:
        self.name = name
        self.arn = arn
        self.schema = schema
        self.settings = settings
        self.created = now.wall
        self.items: dict[Key, Item] = {}
        self.stream: Stream | None = None
        self.latest_stream: Stream | None = None
        self.expiry_attribute = ""
        self._expiries: list[tuple[float, Key]] = []

    def write(self, now: Instant, keys: Item, new: Item | None, *, service: bool = False) -> Item | None:
        """Puts the item, or with None takes it away; returns what was there. What changes nothing leaves no record
        in the stream (DDB-6).
        """
        key = self.schema.key_of(keys)
        old = self.items.get(key)
        if new is None:
            self.items.pop(key, None)
        else:
            self.items[key] = new
            self._note_expiry(key, new)
        if old != new and self.stream is not None:
            keys = self.schema.keys_of(keys)
            self.stream.write(now, self.schema.hash_of(keys), keys, old, new, service=service)
        return old

    def expire_by(self, attribute: str) -> None:
        """Sets the time to live; "" switches it off."""
        self.expiry_attribute = attribute
        self._expiries = []
        for key, item in self.items.items():
            self._note_expiry(key, item)

    def advance(self, now: Instant) -> None:
        """Deletes what has expired, at once: DynamoDB takes its time, up to days."""
        while self._expiries and self._expiries[0][0] < now.wall:
            at, key = heapq.heappop(self._expiries)
            item = self.items.get(key)
            if item is not None and self._expiry(item) == at and at > now.wall - _OLDEST_EXPIRY:
                self.write(now, self.schema.keys_of(item), None, service=True)

    def _note_expiry(self, key: Key, item: Item) -> None:
        at = self._expiry(item)
        if at is not None:
            heapq.heappush(self._expiries, (at, key))

    def _expiry(self, item: Item) -> float | None:
        """Epoch seconds; None for an item that has no number there."""
        number = item.get(self.expiry_attribute, {}).get("N") if self.expiry_attribute else None
        return None if number is None else float(Decimal(number))
