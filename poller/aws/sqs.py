"""One SQS queue behind ports.QueueSource, all through the wire client.

GetQueueUrl and GetQueueAttributes take the same road: an SDK client would cost 9 MB for two small calls.
"""

import json
from collections.abc import Coroutine, Sequence
from typing import Any

import orjson

from poller.aws.clients import AwsClients
from poller.aws.errors import clean, unreadable
from poller.aws.told import amount, count
from poller.aws.wire import WireClient
from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, QueueFacts, SourceProblem
from poller.errors import SourceError
from poller.ports import Failure

# Seconds for calls that do not wait for messages; three attempts fit in.
CALL_DEADLINE = 10.0
ATTEMPTS = 3
_IDS = tuple(map(str, range(10)))
# what the usual answer says, by number of entries: compared, not read
_ALL_DONE = tuple([{"Id": key} for key in _IDS[:count]] for count in range(11))
_ATTRIBUTES = [
    "VisibilityTimeout",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "RedrivePolicy",
]


class SqsQueue:
    """A queue by its ARN; `open` it before anything else. A second thread makes its own from its own clients."""

    def __init__(self, clients: AwsClients, arn: SourceArn) -> None:
        self.arn = arn
        self._clients = clients
        self._wire: WireClient
        self._url = ""
        self._asked: tuple[int, int, int | None] | None = None
        self._receive = b""

    async def open(self) -> QueueFacts:
        """Finds the queue and reads its attributes.

        Raises SourceError, for a missing queue (CFG-40) and for one that may not be read (CFG-42) with AWS's
        sentence first; ConfigurationError for an unusable endpoint.
        """
        self._wire = self._clients.wire("sqs", self.arn.region)
        self._asked = None
        try:
            self._url = await find_queue_url(self._wire, self.arn.account, self.arn.name)
            return await self.describe()
        except SourceError as error:
            raise self._explained(error) from error

    async def describe(self) -> QueueFacts:
        """GetQueueAttributes (IAM-1): visibility timeout in seconds, approximate counts, redrive policy."""
        data = await self._ask("GetQueueAttributes", {"QueueUrl": self._url, "AttributeNames": _ATTRIBUTES})
        try:
            told = data.get("Attributes") or {}
            policy = told.get("RedrivePolicy")
            return QueueFacts(
                visibility_timeout=amount(told["VisibilityTimeout"]),
                visible=count(told.get("ApproximateNumberOfMessages", 0)),
                in_flight=count(told.get("ApproximateNumberOfMessagesNotVisible", 0)),
                delayed=count(told.get("ApproximateNumberOfMessagesDelayed", 0)),
                redrive=_object(policy) if policy else None,
            )
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise SourceError(
                SourceProblem.SERVER,
                f"{self.arn.text} at {self._wire.host} did not tell its attributes in the form that SQS has.",
            ) from error

    async def receive(
        self, maximum: int, wait: int, visibility_timeout: int | None, deadline: float
    ) -> tuple[list[JsonObject], int]:
        """ReceiveMessage with every attribute (SQS-1), one attempt: the messages, and the bytes of the answer."""
        asked = (maximum, wait, visibility_timeout)
        if asked != self._asked:
            # one after the other asks for the same: written once, and signed once a second
            self._asked, self._receive = asked, self._receive_body(*asked)
        answer = await self._wire.call("ReceiveMessage", self._receive, deadline=deadline)
        messages = answer.data.get("Messages") or []
        if not isinstance(messages, list):
            raise unreadable("sqs", "ReceiveMessage", self._wire.host, "Messages is not a list")
        return messages, answer.size

    def _receive_body(self, maximum: int, wait: int, visibility_timeout: int | None) -> bytes:
        body: JsonObject = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": maximum,
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        if visibility_timeout is not None:
            body["VisibilityTimeout"] = visibility_timeout
        return orjson.dumps(body)

    def delete(self, receipts: Sequence[str]) -> Coroutine[Any, Any, Sequence[Failure]]:
        """DeleteMessageBatch of 1 to 10 receipts (SQS-26): what was refused, by index."""
        entries: list[JsonObject] = [
            {"Id": key, "ReceiptHandle": receipt}
            for key, receipt in zip(_IDS[: len(receipts)], receipts, strict=True)
        ]
        return self._settle("DeleteMessageBatch", entries)

    def change_visibility(
        self, receipts: Sequence[str], seconds: Sequence[int]
    ) -> Coroutine[Any, Any, Sequence[Failure]]:
        """ChangeMessageVisibilityBatch of 1 to 10 receipts: what was refused, by index."""
        entries: list[JsonObject] = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": timeout}
            for i, (receipt, timeout) in enumerate(zip(receipts, seconds, strict=True))
        ]
        return self._settle("ChangeMessageVisibilityBatch", entries)

    async def send(self, message: JsonObject) -> str:
        """SendMessage, one attempt: `message` has every field but the queue's URL. The message's id. Raises
        SourceError, also when nothing tells that it was taken; an answer that was lost may mean that it was.
        """
        answer = await self._wire.call("SendMessage", {"QueueUrl": self._url, **message}, deadline=CALL_DEADLINE)
        identifier = answer.data.get("MessageId")
        if not isinstance(identifier, str) or not identifier:
            raise unreadable("sqs", "SendMessage", self._wire.host, "nothing that says that it was taken")
        return identifier

    async def _settle(self, operation: str, entries: list[JsonObject]) -> Sequence[Failure]:
        body = {"QueueUrl": self._url, "Entries": entries}
        answer = await self._wire.call(operation, body, deadline=CALL_DEADLINE, attempts=ATTEMPTS)
        try:
            return _failures(answer.data, len(entries))
        except (AttributeError, TypeError) as error:
            raise unreadable("sqs", operation, self._wire.host, "not a batch answer") from error

    async def _ask(self, operation: str, body: JsonObject) -> JsonObject:
        answer = await self._wire.call(operation, body, deadline=CALL_DEADLINE, attempts=ATTEMPTS)
        return answer.data

    def _explained(self, error: SourceError) -> SourceError:
        where = f"Queue {self.arn.text} at {self._wire.host}"
        if error.problem is SourceProblem.MISSING:
            return SourceError(
                error.problem,
                "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
                f"SQS Error Message: The specified queue does not exist. {where}: check name, account and region.",
                error.code,
            )
        if error.problem is SourceProblem.DENIED:
            return SourceError(
                error.problem,
                "The provided execution role does not have permissions to call ReceiveMessage on SQS. "
                f"{where}: allow sqs:ReceiveMessage, sqs:DeleteMessage and sqs:GetQueueAttributes. ({error})",
                error.code,
            )
        return error


