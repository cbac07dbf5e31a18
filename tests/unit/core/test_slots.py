"""Who has a slot (SQS-6, SQS-24)."""

from poller.core.scaling import Concurrency
from poller.core.slots import Slots
from tests.unit.core.machine import batch, ids, mapping, message


def slots_of(count: int) -> Slots:
    return Slots(Concurrency(mapping(concurrency=count)))


A, B, C = (batch(message(name), number=number) for number, name in enumerate("abc", start=1))


def test_a_batch_takes_the_next_free_slot_in_order() -> None:
    """SQS-6: never more than there are."""
    slots = slots_of(2)
    slots.enqueue([A, B, C])
    assert (slots.free, slots.unclaimed, slots.ready_messages, slots.ready_bytes) == (2, -1, 3, A.size * 3)
    for expected in (A, B):
        got = slots.next_ready()
        assert got is expected
        slots.start(got, 1.0)
    assert slots.next_ready() is None
    assert (slots.running, slots.running_messages, slots.running_since, slots.free) == (2, 2, 1.0, 0)
    assert slots.end(A)
    assert not slots.end(A)
    assert slots.next_ready() is C


def test_a_batch_keeps_its_slot_until_its_next_attempt() -> None:
    """SQS-23: nobody else gets it meanwhile."""
    slots = slots_of(1)
    slots.retry_at(A, 5.0)
    slots.enqueue([B])
    assert slots.next_ready() is None
    assert not slots.idle
    assert slots.retry_due() == 5.0
    assert slots.next_retry(4.9) is None
    assert slots.next_retry(5.0) is A
    assert slots.retry_due() is None


def test_attempts_respect_a_limit_that_fell() -> None:
    """SQS-24: three batches wait, the concurrency is 1, so one runs; its end is what frees the next."""
    slots = slots_of(3)
    for waiting, due in ((A, 3.0), (B, 1.0), (C, 2.0)):
        slots.retry_at(waiting, due)
    slots.concurrency.failed(0.0)
    first = slots.next_retry(9.0)
    assert first is not None
    slots.start(first, 9.0)
    assert slots.next_retry(9.0) is None
    assert slots.retry_due() is None
    slots.end(first)
    assert slots.retry_due() is not None
    assert slots.next_retry(9.0) is not None


def test_dropping() -> None:
    """SQS-23: a stop gives back what is ready or waits; an abandonment also what runs."""
    slots = slots_of(2)
    slots.start(A, 0.0)
    slots.retry_at(B, 5.0)
    slots.enqueue([C])
    assert ids(slots.drop_unstarted()) == ["c", "b"]
    assert (slots.running, slots.ready_messages, slots.retry_due()) == (1, 0, None)
    assert ids(slots.drop_running()) == ["a"]
    assert slots.idle
    assert slots.running_messages == 0
    assert not slots.end(A)


def test_a_limit_that_fell_below_what_runs_lets_nothing_begin() -> None:
    """SQS-24: no ready batch, and none that waits for its next attempt."""
    slots = slots_of(4)
    for number in range(10, 13):
        slots.start(batch(message(f"r{number}"), number=number), 0.0)
    slots.enqueue([A])
    slots.retry_at(B, 1.0)
    slots.concurrency.limit = 2
    assert slots.free == -2
    assert slots.next_ready() is None
    assert slots.retry_due() is None
    assert slots.next_retry(9.0) is None


def test_what_has_run_is_not_counted_as_running() -> None:
    """SQS-6: nor are its messages."""
    slots = slots_of(2)
    slots.start(A, 0.0)
    slots.start(B, 0.0)
    slots.end(A)
    assert (slots.running, slots.running_messages) == (1, 1)
