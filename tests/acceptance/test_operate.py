"""`poller dlq`, `tail` and `invoke` beside a queue or stream: what they show, and that they give back what they
took.

A redrive is also made on a server that others wrote.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from poller.cli import commands
from poller.errors import PollerError
from poller.testing import EmbeddedAws
from tests.acceptance import daemon, forked
from tests.acceptance import stream_daemon as streams

HANDLERS = """
import json, os, time
from pathlib import Path

def work(event, context):
    print("said by the handler")
    os.write(1, b"{")
    while Path("blocked").exists():
        Path("begun").touch()
        time.sleep(0.05)
    # an id is hexadecimal, and one in a hundred has these letters
    said = ("body", "dynamodb", "kinesis")
    bad = [r for r in event["Records"] if "bad" in json.dumps([r.get(name) for name in said])]
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in bad]}


def streamed(event, context):
    return {"seen": [r["kinesis"]["partitionKey"] for r in event["Records"]]}
"""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
TRACE = "Root=1-5e3d557d-d06c248cc50169bd71b44fec"


@pytest.fixture
def env(embedded_aws: str) -> dict[str, str]:
    return daemon.environment(embedded_aws)


def write(folder: Path, queue: dict[str, str], **more: Any) -> None:
    partial = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
    mapping = {
        "Name": "q",
        "EventSourceArn": queue["arn"],
        "FunctionName": "python:handlers:work",
        **partial,
        **more,
    }
    daemon.write(folder, mapping, handlers=HANDLERS)


def here(*arguments: str, cwd: Path, env: dict[str, str]) -> Any:
    """`poller ARGUMENTS` in this process, which saves a start; for commands that run no handler."""
    with contextlib.chdir(cwd), patch.dict(os.environ, env, clear=True):
        result = CliRunner().invoke(commands, arguments)
    if isinstance(result.exception, PollerError):
        return subprocess.CompletedProcess(arguments, result.exception.exit_code, "", str(result.exception))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def failed_messages(
    client: Any, queue: dict[str, str], bodies: list[str], groups: list[str] | None = None
) -> None:
    """Sent, received once, and moved to the dead-letter queue by the next receive."""
    daemon.send(client, queue["url"], bodies, groups)

    def moved() -> bool:
        client.receive_message(QueueUrl=queue["url"], MaxNumberOfMessages=10, VisibilityTimeout=0)
        return daemon.counts(client, queue["dead"])[0] == len(bodies)

    daemon.wait_for(moved, "the failures")


def test_a_dead_letter_queue_is_looked_at_and_filtered_back(
    embedded_aws: str, env: dict[str, str], sqs_client: Any, tmp_path: Path
) -> None:
    """What is shown is given back; attributes and trace header go along; what does not match or is beyond --max
    stays, and so does what another queue's policy brought.
    """
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("q"), dead=1)
    write(tmp_path, queue)
    for kind in ("order", "order", "order", "other"):
        client.send_message(
            QueueUrl=queue["dead"], MessageBody=json.dumps({"type": kind}),
            MessageAttributes={
                "a": {"DataType": "Number.int", "StringValue": "1"},
                "b": {"DataType": "Binary", "BinaryValue": b"\x00"},
            },
            MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}},
        )  # fmt: skip
    listed = here("dlq", "ls", "q", "--json", cwd=tmp_path, env=env)
    assert listed.returncode == 0, listed.stderr
    (told,) = json.loads(listed.stdout)
    assert (told["visible"], told["mapping"], len(told["messages"])) == (4, "q", 4)
    assert {one["receive_count"] for one in told["messages"]} == {1}
    shown = here("dlq", "show", told["messages"][0]["id"][:13], "q", cwd=tmp_path, env=env)
    message = json.loads(shown.stdout)
    assert message["MessageAttributes"]["a"] == {"DataType": "Number.int", "StringValue": "1"}
    assert "ReceiptHandle" not in message
    assert daemon.counts(client, queue["dead"]) == (4, 0, 0)

    pattern = ("--filter", '{"body": {"type": ["order"]}}')
    dry = here("dlq", "redrive", "q", *pattern, "--dry-run", "--json", cwd=tmp_path, env=env)
    assert json.loads(dry.stdout)["would_move"] == 3
    assert daemon.counts(client, queue["dead"]) == (4, 0, 0)
    redriven = here("dlq", "redrive", "q", *pattern, "--max", "2", "--json", cwd=tmp_path, env=env)
    assert redriven.returncode == 0, redriven.stderr
    assert json.loads(redriven.stdout)["moved"] == 2
    assert daemon.counts(client, queue["dead"]) == (2, 0, 0)
    answer = client.receive_message(
        QueueUrl=queue["url"], MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    )
    for back in answer["Messages"]:
        assert json.loads(back["Body"]) == {"type": "order"}
        assert back["MessageAttributes"]["b"] == {"DataType": "Binary", "BinaryValue": b"\x00"}
        assert back["Attributes"]["AWSTraceHeader"] == TRACE

    other = daemon.make_queue(client, daemon.own("q"))
    other["dead"] = queue["dead"]
    policy = {"deadLetterTargetArn": daemon.arn_of(client, queue["dead"]), "maxReceiveCount": 1}
    client.set_queue_attributes(QueueUrl=other["url"], Attributes={"RedrivePolicy": json.dumps(policy)})
    daemon.drain(client, queue["dead"])
    failed_messages(client, other, ["foreign"])
    foreign = here("dlq", "redrive", "q", cwd=tmp_path, env=env)
    assert foreign.returncode == 0
    assert "1 came from another queue and stay" in foreign.stdout
    back = here(
        "dlq", "redrive", "--queue", policy["deadLetterTargetArn"], "--to", other["arn"], cwd=tmp_path, env=env
    )
    assert "1 moved" in back.stdout, back.stderr
    assert [one["Body"] for one in daemon.drain(client, other["url"])] == ["foreign"]


def test_a_queue_that_is_gone_hides_no_other(
    embedded_aws: str, env: dict[str, str], sqs_client: Any, tmp_path: Path
) -> None:
    """`ls` over all mappings shows the others, says of that one what to do, and ends with 1; `show` finds what is
    there. Of one that is named it is an error, with 2.
    """
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("q"), dead=1)
    gone = queue["arn"] + "-gone"
    work = {"FunctionName": "python:handlers:work"}
    mappings = [
        {"Name": name, "EventSourceArn": arn, **work} for name, arn in (("gone", gone), ("q", queue["arn"]))
    ]
    daemon.write(tmp_path, *mappings, handlers=HANDLERS)
    client.send_message(QueueUrl=queue["dead"], MessageBody="a")
    listed = here("dlq", "ls", cwd=tmp_path, env=env)
    assert listed.returncode == 1, listed.stderr
    of_gone, of_q = listed.stdout.split(queue["arn"] + "-dlq of q")
    assert of_gone.startswith("gone\n")
    assert "check name, account and region" in " ".join(of_gone.split())
    assert "1 visible" in " ".join(of_q.split())
    told = here("dlq", "ls", "--json", cwd=tmp_path, env=env)
    assert told.returncode == 1
    assert [(one["mapping"], one["visible"]) for one in json.loads(told.stdout)] == [("gone", None), ("q", 1)]
    identifier = json.loads(told.stdout)[1]["messages"][0]["id"]
    shown = here("dlq", "show", identifier, cwd=tmp_path, env=env)
    assert (shown.returncode, json.loads(shown.stdout)["Body"]) == (0, "a")
    assert shown.stderr.startswith("poller: That of gone is not looked at: ")
    named = here("dlq", "ls", "gone", cwd=tmp_path, env=env)
    assert (named.returncode, "does not exist" in named.stderr) == (2, True)


@pytest.mark.parametrize("server", ["embedded_aws", "ministack"])
@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_a_redrive_loses_and_reorders_nothing(
    server: str, suffix: str, request: pytest.FixtureRequest, sqs_client: Any, tmp_path: Path
) -> None:
    """FIFO-1: in the order of each group, within the five minutes in which the old deduplication ids would be
    swallowed.
    """
    url = request.getfixturevalue(server)
    client = sqs_client(url)
    queue = daemon.make_queue(client, daemon.own("q") + suffix, dead=1)
    write(tmp_path, queue)
    bodies = [f"{n}" for n in range(9)]
    groups = [f"g{n % 2}" for n in range(9)] if suffix else None
    failed_messages(client, queue, bodies, groups)
    done = here("dlq", "redrive", "q", cwd=tmp_path, env=daemon.environment(url))
    assert done.returncode == 0, done.stderr
    assert "9 moved" in done.stdout
    assert daemon.empty(client, queue["dead"])
    back = daemon.drain(client, queue["url"])
    assert sorted(one["Body"] for one in back) == bodies
    if groups:
        for group in ("g0", "g1"):
            order = [one["Body"] for one in back if one["Attributes"]["MessageGroupId"] == group]
            assert order == sorted(order)


def test_a_target_that_takes_nothing_leaves_everything(
    embedded_aws: str, env: dict[str, str], sqs_client: Any, tmp_path: Path
) -> None:
    """FIFO-1: of a group nothing goes on behind a message that could not be sent; exit code 1."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("q") + ".fifo", dead=1)
    small = daemon.make_queue(client, daemon.own("q") + ".fifo", MaximumMessageSize="1024")
    write(tmp_path, queue)
    failed_messages(client, queue, ["1" * 2000, "2", "3"], ["g", "g", "h"])
    done = here("dlq", "redrive", "q", "--to", small["arn"], "--json", cwd=tmp_path, env=env)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["moved"], told["held_back"], len(told["problems"])) == (1, 1, 1)
    assert daemon.counts(client, queue["dead"]) == (2, 0, 0)
    assert [one["Body"] for one in daemon.drain(client, small["url"])] == ["3"]


