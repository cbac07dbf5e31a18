"""The demo accounts for every record, and says so when it cannot."""

import asyncio
import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from poller import demo
from poller.demo import run_demo
from poller.demo_work import (
    DemoCrashError,
    Ledger,
    Work,
    fifo_handler,
    fifo_work,
    standard_handler,
    standard_work,
)
from poller.errors import PollerError
from poller.testing import EmbeddedAws
from tests.unit.runtime.rig import DEADLINE, until


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")


def screen(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# --- the work ---


def test_the_standard_work_has_every_kind_of_trouble() -> None:
    works = list(standard_work(1600))
    assert [work.number for work in works] == list(range(1, 1601))
    assert {work.kind for work in works} == {"ok", "flaky", "crash", "poison"}
    assert all(work.group is None for work in works)
    assert json.loads(works[96].body) == {"number": 97, "kind": "poison", "group": None}


def test_poison_is_the_last_of_its_group_so_that_nobody_waits_behind_it() -> None:
    """FIFO-1."""
    works = list(fifo_work(800))
    poisoned = [work for work in works if work.kind == "poison"]
    assert poisoned
    for poison in poisoned:
        assert max(work.number for work in works if work.group == poison.group) == poison.number


@pytest.mark.parametrize("count", [0, 1, 3])
def test_little_work(count: int) -> None:
    assert len(list(standard_work(count))) == len(list(fifo_work(count))) == count


# --- the ledger ---


def test_a_ledger_in_which_everything_turned_up() -> None:
    ledger = Ledger("q", sent={1: None, 2: None})
    ledger.done(1, None)
    ledger.done(1, None)
    ledger.dead.add(2)
    assert ledger.again == 1
    assert ledger.lost == []
    assert ledger.accounted


def test_what_is_lost_is_named() -> None:
    ledger = Ledger("q", sent={1: None, 2: None, 3: None})
    ledger.done(2, None)
    assert ledger.lost == [1, 3]
    assert not ledger.accounted


def test_what_overtook_another_of_its_group_is_counted_once() -> None:
    """FIFO-1: first successes only; groups do not concern each other, and duplicates do not count (GEN-2)."""
    ledger = Ledger("q")
    ledger.done(2, "a")
    ledger.done(1, "b")
    ledger.done(4, "a")
    ledger.done(2, "a")
    assert ledger.accounted
    ledger.done(3, "a")
    ledger.done(5, "a")
    assert ledger.overtaken == 1
    assert not ledger.accounted


# --- the handlers ---


def event_of(*works: Work, receives: int = 1) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{work.number}",
                "body": work.body,
                "attributes": {"ApproximateReceiveCount": str(receives), "MessageGroupId": work.group},
            }
            for work in works
        ]
    }


def failures(answer: dict[str, Any]) -> list[str]:
    return [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]


async def test_the_standard_handler_fails_what_it_should() -> None:
    """PBR-1: flaky once, poison always, the rest never."""
    ledger = Ledger("q")
    handler = standard_handler(ledger)
    works = [Work(1, "ok"), Work(2, "flaky"), Work(3, "poison")]
    assert failures(await handler(event_of(*works), None)) == ["m2", "m3"]
    assert failures(await handler(event_of(*works[1:], receives=2), None)) == ["m3"]
    assert sorted(ledger.succeeded) == [1, 2]
    assert ledger.failures == 3


async def test_the_standard_handler_crashes_once() -> None:
    """INV-2: the whole batch failed, nothing of it counts as done."""
    ledger = Ledger("q")
    handler = standard_handler(ledger)
    with pytest.raises(DemoCrashError):
        await handler(event_of(Work(1, "ok"), Work(2, "crash")), None)
    assert (sorted(ledger.succeeded), ledger.failures) == ([], 2)
    assert failures(await handler(event_of(Work(1, "ok"), Work(2, "crash"), receives=2), None)) == []
    assert sorted(ledger.succeeded) == [1, 2]


def test_the_fifo_handler_stops_a_group_at_its_first_failure() -> None:
    """FIFO-7, SUR-6: what follows in the group is listed too; other groups go on."""
    ledger = Ledger("q")
    works = [Work(1, "ok", "a"), Work(2, "flaky", "a"), Work(3, "ok", "b"), Work(4, "ok", "a")]
    handler = fifo_handler(ledger)
    assert failures(handler(event_of(*works), None)) == ["m2", "m4"]
    assert sorted(ledger.succeeded) == [1, 3]
    assert failures(handler(event_of(works[1], works[3], receives=2), None)) == []
    assert ledger.accounted
    assert ledger.failures == 2


# --- the summary ---