async def find_queue_url(wire: WireClient, account: str, name: str) -> str:
    """GetQueueUrl. It is not among the permissions that a mapping needs (IAM-1, IAM-5): where it is denied, the
    URL is put together from the ARN's parts. Raises SourceError.
    """
    body: JsonObject = {"QueueName": name, "QueueOwnerAWSAccountId": account}
    try:
        answer = await wire.call("GetQueueUrl", body, deadline=CALL_DEADLINE, attempts=ATTEMPTS)
        told = answer.data.get("QueueUrl")
        url = told if isinstance(told, str) and told.isascii() else ""
    except SourceError as error:
        if error.problem is not SourceProblem.DENIED:
            raise
        url = ""
    return url or f"{wire.endpoint.rstrip('/')}/{account}/{name}"


def _object(text: Any) -> JsonObject:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _failures(data: JsonObject, sent: int) -> Sequence[Failure]:
    """What a batch answer refuses; an entry that it does not mention was not done either."""
    refused = data.get("Failed")
    done = data.get("Successful") or ()
    if not refused and done == _ALL_DONE[sent]:
        return ()
    succeeded = {entry.get("Id") for entry in done}
    told = {entry.get("Id"): entry for entry in refused or ()}
    succeeded -= told.keys()
    failures = []
    for index in range(sent):
        if str(index) in succeeded:
            continue
        entry = told.get(str(index), {})
        code = str(entry.get("Code") or "NotAnswered")
        message = str(entry.get("Message") or "SQS did not say what became of this entry.")
        failures.append(Failure(index, code, clean(message)))
    return failures
