"""Every command that the guides show is run: on a daemon with a queue and a stream, failures in both."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

DOCS = Path(__file__).parents[2] / "deploy" / "docs"
FAILED = "arn:aws:sqs:us-east-1:000000000000:clicks-failed"
MAILS = "arn:aws:sqs:us-east-1:000000000000:mails"
HANDLERS = """
import json


def order(event, context):
    if not there("mended") and any("bad" in record["body"] for record in event["Records"]):
        raise ValueError("bad")


def click(event, context):
    if not there("mended") and any("bad" in text(record) for record in event["Records"]):
        raise ValueError("bad")
    note(*(text(record) for record in event["Records"]))
"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: orders
      Handler: shop.handler
      Runtime: python3.12
      Events:
        Queue: {Type: SQS, Properties: {Queue: "arn:aws:sqs:us-east-1:000000000000:orders"}}
"""


def lines(guide: str) -> list[str]:
    """What its shell blocks say, in their order."""
    text = (DOCS / guide).read_text("utf-8")
    found = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line for block in found for line in block.splitlines() if line]


@pytest.fixture
def folder(
    embedded_aws: str, sqs_client: Any, new_stream: Any, tmp_path: Path
) -> tuple[Path, dict[str, str], dict[str, str], Any]:
    """A folder with a configuration; the environment; what stands for what in the guides; the stream."""
    sqs = sqs_client(embedded_aws)
    orders = daemon.make_queue(sqs, daemon.own("orders"), visibility=1, dead=1)
    failed = daemon.make_queue(sqs, daemon.own("clicks-failed"))
    stream = new_stream(embedded_aws)
    streams.write(
        tmp_path,
        {
            "Name": "orders",
            "EventSourceArn": orders["arn"],
            "FunctionName": "python:handlers:order",
            "Handler": {"TimeoutInSeconds": 1},
        },
        {
            "Name": "clicks",
            "EventSourceArn": stream.arn,
            "FunctionName": "python:handlers:click",
            "StartingPosition": "TRIM_HORIZON",
            "MaximumRetryAttempts": 0,
            "BisectBatchOnFunctionError": True,
            "DestinationConfig": streams.to_queue(failed["arn"]),
        },
        handlers=HANDLERS,
        ControlApi={"Listen": "127.0.0.1:0"},
    )
    daemon.send(sqs, orders["url"], ['{"type": "order", "n": "bad"}', '{"type": "note", "n": "bad"}', "bad"])
    stream.put(["a", "bad", "b"], "key")
    stands_for = {
        FAILED: failed["arn"],
        MAILS: daemon.make_queue(sqs, daemon.own("mails"))["arn"],
        "shardId-000000000000": next(iter(stream.shards())),
        "python:mails:handler": "python:handlers:order",
    }
    env = daemon.environment(embedded_aws, AWS_DEFAULT_REGION="us-east-1")

    def waiting(url: str) -> int:
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(told["Attributes"]["ApproximateNumberOfMessages"])

    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: waiting(orders["dead"]) == 3 and waiting(failed["url"]) == 1, "the failures")
        running.ready()
    (tmp_path / "mended").touch()
    return tmp_path, env, stands_for, stream


def aws(command: list[str], environment: dict[str, str], words: list[str]) -> str:
    """What the real aws command prints, which has to end well."""
    asked = json.dumps(["--output", "json", *words]) + "\n"
    done = subprocess.run(command, input=asked, env=environment, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["code"] == 0, answer["err"]
    return str(answer["out"])


def test_what_the_guides_show_works(
    folder: tuple[Path, dict[str, str], dict[str, str], Any], aws_cli: list[str]
) -> None:
    """GEN-2, API-1, DST-1, SQS-25: dead letters and failure documents are handled in the end; nothing is left."""
    path, env, stands_for, stream = folder
    (path / "template.yaml").write_text(TEMPLATE)
    shown = lines("operate.md") + lines("migrate.md")
    said: dict[str, str] = {}
    alone: list[str] = []

    def poller(line: str) -> None:
        words = [stands_for.get(word, word) for word in shlex.split(line.partition(" > ")[0])]
        done = daemon.poller(*words[1:], cwd=path, env=env)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said[line] = done.stdout

    with daemon.running(path, env) as running:
        running.ready()
        control = re.search(r"http://127\.0\.0\.1:\d+(?=/\W)", running.output().replace("/metrics", ""))
        assert control is not None
        for line in shown:
            match shlex.split(line):
                case ["poller", "checkpoint", "set", *_] | ["poller", "invoke", *_]:
                    alone.append(line)  # no daemon may be at work then, or takes the records away
                case ["poller", *_]:
                    poller(line)
                case ["export", setting]:
                    assert setting == "AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:9465"
                    said[line] = ""
                case ["aws", *words]:
                    there = env | {"AWS_ENDPOINT_URL_LAMBDA": control.group()}
                    said[line] = aws(aws_cli, there, [stands_for.get(word, word) for word in words])
                case _:
                    pytest.fail(f"nobody runs this: {line}")
        daemon.wait_for(
            lambda: running.metric("esm_deleted_events_total", mapping="orders") == 3, "the dead letters"
        )
    stream.put(["c"], "key")
    for line in alone:
        poller(line)
    assert said.keys() == set(shown)
    assert "3 visible" in said["poller dlq ls"]
    assert "bad" in streams.notes(path)
    assert [record for record in said["poller tail clicks --since 1h --n 3"].splitlines() if "bad" in record]
    assert stands_for[MAILS] in said["aws lambda list-event-source-mappings"]


def test_a_stream_goes_on_where_another_worker_stopped(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """STR-2, STR-14, API-8: migrate.md's way from the KCL. Its table has the parent as SHARD_END, a number for one
    child and nothing for the other: nothing runs before that is taken over, and nothing of it again after.
    """
    stream = new_stream(embedded_aws)
    (parent,) = stream.shards()
    stream.put_in(parent, ["old-1", "old-2"])
    lower, upper = stream.split(parent)
    done, _ = stream.put_in(lower, ["done", "next"])
    stream.put_in(upper, ["unseen"])
    env = daemon.environment(embedded_aws)
    handlers = "def work(event, context):\n    note(*(text(record) for record in event['Records']))\n"
    streams.write(tmp_path, streams.mapping(stream, Enabled=False), handlers=handlers)
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: [line for line in running.lines() if line.get("state") == "Disabled"], "the rows")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    assert streams.checkpoints(tmp_path).keys() == {parent, lower, upper}
    for shard, *to in ([parent, "--end"], [lower, "--sequence", done.sequence]):
        words = ("checkpoint", "set", "--mapping", stream.name, "--shard", shard, *to)
        assert daemon.poller(*words, cwd=tmp_path, env=env).returncode == 0
    streams.write(tmp_path, streams.mapping(stream), handlers=handlers)
    with daemon.running(tmp_path, env, "--drain") as running:
        assert running.wait() == 0, running.output()
    assert sorted(streams.notes(tmp_path)) == ["next", "unseen"]
