"""The four kinds of sources for the tests under faults: made, fed with numbered records, and their mappings.

Every record carries its number, its key (group, partition key, item) and its kind; READ is what handlers take them
out of an event with. Whoever feeds goes straight to the server: faults are for the daemon.
"""

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

READ = """
import base64, json, os, pathlib

HERE = pathlib.Path(__file__).parent


def read(record):
    if "dynamodb" in record:
        item = record["dynamodb"]["NewImage"]
        return {"n": int(item["n"]["N"]), "key": item["id"]["S"], "kind": item["kind"]["S"]}
    if "kinesis" in record:
        return json.loads(base64.b64decode(record["kinesis"]["data"]))
    return json.loads(record["body"])


def opened(name):
    return os.open(HERE / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(file, records):
    "One line a record, all in one write: whole lines, whoever writes beside it and whoever is killed."
    os.write(file, "".join(f"{one['key']} {one['n']}\\n" for one in map(read, records)).encode())
"""


@dataclass(frozen=True)
class Record:
    """What is sent."""

    n: int
    key: str
    kind: str = "ok"

    def text(self) -> str:
        return json.dumps({"n": self.n, "key": self.key, "kind": self.kind})


@dataclass(frozen=True)
class Source:
    """One source: `send` writes records into it in their order, `ordered` says whether keys keep theirs."""

    name: str
    arn: str
    send: Callable[[list[Record]], None]
    ordered: bool
    filters: str
    """A pattern in which KINDS stands for what the kind must be."""

    def mapping(self, target: str, **more: Any) -> dict[str, Any]:
        """A mapping of that name."""
        start = {"StartingPosition": "TRIM_HORIZON"} if ":sqs:" not in self.arn else {}
        return {"Name": self.name, "EventSourceArn": self.arn, "FunctionName": target, **start, **more}

    def pattern(self, kinds: Any) -> dict[str, Any]:
        """FilterCriteria that let these kinds through."""
        return {"Filters": [{"Pattern": self.filters.replace("KINDS", json.dumps(kinds))}]}


def numbered(first: int, count: int, keys: int) -> list[Record]:
    """So many records, whose keys take turns."""
    return [Record(n, f"k{n % keys}") for n in range(first, first + count)]


def queue_source(client: Any, queue: dict[str, str], name: str) -> Source:
    """A queue that daemon.make_queue has made; a FIFO queue by its URL."""
    ordered = queue["url"].endswith(".fifo")

    def send(records: list[Record]) -> None:
        for start in range(0, len(records), 10):
            entries = []
            for record in records[start : start + 10]:
                entry = {"Id": str(record.n), "MessageBody": record.text()}
                if ordered:
                    entry |= {"MessageGroupId": record.key, "MessageDeduplicationId": str(record.n)}
                entries.append(entry)
            answer = client.send_message_batch(QueueUrl=queue["url"], Entries=entries)
            assert not answer.get("Failed"), answer

    return Source(name, queue["arn"], send, ordered, '{"body": {"kind": KINDS}}')


def stream_source(stream: streams.Stream, name: str) -> Source:
    """A Kinesis stream."""

    def send(records: list[Record]) -> None:
        stream.put([record.text() for record in records], [record.key for record in records])

    return Source(name, stream.arn, send, True, '{"data": {"kind": KINDS}}')


def table_source(dynamodb: Any, table: str, name: str) -> Source:
    """A table with a stream, made here; each record is the next state of the item of its key."""
    made = dynamodb.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )

    def send(records: list[Record]) -> None:
        for record in records:
            item = {"id": {"S": record.key}, "n": {"N": str(record.n)}, "kind": {"S": record.kind}}
            dynamodb.put_item(TableName=table, Item=item)

    arn = str(made["TableDescription"]["LatestStreamArn"])
    return Source(name, arn, send, True, '{"dynamodb": {"NewImage": {"kind": {"S": KINDS}}}}')


def first_successes(lines: Iterable[str]) -> dict[str, list[int]]:
    """By key: the numbers that handlers noted, each where it came first."""
    found: dict[str, dict[int, None]] = {}
    for line in lines:
        key, n = line.split()
        found.setdefault(key, {}).setdefault(int(n))
    return {key: list(numbers) for key, numbers in found.items()}


def out_of_order(lines: Iterable[str]) -> list[str]:
    """The keys in which a number was first handled after a greater one."""
    found = first_successes(lines)
    return [key for key, numbers in found.items() if any(a > b for a, b in itertools.pairwise(numbers))]


def four(client: Callable[[str], Any], prefix: str, shards: int = 2, **queue: Any) -> list[Source]:
    """One source of each kind, on the server that `client(service)` speaks to."""
    sqs = client("sqs")
    return [
        queue_source(sqs, daemon.make_queue(sqs, f"{prefix}-orders", **queue), "orders"),
        queue_source(sqs, daemon.make_queue(sqs, f"{prefix}-pay.fifo", **queue), "pay"),
        stream_source(streams.Stream(client("kinesis"), f"{prefix}-clicks", shards), "clicks"),
        table_source(client("dynamodb"), f"{prefix}-stock", "stock"),
    ]
