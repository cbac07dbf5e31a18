"""Kinesis behind the HTTP face: the way in by X-Amz-Target, faults in its own words, its own counters."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiobotocore.session import get_session

from poller.core.model import JsonObject
from poller.testing import EmbeddedAws, ManualClock
from poller.testing.calls import Answer, AwsError, Dropped

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}


@pytest.fixture
async def aws() -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws(clock=ManualClock()) as aws:
        yield aws


def call(aws: EmbeddedAws, operation: str, **request: Any) -> list[Answer]:
    answers: list[Answer] = []
    aws.kinesis_service.call(operation, request, answers.append)
    return answers


async def test_aiobotocore_is_a_client(aws: EmbeddedAws) -> None:
    async with get_session().create_client("kinesis", endpoint_url=aws.url, **KEYS) as kinesis:
        await kinesis.create_stream(StreamName="s", ShardCount=1)
        await kinesis.put_record(StreamName="s", Data=b"\x00\xff", PartitionKey="k")
        (shard,) = (await kinesis.list_shards(StreamName="s"))["Shards"]
        told = await kinesis.get_shard_iterator(
            StreamName="s", ShardId=shard["ShardId"], ShardIteratorType="AT_TIMESTAMP", Timestamp=0
        )
        page = await kinesis.get_records(ShardIterator=told["ShardIterator"])
        (record,) = page["Records"]
        assert record["Data"] == b"\x00\xff"
        assert record["ApproximateArrivalTimestamp"].timestamp() == aws.service.clock.now().wall
        with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
            await kinesis.describe_stream_summary(StreamName="none")
    assert aws.kinesis_service.calls["GetRecords"] == 1


async def test_an_error_has_the_form_of_a_service_that_never_spoke_the_query_protocol(aws: EmbeddedAws) -> None:
    """STR-23."""
    aws.faults.throttle("GetRecords")
    reader, writer = await asyncio.open_connection(aws.host, aws.port)
    target = b"X-Amz-Target: Kinesis_20131202.GetRecords"
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\n" + target + b"\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    )
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"x-amzn-query-error" not in answer
    assert b'"__type":"ProvisionedThroughputExceededException"' in answer


def test_faults() -> None:
    aws = EmbeddedAws(clock=ManualClock())
    aws.faults.throttle("kinesis:ListStreams")
    aws.faults.fail("ListStreams", status=503, code="Later", message="planted")
    aws.faults.drop("ListStreams")
    aws.faults.hang("ListStreams")
    (throttled,), (failed,), (dropped,) = (call(aws, "ListStreams") for _ in range(3))
    assert isinstance(throttled, AwsError)
    assert throttled.name == "ProvisionedThroughputExceededException"
    assert failed == AwsError("Later", "planted", 503)
    assert dropped == Dropped()
    assert call(aws, "ListStreams") == []
    (answer,) = call(aws, "ListStreams")
    assert isinstance(answer, dict)
    assert aws.kinesis_service.calls["ListStreams"] == 5


def test_a_fault_of_one_service_meets_no_other() -> None:
    aws = EmbeddedAws(clock=ManualClock())
    aws.faults.throttle("sqs:ListStreams")
    (answer,) = call(aws, "ListStreams")
    assert isinstance(answer, dict)
    aws.faults.clear()
    aws.faults.throttle("kinesis:ListQueues")
    answers: list[Answer] = []
    aws.service.call("ListQueues", {}, answers.append)
    assert answers == [{}]


@pytest.mark.parametrize(("after", "there"), [(False, False), (True, True)])
def test_a_dropped_call_is_done_or_not(after: bool, there: bool) -> None:
    aws = EmbeddedAws(clock=ManualClock())
    aws.faults.drop("CreateStream", after=after)
    assert call(aws, "CreateStream", StreamName="s", ShardCount=1) == [Dropped()]
    assert ("s" in aws.kinesis.streams) is there


def test_entries_that_fail_are_for_batches_of_sqs() -> None:
    aws = EmbeddedAws(clock=ManualClock())
    aws.faults.fail_entries("PutRecords", [0])
    request: JsonObject = {"StreamName": "s", "Records": []}
    with pytest.raises(ValueError, match="PutRecords of kinesis"):
        call(aws, "PutRecords", **request)
