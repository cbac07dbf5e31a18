"""YAML text to values and lines: types, variables, repeated keys, and texts that are no YAML."""

import json
from typing import Any

import pytest

from poller.yamltext import Document, Problem, read_yaml


def document(text: str, **environment: str) -> Document:
    result = read_yaml(text, environment)
    assert isinstance(result, Document), result
    return result


def value(text: str, **environment: str) -> Any:
    result = document(text, **environment)
    assert result.problems == []
    return result.value


def refused(text: str) -> Problem:
    result = read_yaml(text, {})
    assert isinstance(result, Problem), result
    assert result.sentence.isprintable()
    return result


def test_plain_values_have_the_types_of_yaml() -> None:
    text = "{a: 1, b: 1.5, c: yes, d: ~, e: x, f: '1', g: 2026-01-01, h: 0x1f, i: [1, {j: 2}], k: '', l: .inf}"
    assert value(text) == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": None,
        "e": "x",
        "f": "1",
        "g": "2026-01-01",
        "h": 31,
        "i": [1, {"j": 2}],
        "k": "",
        "l": float("inf"),
    }


def test_keys_stay_as_they_were_written() -> None:
    assert value("{on: 1, 7: 2, ~: 3}") == {"on": 1, "7": 2, "~": 3}


def test_json_with_escaped_characters_is_what_json_means() -> None:
    """Python's json.dump writes an emoji as two escapes; in YAML they would be two characters that are none."""
    told = {"\N{GRINNING FACE}": ["\N{GRINNING FACE}x", "\u00fc\ufeff", "\N{MUSICAL SYMBOL G CLEF}"]}
    assert value(json.dumps(told)) == told
    assert value("a: \N{GRINNING FACE}") == {"a": "\N{GRINNING FACE}"}


@pytest.mark.parametrize("text", [r'{"a": "\ud83d"}', r'{"a": "\ude00\ud83d"}', r'{"\ud83dx": 1}', "a: ${HALF}"])
def test_half_a_character_is_told(text: str) -> None:
    """No answer of the control API could repeat it."""
    result = document(f"\n{text}", HALF="caf\udce9")
    (problem,) = result.problems
    assert problem.sentence.startswith("this holds half of a character")
    assert problem.line == 2


def test_every_path_knows_its_line() -> None:
    result = document("# a file\na:\n  b: 1\n  c:\n    - x\n    -\n      d: 2\n")
    assert result.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 4,
        ("a", "c", 0): 5,
        ("a", "c", 1): 7,
        ("a", "c", 1, "d"): 7,
    }
    assert result.line(("a", "c", 1, "missing", 4)) == 7
    assert result.line(("missing",)) == 2
    assert Document().line(("missing",)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${N}", 7),
        ("${N:-9}", 7),
        ("${MISSING:-9}", 9),
        ("${MISSING:-}", None),
        ("${EMPTY}", None),
        ("${EMPTY:-9}", 9),
        ("${YES}", True),
        ("'${N}'", "7"),
        ('"${N}"', "7"),
        ("${N}${N}", 77),
        ("a-${N}-${MISSING:-b}", "a-7-b"),
        ("${COLON}", "a: b"),
        ("${LIST}", "[1, 2]"),
        ("$${N}", "${N}"),
        ("$N", "$N"),
        ("$$", "$$"),
        ("${MISSING:-http://h:1/x?y}", "http://h:1/x?y"),
        ("|\n  ${N}\n", "7\n"),
        ("${NESTED}", "${N}"),
    ],
)
def test_variables(text: str, expected: Any) -> None:
    """A plain value becomes what it then says; a quoted one stays text; what a variable holds is never read as
    structure or filled in again.
    """
    variables = {"N": "7", "EMPTY": "", "YES": "true", "COLON": "a: b", "LIST": "[1, 2]", "NESTED": "${N}"}
    assert value(f"x: {text}", **variables) == {"x": expected}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${MISSING}", "the environment variable 'MISSING' is not set; set it, or write ${MISSING:-default}"),
        ("a ${MISSING} b", "'MISSING' is not set"),
        ("${", "this ${ begins no variable; write ${NAME} or ${NAME:-default}, and $${ for the text ${ itself"),
        ("${}", "begins no variable"),
        ("${1A}", "begins no variable"),
        ("${A-b}", "begins no variable"),
        ("${A B}", "begins no variable"),
        ("${A:-b", "begins no variable"),
    ],
)
def test_variables_that_cannot_be_filled_in(text: str, words: str) -> None:
    """The rest of the document is still read."""
    result = document(f"a: 1\nx: {text}\nb: 2")
    assert result.value == {"a": 1, "x": None, "b": 2}
    (problem,) = result.problems
    assert (problem.line, problem.path) == (2, ("x",))
    assert words in problem.sentence


def test_variables_in_keys_are_not_filled_in() -> None:
    assert value("'${A}': 1") == {"${A}": 1}


def test_a_key_twice() -> None:
    result = document("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert result.value == {"a": 1, "b": {"c": 1}}
    assert [(p.line, p.path, p.sentence) for p in result.problems] == [
        (4, ("b", "c"), "'c' is here twice, first on line 3; write it once"),
        (5, ("a",), "'a' is here twice, first on line 1; write it once"),
    ]


def test_aliases_and_merged_maps() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, x: 3}\nd: {<<: [{x: 4}, *a]}\n"
    assert value(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"x": 3, "y": 2},
        "d": {"x": 4, "y": 2},
    }
    assert [problem.line for problem in document("a: 1\nb: {<<: 7}").problems] == [2]
    assert [problem.line for problem in document("a: 1\nb: {<<: [{}, 7]}").problems] == [2]


