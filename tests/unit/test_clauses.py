"""tests/clauses.py finds what it is there to find. The families here are made up, so that it passes them by."""

import runpy
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
CHECKER = runpy.run_path(str(TESTS / "clauses.py"))
read_contract = CHECKER["read_contract"]
named_by_tests = CHECKER["named_by_tests"]
main = CHECKER["main"]


def project(root: Path, contract: str, test: str, code: str = "") -> Path:
    (root / "poller").mkdir()
    (root / "poller" / "semantics.md").write_text(contract, encoding="utf-8")
    (root / "poller" / "code.py").write_text(code, encoding="utf-8")
    (root / "tests" / "unit").mkdir(parents=True)
    (root / "tests" / "unit" / "test_it.py").write_text(test, encoding="utf-8")
    return root


def test_clauses_and_marks() -> None:
    text = """# Title
- **ABC-1** holds now.
- **ABC-2** holds one day. (later: control API)
- **ABC-3** tells a story. (note)
- **ABC-4** ends in something else (of its own).
- **bold** words are no clause
"""
    assert read_contract(text) == (
        {"ABC-1": None, "ABC-2": "later: control API", "ABC-3": "note", "ABC-4": None},
        [],
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("- **ABC-1** same again", "ABC-1 is there twice"),
        ("- **ABC-2** text (later: never)", "unknown mark (later: never)"),
        ("- **ABC-2**", "is written"),
        ("- **ABC-2:** text", "is written"),
    ],
)
def test_lines_that_are_wrong(line: str, says: str) -> None:
    _, problems = read_contract("- **ABC-1** text\n" + line)
    assert len(problems) == 1
    assert says in problems[0]
    assert "semantics.md:2:" in problems[0]


def test_only_docstrings_of_tests_count() -> None:
    source = '''"""ABC-1 in the file's docstring."""
def helper():
    """ABC-2 in a helper."""
def test_one():
    """ABC-3, ABC-4: and (ABC-5)."""
    x = "ABC-6"  # ABC-7
async def test_two():
    """ABC-8."""
class Machine:
    """ABC-9."""
    @rule()
    def step(self):
        """ABC-10."""
    @invariant()
    def holds(self):
        """ABC-11."""
    def other(self):
        """ABC-12."""
'''
    assert named_by_tests(source) == {"ABC-3", "ABC-4", "ABC-5", "ABC-8", "ABC-10", "ABC-11"}


@pytest.mark.parametrize(
    "words", ["ABC-1..3", "ABC-1 to ABC-3", "ABC-1\u2013ABC-3", "ABC-1-3", "ABC-1 through 3", "ABC-1 … ABC-3"]
)
def test_a_range_names_nothing(words: str) -> None:
    assert named_by_tests(f'def test_it():\n    """{words}; ABC-9."""') == {"ABC-9"}


def test_a_project_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract = "- **ABC-1** now\n- **ABC-2** one day (later: control API)\n- **ABC-3** once (note)\n"
    root = project(tmp_path, contract, 'def test_it():\n    """ABC-1, DEF-9."""', "# ABC-2")
    assert main(root) == 0
    assert "every one" in capsys.readouterr().out


def test_a_clause_without_a_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = project(tmp_path, "- **ABC-1** now\n- **ABC-2** now\n", 'def test_it():\n    """ABC-1."""', "# ABC-2")
    assert main(root) == 1
    out = capsys.readouterr().out
    assert "ABC-2 is named by no test" in out
    assert "ABC-1 " not in out


def test_a_name_that_is_no_clause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = 'def test_it():\n    """ABC-1."""\n    # as ABC-7 says'
    root = project(tmp_path, "- **ABC-1** now\n", test, '"""ABC-8."""')
    assert main(root) == 1
    out = capsys.readouterr().out
    assert "tests/unit/test_it.py:3: ABC-7 is no clause" in out
    assert "poller/code.py:1: ABC-8 is no clause" in out
    assert "ABC-1 " not in out


def test_our_own_contract_can_be_read() -> None:
    clauses, problems = read_contract((TESTS.parent / "poller" / "semantics.md").read_text(encoding="utf-8"))
    assert problems == []
    families = {name.partition("-")[0] for name in clauses}
    queues = {"GEN", "CFG", "BAT", "SQS", "FIFO", "PBR", "INV", "MET", "SUR"}
    others = {"API", "STR", "KIN", "DDB", "ERR", "TMB", "DST", "FLT", "IAM", "OPEN"}
    assert families == queues | others
