"""The engine of `poller check`: a file, its handlers and its sources looked at, everything told as findings.

It prints nothing and starts nothing; the command line shows what it finds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from poller.clock import SystemClock
from poller.config import Configuration, Rejected, place, read, sentence
from poller.core.mapping import EventSourceMapping, visibility_conflict
from poller.core.mapping_advice import future_start, lost_positions
from poller.core.model import JsonObject, QueueFacts, SourceProblem
from poller.errors import ConfigurationError, SourceError
from poller.ports import QueueSource
from poller.yamltext import Problem

_AT_ONCE = 10  # sources looked at side by side
_ADVISED_RECEIVES = 5
_NO_QUEUE = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    " SQS Error Message: The specified queue does not exist."
)
_NO_PERMISSION = "The provided execution role does not have permissions to call ReceiveMessage on SQS"

Level: TypeAlias = Literal["error", "warning"]
OpenQueue: TypeAlias = Callable[[EventSourceMapping], Awaitable[QueueSource]]
ImportHandler: TypeAlias = Callable[[EventSourceMapping], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell. `sentence` is whole but for its place, which `text` puts before it."""

    level: Level
    sentence: str
    file: str
    line: int | None = None
    column: int | None = None
    mapping: str | None = None

    @property
    def text(self) -> str:
        """The line for people; an error of the file reads as it does when `poller run` ends with it."""
        whose = None if self.mapping is None else f"mapping {self.mapping}"
        level = "warning" if self.level == "warning" else None
        where = place(self.file, self.line, self.column)
        return ": ".join(part for part in (where, level, whose, self.sentence) if part)


@dataclass(frozen=True, slots=True)
class Report:
    """What a check came to; `configuration` is there when the file is one."""

    file: str
    findings: tuple[Finding, ...]
    configuration: Configuration | None = None

    @property
    def exit_code(self) -> int:
        """2 when there is an error; warnings alone leave it at 0."""
        return 2 if any(finding.level == "error" for finding in self.findings) else 0

    def with_findings(self, more: Sequence[Finding]) -> "Report":
        """The same report with what another look brought."""
        return Report(self.file, (*self.findings, *more), self.configuration)


def check_file(path: str | Path, environment: Mapping[str, str]) -> Report:
    """Everything that the file alone tells, as of now."""
    result = read(path, environment)
    if isinstance(result, Rejected):
        return Report(result.file, tuple(_of_problem(result.file, problem) for problem in result.problems))
    return Report(result.file, tuple(check_start(result, SystemClock().now().wall)), result)


def check_start(configuration: Configuration, now: float) -> list[Finding]:
    """What is wrong with a start at `now` (epoch seconds): CFG-8, and positions that do not last (STR-31)."""
    findings: list[Finding] = []
    for index, mapping in enumerate(configuration.mappings):
        error = future_start(mapping, now)
        if error is not None:
            findings.append(_finding(configuration, index, "error", error))
        warning = lost_positions(mapping, lasting=configuration.settings.state.lasting)
        if warning is not None:
            findings.append(_finding(configuration, index, "warning", warning))
    return findings


def check_handlers(configuration: Configuration, import_handler: ImportHandler) -> list[Finding]:
    """CFG-38: `import_handler` gets each mapping and raises ConfigurationError when its target cannot be had."""
    findings: list[Finding] = []
    for index, mapping in enumerate(configuration.mappings):
        try:
            import_handler(mapping)
        except ConfigurationError as error:
            findings += _errors(configuration, index, error)
    return findings


async def check_online(configuration: Configuration, open_queue: OpenQueue) -> list[Finding]:
    """What the sources say: CFG-40, CFG-42, CFG-44, and advice on their redrive policies; in the file's order.

    `open_queue` raises SourceError or ConfigurationError for a queue that cannot be used.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def look(index: int, mapping: EventSourceMapping) -> list[Finding]:
        async with places:
            try:
                facts = await (await open_queue(mapping)).describe()
            except SourceError as error:
                return [_finding(configuration, index, "error", _refusal(error))]
            except ConfigurationError as error:
                return _errors(configuration, index, error)
        found = [_finding(configuration, index, "warning", text) for text in _advice(mapping, facts)]
        conflict = _conflict(mapping, facts)
        return found if conflict is None else [_finding(configuration, index, "error", conflict), *found]

    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(look(index, mapping)) for index, mapping in enumerate(configuration.mappings)]
    return [finding for task in looks for finding in task.result()]


def to_json(report: Report) -> JsonObject:
    """The shape of `poller check --json`."""
    errors = sum(finding.level == "error" for finding in report.findings)
    return {
        "file": report.file,
        "ok": errors == 0,
        "errors": errors,
        "warnings": len(report.findings) - errors,
        "mappings": [mapping.name for mapping in report.configuration.mappings] if report.configuration else [],
        "findings": [
            {
                "level": finding.level,
                "mapping": finding.mapping,
                "file": finding.file,
                "line": finding.line,
                "column": finding.column,
                "sentence": finding.sentence,
            }
            for finding in report.findings
        ],
    }


def _conflict(mapping: EventSourceMapping, facts: QueueFacts) -> str | None:
    text = visibility_conflict(facts.visibility_timeout, mapping)
    advice = "raise the queue's visibility timeout, lower Handler.TimeoutInSeconds, or set Poller.Heartbeat"
    return None if text is None else f"{text}; {advice}."


def _advice(mapping: EventSourceMapping, facts: QueueFacts) -> Iterator[str]:
    """What will surprise the owner of this queue one day (SQS-25, FIFO-11)."""
    queue = mapping.arn.name
    if facts.redrive is None:
        yield (
            f"queue {queue} has no redrive policy: a message that always fails comes back until its retention"
            " ends; give the queue a dead-letter queue."
        )
        return
    receives = _max_receives(facts.redrive)
    if receives is None:
        yield f"the redrive policy of queue {queue} has no maxReceiveCount that can be read."
    elif receives < _ADVISED_RECEIVES:
        yield (
            f"queue {queue} moves messages to its dead-letter queue after {receives} receives; AWS advises"
            f" {_ADVISED_RECEIVES} or more, because throttled and interrupted batches count too."
        )
    if mapping.arn.fifo:
        yield (
            f"queue {queue} is FIFO and has a dead-letter queue: later messages of a group go on without those"
            " that were moved there, so the order of the group is broken at that point."
        )


def _max_receives(redrive: Mapping[str, Any]) -> int | None:
    """Some servers write it as text."""
    try:
        return int(redrive["maxReceiveCount"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _refusal(error: SourceError) -> str:
    """AWS's sentence first where it has one; the adapter may have put it there already."""
    text = str(error)
    match error.problem:
        case SourceProblem.MISSING:
            known = _NO_QUEUE
        case SourceProblem.DENIED:
            known = _NO_PERMISSION
        case _:
            return text
    return text if known in text else f"{known.removesuffix('.')}. {text}"


def _errors(configuration: Configuration, index: int, error: ConfigurationError) -> list[Finding]:
    return [_finding(configuration, index, "error", line) for line in str(error).splitlines()]


def _finding(configuration: Configuration, index: int, level: Level, text: str) -> Finding:
    line = configuration.lines[index] if configuration.lines else None
    return Finding(level, text, configuration.file, line, mapping=configuration.mappings[index].name)


def _of_problem(file: str, problem: Problem) -> Finding:
    return Finding("error", sentence(problem), file, problem.line, problem.column)
