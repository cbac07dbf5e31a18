"""The demo accounts for every record of every source, and says so when it cannot."""

import asyncio
import base64
import contextlib
import io
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from poller import demo, demo_queues, demo_show, demo_streams
from poller.aws.clients import AwsClients
from poller.cli import commands
from poller.core.mapping_arns import parse_destination_arn, parse_source_arn
from poller.core.model import JsonObject, SourceKind
from poller.demo import run_demo, shares
from poller.demo_kinesis import KinesisStream, read_click
from poller.demo_queues import DemoCrashError, FifoQueue, Queue, fifo_handler, standard_handler
from poller.demo_show import summary
from poller.demo_source import Source
from poller.demo_streams import Stream, stream_handler
from poller.demo_table import TableStream, read_change
from poller.demo_work import Ledger, Work, fifo_work, standard_work, stream_work
from poller.errors import PollerError, SourceError
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
    monkeypatch.setattr(demo, "STOP_DEADLINE", 2.0)  # and with it how long the last long poll waits


def screen(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# --- the work ---


def test_the_standard_work_has_every_kind_of_trouble() -> None:
    works = list(standard_work(1600))
    assert [work.number for work in works] == list(range(1, 1601))
    assert {work.kind for work in works} == {"ok", "flaky", "crash", "poison"}
    assert all(work.key is None for work in works)
    assert works[96] == Work(97, "poison")


def test_poison_is_the_last_of_its_group_so_that_nobody_waits_behind_it() -> None:
    """FIFO-1."""
    works = list(fifo_work(800, 20))
    poisoned = [work for work in works if work.kind == "poison"]
    assert poisoned
    for poison in poisoned:
        assert max(work.number for work in works if work.key == poison.key) == poison.number


@pytest.mark.parametrize(("count", "keys"), [(600, 50), (360, 40), (100_000, 50)])
def test_the_work_of_streams_has_few_poison_records_of_different_keys(count: int, keys: int) -> None:
    """ERR-6: each of them holds its lane up for seconds."""
    works = list(stream_work(count, keys, "user"))
    assert [work.number for work in works] == list(range(1, count + 1))
    assert {work.kind for work in works} == {"ok", "flaky", "crash", "poison"}
    poisoned = [work.key for work in works if work.kind == "poison"]
    assert 5 <= len(poisoned) == len(set(poisoned)) <= 6


@pytest.mark.parametrize("stream", [KinesisStream, TableStream])
def test_no_key_is_twice_in_a_call(stream: type[Stream]) -> None:
    """PutRecords keeps no order within itself, and BatchWriteItem refuses two changes of an item."""
    works = list(stream_work(500, stream.different, stream.key))
    for start in range(0, 500, stream.chunk):
        keys = [work.key for work in works[start : start + stream.chunk]]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_little_work(count: int) -> None:
    for works in (standard_work(count), fifo_work(count, 20), stream_work(count, 50, "user")):
        assert [work.number for work in works] == list(range(1, count + 1))


def test_all_records_are_shared_out() -> None:
    assert shares(3600, [40, 20, 25, 15]) == [1440, 720, 900, 540]
    assert shares(7, [40, 20, 25, 15]) == [4, 1, 1, 1]
    assert shares(1, [25, 15]) == [1, 0]


# --- the ledger ---


def test_a_ledger_in_which_everything_turned_up() -> None:
    ledger = Ledger("q", sent={1: None, 2: None})
    ledger.done(1, None)
    ledger.done(1, None)
    ledger.given_up.add(2)
    assert ledger.again == 1
    assert ledger.lost == []
    assert ledger.accounted


def test_what_is_lost_is_named() -> None:
    ledger = Ledger("q", sent={1: None, 2: None, 3: None})
    ledger.done(2, None)
    assert ledger.lost == [1, 3]
    assert not ledger.accounted


def test_what_overtook_another_of_its_key_is_counted_once() -> None:
    """FIFO-1, STR-40: first successes only; keys do not concern each other, duplicates do not count (GEN-2)."""
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


def queue_event(*works: Work) -> JsonObject:
    return {
        "Records": [
            {
                "messageId": f"m{work.number}",
                "body": json.dumps({"number": work.number, "kind": work.kind}),
                "attributes": {"MessageGroupId": work.key},
            }
            for work in works
        ]
    }


def click_event(*works: Work) -> JsonObject:
    bodies = [json.dumps({"number": work.number, "kind": work.kind}).encode() for work in works]
    return {
        "Records": [
            {
                "kinesis": {
                    "partitionKey": work.key,
                    "sequenceNumber": f"49{work.number}",
                    "data": base64.b64encode(body).decode(),
                }
            }
            for work, body in zip(works, bodies, strict=True)
        ]
    }


def change_event(*works: Work) -> JsonObject:
    return {
        "Records": [
            {
                "dynamodb": {
                    "SequenceNumber": f"49{work.number}",
                    "NewImage": {
                        "id": {"S": work.key},
                        "number": {"N": str(work.number)},
                        "kind": {"S": work.kind},
                    },
                }
            }
            for work in works
        ]
    }


def failures(answer: JsonObject) -> list[str]:
    return [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]


async def test_the_standard_handler_fails_what_it_should() -> None:
    """PBR-1: flaky once, poison always, the rest never."""
    ledger = Ledger("q")
    handler = standard_handler(ledger)
    works = [Work(1, "ok"), Work(2, "flaky"), Work(3, "poison")]
    assert failures(await handler(queue_event(*works), None)) == ["m2", "m3"]
    assert failures(await handler(queue_event(*works[1:]), None)) == ["m3"]
    assert sorted(ledger.succeeded) == [1, 2]
    assert ledger.failures == 3


async def test_the_standard_handler_crashes_once() -> None:
    """INV-2: the whole batch failed, nothing of it counts as done."""
    ledger = Ledger("q")
    handler = standard_handler(ledger)
    with pytest.raises(DemoCrashError):
        await handler(queue_event(Work(1, "ok"), Work(2, "crash")), None)
    assert (sorted(ledger.succeeded), ledger.failures) == ([], 2)
    assert failures(await handler(queue_event(Work(1, "ok"), Work(2, "crash")), None)) == []
    assert sorted(ledger.succeeded) == [1, 2]


def test_the_fifo_handler_stops_a_group_at_its_first_failure() -> None:
    """FIFO-7, SUR-6: what follows in the group is listed too; other groups go on."""
    ledger = Ledger("q")
    handler = fifo_handler(ledger)
    works = [Work(1, "ok", "a"), Work(2, "flaky", "a"), Work(3, "ok", "b"), Work(4, "ok", "a")]
    assert failures(handler(queue_event(*works), None)) == ["m2", "m4"]
    assert sorted(ledger.succeeded) == [1, 3]
    assert failures(handler(queue_event(works[1], works[3]), None)) == []
    assert ledger.accounted
    assert ledger.failures == 2


@pytest.mark.parametrize(("event", "read"), [(click_event, read_click), (change_event, read_change)])
async def test_the_handler_of_streams_stops_at_the_first_failure(event: Any, read: Any) -> None:
    """PBR-20, PBR-22: all behind it comes again, so it is left alone now."""
    ledger = Ledger("s")
    handler = stream_handler(ledger, read)
    works = [Work(1, "ok", "a"), Work(2, "flaky", "b"), Work(3, "ok", "a"), Work(4, "poison", "c")]
    assert failures(await handler(event(*works), None)) == ["492"]
    assert sorted(ledger.succeeded) == [1]
    assert failures(await handler(event(*works[1:]), None)) == ["494"]
    assert failures(await handler(event(works[3]), None)) == ["494"]
    assert (sorted(ledger.succeeded), ledger.failures) == ([1, 2, 3], 3)
    assert ledger.accounted
    assert ledger.last_of_key == {"a": 3, "b": 2}


async def test_the_handler_of_streams_crashes_once() -> None:
    """ERR-2: the whole batch failed, nothing of it counts as done."""
    ledger = Ledger("s")
    handler = stream_handler(ledger, read_click)
    works = [Work(1, "ok", "a"), Work(2, "crash", "b"), Work(3, "ok", "b")]
    with pytest.raises(DemoCrashError):
        await handler(click_event(*works), None)
    assert (sorted(ledger.succeeded), ledger.failures) == ([], 3)
    assert failures(await handler(click_event(*works), None)) == []
    assert sorted(ledger.succeeded) == [1, 2, 3]


# --- the sources ---


@contextlib.asynccontextmanager
async def made(kind: type[Queue | KinesisStream | TableStream]) -> AsyncIterator[tuple[EmbeddedAws, Any]]:
    """A source of the demo on an AWS of its own."""
    async with EmbeddedAws() as aws, AwsClients(region="us-east-1", endpoint_url=aws.url) as clients:
        source = kind("test", clients)
        await source.create()
        yield aws, source


def document(kind: str, shard_id: str, start: str, end: str) -> JsonObject:
    return {kind: {"shardId": shard_id, "startSequenceNumber": start, "endSequenceNumber": end}}


async def test_a_document_of_kinesis_stands_for_the_records_in_its_range() -> None:
    """DST-9: of this shard, both ends included, and no others."""
    async with made(KinesisStream) as (_, clicks):
        await clicks.send([Work(number, "ok", f"user-{number}") for number in range(1, 41)])
        kinesis = await clicks.sdk("kinesis")
        shards: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for shard in (await kinesis.list_shards(StreamName=clicks.name))["Shards"]:
            told = await kinesis.get_shard_iterator(
                StreamName=clicks.name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )
            for record in (await kinesis.get_records(ShardIterator=told["ShardIterator"]))["Records"]:
                shards[shard["ShardId"]].append((record["SequenceNumber"], json.loads(record["Data"])["number"]))
        assert len(shards) == 2
        for shard_id, records in shards.items():
            body = document("KinesisBatchInfo", shard_id, records[2][0], records[5][0])
            assert await clicks.found(body) == {number for _, number in records[2:6]}
        assert clicks.ledger.documents == 2


async def test_a_document_of_a_table_stands_for_the_records_in_its_range() -> None:
    """DST-9: they are fetched from the stream, also from a shard that has rolled over."""
    async with made(TableStream) as (aws, stock):
        await stock.send([Work(number, "ok", f"item-{number}") for number in range(1, 26)])
        assert "rolled over" in await stock.reshard()
        await stock.send([Work(number, "ok", f"item-{number - 25}") for number in range(26, 51)])
        (stream,) = aws.dynamodb.all_streams.values()
        assert len(stream.shards) == 4
        for shard in stream.shards.values():
            told = [change.record["dynamodb"] for change in shard.changes]
            body = document("DDBStreamBatchInfo", shard.id, told[1]["SequenceNumber"], told[3]["SequenceNumber"])
            assert await stock.found(body) == {int(told[place]["NewImage"]["number"]["N"]) for place in (1, 2, 3)}
        assert stock.ledger.documents == 4


async def test_a_stream_is_split_in_the_middle() -> None:
    """STR-2: and only where somebody wants to hear of it."""
    async with made(KinesisStream) as (aws, clicks):
        told: list[str] = []
        await clicks.feed(100, 0, tell=told.append)
        (stream,) = aws.kinesis.streams.values()
        assert len(stream.open_shards) == 3
        assert told == ["clicks: shardId-000000000000 split in two; its children wait until it is done"]
        assert aws.kinesis_service.calls["PutRecords"] == 2
        await clicks.feed(100, 0, tell=None)
        assert len(stream.open_shards) == 3


class Refusing:
    """Takes every entry but the second, as a throttled service does."""

    async def put_records(self, *, Records: list[JsonObject], **_: object) -> JsonObject:  # noqa: N803 - AWS's name
        told: list[JsonObject] = [{"ShardId": "s", "SequenceNumber": str(n)} for n in range(len(Records))]
        told[1] = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}
        return {"FailedRecordCount": 1, "Records": told}

    async def batch_write_item(self, *, RequestItems: JsonObject) -> JsonObject:  # noqa: N803 - AWS's name
        return {"UnprocessedItems": {name: puts[1:2] for name, puts in RequestItems.items()}}

    async def send_message_batch(self, **_: object) -> JsonObject:
        return {"Successful": [], "Failed": [{"Id": "2", "Code": "InternalError", "SenderFault": False}]}


