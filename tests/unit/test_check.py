"""The engine of `poller check`: what a file, handlers and sources come to as findings."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from poller.check import (
    Finding,
    Report,
    check_file,
    check_handlers,
    check_online,
    check_start,
    check_state,
    to_json,
)
from poller.check_sources import Remark
from poller.config import Configuration, parse, read
from poller.core.mapping import EventSourceMapping
from poller.core.model import QueueFacts
from poller.errors import ConfigurationError
from poller.ports import Destination, QueueSource, StreamSource
from poller.store.sqlite_file import look
from poller.testing import FakeQueue

ARN = "arn:aws:sqs:eu-west-1:123456789012:{}"


class Queues:
    """Sources that only tell of themselves; every one is a queue."""

    def __init__(self, facts: Callable[[str], Awaitable[QueueFacts]]) -> None:
        self._facts = facts

    async def queue(self, mapping: EventSourceMapping) -> tuple[QueueSource, QueueFacts]:
        return FakeQueue(mapping.arn.name), await self._facts(mapping.arn.name)

    def stream(self, mapping: EventSourceMapping) -> StreamSource:
        raise AssertionError("there is no stream")

    async def destination(self, mapping: EventSourceMapping) -> Destination | None:
        raise AssertionError("a queue has no destination")

    async def function(self, mapping: EventSourceMapping) -> list[Remark]:
        return []


def configuration(*queues: str, fields: str = "") -> Configuration:
    text = "EventSourceMappings:\n"
    for queue in queues:
        text += (
            f"  - EventSourceArn: {ARN.format(queue)}\n    FunctionName: python:shop.{queue[:3]}:handler\n{fields}"
        )
    made = parse(text, "poller.yaml", {})
    assert isinstance(made, Configuration), made
    return made


STREAM = "- EventSourceArn: arn:aws:kinesis:eu-west-1:123456789012:stream/s\n  StartingPosition: LATEST\n"
MAPPINGS = {"stream": STREAM, "queue": f"- EventSourceArn: {ARN.format('q')}\n"}


def checked(folder: Path, source: str, state: str) -> list[Finding]:
    file = folder / "poller.yaml"
    settings = f"Settings:\n{state}  ShutdownTimeoutInSeconds: 5\n"
    file.write_text(f"{settings}EventSourceMappings:\n{MAPPINGS[source]}  FunctionName: python:a:b\n")
    made = read(file, {})
    assert isinstance(made, Configuration), made
    return check_state(made, look)


@pytest.mark.parametrize("source", ["stream", "queue"])
def test_a_state_that_has_no_place_is_an_error_where_it_is_named(tmp_path: Path, source: str) -> None:
    """STR-31: told before the start, with file, line and field; nothing is made."""
    gone = tmp_path / "gone" / "state.db"
    (finding,) = checked(tmp_path, source, f"  State: sqlite:{gone}\n")
    assert finding.level == "error"
    assert finding.text == (
        f"{tmp_path}/poller.yaml:2: Settings.State: The state file {gone} has no place:"
        f" there is no directory {gone.parent}; make it."
    )
    gone.parent.mkdir()
    assert checked(tmp_path, source, f"  State: sqlite:{gone}\n") == []
    assert list(gone.parent.iterdir()) == []


def test_the_usual_place_is_looked_at_only_for_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STR-31: queues have no positions, and may run where nothing can be written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poller.db").mkdir()
    assert checked(tmp_path, "queue", "") == []
    (finding,) = checked(tmp_path, "stream", "")
    assert finding.text == (
        f"{tmp_path}/poller.yaml: Settings.State: The state file poller.db is a directory: name a file in it."
    )
    assert checked(tmp_path, "stream", "  State: 'memory:'\n") == []


def test_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "poller.yaml"
    file.write_text(f"EventSourceMappings:\n- EventSourceArn: {ARN.format('q')}\n  FunctionName: ${{F}}\n")
    report = check_file(file, {"F": "python:a:b"})
    assert (report.findings, report.exit_code) == ((), 0)
    assert report.configuration is not None
    assert to_json(report) == {
        "file": str(file),
        "ok": True,
        "errors": 0,
        "warnings": 0,
        "mappings": ["q"],
        "findings": [],
    }


def test_a_bad_file(tmp_path: Path) -> None:
    """The lines are those that `poller run` would end with."""
    file = tmp_path / "poller.yaml"
    file.write_text(f"EventSourceMappings:\n- EventSourceArn: {ARN.format('q')}\n  FunctionName: f\n  Batch: [\n")
    report = check_file(file, {})
    assert (report.exit_code, report.configuration) == (2, None)
    assert report.findings[0].text.startswith(f"{file}:5:1: this is not YAML: ")
    file.write_text(
        f"EventSourceMappings:\n- EventSourceArn: {ARN.format('q')}\n  FunctionName: f()\n  Enabled: 3\n"
    )
    report = check_file(file, {})
    target, enabled = report.findings
    assert (target.level, target.line, target.column) == ("error", 3, None)
    assert enabled.text == (
        f"{file}:4: EventSourceMappings[0].Enabled: 3 is not true or false; allowed: true or false."
    )
    told = to_json(report)
    assert (told["ok"], told["errors"], told["warnings"], told["mappings"]) == (False, 2, 0, [])
    assert told["findings"][1] == {
        "level": "error",
        "mapping": None,
        "file": str(file),
        "line": 4,
        "column": None,
        "sentence": enabled.sentence,
    }


def test_a_filter_that_nothing_passes_is_told(tmp_path: Path) -> None:
    """SUR-8: a warning, before the queue is emptied without a word."""
    file = tmp_path / "poller.yaml"
    file.write_text(
        f"EventSourceMappings:\n- EventSourceArn: {ARN.format('q')}\n  FunctionName: python:a:b\n"
        "  FilterCriteria: {Filters: [{Pattern: {data: [a]}}, {Pattern: {body: [a]}}]}\n"
    )
    (warning,) = check_file(file, {}).findings
    assert (warning.level, warning.mapping, warning.line) == ("warning", "q", 2)
    assert "Filters[0] matches no record: data is in none" in warning.sentence


STREAM = """\
Settings: {State: "%s"}
EventSourceMappings:
- EventSourceArn: arn:aws:kinesis:eu-west-1:123456789012:stream/clicks
  FunctionName: python:a:b
  StartingPosition: AT_TIMESTAMP
  StartingPositionTimestamp: %s