def test_wrong_use_of_a_dead_letter_queue(
    embedded_aws: str, sqs_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, exit code 2. A queue with a RedrivePolicy of its own is not looked at: a look is a receive."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": embedded_aws}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    queue = daemon.make_queue(sqs_client(embedded_aws), daemon.own("q"))
    own = daemon.make_queue(sqs_client(embedded_aws), daemon.own("q"), dead=1)
    daemon.send(sqs_client(embedded_aws), own["url"], ["a"])
    write(tmp_path, queue)
    for arguments, reason in (
        (("dlq", "ls"), "RedrivePolicy"),
        (("dlq", "ls", "p"), "there are q"),
        (("dlq", "redrive", "q"), "has no RedrivePolicy"),
        (("dlq", "redrive"), "SystemExit(2)"),
        (("dlq", "redrive", "--queue", queue["arn"], "--to", queue["arn"]), "name another with --to"),
        (("dlq", "redrive", "--queue", queue["arn"], "--to", queue["arn"] + ".fifo"), "are of two kinds"),
        (("dlq", "redrive", "--queue", queue["arn"], "--to", "x", "--filter", "{"), "--filter: "),
        (("tail", queue["arn"]), "cannot be looked at without receiving"),
        (("tail", queue["arn"], "--steal", "--since", "1m"), "--since is for streams"),
        (("tail", "arn:aws:kinesis:us-east-1:000000000000:stream/s", "--since", "1y"), "neither a span"),
        (("tail", queue["arn"], "--steal", "-c", "no.yaml"), "no such file"),
        (("dlq", "show", "x", "--queue", own["arn"]), "among the 0"),
        (("dlq", "redrive", "--queue", own["arn"], "--to", queue["arn"], "--dry-run"), "there is no dry run"),
        (("invoke", "q", "--n", "11"), "at most 10 records"),
        (("invoke", "q", "--shard", "s"), "has no shards"),
    ):
        error = CliRunner().invoke(commands, arguments).exception
        said, code = (str(error), error.exit_code) if isinstance(error, PollerError) else (repr(error), 2)
        assert (code, reason in said) == (2, True), (arguments, said)
    (there,) = daemon.drain(sqs_client(embedded_aws), own["url"])
    assert there["Attributes"]["ApproximateReceiveCount"] == "1"


