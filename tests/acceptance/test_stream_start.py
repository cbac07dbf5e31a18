"""What is said of a stream's mapping before its source is asked: by the library and by the daemon."""

from pathlib import Path

import pytest

import poller
from tests.acceptance import daemon

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
NOBODY = "http://127.0.0.1:1"


async def test_a_start_in_the_future_is_refused_by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """CFG-8, STR-13."""
    for name, value in daemon.environment(NOBODY).items():
        monkeypatch.setenv(name, value)

    async def handler(event: object, context: object) -> None: ...

    start = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "9999-01-01T00:00:00Z"}
    async with poller.Poller() as p:
        with pytest.raises(poller.ConfigurationError, match="is in the future"):
            p.add(STREAM, handler, **start)


def test_positions_that_will_be_lost_are_told_at_the_start(tmp_path: Path) -> None:
    """STR-31: nobody shall learn at the second start that State memory: keeps none."""
    mapping = {
        "Name": "clicks",
        "EventSourceArn": STREAM,
        "FunctionName": "python:handlers:handler",
        "StartingPosition": "LATEST",
    }
    daemon.write(tmp_path, mapping, handlers="def handler(event, context): ...", State="memory:")
    with daemon.running(tmp_path, daemon.environment(NOBODY)) as running:
        daemon.wait_for(lambda: "lost when this process ends" in running.output(), "the warning")
