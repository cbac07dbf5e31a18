"""The fate of a batch of a queue: every class of result, and the pauses (SQS, PBR)."""

import json
from random import Random

import pytest

from poller.core.mapping import RetryDelay
from poller.core.messages import InvocationOutcome
from poller.core.model import FunctionError, InvocationResult, NotInvoked, Succeeded, Throttled
from poller.core.settle import Ack, Release, Retry, Verdict, retry_seconds, settle_queue
from tests.unit.core.machine import Middle, batch, mapping, message

A, B, C = message("a"), message("b"), message("c")
BATCH = batch(A, B, C)


def settle(
    result: InvocationResult, *, partial: bool = False, lease_left: float = 100.0, failed_before: int = 0
) -> Verdict:
    settings = mapping(report_batch_item_failures=partial)
    return settle_queue(batch(A, B, C, not_invoked=failed_before), result, settings, lease_left, Middle())


def listing(*identifiers: str) -> Succeeded:
    return Succeeded(json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]}).encode())


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("payload", [b"null", b"", b'{"batchItemFailures":[]}', b'{"any": "thing"}'])
def test_success_deletes_everything(payload: bytes, partial: bool) -> None:
    """SQS-20: the function returned, and its response is a success."""
    verdict = settle(Succeeded(payload), partial=partial)
    assert verdict == Verdict(InvocationOutcome.SUCCESS, (Ack((A, B, C)),), slows_down=False)


@pytest.mark.parametrize("payload", [b"not json", b"7", b'{"batchItemFailures":[{"itemIdentifier":"a"}]}'])
def test_a_payload_that_nobody_asked_for(payload: bytes) -> None:
    """PBR-1, SUR-5: without ReportBatchItemFailures nobody looks at it."""
    assert settle(Succeeded(payload)).dispositions == (Ack((A, B, C)),)


def test_a_partial_response_keeps_what_it_lists() -> None:
    """PBR-10: the listed stay, the others are deleted; it does not count against the concurrency."""
    verdict = settle(listing("b"), partial=True)
    assert verdict.outcome is InvocationOutcome.PARTIAL
    assert verdict.dispositions == (Ack((A, C)), Release((B,)))
    assert not verdict.slows_down


def test_a_partial_response_that_lists_all() -> None:
    """PBR-10: nothing is left to delete, and no empty delete is ordered."""
    assert settle(listing("c", "b", "a"), partial=True).dispositions == (Release((A, B, C)),)


def test_messages_behind_a_failed_one_of_their_group_are_deleted() -> None:
    """FIFO-7, SUR-6: exactly the listed ids stay."""
    one, two, three = (message(name, group="g") for name in "123")
    settings = mapping(fifo=True, report_batch_item_failures=True)
    verdict = settle_queue(batch(one, two, three), listing("1"), settings, 100.0, Random(1))
    assert verdict.dispositions == (Ack((two, three)), Release((one,)))


@pytest.mark.parametrize("payload", [b"{", b"true", b'{"batchItemFailures":[{"itemIdentifier":"who"}]}'])
def test_a_response_that_cannot_be_read_deletes_nothing(payload: bytes) -> None:
    """PBR-11, SUR-5: the whole batch failed, and the log says why."""
    verdict = settle(Succeeded(payload), partial=True)
    assert verdict.outcome is InvocationOutcome.INVALID_RESPONSE
    assert verdict.dispositions == (Release((A, B, C)),)
    assert verdict.detail
    assert not verdict.slows_down


@pytest.mark.parametrize(
    ("timed_out", "outcome"), [(False, InvocationOutcome.ERROR), (True, InvocationOutcome.TIMEOUT)]
)
def test_a_function_error_deletes_nothing(timed_out: bool, outcome: InvocationOutcome) -> None:
    """SQS-21, SQS-24: nothing is deleted or repeated by us, and the concurrency falls."""
    verdict = settle(FunctionError("Boom", "it broke", timed_out=timed_out))
    assert verdict == Verdict(outcome, (Release((A, B, C)),), slows_down=True, detail="Boom: it broke")
    assert settle(FunctionError("Boom", "")).detail == "Boom"


