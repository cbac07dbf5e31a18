"""The worker's program, spoken to directly: its lines, and its end when nobody holds the other ends any more."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from poller.handlers.worker import MOST_TRACE, Function
from tests.unit.handlers.processes import alive

HELLO = {"path": sys.path, "name": "process:it", "arn": "arn:it", "mapping": "orders", "reports_are_read": True}
FUNCTIONS = "tests.unit.handlers.process_functions"


def request(**event) -> dict:
    return {"id": "r", "seconds": 30.0, "event": event}


@pytest.mark.parametrize(
    ("which", "kind", "rest"),
    [
        ("nan", b"=", b"NaN"),
        ("bytes", b"~", base64.b64encode(b'{"raw":\n 1}')),
    ],
)
def test_a_response_is_one_line_whatever_it_is(which: str, kind: bytes, rest: bytes):
    assert Function(HELLO | {"target": f"{FUNCTIONS}:give_special"}).call(request(which=which)) == (kind, rest)


def test_inv_2_an_error_is_one_line_with_its_place_and_traceback():
    """INV-2."""
    kind, rest = Function(HELLO | {"target": f"{FUNCTIONS}:fail"}).call(request())
    assert kind == b"!"
    assert b"\n" not in rest
    told = json.loads(rest)
    assert (told["type"], told["message"]) == ("ValueError", "bad order")
    assert "process_functions.py:" in told["place"]
    assert told["trace"].startswith("Traceback")
    assert told["trace"].endswith("ValueError: bad order\n")


def test_a_traceback_without_end_is_cut():
    kind, rest = Function(HELLO | {"target": f"{FUNCTIONS}:fail_at_length"}).call(request())
    assert kind == b"!"
    assert len(json.loads(rest)["trace"]) <= MOST_TRACE
    assert len(json.loads(rest)["message"]) <= 1_024


def test_sys_exit_passes_through():
    with pytest.raises(SystemExit):
        Function(HELLO | {"target": f"{FUNCTIONS}:end"}).call(request(how="exit"))


class Worker:
    """A worker in a session of its own, without the kernel's help that it has otherwise."""

    def __init__(self, target: str) -> None:
        unread, self.requests = os.pipe()
        self.answers, told = os.pipe()
        waited, self.lifeline = os.pipe()
        ends = (unread, told, waited)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from poller.handlers.worker import main; main()", *map(str, ends)],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for end in ends:
            os.close(end)
        self.say(HELLO | {"target": target if ":" in target else f"{FUNCTIONS}:{target}"})
        assert os.read(self.answers, 100) == b"R\n"

    def say(self, line: dict) -> None:
        os.write(self.requests, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for end in {self.requests, self.answers, self.lifeline} - {-1}:
            os.close(end)


@pytest.fixture
def worker() -> Iterator[type]:
    made: list[Worker] = []

    def start(target: str) -> Worker:
        made.append(Worker(target))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_it_ends_when_its_requests_do(worker):
    one = worker("show")
    os.close(one.requests)
    one.requests = -1
    assert one.process.wait(30) == 0


def test_it_ends_with_what_it_started_when_we_do_although_its_function_runs(worker):
    one = worker("tests.unit.handlers.process_async:hang_with_offspring")
    one.say(request())
    pid = int(one.process.stdout.readline())
    assert alive(pid)
    os.close(one.lifeline)
    one.lifeline = -1
    assert one.process.wait(30) == -9
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_loads_little_and_no_event_loop_for_a_plain_function(worker):
    """A worker is one of many: what it does not need costs its memory and its start each time."""
    one = worker("loaded")
    one.say(request())
    loaded = set(json.loads(os.read(one.answers, 1_000_000)[1:]))
    assert "poller.handlers.callables" in loaded
    assert not loaded & {
        "asyncio",
        "aiobotocore",
        "aiohttp",
        "pydantic",
        "botocore",
        "uvloop",
        "structlog",
        "logging",
    }
