"""The control API of the real process: mappings that are made, changed and deleted while records flow, and by a
process that is killed in the middle.
"""

import itertools
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

HANDLERS = """
def work(event, context):
    note(*[text(one) if "kinesis" in one else one["body"] for one in event["Records"]])


def other(event, context):
    time.sleep(0.02)
    note(*[text(one) if "kinesis" in one else one["body"] for one in event["Records"]])


def ordered(event, context):
    records = event["Records"]
    note(*[one["dynamodb"]["NewImage"]["n"]["S"] if "dynamodb" in one else one["body"] for one in records])


def slower(event, context):
    time.sleep(0.05)
    ordered(event, context)
"""
ALL = {"FilterCriteria": {"Filters": [{"Pattern": '{"data": {"n": [{"exists": true}]}}'}]}}
ALL_OF_QUEUE = {"FilterCriteria": {"Filters": [{"Pattern": '{"body": {"n": [{"exists": true}]}}'}]}}


def api(running: daemon.Daemon) -> str:
    """The URL of its control listener."""

    def told() -> str | None:
        found = re.search(r"http://127\.0\.0\.1:\d+(?=/\")", running.output())
        return found.group() if found else None

    return str(daemon.wait_for(told, "the control listener's address"))


@contextmanager
def client(running: daemon.Daemon) -> Iterator[Any]:
    """boto3's client of Lambda, on a daemon that knows its mappings."""
    daemon.wait_for(lambda: running.get("/startupz")[0] == 200, "the start")
    made = boto3.client(
        "lambda",
        endpoint_url=api(running),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
    )
    with closing(made):
        yield made


def settled(told: Any, uuid: str, state: str = "Enabled") -> Any:
    """Waits until the mapping is there; what Get says. It is never seen in Creating again."""
    seen = []

    def there() -> Any:
        found = told.get_event_source_mapping(UUID=uuid)
        seen.append(found["State"])
        return found if found["State"] == state else None

    found = daemon.wait_for(there, f"the state {state}")
    return found, seen


def gone(told: Any, uuid: str) -> bool:
    try:
        told.get_event_source_mapping(UUID=uuid)
    except told.exceptions.ResourceNotFoundException:
        return True
    return False


def kept(folder: Path) -> tuple[list[str], set[str]]:
    """The mappings in the state file, and those that have positions in it."""
    with closing(sqlite3.connect(f"file:{folder / 'state.db'}?mode=ro", uri=True)) as connection:
        mappings = [row[0] for row in connection.execute("SELECT uuid FROM mapping")]
        return mappings, {row[0] for row in connection.execute("SELECT app FROM lease")}


