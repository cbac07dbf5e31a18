"""What is told of records that were given up: the failure document, to the last field, and its S3 object (DST).

When records are given up is stream_settle.py's decision, who gets the document aws/destinations.py's business.
"""

from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, JsonObject, SourceKind, Succeeded
from poller.core.payload import serialise
from poller.core.records import Discard, DiscardReason
from poller.core.stream_payload import iso_seconds, window_times


def failure_document(discard: Discard, mapping: EventSourceMapping, shard_id: str) -> JsonObject:
    """The document for SQS and SNS: metadata only, the fields in AWS's order (DST-2 to DST-9, DST-13).

    For a window's final invocation it names the window, and no range, because there were no records (TMB-10).
    """
    request: JsonObject = {
        "requestId": discard.request_id or _made_up_id(discard, mapping, shard_id),
        "functionArn": mapping.function_arn,
        "condition": discard.reason.value,
        "approximateInvokeCount": max(1, discard.invocations),  # DST-8
    }
    document: JsonObject = {"requestContext": request}
    response = _response_context(discard)
    if response is not None:
        document["responseContext"] = response
    document["version"] = "1.0"
    document["timestamp"] = _iso_milliseconds(discard.at)
    kinesis = mapping.source is SourceKind.KINESIS
    document["KinesisBatchInfo" if kinesis else "DDBStreamBatchInfo"] = _batch_info(discard, mapping, shard_id)
    call = discard.batch.call
    if call is not None and call.final:
        document["timeWindowInfo"] = {
            "window": window_times(call),
            "isFinalInvokeForWindow": call.final,
            "isWindowTerminatedEarly": call.early,
        }
    return document


def document_key(mapping: EventSourceMapping, shard_id: str, at: float, unique: str) -> str:
    """The key of the object in S3 (DST-11); `at` is the document's time in epoch seconds, `unique` a UUID."""
    return f"aws/lambda/{mapping.uuid}/{shard_id}/{_utc(at):%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{unique}"


def s3_object(document: JsonObject, event: JsonObject) -> bytes:
    """The object in S3: the document and the whole invocation event, which is a text of JSON in it (DST-10)."""
    return serialise({**document, "payload": serialise(event).decode()})


def _response_context(discard: Discard) -> JsonObject | None:
    """What the last invocation came to, where the document tells it (DST-6, DST-7).

    The last attempts may have been those of a process that did not live to see their end (ERR-5): nobody knows
    their result, but what Lambda says of a function whose process ends is `Unhandled`.
    """
    if discard.reason is DiscardReason.AGE or discard.oversize:
        return None
    error: str | None
    match discard.result:
        case FunctionError(handled=handled, executed_version=version):
            error = "Handled" if handled else "Unhandled"
        case Succeeded(executed_version=version):  # it returned, and what it returned was a failure (PBR-26)
            error = None
        case None if discard.invocations > 0:
            error, version = "Unhandled", "$LATEST"
        case _:
            return None
    return {"statusCode": 200, "executedVersion": version, "functionError": error}


def _batch_info(discard: Discard, mapping: EventSourceMapping, shard_id: str) -> JsonObject:
    records = discard.batch.records
    if not records:
        return {"shardId": shard_id, "streamArn": mapping.arn.text}
    iso = _iso_milliseconds if mapping.source is SourceKind.KINESIS else iso_seconds  # DST-3
    first, last = records[0], records[-1]
    return {
        "shardId": shard_id,
        "startSequenceNumber": first.sequence,
        "endSequenceNumber": last.sequence,
        "approximateArrivalOfFirstRecord": iso(first.arrived_at),
        "approximateArrivalOfLastRecord": iso(last.arrived_at),
        "batchSize": len(records),
        "streamArn": mapping.arn.text,
    }


def _made_up_id(discard: Discard, mapping: EventSourceMapping, shard_id: str) -> str:
    """A request id for records that no invocation had; the same if the document has to be sent twice (DST-32)."""
    records = discard.batch.records
    place = records[0].sequence if records else str(discard.at)
    digest = sha256(f"{mapping.uuid}\0{shard_id}\0{place}".encode("utf-8", "surrogatepass")).digest()
    return str(UUID(bytes=digest[:16], version=4))


def _iso_milliseconds(at: float) -> str:
    return f"{_utc(at):%Y-%m-%dT%H:%M:%S}.{_utc(at).microsecond // 1000:03}Z"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
