"""The table measured.txt: what mutation testing found in each file of the core when it was last tried.

mutants.py writes it, and nobody else. A line holds for the text of the file that it names by its blob
(`git hash-object`); after a change of the file it is history until the file is measured again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).with_name("measured.txt")
_HEAD: Final = f"{'file':22}{'killed':>8}{'of':>6}{'judged':>8}{'survived':>10}{'share':>9}  blob"


@dataclass(frozen=True, slots=True)
class Share:
    """One file's line. No test killed those that are `judged` or `survived`; `blob` is the text that was tried."""

    killed: int
    judged: int
    survived: int
    blob: str

    @property
    def tried(self) -> int:
        return self.killed + self.judged + self.survived


def blob(path: Path) -> str:
    """What git calls the file's text, shortened."""
    text = path.read_bytes()
    return sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()[:12]


def read(table: Path = TABLE) -> dict[str, Share]:
    """The shares by the names of the files."""
    shares = {}
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    for line in lines[1:]:
        name, killed, _, judged, survived, _, _, *last = line.split()
        if last:  # the sum has none
            shares[name] = Share(int(killed), int(judged), int(survived), last[0])
    return shares


def write(shares: Mapping[str, Share], table: Path = TABLE) -> None:
    """All of them in order, and their sum."""
    lines = [_line(name, share) for name, share in sorted(shares.items())]
    table.write_text("\n".join([_HEAD, *lines, _line("all", summed(shares)), ""]), encoding="utf-8")


def summed(shares: Mapping[str, Share]) -> Share:
    """As if they were one file."""
    every = shares.values()
    killed, judged = sum(one.killed for one in every), sum(one.judged for one in every)
    return Share(killed, judged, sum(one.survived for one in every), "")


def outdated(shares: Mapping[str, Share], core: Path) -> list[str]:
    """The files of the core that have no line, or were changed since."""
    paths = sorted(core.glob("*.py"))
    return [path.stem for path in paths if path.stem not in shares or shares[path.stem].blob != blob(path)]


def _line(name: str, share: Share) -> str:
    part = 100 * share.killed / share.tried if share.tried else 100.0
    counts = f"{share.killed:8}{share.tried:6}{share.judged:8}{share.survived:10}"
    return f"{name:22}{counts}{part:7.1f} %  {share.blob}".rstrip()
