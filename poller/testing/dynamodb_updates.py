"""UpdateExpression: SET, REMOVE and ADD on whole attributes."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from poller.testing.dynamodb_errors import invalid
from poller.testing.dynamodb_syntax import Literal, Path, Tokens
from poller.testing.dynamodb_values import Item, Value, sum_of

_SETS: Final = {"SS", "NS", "BS"}


@dataclass(frozen=True, slots=True)
class IfNotExists:
    """if_not_exists(path, otherwise)."""

    path: Path
    otherwise: "Operand"


@dataclass(frozen=True, slots=True)
class Sum:
    """left + right, or left - right with `sign` -1."""

    left: "Operand"
    sign: int
    right: "Operand"


Operand: TypeAlias = Path | Literal | IfNotExists | Sum


@dataclass(frozen=True, slots=True)
class Set:
    """SET path = operand."""

    path: Path
    operand: Operand


@dataclass(frozen=True, slots=True)
class Remove:
    """REMOVE path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Add:
    """ADD path :number, or :set."""

    path: Path
    value: Value


Action: TypeAlias = Set | Remove | Add


def parse_update(tokens: Tokens) -> tuple[Action, ...]:
    """A whole expression; each clause at most once, no attribute twice."""
    actions: list[Action] = []
    clauses: set[str] = set()
    while tokens.next:
        clause = tokens.next
        if clause not in {"set", "remove", "add"}:
            raise tokens.syntax_error()
        if clause in clauses:
            raise invalid(
                f'Invalid UpdateExpression: The "{clause.upper()}" section can only be used once in an update '
                "expression;"
            )
        clauses.add(clause)
        tokens.take()
        actions.append(_action(clause, tokens))
        while tokens.take_if(","):
            actions.append(_action(clause, tokens))
    names = [action.path.name for action in actions]
    for name in names:
        if names.count(name) > 1:
            raise invalid(
                "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one "
                f"of these paths; path one: [{name}], path two: [{name}]"
            )
    return tuple(actions)


def _action(clause: str, tokens: Tokens) -> Action:
    path = tokens.path()
    if clause == "remove":
        return Remove(path)
    if clause == "set":
        tokens.expect("=")
        operand = _operand(tokens)
        if tokens.next in {"+", "-"}:
            sign = 1 if tokens.take() == "+" else -1
            operand = Sum(operand, sign, _operand(tokens))
        return Set(path, operand)
    value = tokens.literal().value
    if next(iter(value)) not in {"N", *_SETS}:
        raise invalid(
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand "
            f"type: {next(iter(value))}"
        )
    return Add(path, value)


def _operand(tokens: Tokens) -> Operand:
    if not tokens.take_if("if_not_exists"):
        return tokens.operand()
    tokens.expect("(")
    path = tokens.path()
    tokens.expect(",")
    otherwise = _operand(tokens)
    tokens.expect(")")
    return IfNotExists(path, otherwise)


def updated(item: Item, actions: tuple[Action, ...]) -> Item:
    """The item as the actions leave it; every operand is of the item as it was before."""
    new = dict(item)
    for action in actions:
        match action:
            case Set(path, operand):
                new[path.name] = _value(operand, item)
            case Remove(path):
                new.pop(path.name, None)
            case Add(path, value):
                new[path.name] = _added(item.get(path.name), value)
    return new


def _value(operand: Operand, item: Item) -> Value:
    match operand:
        case Literal(value):
            return value
        case Path(name):
            if name not in item:
                raise invalid("The provided expression refers to an attribute that does not exist in the item")
            return item[name]
        case IfNotExists(path, otherwise):
            return item[path.name] if path.name in item else _value(otherwise, item)
        case Sum(left, sign, right):
            return _sum(_value(left, item), sign, _value(right, item))


def _sum(left: Value, sign: int, right: Value) -> Value:
    if "N" not in left or "N" not in right:
        raise invalid("An operand in the update expression has an incorrect data type")
    return {"N": sum_of(left["N"], sign, right["N"])}


def _added(old: Value | None, value: Value) -> Value:
    kind = next(iter(value))
    if old is None:
        return value
    if kind not in old:
        raise invalid("An operand in the update expression has an incorrect data type")
    if kind == "N":
        return _sum(old, 1, value)
    return {kind: sorted({*old[kind], *value[kind]}, key=Decimal if kind == "NS" else None)}
