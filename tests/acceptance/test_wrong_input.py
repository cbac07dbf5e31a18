"""Everything a user can get wrong: one readable line each, the right exit code, never a traceback."""

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.acceptance import daemon
from tests.faults.proxy import refusing

GOOD = """\
Settings: {Region: us-east-1, State: "memory:", Metrics: {Listen: "127.0.0.1:0"}, ControlApi: {Listen: ""}}
EventSourceMappings:
  - Name: orders
    EventSourceArn: arn:aws:sqs:us-east-1:000000000000:QUEUE
    FunctionName: python:handlers:good
"""
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
HANDLERS = "async def good(event, context): ...\nnumber = 7\n"


@dataclass(frozen=True)
class Wrong:
    """One mistake: the file (a change of the good one), the command, what must be said, and the exit code."""

    name: str
    says: tuple[str, ...]
    old: str = ""
    new: str = ""
    arguments: tuple[str, ...] = ("run",)
    code: int = 2
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


FUNCTION = "python:handlers:good"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:QUEUE"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/orders"
NOWHERE = "arn:aws:kinesis:us-east-1:000000000000:stream/nowhere"
NO_STREAM = f"Stream not found: {NOWHERE}"
DROPPED = f"{TABLE}/stream/2026-01-01T00:00:00.000"
FUTURE = "StartingPosition: AT_TIMESTAMP\n    StartingPositionTimestamp: 9999-01-01T00:00:00Z"
FROM_THE_START = f"{STREAM}\n    StartingPosition: TRIM_HORIZON"
STATE_AND_SOURCE = GOOD[GOOD.index('"memory:"') : GOOD.index(QUEUE) + len(QUEUE)]
CASES = (
    Wrong("missing file", ("nowhere.yaml", "no such file"), arguments=("run", "-c", "nowhere.yaml")),
    Wrong("broken YAML", ("poller.yaml:2",), "EventSourceMappings:", "EventSourceMappings: ]["),
    Wrong("unknown key", ("poller.yaml:5", "did you mean FunctionName"), "FunctionName:", "FunctionNam:"),
    Wrong("unknown setting", ("poller.yaml:1", "did you mean Region"), "Region:", "Regoin:"),
    Wrong("BatchSize of 0", ("poller.yaml:6", "BatchSize", "10000"), FUNCTION, FUNCTION + "\n    BatchSize: 0"),
    Wrong("BatchSize in words", ("poller.yaml:6", "BatchSize"), FUNCTION, FUNCTION + "\n    BatchSize: many"),
    Wrong(
        "no window for a large batch",
        ("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",),
        FUNCTION,
        FUNCTION + "\n    BatchSize: 100",
    ),
    Wrong(
        "queue URL for an ARN",
        ("poller.yaml:4", "URL", "arn:aws:sqs:"),
        "arn:aws:sqs:us-east-1:000000000000:QUEUE",
        "https://sqs/q",
    ),
    Wrong(
        "state in a folder that is not there",
        ("poller.yaml:1: Settings.State: The state file gone/state.db has no place", "make it."),
        '"memory:"',
        "sqlite:gone/state.db",
        arguments=("check",),
    ),
    Wrong("variable that is not set", ("NOT_SET_ANYWHERE",), "us-east-1,", '"${NOT_SET_ANYWHERE}",'),
    Wrong("module that is not there", ("orders", "nowhere"), "python:handlers:good", "python:nowhere:good"),
    Wrong("attribute that is not there", ("orders", "god", "good"), "python:handlers:good", "python:handlers:god"),
    Wrong(
        "handler that is no function",
        ("orders", "number", "cannot be called"),
        "python:handlers:good",
        "python:handlers:number",
    ),
    Wrong(
        "module that fails to import",
        ("orders", "ZeroDivisionError", "broken.py:1"),
        "python:handlers:good",
        "python:broken:good",
        files={"broken.py": "1 / 0\n"},
    ),
    Wrong(
        "stream without a beginning",
        ("poller.yaml:3", "Value null at 'startingPosition' failed to satisfy constraint"),
        QUEUE,
        STREAM,
    ),
    Wrong(
        "beginning that is none",
        ("poller.yaml:5", "[LATEST, AT_TIMESTAMP, TRIM_HORIZON]"),
        QUEUE,
        f"{STREAM}\n    StartingPosition: Latest",
    ),
    Wrong(
        "beginning in the future",
        ("orders", "9999-01-01T00:00:00Z is in the future"),
        QUEUE,
        f"{STREAM}\n    {FUTURE}",
        arguments=("check",),
    ),
    Wrong(
        "beginning in the future, run",
        ("orders", "9999-01-01T00:00:00Z is in the future"),
        QUEUE,
        f"{STREAM}\n    {FUTURE}",
    ),
    Wrong("unknown stream", (NO_STREAM, "Check name"), QUEUE, f"{NOWHERE}\n    StartingPosition: LATEST"),
    Wrong(
        "unknown stream, checked online",
        ("poller.yaml:3: mapping orders:", NO_STREAM),
        QUEUE,
        f"{NOWHERE}\n    StartingPosition: LATEST",
        arguments=("check", "--online"),
    ),
    Wrong(
        "stream of a table that was dropped",
        (f"Stream not found: {DROPPED}", "label"),
        QUEUE,
        f"{DROPPED}\n    StartingPosition: LATEST",
    ),
    Wrong(
        "stream of a table that was dropped, checked online",
        (f"Stream not found: {DROPPED}", "label"),
        QUEUE,
        f"{DROPPED}\n    StartingPosition: LATEST",
        arguments=("check", "--online"),
    ),
    Wrong(
        "queue for failures that does not exist, checked online",
        (f"on-failure destination {QUEUE} cannot be used", NO_STREAM),
        f"EventSourceArn: {QUEUE}",
        f"EventSourceArn: {NOWHERE}\n    StartingPosition: LATEST\n"
        f'    DestinationConfig: {{OnFailure: {{Destination: "{QUEUE}"}}}}',
        arguments=("check", "--online"),
    ),
    Wrong(
        "state file that is none",
        ("state.db", "SQLite"),
        STATE_AND_SOURCE,
        STATE_AND_SOURCE.replace("memory:", "sqlite:state.db").replace(QUEUE, FROM_THE_START),
        code=1,
        files={"state.db": "positions: {}\n" * 100},
    ),
    Wrong("consumer of a stream", ("poller.yaml:4", "fan-out", STREAM), QUEUE, f"{STREAM}/consumer/c:1"),
    Wrong("table for a stream", ("poller.yaml:4", "ARN of a table", "LatestStreamArn"), QUEUE, TABLE),
    Wrong(
        "FIFO queue for failures",
        ("poller.yaml:6", "DestinationConfig.OnFailure.Destination", "a FIFO queue cannot take the failures"),
        QUEUE,
        FROM_THE_START + f'\n    DestinationConfig: {{OnFailure: {{Destination: "{QUEUE}.fifo"}}}}',
    ),
    Wrong("setting of a queue", ("poller.yaml:6", "Poller"), QUEUE, f"{FROM_THE_START}\n    Poller: {{}}"),
    Wrong("state for a fleet", ("poller.yaml:1", "Settings.State", "fleets"), "memory:", "dynamodb:leases"),
    Wrong("unknown queue", ("The specified queue does not exist", "QUEUE")),
    Wrong(
        "unknown queue, checked online", ("The specified queue does not exist",), arguments=("check", "--online")
    ),
    Wrong(
        "no credentials",
        ("credentials",),
        code=1,
        environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    ),
    Wrong("unknown option", ("No such option", "--dran"), arguments=("run", "--dran")),
    Wrong("unknown command", ("No such command", "runn"), arguments=("runn",)),
    Wrong(
        "status without a daemon",
        ("no poller answers",),
        arguments=("status", "--url", "http://127.0.0.1:9"),
        code=1,
    ),
    Wrong(
        "no network, checked online",
        ("127.0.0.1:9",),
        arguments=("check", "--online"),
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    ),
)


