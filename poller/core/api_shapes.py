"""How the control API tells of a mapping: EventSourceMappingConfiguration, field by field (CFG-60 to CFG-62, API-2
to API-4, API-12).

A field that AWS leaves out is left out, not null: clients tell the two apart.
"""

import re
from dataclasses import dataclass

from poller.core.mapping import EventSourceMapping, StreamSettings
from poller.core.mapping_names import MAPPING_UUID
from poller.core.messages import InvocationOutcome
from poller.core.model import JsonObject, MappingState, SourceKind
from poller.core.records import PositionKind

FUNCTION_FAILED = "PROBLEM: Function call failed"
_ARN = re.compile(
    rf"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{{12}}:event-source-mapping:(?P<uuid>{MAPPING_UUID.pattern})"
)
_RESULTS = {
    "": "No records processed",
    InvocationOutcome.SUCCESS: "OK",
    InvocationOutcome.PARTIAL: "OK",
    InvocationOutcome.INVALID_RESPONSE: (
        "PROBLEM: Sequence number in function response is invalid. Please check function implementation."
    ),
    InvocationOutcome.THROTTLED: "PROBLEM: The function could not be invoked, which is tried again",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is told beside the settings. `modified` is epoch seconds; `reason` is AWS's own (API-4) when empty."""

    state: MappingState
    modified: float
    result: str = _RESULTS[""]
    reason: str = ""


def configuration(
    mapping: EventSourceMapping, standing: Standing, account: str | None = None, *, listed: bool = False
) -> JsonObject:
    """A mapping in the API's words. `account` stands in its ARN, without one that of the source; `listed`: in a
    list, where filters under a key are left out (CFG-62).
    """
    told: JsonObject = {
        "UUID": mapping.uuid,
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": int(mapping.window),
        "EventSourceArn": mapping.arn.text,
        "EventSourceMappingArn": mapping_arn(mapping, account),
        "FunctionArn": mapping.function_arn,
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if mapping.report_batch_item_failures else [],
        "LastModified": standing.modified,
        "State": standing.state.value,
        "StateTransitionReason": standing.reason or _reason(mapping.source),
    }
    if mapping.written_filters and not (listed and mapping.kms_key):
        told["FilterCriteria"] = {"Filters": [{"Pattern": pattern} for pattern in mapping.written_filters]}
    if mapping.kms_key:
        told["KMSKeyArn"] = mapping.kms_key
    if mapping.metrics:
        told["MetricsConfig"] = {"Metrics": list(mapping.metrics)}
    if mapping.maximum_concurrency is not None:
        told["ScalingConfig"] = {"MaximumConcurrency": mapping.maximum_concurrency}
    if mapping.provisioned is not None:
        pollers = mapping.provisioned
        told["ProvisionedPollerConfig"] = {
            "MinimumPollers": pollers.minimum,
            "MaximumPollers": pollers.maximum,
        }
    if mapping.stream is not None:
        told |= _stream(mapping.stream) | {"LastProcessingResult": standing.result}
    return told


def mapping_arn(mapping: EventSourceMapping, account: str | None = None) -> str:
    """API-2."""
    arn = mapping.arn
    return f"arn:{arn.partition}:lambda:{arn.region}:{account or arn.account}:event-source-mapping:{mapping.uuid}"


def uuid_of_arn(arn: str) -> str | None:
    """The UUID in a mapping's ARN; None in what is none."""
    match = _ARN.fullmatch(arn)
    return match["uuid"] if match else None


def processing_result(last_outcome: str, source_problem: str | None) -> str:
    """API-12, PBR-27, from the outcome of the last invocation ("" before the first) and what keeps the source from
    being read, if anything does. A discard is no outcome, so it changes nothing here.
    """
    if source_problem is not None:
        return f"PROBLEM: {source_problem}"
    return _RESULTS.get(last_outcome, FUNCTION_FAILED)


def _reason(source: SourceKind) -> str:
    return "USER_INITIATED" if source is SourceKind.SQS else "User action"


def _stream(stream: StreamSettings) -> JsonObject:
    destination = stream.destination
    told: JsonObject = {
        "StartingPosition": stream.position.kind.value,
        "ParallelizationFactor": stream.lanes,
        "BisectBatchOnFunctionError": stream.bisect,
        "MaximumRetryAttempts": -1 if stream.retries is None else stream.retries,
        "MaximumRecordAgeInSeconds": -1 if stream.maximum_age is None else int(stream.maximum_age),
        "TumblingWindowInSeconds": stream.tumbling_window,
        "DestinationConfig": {"OnFailure": {} if destination is None else {"Destination": destination.text}},
    }
    if stream.position.kind is PositionKind.AT_TIMESTAMP:
        told["StartingPositionTimestamp"] = stream.position.timestamp
    return told
