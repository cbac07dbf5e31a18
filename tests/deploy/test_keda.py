"""KEDA's examples: fields that its resources know, values that its triggers take, and paths that we serve.

Structure only: neither KEDA nor its resource definitions are on this machine. Their query is tested against a
real daemon in tests/acceptance/test_monitoring.py.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from poller.core.model import Instant, QueueFacts
from poller.core.trend import Trend
from poller.http.status import scale_status, totals_of
from poller.metrics import MappingStats
from poller.metrics_stats import NO_GAUGES
from tests.unit.test_metrics import make_mapping, make_stream, shard_gauges, standing

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "keda"
DOCUMENTS = [
    (file.name, document)
    for file in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]
SCALED = [pytest.param(document, id=name) for name, document in DOCUMENTS if document["kind"] == "ScaledObject"]
FIELDS = {
    *("scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "triggers"),
    *("advanced", "fallback", "idleReplicaCount", "initialCooldownPeriod"),
}
# of each trigger: what it must have, and what it may
TRIGGERS = {
    "aws-sqs-queue": (
        {"queueURL", "queueLength", "awsRegion"},
        {"scaleOnInFlight", "scaleOnDelayed", "activationQueueLength", "awsEndpoint"},
    ),
    "prometheus": (
        {"serverAddress", "query", "threshold"},
        {"activationThreshold", "authModes", "namespace", "ignoreNullValues"},
    ),
    "metrics-api": (
        {"url", "valueLocation", "targetValue"},
        {"authMode", "format", "activationTargetValue", "unsafeSsl"},
    ),
}


def test_there_is_one_for_each_way() -> None:
    kinds = {trigger["type"] for parameter in SCALED for trigger in parameter.values[0]["spec"]["triggers"]}
    assert kinds == TRIGGERS.keys()


@pytest.mark.parametrize("scaled", SCALED)
def test_fields_are_known_and_values_are_text(scaled: dict[str, Any]) -> None:
    assert set(scaled) == {"apiVersion", "kind", "metadata", "spec"}
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    spec = scaled["spec"]
    assert set(spec) <= FIELDS
    assert spec["scaleTargetRef"]["name"]
    assert 0 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    for trigger in spec["triggers"]:
        required, optional = TRIGGERS[trigger["type"]]
        assert required <= set(trigger["metadata"]) <= required | optional
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "a number is refused"


@pytest.mark.parametrize("scaled", SCALED)
def test_what_a_trigger_refers_to_is_in_the_same_file(scaled: dict[str, Any]) -> None:
    (file,) = {name for name, document in DOCUMENTS if document is scaled}
    there = {(one["kind"], one["metadata"]["name"]): one for name, one in DOCUMENTS if name == file}
    for trigger in scaled["spec"]["triggers"]:
        if "authenticationRef" not in trigger:
            assert trigger["type"] == "prometheus"
            continue
        told = there["TriggerAuthentication", trigger["authenticationRef"]["name"]]["spec"]
        for secret in told.get("secretTargetRef", []):
            assert secret["key"] in there["Secret", secret["name"]]["stringData"]


@pytest.mark.parametrize("scaled", SCALED)
def test_only_queues_scale_poller_itself(scaled: dict[str, Any]) -> None:
    """Two processes with states of their own would both deliver all records of a stream."""
    of_queue = all(trigger["type"] == "aws-sqs-queue" for trigger in scaled["spec"]["triggers"])
    assert (scaled["spec"]["scaleTargetRef"]["name"] == "poller") is of_queue
    assert scaled["spec"]["minReplicaCount"] == (0 if of_queue else 1)


def test_the_api_tells_what_it_is_asked_for() -> None:
    (asked,) = [
        trigger["metadata"]
        for parameter in SCALED
        for trigger in parameter.values[0]["spec"]["triggers"]
        if trigger["type"] == "metrics-api"
    ]
    assert asked["url"].endswith("/v1/mappings/clicks/scale")
    now = Instant(1_000_000.0, 500.0)
    stream = MappingStats(make_stream(), lambda: standing({"s-1": shard_gauges(iterator_age=70.0)}), since=0.0)
    told = scale_status(stream, now, Trend(totals_of(stream, now.mono)))
    assert told is not None
    assert told[asked["valueLocation"]] >= float(asked["targetValue"])
    queue = MappingStats(make_mapping(), lambda: NO_GAUGES, since=0.0)
    queue.queue = QueueFacts(visibility_timeout=30.0, visible=400, in_flight=100, delayed=0)
    told = scale_status(queue, now, Trend(totals_of(queue, now.mono)))
    assert told is not None
    assert told["messages"] == 500
