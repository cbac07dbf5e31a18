"""What a queue mapping does not have, and what does not count as an invocation."""

from typing import Any

import pytest

from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.messages import InvocationOutcome
from poller.core.model import FunctionError, InvocationResult, NotInvoked, Throttled
from poller.core.settle import Release, Retry, settle_queue
from tests.unit.core.machine import Middle, batch, mapping, message

QUEUE = {"EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders", "FunctionName": "python:shop:handler"}
NOT_FOR_QUEUES: dict[str, Any] = {
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:failed"}},
    "MaximumRetryAttempts": 2,
    "MaximumRecordAgeInSeconds": 60,
    "BisectBatchOnFunctionError": True,
    "ParallelizationFactor": 2,
    "TumblingWindowInSeconds": 60,
    "LoggingConfig": {"SystemLogLevel": "INFO"},
}


@pytest.mark.parametrize("field", NOT_FOR_QUEUES)
@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_what_a_queue_does_by_itself_cannot_be_set(field: str, suffix: str) -> None:
    """GEN-8, OPEN-19: visibility and redrive policy do this work; such fields are refused, in one sentence."""
    source = {"EventSourceArn": QUEUE["EventSourceArn"] + suffix}
    parsed = parse_mapping({**QUEUE, **source, field: NOT_FOR_QUEUES[field]})
    assert isinstance(parsed, Invalid)
    (problem,) = parsed.problems
    assert problem.path == (field,)
    assert problem.message == f"Unsupported {field} parameter for given event source mapping type."


@pytest.mark.parametrize(
    ("given", "seconds"), [({}, 30), ({"TimeoutInSeconds": 900}, 900), ({"TimeoutInSeconds": 1}, 1)]
)
def test_the_time_of_a_handler(given: dict[str, Any], seconds: float) -> None:
    """INV-3: 30 s unless told otherwise."""
    parsed = parse_mapping({**QUEUE, "Handler": given})
    assert isinstance(parsed, EventSourceMapping)
    assert parsed.handler.timeout == seconds


@pytest.mark.parametrize("seconds", [0, -1, 900.5, 901, float("inf"), float("nan")])
def test_times_that_no_function_may_have(seconds: float) -> None:
    """INV-3: 900 s at most, and no call without an end."""
    assert isinstance(parse_mapping({**QUEUE, "Handler": {"TimeoutInSeconds": seconds}}), Invalid)


@pytest.mark.parametrize(
    "result", [Throttled("429"), Throttled("503", 2.0), NotInvoked("500"), NotInvoked("reset")]
)
@pytest.mark.parametrize("partial", [False, True])
def test_what_was_not_reached_has_neither_succeeded_nor_failed(result: InvocationResult, partial: bool) -> None:
    """INV-4: nothing is deleted, and as long as the receipts are good nothing is let go; it is no error of the
    function, which may have run all the same.
    """
    one = batch(message("a"), message("b"))
    settings = mapping(report_batch_item_failures=partial)
    verdict = settle_queue(one, result, settings, 100.0, Middle())
    assert verdict.outcome is InvocationOutcome.THROTTLED
    (retry,) = verdict.dispositions
    assert isinstance(retry, Retry)
    assert retry.batch.messages == one.messages
    late = settle_queue(one, result, settings, 0.5, Middle())
    assert late.dispositions == (Release(one.messages),)


@pytest.mark.parametrize("handled", [False, True])
def test_a_function_error_is_one_however_it_is_called(handled: bool) -> None:
    """INV-2, INV-9: Handled or Unhandled, the batch has failed and is not tried again by us."""
    one = batch(message("a"))
    verdict = settle_queue(one, FunctionError("E", "text", handled=handled), mapping(), 100.0, Middle())
    assert verdict.dispositions == (Release(one.messages),)
    assert verdict.detail == "E: text"
