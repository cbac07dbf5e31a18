"""The main job on servers that others wrote: boto3 sends, the real `poller run --drain` handles and settles.

moto gets few messages and no FIFO queue: it slows down with every message it holds, and its groups are not AWS's.
"""

import base64
import contextlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

RECEIVES = 5  # until the dead-letter queue
GROUPS = 8

HANDLERS = '''
import json, os, pathlib

OUT = os.open(pathlib.Path(__file__).with_name("seen.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(word, record):
    """One line, written at once, so that threads do not mix theirs."""
    attributes = record["attributes"]
    seen = {
        "word": word,
        "n": json.loads(record["body"])["n"],
        "id": record["messageId"],
        "group": attributes.get("MessageGroupId"),
        "count": attributes["ApproximateReceiveCount"],
        "sequence": attributes.get("SequenceNumber"),
    }
    os.write(OUT, (json.dumps(seen) + "\\n").encode())


def work(event, context):
    first = [record["attributes"]["ApproximateReceiveCount"] == "1" for record in event["Records"]]
    kinds = [json.loads(record["body"])["kind"] for record in event["Records"]]
    if any(one and kind == "crash" for one, kind in zip(first, kinds)):
        for record in event["Records"]:
            note("crashed", record)
        raise RuntimeError("on purpose")
    failed, stopped = [], set()
    for record, one, kind in zip(event["Records"], first, kinds):
        group = record["attributes"].get("MessageGroupId")
        if kind == "poison" or (kind == "flaky" and one) or group in stopped:
            note("failed", record)
            failed.append({"itemIdentifier": record["messageId"]})
            if group is not None:
                stopped.add(group)
        else:
            note("handled", record)
    return {"batchItemFailures": failed}


def dump(event, context):
    for record in event["Records"]:
        os.write(OUT, (json.dumps(record) + "\\n").encode())
'''

ITEMS, CHANGES, POISON = 9, 300, {58, 59, 211}
TABLE_HANDLER = """
def work(event, context):
    images = [record["dynamodb"]["NewImage"] for record in event["Records"]]
    if any(image["poison"]["BOOL"] for image in images):
        raise RuntimeError("on purpose")
    note(*(f"{image['id']['S']} {image['n']['N']}" for image in images))
"""


def mapping(queue: dict[str, str], function: str = "work", **more: Any) -> dict[str, Any]:
    return {
        "Name": "work",
        "EventSourceArn": queue["arn"],
        "FunctionName": f"python:handlers:{function}",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "Handler": {"TimeoutInSeconds": 2, "Concurrency": 4},
        **more,
    }


