"""Which test files can notice a change of a module: those that import it, or what imports it."""

import ast
from functools import cache
from pathlib import Path

from tests.planted.bug import ROOT


def reaching(module: str, tests: Path) -> tuple[str, ...]:
    """The test files below the folder from which the module, by its dotted name, is reached."""
    return tuple(sorted(str(path) for path in tests.rglob("test_*.py") if module in _closure(path)))


def _closure(path: Path) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(_imports(path))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _imports(_file(name))
    return frozenset(seen)


@cache
def _imports(path: Path) -> frozenset[str]:
    """The modules of ours that a file names; the packages around them import much, and test nothing."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return frozenset(name for name in names if _file(name).is_file())


def _file(name: str) -> Path:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py") if not place.is_dir() else place / "__init__.py"