def test_tail_shows_what_is_there_and_leaves_it(
    embedded_aws: str, env: dict[str, str], new_stream: Any, sqs_client: Any, tmp_path: Path
) -> None:
    """A stream is shown from a time on through a split; a queue's messages are given back."""
    client, stream = sqs_client(embedded_aws), new_stream(embedded_aws)
    stream.put(["one", "two"], "k")
    (shard,) = stream.shards()
    child, _ = stream.split(shard)
    stream.put_in(child, ["three"])
    pattern = json.dumps({"partitionKey": [{"anything-but": "none"}]})
    done = here(
        "tail", stream.arn, "--since", "1h", "--n", "3", "--json", "--filter", pattern, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["kinesis"]["partitionKey"] for one in records] == ["k", "k", "three"]
    assert records[0]["eventID"].startswith(shard)

    queue = daemon.make_queue(client, daemon.own("q"))
    daemon.send(client, queue["url"], ["a", "b"])
    stolen = here("tail", queue["arn"], "--steal", cwd=tmp_path, env=env)
    assert stolen.returncode == 0, stolen.stderr
    assert sorted(line.split()[-1] for line in stolen.stdout.splitlines()) == ["a", "b"]
    assert daemon.counts(client, queue["url"]) == (2, 0, 0)


async def test_tail_tells_of_a_stream_that_is_throttled_beside_its_result(tmp_path: Path) -> None:
    """STR-23: on standard error, in one line; what comes of `--json` is records only."""
    async with EmbeddedAws() as aws:
        now = aws.service.clock.now()
        aws.kinesis.apply(now, "CreateStream", {"StreamName": "s", "ShardCount": 1})
        aws.kinesis.apply(now, "PutRecord", {"StreamName": "s", "PartitionKey": "k", "Data": "YQ=="})
        aws.faults.throttle("GetRecords", 2)
        arguments = (
            "tail",
            "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "--since",
            "1h",
            "--n",
            "1",
            "--json",
        )
        tail = await asyncio.to_thread(daemon.poller, *arguments, cwd=tmp_path, env=daemon.environment(aws.url))
    assert (tail.returncode, json.loads(tail.stdout)["kinesis"]["partitionKey"]) == (0, "k")
    failing, again = tail.stderr.splitlines()
    assert failing.startswith("poller: shardId-000000000000 cannot be read at the moment, and is tried again: ")
    assert again == "poller: It is read again, after 2 tries that failed."


