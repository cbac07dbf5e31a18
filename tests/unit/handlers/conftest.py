"""What the tests of the handlers share."""

import asyncio
import os
from collections.abc import Callable

import pytest
import uvloop

from poller.core.mapping import EventSourceMapping, HandlerSettings, SourceArn
from poller.core.model import SourceKind
from poller.ports import Invocation

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"


def pytest_asyncio_loop_factories(config, item):
    """Both event loops, where their transports differ: TLS above all, and pipes."""
    if item.path.name in {"test_child.py", "test_http.py", "test_http_connections.py"}:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def mapping() -> EventSourceMapping:
    return EventSourceMapping(
        uuid="0b7c1a52-0000-4000-8000-000000000001",
        name="orders",
        source=SourceKind.SQS,
        arn=SourceArn(ARN, "aws", "eu-west-1", "123456789012", "orders"),
        function_name="python:shop.orders:handler",
        function_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders",
        handler=HandlerSettings(timeout=30.0, concurrency=2),
    )


@pytest.fixture
def invocation() -> Callable[..., Invocation]:
    def make(event: dict | None = None, deadline: float = 1e9) -> Invocation:
        return Invocation(event if event is not None else {"Records": []}, "request-1", deadline)

    return make
