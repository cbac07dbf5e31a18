"""YAML text -> plain values, each with the line it stands on; `${VAR}` filled in on the way.

What the values mean is not known here. The text is composed by PyYAML and turned into values by ourselves, because
lines, repeated keys and variables in plain scalars are gone once PyYAML has made values of it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

from poller.core.mapping_shapes import Path, quote

_MAX_VALUES = 100_000  # with aliases filled in: ten lines of them can stand for more than any memory holds
_MAX_DEPTH = 100
_TAG = "tag:yaml.org,2002:"
_HALF = (
    "this holds half of a character: an escape from \\ud800 to \\udfff without its other half,"
    " or bytes that are not UTF-8"
)
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>))")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: where, if it has a place, and a sentence. Line and column count from 1."""

    sentence: str
    line: int | None = None
    column: int | None = None
    path: Path = ()


@dataclass(slots=True)
class Document:
    """The values of a text, the line of every path in them, and what was wrong without making it unreadable.

    A value that was wrong is None, so that the rest can still be looked at.
    """

    value: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Unreadable(Exception):  # noqa: N818 - never leaves this file
    """The text as a whole cannot be used."""


def read_yaml(
    text: str, environment: Mapping[str, str] | None, tag_key: Callable[[str], str] | None = None
) -> Document | Problem:
    """The document, or the one problem that keeps it from being one. Never raises, whatever the text.

    Without an `environment` a `${` is text like any other. With `tag_key`, a value with a tag of its own, such as
    `!Ref x`, is a map of one member: the key that `tag_key` gives for the tag's name, and the value as text, list
    or map.
    """
    if "\t" in text and _is_json(text):
        text = text.replace("\t", " ")  # JSON may be indented by tabs, YAML may not; a JSON string holds none
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Document()
        reading = _Reading(loader, environment, tag_key)
        reading.document.value = reading.value(node, ())
    except yaml.MarkedYAMLError as error:
        return _syntax_problem(error, text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        return Problem(f"character {quote(chr(error.character))} is not allowed in YAML", line, column)
    except RecursionError:
        return Problem("the values are nested too deeply to be a configuration")
    except _Unreadable as error:
        return Problem(str(error))
    except (ValueError, OverflowError) as error:  # PyYAML lets them through for odd escapes and versions
        return Problem(f"this is not YAML: {quote(str(error))}", None if loader is None else loader.line + 1)
    else:
        return reading.document
    finally:
        if loader is not None:
            loader.dispose()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = [part for part in (error.context, error.problem) if part]
    sentence = f"this is not YAML: {', '.join(said) or 'it cannot be read'}"
    if mark is None:
        return Problem(sentence)
    lines = text.splitlines()
    if mark.line < len(lines) and "${" in lines[mark.line]:
        sentence += "; inside [ ] and { }, write ${...} in quotes, or put the value on a line of its own"
    else:
        began = mark if error.context_mark is None else error.context_mark
        sentence += _advice(str(error.context), str(error.problem), began.line + 1)
    return Problem(sentence, mark.line + 1, mark.column + 1)


def _advice(context: str, problem: str, began: int) -> str:
    """What mends most texts of which PyYAML says so, for people who write YAML and do not parse it. `began` is the
    line on which the thing began that is wrong or not finished.
    """
    if "character '\\t'" in problem:
        return "; indent with spaces, not with tabs"
    if "any token" in problem or "alias" in f"{context} {problem}":
        return "; put text that begins with such a sign in quotes"
    if "a flow" in context:
        return f"; see that the bracket of line {began} is closed"
    if "a quoted scalar" in context:
        return f"; see that the quote of line {began} is closed"
    if "a simple key" in context:
        return f"; see that line {began} has a colon with a space behind it"
    if "block" in f"{context} {problem}":
        return "; see that this line is indented exactly like those beside it"
    if "mapping values" in problem:
        return "; see how this line and the one before it are indented, and put text that holds ': ' in quotes"
    return ""


class _Value(NamedTuple):
    """What a scalar came to: the value, or a sentence about why there is none."""

    value: object = None
    wrong: str = ""


class _Reading:
    """One pass over the nodes of a document."""

    def __init__(
        self,
        loader: yaml.SafeLoader,
        environment: Mapping[str, str] | None,
        tag_key: Callable[[str], str] | None,
    ) -> None:
        self.document = Document()
        self._loader = loader
        self._environment = environment
        self._tag_key = tag_key
        self._count = 0

    def value(self, node: yaml.Node, path: Path) -> object:
        """The node's value; notes its line, unless the key has noted its own."""
        self._count += 1
        if self._count > _MAX_VALUES:
            raise _Unreadable(f"with its aliases filled in, it holds more than {_MAX_VALUES} values")
        if len(path) > _MAX_DEPTH:
            raise _Unreadable(f"values are nested more than {_MAX_DEPTH} deep, or one holds itself by an alias")
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if self._tag_key is not None and node.tag.startswith("!") and len(node.tag) > 1:
            key = self._tag_key(node.tag[1:])
            return {key: self.value(_untagged(node), (*path, key))}
        match node:
            case yaml.MappingNode() if node.tag == f"{_TAG}map":
                return self._map(node, path)
            case yaml.SequenceNode() if node.tag == f"{_TAG}seq":
                return [self.value(member, (*path, index)) for index, member in enumerate(node.value)]
            case yaml.ScalarNode():
                made = self._scalar(node)
                if made.wrong:
                    self._note(made.wrong, node, path)
                return made.value
            case _:
                self._note(f"the tag {quote(node.tag)} is not allowed", node, path)
                return None

    def _map(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        seen: dict[str, int] = {}
        merged: dict[str, object] = {}
        values: dict[str, object] = {}
        for key, member in node.value:
            if key.tag == f"{_TAG}merge":
                for base in self._bases(member, path):
                    for name, value in base.items():
                        merged.setdefault(name, value)
            elif not isinstance(key, yaml.ScalarNode):
                self._note("a key is a single word, not a list or a map", key, path)
            elif (word := _whole(key.value)) is None:
                self._note(_HALF, key, path)
            elif word in seen:
                sentence = f"{quote(word)} is here twice, first on line {seen[word]}"
                self._note(f"{sentence}; write it once", key, (*path, word))
            else:
                seen[word] = key.start_mark.line + 1
                self.document.lines[*path, word] = key.start_mark.line + 1
                values[word] = self.value(member, (*path, word))
        return merged | values

    def _bases(self, node: yaml.Node, path: Path) -> Iterator[dict[str, object]]:
        """The maps behind `<<`, the first one first."""
        for base in node.value if isinstance(node, yaml.SequenceNode) else (node,):
            if isinstance(base, yaml.MappingNode):
                yield self._map_within(base, path)
            else:
                self._note("<< takes a map or a list of maps, by their aliases", base, path)

    def _map_within(self, base: yaml.MappingNode, path: Path) -> dict[str, object]:
        value = self.value(base, (*path, "<<"))
        return value if isinstance(value, dict) else {}

    def _scalar(self, node: yaml.ScalarNode) -> _Value:
        text, tag = node.value, node.tag
        if self._environment is not None and "${" in text:
            filled = self._fill(text, self._environment)
            if filled.wrong:
                return filled
            text = str(filled.value)
            if node.style is None and tag == f"{_TAG}str":  # plain: what it is follows from what it now says
                tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call] # stubs lack it
        whole = _whole(text)
        return _Value(wrong=_HALF) if whole is None else _construct(tag, whole)

    def _fill(self, text: str, environment: Mapping[str, str]) -> _Value:
        wrong: list[str] = []

        def replace(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            if match["broken"] is not None:
                wrong.append(
                    "this ${ begins no variable; write ${NAME} or ${NAME:-default}, and $${ for the text ${ itself"
                )
                return ""
            found = environment.get(match["name"], "")
            if match["default"] is not None:
                return found or match["default"]
            if match["name"] not in environment:
                wrong.append(
                    f"the environment variable {quote(match['name'])} is not set;"
                    f" set it, or write ${{{match['name'][:60]}:-default}}"
                )
            return found

        filled = _VARIABLE.sub(replace, text)
        return _Value(wrong=wrong[0]) if wrong else _Value(filled)

    def _note(self, sentence: str, node: yaml.Node, path: Path) -> None:
        place = tuple(part for part in path if part != "<<")
        self.document.problems.append(Problem(sentence, node.start_mark.line + 1, None, place))


def _whole(text: str) -> str | None:
    """JSON writes a character outside of the basic plane as two escapes, of which PyYAML makes two halves: they
    are put together. None where a half stands alone, because no answer of ours could repeat it.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return None


def _untagged(node: yaml.Node) -> yaml.Node:
    """The same without its own tag; a new one, because an alias may lead to the old one again."""
    kind = "str"
    if isinstance(node, yaml.CollectionNode):
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
    return type(node)(f"{_TAG}{kind}", node.value, node.start_mark, node.end_mark)


def _construct(tag: str, text: str) -> _Value:
    """The value of a scalar. Dates stay text: no field takes a date, and text is what a person would expect."""
    match tag.removeprefix(_TAG):
        case "str" | "timestamp" | "value":
            return _Value(text)
        case "null":
            return _Value(None)
        case "bool":
            return _Value(text.lower() in {"true", "yes", "on"})
        case "int" | "float" as kind:
            return _number(kind, text)
        case _:
            return _Value(wrong=f"the tag {quote(tag)} is not allowed")


def _number(kind: str, text: str) -> _Value:
    node = yaml.ScalarNode(f"{_TAG}{kind}", text)
    try:
        if kind == "int":
            return _Value(yaml.constructor.SafeConstructor().construct_yaml_int(node))
        return _Value(yaml.constructor.SafeConstructor().construct_yaml_float(node))
    except (ValueError, OverflowError, IndexError):
        return _Value(wrong=f"{quote(text)} is not a number that can be used")