def drained(folder: Path, url: str, *mappings: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs the daemon until the queue is empty; what the handlers have written."""
    daemon.write(folder, *mappings, handlers=HANDLERS)
    with daemon.running(folder, daemon.environment(url), "--drain") as running:
        assert running.wait(180) == 0, running.output()
        assert all("on purpose" in line.get("exception", "on purpose") for line in running.lines())
    return [json.loads(line) for line in daemon.written(folder / "seen.txt")]


@pytest.mark.parametrize("server", ["ministack", "moto_server"])
def test_a_standard_queue_of_another_server(
    server: str, request: pytest.FixtureRequest, sqs_client: Any, tmp_path: Path
) -> None:
    """GEN-5, SQS-20, SQS-21, SQS-25, PBR-4, PBR-10: sent is handled plus dead, and counts tell each attempt."""
    url = request.getfixturevalue(server)
    client = sqs_client(url)
    queue = daemon.make_queue(client, daemon.own("job"), visibility=3, dead=RECEIVES)
    kinds = {n: "poison" if n % 31 == 0 else "flaky" if n % 7 == 0 else "ok" for n in range(1, 81)} | {40: "crash"}
    daemon.send(client, queue["url"], [json.dumps({"n": n, "kind": kind}) for n, kind in kinds.items()])

    # moto now and then gives a message to two receives that it answers at the same time: it gets one at a time
    concurrency = 1 if server == "moto_server" else 4
    seen = drained(tmp_path, url, mapping(queue, Handler={"TimeoutInSeconds": 2, "Concurrency": concurrency}))

    handled = {entry["n"] for entry in seen if entry["word"] == "handled"}
    dead = {int(json.loads(message["Body"])["n"]): message for message in daemon.drain(client, queue["dead"])}
    poison = {n for n, kind in kinds.items() if kind == "poison"}
    assert dead.keys() == poison
    assert handled == kinds.keys() - poison
    assert daemon.empty(client, queue["url"])
    attempts = defaultdict(list)
    for entry in seen:
        attempts[entry["n"]].append((int(entry["count"]), entry["word"]))
    for n, kind in kinds.items():
        counts = [count for count, _ in attempts[n]]
        assert counts == sorted(set(counts)), f"{kind} record {n} had the attempts {attempts[n]}"
        if kind == "poison":
            assert counts == [*range(1, RECEIVES + 1)]
        elif kind in {"flaky", "crash"}:
            assert attempts[n][0][1] != "handled"
            assert counts[-1] >= 2
    ids = {entry["n"]: entry["id"] for entry in seen}
    assert {n: message["MessageId"] for n, message in dead.items()} == {n: ids[n] for n in poison}


@pytest.mark.parametrize("server", ["ministack", "roto_server"])
def test_a_fifo_queue_of_another_server(
    server: str, request: pytest.FixtureRequest, sqs_client: Any, tmp_path: Path
) -> None:
    """FIFO-1, FIFO-3, FIFO-5, FIFO-7, SQS-42: every group in order, failures and dead letters included."""
    url = request.getfixturevalue(server)
    client = sqs_client(url)
    queue = daemon.make_queue(client, daemon.own("job") + ".fifo", visibility=3, dead=RECEIVES)
    numbers = range(1, 121)
    last = {n % GROUPS: n for n in numbers}
    # the last of every other group is poison: it holds its group up, and nobody waits behind it
    kinds = {
        n: "poison" if n in last.values() and n % 2 == 0 else "flaky" if n % 23 == 0 else "ok" for n in numbers
    }
    bodies = [json.dumps({"n": n, "kind": kind}) for n, kind in kinds.items()]
    daemon.send(client, queue["url"], bodies, [f"g{n % GROUPS}" for n in numbers])

    seen = drained(tmp_path, url, mapping(queue))

    dead = {int(json.loads(message["Body"])["n"]) for message in daemon.drain(client, queue["dead"])}
    handled = [entry for entry in seen if entry["word"] == "handled"]
    assert dead == {n for n, kind in kinds.items() if kind == "poison"}
    assert {entry["n"] for entry in handled} == kinds.keys() - dead
    assert daemon.empty(client, queue["url"])
    for group in range(GROUPS):
        mine = [entry for entry in handled if entry["group"] == f"g{group}"]
        first = list(dict.fromkeys(entry["n"] for entry in mine))
        assert first == [n for n in numbers if n % GROUPS == group and n not in dead]
        sequences = {entry["n"]: int(entry["sequence"]) for entry in mine}
        assert [sequences[n] for n in first] == sorted(sequences.values())
    again = Counter(entry["n"] for entry in seen if entry["word"] == "failed")
    assert all(again[n] == RECEIVES for n in dead)
    assert all(again[n] >= 1 for n, kind in kinds.items() if kind == "flaky")


@pytest.mark.parametrize("server", ["ministack", "dynamodb_local"])
def test_a_table_of_another_server(
    server: str, request: pytest.FixtureRequest, ministack: str, sqs_client: Any, tmp_path: Path
) -> None:
    """DDB-1, STR-40, ERR-20, ERR-30, DST-9, PBR-20: an item's changes in order; what is given up is told."""
    url = request.getfixturevalue(server)
    sqs = sqs_client(ministack)
    failed = daemon.make_queue(sqs, daemon.own("failed"))
    with contextlib.closing(streams.client("dynamodb", url)) as table:
        name = daemon.own("stock")
        made = table.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        for n in range(CHANGES):
            item = {"id": {"S": f"k{n % ITEMS}"}, "n": {"N": str(n)}, "poison": {"BOOL": n in POISON}}
            table.put_item(TableName=name, Item=item)
        streams.write(
            tmp_path,
            {
                "Name": "stock",
                "EventSourceArn": made["TableDescription"]["LatestStreamArn"],
                "FunctionName": "python:handlers:work",
                "StartingPosition": "TRIM_HORIZON",
                "ParallelizationFactor": 4,
                "BatchSize": 7,
                "MaximumRetryAttempts": 1,
                "BisectBatchOnFunctionError": True,
                "DestinationConfig": streams.to_queue(failed["arn"]),
            },
            handlers=TABLE_HANDLER,
        )
        environment = {**daemon.environment(url), "AWS_ENDPOINT_URL_SQS": ministack}
        with daemon.running(tmp_path, environment, "--drain") as running:
            assert running.wait(180) == 0, running.output()

    handled = defaultdict(list)
    for line in streams.notes(tmp_path):
        key, n = line.split()
        handled[key].append(int(n))
    for item in range(ITEMS):
        first = list(dict.fromkeys(handled[f"k{item}"]))
        assert first == [n for n in range(CHANGES) if n % ITEMS == item and n not in POISON]
    told = streams.documents(sqs, failed["url"])
    assert [document["DDBStreamBatchInfo"]["batchSize"] for document in told] == [1] * len(POISON)
    assert {document["requestContext"]["condition"] for document in told} == {"RetryAttemptsExhausted"}


@pytest.mark.parametrize("server", ["ministack", "moto_server"])
def test_a_message_arrives_as_lambda_gets_it(
    server: str, request: pytest.FixtureRequest, sqs_client: Any, tmp_path: Path
) -> None:
    """SQS-40, SQS-41, SQS-43, SQS-44, SQS-45: attributes of every type, custom suffixes, and none at all."""
    url = request.getfixturevalue(server)
    client = sqs_client(url)
    queue = daemon.make_queue(client, daemon.own("shape"))
    binary = bytes(range(256))
    body = '{"snowman": "☃", "quote": "\\"", "lines": "a\nb"}'
    sent = client.send_message(
        QueueUrl=queue["url"],
        MessageBody=body,
        MessageAttributes={
            "text": {"DataType": "String", "StringValue": "grün"},
            "number": {"DataType": "Number", "StringValue": "1.50"},
            "custom": {"DataType": "Number.int", "StringValue": "7"},
            "blob": {"DataType": "Binary", "BinaryValue": binary},
            "picture": {"DataType": "Binary.png", "BinaryValue": b"\x89PNG"},
        },
    )
    bare = client.send_message(QueueUrl=queue["url"], MessageBody="bare")

    records = {record["messageId"]: record for record in drained(tmp_path, url, mapping(queue, "dump"))}

    assert records.keys() == {sent["MessageId"], bare["MessageId"]}
    rich, plain = records[sent["MessageId"]], records[bare["MessageId"]]
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    assert rich["messageAttributes"] == {
        "text": {"stringValue": "grün", "dataType": "String", **lists},
        "number": {"stringValue": "1.50", "dataType": "Number", **lists},
        "custom": {"stringValue": "7", "dataType": "Number.int", **lists},
        "blob": {"binaryValue": base64.b64encode(binary).decode(), "dataType": "Binary", **lists},
        "picture": {"binaryValue": base64.b64encode(b"\x89PNG").decode(), "dataType": "Binary.png", **lists},
    }
    assert rich["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert plain["messageAttributes"] == {}
    assert "md5OfMessageAttributes" not in plain, "without a window the key is missing, not null"
    for record, answer, text in ((rich, sent, body), (plain, bare, "bare")):
        assert record["body"] == text
        assert record["md5OfBody"] == answer["MD5OfMessageBody"]
        assert record["eventSource"] == "aws:sqs"
        assert record["eventSourceARN"] == queue["arn"]
        assert record["awsRegion"] == "us-east-1"
        assert record["receiptHandle"]
        attributes = record["attributes"]
        assert {"ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"} <= (
            attributes.keys()
        )
        assert all(isinstance(value, str) for value in attributes.values())
        assert attributes["ApproximateReceiveCount"] == "1"
        assert int(attributes["SentTimestamp"]) > 1_600_000_000_000, "milliseconds"


def told_by_demo(server: str | None, request: pytest.FixtureRequest, folder: Path, *arguments: str) -> Any:
    """`poller demo --json`, which has to end well; what it printed."""
    aws = [] if server is None else ["--aws", str(request.getfixturevalue(server))]
    done = daemon.poller(
        "demo", "--json", "--seconds", "2", *arguments, *aws, cwd=folder, env=daemon.environment(), timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["accounted"] is True
    for row in told["mappings"]:
        assert row["sent"] == row["succeeded"] + row["given_up"], row
        assert row["given_up"] >= 4, "some are poison"
        assert row["failed_attempts"] > row["given_up"] * 2
        assert (row["lost"], row["out_of_order"]) == (0, 0)
    return told


@pytest.mark.parametrize("server", [None, "ministack"])
def test_the_demo_accounts_for_every_record(
    server: str | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """GEN-2, GEN-5, FIFO-1, SQS-25, STR-2, STR-7, STR-40, ERR-30, PBR-20, DST-9: over 2,000 messages to two queues
    and more to a stream and a table, with failures, dead letters and failure documents, here (also a split and a
    rollover) and on another server.
    """
    told = told_by_demo(server, request, tmp_path)
    assert [row["mapping"] for row in told["mappings"]] == ["orders", "payments.fifo", "clicks", "stock"]
    assert [row["sent"] for row in told["mappings"]] == [1440, 720, 900, 540]
    assert [row["failure_documents"] >= 5 for row in told["mappings"]] == [False, False, True, True]
    assert told["left_out"] == {}


def test_the_demo_leaves_out_what_a_server_does_not_have(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """GEN-5: roto has tables, but no streams of them."""
    told = told_by_demo("roto_server", request, tmp_path, "--records", "1000")
    assert [row["mapping"] for row in told["mappings"]] == ["orders", "payments.fifo", "clicks"]
    assert sum(row["sent"] for row in told["mappings"]) == 1000
    assert list(told["left_out"]) == ["stock"]
