"""The real `poller` as a process: started on a configuration, watched through its own metrics, stopped or killed.

Also small helpers to make queues and to read what handlers have written.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import yaml

from tests.acceptance import forked

DEADLINE = 90.0  # generous: a test waits for conditions, and gives up here


def wait_for(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """Polls until the condition is true and returns what it returned.

    The longer it has lasted, the less often: a look may cost the daemon a scrape.
    """
    begun = time.monotonic()
    while True:
        found = condition()
        if found:
            return found
        waited = time.monotonic() - begun
        if waited > deadline:
            raise AssertionError(f"waited {deadline:g} s in vain for {what}")
        time.sleep(min(max(0.02, waited / 16), 0.2))


def environment(url: str | None = None, **more: str) -> dict[str, str]:
    """What the daemon sees: nothing of ours but dummy credentials and the endpoint."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COLUMNS"))}
    clean |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "PYTHONUNBUFFERED": "1",
    }
    if url is not None:
        clean["AWS_ENDPOINT_URL"] = url
    return clean | more


def poller(
    *arguments: str, cwd: Path, env: dict[str, str], timeout: float = DEADLINE, stdout: IO[bytes] | None = None
) -> Any:
    """Runs a `poller` command to its end; what it prints goes into `stdout` where that is given."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = forked.start(arguments, cwd, env, (stdout or out).fileno(), err.fileno())
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def json_lines(written: str) -> list[dict[str, Any]]:
    """The JSON log lines of it."""
    return [json.loads(line) for line in written.splitlines() if line.startswith("{")]


class Daemon:
    """`poller run` in a folder that holds poller.yaml and the handlers' module."""

    def __init__(self, folder: Path, env: dict[str, str], *arguments: str) -> None:
        self.log = folder / "daemon.log"
        self._written = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = forked.start(("run", *arguments), folder, env, log.fileno(), log.fileno())
        self._base = ""

    def output(self) -> str:
        """All that it has printed since it was started."""
        return self.log.read_bytes()[self._written :].decode(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """Its JSON log lines."""
        return json_lines(self.output())

    def base(self) -> str:
        """The URL of its metrics listener, once it has said so: there while it runs."""

        def told() -> str:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.output()}")
            if not self._base:
                found = re.search(r"http://127\.0\.0\.1:\d+(?=/metrics)", self.output())
                self._base = found.group() if found else ""
            return self._base

        return str(wait_for(told, "the daemon's metrics address"))

    def get(self, path: str) -> tuple[int, str]:
        """A GET on the metrics listener."""
        try:
            with urllib.request.urlopen(self.base() + path, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self) -> "Daemon":
        """Waits until all mappings poll."""
        wait_for(lambda: self.get("/readyz")[0] == 200, "readiness")
        return self

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name whose labels include these."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            if not line.startswith(name):
                continue
            match = re.match(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name:
                found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if labels.items() <= found.items():
                    total += float(match[3])
        return total

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Its exit code."""
        return self.process.wait(deadline)

    def kill(self) -> None:
        """`kill -9`, whole session."""
        self.process.kill()
        self.process.wait(DEADLINE)


@contextlib.contextmanager
def running(folder: Path, env: dict[str, str], *arguments: str) -> Iterator[Daemon]:
    """A daemon that is surely gone afterwards."""
    daemon = Daemon(folder, env, *arguments)
    try:
        yield daemon
    finally:
        daemon.kill()


def write(folder: Path, *mappings: dict[str, Any], handlers: str, **settings: Any) -> None:
    """poller.yaml and handlers.py."""
    document = {
        "Settings": {
            "Region": "us-east-1",
            "State": "memory:",
            "Metrics": {"Listen": "127.0.0.1:0"},
            "ControlApi": {"Listen": ""},
            "ShutdownTimeoutInSeconds": 6,
            **settings,
        },
        "EventSourceMappings": list(mappings),
    }
    (folder / "poller.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / "handlers.py").write_text(handlers)


def own(what: str) -> str:
    """A name that no other test has, in no other process either: they share the servers."""
    return f"{what}-{uuid.uuid4().hex[:12]}"


def make_queue(
    client: Any, name: str, *, visibility: int = 30, dead: int | None = None, **more: str
) -> dict[str, str]:
    """Creates a queue (FIFO by its name), with a dead-letter queue after `dead` receives: url, arn, dead url."""
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    attributes = {**fifo, "VisibilityTimeout": str(visibility), **more}
    made: dict[str, str] = {}
    if dead is not None:
        dead_name = name.removesuffix(".fifo") + "-dlq" + (".fifo" if fifo else "")
        made["dead"] = client.create_queue(QueueName=dead_name, Attributes=fifo)["QueueUrl"]
        target = arn_of(client, made["dead"])
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": dead})
    made["url"] = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    made["arn"] = arn_of(client, made["url"])
    return made


def arn_of(client: Any, url: str) -> str:
    """The queue's ARN."""
    return str(client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def send(client: Any, url: str, bodies: list[str], groups: list[str] | None = None) -> None:
    """Sends all bodies in tens; `groups` one for each, on a FIFO queue."""
    for start in range(0, len(bodies), 10):
        entries = []
        for index in range(start, min(start + 10, len(bodies))):
            entry = {"Id": str(index), "MessageBody": bodies[index]}
            if groups is not None:
                entry |= {"MessageGroupId": groups[index], "MessageDeduplicationId": f"d{index}"}
            entries.append(entry)
        answer = client.send_message_batch(QueueUrl=url, Entries=entries)
        assert not answer.get("Failed"), answer


def counts(client: Any, url: str) -> tuple[int, int, int]:
    """(visible, in flight, delayed)."""
    names = ["", "NotVisible", "Delayed"]
    told = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    visible, in_flight, delayed = (int(told[f"ApproximateNumberOfMessages{name}"]) for name in names)
    return visible, in_flight, delayed


def empty(client: Any, url: str) -> bool:
    """Nothing visible, in flight or delayed."""
    return counts(client, url) == (0, 0, 0)


def drain(client: Any, url: str) -> list[dict[str, Any]]:
    """Takes everything out of a queue."""
    found: list[dict[str, Any]] = []
    while True:
        answer = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=["All"]
        )
        messages = answer.get("Messages", [])
        if not messages:
            return found
        for message in messages:
            found.append(message)
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def written(path: Path) -> list[str]:
    """The whole lines that handlers have appended."""
    if not path.exists():
        return []
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()
