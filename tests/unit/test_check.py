"""The engine of `poller check`: what a file, handlers and queues come to as findings."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from poller.check import Finding, Report, check_file, check_handlers, check_online, check_start, to_json
from poller.config import Configuration, parse
from poller.core.mapping import EventSourceMapping
from poller.core.model import JsonObject, QueueFacts, SourceProblem
from poller.errors import ConfigurationError, SourceError
from poller.ports import Failure

ARN = "arn:aws:sqs:eu-west-1:123456789012:{}"
REDRIVE = {"deadLetterTargetArn": ARN.format("dead"), "maxReceiveCount": 5}
NO_QUEUE = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    " SQS Error Message: The specified queue does not exist."
)
NO_PERMISSION = "The provided execution role does not have permissions to call ReceiveMessage on SQS"


class Queue:
    """A queue that only tells of itself."""

    def __init__(self, visibility: float = 30, redrive: dict[str, Any] | None = None) -> None:
        self._facts = QueueFacts(visibility, 0, 0, 0, redrive)

    async def describe(self) -> QueueFacts:
        return self._facts

    async def receive(
        self, maximum: int, wait: int, visibility_timeout: int | None, deadline: float
    ) -> tuple[list[JsonObject], int]:
        raise AssertionError("a check receives nothing")

    async def delete(self, receipts: Sequence[str]) -> Sequence[Failure]:
        raise AssertionError("a check deletes nothing")

    async def change_visibility(self, receipts: Sequence[str], seconds: Sequence[int]) -> Sequence[Failure]:
        raise AssertionError("a check changes nothing")


def configuration(*queues: str, fields: str = "") -> Configuration:
    text = "EventSourceMappings:\n"
    for queue in queues:
        text += (
            f"  - EventSourceArn: {ARN.format(queue)}\n    FunctionName: python:shop.{queue[:3]}:handler\n{fields}"
        )
    made = parse(text, "poller.yaml", {})
    assert isinstance(made, Configuration), made
    return made


async def findings_of(queue: Queue | Exception, name: str = "orders", fields: str = "") -> list[Finding]:
    async def open_queue(mapping: EventSourceMapping) -> Queue:
        assert mapping.arn.name == name
        if isinstance(queue, Exception):
            raise queue
        return queue

    return await check_online(configuration(name, fields=fields), open_queue)


async def only_finding(queue: Queue | Exception, name: str = "orders", fields: str = "") -> Finding:
    (finding,) = await findings_of(queue, name, fields)
    assert (finding.mapping, finding.file, finding.line) == (name, "poller.yaml", 2)
    assert finding.sentence.isprintable()
    return finding


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
        f"EventSourceMappings:\n- EventSourceArn: {ARN.format('q')}\n  FunctionName: f\n  Enabled: 3\n"
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


STREAM = """\
Settings: {State: "%s"}
EventSourceMappings:
- EventSourceArn: arn:aws:kinesis:eu-west-1:123456789012:stream/clicks
  FunctionName: python:a:b
  StartingPosition: AT_TIMESTAMP
  StartingPositionTimestamp: %s
"""


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


async def test_a_queue_in_good_order() -> None:
    """CFG-44, SQS-25: equal timeouts and five receives are fine."""
    assert await findings_of(Queue(30, REDRIVE)) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Queue orders is not there.", f"{NO_QUEUE[:-1]}. Queue orders is not there."),
        (f"{NO_QUEUE} Check the name.", f"{NO_QUEUE} Check the name."),
    ],
)
async def test_a_queue_that_does_not_exist(text: str, told: str) -> None:
    """CFG-40: AWS's sentence, once."""
    finding = await only_finding(SourceError(SourceProblem.MISSING, text))
    assert (finding.level, finding.sentence) == ("error", told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sqs denied it.", f"{NO_PERMISSION}. sqs denied it."),
        (f"{NO_PERMISSION}. Allow it.", f"{NO_PERMISSION}. Allow it."),
    ],
)
async def test_a_queue_that_may_not_be_read(text: str, told: str) -> None:
    """CFG-42: AWS's sentence, once."""
    finding = await only_finding(SourceError(SourceProblem.DENIED, text))
    assert (finding.level, finding.sentence) == ("error", told)


@pytest.mark.parametrize("problem", sorted(set(SourceProblem) - {SourceProblem.MISSING, SourceProblem.DENIED}))
async def test_a_queue_that_cannot_be_looked_at(problem: SourceProblem) -> None:
    finding = await only_finding(SourceError(problem, "nobody answers at h."))
    assert (finding.level, finding.sentence) == ("error", "nobody answers at h.")


async def test_an_endpoint_that_cannot_be_used() -> None:
    finding = await only_finding(ConfigurationError("this URL is none."))
    assert (finding.level, finding.sentence) == ("error", "this URL is none.")


async def test_a_visibility_timeout_that_is_too_short() -> None:
    """CFG-44: an error, also when there is other advice."""
    error, advice = await findings_of(Queue(20), fields="    Handler: {TimeoutInSeconds: 20.5}\n")
    assert (error.level, advice.level) == ("error", "warning")
    assert error.sentence == (
        "Queue visibility timeout: 20 seconds is less than Function timeout: 20.5 seconds;"
        " raise the queue's visibility timeout, lower Handler.TimeoutInSeconds, or set Poller.Heartbeat."
    )


async def test_a_queue_without_a_redrive_policy() -> None:
    """SQS-25: what fails comes back for days."""
    finding = await only_finding(Queue())
    assert finding.level == "warning"
    assert "queue orders has no redrive policy" in finding.sentence


@pytest.mark.parametrize("receives", [1, 4, "4"])
async def test_a_redrive_after_few_receives(receives: Any) -> None:
    """SQS-25: AWS advises five or more; some servers write the number as text."""
    finding = await only_finding(Queue(30, {**REDRIVE, "maxReceiveCount": receives}))
    assert (finding.level, "5 or more" in finding.sentence) == ("warning", True)


@pytest.mark.parametrize("receives", ["many", None, [], float("inf")])
async def test_a_redrive_policy_that_cannot_be_read(receives: Any) -> None:
    finding = await only_finding(Queue(30, {"maxReceiveCount": receives}))
    assert (finding.level, "no maxReceiveCount that can be read" in finding.sentence) == ("warning", True)


async def test_a_dead_letter_queue_breaks_the_order_of_a_group() -> None:
    """FIFO-11: by design, and worth knowing."""
    finding = await only_finding(Queue(30, REDRIVE), "orders.fifo")
    assert (finding.level, "order of the group" in finding.sentence) == ("warning", True)


async def test_findings_come_in_the_order_of_the_file_and_one_queue_does_not_hold_up_the_others() -> None:
    """The first queue answers only after the second one has."""
    second_answered = asyncio.Event()

    async def open_queue(mapping: EventSourceMapping) -> Queue:
        if mapping.name == "orders":
            await asyncio.wait_for(second_answered.wait(), 60)
        else:
            second_answered.set()
        return Queue()

    found = await check_online(configuration("orders", "clicks"), open_queue)
    assert [finding.mapping for finding in found] == ["orders", "clicks"]
