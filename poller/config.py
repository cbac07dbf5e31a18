"""poller.yaml -> Configuration, or every problem in it with file and line.

The shape of the file and of `Settings` is judged by config_shape.py, what a mapping may hold by core/mapping.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from pydantic import ValidationError

from poller.config_shape import MAPPINGS, NO_MAPPING, FileShape, explained, make_settings
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.mapping_conflicts import find_conflicts
from poller.core.mapping_shapes import FieldProblem, Path, dotted, quote
from poller.errors import ConfigurationError
from poller.settings import Settings
from poller.yamltext import Document, Problem, read_yaml

_MAX_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Configuration:
    """A valid file. `lines` has the line of each mapping's beginning, in the order of `mappings`; `state_line` is
    the one of Settings.State, None where the file has none.
    """

    settings: Settings
    mappings: tuple[EventSourceMapping, ...]
    file: str = field(default="", compare=False)
    lines: tuple[int, ...] = field(default=(), compare=False)
    state_line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a file is no configuration: never empty, in the order of the lines."""

    file: str
    problems: tuple[Problem, ...]


def load(file: str | FilePath, environment: Mapping[str, str]) -> Configuration:
    """The configuration in a file; raises ConfigurationError with one line for each problem."""
    result = read(file, environment)
    if isinstance(result, Rejected):
        raise ConfigurationError(
            "\n".join(
                f"{place(result.file, problem.line, problem.column)}: {sentence(problem)}"
                for problem in result.problems
            )
        )
    return result


def read(file: str | FilePath, environment: Mapping[str, str]) -> Configuration | Rejected:
    """The same with the problems as values. `environment` is where `${VAR}` is looked up."""
    text = _read_text(FilePath(file))
    if isinstance(text, Problem):
        return Rejected(str(file), (text,))
    return parse(text, str(file), environment)


def parse(text: str, file: str, environment: Mapping[str, str]) -> Configuration | Rejected:
    """The same for text that is at hand; `file` is what messages call it."""
    document = read_yaml(text, environment)
    if isinstance(document, Problem):
        return Rejected(file, (document,))
    if document.value is None and not document.problems:
        return Rejected(file, (Problem(f"there is nothing in it; it must hold {MAPPINGS}"),))
    return _Interpretation(document, file).result()


def sentence(problem: Problem) -> str:
    """`field.path: what is wrong; what is allowed.`"""
    where = f"{dotted(problem.path)}: " if problem.path else ""
    stop = "" if problem.sentence.endswith((".", "?", "!")) else "."
    return f"{where}{problem.sentence}{stop}"


def place(file: str, line: int | None, column: int | None = None) -> str:
    """`file:line:column`, as far as it is known."""
    name = file if file.isprintable() else repr(file)
    return ":".join(str(part) for part in (name, line, column) if part is not None)


def _read_text(file: FilePath) -> str | Problem:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return Problem("there is no such file; name the configuration with -c")
    except IsADirectoryError:
        return Problem("this is a directory; name the file in it")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return Problem(f"it cannot be read: {reason or error}")
    if len(data) > _MAX_BYTES:
        return Problem(f"it is larger than {_MAX_BYTES} bytes, too large for a configuration")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem("this is not UTF-8 text; save the file as UTF-8", line)


class _Interpretation:
    """The values of one file on their way to a Configuration."""

    def __init__(self, document: Document, file: str) -> None:
        self._document = document
        self._file = file
        self._problems: list[Problem] = []

    def result(self) -> Configuration | Rejected:
        values = self._document.value
        shape: FileShape | None = None
        mappings: list[EventSourceMapping] = []
        if isinstance(values, dict):
            shape = self._shape(values)
            mappings = self._mappings(values.get(MAPPINGS))
            if shape is not None and not shape.EventSourceMappings and not shape.Settings.ControlApi.Listen:
                self._add((MAPPINGS,), NO_MAPPING)  # and no way in which one could come
        else:
            self._add((), f"this is {quote(values)}; a configuration is a map with Settings and {MAPPINGS}")
        told = {problem.path for problem in self._document.problems}
        problems = [
            *self._document.problems,
            *(problem for problem in self._problems if problem.path not in told),
        ]
        if problems or shape is None:
            return Rejected(self._file, tuple(sorted(problems, key=lambda problem: problem.line or 0)))
        lines = tuple(self._document.line((MAPPINGS, index)) for index in range(len(mappings)))
        state_line = self._document.lines.get(("Settings", "State"))
        return Configuration(make_settings(shape.Settings), tuple(mappings), self._file, lines, state_line)

    def _shape(self, values: dict[str, object]) -> FileShape | None:
        given = {name: value for name, value in values.items() if value is not None}
        given["Settings"] = _without_nulls(given.get("Settings", {}))
        try:
            return FileShape.model_validate(given)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._add(detail["loc"], explained(detail))
            return None

    def _mappings(self, values: object) -> list[EventSourceMapping]:
        if not isinstance(values, list):
            return []
        taken = {str(fields.get("Name")) for fields in values if isinstance(fields, dict)}
        mappings: list[EventSourceMapping] = []
        for index, fields in enumerate(values):
            if not isinstance(fields, dict):
                continue
            parsed = parse_mapping(fields, taken)
            if isinstance(parsed, Invalid):
                self._add_all(parsed.problems, (MAPPINGS, index))
            else:
                taken.add(parsed.name)
                mappings.append(parsed)
        if len(mappings) == len(values):  # only then do places in this list mean places in the file
            self._add_all(find_conflicts(mappings), (MAPPINGS,))
        return mappings

    def _add_all(self, problems: tuple[FieldProblem, ...], base: Path) -> None:
        for problem in problems:
            self._add((*base, *problem.path), problem.detail)

    def _add(self, path: Path, sentence: str) -> None:
        self._problems.append(Problem(sentence, self._document.line(path), None, path))


def _without_nulls(value: object) -> object:
    """`Region:` with nothing behind it, or with an empty variable, is the same as no Region."""
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(member) for name, member in value.items() if member is not None}
