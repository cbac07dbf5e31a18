"""The list of planted bugs cannot rot: each can still be planted, and names tests that are there.

That each is caught is what `make planted` shows. Nor can the judgements of mutants rot, or what is kept of their
shares.
"""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from tests.planted.bug import ROOT, Bug, plant, problem
from tests.planted.bugs import BUGS
from tests.planted.measured import Share, blob, outdated, read, write
from tests.planted.mutants import named
from tests.planted.survivors import JUDGED, LINES
from tests.planted.swap import swaps


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_can_be_planted(bug: Bug) -> None:
    assert not problem(bug)
    text = (ROOT / "poller" / bug.file).read_text(encoding="utf-8").replace(bug.old, bug.new)
    # a file that cannot be compiled would be caught by every test, and prove nothing
    compile(text, bug.file, "exec", dont_inherit=True)
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


def test_lines_that_were_judged_are_still_there() -> None:
    """A line that was changed since wants another look."""
    gone = []
    for file, was in {*LINES, *[(file, was) for file, was, _ in JUDGED]}:
        lines = (ROOT / "poller" / "core" / f"{file}.py").read_text(encoding="utf-8").splitlines()
        if was not in named([line.strip() for line in lines]):
            gone.append((file, was))
    assert gone == []


def test_a_judgement_means_one_line() -> None:
    lines = ["a = 1", "def f(x):", "return", "return", "b = 1", "def g(x):", "return"]
    assert named(lines) == [
        "a = 1",
        "def f(x):",
        "f 1 | return",
        "f 2 | return",
        "b = 1",
        "def g(x):",
        "g | return",
    ]


def test_shares_of_mutants_are_kept_by_the_text_that_was_tried(tmp_path: Path) -> None:
    shares = {"pace": Share(9, 1, 0, "0123456789ab"), "fact": Share(0, 0, 0, "ba9876543210")}
    table = tmp_path / "measured.txt"
    assert read(table) == {}
    write(shares, table)
    assert read(table) == shares
    assert " ".join(table.read_text(encoding="utf-8").splitlines()[-1].split()) == "all 9 10 1 0 90.0 %"
    for name in ("fact", "lanes", "pace"):
        (tmp_path / f"{name}.py").write_text(f"{name} = 1\n", encoding="utf-8")
    write(shares | {"pace": Share(9, 1, 0, blob(tmp_path / "pace.py"))}, table)
    assert outdated(read(table), tmp_path) == ["fact", "lanes"]


def test_what_a_function_has_given_away_wants_a_module_loaded_anew(tmp_path: Path) -> None:
    """Else a mutant of it would survive although nobody tried it."""
    source = """\
def outer():
    def inner():
        return 1
    return inner

def plain():
    return [number + 1 for number in (1, 2)]
"""
    file = tmp_path / "planted_swaps.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("planted_swaps", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert swaps(module, source, source.replace("return 1", "return 2"), str(file)) is None
    changed = swaps(module, source, source.replace("number + 1", "number - 1"), str(file))
    assert changed is not None
    assert [function.__name__ for function, _ in changed] == ["plain"]
