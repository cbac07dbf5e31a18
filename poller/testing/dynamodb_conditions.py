"""ConditionExpression and KeyConditionExpression: comparisons, AND, OR, NOT on whole attributes."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from poller.testing.dynamodb_errors import invalid
from poller.testing.dynamodb_syntax import Literal, Path, Tokens
from poller.testing.dynamodb_values import Item, Value, in_order, sort_value

_ORDERS: Final = {"<": {-1}, "<=": {-1, 0}, ">": {1}, ">=": {0, 1}}


@dataclass(frozen=True, slots=True)
class Compare:
    """One of = <> < <= > >=."""

    operator: str
    left: Path | Literal
    right: Path | Literal


@dataclass(frozen=True, slots=True)
class Between:
    """From `low` to `high`, both included."""

    operand: Path | Literal
    low: Path | Literal
    high: Path | Literal


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """A string or binary that begins with another."""

    operand: Path | Literal
    prefix: Path | Literal


@dataclass(frozen=True, slots=True)
class Exists:
    """attribute_exists, or with `wanted` False attribute_not_exists."""

    path: Path
    wanted: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class AllOf:
    """AND."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """OR."""

    conditions: "tuple[Condition, ...]"


Condition: TypeAlias = Compare | Between | BeginsWith | Exists | Not | AllOf | AnyOf


def parse_condition(tokens: Tokens) -> Condition:
    """A whole expression; NOT binds closer than AND, AND closer than OR."""
    condition = _any(tokens)
    tokens.end()
    return condition


def _any(tokens: Tokens) -> Condition:
    parts = [_all(tokens)]
    while tokens.take_if("or"):
        parts.append(_all(tokens))
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _all(tokens: Tokens) -> Condition:
    parts = [_one(tokens)]
    while tokens.take_if("and"):
        parts.append(_one(tokens))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _one(tokens: Tokens) -> Condition:
    if tokens.take_if("not"):
        return Not(_one(tokens))
    if tokens.take_if("("):
        condition = _any(tokens)
        tokens.expect(")")
        return condition
    if tokens.next in {"attribute_exists", "attribute_not_exists"}:
        wanted = tokens.take().lower() == "attribute_exists"
        tokens.expect("(")
        path = tokens.path()
        tokens.expect(")")
        return Exists(path, wanted)
    if tokens.take_if("begins_with"):
        tokens.expect("(")
        operand = tokens.operand()
        tokens.expect(",")
        prefix = tokens.operand()
        tokens.expect(")")
        return BeginsWith(operand, prefix)
    left = tokens.operand()
    if tokens.take_if("between"):
        low = tokens.operand()
        tokens.expect("and")
        return Between(left, low, tokens.operand())
    operator = tokens.next
    if not tokens.take_if("=", "<>", *_ORDERS):
        raise tokens.syntax_error()
    return Compare(operator, left, tokens.operand())


def holds(condition: Condition, item: Item) -> bool:
    """Whether the item, empty if there is none, meets the condition. What is not there equals nothing."""
    match condition:
        case Compare(operator, left, right):
            return _compare(operator, _value(left, item), _value(right, item))
        case Between(operand, low, high):
            value = _value(operand, item)
            return _compare(">=", value, _value(low, item)) and _compare("<=", value, _value(high, item))
        case BeginsWith(operand, prefix):
            value, start = _value(operand, item), _value(prefix, item)
            return value is not None and start is not None and _begins_with(value, start)
        case Exists(path, wanted):
            return (path.name in item) == wanted
        case Not(inner):
            return not holds(inner, item)
        case AllOf(conditions):
            return all(holds(part, item) for part in conditions)
        case AnyOf(conditions):
            return any(holds(part, item) for part in conditions)


def _value(operand: Path | Literal, item: Item) -> Value | None:
    return operand.value if isinstance(operand, Literal) else item.get(operand.name)


def _compare(operator: str, left: Value | None, right: Value | None) -> bool:
    if operator == "<>":
        return left is None or right is None or left != right
    if left is None or right is None:
        return False
    if operator == "=":
        return left == right
    return in_order(left, right) in _ORDERS[operator]


def _begins_with(value: Value, start: Value) -> bool:
    kind = next(iter(start))
    if kind not in {"S", "B"}:
        raise invalid(
            f"Incorrect operand type for operator or function; operator or function: begins_with, {kind}"
        )
    return kind in value and bool(sort_value(value).startswith(sort_value(start)))


def key_values(condition: Condition, partition: str, sort: str | None) -> Value:
    """The partition key's value that a KeyConditionExpression asks for. Raises DynamoDbError for any other form
    than `partition = :value`, with at most one condition on the sort key behind AND.
    """
    parts = condition.conditions if isinstance(condition, AllOf) else (condition,)
    found: dict[str, Condition] = {}
    for part in parts:
        match part:
            case Compare(operator, Path(name), Literal()) if operator != "<>":
                pass
            case Between(Path(name), Literal(), Literal()) | BeginsWith(Path(name), Literal()):
                pass
            case _:
                raise invalid("Invalid operator used in KeyConditionExpression")
        if name in found:
            raise invalid("KeyConditionExpressions must only contain one condition per key")
        found[name] = part
    match found.pop(partition, None):
        case Compare("=", _, Literal(value)):
            pass
        case None:
            raise invalid("Query condition missed key schema element")
        case _:
            raise invalid("Query key condition not supported")
    if found.keys() - {sort}:
        raise invalid("Query condition missed key schema element")
    return value
