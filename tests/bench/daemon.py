"""What the benchmarks start: endpoints in processes of their own, and `poller run`, read through its metrics."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENV = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE))),  # this checkout, and handlers.py
}

CPU = "process_cpu_seconds_total"
RSS = "process_resident_memory_bytes"
DEADLINE = 120


@contextlib.contextmanager
def endpoint(*command: str) -> Iterator[str]:
    """A server that prints its URL and ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(30)


class Daemon:
    """`poller run` with one mapping, or several of sources that end in numbers, read through its own metrics."""

    def __init__(
        self,
        folder: Path,
        url: str,
        source: str,
        function: str,
        environment: Mapping[str, str],
        *,
        mappings: int = 1,
        control: bool = False,
        program: Sequence[str] = ("-m", "poller"),
        **fields: Any,
    ) -> None:
        """`source` is the end of the ARN, from the service on; `function` one of handlers.py. `control`: it has a
        control listener, too. `program` is what Python runs.
        """
        service, _, name = source.partition(":")
        mapping = {
            "Name": "bench",
            "EventSourceArn": f"arn:aws:{service}:us-east-1:000000000000:{name}",
            "FunctionName": f"python:handlers:{function}",
            **fields,
        }
        arn = mapping["EventSourceArn"]
        more = [
            mapping | {"Name": f"bench-{number}", "EventSourceArn": f"{arn}-{number}"}
            for number in range(1, mappings)
        ]
        settings = {
            "Region": "us-east-1",
            "State": "memory:",
            "EndpointUrl": url,
            "Metrics": {"Listen": "127.0.0.1:0"},
            "ControlApi": {"Listen": "127.0.0.1:0" if control else ""},
        }
        (folder / "poller.yaml").write_text(
            json.dumps({"Settings": settings, "EventSourceMappings": [mapping, *more]})
        )
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "run"],
                cwd=folder,
                env=ENV | dict(environment),
                stdout=log,
                stderr=log,
            )
        self._base = ""

    def base(self, path: str) -> str:
        """The URL of the listener that it told with this path."""
        while True:
            found = re.search(rf"http://127\.0\.0\.1:\d+(?={path}(?!\w))", self._log.read_text())
            if found:
                return found.group()
            if self.process.poll() is not None:
                raise RuntimeError(f"poller run ended:\n{self._log.read_text()}")
            time.sleep(0.05)

    def metrics(self) -> dict[str, float]:
        """Sums by metric name, from one scrape."""
        self._base = self._base or self.base("/metrics")
        sums: dict[str, float] = {}
        with urllib.request.urlopen(self._base + "/metrics", timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                match = re.match(r"(\w+)(?:\{.*\})? (\S+)$", line)
                if match:
                    sums[match[1]] = sums.get(match[1], 0.0) + float(match[2])
        return sums

    def between(self, counter: str, first: float, last: float, pause: float = 0.5) -> dict[str, float]:
        """What happened to all metrics, and to the clock (`at`), while the counter went from `first` to `last`."""
        begin: dict[str, float] = {}
        before: dict[str, float] = {}
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            now = self.metrics() | {"at": time.monotonic()}
            reached = now.get(counter, 0.0)
            if not begin and reached >= first:
                begin = now if reached < last else before  # so little that it was done at once
            if begin and reached >= last:
                return {name: now[name] - begin.get(name, 0.0) for name in now}
            before = now
            time.sleep(pause if begin else pause / 5)  # a scrape costs the daemon some milliseconds
        raise RuntimeError(f"{counter} did not reach {last:g} in {DEADLINE} s:\n{self._log.read_text()[-2000:]}")

    def reaches(self, counter: str, value: float) -> dict[str, float]:
        """The metrics once this one is so high."""
        deadline = time.monotonic() + DEADLINE
        while (now := self.metrics()).get(counter, 0.0) < value:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{counter} did not reach {value:g} in {DEADLINE} s")
            time.sleep(0.2)
        return now

    def over(self, seconds: float) -> dict[str, float]:
        """What happens to all metrics in these seconds, and the last of each as `now_<name>`."""
        before, begin = self.metrics(), time.monotonic()
        time.sleep(seconds)
        after, lasted = self.metrics(), time.monotonic() - begin
        grown = {name: after[name] - before.get(name, 0.0) for name in after}
        return grown | {f"now_{name}": value for name, value in after.items()} | {"at": lasted}

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def daemon(
    url: str, source: str, function: str, environment: Mapping[str, str] | None = None, **fields: Any
) -> Iterator[Daemon]:
    """A daemon for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="esm-bench-") as folder:
        running = Daemon(Path(folder), url, source, function, environment or {}, **fields)
        try:
            yield running
        finally:
            running.close()