def test_a_function_error_with_partial_responses_on() -> None:
    """PBR-2, SQS-24: it fails the whole batch, and does not lower the concurrency."""
    verdict = settle(FunctionError("Boom", "it broke"), partial=True)
    assert verdict.dispositions == (Release((A, B, C)),)
    assert not verdict.slows_down


@pytest.mark.parametrize("result", [Throttled("busy"), NotInvoked("refused")])
@pytest.mark.parametrize(("before", "pause"), [(0, 1.0), (1, 2.0), (4, 16.0), (5, 30.0), (50, 30.0)])
def test_a_batch_that_was_not_reached_is_tried_again(result: InvocationResult, before: int, pause: float) -> None:
    """SQS-23, SQS-24, BAT-6: the same batch, after 1 s doubling to 30 s."""
    verdict = settle(result, failed_before=before)
    assert verdict.outcome is InvocationOutcome.THROTTLED
    assert verdict.slows_down
    (retry,) = verdict.dispositions
    assert retry == Retry(batch(A, B, C, not_invoked=before + 1), pause)


def test_partial_responses_do_not_change_what_a_throttle_means() -> None:
    """SQS-24: a throttle lowers the concurrency, whatever was configured."""
    assert settle(Throttled("busy"), partial=True).slows_down


def test_the_target_may_name_a_longer_pause() -> None:
    """SQS-24: its word counts when it is the longer one."""
    (longer,) = settle(Throttled("busy", retry_after=7.5)).dispositions
    (shorter,) = settle(Throttled("busy", retry_after=0.1)).dispositions
    assert isinstance(longer, Retry)
    assert isinstance(shorter, Retry)
    assert (longer.delay, shorter.delay) == (7.5, 1.0)


def test_a_target_that_asks_for_a_long_pause() -> None:
    """SQS-23, INV-4: five minutes at most, and the batch is let go where its receipts will not be good then."""
    day = Throttled("busy", retry_after=86_400.0)
    assert settle(day, lease_left=300.1).dispositions == (Retry(batch(A, B, C, not_invoked=1), 300.0),)
    assert settle(day, lease_left=300.0).dispositions == (Release((A, B, C)),)
    assert settle(Throttled("busy", retry_after=20.0), lease_left=20.0).dispositions == (Release((A, B, C)),)


@pytest.mark.parametrize(("lease_left", "kept"), [(1.001, True), (1.0, False), (0.0, False), (-5.0, False)])
def test_a_batch_is_let_go_when_its_receipts_will_be_stale(lease_left: float, kept: bool) -> None:
    """SQS-23: tried again only while the lease lasts; letting go deletes nothing."""
    (disposition,) = settle(Throttled("busy"), lease_left=lease_left).dispositions
    assert isinstance(disposition, Retry) if kept else disposition == Release((A, B, C))


@pytest.mark.parametrize(("receives", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 10), (1000, 10)])
def test_the_delay_of_a_failed_message(receives: int, seconds: int) -> None:
    """SUR-7: Poller.RetryDelay doubles with the receives, up to its maximum."""
    failed = message("a", receive_count=receives)
    assert retry_seconds((failed,), RetryDelay(2.0, 10.0)) == (seconds,)


def test_delays_are_whole_seconds_and_within_what_sqs_takes() -> None:
    """SUR-7: rounded up, at most twelve hours."""
    assert retry_seconds((A,), RetryDelay(0.2, 10.0)) == (1,)
    assert retry_seconds((A,), RetryDelay(1e6, 1e6)) == (43_200,)


def test_a_group_comes_back_together() -> None:
    """FIFO-1: of one group all wait as long as the one that waits longest, other groups do not."""
    failed = (
        message("1", group="g", receive_count=3),
        message("2", group="h"),
        message("3", group="g"),
    )
    assert retry_seconds(failed, RetryDelay(1.0, 60.0)) == (4, 1, 4)


def test_a_group_comes_back_at_once_where_no_delay_is_wanted() -> None:
    """FIFO-1: Initial 0 is 0 seconds for a group, too."""
    failed = (message("1", group="g"), message("2", group="g"))
    assert retry_seconds(failed, RetryDelay(0.0, 0.0)) == (0, 0)