@contextmanager
def feeding(put: Callable[[list[str]], Any]) -> Iterator[Callable[[], list[str]]]:
    """Writes records all the time; the block gets a function that ends this and tells what was written."""
    written: list[str] = []
    enough = threading.Event()

    def feed() -> None:
        for number in itertools.count():
            texts = [f'{{"n":"{number}-{one}"}}' for one in range(5)]
            put(texts)
            written.extend(texts)
            if enough.wait(0.02):
                return

    thread = threading.Thread(target=feed)
    thread.start()

    def end() -> list[str]:
        enough.set()
        thread.join()
        return written

    try:
        yield end
    finally:
        end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file without mappings."""
    streams.write(tmp_path, handlers=HANDLERS, ControlApi={"Listen": "127.0.0.1:0"})
    return tmp_path


def changed_under_load(told: Any, uuid: str, changes: list[dict[str, Any]]) -> None:
    for change in changes:
        told.update_event_source_mapping(UUID=uuid, **change)
        state = "Disabled" if change.get("Enabled") is False else "Enabled"
        assert "Creating" not in settled(told, uuid, state)[1]


def test_a_stream_loses_nothing_by_changes_under_load(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], folder: Path
) -> None:
    """API-7, API-8, API-9, API-10, API-14: every record comes once, whatever is changed while they come."""
    stream = new_stream(embedded_aws, 2)
    counter = itertools.count()
    with daemon.running(folder, daemon.environment(embedded_aws)) as running, client(running) as told:
        made = told.create_event_source_mapping(
            EventSourceArn=stream.arn, FunctionName="python:handlers:work", StartingPosition="TRIM_HORIZON"
        )
        uuid = made["UUID"]
        assert made["State"] == "Creating"
        with feeding(lambda texts: stream.put(texts, [str(next(counter)) for _ in texts])) as end:
            settled(told, uuid)
            changed_under_load(
                told,
                uuid,
                [
                    {"ParallelizationFactor": 4},
                    {"FunctionName": "python:handlers:other"},
                    ALL,
                    {"Enabled": False},
                    {"Enabled": True},
                    {"FilterCriteria": {}, "ParallelizationFactor": 1, "BatchSize": 7},
                ],
            )
            sent = end()
        daemon.wait_for(lambda: set(streams.notes(folder)) >= set(sent), "every record")
        assert set(Counter(streams.notes(folder)).values()) == {1}
        found = told.get_event_source_mapping(UUID=uuid)
        assert (found["BatchSize"], found["ParallelizationFactor"], found["LastProcessingResult"]) == (7, 1, "OK")
        assert "FilterCriteria" not in found
        told.delete_event_source_mapping(UUID=uuid)
        daemon.wait_for(lambda: gone(told, uuid), "the end of the mapping")
        assert kept(folder) == ([], set())
        running.signal(15)
        assert running.wait() == 0, running.output()


def test_a_queue_loses_nothing_by_changes_under_load(embedded_aws: str, sqs_client: Any, folder: Path) -> None:
    """API-7, API-8, API-14, CFG-51: every message is handled and deleted; a reload is nothing to the mapping, and
    brings none that would read the same queue for the same function.
    """
    sqs = sqs_client(embedded_aws)
    queue = daemon.make_queue(sqs, daemon.own("load"))
    with daemon.running(folder, daemon.environment(embedded_aws)) as running, client(running) as told:
        uuid = told.create_event_source_mapping(EventSourceArn=queue["arn"], FunctionName="python:handlers:work")[
            "UUID"
        ]
        with feeding(lambda texts: daemon.send(sqs, queue["url"], texts)) as end:
            settled(told, uuid)
            changed_under_load(
                told,
                uuid,
                [
                    {"FunctionName": "python:handlers:other"},
                    {"ScalingConfig": {"MaximumConcurrency": 2}, **ALL_OF_QUEUE},
                    {"Enabled": False},
                    {"Enabled": True},
                    {"ScalingConfig": {}, "FilterCriteria": {}},
                ],
            )
            sent = end()
        daemon.wait_for(lambda: daemon.empty(sqs, queue["url"]), "the queue to be empty")
        assert set(streams.notes(folder)) == set(sent)
        found = told.get_event_source_mapping(UUID=uuid)
        assert not found.keys() & {"ScalingConfig", "FilterCriteria", "LastProcessingResult"}

        def reloaded(action: str, *mappings: dict[str, Any]) -> dict[str, Any]:
            streams.write(folder, *mappings, handlers=HANDLERS, ControlApi={"Listen": "127.0.0.1:0"})
            running.signal(1)
            lines = daemon.wait_for(
                lambda: [one for one in running.lines() if one.get("action") == action], "the reload"
            )
            return dict(lines[0])

        same = {"EventSourceArn": queue["arn"], "FunctionName": "python:handlers:other"}
        assert uuid in reloaded("config_refused", same)["event"]
        besides = {**same, "FunctionName": "python:handlers:work", "Name": "besides", "Enabled": False}
        assert reloaded("config_reloaded", besides)["stopped"] == []
        assert told.get_event_source_mapping(UUID=uuid) == {**found, "ResponseMetadata": ANY}


def test_order_stands_through_changes_under_load(embedded_aws: str, sqs_client: Any, folder: Path) -> None:
    """FIFO-1, API-7, API-9: neither a FIFO queue nor a table's stream loses a record or its order, whatever
    is changed and tagged at once; the queue's messages come once.
    """
    sqs, name = sqs_client(embedded_aws), daemon.own("order")
    queue = daemon.make_queue(sqs, name + ".fifo")
    counter = itertools.count()
    with (
        closing(streams.client("dynamodb", embedded_aws)) as dynamodb,
        daemon.running(folder, daemon.environment(embedded_aws)) as running,
        client(running) as told,
    ):
        made = dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )

        def put(texts: list[str]) -> None:
            entries = []
            for number in [next(counter) for _ in texts]:  # its group or key is what it is modulo 3
                same = str(number % 3)
                dynamodb.put_item(TableName=name, Item={"id": {"S": same}, "n": {"S": f"table {number}"}})
                body = {"Id": str(number), "MessageBody": f"queue {number}"}
                entries.append({**body, "MessageGroupId": same, "MessageDeduplicationId": str(number)})
            assert "Failed" not in sqs.send_message_batch(QueueUrl=queue["url"], Entries=entries)

        both = [
            told.create_event_source_mapping(EventSourceArn=arn, FunctionName="python:handlers:ordered", **more)
            for arn, more in (
                (queue["arn"], {}),
                (made["TableDescription"]["LatestStreamArn"], {"StartingPosition": "TRIM_HORIZON"}),
            )
        ]
        with feeding(put) as end:
            changes: tuple[dict[str, Any], ...] = (
                {"BatchSize": 3, "FunctionName": "python:handlers:slower"},
                {"Enabled": False},
                {"Enabled": True, "ParallelizationFactor": 3},
                {"ParallelizationFactor": 1, "FunctionName": "python:handlers:ordered"},
            )
            for mapping in both:
                settled(told, mapping["UUID"])
            for number, change in enumerate(changes):
                for mapping in both:
                    lanes = {"ParallelizationFactor": ANY} if mapping is both[0] else {}  # a queue has none
                    fields = {name: value for name, value in change.items() if name not in lanes}
                    told.update_event_source_mapping(UUID=mapping["UUID"], **fields)
                    told.tag_resource(Resource=mapping["EventSourceMappingArn"], Tags={"change": str(number)})
                for mapping in both:
                    settled(told, mapping["UUID"], "Disabled" if change.get("Enabled") is False else "Enabled")
            end()
        sent = next(counter)
        wanted = {f"{kind} {number}" for kind in ("queue", "table") for number in range(sent)}
        daemon.wait_for(lambda: set(streams.notes(folder)) >= wanted, "every record")
        daemon.wait_for(lambda: daemon.empty(sqs, queue["url"]), "the queue to be empty")
        notes = streams.notes(folder)
        assert max(Counter(note for note in notes if note.startswith("queue")).values()) == 1
        first = list(dict.fromkeys(notes))
        for kind in ("queue", "table"):
            numbers = [int(note.split()[1]) for note in first if note.startswith(kind)]
            for group in range(3):
                of_group = [number for number in numbers if number % 3 == group]
                assert of_group == sorted(of_group), kind


def test_a_kill_in_the_middle_of_a_call_leaves_the_store_whole(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], folder: Path
) -> None:
    """API-2, API-9, API-10: what was answered holds after kill -9; what was not has happened or has not, whole."""
    stream = new_stream(embedded_aws)
    env = daemon.environment(embedded_aws)
    fields = {
        "EventSourceArn": stream.arn,
        "FunctionName": "python:handlers:work",
        "StartingPosition": "TRIM_HORIZON",
    }
    texts = [f"first {number}" for number in range(20)]

    @contextmanager
    def killed_after(call: str, **request: Any) -> Iterator[Any]:
        """A daemon that is killed right behind the answer."""
        with daemon.running(folder, env) as running, client(running) as told:
            yield told
            getattr(told, call)(**request)
            running.kill()

    with killed_after("create_event_source_mapping", **fields):
        pass
    stream.put(texts, "k")
    with killed_after("list_event_source_mappings") as told:
        (made,) = told.list_event_source_mappings()["EventSourceMappings"]
        assert settled(told, made["UUID"])[0]["EventSourceArn"] == stream.arn
        daemon.wait_for(lambda: set(streams.notes(folder)) == set(texts), "the first records")
        daemon.wait_for(lambda: next(iter(streams.checkpoints(folder).values())).isdigit(), "their position")
    uuid = made["UUID"]
    with killed_after("update_event_source_mapping", UUID=uuid, BatchSize=7, ParallelizationFactor=2) as told:
        settled(told, uuid)
    with killed_after("update_event_source_mapping", UUID=uuid, Enabled=False) as told:
        found, seen = settled(told, uuid)
        assert (found["BatchSize"], found["ParallelizationFactor"], "Creating" in seen) == (7, 2, False)
    stream.put(["second"], "k")
    with killed_after("update_event_source_mapping", UUID=uuid, Enabled=True) as told:
        settled(told, uuid, "Disabled")
    with killed_after("delete_event_source_mapping", UUID=uuid) as told:
        settled(told, uuid)
        daemon.wait_for(lambda: "second" in streams.notes(folder), "the record from the time in between")
        seen_often = Counter(streams.notes(folder))
        seen_often.pop("second")  # it may have been handled right before a kill, and is handled again then
        assert seen_often == Counter(texts), "it went on at its position"
    with killed_after("list_event_source_mappings") as told:
        assert gone(told, uuid)
        daemon.wait_for(lambda: kept(folder) == ([], set()), "the end of the deletion")

    for call, more in (
        ("create_event_source_mapping", fields),
        ("update_event_source_mapping", {"BatchSize": 9}),
        ("delete_event_source_mapping", {}),
    ):
        with daemon.running(folder, env) as running, client(running) as told:
            there = told.list_event_source_mappings()["EventSourceMappings"]
            if call != "create_event_source_mapping" and not there:
                continue
            request = more if not there else {**more, "UUID": there[0]["UUID"]}
            asked = threading.Thread(target=quietly, args=(getattr(told, call), request))
            asked.start()
            streams.soon(lambda: (folder / "state.db-wal").stat().st_size > 0, 0.05)
            running.kill()
            asked.join()
    with daemon.running(folder, env) as running, client(running) as told:
        mappings = told.list_event_source_mappings()["EventSourceMappings"]
        daemon.wait_for(lambda: kept(folder)[0] == [one["UUID"] for one in mappings], "what was begun")
        assert kept(folder)[1] <= {one["UUID"] for one in mappings}


def quietly(call: Callable[..., Any], request: dict[str, Any]) -> None:
    """Whatever comes of it: whoever would answer is killed."""
    with suppress(BotoCoreError, ClientError):
        call(**request)
