"""The embedded Lambda, as its users' SDK sees it."""

import asyncio
import json

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from poller.testing import EmbeddedAws, FunctionFailed, TooManyRequests


@pytest.fixture
async def aws():
    async with EmbeddedAws() as aws:
        yield aws


@pytest.fixture
async def client(aws):
    config = AioConfig(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    session = AioSession()
    async with session.create_client(
        "lambda", region_name="us-east-1", endpoint_url=aws.url, config=config
    ) as client:
        yield client


async def invoke(client, name="f", payload=b"{}", **fields):
    answer = await client.invoke(FunctionName=name, Payload=payload, **fields)
    return await answer["Payload"].read(), answer.get("FunctionError"), answer.get("ExecutedVersion")


async def refusal(client, name="f", payload=b"{}", **fields):
    with pytest.raises(ClientError) as caught:
        await invoke(client, name, payload, **fields)
    return caught.value.response


async def test_functions_that_return_and_raise(aws, client):
    """INV-2, INV-8."""

    async def later(event):
        await asyncio.sleep(0)
        return event["n"] + 1

    def bad(event):
        raise KeyError(event["n"])

    for name, function in (("later", later), ("bad", bad), ("odd", lambda event: object())):
        aws.functions.add(name, function)
    assert await invoke(client, "later", b'{"n": 1}') == (b"2", None, "$LATEST")
    payload, kind, _ = await invoke(client, "bad", b'{"n": 1}')
    assert (json.loads(payload)["errorType"], json.loads(payload)["errorMessage"], kind) == (
        "KeyError",
        "1",
        "Unhandled",
    )
    assert (await invoke(client, "odd"))[1] == "Unhandled"


async def test_raw_functions_say_every_byte(aws, client):
    def raw(payload):
        if payload == b"[1]":
            raise FunctionFailed(b"oh", "Handled")
        if payload == b"[2]":
            raise TooManyRequests(7, "CallerRateLimitExceeded")
        return b"\xff" + payload

    aws.functions.add_raw("f", raw)
    assert await invoke(client, payload=b"[0]") == (b"\xff[0]", None, "$LATEST")
    assert await invoke(client, payload=b"[1]") == (b"oh", "Handled", "$LATEST")
    throttled = await refusal(client, payload=b"[2]")
    assert throttled["Error"]["Code"] == "TooManyRequestsException"
    assert throttled["Reason"] == "CallerRateLimitExceeded"
    assert throttled["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"


async def test_names_and_qualifiers(aws, client):
    """CFG-53, INV-1."""
    aws.functions.add("f", lambda event: None, aliases={"live": "3"})
    arn = aws.functions.arn("f")
    for name, qualifier, version in [
        ("f", "", "$LATEST"),
        ("f:$LATEST", "", "$LATEST"),
        ("f", "live", "3"),
        ("f:3", "", "3"),
        ("function:f:live", "", "3"),
        (arn, "", "$LATEST"),
        (f"{arn}:live", "", "3"),
    ]:
        fields = {"Qualifier": qualifier} if qualifier else {}
        assert (await invoke(client, name, **fields))[2] == version
    for name in ("g", "f:4", "f:other"):
        error = (await refusal(client, name))["Error"]
        assert error == {
            "Code": "ResourceNotFoundException",
            "Message": f"Function not found: arn:aws:lambda:us-east-1:000000000000:function:{name}",
        }
    told = await client.get_function_configuration(FunctionName="f", Qualifier="live")
    assert (told["FunctionArn"], told["Timeout"], told["Version"]) == (arn, 3, "3")


async def test_limits_and_requests_that_are_none(aws, client):
    """INV-5, ERR-8."""
    aws.functions.add("f", lambda event: "x" * 7_000_000 if event else None)
    payload, kind, _ = await invoke(client, payload=b"[1]")
    assert (json.loads(payload)["errorType"], kind) == ("Function.ResponseSizeTooLarge", "Unhandled")
    assert (await refusal(client, payload=b"no json"))["Error"]["Code"] == "InvalidRequestContentException"
    assert (await refusal(client, InvocationType="Event"))["Error"]["Code"] == "InvalidParameterValueException"
    with pytest.raises(ClientError, match="has nothing for GET /2015-03-31/functions/f/policy"):
        await client.get_policy(FunctionName="f")


async def test_faults_and_counters(aws, client):
    aws.functions.add("f", lambda event: None)
    aws.faults.throttle("lambda:Invoke")
    assert (await refusal(client))["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert aws.rest.lambda_service.calls["Invoke"] == 1
    assert await invoke(client) == (b"null", None, "$LATEST")


async def test_a_function_that_runs_ends_with_the_server(client, aws):
    begun, ended = asyncio.Event(), []

    async def forever(event):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    aws.functions.add("f", forever)
    call = asyncio.create_task(invoke(client))
    await begun.wait()
    await aws.close()
    assert ended
    with pytest.raises(Exception, match=r"connect|disconnect|closed"):
        await call
