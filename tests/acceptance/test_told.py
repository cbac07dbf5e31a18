"""What the daemon tells of failures of every kind: by the list, and nothing of what it works on."""

import base64
import os
from pathlib import Path
from typing import Any

from poller.actions import ACTIONS, COMMON
from tests.acceptance import daemon, forked
from tests.acceptance import stream_daemon as streams

BODY = "SECRET-5f2c7e"
HANDLERS = """
import asyncio, json, os, pathlib, time

OUT = os.open(pathlib.Path(__file__).with_name("receipts.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(event):
    print("at work", flush=True)  # where nobody reads it
    os.write(OUT, "".join(record["receiptHandle"] + "\\n" for record in event["Records"]).encode())


def works(event, context):
    note(event)


def raises(event, context):
    note(event)
    raise ValueError("broken")


def reports(event, context):
    note(event)
    return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}


def mumbles(event, context):
    note(event)
    return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["body"]}]}


async def hangs(event, context):
    note(event)
    await asyncio.sleep(3600)


def crashes(event, context):
    note(event)
    os._exit(3)


def refuses(event, context):
    while not pathlib.Path(__file__).with_name("go").exists():
        time.sleep(0.01)
    raise ValueError("broken")
"""
LISTED = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
QUEUES: dict[str, dict[str, Any]] = {
    "raises": {"FunctionName": "python:handlers:raises"},
    "reports": {"FunctionName": "python:handlers:reports"} | LISTED,
    "mumbles": {"FunctionName": "python:handlers:mumbles"} | LISTED,
    "hangs": {"FunctionName": "python:handlers:hangs", "Handler": {"TimeoutInSeconds": 1}},
    "crashes": {"FunctionName": "process:handlers:crashes"},
    "babbles": {"FunctionName": "exec:sh -c 'while read -r line; do echo this is no JSON; done'"},
    "unreachable": {"FunctionName": "http://127.0.0.1:1/"},
}


def test_nothing_of_what_it_works_on_is_told(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """ERR-31, DST-30: at DEBUG, however a batch fails, the log has no body and no receipt handle; and each line is
    as deploy/docs/logs.md says. Its standard output has no reader any more, which fails no batch.
    """
    client = sqs_client(embedded_aws)
    mappings = []
    for name, fields in (QUEUES | {"works": {"FunctionName": "python:handlers:works"}}).items():
        queue = daemon.make_queue(client, daemon.own(name))
        daemon.send(client, queue["url"], [f"{BODY}-{number}" for number in range(2)])
        mappings.append({"Name": name, "EventSourceArn": queue["arn"]} | fields)
    kinesis = streams.client("kinesis", embedded_aws)
    stream = streams.Stream(kinesis, daemon.own("refuses"))
    stream.put([f"{BODY}-{number}" for number in range(2)], "key")
    kinesis.close()
    destination = daemon.make_queue(client, daemon.own("destination"))
    mappings.append(
        {
            "Name": "refuses",
            "EventSourceArn": stream.arn,
            "FunctionName": "python:handlers:refuses",
            "StartingPosition": "TRIM_HORIZON",
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 0,
            "DestinationConfig": {"OnFailure": {"Destination": destination["arn"]}},
        }
    )
    daemon.write(tmp_path, *mappings, handlers=HANDLERS, Logging={"Level": "DEBUG"})
    reader, writer = os.pipe()
    os.close(reader)
    log = tmp_path / "daemon.log"
    with log.open("ab") as err:
        process = forked.start(("run",), tmp_path, daemon.environment(embedded_aws), writer, err.fileno())
    os.close(writer)

    def told(mapping: str, *actions: str) -> bool:
        written = log.read_text(errors="replace")
        assert process.poll() is None, written
        return any(f'"action":"{action}","mapping":"{mapping}"' in written for action in actions)

    try:
        daemon.wait_for(lambda: told("refuses", "shard_started"), "the shard")
        client.delete_queue(QueueUrl=destination["url"])
        (tmp_path / "go").touch()
        daemon.wait_for(lambda: told("refuses", "discarded"), "the refusal of the destination")
        daemon.wait_for(lambda: told("works", "batch_done"), "the one that works")
        for name in QUEUES:
            daemon.wait_for(lambda name=name: told(name, "batch_failed", "batch_retried"), f"a failure of {name}")  # type: ignore[misc]
    finally:
        process.kill()
    written = log.read_text()
    receipts = daemon.written(tmp_path / "receipts.txt")
    assert receipts
    for secret in (BODY, base64.b64encode(BODY.encode()).decode()[:14], *receipts):
        assert secret not in written
    lines = [line for line in daemon.json_lines(written) if "action" in line]
    assert {"output_lost", "bisected", "handler_error", "worker_ended"} <= {line["action"] for line in lines}
    for line in lines:
        action = ACTIONS[line["action"]]
        assert line["level"] in action.level, line
        assert set(line) <= {"timestamp", "level", "event", *COMMON, *action.fields}, line
