"""SIGHUP: the mappings that differ change, all others go on, and a broken file changes nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon

HANDLERS = """
import os, pathlib, time

OUT = os.open(pathlib.Path(__file__).with_name("seen.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def first(event, context):
    for record in event["Records"]:
        os.write(OUT, f"first {record['body']}\\n".encode())


def second(event, context):
    for record in event["Records"]:
        os.write(OUT, f"second {record['body']}\\n".encode())


def data(event, context):
    for record in event["Records"]:
        os.write(OUT, f"first {record['kinesis']['sequenceNumber']}\\n".encode())


def slow(event, context):
    os.write(OUT, b"begun\\n")
    while not pathlib.Path(__file__).with_name("go").exists():
        time.sleep(0.05)
    os.write(OUT, b"done\\n")
"""


def mapping(name: str, queue: dict[str, str], function: str, **more: Any) -> dict[str, Any]:
    return {"Name": name, "EventSourceArn": queue["arn"], "FunctionName": f"python:handlers:{function}", **more}


def told(running: daemon.Daemon, action: str) -> list[dict[str, Any]]:
    return [line for line in running.lines() if line.get("action") == action]


@pytest.fixture
def client(embedded_aws: str, sqs_client: Any) -> Any:
    return sqs_client(embedded_aws)


def test_only_what_differs_changes(embedded_aws: str, client: Any, tmp_path: Path) -> None:
    """One mapping has another function, one goes, one comes; the invocation of a fourth runs through it all."""
    names = ("kept", "changed", "gone", "new")
    queues = {name: daemon.make_queue(client, f"{name}-{tmp_path.name}") for name in names}
    seen = tmp_path / "seen.txt"
    kept = mapping("kept", queues["kept"], "slow", BatchSize=1)
    gone = mapping("gone", queues["gone"], "first")
    daemon.write(tmp_path, kept, mapping("changed", queues["changed"], "first"), gone, handlers=HANDLERS)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        for name in ("kept", "changed", "gone"):
            daemon.send(client, queues[name]["url"], [f"{name}-1"])
        expected = {"begun", "first changed-1", "first gone-1"}
        daemon.wait_for(lambda: set(daemon.written(seen)) == expected, "all three")

        changed = mapping("changed", queues["changed"], "second")
        daemon.write(tmp_path, mapping("new", queues["new"], "first"), changed, kept, handlers=HANDLERS)
        running.signal(1)
        reloaded = daemon.wait_for(lambda: told(running, "config_reloaded"), "the reload")[0]
        assert sorted(reloaded["stopped"]) == ["changed", "gone"]
        assert sorted(reloaded["started"]) == ["changed", "new"]
        assert "changed changed; added new; removed gone" in reloaded["event"]
        assert running.metric("esm_config_reloads_total", outcome="success") == 1
        assert running.metric("esm_inflight_invocations", mapping="kept") == 1
        for name in ("changed", "gone", "new"):
            daemon.send(client, queues[name]["url"], [f"{name}-2"])
        expected |= {"second changed-2", "first new-2"}
        daemon.wait_for(lambda: set(daemon.written(seen)) == expected, "the new mappings")
        assert daemon.counts(client, queues["gone"]["url"]) == (1, 0, 0)

        (tmp_path / "go").touch()
        daemon.wait_for(lambda: "done" in daemon.written(seen), "the end of the invocation that was never stopped")
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert daemon.written(seen).count("begun") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("BatchSize: 1", "BatchSize: 0"), "'batchSize'"),
        (("FunctionName: python:handlers:first", "FunctionName: python:handlers:frist"), "did you mean 'first'"),
        (("EventSourceMappings:", "EventSourceMappings: ["), "poller.yaml:"),
    ],
    ids=["a field", "a handler", "the YAML"],
)
def test_a_broken_file_is_refused_and_the_old_one_goes_on(
    embedded_aws: str, client: Any, tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    queue = daemon.make_queue(client, f"old-{tmp_path.name}")
    daemon.write(tmp_path, mapping("old", queue, "first", BatchSize=1), handlers=HANDLERS)
    file = tmp_path / "poller.yaml"
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        good = file.read_text()
        assert change[0] in good
        file.write_text(good.replace(*change))
        running.signal(1)
        refused = daemon.wait_for(lambda: told(running, "config_refused"), "the refusal")
        assert reason in refused[0]["event"]
        assert "Traceback" not in running.output()
        assert running.metric("esm_config_reloads_total", outcome="error") == 1
        daemon.send(client, queue["url"], ["still"])
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt") == ["first still"], "the old mapping's work")

        file.write_text(good)
        running.signal(1)
        reloaded = daemon.wait_for(lambda: told(running, "config_reloaded"), "the reload of the mended file")
        assert "nothing differs" in reloaded[0]["event"]


def test_a_stream_goes_on_where_it_was(embedded_aws: str, new_stream: Any, tmp_path: Path) -> None:
    """STR-31: another batch size is no new beginning, and neither is it to be taken out and put back."""
    stream = new_stream(embedded_aws)
    seen = tmp_path / "seen.txt"
    clicks = {
        "Name": "clicks",
        "EventSourceArn": stream.arn,
        "FunctionName": "python:handlers:data",
        "StartingPosition": "TRIM_HORIZON",
    }
    idle = clicks | {"Name": "idle", "FunctionName": "python:handlers:first", "Enabled": False}
    settings = {"State": "sqlite:poller.db", "handlers": HANDLERS}
    daemon.write(tmp_path, clicks, **settings)
    placed = stream.put(["1", "2", "3"], "key")
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        daemon.wait_for(lambda: len(daemon.written(seen)) == 3, "the first records")
        for number, mappings in enumerate(([clicks | {"BatchSize": 2}], [idle], [clicks, idle]), start=1):
            daemon.write(tmp_path, *mappings, **settings)
            running.signal(1)
            daemon.wait_for(lambda n=number: len(told(running, "config_reloaded")) == n, f"reload {number}")
            placed += stream.put([f"after {number}"], "key")
        daemon.wait_for(lambda: len(daemon.written(seen)) >= 6, "all records")
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert daemon.written(seen) == [f"first {one.sequence}" for one in placed]


def test_settings_that_cannot_change_are_named(embedded_aws: str, client: Any, tmp_path: Path) -> None:
    """But for what is logged, which changes at once; and a draining run keeps what it has."""
    queue = daemon.make_queue(client, f"settings-{tmp_path.name}")
    waits = mapping("waits", queue, "slow", BatchSize=1)
    daemon.send(client, queue["url"], ["one"])
    daemon.write(tmp_path, waits, handlers=HANDLERS)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        later = {"Logging": {"Level": "DEBUG"}, "ShutdownTimeoutInSeconds": 7, "State": "memory:"}
        daemon.write(tmp_path, waits, handlers=HANDLERS, **later)
        running.signal(1)
        named = daemon.wait_for(lambda: told(running, "config_needs_restart"), "the setting's name")[0]
        assert named["event"] == "Settings.ShutdownTimeoutInSeconds: takes effect at the next start only"
        daemon.wait_for(lambda: told(running, "config_reloaded"), "the reload")
        (tmp_path / "go").touch()
        running.signal(15)
        assert running.wait() == 0, running.output()
    (tmp_path / "go").unlink()
    daemon.send(client, queue["url"], ["two"])
    with daemon.running(tmp_path, daemon.environment(embedded_aws), "--drain") as running:
        daemon.wait_for(lambda: daemon.written(tmp_path / "seen.txt").count("begun") == 2, "the second message")
        running.signal(1)
        refused = daemon.wait_for(lambda: told(running, "config_refused"), "the refusal")
        assert "--drain" in refused[0]["event"]
        (tmp_path / "go").touch()
        assert running.wait() == 0, running.output()
