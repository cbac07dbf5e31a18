"""The fate of a batch is decided here and nowhere else.

For a queue (`settle_queue`), in this order, whose order is the meaning:

1. the function was not reached (throttled, not invoked): the same batch again after a back-off, as long as the
   receipts will still be good then; else it is let go and the queue brings it back (SQS-23). Nothing is deleted.
2. a function error: nothing is deleted, visibility is left alone, the queue's redrive policy decides (SQS-21).
3. success: every message is deleted (SQS-20).
4. a partial batch response: the listed stay, all others are deleted, also those behind a failed one of the same
   FIFO group (PBR-10, FIFO-7); a response that cannot be read fails the whole batch (PBR-11).
"""

import math
from dataclasses import replace
from random import Random
from typing import TypeAlias, assert_never

from poller.core.backoff import as_asked, delay
from poller.core.fact import fact
from poller.core.mapping import EventSourceMapping, RetryDelay
from poller.core.messages import InvocationOutcome
from poller.core.model import Batch, FunctionError, InvocationResult, Message, NotInvoked, Succeeded, Throttled
from poller.core.response import Failure, PartialFailure, Success, interpret_queue_response

NOT_INVOKED_FIRST = 1.0  # SQS-24: seconds, doubling
NOT_INVOKED_CAP = 30.0
MAX_VISIBILITY = 43_200  # SQS: 12 hours


@fact
class Ack:
    """These succeeded: delete them."""

    messages: tuple[Message, ...]


@fact
class Release:
    """These failed: let them go; the queue brings them back or moves them to its dead-letter queue."""

    messages: tuple[Message, ...]


@fact
class Retry:
    """Not invoked: keep the batch (now with one more such attempt) and try again after `delay` seconds."""

    batch: Batch
    delay: float


Disposition: TypeAlias = Ack | Release | Retry


@fact
class Verdict:
    """What happened in one word, what to do, and whether it counts against the concurrency (SQS-24)."""

    outcome: InvocationOutcome
    dispositions: tuple[Disposition, ...]
    slows_down: bool
    detail: str = ""


def settle_queue(
    batch: Batch, result: InvocationResult, mapping: EventSourceMapping, lease_left: float, random: Random
) -> Verdict:
    """Decides on a batch of a queue; `lease_left` is the seconds for which all its receipts are still good."""
    match result:
        case Succeeded():
            return _reached(batch, result.payload, mapping)
        case Throttled(message, retry_after):
            return _not_reached(batch, message, retry_after, lease_left, random)
        case NotInvoked(message):
            return _not_reached(batch, message, None, lease_left, random)
        case FunctionError():
            outcome = InvocationOutcome.TIMEOUT if result.timed_out else InvocationOutcome.ERROR
            detail = f"{result.error_type}: {result.message}" if result.message else result.error_type
            return Verdict(
                outcome, (Release(batch.messages),), not mapping.report_batch_item_failures, detail
            )  # SQS-21, PBR-2
        case _:
            assert_never(result)


def _not_reached(
    batch: Batch, detail: str, retry_after: float | None, lease_left: float, random: Random
) -> Verdict:
    """SQS-23, SQS-24: keep the batch and wait, unless the receipts would be stale by then."""
    wait = as_asked(delay(batch.not_invoked + 1, NOT_INVOKED_FIRST, NOT_INVOKED_CAP, random), retry_after)
    disposition: Disposition
    if wait < lease_left:
        disposition = Retry(replace(batch, not_invoked=batch.not_invoked + 1), wait)
    else:
        disposition = Release(batch.messages)
    return Verdict(InvocationOutcome.THROTTLED, (disposition,), slows_down=True, detail=detail)


def _reached(batch: Batch, payload: bytes, mapping: EventSourceMapping) -> Verdict:
    """SQS-20, PBR-10, PBR-11, FIFO-7."""
    partial = mapping.report_batch_item_failures
    sent = [message.id for message in batch.messages] if partial else ()
    outcome = interpret_queue_response(payload, sent, partial)
    match outcome:
        case Success():
            return Verdict(InvocationOutcome.SUCCESS, (Ack(batch.messages),), slows_down=False)
        case PartialFailure(ids):
            kept = tuple(message for message in batch.messages if message.id in ids)
            done = tuple(message for message in batch.messages if message.id not in ids)
            dispositions = (Ack(done), Release(kept)) if done else (Release(kept),)
            return Verdict(
                InvocationOutcome.PARTIAL, dispositions, slows_down=False, detail=f"{len(kept)} reported as failed"
            )
        case Failure(reason):
            return Verdict(
                InvocationOutcome.INVALID_RESPONSE, (Release(batch.messages),), slows_down=False, detail=reason
            )
        case _:
            assert_never(outcome)


def retry_seconds(messages: tuple[Message, ...], policy: RetryDelay) -> tuple[int, ...]:
    """Poller.RetryDelay: whole seconds until each failed message is visible again, doubling with its receives.

    Messages of one FIFO group get the longest delay of the group: given back one by one they could overtake
    each other (FIFO-1).
    """
    seconds = []
    longest: dict[str, int] = {}
    for message in messages:
        doubled = policy.initial * 2.0 ** min(message.receive_count - 1, 64)
        whole = min(math.ceil(min(doubled, policy.maximum)), MAX_VISIBILITY)
        seconds.append(whole)
        if message.group is not None:
            longest[message.group] = max(whole, longest.get(message.group, 0))
    return tuple(
        whole if message.group is None else longest[message.group]
        for message, whole in zip(messages, seconds, strict=True)
    )
