"""The item operations: PutItem, UpdateItem, DeleteItem, GetItem, BatchWriteItem, Query, Scan."""

import bisect
import sys
from collections.abc import Callable
from typing import Any, Final

from poller.core.model import Instant, JsonObject
from poller.testing.dynamodb_conditions import Condition, holds, key_values, parse_condition
from poller.testing.dynamodb_errors import condition_failed, invalid, not_done_here, wrong_type
from poller.testing.dynamodb_syntax import Tokens, Words
from poller.testing.dynamodb_table import Table, hash_value
from poller.testing.dynamodb_updates import parse_update, updated
from poller.testing.dynamodb_values import LARGEST_ITEM, Item, check_fields, item_size, read_item, read_limit

_PAGE_BYTES: Final = 1024 * 1024
_CONDITIONED: Final = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues",
                       "ReturnValues", "TableName"}  # fmt: skip
_PUT: Final = frozenset(_CONDITIONED | {"Item"})
_DELETE: Final = frozenset(_CONDITIONED | {"Key"})
_UPDATE: Final = frozenset(_CONDITIONED | {"Key", "UpdateExpression"})
_GET: Final = frozenset({"ConsistentRead", "Key", "TableName"})
_SCAN: Final = frozenset({"ConsistentRead", "ExclusiveStartKey", "Limit", "TableName"})
_QUERY: Final = _SCAN | {"KeyConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues",
                         "ScanIndexForward"}  # fmt: skip


def put_item(now: Instant, table: Table, request: JsonObject) -> JsonObject:
    """PutItem; ReturnValues NONE or ALL_OLD."""
    check_fields("PutItem", request, _PUT)
    item = read_item(request.get("Item"))
    words = Words(request)
    condition = _condition(request, words)
    words.check_all_used()
    _check_returns(request, "ALL_OLD")
    _check(table, item, condition)
    return _returned(request, table.write(now, item, item), item)


def delete_item(now: Instant, table: Table, request: JsonObject) -> JsonObject:
    """DeleteItem; ReturnValues NONE or ALL_OLD."""
    check_fields("DeleteItem", request, _DELETE)
    keys = table.schema.read(request.get("Key"))
    words = Words(request)
    condition = _condition(request, words)
    words.check_all_used()
    _check_returns(request, "ALL_OLD")
    _check(table, keys, condition)
    return _returned(request, table.write(now, keys, None), None)


def update_item(now: Instant, table: Table, request: JsonObject) -> JsonObject:
    """UpdateItem, which makes the item where there is none; ReturnValues NONE, ALL_OLD or ALL_NEW."""
    check_fields("UpdateItem", request, _UPDATE)
    keys = table.schema.read(request.get("Key"))
    words = Words(request)
    update = request.get("UpdateExpression")
    actions = () if update is None else parse_update(Tokens("UpdateExpression", update, words))
    condition = _condition(request, words)
    words.check_all_used()
    _check_returns(request, "ALL_OLD", "ALL_NEW")
    for action in actions:
        if action.path.name in keys:
            raise invalid(
                f"One or more parameter values were invalid: Cannot update attribute {action.path.name}. This "
                "attribute is part of the key"
            )
    old = _check(table, keys, condition)
    new = updated(keys if old is None else old, actions)
    if item_size(new) > LARGEST_ITEM:
        raise invalid("Item size to update has exceeded the maximum allowed size")
    return _returned(request, table.write(now, keys, new), new)


def get_item(now: Instant, table: Table, request: JsonObject) -> JsonObject:
    """GetItem; every read is consistent here."""
    check_fields("GetItem", request, _GET)
    item = table.items.get(table.schema.key_of(table.schema.read(request.get("Key"))))
    return {} if item is None else {"Item": item}


def _condition(request: JsonObject, words: Words) -> Condition | None:
    text = request.get("ConditionExpression")
    return None if text is None else parse_condition(Tokens("ConditionExpression", text, words))


