"""SQS as a pure state machine: `apply(now, operation, request)`; no sockets, no clock, no waiting.

Held to servers that others wrote by tests/contract. What AWS does and this does not: the minute for which the
name of a deleted queue is blocked, replays by ReceiveRequestAttemptId, spontaneous duplicates, access control.
"""

import json
import random
from typing import Final

from poller.core.model import Instant, JsonObject
from poller.testing.sqs_errors import SqsError, invalid_value, missing, no_such_queue
from poller.testing.sqs_message import State
from poller.testing.sqs_messages import Nothing, batch, check_batch_size, check_types, receive, send
from poller.testing.sqs_queue import Queue
from poller.testing.sqs_settings import QueueSettings, check_name, read_settings

_COUNTS: Final = {
    "ApproximateNumberOfMessages": State.VISIBLE,
    "ApproximateNumberOfMessagesNotVisible": State.IN_FLIGHT,
    "ApproximateNumberOfMessagesDelayed": State.DELAYED,
}


class Sqs:
    """Every queue of one account in one region.

    `touched` collects the names of queues in which a waiting receive should look again; the caller empties it.
    A queue is found by the name at the end of its URL or ARN: account and region of a request play no part.
    """

    def __init__(
        self, *, url: str = "http://127.0.0.1", region: str = "us-east-1", account: str = "000000000000",
        seed: int | None = None,
    ) -> None:  # fmt: skip
        self.url = url
        self.region = region
        self.account = account
        self.queues: dict[str, Queue] = {}
        self.touched: set[str] = set()
        self._rng = random.Random(seed)  # noqa: S311 - message ids, not secrets
        self._operations = {
            "CreateQueue": self._create_queue,
            "DeleteQueue": self._delete_queue,
            "GetQueueAttributes": self._get_queue_attributes,
            "GetQueueUrl": self._get_queue_url,
            "ListQueueTags": self._list_queue_tags,
            "ListQueues": self._list_queues,
            "PurgeQueue": self._purge_queue,
            "SetQueueAttributes": self._set_queue_attributes,
            "TagQueue": self._tag_queue,
            "UntagQueue": self._untag_queue,
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": self._change_visibility_batch,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": self._delete_message_batch,
            "ReceiveMessage": self._receive_message,
            "SendMessage": self._send_message,
            "SendMessageBatch": self._send_message_batch,
        }

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject | Nothing:
        """Does one operation at that moment and answers in the shapes of the AWS JSON protocol.

        Only ReceiveMessage may answer `Nothing`. Raises SqsError for whatever SQS refuses.
        """
        if (do := self._operations.get(operation)) is None:
            raise SqsError("UnknownOperationException", f"The embedded SQS does not know {operation}.")
        check_types(request)
        return do(now, request)

    def queue(self, request: JsonObject) -> Queue:
        """The queue that the request names; raises SqsError when there is none."""
        url = request.get("QueueUrl")
        if not url:
            raise missing("QueueUrl")
        if (queue := self.queues.get(url.rpartition("/")[2])) is None:
            raise no_such_queue()
        return queue

    # --- queues ---

    def _url_of(self, name: str) -> str:
        return f"{self.url}/{self.account}/{name}"

    def _create_queue(self, now: Instant, request: JsonObject) -> JsonObject:
        given = request.get("Attributes") or {}
        fifo = given.get("FifoQueue") == "true"
        name = check_name(request.get("QueueName"), fifo)
        if (known := self.queues.get(name)) is not None:
            present = known.settings.shown()
            for attribute, value in read_settings(QueueSettings(fifo=fifo), given).shown().items():
                if attribute in given and present.get(attribute) != value:
                    text = f"A queue already exists with the same name and a different value for attribute {attribute}"  # noqa: E501 - one sentence of AWS
                    raise SqsError("QueueNameExists", text)
            return {"QueueUrl": self._url_of(name)}
        settings = read_settings(QueueSettings(fifo=fifo), given)
        self._check_redrive(settings)
        queue = Queue(name, f"arn:aws:sqs:{self.region}:{self.account}:{name}", settings, now)
        queue.tags.update(request.get("tags") or {})
        self.queues[name] = queue
        return {"QueueUrl": self._url_of(name)}

    def _check_redrive(self, settings: QueueSettings) -> None:
        if settings.redrive is None:
            return
        target = self.queues.get(settings.redrive.target_arn.rpartition(":")[2])
        policy = settings.shown()["RedrivePolicy"]
        if target is None:
            raise invalid_value(policy, "RedrivePolicy", "Dead letter target does not exist.")
        if target.settings.fifo != settings.fifo:
            reason = "Dead-letter queue must be same type of queue as the source."
            raise invalid_value(policy, "RedrivePolicy", reason)

    def _delete_queue(self, now: Instant, request: JsonObject) -> JsonObject:
        name = self.queue(request).name
        del self.queues[name]
        self.touched.add(name)
        return {}

    def _purge_queue(self, now: Instant, request: JsonObject) -> JsonObject:
        self.queue(request).purge(now)
        return {}

    def _list_queues(self, now: Instant, request: JsonObject) -> JsonObject:
        prefix, after = request.get("QueueNamePrefix") or "", request.get("NextToken") or ""
        names = sorted(name for name in self.queues if name.startswith(prefix) and name > after)
        page = names[: request.get("MaxResults") or 1_000]
        answer: JsonObject = {"QueueUrls": [self._url_of(name) for name in page]} if page else {}
        if request.get("MaxResults") and len(page) < len(names):
            answer["NextToken"] = page[-1]
        return answer

    def _get_queue_url(self, now: Instant, request: JsonObject) -> JsonObject:
        name = request.get("QueueName")
        if name not in self.queues:
            raise no_such_queue()
        return {"QueueUrl": self._url_of(name)}

    def _get_queue_attributes(self, now: Instant, request: JsonObject) -> JsonObject:
        queue = self.queue(request)
        shown = queue.settings.shown() | {name: str(queue.count(now, state)) for name, state in _COUNTS.items()}
        shown["QueueArn"] = queue.arn
        shown["CreatedTimestamp"] = str(queue.created)
        shown["LastModifiedTimestamp"] = str(queue.modified)
        asked = request.get("AttributeNames") or []
        chosen = shown if "All" in asked else {name: shown[name] for name in asked if name in shown}
        return {"Attributes": chosen} if chosen else {}

    def _set_queue_attributes(self, now: Instant, request: JsonObject) -> JsonObject:
        queue = self.queue(request)
        settings = read_settings(queue.settings, request.get("Attributes") or {})
        self._check_redrive(settings)
        queue.settings = settings
        queue.modified = int(now.wall)
        return {}

    def _tag_queue(self, now: Instant, request: JsonObject) -> JsonObject:
        self.queue(request).tags.update(request.get("Tags") or {})
        return {}

    def _untag_queue(self, now: Instant, request: JsonObject) -> JsonObject:
        tags = self.queue(request).tags
        for key in request.get("TagKeys") or ():
            tags.pop(key, None)
        return {}

    def _list_queue_tags(self, now: Instant, request: JsonObject) -> JsonObject:
        tags = self.queue(request).tags
        return {"Tags": dict(tags)} if tags else {}

    # --- messages ---

    def _send_message(self, now: Instant, request: JsonObject) -> JsonObject:
        queue = self.queue(request)
        self.touched.add(queue.name)
        return send(now, queue, request, self._rng)

    def _send_message_batch(self, now: Instant, request: JsonObject) -> JsonObject:
        queue, entries = self.queue(request), request.get("Entries")
        check_batch_size(entries)
        self.touched.add(queue.name)
        return batch("SendMessageBatchRequestEntry", entries, lambda entry: send(now, queue, entry, self._rng))

    def _receive_message(self, now: Instant, request: JsonObject) -> JsonObject | Nothing:
        queue = self.queue(request)
        redrive = queue.settings.redrive
        dead_letters = self.queues.get(redrive.target_arn.rpartition(":")[2]) if redrive else None
        if dead_letters is None:
            return receive(now, queue, request, None)
        before = dead_letters.adopted
        answer = receive(now, queue, request, dead_letters)
        if dead_letters.adopted != before:
            self.touched.add(dead_letters.name)
        return answer

    def _delete(self, now: Instant, queue: Queue, entry: JsonObject) -> JsonObject:
        if not entry.get("ReceiptHandle"):
            raise missing("ReceiptHandle")
        queue.delete(now, entry["ReceiptHandle"])
        return {}

    def _delete_message(self, now: Instant, request: JsonObject) -> JsonObject:
        queue = self.queue(request)
        if queue.settings.fifo:
            self.touched.add(queue.name)  # the group may be free now
        return self._delete(now, queue, request)

    def _delete_message_batch(self, now: Instant, request: JsonObject) -> JsonObject:
        queue = self.queue(request)
        if queue.settings.fifo:
            self.touched.add(queue.name)
        entries = request.get("Entries")
        return batch("DeleteMessageBatchRequestEntry", entries, lambda entry: self._delete(now, queue, entry))

    def _change(self, now: Instant, queue: Queue, entry: JsonObject) -> JsonObject:
        for name in ("ReceiptHandle", "VisibilityTimeout"):
            if entry.get(name) is None:
                raise missing(name)
        queue.change_visibility(now, entry["ReceiptHandle"], entry["VisibilityTimeout"])
        return {}

    def _change_visibility(self, now: Instant, request: JsonObject) -> JsonObject:
        queue = self.queue(request)
        self.touched.add(queue.name)
        return self._change(now, queue, request)

    def _change_visibility_batch(self, now: Instant, request: JsonObject) -> JsonObject:
        queue = self.queue(request)
        self.touched.add(queue.name)
        name, entries = "ChangeMessageVisibilityBatchRequestEntry", request.get("Entries")
        return batch(name, entries, lambda entry: self._change(now, queue, entry))


def redrive_policy(target_arn: str, maximum: int) -> str:
    """The text of a RedrivePolicy attribute."""
    return json.dumps({"deadLetterTargetArn": target_arn, "maxReceiveCount": maximum})