"""


def test_keys_that_are_not_set_are_an_error(tmp_path: Path) -> None:
    """Of the control listener: told before the daemon is started, which would not start."""
    file = tmp_path / "poller.yaml"
    mapping = f"EventSourceMappings: [{{EventSourceArn: '{ARN.format('a')}', FunctionName: 'python:os:getcwd'}}]\n"
    file.write_text("Settings: {ControlApi: {TokenVariable: POLLER_TOKEN}}\n" + mapping)
    report = check_file(file, {})
    (finding,) = report.findings
    assert report.exit_code == 2
    assert finding.text == (
        f"{file}: Settings.ControlApi.TokenVariable: the environment variable POLLER_TOKEN is not set; set it, or"
        " take TokenVariable out of the file."
    )
    assert check_file(file, {"POLLER_TOKEN": "0123456789abcdef"}).findings == ()


def test_positions_in_memory_are_told(tmp_path: Path) -> None:
    """STR-31: a warning, because it may be meant."""
    file = tmp_path / "poller.yaml"
    file.write_text(STREAM % ("memory:", "2020-01-01T00:00:00Z"))
    report = check_file(file, {})
    (warning,) = report.findings
    assert (warning.level, warning.mapping, warning.line, report.exit_code) == ("warning", "clicks", 3, 0)
    assert "kept in memory and lost when this process ends" in warning.sentence
    file.write_text(STREAM % ("sqlite:poller.db", "2020-01-01T00:00:00Z"))
    assert check_file(file, {}).findings == ()


def test_a_start_in_the_future_is_an_error(tmp_path: Path) -> None:
    """CFG-8: seen by the clock of this machine."""
    file = tmp_path / "poller.yaml"
    file.write_text(STREAM % ("sqlite:poller.db", "9999-01-01T00:00:00Z"))
    report = check_file(file, {})
    (error,) = report.findings
    assert (error.level, error.mapping, error.line, report.exit_code) == ("error", "clicks", 3, 2)
    assert "StartingPositionTimestamp 9999-01-01T00:00:00Z is in the future, it is 2" in error.sentence
    assert report.configuration is not None
    (later,) = check_start(report.configuration, 253_370_764_799.0)
    assert later.level == "error"
    assert check_start(report.configuration, 253_370_764_800.0) == []


def test_warnings_alone_are_no_failure() -> None:
    warning = Finding("warning", "so so.", "poller.yaml", 2, mapping="orders")
    assert warning.text == "poller.yaml:2: warning: mapping orders: so so."
    report = Report("poller.yaml", (), configuration("orders")).with_findings([warning])
    assert (report.exit_code, to_json(report)["ok"], to_json(report)["warnings"]) == (0, True, 1)
    report = report.with_findings([Finding("error", "no.", "poller.yaml")])
    assert (report.exit_code, to_json(report)["ok"], len(report.findings)) == (2, False, 2)


def test_handlers_that_cannot_be_had() -> None:
    """CFG-38: told before anything is polled, one finding for each line."""
    asked = []

    def import_handler(mapping: EventSourceMapping) -> None:
        asked.append(mapping.name)
        if mapping.name == "clicks":
            raise ConfigurationError("there is no module 'shop'.\nand no other either.")

    first, second = check_handlers(configuration("orders", "clicks"), import_handler)
    assert asked == ["orders", "clicks"]
    assert first.text == "poller.yaml:4: mapping clicks: there is no module 'shop'."
    assert (second.level, second.sentence) == ("error", "and no other either.")


async def test_findings_come_in_the_order_of_the_file_and_one_source_does_not_hold_up_the_others() -> None:
    """SQS-25: the first queue answers only after the second one has."""
    second_answered = asyncio.Event()

    async def facts(queue: str) -> QueueFacts:
        if queue == "orders":
            await asyncio.wait_for(second_answered.wait(), 60)
        else:
            second_answered.set()
        return QueueFacts(30, 0, 0, 0)

    found = await check_online(configuration("orders", "clicks"), Queues(facts))
    assert [(finding.mapping, finding.line) for finding in found] == [("orders", 2), ("clicks", 4)]
    assert found[0].text.startswith("poller.yaml:2: warning: mapping orders: queue orders has no redrive policy")


async def test_a_crash_of_one_look_ends_the_check() -> None:
    """What nobody expected is a traceback of ours, not a silence."""

    async def facts(queue: str) -> QueueFacts:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await check_online(configuration("orders"), Queues(facts))


def test_information_is_neither_error_nor_warning() -> None:
    told = Finding("info", "3 shards.", "poller.yaml", 2, mapping="orders")
    assert told.text == "poller.yaml:2: info: mapping orders: 3 shards."
    report = Report("poller.yaml", (), configuration("orders")).with_findings([told])
    shown = to_json(report)
    assert (report.exit_code, shown["ok"], shown["errors"], shown["warnings"]) == (0, True, 0, 0)
    assert shown["findings"][0]["level"] == "info"
