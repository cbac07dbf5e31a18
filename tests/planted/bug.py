"""What a planted bug is: one line of the product that is made wrong in one way, and who has to notice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Bug:
    """In `file` (below poller/) `old`, which is there exactly once, becomes `new`.

    `guarantee` is what that breaks: the clauses first, then what goes wrong for a user. `tests` is the cheapest
    selection in which it must be noticed, as pytest takes it.
    """

    name: str
    guarantee: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def problem(bug: Bug, root: Path = ROOT) -> str:
    """Why it cannot be planted in this checkout; empty if it can."""
    path = root / "poller" / bug.file
    if not path.is_file():
        return f"there is no poller/{bug.file}"
    found = path.read_text(encoding="utf-8").count(bug.old)
    return "" if found == 1 else f"its text is {found} times in poller/{bug.file}, and must be there once"


def plant(bug: Bug, root: Path) -> None:
    """Makes the line wrong, in a copy. Raises ValueError where it cannot be planted."""
    if why := problem(bug, root):
        raise ValueError(f"{bug.name}: {why}")
    path = root / "poller" / bug.file
    path.write_text(path.read_text(encoding="utf-8").replace(bug.old, bug.new), encoding="utf-8")
    # compiled code is recognised by whole seconds and the size, and both may be what they were
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