def test_invoke_judges_and_deletes_only_when_told(
    embedded_aws: str, env: dict[str, str], new_stream: Any, sqs_client: Any, tmp_path: Path
) -> None:
    """PBR-10: by the response table; --ack deletes what succeeded. Nothing of the handler's output is in the
    result.
    """
    client, stream = sqs_client(embedded_aws), new_stream(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("q"))
    daemon.send(client, queue["url"], ["good", "bad"])
    write(tmp_path, queue)
    looked = daemon.poller("invoke", "q", "--n", "2", "--no-ack", "--json", cwd=tmp_path, env=env)
    assert looked.returncode == 1, looked.stderr
    told = json.loads(looked.stdout)
    assert (told["outcome"], told["records"]) == ("partial", 2)
    assert (len(told["would_be_done"]), len(told["would_be_tried_again"])) == (1, 1)
    assert "said by the handler" in looked.stderr
    assert daemon.counts(client, queue["url"]) == (2, 0, 0)
    acknowledged = daemon.poller("invoke", "q", "--n", "2", "--ack", "--json", cwd=tmp_path, env=env)
    assert json.loads(acknowledged.stdout)["acknowledged"] == told["would_be_done"]
    assert [one["Body"] for one in daemon.drain(client, queue["url"])] == ["bad"]
    (tmp_path / "event.json").write_text(json.dumps({"Records": [{"messageId": "1", "body": "bad"}]}))
    of_file = daemon.poller("invoke", "q", "--event", "event.json", cwd=tmp_path, env=env)
    assert "would try again: 1 (1)" in of_file.stdout, of_file.stderr
    nothing = daemon.poller("invoke", "q", cwd=tmp_path, env=env)
    assert (nothing.returncode, "no record" in nothing.stderr) == (1, True)

    stream.put(["a", "b"], ["x", "y"])
    streams.write(tmp_path, streams.mapping(stream, "streamed"), handlers=HANDLERS)
    of_stream = daemon.poller("invoke", stream.name, "--n", "5", "--json", cwd=tmp_path, env=env)
    assert json.loads(of_stream.stdout)["response"] == {"seen": ["x", "y"]}
    refused = here("invoke", stream.name, "--ack", cwd=tmp_path, env=env)
    assert (refused.returncode, "position is the daemon's" in refused.stderr) == (2, True)


def test_what_was_taken_is_given_back_on_ctrl_c(
    embedded_aws: str, env: dict[str, str], sqs_client: Callable[..., Any], tmp_path: Path
) -> None:
    """In the middle of an invocation: exit code 130, and the message is visible at once."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("q"))
    daemon.send(client, queue["url"], ["good"])
    write(tmp_path, queue)
    (tmp_path / "blocked").touch()
    with tempfile.TemporaryFile("w+") as out:
        process = forked.start(("invoke", "q"), tmp_path, env, out.fileno(), out.fileno())
        try:
            daemon.wait_for((tmp_path / "begun").exists, "the handler")
            process.send_signal(signal.SIGINT)
            assert process.wait(daemon.DEADLINE) == 130
        finally:
            process.kill()
        out.seek(0)
        assert out.read().split("\n") == ["said by the handler", "{", "poller: interrupted", ""]
    assert daemon.counts(client, queue["url"]) == (1, 0, 0)
