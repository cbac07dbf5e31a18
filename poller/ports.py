"""What the runtime needs of the world, as Protocols: AWS, fakes and handlers stand behind these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from poller.core.fact import fact
from poller.core.model import InvocationResult, JsonObject, QueueFacts


@dataclass(frozen=True, slots=True)
class Failure:
    """One refused entry of a batch call: its place in the call, the service's code and sentence."""

    index: int
    code: str
    message: str


class QueueSource(Protocol):
    """One SQS queue. Every method raises errors.SourceError when the call as a whole fails, and keeps its
    deadline: no call lasts longer than `deadline` seconds.
    """

    async def describe(self) -> QueueFacts:
        """GetQueueAttributes."""
        ...

    async def receive(
        self, maximum: int, wait: int, visibility_timeout: int | None, deadline: float
    ) -> tuple[list[JsonObject], int]:
        """ReceiveMessage with all attributes: the messages in wire form, and the bytes of the answer.

        One attempt only: when to ask again is the machine's decision.
        """
        ...

    async def delete(self, receipts: Sequence[str]) -> Sequence[Failure]:
        """DeleteMessageBatch of 1 to 10 receipts; what was refused, by index."""
        ...

    async def change_visibility(self, receipts: Sequence[str], seconds: Sequence[int]) -> Sequence[Failure]:
        """ChangeMessageVisibilityBatch of 1 to 10 receipts; what was refused, by index."""
        ...


@fact
class Invocation:
    """One call of a function: the event, and what its context tells. `deadline` is a monotonic second."""

    event: JsonObject
    request_id: str
    deadline: float


class Handler(Protocol):
    """A target of section 2 of the configuration: a callable, a process, an URL, a Lambda function.

    `invoke` never raises but for cancellation: whatever the function does is one of the four results. The
    dispatcher, not the handler, keeps the time: it cancels `invoke` at the deadline.
    """

    async def start(self) -> None:
        """Gets ready; raises errors.ConfigurationError when the target cannot exist (bad import, bad URL)."""
        ...

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Runs the function once."""
        ...

    async def close(self) -> None:
        """Frees what `start` took; work still running is abandoned."""
        ...
