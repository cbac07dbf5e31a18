"""How a mapping is told: field by field, and no field more."""

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from poller.core.api_changes import Draft, drafted
from poller.core.api_shapes import Standing, configuration, mapping_arn, processing_result, uuid_of_arn
from poller.core.messages import InvocationOutcome
from poller.core.model import JsonObject, MappingState
from tests.unit.core.test_api_changes import QUEUE, QUEUE_DESTINATION, STREAM, UUID

KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"
COMMON = {
    "UUID": UUID,
    "EventSourceMappingArn": f"arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:{UUID}",
    "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:work",
    "FunctionResponseTypes": [],
    "LastModified": 1_700_000_000.5,
    "MaximumBatchingWindowInSeconds": 0,
    "State": "Enabled",
}


def told(source: dict[str, Any], account: str | None = None, **more: Any) -> JsonObject:
    options = {"listed": more.pop("listed")} if "listed" in more else {}
    draft = drafted({**source, **more}, UUID)
    assert isinstance(draft, Draft), draft
    standing = Standing(MappingState.ENABLED, 1_700_000_000.5, "OK")
    return configuration(draft.mapping, standing, account, **options)


def test_a_queue() -> None:
    """CFG-60, API-4: neither LastProcessingResult nor a field of streams."""
    assert told(QUEUE, Tags={"a": "b"}) == COMMON | {
        "BatchSize": 10,
        "EventSourceArn": QUEUE["EventSourceArn"],
        "StateTransitionReason": "USER_INITIATED",
    }


def test_optional_groups_of_a_queue_are_told_when_set() -> None:
    """CFG-60."""
    groups = {
        "FilterCriteria": {"Filters": [{"Pattern": '{"body": ["x"]}'}, {"Pattern": '{"body": ["y"]}'}]},
        "ScalingConfig": {"MaximumConcurrency": 7},
        "MetricsConfig": {"Metrics": ["EventCount"]},
        "KMSKeyArn": KEY,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BatchSize": 99,
        "MaximumBatchingWindowInSeconds": 3,
    }
    found = told(QUEUE, **groups)
    assert {name: found[name] for name in groups} == groups
    pollers = {"MinimumPollers": 3, "MaximumPollers": 200}
    assert told(QUEUE, ProvisionedPollerConfig={"MinimumPollers": 3})["ProvisionedPollerConfig"] == pollers


def test_a_stream_with_its_defaults() -> None:
    """CFG-61, API-4."""
    assert told(STREAM) == COMMON | {
        "BatchSize": 100,
        "EventSourceArn": STREAM["EventSourceArn"],
        "StateTransitionReason": "User action",
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "LastProcessingResult": "OK",
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "StartingPosition": "LATEST",
        "TumblingWindowInSeconds": 0,
    }


def test_the_settings_of_a_stream() -> None:
    """CFG-61."""
    given = {
        "StartingPosition": "AT_TIMESTAMP",
        "BisectBatchOnFunctionError": True,
        "DestinationConfig": QUEUE_DESTINATION,
        "MaximumRecordAgeInSeconds": 60,
        "MaximumRetryAttempts": 0,
        "TumblingWindowInSeconds": 30,
    }
    found = told(STREAM, **given, StartingPositionTimestamp=1_700_000_000)
    assert {name: found[name] for name in given} == given
    assert found["StartingPositionTimestamp"] == 1_700_000_000


@pytest.mark.parametrize(("listed", "there"), [(True, False), (False, True)])
def test_filters_under_a_key_are_left_out_of_lists(listed: bool, there: bool) -> None:
    """CFG-62."""
    filters = {"Filters": [{"Pattern": '{"body": ["x"]}'}]}
    assert ("FilterCriteria" in told(QUEUE, listed=listed, FilterCriteria=filters, KMSKeyArn=KEY)) is there
    assert "FilterCriteria" in told(QUEUE, listed=listed, FilterCriteria=filters)
    assert "FilterCriteria" in told(QUEUE, FilterCriteria=filters, KMSKeyArn=KEY)


def test_the_arn_has_the_account_of_the_settings() -> None:
    """API-2."""
    arn = told(QUEUE, "999999999999")["EventSourceMappingArn"]
    assert arn == f"arn:aws:lambda:eu-west-1:999999999999:event-source-mapping:{UUID}"
    assert uuid_of_arn(arn) == UUID


@pytest.mark.parametrize(
    "arn",
    [
        "",
        UUID,
        f"arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:{UUID}\n",
        f"arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:{UUID.upper()}x",
        "arn:aws:lambda:eu-west-1:123456789012:function:work",
    ],
)
def test_what_is_no_mappings_arn(arn: str) -> None:
    assert uuid_of_arn(arn) is None


def test_an_arn_of_another_partition() -> None:
    """API-2."""
    draft = drafted({**QUEUE, "EventSourceArn": "arn:aws-cn:sqs:cn-north-1:123456789012:orders"}, UUID)
    assert isinstance(draft, Draft)
    assert uuid_of_arn(mapping_arn(draft.mapping)) == UUID


@pytest.mark.parametrize(
    ("outcome", "problem", "result"),
    [
        ("", None, "No records processed"),
        (InvocationOutcome.SUCCESS, None, "OK"),
        (InvocationOutcome.PARTIAL, None, "OK"),
        (InvocationOutcome.ERROR, None, "PROBLEM: Function call failed"),
        (InvocationOutcome.TIMEOUT, None, "PROBLEM: Function call failed"),
        (
            InvocationOutcome.INVALID_RESPONSE,
            None,
            "PROBLEM: Sequence number in function response is invalid. Please check function implementation.",
        ),
        (InvocationOutcome.SUCCESS, "denied: no", "PROBLEM: denied: no"),
        ("", "missing: gone", "PROBLEM: missing: gone"),
    ],
)
def test_the_last_result(outcome: str, problem: str | None, result: str) -> None:
    """API-12, PBR-27."""
    assert processing_result(outcome, problem) == result


@pytest.mark.parametrize("outcome", list(InvocationOutcome))
def test_every_outcome_has_a_result(outcome: InvocationOutcome) -> None:
    """API-12: and only what went well is OK."""
    well = outcome in {InvocationOutcome.SUCCESS, InvocationOutcome.PARTIAL}
    assert processing_result(outcome, None).startswith("OK" if well else "PROBLEM: ")


def test_the_sdk_knows_every_field() -> None:
    """API-1: by the model that every SDK is made from, names and types."""
    model = botocore.session.get_session().get_service_model("lambda")
    shape = model.operation_model("GetEventSourceMapping").output_shape
    fields = {"FilterCriteria": {"Filters": [{"Pattern": '{"partitionKey": ["x"]}'}]}, "KMSKeyArn": KEY}
    for one in (
        told(STREAM, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=1.5, **fields),
        told(QUEUE, ScalingConfig={"MaximumConcurrency": 7}, MetricsConfig={"Metrics": ["EventCount"]}),
    ):
        assert one.keys() <= shape.members.keys()
        assert not ParamValidator().validate(one, shape).has_errors()
