"""Promise 4: it stops well."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon

HANDLERS = """
import asyncio, os, pathlib, threading, time

OUT = os.open(pathlib.Path(__file__).with_name("seen.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def two_seconds(event, context):
    os.write(OUT, b"begun\\n")
    await asyncio.sleep(2)
    os.write(OUT, b"done\\n")


async def blocks_the_loop(event, context):
    os.write(OUT, b"begun\\n")
    while True:
        time.sleep(0.1)


async def deaf(event, context):
    os.write(OUT, b"begun\\n")
    await asyncio.to_thread(threading.Event().wait)


def for_ever(event, context):
    os.write(OUT, b"begun\\n")
    threading.Event().wait()
"""


def mapping(queue: dict[str, str], function: str, **more: Any) -> dict[str, Any]:
    return {
        "Name": "work",
        "EventSourceArn": queue["arn"],
        "FunctionName": f"python:handlers:{function}",
        "BatchSize": 1,
        "ScalingConfig": {"MaximumConcurrency": 2},
        "Handler": {"TimeoutInSeconds": 30},
        **more,
    }


def end_at_once(running: daemon.Daemon) -> None:
    """Signals until it has ended: the first ones may come in the same moment, and then are one wish."""

    def ended() -> bool:
        running.signal(2)
        return running.process.poll() is not None

    daemon.wait_for(ended, "the end, long before the stop deadline")


def test_sigterm_finishes_what_runs_and_gives_the_rest_back(
    embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """API-8, SQS-2: running handlers finish and are deleted, everything else is visible at once, exit code 0."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("stop"), visibility=300)
    daemon.send(client, queue["url"], [str(n) for n in range(20)])
    daemon.write(tmp_path, mapping(queue, "two_seconds"), handlers=HANDLERS, ShutdownTimeoutInSeconds=15)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt"), "the first invocation")
        running.signal(15)
        assert running.wait() == 0, running.output()
    lines = daemon.written(tmp_path / "seen.txt")
    assert lines.count("begun") == lines.count("done") >= 1
    assert daemon.counts(client, queue["url"]) == (20 - lines.count("done"), 0, 0)


def test_the_deadline_gives_back_what_a_handler_still_holds(
    embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """API-8: past the stop deadline the work is abandoned and given back, exit code 3."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("abandon"), visibility=300)
    daemon.send(client, queue["url"], ["one"])
    daemon.write(tmp_path, mapping(queue, "for_ever"), handlers=HANDLERS, ShutdownTimeoutInSeconds=3)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt"), "the invocation")
        running.signal(15)
        assert running.wait() == 3, running.output()
        assert "abandoned" in running.output()
    assert daemon.counts(client, queue["url"]) == (1, 0, 0)


def test_a_thread_that_a_handler_has_left_does_not_keep_the_process(
    embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """Else it would be killed when the manager's patience ends, and its exit code would tell nothing."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("deaf"), visibility=300)
    daemon.send(client, queue["url"], ["one"])
    daemon.write(tmp_path, mapping(queue, "deaf"), handlers=HANDLERS, ShutdownTimeoutInSeconds=1)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt"), "the invocation")
        running.signal(15)
        assert running.wait() == 3, running.output()
    assert "exit_forced" in running.output()
    assert daemon.counts(client, queue["url"]) == (1, 0, 0)


def test_a_second_ctrl_c_ends_it_at_once(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """API-8: who presses twice does not wait; exit code 3."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("twice"), visibility=300)
    daemon.send(client, queue["url"], ["one"])
    daemon.write(tmp_path, mapping(queue, "for_ever"), handlers=HANDLERS, ShutdownTimeoutInSeconds=300)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt"), "the invocation")
        running.signal(2)
        daemon.wait_for(lambda: "again" in running.output(), "the daemon to say how to end at once")
        end_at_once(running)
        assert running.wait() == 3, running.output()


@pytest.mark.parametrize("number", [2, 15], ids=["Ctrl-C", "SIGTERM"])
def test_one_wish_told_twice_is_no_second_one(
    number: int, embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """API-8: `timeout` signals the process and its group; runners pass on what the terminal has sent as well."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("echo"), visibility=300)
    daemon.send(client, queue["url"], ["one"])
    daemon.write(tmp_path, mapping(queue, "two_seconds"), handlers=HANDLERS, ShutdownTimeoutInSeconds=10)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt"), "the invocation")
        # two of a kind may reach it as one; of both kinds each arrives
        for each in (number, 17 - number):
            running.signal(each)
        assert running.wait() == 0, running.output()
    assert daemon.written(tmp_path / "seen.txt") == ["begun", "done"]
    assert daemon.empty(client, queue["url"])


def test_two_signals_end_it_while_a_handler_blocks_the_event_loop(
    embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """API-8: whoever stops it does not depend on the handlers; exit code 3."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("blocked"), visibility=300)
    daemon.send(client, queue["url"], ["one"])
    daemon.write(tmp_path, mapping(queue, "blocks_the_loop"), handlers=HANDLERS, ShutdownTimeoutInSeconds=300)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt"), "the invocation")
        end_at_once(running)
        assert running.wait() == 3, running.output()
        assert "again: ending at once" in running.output()


def test_drain_ends_when_the_queue_is_empty(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """GEN-5: `--drain` works until nothing is visible, in flight or delayed, then ends with 0."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("drain"))
    daemon.send(client, queue["url"], [str(n) for n in range(6)])
    client.send_message(QueueUrl=queue["url"], MessageBody="late", DelaySeconds=2)
    daemon.write(tmp_path, mapping(queue, "two_seconds"), handlers=HANDLERS)
    with daemon.running(tmp_path, daemon.environment(embedded_aws), "--drain") as running:
        assert running.wait() == 0, running.output()
    assert daemon.written(tmp_path / "seen.txt").count("done") == 7
    assert daemon.empty(client, queue["url"])
