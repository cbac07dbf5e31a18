"""FunctionName -> handler."""

from dataclasses import replace

import pytest

from poller.core.mapping import EventSourceMapping
from poller.errors import ConfigurationError
from poller.handlers.exec import ExecHandler
from poller.handlers.http import HttpHandler
from poller.handlers.process import ProcessHandler
from poller.handlers.python import PythonHandler
from poller.handlers.targets import make_handler


async def test_python_names_a_callable(mapping: EventSourceMapping, invocation):
    handler = make_handler(replace(mapping, function_name="python:json:dumps"))
    assert isinstance(handler, PythonHandler)
    await handler.start()
    await handler.close()


async def test_the_callable_itself_comes_before_the_name(mapping: EventSourceMapping, invocation):
    async def here(event, context):
        return 5

    handler = make_handler(replace(mapping, function_name="here"), here)
    await handler.start()
    assert (await handler.invoke(invocation())).payload == b"5"


@pytest.mark.parametrize("name", ["http://127.0.0.1:8080/hook", "https://example.com/hook?key=1"])
async def test_a_url_is_posted_to(mapping: EventSourceMapping, name: str):
    assert isinstance(make_handler(replace(mapping, function_name=name)), HttpHandler)


@pytest.mark.parametrize(
    ("name", "form"), [("process:shop.orders:handler", ProcessHandler), ("exec:./run --fast", ExecHandler)]
)
def test_a_process_or_a_program_is_started(mapping: EventSourceMapping, name: str, form: type):
    assert isinstance(make_handler(replace(mapping, function_name=name)), form)


@pytest.mark.parametrize("name", ["my-function", "arn:aws:lambda:eu-west-1:123456789012:function:f:live"])
def test_a_lambda_function_is_invoked_by_whoever_knows_aws(mapping: EventSourceMapping, name: str):
    named, other = replace(mapping, function_name=name), make_handler(replace(mapping, function_name="exec:./run"))
    asked: list[EventSourceMapping] = []
    assert make_handler(named, make_lambda=lambda one: asked.append(one) or other) is other
    assert asked == [named]
    with pytest.raises(ConfigurationError, match=f"Mapping 'orders': {name} cannot be invoked without AWS"):
        make_handler(named)


def test_what_names_no_target_is_refused_in_a_sentence(mapping: EventSourceMapping):
    with pytest.raises(ConfigurationError, match="Mapping 'orders': FunctionName: 'no target' names no target"):
        make_handler(replace(mapping, function_name="no target"))
