"""A redrive: what it sends, deletes and leaves, between two queues in this process."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from poller.clock import SystemClock
from poller.core.filter import make_filter
from poller.core.mapping import SourceArn
from poller.core.model import SourceKind
from poller.operate.borrowed import Borrowed
from poller.operate.redrive import Redrive, Redriven
from poller.testing import ManualClock
from poller.testing.service import SqsService
from poller.testing.sqs import redrive_policy
from tests.unit.operate.queues import TestedQueue

FIFO = ".fifo"


class Two:
    """A dead-letter queue and a queue that messages of it go to."""

    def __init__(self, suffix: str = "", *, seconds: float = 0, **settings: str) -> None:
        self.clock = ManualClock()
        service = SqsService(self.clock)
        self.dead = TestedQueue(self.clock, "dead" + suffix, service=service, seconds=seconds)
        self.target = TestedQueue(self.clock, "orders" + suffix, service=service, attributes=settings)
        self.faults = self.dead.fake.faults
        self._suffix = suffix

    def put(self, *bodies: str) -> None:
        """Their first letter is their group."""
        for body in bodies:
            group = {"MessageGroupId": body[0], "MessageDeduplicationId": body} if self._suffix else {}
            self.dead.send_now(body, **group)

    async def redrive(
        self,
        most: int | None = None,
        pattern: Any = None,
        each: Callable[[], Any] = lambda: None,
        *,
        visibility: int = 120,
        **how: Any,
    ) -> Redriven:
        name = "dead" + self._suffix
        arn = SourceArn(f"arn:aws:sqs:us-east-1:000000000000:{name}", "aws", "us-east-1", "000000000000", name)
        wanted = None if pattern is None else make_filter([json.dumps(pattern)], SourceKind.SQS)
        how = {"source": None, "dry": False, "rate": None} | how
        borrowed = Borrowed(self.dead, visibility)
        work = Redrive(borrowed, self.target, arn=arn, wanted=wanted, **how)
        async for _ in work.run(most):
            each()
        await borrowed.give_back()
        return work.counts


def only(*bodies: str) -> Any:
    return {"body": list(bodies)}


async def test_what_fails_again_is_not_moved_a_second_time() -> None:
    """SQS-25: SQS keeps a message's id when it moves it. Else a handler that fails at once would keep a redrive
    going for ever.
    """
    two = Two(RedrivePolicy=redrive_policy("arn:aws:sqs:us-east-1:000000000000:dead", 1))
    two.put("a", "b")

    def fail_again() -> None:
        """Received once, and moved by the next receive."""
        for _ in range(2):
            two.target.fake.queue.take(two.clock.now(), 10, 0, two.dead.fake.queue)

    counts = await two.redrive(each=fail_again)
    assert (counts.moved, sorted(two.dead.bodies())) == (2, ["a", "b"])


async def test_a_long_redrive_reaches_all_that_match() -> None:
    """SQS-9: what does not match comes back after the visibility timeout, and ends nothing."""
    two = Two(seconds=1)
    two.put(*["no"] * 40, "yes", "yes")
    counts = await two.redrive(pattern=only("yes"), visibility=3)
    assert (counts.moved, counts.filtered) == (2, 40)
    assert two.dead.bodies() == ["no"] * 40


@pytest.mark.parametrize("dry", [False, True])
async def test_of_a_group_nothing_goes_before_what_stays(dry: bool) -> None:
    """FIFO-1: neither before one that does not match nor in the dry run's count."""
    two = Two(FIFO)
    two.put("a1", "a2", "a3", "b1")
    counts = await two.redrive(pattern=only("a1", "a3", "b1"), dry=dry)
    assert (counts.moved, counts.filtered, counts.held_back) == (2, 1, 1)
    assert two.target.bodies() == ([] if dry else ["a1", "b1"])


async def test_of_a_group_nothing_goes_behind_one_that_is_there_twice() -> None:
    """FIFO-1: it will be sent again, and would then be behind its successors."""
    two = Two(FIFO, seconds=2)
    two.put(*[f"a{n}" for n in range(13)])
    two.faults.fail_entries("DeleteMessageBatch", [3])
    counts = await two.redrive(visibility=1)
    assert (counts.moved, counts.doubled, len(counts.problems), counts.held_back) == (9, 1, 1, 3)
    assert two.target.bodies() == [f"a{n}" for n in range(10)]
    assert two.dead.bodies() == ["a3", "a10", "a11", "a12"]
    again = await two.redrive()
    assert again.moved == 4
    assert two.target.bodies() == [f"a{n}" for n in range(13)]  # the old one was known, and is no duplicate


async def test_a_target_that_is_gone_ends_it() -> None:
    """Nobody wants a sentence for each of ten thousand, nor their receive counts to go up."""
    two = Two()
    two.put(*"abcdefghijklmnopqrstuvwxyz")
    two.faults.fail("SendMessage", times=None, status=400, code="QueueDoesNotExist")
    counts = await two.redrive()
    assert (counts.moved, len(counts.problems)) == (0, 10)
    assert sorted(two.dead.bodies()) == sorted("abcdefghijklmnopqrstuvwxyz")
    assert max(message.receives for message in two.dead.fake.queue.messages.values()) == 1


async def test_messages_that_a_target_refuses_end_nothing() -> None:
    """One may be too large; the next is not."""
    two = Two(MaximumMessageSize="1024")
    two.put(*["x" * 2000] * 11, "small")
    counts = await two.redrive()
    assert (counts.moved, len(counts.problems)) == (1, 11)
    assert two.target.bodies() == ["small"]


@pytest.mark.parametrize("operation", ["SendMessage", "DeleteMessageBatch", "ReceiveMessage"])
async def test_a_lost_answer_loses_no_message(operation: str) -> None:
    """Sent first, deleted after: there may be more of it than before, never less."""
    two = Two()
    two.put("a", "b", "c")
    two.faults.drop(operation, after=True)
    await two.redrive()
    assert {*two.dead.bodies(), *two.target.bodies()} == {"a", "b", "c"}
    assert "delete" not in two.dead.order[:1] or "send" in two.target.order


async def test_throttling_is_waited_out() -> None:
    """A receive that SQS turns down for a moment does not end it."""
    two = Two()
    two.put("a")
    two.faults.throttle("ReceiveMessage", times=2)
    assert (await two.redrive()).moved == 1


async def test_a_rate_is_an_average() -> None:
    """--rate: no more than so many go at once, and then there is a pause; a dry run needs none."""
    two, clock = Two(), SystemClock()
    two.put(*"abcdef")
    started, moved = clock.now().mono, []
    await two.redrive(rate=40.0, each=lambda: moved.append(len(two.target.bodies())))
    assert clock.now().mono - started >= 6 / 40.0
    two.put(*"abcdef")
    moved.clear()
    await two.redrive(4, rate=2.9, each=lambda: moved.append(len(two.target.bodies())), dry=True)
    assert moved == [6, 6]


async def test_no_more_than_so_many() -> None:
    """--max counts what was sent, not what stays."""
    two = Two()
    two.put(*["no"] * 15, *["yes"] * 15)
    assert (await two.redrive(12, only("yes"))).moved == 12
    assert len(two.target.bodies()) == 12
