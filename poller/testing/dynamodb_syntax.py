"""The words of DynamoDB's expressions: tokens, `#names` and `:values` put in, and syntax errors as AWS has them.

What the embedded DynamoDB has no need of (paths into documents, size(), IN, ...) is refused by name. It does not
know the reserved words.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from poller.core.model import JsonObject
from poller.testing.dynamodb_errors import DynamoDbError, invalid, not_done_here, wrong_type
from poller.testing.dynamodb_values import Value, read_value

_TOKEN: Final = re.compile(r"\s*([#:]?[A-Za-z0-9_]+|<>|<=|>=|[^\s])")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MISSING_HERE: Final = frozenset({"in", "size", "contains", "attribute_type", "list_append", "delete"})


@dataclass(frozen=True, slots=True)
class Path:
    """A top-level attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A value of the request."""

    value: Value


class Words:
    """What the expressions of one request share: the names and values that stand behind their `#` and `:`."""

    def __init__(self, request: JsonObject) -> None:
        self.names: JsonObject = request.get("ExpressionAttributeNames") or {}
        if not all(isinstance(name, str) for name in self.names.values()):
            raise wrong_type("ExpressionAttributeNames")
        self.values: dict[str, Value] = {
            key: read_value(value) for key, value in (request.get("ExpressionAttributeValues") or {}).items()
        }
        self.used: set[str] = set()

    def check_all_used(self) -> None:
        """DynamoDB refuses names and values that no expression mentions: they are mostly misspelt."""
        for field, given in (("ExpressionAttributeNames", self.names), ("ExpressionAttributeValues", self.values)):
            unused = sorted(given.keys() - self.used)
            if unused:
                raise invalid(f"Value provided in {field} unused in expressions: keys: {{{', '.join(unused)}}}")


class Tokens:
    """One expression, read from left to right."""

    def __init__(self, field: str, text: Any, words: Words) -> None:
        if not isinstance(text, str) or not text.strip():
            raise invalid(f"Invalid {field}: The expression can not be empty;")
        self._field = field
        self._text = text
        self._words = words
        self._tokens = _TOKEN.findall(text)
        self._place = 0

    @property
    def next(self) -> str:
        """The token to come in lower case, empty at the end."""
        return self._tokens[self._place].lower() if self._place < len(self._tokens) else ""

    def take(self) -> str:
        """The next token as it stands there."""
        if self._place == len(self._tokens):
            raise self.syntax_error()
        self._place += 1
        return str(self._tokens[self._place - 1])

    def take_if(self, *wanted: str) -> bool:
        """Passes the next token if it is one of these."""
        if self.next in wanted:
            self._place += 1
            return True
        return False

    def expect(self, wanted: str) -> None:
        """Passes this token, which must be next."""
        if not self.take_if(wanted):
            raise self.syntax_error()

    def end(self) -> None:
        """Nothing may follow."""
        if self.next:
            raise self.syntax_error()

    def path(self) -> Path:
        """The name of an attribute, itself or behind `#`."""
        token = self.take()
        name = token
        if token.startswith("#"):
            if token not in self._words.names:
                text = "An expression attribute name used in the document path is not defined; attribute name: "
                raise invalid(f"Invalid {self._field}: {text}{token}")
            self._words.used.add(token)
            name = self._words.names[token]
        elif not _WORD.fullmatch(token):
            self._place -= 1
            raise self.syntax_error()
        elif token.lower() in _MISSING_HERE and (self.next == "(" or token.lower() == "in"):
            raise not_done_here(f"{token} in {self._field}")
        if self.next in {".", "["}:
            raise not_done_here(f"a path into a document in {self._field}")
        return Path(name)

    def literal(self) -> Literal:
        """A value behind `:`."""
        token = self.take()
        if not token.startswith(":") or len(token) == 1:
            self._place -= 1
            raise self.syntax_error()
        if token not in self._words.values:
            text = f"An expression attribute value used in expression is not defined; attribute value: {token}"
            raise invalid(f"Invalid {self._field}: {text}")
        self._words.used.add(token)
        return Literal(self._words.values[token])

    def operand(self) -> Path | Literal:
        """An attribute or a value."""
        return self.literal() if self.next.startswith(":") else self.path()

    def syntax_error(self) -> DynamoDbError:
        """The next token should not be there."""
        if self.next in _MISSING_HERE:
            return not_done_here(f"{self.next} in {self._field}")
        token = self._tokens[self._place] if self._place < len(self._tokens) else "<EOF>"
        near = " ".join(self._tokens[max(0, self._place - 1) : self._place + 2])
        return invalid(f'Invalid {self._field}: Syntax error; token: "{token}", near: "{near}"')
