"""Attribute values and items of DynamoDB: what is accepted, the one form in which it is kept, its size.

Two values that DynamoDB takes for equal have the same form here: numbers without leading or trailing zeros, sets
in order. So the equality of items is that of dicts.
"""

import base64
import binascii
import decimal
from decimal import Decimal
from typing import Any, Final, TypeAlias

from poller.core.model import JsonObject
from poller.testing.dynamodb_errors import invalid, invalid_value, wrong_type

Value: TypeAlias = dict[str, Any]
"""One attribute value with its type: {"S": "x"}, {"N": "5"}, {"M": {...}}."""
Item: TypeAlias = dict[str, Value]

LARGEST_ITEM: Final = 400 * 1024
_SETS: Final = {"SS": ("S", "string"), "NS": ("N", "number"), "BS": ("B", "binary")}
_DEEPEST: Final = 32
# beyond DynamoDB's 38 digits and 125 zeros, so that what is too large is seen, not rounded
_NUMBERS: Final = decimal.Context(prec=200, Emax=10_000, Emin=-10_000)


def read_item(given: Any) -> Item:
    """An item of a request in the form in which it is kept."""
    if not isinstance(given, dict):
        raise wrong_type("Item")
    item = {name: read_value(value) for name, value in given.items()}
    if item_size(item) > LARGEST_ITEM:
        raise invalid("Item size has exceeded the maximum allowed size")
    return item


def read_value(given: Any, depth: int = 0) -> Value:
    """A value of a request in the form in which it is kept. Raises DynamoDbError."""
    if not isinstance(given, dict) or len(given) != 1:
        raise invalid("Supplied AttributeValue must have exactly one of the supported datatypes")
    if depth > _DEEPEST:
        raise invalid("Nesting Levels have exceeded supported limits")
    (kind, content), *_ = given.items()
    match kind, content:
        case "S", str():
            return given
        case "N", str():
            return {"N": normal_number(content)}
        case "B", str():
            return {"B": _base64(content)}
        case "BOOL", bool():
            return given
        case "NULL", bool():
            if not content:
                raise invalid_value("Null attribute value types must have the value of true")
            return given
        case "L", list():
            return {"L": [read_value(member, depth + 1) for member in content]}
        case "M", dict():
            return {"M": {name: read_value(member, depth + 1) for name, member in content.items()}}
        case (("SS" | "NS" | "BS"), list()):
            return _set(kind, content)
        case _:
            raise wrong_type(f"The attribute value of type {kind}")


def _set(kind: str, content: list[Any]) -> Value:
    member, word = _SETS[kind]
    if not content:
        raise invalid_value(f"An {word} set  may not be empty")
    members = [read_value({member: value})[member] for value in content]
    if len(set(members)) != len(members):
        raise invalid_value(f"Input collection [{', '.join(map(str, content))}] contains duplicates")
    return {kind: sorted(members, key=Decimal if kind == "NS" else None)}


def normal_number(text: str) -> str:
    """`1.50`, `15e-1` and `+01.5` are all 1.5: plain digits, as DynamoDB answers."""
    try:
        number = _NUMBERS.create_decimal(text)
    except decimal.InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or text != text.strip() or "_" in text:
        raise invalid("A value provided cannot be converted into a number")
    if number == 0:
        return "0"
    number = number.normalize(_NUMBERS)
    if len(number.as_tuple().digits) > 38:
        raise invalid("DynamoDB only supports precision up to 38 digits")
    if number.adjusted() > 125:
        raise invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if number.adjusted() < -130:
        raise invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    return format(number, "f")


def sum_of(left: str, sign: int, right: str) -> str:
    """left + right, or left - right with `sign` -1, without loss."""
    return normal_number(str(_NUMBERS.add(Decimal(left), _NUMBERS.multiply(Decimal(sign), Decimal(right)))))


def _base64(text: str) -> str:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError) as error:
        raise wrong_type("A binary value") from error


def item_size(item: Item) -> int:
    """Bytes as DynamoDB counts them: names, and values by their type."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value: Value) -> int:
    """See item_size."""
    (kind, content), *_ = value.items()
    match kind, content:
        case "S", str():
            return len(content.encode("utf-8", "surrogatepass"))
        case "N", str():
            return len(content.strip("-").replace(".", "").strip("0")) // 2 + 1 + content.startswith("-")
        case "B", str():
            return len(content) * 3 // 4 - content.count("=")
        case "L", _:
            return 3 + sum(1 + value_size(member) for member in content)
        case "M", _:
            return 3 + sum(1 + len(name.encode()) + value_size(member) for name, member in content.items())
        case (("SS" | "NS" | "BS"), _):
            return sum(value_size({_SETS[kind][0]: member}) for member in content)
        case _:
            return 1


def in_order(left: Value, right: Value) -> int | None:
    """-1, 0 or 1 as `left` is less than, equal to or greater than `right`; None for what has no order."""
    kind = next(iter(left))
    if kind != next(iter(right)) or kind not in {"S", "N", "B"}:
        return None
    one, other = _ordinal(kind, left[kind]), _ordinal(kind, right[kind])
    return int(one > other) - int(one < other)


def _ordinal(kind: str, content: str) -> Any:
    match kind:
        case "N":
            return Decimal(content)
        case "B":
            return base64.b64decode(content)
        case _:
            return content.encode("utf-8", "surrogatepass")


def sort_value(value: Value) -> Any:
    """What values of one key attribute, all of one type, are sorted by."""
    (kind, content), *_ = value.items()
    return _ordinal(kind, content)


def read_limit(request: JsonObject, most: int) -> int:
    """How many a page may have at most: Limit, or `most` without one."""
    limit = request.get("Limit")
    if limit is None:
        return most
    if not 1 <= limit <= most:
        raise invalid_value(f"Limit must be from 1 to {most}")
    return int(limit)


_TYPES: Final[dict[str, type]] = {
    "AttributeDefinitions": list,
    "ConsistentRead": bool,
    "ExclusiveStartKey": dict,
    "ExpressionAttributeNames": dict,
    "ExpressionAttributeValues": dict,
    "Item": dict,
    "Key": dict,
    "KeySchema": list,
    "Limit": int,
    "ProvisionedThroughput": dict,
    "RequestItems": dict,
    "ScanIndexForward": bool,
    "ShardFilter": dict,
    "StreamSpecification": dict,
    "TimeToLiveSpecification": dict,
}  # every other field is a string


def check_fields(operation: str, request: JsonObject, known: frozenset[str]) -> None:
    """Refuses what the embedded DynamoDB would have to ignore, and fields of the wrong JSON type, so that
    the rest may rely on them. Absent and null are one.
    """
    for name, value in request.items():
        if name in known and value is not None and type(value) is not _TYPES.get(name, str):
            raise wrong_type(name)
    unknown = sorted(name for name, value in request.items() if value is not None and name not in known)
    if unknown:
        raise invalid(f"The embedded DynamoDB does not do this: {', '.join(unknown)} of {operation}.")
