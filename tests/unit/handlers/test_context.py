"""The context object, as a function written for Lambda reads it."""

from dataclasses import dataclass

from poller.core.model import Instant
from poller.handlers.context import Context
from poller.ports import Invocation


@dataclass
class HandClock:
    mono: float = 100.0

    def now(self) -> Instant:
        return Instant(0.0, self.mono)


def make(clock: HandClock, deadline: float = 130.0) -> Context:
    return Context(
        Invocation({}, "request-1", deadline), "shop", "arn:aws:lambda:eu-west-1:1:function:shop", clock
    )


def test_tells_what_lambda_tells():
    context = make(HandClock())
    assert context.aws_request_id == "request-1"
    assert context.function_name == "shop"
    assert context.function_version == "$LATEST"
    assert context.invoked_function_arn == "arn:aws:lambda:eu-west-1:1:function:shop"
    assert context.memory_limit_in_mb == "128"
    assert context.log_group_name is context.log_stream_name is context.identity is context.client_context is None


def test_the_remaining_time_goes_down_and_stops_at_zero():
    clock = HandClock()
    context = make(clock)
    assert context.get_remaining_time_in_millis() == 30_000
    clock.mono = 129.9995
    assert context.get_remaining_time_in_millis() == 0
    clock.mono = 1000.0
    assert context.get_remaining_time_in_millis() == 0


def test_a_middleware_may_hang_its_own_things_on_it():
    context, other = make(HandClock()), make(HandClock())
    context.trace = "abc"
    context.log_group_name = "mine"
    assert context.trace == "abc"
    assert not hasattr(other, "trace")
    assert other.log_group_name is None
