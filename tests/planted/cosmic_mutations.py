"""`python cosmic_mutations.py FILE`: each small change of a file that mutation testing makes, one a line, as JSON.

Run by mutants.py in an environment that has Cosmic Ray, whose operators these are; deleting a statement is ours.
One operator of a kind is enough where Cosmic Ray has ten: `+` becomes `-`, and need not become `**` as well. What
says nothing about behaviour stays as it is: annotations, decorators, asserts, docstrings.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.ast import Visitor, ast_nodes, get_ast
from cosmic_ray.operators import provider

ORDER = ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")
OPERATORS = (
    *(f"ReplaceComparisonOperator_{a}_{b}" for a in ORDER[2:] for b in ORDER if a != b),
    *(f"ReplaceComparisonOperator_{a}_{b}" for a in ORDER[:2] for b in ("Eq", "NotEq", "LtE", "GtE") if a != b),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div"),
    *("ReplaceBinaryOperator_Div_Mul", "ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceBinaryOperator_Mod_Mul"),
    *("ReplaceBinaryOperator_BitOr_BitAnd", "ReplaceBinaryOperator_BitAnd_BitOr"),
    *("ReplaceBinaryOperator_Pow_Mul", "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub"),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop"),
)

Span = tuple[tuple[int, int], tuple[int, int]]


def main(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    spans = list(left_alone(tree))
    seen = {source}
    for operator, line, mutated in (*of_cosmic_ray(source, spans), *deletions(source, tree, spans)):
        if mutated not in seen:
            seen.add(mutated)
            print(json.dumps({"operator": operator, "line": line, "source": mutated}))


def of_cosmic_ray(source: str, spans: list[Span]) -> Iterator[tuple[str, int, str]]:
    parsed, lines = get_ast(source), source.splitlines()
    for name in OPERATORS:
        operator = provider.OperatorProvider()[name]()
        positions = [at for node in ast_nodes(parsed) for at in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(positions):
            if any(begin <= start and end <= stop for begin, stop in spans):
                continue
            if lines[start[0] - 1][start[1] :].startswith("*,"):
                continue  # it begins the named arguments, and multiplies nothing
            yield name, start[0], Change(operator, occurrence).walk(get_ast(source)).get_code()


class Change(Visitor):
    """Makes one change on its way through a tree."""

    def __init__(self, operator, occurrence: int) -> None:
        self._operator = operator
        self._left = occurrence

    def visit(self, node):
        """See Visitor."""
        for index, _ in enumerate(list(self._operator.mutation_positions(node))):
            self._left -= 1
            if self._left == -1:
                return self._operator.mutate(node, index)
        return node


def left_alone(tree: ast.AST) -> Iterator[Span]:
    """Where nothing is changed."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        match node:
            case ast.arg():
                parts = [node.annotation]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                parts = [node.returns, *node.decorator_list]
            case ast.ClassDef():
                parts = list(node.decorator_list)
            case ast.AnnAssign():
                alias = isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
                parts = [node if alias else node.annotation]
            case ast.Assert() | ast.Import() | ast.ImportFrom():
                parts = [node]
        yield from (span(part) for part in parts if part is not None)


def deletions(source: str, tree: ast.AST, spans: list[Span]) -> Iterator[tuple[str, int, str]]:
    """Calls whose result nobody wants, assignments to attributes and items, and early returns, each left out."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
                continue  # nothing comes there: the type checker says so
            case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Delete():
                pass
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript() | ast.Tuple()]):
                pass
            case ast.Return(value=None):
                pass
            case _:
                continue
        begin, end = span(node)
        if any(start <= begin and end <= stop for start, stop in spans):
            continue
        indent = lines[begin[0] - 1][: begin[1]]
        if not indent.strip():
            changed = [*lines[: begin[0] - 1], f"{indent}pass\n", *lines[end[0] :]]
            yield "DeleteStatement", begin[0], "".join(changed)


def span(node: ast.AST) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
