"""Powertools' BatchProcessor, unchanged, under `python:`: it reads our events, and we read its answers."""

import base64
import json

import pytest

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import BatchTrigger, FunctionError, Succeeded
from poller.core.payload import make_messages, queue_event
from poller.core.records import StreamBatch
from poller.core.response import (
    PartialFailure,
    PartialProgress,
    Success,
    interpret_queue_response,
    interpret_stream_response,
)
from poller.core.stream_payload import make_records, stream_event
from poller.handlers.targets import make_handler
from poller.ports import Invocation

ACCOUNT = "eu-west-1:123456789012"
ARNS = {
    "sqs": f"arn:aws:sqs:{ACCOUNT}:orders",
    "in_loop": f"arn:aws:sqs:{ACCOUNT}:orders",
    "fifo": f"arn:aws:sqs:{ACCOUNT}:orders.fifo",
    "kinesis": f"arn:aws:kinesis:{ACCOUNT}:stream/orders",
    "dynamodb": f"arn:aws:dynamodb:{ACCOUNT}:table/orders/stream/2026-01-01T00:00:00.000",
}


def make_mapping(source) -> EventSourceMapping:
    fields = {
        "EventSourceArn": ARNS[source],
        "FunctionName": f"python:tests.unit.powertools_handlers:{source}",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    if source in {"kinesis", "dynamodb"}:
        fields["StartingPosition"] = "TRIM_HORIZON"
    found = parse_mapping(fields)
    assert isinstance(found, EventSourceMapping), found
    return found


async def response(mapping, event):
    handler = make_handler(mapping)
    await handler.start()
    try:
        return await handler.invoke(Invocation(event, "request-1", 1e9))
    finally:
        await handler.close()


def order(bad):
    return json.dumps({"bad": bad})


def queue_batch(mapping, bad, groups):
    wires = [
        {
            "MessageId": f"00000000-0000-4000-8000-{number:012}",
            "ReceiptHandle": "r",
            "Body": order(number in bad),
            "MD5OfBody": "",
            "Attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1700000000000",
                "SenderId": "me",
                "ApproximateFirstReceiveTimestamp": "1700000000000",
                "MessageGroupId": group,
            },
        }
        for number, group in enumerate(groups)
    ]
    messages = make_messages(wires, mapping.arn, False, 1e9, 0.0)
    return [message.id for message in messages], queue_event([message.record for message in messages])


@pytest.mark.parametrize("source", ["sqs", "in_loop"])
async def test_a_standard_queue(source):
    """PBR-3, PBR-10."""
    mapping = make_mapping(source)
    ids, event = queue_batch(mapping, {1, 3}, "AAAA")
    result = await response(mapping, event)
    assert isinstance(result, Succeeded), result
    assert interpret_queue_response(result.payload, ids, True) == PartialFailure(frozenset({ids[1], ids[3]}))
    ids, event = queue_batch(mapping, set(), "AA")
    result = await response(mapping, event)
    assert isinstance(result, Succeeded)
    assert interpret_queue_response(result.payload, ids, True) == Success()


async def test_a_batch_that_fails_as_a_whole_is_a_function_error():
    """PBR-2: it raises then."""
    mapping = make_mapping("sqs")
    _, event = queue_batch(mapping, {0, 1}, "AA")
    result = await response(mapping, event)
    assert isinstance(result, FunctionError)
    assert result.error_type == "BatchProcessingError"


async def test_a_fifo_queue():
    """FIFO-7: the rest of the group is reported with the message that failed."""
    mapping = make_mapping("fifo")
    ids, event = queue_batch(mapping, {0}, "ABAB")
    result = await response(mapping, event)
    assert isinstance(result, Succeeded), result
    assert interpret_queue_response(result.payload, ids, True) == PartialFailure(frozenset({ids[0], ids[2]}))


def kinesis_wire(number, bad):
    data = base64.b64encode(order(bad).encode()).decode()
    return {
        "SequenceNumber": str(98 + number),
        "PartitionKey": "k",
        "Data": data,
        "ApproximateArrivalTimestamp": 1_700_000_000.5,
    }


def dynamodb_wire(number, bad):
    change = {
        "SequenceNumber": str(98 + number),
        "ApproximateCreationDateTime": 1_700_000_000.0,
        "Keys": {"id": {"S": "1"}},
        "NewImage": {"id": {"S": "1"}, "order": {"S": order(bad)}},
        "SizeBytes": 10,
        "StreamViewType": "NEW_IMAGE",
    }
    return {"eventID": str(number), "eventName": "INSERT", "eventVersion": "1.1", "dynamodb": change}


@pytest.mark.parametrize(("source", "wire"), [("kinesis", kinesis_wire), ("dynamodb", dynamodb_wire)])
async def test_a_stream(source, wire):
    """PBR-20, PBR-21: the position is the first that failed, by number and not by text."""
    mapping = make_mapping(source)
    for bad, expected in [(set(), Success()), ({1, 2}, PartialProgress(1)), ({0}, PartialProgress(0))]:
        wires = [wire(number, number in bad) for number in range(3)]
        records = tuple(make_records(wires, mapping, "shardId-000000000000", 0))
        batch = StreamBatch(1, 0, records, BatchTrigger.SIZE, 0.0, 0)
        result = await response(mapping, stream_event(batch, mapping, "shardId-000000000000"))
        assert isinstance(result, Succeeded), result
        sent = [record.sequence for record in records]
        assert interpret_stream_response(result.payload, sent, True) == expected
