"""Filters in the real process: what passes is handled, the rest leaves the queue, and positions pass it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

HANDLERS = """
def bodies(event, context):
    note(*(record["body"].replace("\\n", " ") for record in event["Records"]))


def data(event, context):
    note(*(text(record) for record in event["Records"]))


def fails(event, context):
    note("called")
    raise ValueError("no")
"""

MATRIX = [
    ('{"type": "order", "n": 1.50}', True),
    ('{"type":\n"order"}', True),
    ('{"type": "refund"}', False),
    ('[{"type": "order"}]', True),
    ("order", False),
    ('"order"', False),
    ("{broken", False),
    ("17", False),
]


def filtered_by(*patterns: dict[str, Any]) -> dict[str, Any]:
    return {"FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]}}


def queue_mapping(queue: dict[str, str], function: str, **more: Any) -> dict[str, Any]:
    return {
        "Name": function,
        "EventSourceArn": queue["arn"],
        "FunctionName": f"python:handlers:{function}",
        **more,
    }


@pytest.mark.parametrize("server", ["embedded_aws", "ministack"])
def test_a_queue(server: str, request: pytest.FixtureRequest, sqs_client: Any, tmp_path: Path) -> None:
    """FLT-34, FLT-35, FLT-40, MET-2, SUR-9: the rows of the matrix; nothing gets into the dead-letter queue."""
    url = request.getfixturevalue(server)
    client = sqs_client(url)
    queue = daemon.make_queue(client, f"filtered-{server}-{tmp_path.name}"[:75].replace("_", "-"), dead=1)
    daemon.send(client, queue["url"], [body for body, _ in MATRIX])
    streams.write(
        tmp_path, queue_mapping(queue, "bodies", **filtered_by({"body": {"type": ["order"]}})), handlers=HANDLERS
    )
    expected = [body.replace("\n", " ") for body, passes in MATRIX if passes]
    with daemon.running(tmp_path, daemon.environment(url)) as running:
        daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "an empty queue")

        def deleted() -> bool:
            return running.metric("esm_deleted_events_total") == len(expected)

        daemon.wait_for(deleted, "the count of those deleted")
        assert running.metric("esm_filtered_events_total") == len(MATRIX) - len(expected)
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert sorted(streams.notes(tmp_path)) == sorted(expected)
    assert daemon.empty(client, queue["dead"])


def test_only_plain_text_and_a_failing_function(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """FLT-34, FLT-40, FIFO-9: rules for text drop JSON; what is filtered is deleted while the rest fails."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, f"plain-{tmp_path.name}.fifo", dead=1, visibility=1)
    bodies = ["order-1", '{"order": 1}', "refund-1", "order-2"]
    daemon.send(client, queue["url"], bodies, groups=["g"] * len(bodies))
    criteria = filtered_by({"body": [{"prefix": "order"}]}, {"body": ["never"]})
    timeout = {"Handler": {"TimeoutInSeconds": 1}}
    streams.write(tmp_path, queue_mapping(queue, "fails", **criteria, **timeout), handlers=HANDLERS)
    with daemon.running(tmp_path, daemon.environment(embedded_aws), "--drain") as running:
        assert running.wait() == 0, running.output()
    assert sorted(message["Body"] for message in daemon.drain(client, queue["dead"])) == ["order-1", "order-2"]


def test_a_stream_of_which_little_passes(embedded_aws: str, new_stream: Any, tmp_path: Path) -> None:
    """FLT-36, FLT-41, FLT-42, STR-32: the position is behind the last record, which did not pass; after a restart
    nothing is read again.
    """
    stream = new_stream(embedded_aws)
    texts = [json.dumps({"heat": n}) for n in range(60)]
    placed = stream.put(["no JSON", *texts[:-1], '{"heat": "90"}'], "key")
    criteria = filtered_by({"data": {"heat": [{"numeric": [">=", 50]}]}})
    streams.write(tmp_path, streams.mapping(stream, "data", **criteria), handlers=HANDLERS)
    for _ in range(2):
        with daemon.running(tmp_path, daemon.environment(embedded_aws), "--drain") as running:
            assert running.wait() == 0, running.output()
        assert streams.notes(tmp_path) == texts[50:-1]
        assert streams.checkpoints(tmp_path) == {placed[-1].shard: placed[-1].sequence}


def test_a_filter_that_changes_holds_for_what_comes(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """FLT-7, FLT-43: as a whole, by a reload; an empty one lets everything pass."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, f"changed-{tmp_path.name}")

    def write(**criteria: Any) -> None:
        streams.write(tmp_path, queue_mapping(queue, "bodies", **criteria), handlers=HANDLERS)

    write(**filtered_by({"body": ["a"]}))
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        for number, (criteria, expected) in enumerate(
            [
                (filtered_by({"body": ["b"]}), ["a"]),
                ({"FilterCriteria": {}}, ["a", "b"]),
                ({}, ["a", "b", "a", "b"]),
            ]
        ):
            daemon.send(client, queue["url"], ["a", "b"])
            daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "an empty queue")
            assert sorted(streams.notes(tmp_path)) == sorted(expected)
            write(**criteria)
            running.signal(1)

            def reloaded(count: int = number + 1) -> bool:
                return running.metric("esm_config_reloads_total", outcome="success") == count

            daemon.wait_for(reloaded, "the reload")
