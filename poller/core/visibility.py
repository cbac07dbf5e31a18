"""How long a receive hides its messages from others, and how long we rely on it."""

from math import ceil

from poller.core.mapping import EventSourceMapping

SPARE = 30  # SQS-8: seconds beyond window and timeout
MARGIN, MARGIN_MOST = (
    0.1,
    1.0,
)  # part of the visibility timeout, at most so many seconds, for the way of the answer


def override(mapping: EventSourceMapping, queues_own: float) -> int | None:
    """VisibilityTimeout of a receive; None leaves the queue's own (SQS-8).

    A window needs more than the queue's when it and the handler's timeout exceed it.
    """
    needed = mapping.window + mapping.handler.timeout
    if mapping.window == 0 or needed <= queues_own:
        return None
    return ceil(needed + SPARE)


def lease_end(received_at: float, answered_by: float, visibility: float) -> float:
    """The monotonic second after which receipts are stale (SQS-23, FIFO-6). SQS began to count before the answer
    reached us, and at `answered_by` at the latest: an answer that is noticed late has none of its time left over.
    """
    return min(received_at, answered_by) + visibility - min(MARGIN_MOST, visibility * MARGIN)
