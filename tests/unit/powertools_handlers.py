"""Handlers as the manual of Powertools for AWS Lambda (Python) has them, of the real package."""

import json
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

sqs_processor = BatchProcessor(event_type=EventType.SQS)
fifo_processor = SqsFifoPartialProcessor(skip_group_on_error=True)
kinesis_processor = BatchProcessor(event_type=EventType.KinesisDataStreams)
dynamodb_processor = BatchProcessor(event_type=EventType.DynamoDBStreams)
async_processor = AsyncBatchProcessor(event_type=EventType.SQS)


def _work(order: dict[str, Any]) -> None:
    if order["bad"]:
        raise ValueError("no")


def sqs_record(record: SQSRecord) -> None:
    _work(record.json_body)


def kinesis_record(record: KinesisStreamRecord) -> None:
    _work(record.kinesis.data_as_json())


def dynamodb_record(record: DynamoDBRecord) -> None:
    assert record.dynamodb is not None
    assert record.dynamodb.new_image is not None
    _work(json.loads(record.dynamodb.new_image["order"]))


async def async_record(record: SQSRecord) -> None:
    _work(record.json_body)


def sqs(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, record_handler=sqs_record, processor=sqs_processor, context=context)


def fifo(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, record_handler=sqs_record, processor=fifo_processor, context=context)


def kinesis(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(
        event, record_handler=kinesis_record, processor=kinesis_processor, context=context
    )


def dynamodb(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(
        event, record_handler=dynamodb_record, processor=dynamodb_processor, context=context
    )


def in_loop(event: dict[str, Any], context: Any) -> Any:
    return async_process_partial_response(
        event, record_handler=async_record, processor=async_processor, context=context
    )
