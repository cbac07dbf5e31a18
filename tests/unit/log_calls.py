"""Finds the calls in the package that write log lines, and what each of them says of itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import poller

ROOT = Path(poller.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "critical"}
TELLERS = {"tell", "failure"}
LOGGERS = {*LEVELS, "exception", "log"}
OWN_ARGUMENTS = {"exc_info", "now"}
_A_CALL = re.compile(rf"\b(_tell|{'|'.join(sorted(TELLERS | LOGGERS))})\(")


class LogCall(NamedTuple):
    """`action`, `level` and `fields` as far as they stand in the call itself; None where they are computed."""

    where: str
    action: str | None
    level: str | None
    fields: frozenset[str]


def log_calls() -> Iterator[LogCall]:
    """All of them."""
    for file in sorted(ROOT.rglob("*.py")):
        place = file.relative_to(ROOT)
        if place.parts[0].startswith(("demo", "testing")):
            continue  # not for operators
        text = file.read_text(encoding="utf-8")
        if not _A_CALL.search(text):
            continue  # most have none, and trees take their time
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and (found := _read(node, f"{place}:{node.lineno}")) is not None:
                yield found


def _read(node: ast.Call, where: str) -> LogCall | None:
    if isinstance(node.func, ast.Name) and node.func.id == "_tell":  # the watchdog's own
        fields = frozenset(keyword.arg for keyword in node.keywords if keyword.arg is not None)
        return LogCall(where, _text(node.args[0]), "warning", fields)
    if not isinstance(node.func, ast.Attribute):
        return None
    name = node.func.attr
    if name not in TELLERS | LOGGERS:
        return None
    owner = ast.unparse(node.func.value)
    named = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
    if name in TELLERS and (owner.endswith("teller") or owner == "self"):
        action = node.args[0 if name == "failure" else 1]
        level = "warning" if name == "failure" else _level(node.args[0])
        return LogCall(where, _text(action), level, frozenset(named) - OWN_ARGUMENTS)
    if name in LOGGERS and (owner in {"_log", "self._logger"} or owner.startswith("logging.getLogger")):
        level = "error" if name == "exception" else _level(node.args[0]) if name == "log" else name
        extra = named.get("extra")
        if isinstance(extra, ast.Call) and extra.args:  # a function that makes it, from the action first
            return LogCall(where, _text(extra.args[0]), level, frozenset())
        if not isinstance(extra, ast.Dict):
            return LogCall(where, None, level, frozenset())
        if None in extra.keys:  # passes on what it is given: its callers are read
            return None
        values = {
            _text(key): value for key, value in zip(extra.keys, extra.values, strict=True) if key is not None
        }
        action = values.pop("action", None)
        return LogCall(where, None if action is None else _text(action), level, frozenset(map(str, values)))
    return None


def _level(node: ast.expr) -> str | None:
    return node.attr.lower() if isinstance(node, ast.Attribute) and node.attr.lower() in LEVELS else None


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
