"""Which dead-letter queues there are, when some of them cannot be seen."""

import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import JsonObject, SourceProblem
from poller.errors import SourceError
from poller.operate.dead_letters import all_dead_letter_queues, told_queue
from poller.settings import Settings
from poller.sources import opened_sources
from poller.testing import EmbeddedAws
from poller.testing.sqs_settings import Redrive

ARN = "arn:aws:sqs:us-east-1:000000000000:"
DENIED = {"status": 403, "code": "AccessDenied", "message": "no"}


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedAws]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    async with EmbeddedAws() as aws:
        yield aws


def make(aws: EmbeddedAws, name: str, dead: str | None = None) -> None:
    attributes = {}
    if dead is not None:
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": ARN + dead, "maxReceiveCount": 1})
    aws.sqs.apply(aws.service.clock.now(), "CreateQueue", {"QueueName": name, "Attributes": attributes})


def mapping(name: str, **more: Any) -> EventSourceMapping:
    parsed = parse_mapping({"EventSourceArn": ARN + name, "FunctionName": "python:a:b", "Name": name, **more})
    assert isinstance(parsed, EventSourceMapping), parsed
    return parsed


async def rows(aws: EmbeddedAws, *mappings: EventSourceMapping) -> list[JsonObject]:
    async with opened_sources(Settings(region="us-east-1", endpoint_url=aws.url)) as sources:
        found = await all_dead_letter_queues(sources, mappings)
        return [await told_queue(one, 10, 0.0, pytest.fail) for one in found]


async def test_one_that_is_gone_hides_no_other(aws: EmbeddedAws) -> None:
    """Of the one whose source is gone and the one that is gone itself is told why, in the order of the file."""
    make(aws, "d1")
    make(aws, "d2")
    make(aws, "sound", "d1")
    make(aws, "lost", "d2")
    aws.sqs.apply(aws.service.clock.now(), "DeleteQueue", {"QueueUrl": f"{aws.url}/000000000000/d2"})
    told = await rows(aws, mapping("gone"), mapping("lost"), mapping("sound"))
    assert [(one["mapping"], one["queue"], one["visible"]) for one in told] == [
        ("gone", None, None),
        ("lost", f"{ARN}d2", None),
        ("sound", f"{ARN}d1", 0),
    ]
    for one, name in zip(told, ("gone", "d2"), strict=False):
        assert f"{ARN}{name}" in one["problem"]
        assert "check name, account and region" in one["problem"]
    assert told[2]["problem"] is None


async def test_one_that_is_denied_hides_no_other(aws: EmbeddedAws) -> None:
    """Before its messages are asked for or when they are: what is known is shown, with what has to be allowed."""
    make(aws, "d1")
    make(aws, "first", "d1")
    make(aws, "second", "d1")
    aws.faults.fail("GetQueueAttributes", 1, **DENIED)
    aws.faults.fail("ReceiveMessage", 1, **DENIED)
    told = await rows(aws, mapping("first"), mapping("second"))
    assert [(one["mapping"], one["visible"]) for one in told] == [("first", None), ("second", 0)]
    assert "allow sqs:ReceiveMessage, sqs:DeleteMessage and sqs:GetQueueAttributes" in told[0]["problem"]
    assert "Allow sqs:ReceiveMessage" in told[1]["problem"]


async def test_a_policy_that_names_no_queue_hides_no_other(aws: EmbeddedAws) -> None:
    """As a stand-in may have it; AWS refuses such a policy."""
    make(aws, "d1")
    make(aws, "odd", "d1")
    make(aws, "sound", "d1")
    queue = aws.sqs.queues["odd"]
    queue.settings = dataclasses.replace(queue.settings, redrive=Redrive("d1", 1))
    told = await rows(aws, mapping("odd"), mapping("sound"))
    assert [(one["mapping"], one["visible"]) for one in told] == [("odd", None), ("sound", 0)]
    assert told[0]["problem"].startswith("RedrivePolicy: ")


async def test_a_region_that_does_not_answer_is_waited_for_once(aws: EmbeddedAws) -> None:
    """Twenty mappings there are no reason to wait twenty times; another region is asked all the same."""
    make(aws, "d1")
    make(aws, "near", "d1")
    aws.faults.drop("GetQueueUrl", 3)  # as often as one call is tried
    far = [mapping(name, EventSourceArn=f"arn:aws:sqs:eu-west-1:000000000000:{name}") for name in ("a", "b")]
    told = await rows(aws, *far, mapping("near"))
    assert [(one["mapping"], one["problem"] is None) for one in told] == [
        ("a", False),
        ("b", False),
        ("near", True),
    ]
    assert told[0]["problem"] == told[1]["problem"]
    assert aws.service.calls["GetQueueUrl"] <= 5


async def test_credentials_that_are_good_for_none_end_it(aws: EmbeddedAws) -> None:
    """One sentence, not one for each mapping."""
    make(aws, "d1")
    make(aws, "q", "d1")
    aws.faults.fail("GetQueueUrl", None, status=403, code="InvalidClientTokenId", message="no")
    with pytest.raises(SourceError) as refused:
        await rows(aws, mapping("q"), mapping("q"))
    assert refused.value.problem is SourceProblem.CREDENTIALS
