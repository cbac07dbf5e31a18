"""A queue in this process behind ports.QueueSource: what the runtime reads, without HTTP or AWS."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from poller.clock import Clock
from poller.core.model import JsonObject, QueueFacts, SourceProblem
from poller.errors import SourceError
from poller.ports import Failure
from poller.testing.calls import Answer, AwsError, Dropped
from poller.testing.faults import Faults
from poller.testing.service import SqsService
from poller.testing.sqs import redrive_policy
from poller.testing.sqs_errors import SqsError
from poller.testing.sqs_queue import Queue

# As far as the embedded SQS and its faults go; the table for AWS itself is poller/aws/errors.py.
_PROBLEMS: Final = {
    "QueueDoesNotExist": SourceProblem.MISSING,
    "RequestThrottled": SourceProblem.THROTTLED,
    "OverLimit": SourceProblem.THROTTLED,
    "AccessDenied": SourceProblem.DENIED,
    "AccessDeniedException": SourceProblem.DENIED,
    "ExpiredToken": SourceProblem.CREDENTIALS,
    "InvalidClientTokenId": SourceProblem.CREDENTIALS,
}


class FakeQueue:
    """One queue of an SqsService, made on the spot; a name that ends in `.fifo` makes a FIFO queue.

        clock = ManualClock()
        dead = FakeQueue("orders-dead", clock=clock)
        queue = FakeQueue("orders", service=dead.service, dead_letters=dead, maximum_receives=3,
                          attributes={"VisibilityTimeout": "5"})
        queue.send("hello")

    Queues that belong together (dead letters) share one `service`; `clock` is for a queue that gets its own.
    On a ManualClock nothing happens, long polls included, until the clock is moved. Raises SqsError when SQS
    would refuse the attributes.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock | None = None,
        service: SqsService | None = None,
        attributes: Mapping[str, str] | None = None,
        dead_letters: "FakeQueue | None" = None,
        maximum_receives: int = 3,
    ) -> None:
        self.service = service or SqsService(clock)
        given = dict(attributes or {})
        if name.endswith(".fifo"):
            given = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} | given
        if dead_letters is not None:
            given["RedrivePolicy"] = redrive_policy(dead_letters.queue.arn, maximum_receives)
        self.url: str = self._now("CreateQueue", {"QueueName": name, "Attributes": given})["QueueUrl"]

    @property
    def queue(self) -> Queue:
        """The state machine itself, to look at."""
        return self.service.sqs.queue({"QueueUrl": self.url})

    @property
    def faults(self) -> Faults:
        """What the next calls shall meet."""
        return self.service.faults

    def send(self, body: str, **fields: Any) -> str:
        """SendMessage by its field names (MessageGroupId=..., DelaySeconds=...); returns the message id."""
        sent = self._now("SendMessage", {"QueueUrl": self.url, "MessageBody": body, **fields})
        return str(sent["MessageId"])

    def bodies(self) -> list[str]:
        """What is in the queue, in flight or not, in the order of sending."""
        self.queue.advance(self.service.clock.now())
        return [message.body for message in self.queue.messages.values()]

    # --- ports.QueueSource ---

    async def describe(self) -> QueueFacts:
        """See ports.QueueSource."""
        answer = await self._call("GetQueueAttributes", {"AttributeNames": ["All"]}, deadline=10.0)
        told = answer["Attributes"]
        return QueueFacts(
            visibility_timeout=float(told["VisibilityTimeout"]),
            visible=int(told["ApproximateNumberOfMessages"]),
            in_flight=int(told["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(told["ApproximateNumberOfMessagesDelayed"]),
            redrive=json.loads(told["RedrivePolicy"]) if "RedrivePolicy" in told else None,
        )

    async def receive(
        self, maximum: int, wait: int, visibility_timeout: int | None, deadline: float
    ) -> tuple[list[JsonObject], int]:
        """See ports.QueueSource. A cancelled receive takes no message."""
        request: JsonObject = {
            "MaxNumberOfMessages": maximum,
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        if visibility_timeout is not None:
            request["VisibilityTimeout"] = visibility_timeout
        wire = orjson.dumps(await self._call("ReceiveMessage", request, deadline))
        # Through JSON and back: what the caller does to its copy does not reach the queue's.
        return orjson.loads(wire).get("Messages", []), len(wire)

    async def delete(self, receipts: Sequence[str]) -> Sequence[Failure]:
        """See ports.QueueSource."""
        entries = [{"Id": str(place), "ReceiptHandle": receipt} for place, receipt in enumerate(receipts)]
        return _failures(await self._call("DeleteMessageBatch", {"Entries": entries}, deadline=10.0))

    async def change_visibility(self, receipts: Sequence[str], seconds: Sequence[int]) -> Sequence[Failure]:
        """See ports.QueueSource."""
        entries = [
            {"Id": str(place), "ReceiptHandle": receipt, "VisibilityTimeout": timeout}
            for place, (receipt, timeout) in enumerate(zip(receipts, seconds, strict=True))
        ]
        return _failures(await self._call("ChangeMessageVisibilityBatch", {"Entries": entries}, deadline=10.0))

    # --- calls ---

    def _now(self, operation: str, request: JsonObject) -> JsonObject:
        """An operation of the test's own, past faults and counters."""
        answers: list[Answer] = []
        self.service.do(operation, request, answers.append)
        if isinstance(answers[0], SqsError):
            raise answers[0]
        assert isinstance(answers[0], dict)
        return answers[0]

    async def _call(self, operation: str, request: JsonObject, deadline: float) -> JsonObject:
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def settle(answer: Answer | None) -> None:
            if not future.done():
                future.set_result(answer)

        ends = self.service.clock.now().mono + deadline
        parked = self.service.call(operation, request | {"QueueUrl": self.url}, settle)
        stop_timer = None if future.done() else self.service.at(ends, lambda: settle(None))
        try:
            answer = await future
        finally:
            if parked is not None:
                parked.cancel()
            if stop_timer is not None:
                stop_timer()
        match answer:
            case None:
                text = f"{operation} was not answered within {deadline:g} s"
                raise SourceError(SourceProblem.UNREACHABLE, text)
            case Dropped():
                raise SourceError(SourceProblem.UNREACHABLE, f"the connection closed during {operation}")
            case AwsError() as error:
                otherwise = SourceProblem.REFUSED if error.sender_fault else SourceProblem.SERVER
                problem = _PROBLEMS.get(error.name, otherwise)
                raise SourceError(problem, f"{operation} failed: {error.message}", error.name)
            case _:
                return answer


def _failures(answer: JsonObject) -> list[Failure]:
    return [
        Failure(int(entry["Id"]), entry["Code"], entry.get("Message", "")) for entry in answer.get("Failed", ())
    ]