@pytest.mark.parametrize("wrong", CASES, ids=lambda wrong: wrong.name)
def test_each_mistake_is_told_in_a_line(wrong: Wrong, embedded_aws: str, tmp_path: Path) -> None:
    """CFG-8, CFG-30, CFG-33, CFG-34, CFG-37, CFG-40, CFG-41, CFG-50: and nothing of it is a traceback."""
    text = GOOD.replace(wrong.old, wrong.new) if wrong.old else GOOD
    (tmp_path / "poller.yaml").write_text(text)
    (tmp_path / "handlers.py").write_text(HANDLERS)
    for name, content in wrong.files.items():
        (tmp_path / name).write_text(content)
    env = daemon.environment(embedded_aws) | wrong.environment
    env = {name: value for name, value in env.items() if value}
    done = daemon.poller(*wrong.arguments, cwd=tmp_path, env=env)
    said = done.stderr + (done.stdout if wrong.arguments[0] == "check" else "")
    assert done.returncode == wrong.code, said
    assert "Traceback" not in said
    for words in wrong.says:
        assert words in said, said


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have it: always full")


@needs_full
@pytest.mark.parametrize("command", ["check", "demo --records 1 --seconds 0"])
def test_output_that_cannot_be_written_is_told(command: str, tmp_path: Path) -> None:
    """A full disk behind `>` is a sentence and exit code 1."""
    (tmp_path / "poller.yaml").write_text(GOOD)
    (tmp_path / "handlers.py").write_text(HANDLERS)
    with Path("/dev/full").open("wb") as full:
        done = daemon.poller(*command.split(), cwd=tmp_path, env=daemon.environment(), stdout=full)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written: No space left on device" in done.stderr


