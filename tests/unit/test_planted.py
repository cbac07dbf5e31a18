"""The list of planted bugs cannot rot: each can still be planted, and names tests that are there.

That each is caught is what `make planted` shows.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.planted.bug import ROOT, Bug, plant, problem
from tests.planted.bugs import BUGS


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_can_be_planted(bug: Bug) -> None:
    assert not problem(bug)
    text = (ROOT / "poller" / bug.file).read_text(encoding="utf-8").replace(bug.old, bug.new)
    ast.parse(text)  # a file that cannot be compiled would be caught by every test, and prove nothing
    assert bug.new != bug.old
    paths = [word for word in bug.tests if word.startswith("tests/")]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def test_names_are_unique_and_guarantees_say_what_goes_wrong() -> None:
    assert [name for name, count in Counter(bug.name for bug in BUGS).items() if count > 1] == []
    assert [bug.name for bug in BUGS if not all(bug.guarantee.partition(": ")[::2])] == []
    assert len(BUGS) >= 40


def test_what_is_not_there_exactly_once_is_not_planted(tmp_path: Path) -> None:
    file = tmp_path / "poller" / "core" / "one.py"
    file.parent.mkdir(parents=True)
    bug = Bug("b", "ABC-1: w", "core/one.py", "a = 1", "a = 2", ())
    for text, said in (("b = 1\n", "0 times"), ("a = 1\na = 1\n", "2 times")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=said):
            plant(bug, tmp_path)
        assert file.read_text(encoding="utf-8") == text
    file.write_text("a = 1\n", encoding="utf-8")
    plant(bug, tmp_path)
    assert file.read_text(encoding="utf-8") == "a = 2\n"