@pytest.mark.parametrize("kind", [Queue, FifoQueue, KinesisStream, TableStream])
async def test_refused_entries_are_not_counted_as_sent(
    kind: type[Queue | KinesisStream | TableStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AwsClients(region="us-east-1") as clients:
        source = kind("test", clients)

        async def refusing(service: str) -> Refusing:
            del service
            return Refusing()

        monkeypatch.setattr(source, "sdk", refusing)
        await source.send([Work(number, "ok", "a") for number in (1, 2, 3)])
        assert sorted(source.ledger.sent) == [1, 3]


# --- the summary ---


@pytest.mark.parametrize("as_json", [True, False])
def test_the_exit_code_tells_whether_every_record_is_accounted_for(as_json: bool) -> None:
    good, bad = Ledger("good", sent={1: None}), Ledger("bad", sent={1: None})
    good.done(1, None)
    console = screen()
    assert summary([good], {}, as_json=as_json, console=console) == 0
    assert summary([good, bad], {"stock": "why"}, as_json=as_json, console=console) == 1
    if as_json:
        first, second = text_of(console).replace("}\n{", "}\0{").split("\0")
        assert json.loads(first)["accounted"] is True
        told = json.loads(second)
        assert told["accounted"] is False
        assert told["left_out"] == {"stock": "why"}
        assert [row["lost"] for row in told["mappings"]] == [0, 1]
    else:
        assert "every record accounted for" in text_of(console)
        assert "NOT accounted for" in text_of(console)


def test_the_summary_tells_of_order() -> None:
    """FIFO-1, STR-40."""
    none, kept, broken = Ledger("none"), Ledger("kept", "group"), Ledger("broken", "key")
    kept.done(1, "a")
    broken.done(2, "a")
    broken.done(1, "a")
    console = screen()
    assert summary([none, kept, broken], {}, as_json=False, console=console) == 1
    lines = text_of(console).splitlines()
    for name, words in (("none", "no promise"), ("kept", "kept per group"), ("broken", "1 overtaken")):
        assert [words in line for line in lines if line.startswith(f"│ {name} ")] == [True]


def test_the_summary_tells_where_what_was_given_up_lies() -> None:
    queue = Ledger("queue", sent={1: None, 2: None}, given_up={1, 2})
    stream = Ledger("stream", "key", sent={1: "a", 2: "a", 3: "a"}, given_up={2, 3}, documents=1)
    stream.done(1, "a")
    console = screen()
    assert summary([queue, stream], {}, as_json=False, console=console) == 0
    assert "Given up: 2 dead letters; 2 records in the ranges of 1 failure documents." in text_of(console)
    assert max(len(line) for line in text_of(console).splitlines()) <= 80


# --- the whole ---


@pytest.mark.parametrize("records", [1, 60])
async def test_the_demo_accounts_for_all_and_leaves_nothing(records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """GEN-5, SQS-25, DST-9, ERR-30: on the AWS at the URL; all that it made is gone afterwards."""
    monkeypatch.setattr(demo_queues, "VISIBILITY", 1)
    monkeypatch.setattr(demo_queues, "MAX_RECEIVES", 2)
    monkeypatch.setattr(demo_streams, "RETRIES", 1)
    async with EmbeddedAws() as aws:
        console = screen()
        async with asyncio.timeout(DEADLINE * 2):
            assert await run_demo(records, 0, aws.url, as_json=True, console=console) == 0
        assert aws.sqs.queues == aws.kinesis.streams == aws.dynamodb.tables == {}
    told = json.loads(text_of(console))
    assert told["accounted"] is True
    assert told["left_out"] == {}
    rows = {row["mapping"]: row for row in told["mappings"]}
    assert list(rows) == ["orders", "payments.fifo", "clicks", "stock"]
    assert sum(row["sent"] for row in rows.values()) == records
    given_up = {name: row["given_up"] for name, row in rows.items()}
    assert given_up == {"orders": 0, "payments.fifo": 3 * (records == 60), "clicks": 1 * (records == 60),
                        "stock": 1 * (records == 60)}  # fmt: skip
    for row in rows.values():
        assert row["sent"] == row["succeeded"] + row["given_up"]
        assert row["lost"] == row["out_of_order"] == 0
    assert rows["clicks"]["failure_documents"] == rows["clicks"]["given_up"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("terminal", [True, False])
async def test_it_shows_what_happens(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table on a terminal, lines elsewhere; the summary on both."""
    monkeypatch.setattr(demo_show, "LINE_EVERY", 0.05)
    async with EmbeddedAws() as aws:
        console = screen(terminal=terminal)
        async with asyncio.timeout(DEADLINE):
            assert await run_demo(7, 0, aws.url, as_json=False, console=console) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text_of(console))
    assert "7 records into a queue, a FIFO queue, a Kinesis stream and a table" in text
    assert f"on {aws.url}; some fail on purpose" in text
    assert "every record accounted for" in text
    assert ("orders 4/4, payments.fifo 1/1, clicks 1/1, stock 1/1; 0 given up\n" in text) is not terminal
    assert ("poller demo" in text) is terminal
    assert ("all sent; what failed comes back" in text) is terminal
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= 80


async def test_what_the_aws_does_not_have_is_left_out() -> None:
    """It is said in one line, and the records go to the others."""
    async with EmbeddedAws() as aws:
        aws.faults.fail("CreateTable", times=None, status=400, code="UnknownOperation", message="no\ntables")
        console = screen()
        async with asyncio.timeout(DEADLINE):
            assert await run_demo(6, 0, aws.url, as_json=False, console=console) == 0
        assert aws.sqs.queues == aws.kinesis.streams == {}
    lines = text_of(console).splitlines()
    assert lines[0] == "6 records into a queue, a FIFO queue and a Kinesis stream"
    (left_out,) = [line for line in lines if line.startswith("left out: ")]
    assert left_out.startswith("left out: stock: ")
    assert left_out.endswith("no tables")
    assert not any(line.startswith("│ stock") for line in lines)


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
    [
        ("CreateQueue", "nothing of the demo can be created on http.* planted"),
        ("SendMessageBatch", "failed while the demo ran"),
        ("PutRecords", "failed while the demo ran"),
    ],
)
async def test_an_aws_that_refuses_is_one_sentence(operation: str, words: str) -> None:
    async with EmbeddedAws() as aws:
        aws.faults.fail(operation, times=None, status=400, code="AccessDenied", message="planted")
        with pytest.raises(PollerError, match=words) as caught:
            await asyncio.wait_for(run_demo(6, 0, aws.url, as_json=True, console=screen()), DEADLINE)
        assert "\n" not in str(caught.value)
        aws.faults.clear()
        assert aws.sqs.queues == aws.kinesis.streams == aws.dynamodb.tables == {}


async def test_cancelled_it_takes_all_along() -> None:
    """Ctrl-C in the middle."""
    async with EmbeddedAws() as aws:
        running = asyncio.create_task(run_demo(1000, 30, aws.url, as_json=True, console=screen()))
        await until(lambda: aws.service.calls["DeleteMessageBatch"], "the first records")
        await until(lambda: aws.kinesis_service.calls["GetRecords"], "the first reads")
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE)
        assert running.cancelled()
        assert aws.sqs.queues == aws.kinesis.streams == aws.dynamodb.tables == {}


def test_every_source_can_be_named_in_a_sentence() -> None:
    kinds: list[type[Source]] = [Queue, FifoQueue, KinesisStream, TableStream]
    assert demo._listed([kind.noun for kind in kinds]) == "a queue, a FIFO queue, a Kinesis stream and a table"
    assert demo._listed([kinds[0].noun]) == "a queue"


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_embedded_aws_rolls_a_stream_over_when_asked(enabled: bool) -> None:
    """STR-7: over HTTP too, which AWS itself does not offer; without a stream there is nothing to roll over."""
    async with made(TableStream) as (aws, stock):
        if not enabled:
            dynamodb = await stock.sdk("dynamodb")
            await dynamodb.update_table(TableName=stock.name, StreamSpecification={"StreamEnabled": False})
            with pytest.raises(SourceError, match="no enabled stream"):
                await stock.reshard()
            return
        await stock.reshard()
        (stream,) = aws.dynamodb.all_streams.values()
        assert {shard.parent for shard in stream.open} == {
            shard.id for shard in stream.shards.values() if shard.ending
        }


def test_dev_tells_the_url_first_and_then_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts read the first line; the rest fits on a terminal."""
    asked: list[Any] = []

    def serve(arguments: list[str], listening: Any) -> int:
        asked.append(arguments)
        listening("http://127.0.0.1:14566")
        return 0

    monkeypatch.setattr("poller.testing.process.main", serve)
    result = CliRunner().invoke(commands, ["dev", "--port", "14566"])
    assert (result.exit_code, asked) == (0, [["--port", "14566"]])
    url, *lines = result.output.splitlines()
    assert url == "http://127.0.0.1:14566"
    assert f"  export AWS_ENDPOINT_URL={url} AWS_DEFAULT_REGION=us-east-1" in lines
    arns = [line.split()[1] for line in lines if " arn:" in line]
    kinds = [parse_source_arn(arn.replace("NAME", "a")) for arn in arns[:2]]
    assert [getattr(kind, "kind", None) for kind in kinds] == [SourceKind.SQS, SourceKind.KINESIS]
    destinations = [parse_destination_arn(arn.replace("NAME", "abc")) for arn in (arns[0], *arns[2:])]
    assert not [destination for destination in destinations if isinstance(destination, str)]
    assert max(len(line) for line in lines) <= 80
