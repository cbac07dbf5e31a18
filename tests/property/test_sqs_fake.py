"""Whatever is asked of a fake queue, in whatever order: nothing is lost, nobody shares a message, order holds."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from poller.core.model import Instant
from poller.testing.sqs import Sqs, redrive_policy
from poller.testing.sqs_errors import SqsError
from poller.testing.sqs_message import State
from poller.testing.sqs_messages import Nothing

VISIBILITY = 10
MAXIMUM_RECEIVES = 3
places = st.integers(0, 1_000)


class QueueMachine(RuleBasedStateMachine):
    """Keeps its own, much simpler, account of who has which message until when."""

    suffix = ""

    def __init__(self) -> None:
        super().__init__()
        self.sqs = Sqs(seed=0)
        self.mono = 0.0
        fifo = {"FifoQueue": "true"} if self.suffix else {}
        dead = self.do("CreateQueue", QueueName=f"dead{self.suffix}", Attributes=fifo)["QueueUrl"]
        policy = redrive_policy(self.sqs.queue({"QueueUrl": dead}).arn, MAXIMUM_RECEIVES)
        attributes = {"VisibilityTimeout": str(VISIBILITY), "RedrivePolicy": policy}
        self.url = self.do("CreateQueue", QueueName=f"q{self.suffix}", Attributes=fifo | attributes)["QueueUrl"]
        self.queue = self.sqs.queue({"QueueUrl": self.url})
        self.dead = self.sqs.queue({"QueueUrl": dead})
        self.sent: list[str] = []
        self.deleted: set[str] = set()
        self.held: dict[str, tuple[float, str]] = {}  # body -> until when, newest receipt
        self.receives: Counter[str] = Counter()
        self.available: dict[str, float] = {}  # body -> delayed until

    def do(self, operation: str, **request: Any) -> Any:
        return self.sqs.apply(Instant(1e9 + self.mono, self.mono), operation, request)

    def in_flight(self) -> set[str]:
        return {body for body, (until, _) in self.held.items() if until > self.mono}

    def pick(self, place: int) -> str:
        return sorted(self.held)[place % len(self.held)]

    @rule(group=st.sampled_from("abc"), delay=st.sampled_from([0, 0, 5]))
    def send(self, group: str, delay: int) -> None:
        body = f"{group}{len(self.sent):04}"
        request: dict[str, Any] = {"QueueUrl": self.url, "MessageBody": body}
        if self.suffix:
            request |= {"MessageGroupId": group, "MessageDeduplicationId": body}
            delay = 0
        else:
            request["DelaySeconds"] = delay
        self.do("SendMessage", **request)
        self.sent.append(body)
        self.available[body] = self.mono + delay

    @rule(maximum=st.integers(1, 10), visibility=st.sampled_from([None, 0, 3, 30]))
    def receive(self, maximum: int, visibility: int | None) -> None:
        request = {"QueueUrl": self.url, "MaxNumberOfMessages": maximum}
        if visibility is not None:
            request["VisibilityTimeout"] = visibility
        before, moved_before = self.in_flight(), set(self.letters())
        answer = self.do("ReceiveMessage", AttributeNames=["All"], **request)
        messages = [] if isinstance(answer, Nothing) else answer["Messages"]
        bodies = [message["Body"] for message in messages]
        assert len(bodies) == len(set(bodies)) <= maximum
        assert not before & set(bodies), "given out while somebody else had it"
        moved = set(self.letters()) - moved_before
        if not messages and not moved:
            assert not self.takeable(before), "nothing came, although there was something to take"
        for message in messages:
            body = message["Body"]
            assert body not in self.deleted
            assert self.available[body] <= self.mono
            self.receives[body] += 1
            assert message["Attributes"]["ApproximateReceiveCount"] == str(self.receives[body])
            assert self.receives[body] <= MAXIMUM_RECEIVES
            until = self.mono + (VISIBILITY if visibility is None else visibility)
            self.held[body] = (until, message["ReceiptHandle"])
        for body in moved:
            assert self.receives[body] == MAXIMUM_RECEIVES
            self.held.pop(body, None)
        if self.suffix:
            self.check_order(before, bodies)

    def takeable(self, in_flight: set[str]) -> set[str]:
        here = set(self.sent) - self.deleted - set(self.letters()) - in_flight
        if self.suffix:
            locked = {body[0] for body in in_flight}
            return {body for body in here if body[0] not in locked}
        return {body for body in here if self.available[body] <= self.mono}

    def check_order(self, before: set[str], bodies: list[str]) -> None:
        """FIFO-1: locked groups give nothing, the others their first messages, without a gap."""
        gone = self.deleted | set(self.letters())
        for group in {body[0] for body in bodies}:
            mine = [body for body in bodies if body[0] == group]
            assert group not in {body[0] for body in before}, "a locked group gave a message"
            waiting = [body for body in self.sent if body[0] == group and body not in gone]
            assert mine == waiting[: len(mine)]

    @precondition(lambda self: self.held)
    @rule(place=places)
    def delete(self, place: int) -> None:
        body = self.pick(place)
        until, receipt = self.held[body]
        try:
            self.do("DeleteMessage", QueueUrl=self.url, ReceiptHandle=receipt)
        except SqsError:
            assert self.suffix, "a standard queue takes the newest receipt always"
            assert until <= self.mono
            return
        assert not self.suffix or until > self.mono
        self.deleted.add(body)
        del self.held[body]

    @precondition(lambda self: self.held)
    @rule(place=places, seconds=st.sampled_from([0, 2, 40]))
    def change_visibility(self, place: int, seconds: int) -> None:
        body = self.pick(place)
        until, receipt = self.held[body]
        request = {"QueueUrl": self.url, "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
        try:
            self.do("ChangeMessageVisibility", **request)
        except SqsError:
            assert until <= self.mono
            return
        assert until > self.mono
        self.held[body] = (self.mono + seconds, receipt)

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.mono += seconds

    def letters(self) -> list[str]:
        return [message.body for message in self.dead.messages.values()]

    @invariant()
    def nothing_is_lost(self) -> None:
        here = [message.body for message in self.queue.messages.values()]
        assert sorted([*here, *self.letters(), *self.deleted]) == sorted(self.sent)

    @invariant()
    def the_counts_are_those_of_the_messages(self) -> None:
        now = Instant(1e9 + self.mono, self.mono)
        counts = {state: self.queue.count(now, state) for state in State}
        found = Counter(message.state for message in self.queue.messages.values())
        assert counts == {state: found[state] for state in State}
        assert counts[State.IN_FLIGHT] == len(self.in_flight())

    @invariant()
    def next_change_is_the_next_deadline(self) -> None:
        self.queue.advance(Instant(1e9 + self.mono, self.mono))
        delayed = [
            due
            for body, due in self.available.items()
            if due > self.mono and body in self.sent and not self.suffix
        ]
        ends = [until for until, _ in self.held.values() if until > self.mono] + delayed
        assert self.queue.next_change() == (min(ends) if ends else None)


class FifoMachine(QueueMachine):
    """The same of a FIFO queue: FIFO-1, FIFO-5, FIFO-10."""

    suffix = ".fifo"


@pytest.mark.parametrize("machine", [QueueMachine, FifoMachine])
def test_a_fake_queue_keeps_its_promises(machine: type[QueueMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=40))