def _check_returns(request: JsonObject, *known: str) -> None:
    wanted = request.get("ReturnValues") or "NONE"
    if wanted not in {"NONE", *known}:
        raise not_done_here(f"ReturnValues {wanted} of this operation")


def _check(table: Table, keys: Item, condition: Condition | None) -> Item | None:
    """The item as it is, if it meets the condition."""
    item = table.items.get(table.schema.key_of(keys))
    if condition is not None and not holds(condition, item or {}):
        raise condition_failed()
    return item


def _returned(request: JsonObject, old: Item | None, new: Item | None) -> JsonObject:
    match request.get("ReturnValues"):
        case "ALL_OLD" if old is not None:
            return {"Attributes": old}
        case "ALL_NEW":
            return {"Attributes": new}
        case _:
            return {}


# --- many at once ---


def batch_write_item(now: Instant, find: Callable[[Any], Table], request: JsonObject) -> JsonObject:
    """BatchWriteItem: all that is wrong is found before anything is written; nothing stays unprocessed."""
    check_fields("BatchWriteItem", request, frozenset({"RequestItems"}))
    by_table = request.get("RequestItems")
    if not isinstance(by_table, dict):
        raise wrong_type("RequestItems")
    writes: list[tuple[Table, Item, Item | None]] = []
    seen: set[tuple[str, ...]] = set()
    for name, entries in by_table.items():
        table = find(name)
        if not isinstance(entries, list):
            raise wrong_type("RequestItems")
        for entry in entries:
            match entry:
                case {"PutRequest": {"Item": given}}:
                    keys = read_item(given)
                    writes.append((table, keys, keys))
                case {"DeleteRequest": {"Key": given}}:
                    keys = table.schema.read(given)
                    writes.append((table, keys, None))
                case _:
                    raise invalid("Supplied AttributeValue has more than one datatypes set or none")
            key = (table.name, *table.schema.key_of(keys))
            if key in seen:
                raise invalid("Provided list of item keys contains duplicates")
            seen.add(key)
    if not 1 <= len(writes) <= 25:
        raise invalid("Too many items requested for the BatchWriteItem call")
    for table, keys, new in writes:
        table.write(now, keys, new)
    return {"UnprocessedItems": {}}


def scan(now: Instant, table: Table, request: JsonObject) -> JsonObject:
    """Scan: all items, in pages."""
    check_fields("Scan", request, _SCAN)
    return _page(table, list(table.items.values()), request, forward=True)


def query(now: Instant, table: Table, request: JsonObject) -> JsonObject:
    """Query of one partition key, in the order of the sort key, in pages."""
    check_fields("Query", request, _QUERY)
    words = Words(request)
    tokens = Tokens("KeyConditionExpression", request.get("KeyConditionExpression"), words)
    condition = parse_condition(tokens)
    words.check_all_used()
    schema = table.schema
    wanted = hash_value(key_values(condition, schema.partition, schema.sort))
    found = [item for item in table.items.values() if schema.hash_of(item) == wanted and holds(condition, item)]
    return _page(table, found, request, forward=request.get("ScanIndexForward") is not False)


def _page(table: Table, items: list[Item], request: JsonObject, *, forward: bool) -> JsonObject:
    order = table.schema.order
    items.sort(key=order)
    start, limit = request.get("ExclusiveStartKey"), read_limit(request, sys.maxsize)
    if start is not None:
        place = order(table.schema.read(start))
        if forward:
            items = items[bisect.bisect_right(items, place, key=order) :]
        else:
            items = items[: bisect.bisect_left(items, place, key=order)]
    if not forward:
        items.reverse()
    page: list[Item] = []
    size = 0
    for item in items:
        size += item_size(item)
        if len(page) == limit or (page and size > _PAGE_BYTES):
            break
        page.append(item)
    answer: JsonObject = {"Items": page, "Count": len(page), "ScannedCount": len(page)}
    # As on DynamoDB, a page that the limit filled names its last key, whether or not there is more.
    if page and (len(page) < len(items) or len(page) == limit):
        answer["LastEvaluatedKey"] = table.schema.keys_of(page[-1])
    return answer
