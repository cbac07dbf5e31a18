"""The mappings of the control API, seen by commands that work without the daemon."""

from pathlib import Path

from poller.config import Configuration, parse
from poller.kept import with_kept
from poller.ports import KeptMapping
from poller.store.sqlite import SqliteStore

ARN = "arn:aws:sqs:eu-west-1:123456789012:"


async def test_commands_see_what_the_daemon_runs(tmp_path: Path) -> None:
    """API-2: under the names that it has there; what is being deleted or cannot run is left out."""
    text = f"""
Settings: {{State: "sqlite:{tmp_path}/state.db"}}
EventSourceMappings: [{{Name: orders, EventSourceArn: "{ARN}orders", FunctionName: work}}]
"""
    configuration = parse(text, "poller.yaml", {})
    assert isinstance(configuration, Configuration)
    assert with_kept(configuration) == configuration
    fields = {"EventSourceArn": ARN + "b", "FunctionName": "work"}
    uuids = [f"{number}1111111-2222-4333-8444-555555555555" for number in range(4)]
    async with SqliteStore(f"{tmp_path}/state.db") as store:
        await store.save(KeptMapping(uuids[0], {**fields, "Name": "b"}, 1.0))
        await store.save(KeptMapping(uuids[1], {**fields, "Name": "orders"}, 1.0))
        await store.save(KeptMapping(uuids[2], {**fields, "Name": "c"}, 1.0, deleting=True))
        await store.save(KeptMapping(uuids[3], {"Name": "d"}, 1.0))
        seen = with_kept(configuration).mappings
    assert [one.name for one in seen] == ["orders", "b", "orders-11111111"]
    assert [one.uuid for one in seen[1:]] == uuids[:2]