def test_a_problem_in_a_merged_map_is_that_of_the_field() -> None:
    """Else the field would be missing as well."""
    result = document("a: &a {x: '${NOPE}'}\nb: {<<: *a}\n")
    assert [problem.path for problem in result.problems] == [("a", "x"), ("b", "x")]


def test_json_is_yaml_also_with_tabs() -> None:
    assert value('{\n\t"a": [1, 2.5, true, null, "\\u00e9\\/"],\n\t"b": {}\n}') == {
        "a": [1, 2.5, True, None, "é/"],
        "b": {},
    }


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [id]", "!!set {a}", "!x 1", "!!binary aGk="])
def test_tags_make_nothing(tag: str) -> None:
    result = document(f"a: {tag}\nb: 1")
    assert result.value == {"a": None, "b": 1}
    assert [(p.line, p.path) for p in result.problems] == [(1, ("a",))]
    assert "is not allowed" in result.problems[0].sentence


@pytest.mark.parametrize("text", ["!!int x", "!!float x", "!!int ''", "9" * 5_000, "0b", "1:99999999999"])
def test_numbers_that_are_none(text: str) -> None:
    """Either a value or a problem with its line; never an exception."""
    result = document(f"a: {text}")
    assert len(result.problems) == (0 if isinstance(result.value["a"], int | str) else 1)  # type: ignore[index]


def test_keys_are_words() -> None:
    result = document("? [1]\n: 2\nb: 3")
    assert result.value == {"b": 3}
    assert "a key is a single word" in result.problems[0].sentence


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: [1", 1, 6, "this is not YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("a: 1\n b: 2", 2, 3, "mapping values are not allowed here"),
        ("a: 1\n\tb: 2", 2, 1, "'\\t'"),
        ("a: *x", 1, 4, "undefined alias"),
        ("a: 1\n---\nb: 2", 2, 1, "expected a single document"),
        ("a: {b: ${X}}", 1, 9, "inside [ ] and { }, write ${...} in quotes"),
        ("a: 1\nb: \x07", 2, 4, "character '\\x07' is not allowed in YAML"),
        ("%YAML 9.9\n---\na", 1, 1, "incompatible YAML document"),
        ('a: "\\UFFFFFFFF"', 1, None, "this is not YAML"),
        ("[\n" * 5_000, None, None, "nested too deeply"),
        ("a: " + "[" * 150 + "]" * 150, None, None, "nested more than 100 deep"),
        ("a: &a [*a]", None, None, "holds itself by an alias"),
    ],
)
def test_what_is_not_yaml(text: str, line: int | None, column: int | None, words: str) -> None:
    problem = refused(text)
    assert words in problem.sentence
    assert (problem.line, problem.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("a:\n  - b: 1\n    c: 2\n   d: 3\n", 4, "see that this line is indented exactly like those beside it"),
        ("a:\n  b: 1\n c: 2\n", 3, "see that this line is indented exactly like those beside it"),
        ("  a: 1\nb: 2\n", 2, "see that this line is indented exactly like those beside it"),
        ("a: 1\n  b: 2\n", 2, "see how this line and the one before it are indented"),
        ("a: b: c\n", 1, "put text that holds ': ' in quotes"),
        ("a:\n\tb: 1\n", 2, "indent with spaces, not with tabs"),
        ("a: @x\n", 1, "put text that begins with such a sign in quotes"),
        ("a: *.txt\n", 1, "put text that begins with such a sign in quotes"),
        ("x: 1\na: [1\nb: 2\n", 3, "see that the bracket of line 2 is closed"),
        ("x: 1\na: 'x\nb: 1\n", 4, "see that the quote of line 2 is closed"),
        ("a:\n- b: 1\nc\nd: 2\n", 4, "see that line 3 has a colon with a space behind it"),
    ],
)
def test_what_is_not_yaml_comes_with_what_mends_it(text: str, line: int, advice: str) -> None:
    problem = refused(text)
    assert problem.line == line
    assert problem.sentence.startswith("this is not YAML: ")
    assert advice in problem.sentence


def test_a_few_lines_of_aliases_cannot_fill_the_memory() -> None:
    """Nine levels of nine aliases stand for 400 million values."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "more than 100000 values" in refused("\n".join(lines)).sentence


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_nothing_at_all(text: str) -> None:
    assert document(text).value is None


def test_without_an_environment_a_variable_is_text() -> None:
    result = read_yaml("a: ${B}-${", None)
    assert isinstance(result, Document)
    assert (result.value, result.problems) == ({"a": "${B}-${"}, [])


def test_tags_become_maps_where_somebody_knows_them() -> None:
    text = "a: !Ref 1\nb: !Join [x, [!Sub 'y${Z}', !Odd {c: 2}]]\nd: &same !Ref e\nf: *same\n"
    result = read_yaml(text, None, lambda tag: f"Fn::{tag}")
    assert isinstance(result, Document)
    assert result.problems == []
    assert result.value == {
        "a": {"Fn::Ref": "1"},
        "b": {"Fn::Join": ["x", [{"Fn::Sub": "y${Z}"}, {"Fn::Odd": {"c": 2}}]]},
        "d": {"Fn::Ref": "e"},
        "f": {"Fn::Ref": "e"},
    }
    assert (result.line(("b", "Fn::Join", 1)), result.line(("f",))) == (2, 4)


def test_a_tag_around_itself_ends() -> None:
    result = read_yaml("&a !Join [*a]", None, lambda tag: tag)
    assert isinstance(result, Problem)
    assert "nested" in result.sentence
