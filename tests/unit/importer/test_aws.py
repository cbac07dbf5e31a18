"""Answers of Lambda's API: their shapes, what is left out of them, and what must not be left out."""

import json
from pathlib import Path
from typing import Any

import pytest

from poller.errors import ConfigurationError
from poller.importer.file import Imported
from tests.unit.importer.meaning import ARN, listing, meaning

QUEUE = {"EventSourceArn": ARN("sqs", "orders"), "FunctionArn": ARN("lambda", "function:f"), "UUID": "0a1b2c3d-x"}
STREAM = {**QUEUE, "EventSourceArn": ARN("kinesis", "stream/clicks"), "StartingPosition": "LATEST"}
HIDDEN = "set the environment variable ORDERS_F_FILTER_CRITERIA: its filters are encrypted"


def imported(tmp_path: Path, answer: object) -> Imported:
    return listing(tmp_path / "l.json", json.dumps(answer))


def told(result: Imported) -> list[str]:
    return [line.partition("l.json:")[2].partition(": ")[2] for line in result.lines]


@pytest.mark.parametrize("answer", [QUEUE, [QUEUE], {"EventSourceMappings": [QUEUE], "NextMarker": ""}])
def test_a_mapping_or_a_list_of_them(answer: Any, tmp_path: Path) -> None:
    result = imported(tmp_path, answer)
    [mapping] = meaning(result.text)
    assert (mapping.name, mapping.function_name) == ("orders-f", ARN("lambda", "function:f"))
    assert result.complete


@pytest.mark.parametrize("answer", [{}, 5, "x", {"EventSourceMappings": 5}, {"Functions": []}])
def test_another_answer_is_refused(answer: object, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="it shall be the output of `aws lambda list-event-source-mappings`"
    ):
        imported(tmp_path, answer)


@pytest.mark.parametrize("name", ["NextMarker", "NextToken"])
def test_a_list_that_goes_on_is_not_complete(name: str, tmp_path: Path) -> None:
    result = imported(tmp_path, {"EventSourceMappings": [QUEUE], name: "abc"})
    assert told(result)[0] == f"{name}: the list goes on behind this one: import the rest of it as well."
    assert not result.complete


@pytest.mark.parametrize(
    ("state", "enabled"),
    [("Enabled", True), ("Enabling", True), ("Creating", True), ("Updating", True), ("Disabled", False),
     ("Disabling", False)],
)  # fmt: skip
def test_the_state_tells_whether_it_is_enabled(state: str, enabled: bool, tmp_path: Path) -> None:
    """API-3: the answer has no field Enabled."""
    [mapping] = meaning(imported(tmp_path, [{**QUEUE, "State": state}]).text)
    assert mapping.enabled == enabled


def test_filters_that_an_answer_hides_are_asked_for(tmp_path: Path) -> None:
    """CFG-62: with a key of one's own a list has no filters, and a mapping without them would delete messages that
    are not meant for it.
    """
    key = {"KMSKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1"}
    error = {"FilterCriteriaError": {"ErrorCode": "KMSAccessDenied", "Message": "no"}}
    for answer in ([{**QUEUE, **key}], {**QUEUE, **key, **error}, [{**QUEUE, **error}]):
        result = imported(tmp_path, answer)
        assert told(result)[0].partition(": ")[2].startswith(HIDDEN)
        assert not result.complete
        [mapping] = meaning(result.text, ORDERS_F_FILTER_CRITERIA='{"body":["x"]}')
        assert mapping.filters == ('{"body":["x"]}',)
    told_all = {**QUEUE, **key, "FilterCriteria": {"Filters": [{"Pattern": '{"body":["y"]}'}]}}
    [mapping] = meaning(imported(tmp_path, [told_all]).text)
    assert mapping.filters == ('{"body":["y"]}',)
    [mapping] = meaning(imported(tmp_path, {**QUEUE, **key}).text)  # GetEventSourceMapping would have had them
    assert mapping.filters == ()


def test_what_says_nothing_is_left_out_and_zero_retries_are_not(tmp_path: Path) -> None:
    """CFG-61: the answer has every field, with -1, 0, empty lists and maps for those that are not set."""
    nothing = {
        "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1, "TumblingWindowInSeconds": 0,
        "ParallelizationFactor": 1, "BisectBatchOnFunctionError": False, "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [], "DestinationConfig": {"OnFailure": {}}, "FilterCriteria": {}, "KMSKeyArn": "",
        "Topics": None, "MetricsConfig": {"Metrics": []}, "LastProcessingResult": "OK",
    }  # fmt: skip
    result = imported(tmp_path, [{**STREAM, **nothing}])
    assert [line.strip() for line in result.text.partition("Mappings:\n")[2].splitlines()] == [
        "- Name: clicks-f",
        f"EventSourceArn: {STREAM['EventSourceArn']}",
        f"FunctionName: {STREAM['FunctionArn']}",
        "StartingPosition: LATEST",
    ]
    assert result.complete
    [mapping] = meaning(imported(tmp_path, [{**STREAM, "MaximumRetryAttempts": 0}]).text)
    assert mapping.stream is not None
    assert mapping.stream.retries == 0


def test_names_do_not_depend_on_the_order_or_the_others(tmp_path: Path) -> None:
    """Positions of a stream are kept under its mapping's name (STR-31)."""
    other = {**STREAM, "FunctionArn": ARN("lambda", "function:g:live"), "UUID": "1"}
    there = {
        **QUEUE,
        "EventSourceArn": QUEUE["EventSourceArn"].replace("eu-west-1", "eu-west-2"),
        "UUID": "99999999-9",
    }
    table = {**STREAM, "EventSourceArn": ARN("dynamodb", "table/orders/stream/2026-01-01T00:00:00.000")}

    def names(*mappings: dict[str, str]) -> list[str]:
        return [mapping.name for mapping in meaning(imported(tmp_path, list(mappings)).text)]

    assert names(STREAM) == ["clicks-f"]
    assert names(other, STREAM) == ["clicks-g-live", "clicks-f"]
    assert names(STREAM, other) == ["clicks-f", "clicks-g-live"]
    assert names(QUEUE, there) == ["orders-f-0a1b2c3d", "orders-f-99999999"]
    assert names(table) == ["orders-f"]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [(1767225600, 1767225600), (1767225600.25, 1767225600.25), ("2026-01-01T00:00:00+00:00", 1767225600),
     ("2026-01-01T01:00:00.500000+01:00", 1767225600.5)],
)  # fmt: skip
def test_the_time_to_start_at_is_a_number_or_iso_8601(time: object, seconds: float, tmp_path: Path) -> None:
    """CFG-8: as the first and the second aws-cli write it."""
    fields = {**STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": time}
    [mapping] = meaning(imported(tmp_path, [fields]).text)
    assert mapping.stream is not None
    assert mapping.stream.position.timestamp == seconds


def test_a_self_managed_cluster_is_told(tmp_path: Path) -> None:
    """CFG-25: such a mapping has no EventSourceArn at all."""
    kafka = {
        "UUID": "1",
        "FunctionArn": ARN("lambda", "function:f"),
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b:9092"]}},
        "Topics": ["t"],
    }
    result = imported(tmp_path, [kafka, 5])
    first, second, _ = told(result)
    assert first == "[1]: not taken: 5 is not a mapping."
    assert second.startswith("mapping-f.EventSourceArn: the mapping is not written: Unrecognized event source.")
    assert (result.text, result.complete) == ("", False)
