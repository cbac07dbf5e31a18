"""What may be asked of a queue (SQS-2, SQS-6)."""

import pytest

from poller.core.batcher import Batcher
from poller.core.budget import ByteBudget
from poller.core.deletes import Deletes
from poller.core.held import Held
from poller.core.lanes import GroupGate
from poller.core.permits import UNDELETED_MAX, Permits
from poller.core.receives import Asked, Receives
from poller.core.scaling import Concurrency
from poller.core.slots import Slots
from tests.unit.core.machine import Middle, batch, mapping, message


class Queue:
    """The parts of a queue's machine that permits look at."""

    def __init__(self, **fields: object) -> None:
        told = mapping(**fields)
        self.slots = Slots(Concurrency(told))
        self.batcher = Batcher(told.batch_size, told.window)
        self.receives = Receives(told, Middle(), 20)
        self.deletes = Deletes(eager=False, random=Middle())
        budget = ByteBudget()
        held = Held(budget)
        self.permits = Permits(
            told, self.slots, self.batcher, GroupGate(), self.receives, self.deletes, held, budget
        )

    def run(self, count: int) -> "Queue":
        for number in range(count):
            self.slots.start(batch(message(f"r{number}"), number=number), 0.0)
        return self

    def ask(self, *counts: int) -> "Queue":
        for count in counts:
            self.receives.start(Asked(count, None, 20.0), 20, 0.0)
        return self

    def limit(self, limit: int) -> "Queue":
        self.slots.concurrency.limit = limit
        return self


@pytest.mark.parametrize(
    ("size", "window", "most"),
    [(1, 0.0, 10), (3, 0.0, 9), (4, 0.0, 8), (10, 0.0, 10), (100, 0.0, 10), (3, 1.0, 10)],
)
def test_one_receive_brings_whole_batches(size: int, window: float, most: int) -> None:
    """BAT-8: but for a window, in which what is left over waits for more."""
    assert Queue(batch_size=size, window=window, concurrency=20).limit(20).permits.room() == most


def test_what_is_in_flight_has_its_room() -> None:
    """SQS-2: slots that run, receives that may bring something, messages of the open batch."""
    queue = Queue(batch_size=10, window=5.0).limit(2)
    assert queue.permits.room() == 10
    queue.ask(10)
    assert queue.permits.room() == 10
    queue.ask(4)
    assert queue.permits.room() == 6
    queue.batcher.add([message("open")], 0.0)
    assert queue.permits.room() == 5
    queue.run(1)
    assert queue.permits.room() == 0
    assert Queue(batch_size=10).limit(2).run(3).permits.room() == 0, "a limit that fell"


def test_a_group_queue_asks_once_for_each_free_slot() -> None:
    """FIFO-2: a receive is a batch; more receives than slots ask for nothing."""
    queue = Queue(fifo=True, batch_size=4).limit(2)
    assert queue.permits.room() == 4
    assert queue.ask(4).permits.room() == 4
    assert queue.ask(4).permits.room() == 0
    assert queue.ask(4).permits.room() == 0


def test_a_queue_that_refuses_deletes_is_not_asked_for_more() -> None:
    """SQS-20: what succeeded is in hand until it is deleted."""
    queue = Queue(batch_size=10)
    queue.deletes.acknowledge(tuple(message(f"m{number}") for number in range(UNDELETED_MAX)))
    assert queue.permits.room() == 10
    queue.deletes.acknowledge((message("one more"),))
    assert queue.permits.room() == 0


def test_a_window_closes_when_receives_in_flight_find_room_elsewhere() -> None:
    """BAT-4: else messages would be received that cannot run."""
    queue = Queue(batch_size=10, window=5.0).limit(2)
    assert queue.permits.may_close()
    assert queue.ask(10).permits.may_close()
    assert not queue.ask(1).permits.may_close()
    assert not Queue(batch_size=10, window=5.0).limit(1).run(1).permits.may_close()
    assert not Queue(batch_size=10, window=5.0).limit(1).run(2).permits.may_close()
    assert Queue(batch_size=10, window=5.0).limit(1).permits.may_close()
