"""`poller import`: a template or an answer of AWS in a file -> the text of poller.yaml, and what to tell about it.

The formats are read in cloudformation.py, sam.py and aws.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from poller.config import place
from poller.config import sentence as said
from poller.core.mapping_shapes import unknown
from poller.errors import ConfigurationError
from poller.importer.aws import read_listing
from poller.importer.cloudformation import read_template
from poller.importer.mapping import Draft, Judge, Note
from poller.importer.resources import attribute
from poller.importer.template import Template
from poller.importer.write import written
from poller.yamltext import Document, Problem, read_yaml

_MAX_BYTES = 1_048_576  # what CloudFormation takes; a listing of more than 1,000 mappings


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to. `text` is poller.yaml, "" if there is no mapping to write; `lines` is what to tell,
    with file and line; `complete` says that nothing is missing.
    """

    text: str
    lines: tuple[str, ...]
    complete: bool


def import_template(path: Path, given: Mapping[str, str], *, sam: bool, local: bool) -> Imported:
    """From a template of CloudFormation or, with `sam`, of SAM; `given` are values of its parameters.

    Raises ConfigurationError for a file that is none.
    """
    document = _document(path)
    try:
        return _from_template(path, document, given, sam=sam, local=local)
    except RecursionError:
        raise ConfigurationError(f"{place(str(path), None)}: its values are nested too deeply") from None


def import_listing(path: Path) -> Imported:
    """From the output of `aws lambda list-event-source-mappings`; raises ConfigurationError if it is not that."""
    document = _document(path)
    try:
        drafts, notes = read_listing(document)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place(str(path), None)}: {error}") from None
    return _imported(path, drafts, notes)


def save(text: str, path: Path, *, force: bool) -> None:
    """Writes the file; an old one is replaced as a whole, and only with `force`. Raises ConfigurationError."""
    shown = place(str(path), None)
    try:
        if force:
            new = path.with_name(f"{path.name}.new")
            new.write_text(text, encoding="utf-8")
            new.replace(path)
        else:
            with path.open("x", encoding="utf-8") as opened:
                opened.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{shown}: this file exists; --force replaces it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(f"{shown}: it cannot be written: {reason or error}") from None


def _from_template(
    path: Path, document: Document, given: Mapping[str, str], *, sam: bool, local: bool
) -> Imported:
    values = document.value
    if not isinstance(values, dict) or not isinstance(values.get("Resources"), dict):
        raise ConfigurationError(f"{place(str(path), None)}: this is no template: it has no map of Resources")
    template = Template(values, given, attribute)
    for name in template.unknown_parameters():
        problem = unknown((name,), template.parameters, "parameter")
        raise ConfigurationError(f"{place(str(path), None)}: --parameter: {problem.message}")
    return _imported(path, *read_template(template, document, sam=sam, local=local))


def _imported(path: Path, drafts: list[Draft], notes: list[Note]) -> Imported:
    judge = Judge()
    judged = [done for done in map(judge.judge, drafts) if done is not None]
    told = sorted([*notes, *judge.notes], key=lambda note: note.line)
    lines = [f"{place(str(path), note.line)}: {note.where}: {_ended(note.sentence)}" for note in told]
    if not judged:
        lines.append(f"{place(str(path), None)}: there is no event source mapping in it that could be written.")
    untimed = [draft.name for draft in judged if "Handler" not in draft.fields]
    if untimed:
        shown = f"{', '.join(untimed[:5])}{' and others' if len(untimed) > 5 else ''}"
        lines.append(
            f"{place(str(path), None)}: how long the functions of {shown} may run is not told here:"
            " if more than 30 seconds, write Handler.TimeoutInSeconds."
        )
    complete = bool(judged) and all(note.complete for note in told)
    text = written(path.name, judged, judge.variables) if judged else ""
    return Imported(text, tuple(lines), complete)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


def _document(path: Path) -> Document:
    """The values of a file, with the lines of each; a tag such as `!Ref` is the function that it is short for."""
    shown = place(str(path), None)
    try:
        with path.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(f"{shown}: it cannot be read: {reason or error}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigurationError(f"{shown}: it is larger than {_MAX_BYTES} bytes; import it in parts")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{shown}: this is not UTF-8 text") from None
    document = read_yaml(text, None, _function)
    problems = [document] if isinstance(document, Problem) else document.problems
    if problems or isinstance(document, Problem):
        raise ConfigurationError("\n".join(f"{place(str(path), p.line, p.column)}: {said(p)}" for p in problems))
    return document


def _function(tag: str) -> str:
    return tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
