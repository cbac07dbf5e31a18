"""PromQL -> its syntax tree as JSON. Runs in an environment that has promql-parser, and imports nothing of ours.

Standard input is a JSON list of expressions, standard output one tree for each, or {"error": text}.
"""

import json
import sys
from typing import Any

import promql_parser as promql


def tree(node: Any) -> dict[str, Any]:
    """A node as a dictionary of plain values; `is` names its kind."""
    match node:
        case promql.NumberLiteral():
            return {"is": "number", "value": node.val}
        case promql.ParenExpr():
            return tree(node.expr)
        case promql.VectorSelector():
            return {"is": "selector", "name": node.name or "", "matchers": matchers(node), "range": None}
        case promql.MatrixSelector():
            inner = node.vector_selector
            return {
                "is": "selector",
                "name": inner.name or "",
                "matchers": matchers(inner),
                "range": node.range.total_seconds(),
            }
        case promql.Call():
            return {"is": "call", "function": node.func.name, "arguments": [tree(one) for one in node.args]}
        case promql.AggregateExpr():
            told = node.modifier
            return {
                "is": "aggregate",
                "operator": str(node.op),
                "parameter": None if node.param is None else tree(node.param),
                "of": tree(node.expr),
                "by": told is None or told.type == promql.AggModifierType.By,
                "labels": [] if told is None else list(told.labels),
            }
        case promql.BinaryExpr():
            told = node.modifier
            matching = None if told is None else told.matching
            return {
                "is": "binary",
                "operator": str(node.op),
                "left": tree(node.lhs),
                "right": tree(node.rhs),
                "on": matching is not None and matching.type == promql.LabelModifierType.Include,
                "labels": [] if matching is None else list(matching.labels),
                "group": "" if told is None else word(told.card),
                "group_labels": [] if told is None else list(told.group_labels or []),
            }
    raise ValueError(f"no rule or panel of ours needs {type(node).__name__}")


def matchers(selector: Any) -> list[list[str]]:
    if selector.offset is not None or selector.at is not None:
        raise ValueError("no rule or panel of ours needs offset or @")
    signs = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
    return [[one.name, signs[word(one.op)], one.value] for one in selector.matchers.matchers]


def word(member: Any) -> str:
    """Of an enumeration, whose members cannot be keys."""
    return str(member).rpartition(".")[2]


def parsed(text: str) -> dict[str, Any]:
    try:
        return tree(promql.parse(text))
    except ValueError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    json.dump([parsed(text) for text in json.load(sys.stdin)], sys.stdout)
