"""Rubble for every listener of a real daemon: no failure of the server, no traceback in its log, no growth.

`python -m tests.property.fuzz_listeners SECONDS [SEED]` goes on for so long and prints what it met; what it found
wrong it prints as bytes, as small as they can be.
"""

import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.acceptance import daemon
from tests.acceptance.daemon import Daemon
from tests.property.http_rubble import rubble, speak, wrong

EXAMPLES = 300  # of each round
MORE_MEMORY = 60 * 1024  # KiB that rubble may cost in all
TOKEN = "0123456789abcdef0123"
MAPPING = {
    "Name": "orders",
    "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders",
    "FunctionName": "python:handlers:handler",
}


def listening(running: Daemon) -> list[int]:
    """The ports of the daemon's listeners, metrics first."""
    running.base()
    daemon.wait_for(lambda: running.output().count("listening on") == 2, "both listeners")
    return [int(port) for port in re.findall(r"listening on http://127\.0\.0\.1:(\d+)", running.output())]


def open_files(pid: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def memory(pid: int) -> int:
    """Its resident memory in KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def look_at(running: Daemon, files: int, more: int = 0) -> None:
    """It lives, its log has no traceback, and it has closed all connections."""
    assert running.process.poll() is None, running.output()[-4000:]
    text = running.output()
    assert "Traceback" not in text, text[-6000:]
    assert "bug in poller" not in text, text[-6000:]
    daemon.wait_for(lambda: open_files(running.process.pid) <= files + more, "its connections to be closed")


def main(seconds: float, start: int) -> None:
    """Rounds of rubble against a daemon without keys and one with, until the time is over."""
    met: Counter[int] = Counter()
    end, number = time.monotonic() + seconds, start
    with tempfile.TemporaryDirectory() as base:
        for keys in ({}, {"TokenVariable": "TOKEN", "AccessKeysVariable": "KEYS"}):
            folder = Path(base) / ("open" if not keys else "guarded")
            folder.mkdir()
            control = {"Listen": "127.0.0.1:0", **keys}
            daemon.write(folder, MAPPING, handlers="def handler(event, context): pass\n", ControlApi=control)
            secrets = {"TOKEN": TOKEN, "KEYS": f"A:{TOKEN}"}
            with daemon.running(folder, daemon.environment("http://127.0.0.1:9", **secrets)) as running:
                ports = listening(running)
                files, until = open_files(running.process.pid), end - (seconds / 2 if not keys else 0)
                before = 0
                while time.monotonic() < until or not before:
                    _round(ports, number, met)
                    look_at(running, files, 8)
                    now = memory(running.process.pid)
                    before = before or now  # after the first round: what it loads once, it has loaded
                    print(f"seed {number}: {sum(met.values())} answers, {now} KiB", flush=True)
                    assert now <= before + MORE_MEMORY, f"from {before} to {now} KiB"
                    number += 1
                running.signal(15)
                assert running.wait() == 0, running.output()[-4000:]
    print(dict(sorted(met.items())))


def _round(ports: list[int], number: int, met: Counter[int]) -> None:
    @seed(number)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(rubble())
    def everywhere(data: bytes) -> None:
        for port in ports:
            answers = speak(port, data)
            met.update(status for status, _ in answers)
            assert not wrong(answers)

    everywhere()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
