"""The real daemon under a service manager: a socket in NOTIFY_SOCKET, as systemd has it (issue 6)."""

import contextlib
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.acceptance import daemon

HANDLERS = """
import pathlib, time


async def blocks(event, context):
    here = pathlib.Path(__file__)
    here.with_name("begun").touch()
    while not here.with_name("go").exists():
        time.sleep(0.05)
"""


@contextlib.contextmanager
def manager(name: str) -> Iterator[list[str]]:
    """Listens on the abstract socket, and keeps what it is told."""
    told: list[str] = []

    def listen() -> None:
        while text := receiver.recv(4096):
            told.append(text.decode())

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield told
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"", "\0" + name)
            thread.join()


def test_a_life_under_a_service_manager(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """READY once its source has answered; beats also while a handler blocks the event loop; RELOADING and READY
    around a reload, also a refused one; STOPPING with the time that it may take.
    """
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("notify"))
    mapping = {"Name": "work", "EventSourceArn": queue["arn"], "FunctionName": "python:handlers:blocks"}
    daemon.write(tmp_path, mapping, handlers=HANDLERS)
    name = daemon.own("esm")
    env = daemon.environment(embedded_aws, NOTIFY_SOCKET=f"@{name}", WATCHDOG_USEC="600000")

    def count(word: str) -> int:
        return sum(word in text.splitlines() for text in told)

    with manager(name) as told, daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: count("READY=1") or running.process.poll(), "READY")
        assert running.get("/startupz")[0] == 200
        daemon.send(client, queue["url"], ["one"])
        daemon.wait_for((tmp_path / "begun").exists, "the handler that blocks")
        beats = count("WATCHDOG=1")
        daemon.wait_for(lambda: count("WATCHDOG=1") >= beats + 3, "beats while the event loop is blocked")
        (tmp_path / "go").touch()
        running.signal(signal.SIGHUP)
        daemon.wait_for(lambda: count("READY=1") == 2, "READY after the reload")
        file = tmp_path / "poller.yaml"
        file.write_text(file.read_text().replace("FunctionName", "FunktionName"))
        running.signal(signal.SIGHUP)
        daemon.wait_for(lambda: count("READY=1") == 3, "READY after the refused reload")
        assert count("RELOADING=1") == 2
        running.signal(signal.SIGTERM)
        assert running.wait() == 0, running.output()
        daemon.wait_for(lambda: count("STOPPING=1"), "STOPPING")
    (last,) = [text for text in told if "STOPPING=1" in text]
    assert "EXTEND_TIMEOUT_USEC=21000000" in last  # 6 s of the configuration and 15 for the end
    assert re.search(r"STATUS=stopping: 1 \w+; ", last)


def test_a_start_that_fails_is_never_ready(embedded_aws: str, tmp_path: Path) -> None:
    """`systemctl start` must fail for a queue that does not exist: code 2, which the unit does not restart."""
    arn = f"arn:aws:sqs:us-east-1:000000000000:{daemon.own('none')}"
    mapping = {"Name": "work", "EventSourceArn": arn, "FunctionName": "python:handlers:blocks"}
    daemon.write(tmp_path, mapping, handlers=HANDLERS)
    name = daemon.own("esm")
    with manager(name) as told:
        env = daemon.environment(embedded_aws, NOTIFY_SOCKET=f"@{name}")
        assert daemon.poller("run", cwd=tmp_path, env=env).returncode == 2
    assert told
    assert not any("READY=1" in text for text in told)
