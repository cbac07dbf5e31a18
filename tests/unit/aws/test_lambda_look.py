"""What `poller check --online` hears of a function."""

from dataclasses import replace

import pytest

from poller.aws.clients import AwsClients
from poller.aws.lambda_look import look
from poller.check_sources import Remark
from poller.core.mapping import EventSourceMapping, HandlerSettings, parse_mapping
from poller.testing import EmbeddedAws


def make_mapping(function="orders:live", **handler) -> EventSourceMapping:
    found = parse_mapping({"EventSourceArn": "arn:aws:sqs:eu-west-1:000000000000:q", "FunctionName": function})
    assert isinstance(found, EventSourceMapping), found
    return replace(found, handler=HandlerSettings(**handler))


@pytest.fixture
async def aws():
    async with EmbeddedAws(region="eu-west-1") as aws:
        yield aws


@pytest.fixture
async def clients(aws):
    async with AwsClients(endpoint_url=aws.url) as clients:
        yield clients


async def test_a_function_that_is_there(aws, clients):
    """CFG-53: the reference that will be invoked is looked at. A timeout that is equal is long enough."""
    aws.functions.add("orders", lambda event: None, aliases={"live": "7"}, timeout=30)
    assert await look(make_mapping(), clients) == []
    assert await look(make_mapping(timeout=29.0), clients) == [
        Remark(
            "warning",
            "The function orders:live may run for 30 s, but a call counts as failed after 29 s while it goes on:"
            " set Handler.TimeoutInSeconds to 30 or more.",
        )
    ]
    assert aws.rest.lambda_service.calls == {"GetFunctionConfiguration": 2}


async def test_a_function_that_is_not_there(aws, clients):
    """CFG-38."""
    aws.functions.add("orders", lambda event: None)
    ((level, text),) = await look(make_mapping(), clients)
    assert level == "error"
    assert text.startswith(
        "Function does not exist. lambda GetFunctionConfiguration at the AWS endpoint found nothing"
    )
    assert "function:orders:live" in text


async def test_what_else_comes_of_it(aws, clients):
    """IAM-6: a policy that allows the run and nothing more is no error."""
    aws.functions.add("orders", lambda event: None, aliases={"live": "7"})
    aws.faults.fail("GetFunctionConfiguration", status=403, code="AccessDeniedException")
    ((level, text),) = await look(make_mapping(), clients)
    assert level == "info"
    assert "to run, it takes lambda:InvokeFunction" in text
    aws.faults.fail("GetFunctionConfiguration", status=403, code="ExpiredTokenException")
    ((level, text),) = await look(make_mapping(), clients)
    assert (level, "ExpiredToken" in text) == ("error", True)


async def test_a_function_that_failed_to_be_made(serve):
    async def script(line, number):
        await line.request()
        await line.answer(b'{"State":"Failed","StateReason":"The image cannot be found","Timeout":3}')

    server = await serve(script)
    async with AwsClients(endpoint_url=server.url) as clients:
        ((level, text),) = await look(make_mapping(), clients)
    assert (level, "The image cannot be found" in text) == ("warning", True)


async def test_other_targets_are_not_looked_at(aws, clients):
    emulated = make_mapping(endpoint_url=aws.url)
    for mapping in (make_mapping("python:a:b"), make_mapping("http://localhost:1/"), emulated):
        assert await look(mapping, clients) == []
    assert not aws.rest.lambda_service.calls
