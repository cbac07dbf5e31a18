"""How what a mapping names is opened; the rest is told by the tests of its adapters and of `poller check`."""

import pytest

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import SourceProblem
from poller.errors import DestinationError, SourceError
from poller.settings import Settings
from poller.sources import opened_sources
from poller.testing import EmbeddedAws

QUEUE = "arn:aws:sqs:us-east-1:000000000000:failed"


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    async with EmbeddedAws() as aws:
        yield aws


def mapping(destination: str) -> EventSourceMapping:
    parsed = parse_mapping(
        {
            "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
            "FunctionName": "python:a:b",
            "StartingPosition": "LATEST",
            "DestinationConfig": {"OnFailure": {"Destination": destination}},
        }
    )
    assert isinstance(parsed, EventSourceMapping), parsed
    return parsed


async def test_a_destination_is_opened_or_there_is_none(aws: EmbeddedAws) -> None:
    """DST-31: before the first failure document is due."""
    aws.sqs.apply(aws.service.clock.now(), "CreateQueue", {"QueueName": "failed"})
    async with opened_sources(Settings(region="us-east-1", endpoint_url=aws.url)) as sources:
        assert await sources.destination(mapping(QUEUE)) is not None
        assert await sources.destination(mapping("")) is None


async def test_what_aws_says_of_a_destination_decides_whether_to_be_patient(aws: EmbeddedAws) -> None:
    """DST-31, API-16: a queue that is not there is no matter of time, one that has no time now is."""
    async with opened_sources(Settings(region="us-east-1", endpoint_url=aws.url)) as sources:
        with pytest.raises(SourceError, match=f"on-failure destination {QUEUE} cannot be used") as missing:
            await sources.destination(mapping(QUEUE))
        assert missing.value.problem is SourceProblem.MISSING
        aws.faults.throttle("GetQueueUrl", None)
        with pytest.raises(SourceError) as throttled:
            await sources.destination(mapping(QUEUE))
        assert throttled.value.problem is SourceProblem.THROTTLED


async def test_a_destination_that_does_not_answer(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """DST-31: nobody has said why."""
    monkeypatch.setattr("poller.aws.destinations.OPEN_DEADLINE", 0.05)
    aws.faults.hang("GetQueueUrl", None)
    async with opened_sources(Settings(region="us-east-1", endpoint_url=aws.url)) as sources:
        with pytest.raises(DestinationError, match="was not ready within"):
            await sources.destination(mapping(QUEUE))
