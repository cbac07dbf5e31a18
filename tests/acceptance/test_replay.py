"""`poller replay`: what a daemon gave up is handled again, from a queue, a bucket and a file."""

import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from poller.cli import commands
from poller.errors import PollerError
from tests.acceptance import daemon, forked
from tests.acceptance import stream_daemon as streams

HANDLERS = """
import json

def work(event, context):
    note(json.dumps(event))
    while there("blocked"):
        note("waiting")
        time.sleep(0.05)
    if there("broken"):
        raise ValueError("broken")
    bad = (HERE / "bad").read_text().split() if there("bad") else []
    failed = [r["kinesis"]["sequenceNumber"] for r in event["Records"] if text(r) in bad]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}


def change(event, context):
    note(*(record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]))
"""


@pytest.fixture
def env(embedded_aws: str) -> dict[str, str]:
    return daemon.environment(embedded_aws)


def events(folder: Path) -> list[dict[str, Any]]:
    """Those that the handler was called with, and forgets them."""
    found = [json.loads(line) for line in streams.notes(folder) if line.startswith("{")]
    (folder / "notes.txt").unlink(missing_ok=True)
    return found


def told(done: Any) -> list[dict[str, Any]]:
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_given_up_is_handled_again_and_only_then_forgotten(
    embedded_aws: str, env: dict[str, str], new_stream: Any, sqs_client: Any, tmp_path: Path
) -> None:
    """DST-9, DST-14, STR-40: from a queue, with another lane's records and filtered ones between a document's
    ends; the events are those that the daemon gave. A dry run and a handler that fails leave everything as it
    is.
    """
    sqs, stream = sqs_client(embedded_aws), new_stream(embedded_aws)
    queue = daemon.make_queue(sqs, daemon.own("failed"))
    wanted = [json.dumps({"n": n}) for n in range(6)]
    stream.put([*wanted[:3], "not wanted", *wanted[3:]], [*"aba", "a", *"bab"])
    filters = {"Filters": [{"Pattern": json.dumps({"data": {"n": [{"exists": True}]}})}]}
    streams.write(
        tmp_path,
        streams.mapping(
            stream, ParallelizationFactor=2, MaximumRetryAttempts=0, FilterCriteria=filters,
            DestinationConfig=streams.to_queue(queue["arn"]),
        ),
        handlers=HANDLERS,
    )  # fmt: skip
    (tmp_path / "broken").touch()
    done = daemon.poller("run", "--drain", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    given = sorted(json.dumps(event) for event in events(tmp_path))
    count = daemon.counts(sqs, queue["url"])[0]
    assert count == len(given) >= 1

    dry = daemon.poller("replay", "--dry-run", "--json", cwd=tmp_path, env=env)
    assert dry.returncode == 0, dry.stderr
    assert [one["fate"] for one in told(dry)] == ["would replay"] * count
    assert sum(one["left"] for one in told(dry)) == 6
    assert not events(tmp_path)

    failing = daemon.poller("replay", "--json", cwd=tmp_path, env=env)
    assert failing.returncode == 1
    lines = [json.loads(line) for line in failing.stdout.splitlines()]  # where the handler failed is on stderr
    assert {(one["fate"], one["done"], one["detail"]) for one in lines} == {("left", 0, "ValueError: broken")}
    assert daemon.counts(sqs, queue["url"]) == (count, 0, 0)
    events(tmp_path)

    (tmp_path / "broken").unlink()
    again = daemon.poller("replay", "--json", cwd=tmp_path, env=env)
    assert again.returncode == 0, again.stderr
    assert [one["fate"] for one in told(again)] == ["done"] * count
    assert sorted(json.dumps(event) for event in events(tmp_path)) == given
    assert daemon.empty(sqs, queue["url"])

    nothing = daemon.poller("replay", cwd=tmp_path, env=env)
    assert (nothing.returncode, nothing.stdout) == (0, "0 documents: 0 done, 0 left\n")


def test_the_payload_of_a_bucket_and_what_a_partial_response_leaves(
    embedded_aws: str, env: dict[str, str], new_stream: Any, aws_client: Callable[[str, str], Any], tmp_path: Path
) -> None:
    """DST-10, PBR-22: the rest follows at once; of what stays, the object tells the rest only."""
    s3, stream, bucket = aws_client("s3", embedded_aws), new_stream(embedded_aws), daemon.own("failed")
    s3.create_bucket(Bucket=bucket)
    placed = stream.put(["a", "b", "c", "d"], "k")
    mapping = streams.mapping(
        stream, MaximumRetryAttempts=0, FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig=streams.to_queue(f"arn:aws:s3:::{bucket}"),
    )  # fmt: skip
    streams.write(tmp_path, mapping, handlers=HANDLERS)
    (tmp_path / "broken").touch()
    assert daemon.poller("run", "--drain", cwd=tmp_path, env=env).returncode == 0
    (original,) = events(tmp_path)
    (tmp_path / "broken").unlink()

    (tmp_path / "bad").write_text("c")
    partly = daemon.poller("replay", "--json", cwd=tmp_path, env=env)
    assert partly.returncode == 1, partly.stderr
    (one,) = told(partly)
    assert (one["fate"], one["done"], one["left"]) == ("partly done", 2, 2)
    first, second = events(tmp_path)
    assert first == original
    assert second["Records"] == original["Records"][2:]
    ((key,),) = [[item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]]
    document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert document["KinesisBatchInfo"]["startSequenceNumber"] == placed[2].sequence
    assert document["KinesisBatchInfo"]["batchSize"] == 2
    assert json.loads(document["payload"])["Records"] == original["Records"][2:]

    (tmp_path / "bad").unlink()
    rest = daemon.poller("replay", "--mapping", stream.name, cwd=tmp_path, env=env)
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert [event["Records"] for event in events(tmp_path)] == [original["Records"][2:]]
    assert not s3.list_objects_v2(Bucket=bucket).get("Contents")


def test_partial_progress_in_a_queue_leaves_one_shorter_document(
    embedded_aws: str, env: dict[str, str], new_stream: Any, sqs_client: Any, tmp_path: Path
) -> None:
    """PBR-22: the shorter one is not taken up by the run that wrote it, and has the form of DST-2."""
    sqs, stream = sqs_client(embedded_aws), new_stream(embedded_aws)
    queue = daemon.make_queue(sqs, daemon.own("failed"))
    placed = stream.put(["a", "b", "c"], "k")
    streams.write(
        tmp_path,
        streams.mapping(
            stream, FunctionResponseTypes=["ReportBatchItemFailures"],
            DestinationConfig=streams.to_queue(queue["arn"]),
        ),
        handlers=HANDLERS,
    )  # fmt: skip
    sqs.send_message(QueueUrl=queue["url"], MessageBody=json.dumps(document(stream.arn, placed, stream.name)))
    (tmp_path / "bad").write_text("b c")
    done = daemon.poller("replay", "--json", cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert [(one["fate"], one["done"], one["left"]) for one in told(done)] == [("partly done", 1, 2)]
    (left,) = streams.documents(sqs, queue["url"])
    info = left["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"]) == (placed[1].sequence, placed[2].sequence)
    assert info["batchSize"] == 2
    assert info["approximateArrivalOfFirstRecord"].endswith("Z")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_ended_in_the_middle_it_loses_no_document(
    number: int,
    code: int,
    embedded_aws: str,
    env: dict[str, str],
    new_stream: Any,
    sqs_client: Any,
    tmp_path: Path,
) -> None:
    """What can be given back is, at once; after a kill -9 the document is in flight until its time is over."""
    sqs, stream = sqs_client(embedded_aws), new_stream(embedded_aws)
    queue = daemon.make_queue(sqs, daemon.own("failed"))
    streams.write(
        tmp_path,
        streams.mapping(
            stream, DestinationConfig=streams.to_queue(queue["arn"]), Handler={"TimeoutInSeconds": 90}
        ),
        handlers=HANDLERS,
    )
    placed = stream.put(["a"], "k")
    sqs.send_message(QueueUrl=queue["url"], MessageBody=json.dumps(document(stream.arn, placed, stream.name)))
    (tmp_path / "blocked").touch()
    with tempfile.TemporaryFile() as out:
        process = forked.start(("replay",), tmp_path, env, out.fileno(), out.fileno())
        try:
            daemon.wait_for(lambda: "waiting" in streams.notes(tmp_path), "the handler")
            process.send_signal(number)
            assert process.wait(daemon.DEADLINE) == code
        finally:
            process.kill()
    assert daemon.counts(sqs, queue["url"]) == ((0, 1, 0) if number == signal.SIGKILL else (1, 0, 0))


def test_documents_of_a_file_and_records_that_are_gone(
    embedded_aws: str,
    env: dict[str, str],
    new_stream: Any,
    aws_client: Callable[[str, str], Any],
    tmp_path: Path,
) -> None:
    """DST-3, STR-25: what a topic sent, a table's stream; what the stream has no more, or nobody can tell, is told
    and left.
    """
    stream = new_stream(embedded_aws)
    lost = document(stream.arn, stream.put(["a"], "k"), stream.name)
    stream.delete()
    stream.create(1)
    dynamodb, reader = aws_client("dynamodb", embedded_aws), aws_client("dynamodbstreams", embedded_aws)
    name = daemon.own("t")
    table = dynamodb.create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]  # fmt: skip
    arn = table["LatestStreamArn"]
    for value in ("1", "2"):
        dynamodb.put_item(TableName=name, Item={"id": {"S": "x"}, "value": {"N": value}})
    numbers = []
    for shard in reader.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        at = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        page = reader.get_records(ShardIterator=reader.get_shard_iterator(**at)["ShardIterator"])
        numbers += [streams.Placed(shard["ShardId"], one["dynamodb"]["SequenceNumber"]) for one in page["Records"]]
    envelope = {"Type": "Notification", "TopicArn": "t", "Message": json.dumps(document(arn, numbers, "changes"))}
    (tmp_path / "saved.json").write_text(json.dumps(envelope) + "\n" + json.dumps([lost, {"other": 1}]))
    changes = {"Name": "changes", "EventSourceArn": arn, "FunctionName": "python:handlers:change"}
    changes["StartingPosition"] = "LATEST"
    streams.write(tmp_path, streams.mapping(stream), changes, handlers=HANDLERS)
    (tmp_path / "stray.json").write_text(json.dumps(document(arn, numbers, "then")))
    stray = daemon.poller("replay", "--file", "stray.json", cwd=tmp_path, env=env)
    assert (stray.returncode, "1 document: 0 done, 1 left" in stray.stdout) == (1, True), stray.stderr
    assert "1 document names another function than that of changes: --mapping changes takes" in stray.stderr
    assert not streams.notes(tmp_path)
    asked = daemon.poller("replay", "--file", "stray.json", "--mapping", "changes", cwd=tmp_path, env=env)
    assert (asked.returncode, streams.notes(tmp_path)) == (0, ["x", "x"])
    done = daemon.poller("replay", "--file", "saved.json", "--json", cwd=tmp_path, env=env)
    assert done.returncode == 1, done.stderr
    well, gone, other = told(done)
    assert (well["fate"], well["mapping"], well["done"]) == ("done", "changes", 2)
    assert streams.notes(tmp_path) == ["x"] * 4
    assert (gone["fate"], gone["left"]) == ("left", 1)
    assert "no longer has all of them: 0" in gone["detail"]
    assert (other["fate"], other["mapping"]) == ("left", None)