@needs_full
def test_output_that_the_interpreter_keeps_is_not_written_again_at_its_end() -> None:
    """Else what it says of that stands below the sentence, and the exit code is its own."""
    buffered = {name: value for name, value in daemon.environment().items() if name != "PYTHONUNBUFFERED"}
    line = f"{sys.executable} -m poller --version > /dev/full"
    done = subprocess.run(["sh", "-c", line], check=False, env=buffered, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr == "poller: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_do_no_harm(
    closed: str, embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """GEN-5: the daemon works without them; its sockets do not get their numbers."""
    queue = daemon.make_queue(sqs_client(embedded_aws), daemon.own("closed"))
    daemon.send(sqs_client(embedded_aws), queue["url"], ["one"])
    mapping = {"EventSourceArn": queue["arn"], "FunctionName": FUNCTION}
    daemon.write(tmp_path, mapping, handlers=HANDLERS)
    line = f"exec {sys.executable} -m poller run --drain {closed}"
    done = subprocess.run(["sh", "-c", line], check=False, cwd=tmp_path, env=daemon.environment(embedded_aws))
    assert done.returncode == 0
    assert daemon.empty(sqs_client(embedded_aws), queue["url"])


def test_a_busy_port_is_told(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """The port's owner is not ours; exit code 1, and the line says which setting to change."""
    queue = daemon.make_queue(sqs_client(embedded_aws), daemon.own("busy"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon.write(
            tmp_path,
            {"EventSourceArn": queue["arn"], "FunctionName": FUNCTION},
            handlers=HANDLERS,
            Metrics={"Listen": f"127.0.0.1:{port}"},
        )
        done = daemon.poller("run", cwd=tmp_path, env=daemon.environment(embedded_aws))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Settings.Metrics.Listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_network_at_the_start_is_told_and_waited_for(tmp_path: Path) -> None:
    """API-16: AWS may be back in a moment, so the daemon says what is wrong, stays, and still stops well."""
    daemon.write(
        tmp_path,
        {
            "Name": "orders",
            "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:orders",
            "FunctionName": FUNCTION,
        },
        handlers=HANDLERS,
    )
    with daemon.running(tmp_path, daemon.environment("http://127.0.0.1:9")) as running:

        def told() -> bool:
            return any(
                line.get("mapping") == "orders" and "127.0.0.1:9" in line["event"] for line in running.lines()
            )

        daemon.wait_for(told, "the line that says what is wrong")
        assert running.get("/readyz")[0] == 503
        running.signal(15)
        assert running.wait() == 0, running.output()
        assert "Traceback" not in running.output()


def test_no_permission_is_told(tmp_path: Path) -> None:
    """CFG-42: AWS's sentence, and what to allow."""
    (tmp_path / "poller.yaml").write_text(GOOD)
    (tmp_path / "handlers.py").write_text(HANDLERS)
    with refusing("AccessDeniedException", "User is not authorized to perform: sqs:receivemessage") as url:
        for command, code in (("run", 1), ("check", 2)):
            arguments = (command, "--online") if command == "check" else (command,)
            done = daemon.poller(*arguments, cwd=tmp_path, env=daemon.environment(url))
            assert done.returncode == code, done.stderr
            assert "does not have permissions to call ReceiveMessage on SQS" in done.stderr + done.stdout
            assert "sqs:ReceiveMessage" in done.stderr + done.stdout
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arn", "missed"), [(STREAM, "kinesis:DescribeStreamSummary"), (DROPPED, "dynamodb:DescribeStream")]
)
def test_no_permission_for_a_stream_is_told(arn: str, missed: str, tmp_path: Path) -> None:
    """CFG-43, IAM-2, IAM-4: AWS's sentence, and what to allow."""
    (tmp_path / "poller.yaml").write_text(GOOD.replace(QUEUE, f"{arn}\n    StartingPosition: LATEST"))
    (tmp_path / "handlers.py").write_text(HANDLERS)
    with refusing("AccessDeniedException", "User is not authorized to perform this action") as url:
        for arguments, code in ((("run",), 1), (("check", "--online"), 2)):
            done = daemon.poller(*arguments, cwd=tmp_path, env=daemon.environment(url))
            assert done.returncode == code, done.stderr
            assert f"Cannot access stream {arn}. Please ensure the role can perform" in done.stderr
            assert missed in done.stderr
            assert "Traceback" not in done.stderr


def test_a_state_file_in_use_is_told(embedded_aws: str, tmp_path: Path) -> None:
    """STR-31: on one file two daemons would both deliver; the second one says whom to stop, the first goes on."""
    client, name = (
        boto3.client("kinesis", endpoint_url=embedded_aws, region_name="us-east-1", **KEYS),
        daemon.own("s"),
    )
    with contextlib.closing(client):
        client.create_stream(StreamName=name, ShardCount=1)
    mapping = {
        "EventSourceArn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}",
        "FunctionName": FUNCTION,
        "StartingPosition": "LATEST",
    }
    daemon.write(tmp_path, mapping, handlers=HANDLERS, State="sqlite:state.db")
    env = daemon.environment(embedded_aws)
    with daemon.running(tmp_path, env) as first:
        first.ready()
        done = daemon.poller("run", cwd=tmp_path, env=env)
        assert done.returncode == 1, done.stderr
        assert f"state.db is in use by another process (pid {first.process.pid})" in done.stderr
        assert "Traceback" not in done.stderr
        first.signal(15)
        assert first.wait() == 0, first.output()


def test_the_demo_needs_nothing_and_says_when_its_aws_is_away(tmp_path: Path) -> None:
    """`poller demo --aws` on a port where nobody answers."""
    done = daemon.poller("demo", "--aws", "http://127.0.0.1:9", cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "127.0.0.1:9" in done.stderr
