"""What a daemon with every kind of mapping shows, and what alerts, dashboard and KEDA ask for."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams
from tests.deploy.known_series import Known
from tests.deploy.promql import Tree, parse_all, selectors
from tests.deploy.rule_cases import rules_of
from tests.servers import harness

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
HANDLERS = """
def work(event, context):
    pass
"""


def panels() -> dict[str, tuple[str, str]]:
    """Queries of the dashboard with their legends, by panel and letter, and those of its variables."""
    board = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    found = {
        f"dashboard: {panel['title']} {target['refId']}": (target["expr"], target["legendFormat"])
        for panel in board["panels"]
        for target in panel.get("targets", [])
    }
    for variable in board["templating"]["list"][1:]:
        told = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
        assert told, variable
        found[f"dashboard: ${variable['name']}"] = (told[1], f"{{{{{told[2]}}}}}")
    return found


def scaled() -> dict[str, tuple[str, str]]:
    """Queries of KEDA's triggers."""
    found = {}
    for file in (DEPLOY / "keda").glob("*.yaml"):
        for document in yaml.safe_load_all(file.read_text()):
            for trigger in document.get("spec", {}).get("triggers", []):
                if trigger["type"] == "prometheus":
                    found[f"keda: {file.name}"] = (trigger["metadata"]["query"], "")
    assert found
    return found


def alerts() -> dict[str, tuple[str, str]]:
    return {
        f"alert: {rule['alert']}": (rule["expr"], "") for rule in rules_of(DEPLOY / "prometheus" / "alerts.yaml")
    }


QUERIES = alerts() | panels() | scaled()


def plain(query: str) -> str:
    """Without what Grafana fills in."""
    return query.replace("$__rate_interval", "5m")


@pytest.fixture
def trees() -> dict[str, Tree]:
    try:
        found = parse_all(plain(query) for query, _ in QUERIES.values())
    except harness.ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"PARSER MISSING, and in CI it must be there: {missing}")
        pytest.skip(f"PARSER MISSING, no query was tested: {missing}")
    return {name: found[plain(query)] for name, (query, _) in QUERIES.items()}


@pytest.fixture
def exposition(embedded_aws: str, tmp_path: Path) -> Iterator[str]:
    """/metrics of a daemon with a standard and a FIFO queue, a stream and a table, nothing in any of them."""
    made: list[Any] = []

    def client(service: str) -> Any:
        made.append(streams.client(service, embedded_aws))
        return made[-1]

    sqs, name = client("sqs"), daemon.own("monitored")
    stream = streams.Stream(client("kinesis"), name, shards=2)
    table = client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    fifo = {"FifoQueue": "true"}
    queues = [sqs.create_queue(QueueName=name), sqs.create_queue(QueueName=f"{name}.fifo", Attributes=fifo)]
    arns = [
        sqs.get_queue_attributes(QueueUrl=queue["QueueUrl"], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for queue in queues
    ]
    plain_fields = {"FunctionName": "python:handlers:work", "StartingPosition": "LATEST"}
    streams.write(
        tmp_path,
        *({"Name": f"queue-{n}", "EventSourceArn": arn, "FunctionName": "python:handlers:work"}
          for n, arn in enumerate(arns)),
        streams.mapping(stream, Name="clicks", DestinationConfig=streams.to_queue(arns[0])),
        {"Name": "table", "EventSourceArn": table["TableDescription"]["LatestStreamArn"], **plain_fields},
        handlers=HANDLERS,
    )  # fmt: skip
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        daemon.wait_for(lambda: running.metric("esm_shards", state="reading") >= 3, "shards of both streams")
        yield running.get("/metrics")[1]
        running.signal(15)
        assert running.wait() == 0, running.output()
    for one in made:
        one.close()


def refused(query: str, legend: str, tree: Tree, known: Known) -> str | None:
    """Why that query cannot find anything, or cannot be told by that legend."""
    if not selectors(tree):
        return "it asks for no metric"
    try:
        labels = known.labels(tree)
    except LookupError as error:
        return f"{error}: {query}"
    missing = set(re.findall(r"\{\{(\w+)\}\}", legend)) - labels
    return f"its legend names {missing}, of which there are {sorted(labels)}" if missing else None


def test_each_query_finds_what_a_daemon_shows(trees: dict[str, Tree], exposition: str) -> None:
    """One test for them all: else each worker of a run would start a daemon for its share of them."""
    known = Known(exposition)
    told = {name: refused(query, legend, trees[name], known) for name, (query, legend) in QUERIES.items()}
    assert {name: why for name, why in told.items() if why} == {}
    assert len(told) > 40
