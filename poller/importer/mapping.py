"""A mapping on its way into poller.yaml, and what has to be told about it: judged by the rules of a mapping.

What the rules refuse is left out and told. A mapping is left out as a whole where it would do something else
without the field: lose its filter, its failure destination or its place in the stream.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from poller.core.mapping import Invalid, parse_mapping
from poller.core.mapping_shapes import FieldProblem, Path, dotted, quote
from poller.core.mapping_targets import LambdaTarget, parse_target
from poller.core.model import SourceKind
from poller.importer.fields import sampled, shaped, typed
from poller.importer.values import Blank, Text, Value, with_texts

_VITAL: tuple[Path, ...] = (
    ("EventSourceArn",), ("FunctionName",), ("StartingPosition",), ("FilterCriteria",), ("FunctionResponseTypes",),
    ("DestinationConfig", "OnFailure"), ("Name",),
)  # fmt: skip
_OURS = {"Name", "Handler", "Poller"}
_CONSUMER = "/consumer/"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell. `where` is a mapping, a field or a resource; `complete`: nothing is missing for it."""

    line: int
    where: str
    sentence: str
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A mapping as it was found: AWS's fields with their values, `lines` where each stands, and sentences that
    shall stand above it. `function` is the template's name of the function, where it is in the template, `timeout`
    its seconds, and `target` what shall be called in its place, "" for the function itself.
    """

    name: str
    line: int
    fields: dict[str, Value]
    lines: Mapping[str, int] = field(default_factory=dict)
    comments: tuple[str, ...] = ()
    kind: SourceKind | None = None
    function: str | None = None
    timeout: Value = None
    target: str = ""

    def note(self, path: Path, sentence: str, *, complete: bool = False) -> Note:
        """A note about one of its fields."""
        line = self.lines.get(str(path[0]), self.line) if path else self.line
        return Note(line, dotted((self.name, *path)), sentence, complete)


class Judge:
    """Takes drafts one after the other. `variables` are the environment variables that stand for blanks, each with
    the reason; `notes` is everything there is to tell, in the order in which it was found.
    """

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.notes: list[Note] = []
        self._names: set[str] = set()
        self._targets: list[tuple[Value, Value]] = []

    def judge(self, draft: Draft) -> Draft | None:
        """The draft as it can be written, every blank with its variable; None where it is left out."""
        draft = replace(draft, name=self._free_name(draft.name), fields=dict(draft.fields))
        for name in sorted(_OURS & draft.fields.keys()):
            self.notes.append(draft.note((name,), f"not taken: {name} is not a field of an event source mapping"))
            del draft.fields[name]
        if draft.target:
            draft.fields["FunctionName"] = draft.target
        if draft.timeout is not None:
            draft.fields["Handler"] = {"TimeoutInSeconds": draft.timeout}
        for name, value in draft.fields.items():
            draft.fields[name] = typed(name, shaped(name, value))
        self._without_consumer(draft)
        for name in ("ProvisionedPollerConfig", "MetricsConfig", "Tags"):
            value = draft.fields.get(name)
            if isinstance(value, Text):  # a variable cannot hold a map
                self.notes.append(draft.note((name,), f"not taken: {value.blanks[0].why}"))
                del draft.fields[name]
        if not self._lawful(draft):
            return None
        pair = (draft.fields["EventSourceArn"], draft.fields["FunctionName"])
        if pair in self._targets:
            self.notes.append(draft.note((), "not written: another mapping has this source and this function"))
            return None
        self._targets.append(pair)
        for name, value in draft.fields.items():
            draft.fields[name] = self._named(draft, name, value)
        return draft

    def _free_name(self, wanted: str) -> str:
        clean = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted)[:120].strip("-") or "mapping"
        number, name = 1, clean
        while name in self._names:
            number += 1
            name = f"{clean}-{number}"
        self._names.add(name)
        return name

    def _without_consumer(self, draft: Draft) -> None:
        """KIN-5: a consumer's ARN is that of its stream with something behind it."""
        arn = draft.fields.get("EventSourceArn")
        if isinstance(arn, str) and ":kinesis:" in arn and _CONSUMER in arn:
            draft.fields["EventSourceArn"] = arn.partition(_CONSUMER)[0]
        elif isinstance(arn, Text) and any(_CONSUMER in part for part in arn.parts if isinstance(part, str)):
            place = next(i for i, part in enumerate(arn.parts) if isinstance(part, str) and _CONSUMER in part)
            last = str(arn.parts[place]).partition(_CONSUMER)[0]
            kept = (*arn.parts[:place], last) if last else arn.parts[:place]
            draft.fields["EventSourceArn"] = Text(kept)
        else:
            return
        sentence = "enhanced fan-out is not part of this version: the consumer's stream is written"
        self.notes.append(draft.note(("EventSourceArn",), sentence))

    def _lawful(self, draft: Draft) -> bool:
        """Takes out what the rules of a mapping refuse; False where that cannot be done."""
        while True:
            fields, blanks = sampled(draft.fields, draft.kind)
            parsed = parse_mapping({"Name": draft.name, **fields})
            found = parsed.problems if isinstance(parsed, Invalid) else ()
            problems = [problem for problem in found if not any(_within(problem.path, path) for path in blanks)]
            if not problems:
                return self._calls_lambda(draft, fields["FunctionName"])
            vital = [problem for problem in problems if _vital(problem)]
            if vital:
                problem = vital[0]
                self.notes.append(draft.note(problem.path, f"the mapping is not written: {problem.detail}"))
                return False
            for problem in problems:
                if not _take_out(draft.fields, problem.path):
                    self.notes.append(draft.note(problem.path, f"the mapping is not written: {problem.detail}"))
                    return False
                self.notes.append(draft.note(problem.path, f"not taken: {problem.message}"))

    def _calls_lambda(self, draft: Draft, target: object) -> bool:
        """A template must not make this machine run commands: what it calls a function is one of Lambda."""
        if draft.target or isinstance(parse_target(target), LambdaTarget):
            return True
        sentence = f"the mapping is not written: {quote(target)} is not the name of a Lambda function"
        self.notes.append(draft.note(("FunctionName",), sentence))
        return False

    def _named(self, draft: Draft, name: str, value: Value) -> Value:
        """The value, each blank with a variable of its own."""

        def change(text: Text) -> Text:
            return Text(tuple(naming(part) if isinstance(part, Blank) else part for part in text.parts))

        def naming(part: Blank) -> Blank:
            if part.variable:
                variable = self._variable(part.variable, part.why)
            else:  # the same reason may stand for different values
                variable = self._variable(f"{draft.name}_{name}", "")
            if variable not in self.variables:
                self.variables[variable] = part.why
                sentence = f"set the environment variable {variable}: {part.why}"
                if part.default:
                    sentence = f"{part.default}, unless the environment variable {variable} is set: {part.why}"
                self.notes.append(draft.note((name,), sentence, complete=bool(part.default)))
            return replace(part, variable=variable)

        return with_texts(value, change)

    def _variable(self, wanted: str, why: str) -> str:
        """Never one that the system, a shell or AWS's tools give a meaning of their own, but for the region."""
        if wanted not in {"AWS_REGION", "AWS_ACCOUNT_ID", "AWS_PARTITION"}:
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", wanted[:100])
            wanted = re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
            if "_" not in wanted or wanted.startswith("AWS_") or wanted[0].isdigit():
                wanted = f"TEMPLATE_{wanted or 'VALUE'}"
        number, name = 1, wanted
        while self.variables.get(name, why) != why:
            number += 1
            name = f"{wanted}_{number}"
        return name


def _within(path: Path, around: Path) -> bool:
    return path[: len(around)] == around


def _vital(problem: FieldProblem) -> bool:
    inside_functions = str(problem.path[0]).startswith("Fn::")  # properties from elsewhere: nobody knows which
    return inside_functions or any(_within(problem.path, path) for path in _VITAL)


def _take_out(fields: dict[str, Value], path: Path) -> bool:
    """Takes out the innermost named part of a path; False if it is not there."""
    within: Value = fields
    around: dict[str, Value] | None = None
    last = ""
    for part in path:
        if not isinstance(within, dict) or part not in within:
            break
        around, last = within, str(part)
        within = within[last]
    if around is None:
        return False
    del around[last]
    if fields.get(str(path[0])) == {}:
        del fields[str(path[0])]
    return True