def test_wrong_use_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no.json").write_text("{}\nnonsense")
    stream = "arn:aws:kinesis:us-east-1:000000000000:stream/none"
    mapping = {"EventSourceArn": stream, "FunctionName": "python:handlers:work", "StartingPosition": "LATEST"}
    streams.write(tmp_path, mapping, handlers=HANDLERS)
    for arguments, reason in (
        (("--queue", "a", "--bucket", "b"), "SystemExit(2)"),
        ((), "0 on-failure destinations"),
        (("--mapping", "nonne"), "did you mean 'none'?"),
        (("--queue", stream), "is not a queue"),
        (("--file", "no.json"), "line 2"),
    ):
        error = CliRunner().invoke(commands, ["replay", *arguments]).exception
        said, code = (str(error), error.exit_code) if isinstance(error, PollerError) else (repr(error), 2)
        assert (code, reason in said) == (2, True), (arguments, said)


def document(arn: str, placed: list[streams.Placed], mapping: str) -> dict[str, Any]:
    """A failure document of these records, which were a batch of that mapping."""
    function = f"arn:aws:lambda:us-east-1:000000000000:function:{mapping}"
    info = {
        "shardId": placed[0].shard,
        "startSequenceNumber": placed[0].sequence,
        "endSequenceNumber": placed[-1].sequence,
        "approximateArrivalOfFirstRecord": "2026-01-01T00:00:00.000Z",
        "batchSize": len(placed),
        "streamArn": arn,
    }
    name = "KinesisBatchInfo" if ":kinesis:" in arn else "DDBStreamBatchInfo"
    return {"requestContext": {"functionArn": function, "condition": "RetryAttemptsExhausted"}, name: info}
