"""The target "a Lambda function" on the embedded Lambda, and on a server of others, which runs the code itself."""

import io
import json
import os
import uuid
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from unittest.mock import patch

import pytest

from poller.aws.clients import AwsClients
from poller.aws.lambda_handler import LambdaHandler
from poller.aws.lambda_look import look
from poller.core.mapping import EventSourceMapping, HandlerSettings, parse_mapping
from poller.core.model import FunctionError, NotInvoked, Succeeded
from poller.ports import Invocation
from poller.testing import EmbeddedAws

REGION = "us-east-1"
CODE = """
def handler(event, context=None):
    if event["do"] == "raise":
        raise KeyError(event["value"])
    return event["value"]
"""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

Open = Callable[[str], Awaitable[LambdaHandler]]


class Place:
    """A server with the function of CODE: its name, which is its own, version 1 and the alias `live`."""

    def __init__(self, clients: AwsClients, name: str) -> None:
        self.clients = clients
        self.name = name

    def mapping(self, reference: str) -> EventSourceMapping:
        fields = {"EventSourceArn": f"arn:aws:sqs:{REGION}:000000000000:orders", "FunctionName": reference}
        mapping = parse_mapping(fields)
        assert isinstance(mapping, EventSourceMapping), mapping
        return replace(mapping, handler=HandlerSettings(timeout=2.0))

    async def invoke(self, reference: str, **event: object):
        handler = LambdaHandler(self.mapping(reference), self.clients)
        await handler.start()
        try:
            return await handler.invoke(Invocation(event, "request-1", 1e9))
        finally:
            await handler.close()


@pytest.fixture
async def embedded() -> AsyncIterator[Place]:
    name, made = "f-embedded", {}
    exec(CODE, made)
    async with EmbeddedAws(region=REGION) as aws:
        aws.functions.add(name, made["handler"], aliases={"live": "1"}, timeout=3)
        async with AwsClients(endpoint_url=aws.url) as clients:
            yield Place(clients, name)


@pytest.fixture
async def others(ministack: str) -> AsyncIterator[Place]:
    name, packed = f"f-{uuid.uuid4().hex[:16]}", io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", CODE)
    async with AwsClients(endpoint_url=ministack) as clients:
        client = await clients.client("lambda", REGION)
        await client.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role="arn:aws:iam::000000000000:role/f",
            Handler="index.handler",
            Code={"ZipFile": packed.getvalue()},
            Timeout=3,
            Publish=True,
        )
        await client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        yield Place(clients, name)
        await client.delete_function(FunctionName=name)


@pytest.fixture(params=["embedded", "others"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def _credentials():
    with patch.dict(os.environ, CREDENTIALS):
        yield


async def test_what_a_function_returns_and_raises(place: Place):
    """INV-1, INV-2, INV-8, CFG-53: by every form of its name, with the version that ran."""
    for suffix, version in [("", "$LATEST"), (":$LATEST", "$LATEST"), (":live", "1"), (":1", "1")]:
        result = await place.invoke(place.name + suffix, do="return", value={"batchItemFailures": ["ä"]})
        assert isinstance(result, Succeeded), result
        assert json.loads(result.payload) == {"batchItemFailures": ["ä"]}
        assert result.executed_version == version
    whole = f"arn:aws:lambda:{REGION}:000000000000:function:{place.name}:live"
    assert await place.invoke(whole, do="return", value=None) == Succeeded(b"null", "1")
    raised = await place.invoke(place.name, do="raise", value="id")
    assert isinstance(raised, FunctionError)
    assert raised.error_type in {"KeyError", "Runtime.HandlerError"}  # ministack's word for all exceptions
    assert (raised.message, raised.handled, raised.timed_out) == ("'id'", False, False)


async def test_a_function_that_is_not_there(place: Place):
    """INV-6, API-11, CFG-38."""
    for reference in ("missing", f"{place.name}:7", f"{place.name}:other"):
        result = await place.invoke(reference, do="return", value=1)
        assert isinstance(result, NotInvoked), result
        assert "ResourceNotFoundException" in result.message
        ((level, text),) = await look(place.mapping(reference), place.clients)
        assert (level, text[:24]) == ("error", "Function does not exist.")


async def test_a_look_at_the_function(place: Place):
    ((level, text),) = await look(place.mapping(f"{place.name}:live"), place.clients)
    assert level == "warning"
    assert text.startswith(
        f"The function {place.name}:live may run for 3 s, but a call counts as failed after 2 s"
    )