@pytest.mark.parametrize("as_json", [True, False])
def test_the_exit_code_tells_whether_every_record_is_accounted_for(as_json: bool) -> None:
    good, bad = Ledger("good", sent={1: None}), Ledger("bad", sent={1: None})
    good.done(1, None)
    console = screen()
    assert demo._summary([good], as_json=as_json, console=console) == 0
    assert demo._summary([good, bad], as_json=as_json, console=console) == 1
    if as_json:
        first, second = text_of(console).replace("}\n{", "}\0{").split("\0")
        assert json.loads(first)["accounted"] is True
        told = json.loads(second)
        assert told["accounted"] is False
        assert [row["lost"] for row in told["mappings"]] == [0, 1]
    else:
        assert "every record accounted for" in text_of(console)
        assert "NOT accounted for" in text_of(console)


def test_the_summary_tells_of_order() -> None:
    """FIFO-1."""
    kept, broken = Ledger("kept"), Ledger("broken")
    kept.done(1, "a")
    broken.done(2, "a")
    broken.done(1, "a")
    console = screen()
    assert demo._summary([kept, broken], as_json=False, console=console) == 1
    assert "kept" in text_of(console)
    assert "1 overtaken" in text_of(console)


# --- the whole ---


@pytest.mark.parametrize("records", [1, 60])
async def test_the_demo_accounts_for_all_and_leaves_nothing(records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """GEN-5, SQS-25: on whatever speaks SQS at the URL; its queues are gone afterwards."""
    monkeypatch.setattr(demo, "VISIBILITY", 1)
    monkeypatch.setattr(demo, "MAX_RECEIVES", 2)
    async with EmbeddedAws() as aws:
        console = screen()
        async with asyncio.timeout(DEADLINE * 2):
            assert await run_demo(records, 0, aws.url, as_json=True, console=console) == 0
        assert aws.sqs.queues == {}
    told = json.loads(text_of(console))
    assert told["accounted"] is True
    assert sum(row["sent"] for row in told["mappings"]) == records
    assert (sum(row["dead_letters"] for row in told["mappings"]) > 0) is (records == 60)
    assert sum(row["succeeded"] + row["dead_letters"] for row in told["mappings"]) >= records
    assert all(row["lost"] == row["out_of_order"] == 0 for row in told["mappings"])
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("terminal", [True, False])
async def test_it_shows_what_happens(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table on a terminal, lines elsewhere; the summary on both."""
    monkeypatch.setattr(demo, "LINE_EVERY", 0.01)
    async with EmbeddedAws() as aws:
        console = screen(terminal=terminal)
        async with asyncio.timeout(DEADLINE):
            assert await run_demo(6, 0, aws.url, as_json=False, console=console) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text_of(console))
    assert f"6 records into two queues on {aws.url}" in text
    assert "every record accounted for" in text
    assert ("failed attempts\n" in text) is not terminal
    assert ("poller demo" in text) is terminal


async def test_what_is_not_done_in_time_is_told_in_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback: exit code 1."""
    monkeypatch.setattr(demo, "DRAIN_DEADLINE", 0.0)
    async with EmbeddedAws() as aws:
        aws.faults.hang("GetQueueUrl", times=None)
        console = screen()
        async with asyncio.timeout(DEADLINE):
            assert await run_demo(6, 0, aws.url, as_json=True, console=console) == 1
    assert json.loads(text_of(console))["accounted"] is False


@pytest.mark.parametrize(
    ("operation", "words"),
    [("CreateQueue", "the demo's queues cannot be created"), ("SendMessageBatch", "failed while the demo ran")],
)
async def test_an_aws_that_refuses_is_one_sentence(operation: str, words: str) -> None:
    async with EmbeddedAws() as aws:
        aws.faults.fail(operation, times=None, status=400, code="AccessDenied", message="planted")
        with pytest.raises(PollerError, match=words):
            await asyncio.wait_for(run_demo(6, 0, aws.url, as_json=True, console=screen()), DEADLINE)
        aws.faults.clear()
        assert aws.sqs.queues == {}


async def test_refused_entries_are_not_counted_as_sent() -> None:
    async with EmbeddedAws() as aws:
        aws.faults.fail_entries("SendMessageBatch", [0])
        console = screen()
        async with asyncio.timeout(DEADLINE):
            assert await run_demo(6, 0, aws.url, as_json=True, console=console) == 0
    assert sum(row["sent"] for row in json.loads(text_of(console))["mappings"]) == 5


async def test_cancelled_it_takes_its_queues_along() -> None:
    """Ctrl-C in the middle."""
    async with EmbeddedAws() as aws:
        running = asyncio.create_task(run_demo(1000, 3600, aws.url, as_json=True, console=screen()))
        await until(lambda: aws.service.calls["DeleteMessageBatch"], "the first records")
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE)
        assert running.cancelled()
        assert aws.sqs.queues == {}
