"""The engine of `poller check`: a file, its handlers and its sources looked at, everything told as findings.

It prints nothing and starts nothing; the command line shows what it finds. What is asked of the sources is in
check_sources.py.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from poller.check_sources import Level, Sources, look
from poller.clock import SystemClock
from poller.config import Configuration, Rejected, place, read, sentence
from poller.core.filter_advice import hopeless_patterns
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_advice import future_start, lost_positions
from poller.core.model import JsonObject
from poller.errors import ConfigurationError, StoreError
from poller.http.keys import read_keys
from poller.yamltext import Problem

_AT_ONCE = 10  # sources looked at side by side

ImportHandler: TypeAlias = Callable[[EventSourceMapping], None]
LookAt: TypeAlias = Callable[[str], None]
"""Raises StoreError for a place that no state file can have."""


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
        level = None if self.level == "error" else self.level
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
    findings = [*_check_keys(result, environment), *check_start(result, SystemClock().now().wall)]
    return Report(result.file, tuple(findings), result)


def _check_keys(configuration: Configuration, environment: Mapping[str, str]) -> list[Finding]:
    try:
        read_keys(configuration.settings, environment)
    except ConfigurationError as error:
        return [Finding("error", str(error), configuration.file)]
    return []


def check_start(configuration: Configuration, now: float) -> list[Finding]:
    """What is wrong with a start at `now` (epoch seconds): a start in the future (CFG-8), positions that do not
    last (STR-31), filters that nothing can pass (SUR-8).
    """
    findings: list[Finding] = []
    for index, mapping in enumerate(configuration.mappings):
        error = future_start(mapping, now)
        if error is not None:
            findings.append(_finding(configuration, index, "error", error))
        warning = lost_positions(mapping, lasting=configuration.settings.state.lasting)
        if warning is not None:
            findings.append(_finding(configuration, index, "warning", warning))
        findings += [_finding(configuration, index, "warning", text) for text in hopeless_patterns(mapping)]
    return findings


def check_state(configuration: Configuration, look_at: LookAt) -> list[Finding]:
    """STR-31: can the state file be opened or made here? Queues alone need none, so the usual place, which nobody
    has named, is not looked at for them.
    """
    state, line = configuration.settings.state, configuration.state_line
    needed = line is not None or any(mapping.stream is not None for mapping in configuration.mappings)
    if not state.lasting or not needed:
        return []
    try:
        look_at(state.path)
    except StoreError as error:
        return [Finding("error", f"Settings.State: {error}", configuration.file, line)]
    return []


def check_handlers(configuration: Configuration, import_handler: ImportHandler) -> list[Finding]:
    """CFG-38: `import_handler` gets each mapping and raises ConfigurationError when its target cannot be had."""
    findings: list[Finding] = []
    for index, mapping in enumerate(configuration.mappings):
        try:
            import_handler(mapping)
        except ConfigurationError as error:
            findings += _errors(configuration, index, error)
    return findings


async def check_online(configuration: Configuration, sources: Sources) -> list[Finding]:
    """What sources and destinations say, in the file's order."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def look_at(index: int, mapping: EventSourceMapping) -> list[Finding]:
        async with places:
            remarks = await look(mapping, sources)
        return [_finding(configuration, index, level, text) for level, text in remarks]

    async with asyncio.TaskGroup() as group:
        looks = [
            group.create_task(look_at(index, mapping)) for index, mapping in enumerate(configuration.mappings)
        ]
    return [finding for task in looks for finding in task.result()]


def to_json(report: Report) -> JsonObject:
    """The shape of `poller check --json`."""
    counts = Counter(finding.level for finding in report.findings)
    return {
        "file": report.file,
        "ok": counts["error"] == 0,
        "errors": counts["error"],
        "warnings": counts["warning"],
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


def _errors(configuration: Configuration, index: int, error: ConfigurationError) -> list[Finding]:
    return [_finding(configuration, index, "error", line) for line in str(error).splitlines()]


def _finding(configuration: Configuration, index: int, level: Level, text: str) -> Finding:
    line = configuration.lines[index] if configuration.lines else None
    return Finding(level, text, configuration.file, line, mapping=configuration.mappings[index].name)


def _of_problem(file: str, problem: Problem) -> Finding:
    return Finding("error", sentence(problem), file, problem.line, problem.column)
