"""Which clauses of poller/semantics.md no test names, and which names stand in the code without being a clause.

Run by `make lint`: prints what is wrong, one line each, and ends with 1 if there is anything. A clause is named by
a test when it stands in the docstring of a test function, or of a rule or an invariant of a state machine; a range
of clauses names none of them.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = "poller/semantics.md"
MARKS = ("later: control API", "note")

_NAME = r"[A-Z]{3,4}-\d+"
_LINE = re.compile(rf"- \*\*({_NAME})\*\* (\S.*)")
_MARK = re.compile(r"\((later\b[^()]*|note)\)$")
# SQS-20..22, SQS-20 to SQS-27, SQS-20-22, with any dash
_RANGE = re.compile(rf"{_NAME}\s*(?:\.{{2,3}}|…|[-‐-―]|\bto\b|\bthrough\b)\s*(?:{_NAME}|\d+)")  # noqa: RUF001 - dashes of all lengths are meant


def read_contract(text: str) -> tuple[dict[str, str | None], list[str]]:
    """The clauses with their marks (None: built, so a test must name it), and what is wrong with the lines."""
    clauses: dict[str, str | None] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("- **") or not re.match(rf"- \*\*{_NAME}\b", line):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(f"{CONTRACT}:{number}: a clause is written '- **NAME-1** text'")
            continue
        name, words = match.groups()
        if name in clauses:
            problems.append(f"{CONTRACT}:{number}: {name} is there twice")
        mark = _MARK.search(words)
        if mark is not None and mark[1] not in MARKS:
            problems.append(
                f"{CONTRACT}:{number}: {name} has the unknown mark ({mark[1]}); known: {', '.join(MARKS)}"
            )
        clauses[name] = None if mark is None else mark[1]
    return clauses, problems


def named_by_tests(source: str) -> set[str]:
    """The clauses that the tests of this source name, each by itself."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_test(node):
            names.update(re.findall(rf"\b{_NAME}\b", _RANGE.sub("", ast.get_docstring(node) or "")))
    return names


def mentioned(source: str, families: set[str]) -> Iterator[tuple[int, str]]:
    """Line and name of everything that looks like a clause of these families, wherever it stands."""
    for number, line in enumerate(source.splitlines(), start=1):
        for name in re.findall(rf"\b{_NAME}\b", line):
            if name.partition("-")[0] in families:
                yield number, name


def complaints(root: Path) -> list[str]:
    """Everything that is wrong in the project at `root`."""
    clauses, problems = read_contract((root / CONTRACT).read_text(encoding="utf-8"))
    families = {name.partition("-")[0] for name in clauses}
    named: set[str] = set()
    for path in sorted([*root.glob("poller/**/*.py"), *root.glob("tests/**/*.py")]):
        source = path.read_text(encoding="utf-8")
        place = path.relative_to(root)
        if place.parts[0] == "tests":
            named |= named_by_tests(source)
        problems += [
            f"{place}:{number}: {name} is no clause of {CONTRACT}"
            for number, name in mentioned(source, families)
            if name not in clauses
        ]
    problems += [
        f"{CONTRACT}: {name} is named by no test"
        for name, mark in clauses.items()
        if mark is None and name not in named
    ]
    return problems


def main(root: Path = ROOT) -> int:
    """Prints the complaints; 1 if there are any."""
    problems = complaints(root)
    for problem in problems:
        print(problem)
    print(f"clauses: {len(problems)} to put right" if problems else "clauses: every one that is built has a test")
    return 1 if problems else 0


def _is_test(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if node.name.startswith("test_"):
        return True
    called = [decorator.func for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
    return any(isinstance(function, ast.Name) and function.id in {"rule", "invariant"} for function in called)


if __name__ == "__main__":
    sys.exit(main())
