"""What the tests of the core for queues build on: mappings, messages, and a rig that holds a machine at a time."""

from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from poller.core.batcher import earliest_lease
from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping, HandlerSettings, PollerSettings, SourceArn
from poller.core.messages import (
    ChangeVisibility,
    Command,
    Delete,
    Deleted,
    Described,
    DescribeFailed,
    Event,
    Invoke,
    Invoked,
    Receive,
    Received,
    ReceiveFailed,
    Request,
    Requested,
    Tick,
    VisibilityChanged,
)
from poller.core.model import (
    Batch,
    BatchTrigger,
    Instant,
    InvocationResult,
    JsonObject,
    Message,
    QueueFacts,
    SourceKind,
    SourceProblem,
    Succeeded,
)
from poller.core.payload import event_size
from poller.core.queue_consumer import QueueConsumer

OK = Succeeded(b"null")
C = TypeVar("C", bound=Command)


class Middle(Random):
    """Random that always answers with the middle, so that delays are the plain schedule."""

    def random(self) -> float:
        return 0.5


def mapping(
    *,
    fifo: bool = False,
    concurrency: int = 10,
    timeout: float = 5.0,
    poller: PollerSettings | None = None,
    **fields: Any,
) -> EventSourceMapping:
    name = "q.fifo" if fifo else "q"
    plain = EventSourceMapping(
        uuid="u",
        name=name,
        source=SourceKind.SQS,
        arn=SourceArn(f"arn:aws:sqs:eu-west-1:123456789012:{name}", "aws", "eu-west-1", "123456789012", name),
        function_name="python:a:b",
        function_arn="arn:aws:lambda:eu-west-1:123456789012:function:b",
        handler=HandlerSettings(timeout=timeout, concurrency=concurrency),
        poller=poller or PollerSettings(),
    )
    return replace(plain, **fields)


def message(identifier: str, *, size: int = 100, group: str | None = None, **fields: Any) -> Message:
    plain = Message(identifier, f"{identifier}#1", group, 1, 0.0, size, 30.0, {"messageId": identifier}, 0.0)
    return replace(plain, **fields)


def batch(*messages: Message, number: int = 1, **fields: Any) -> Batch:
    size = event_size([one.size for one in messages])
    return replace(Batch(number, messages, BatchTrigger.IMMEDIATE, 0.0, size, earliest_lease(messages)), **fields)


def ids(messages: tuple[Message, ...] | list[Message]) -> list[str]:
    return [one.id for one in messages]


def wire(identifier: str, *, group: str | None = None, count: int = 1, body: str = "b") -> JsonObject:
    """A message as ReceiveMessage brings it, its receipt named after the count."""
    attributes = {"ApproximateReceiveCount": str(count), "SentTimestamp": "1000"}
    if group is not None:
        attributes["MessageGroupId"] = group
    return {
        "MessageId": identifier,
        "ReceiptHandle": f"{identifier}#{count}",
        "Body": body,
        "Attributes": attributes,
    }


def wires(*identifiers: str, group: str | None = None, count: int = 1) -> list[JsonObject]:
    return [wire(identifier, group=group, count=count) for identifier in identifiers]


class Rig:
    """A machine, the moment it is at, and the commands that nobody has answered yet.

    `told` is what the last fact led to; `polls`, `runs` (Invoke), `deletes` and `changes` are open calls, oldest
    first. Every step asserts that no deadline lies in the past: that would be a busy loop.
    """

    def __init__(self, *, visibility: float = 30.0, budget: ByteBudget | None = None, **fields: Any) -> None:
        self.now = 0.0
        self.visibility = visibility
        self.budget = budget or ByteBudget()
        self.machine = QueueConsumer(mapping(**fields), Middle(), self.budget)
        self.told: list[Command] = []
        self.polls: list[Receive] = []
        self.runs: list[Invoke] = []
        self.deletes: list[Delete] = []
        self.changes: list[ChangeVisibility] = []
        self.describe()

    # --- time and facts ---

    def at(self, now: float) -> "Rig":
        assert now >= self.now
        self.now = now
        return self

    def feed(self, event: Event) -> list[Command]:
        self.told = self.machine.handle(event, Instant(1_000_000.0 + self.now, self.now))
        for command in self.told:
            match command:
                case Receive():
                    self.polls.append(command)
                case Invoke():
                    self.runs.append(command)
                case Delete():
                    self.deletes.append(command)
                case ChangeVisibility():
                    self.changes.append(command)
                case _:
                    pass
        due = self.machine.deadline()
        assert due is None or due > self.now
        return self.told

    def describe(self, visible: int = 0, in_flight: int = 0, delayed: int = 0) -> list[Command]:
        return self.feed(Described(QueueFacts(self.visibility, visible, in_flight, delayed)))

    def not_described(self) -> list[Command]:
        return self.feed(DescribeFailed(SourceProblem.UNREACHABLE, "away"))

    def bring(self, *messages: JsonObject) -> list[Command]:
        """The oldest receive in flight comes back with these, possibly none."""
        return self.feed(Received(self.polls.pop(0).poll, list(messages), 100))

    def fail(self, problem: SourceProblem = SourceProblem.UNREACHABLE) -> list[Command]:
        """The oldest receive in flight fails."""
        return self.feed(ReceiveFailed(self.polls.pop(0).poll, problem, "away"))

    def end(self, result: InvocationResult = OK) -> list[Command]:
        """The oldest invocation ends."""
        return self.feed(Invoked(self.runs.pop(0).batch, result))

    def deleted(self, *failed: str) -> list[Command]:
        """The oldest delete ends; these ids were refused."""
        messages = self.deletes.pop(0).messages
        return self.feed(Deleted(messages, tuple(one for one in messages if one.id in failed), "refused"))

    def changed(self) -> list[Command]:
        return self.feed(VisibilityChanged(self.changes.pop(0).messages, ()))

    def ask(self, request: Request) -> list[Command]:
        return self.feed(Requested(request))

    def tick(self) -> list[Command]:
        """Time passes until the machine's own deadline."""
        due = self.machine.deadline()
        assert due is not None, "nothing will happen by itself"
        self.now = due
        return self.feed(Tick())

    # --- what came of it ---

    def all(self, kind: type[C]) -> list[C]:
        return [command for command in self.told if isinstance(command, kind)]

    def one(self, kind: type[C]) -> C:
        (command,) = self.all(kind)
        return command

    @property
    def running(self) -> list[list[str]]:
        """The ids of each batch that runs."""
        return [ids(run.batch.messages) for run in self.runs]
