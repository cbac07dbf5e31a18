"""What the tests of the handlers share."""

from collections.abc import Callable

import pytest

from poller.core.mapping import EventSourceMapping, HandlerSettings, SourceArn
from poller.core.model import SourceKind
from poller.ports import Invocation

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"


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
