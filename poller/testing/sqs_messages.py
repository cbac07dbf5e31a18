"""The message operations of SQS on one queue: checks of the request, then the queue, then the answer."""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from poller.core.model import Instant, JsonObject
from poller.testing.faults import FailEntries
from poller.testing.sqs_errors import SqsError, invalid, invalid_value, missing
from poller.testing.sqs_message import (
    Message,
    check_attributes,
    check_body,
    md5_of_attributes,
    md5_of_body,
    show,
    size_of,
)
from poller.testing.sqs_queue import LONGEST_VISIBILITY, Queue
from poller.testing.sqs_settings import MAXIMUM_MESSAGE_BYTES

_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_ID: Final = re.compile(r"[!-~]{1,128}")
_WRONG_TYPE: Final = "The request includes a parameter that is not valid for this queue type."
_TYPES: Final[dict[str, type]] = {
    "AttributeNames": list,
    "Attributes": dict,
    "DelaySeconds": int,
    "Entries": list,
    "MaxNumberOfMessages": int,
    "MaxResults": int,
    "MessageAttributeNames": list,
    "MessageAttributes": dict,
    "MessageSystemAttributeNames": list,
    "MessageSystemAttributes": dict,
    "TagKeys": list,
    "Tags": dict,
    "VisibilityTimeout": int,
    "WaitTimeSeconds": int,
    "tags": dict,
}  # every other field is a string


@dataclass(frozen=True, slots=True)
class Nothing:
    """A receive found nothing that it may take. A caller that waits asks again when something happened to the
    queue, at the monotonic second `next_change` (None: time alone changes nothing), and at the end of `wait`.
    """

    queue: str
    wait: float
    next_change: float | None


def send(now: Instant, queue: Queue, request: JsonObject, rng: random.Random) -> JsonObject:
    """SendMessage, or one entry of a batch."""
    body = check_body(request.get("MessageBody"))
    raw = body.encode()
    attributes = check_attributes(request.get("MessageAttributes"))
    size = size_of(raw, attributes)
    if size > queue.settings.maximum_size:
        reason = f"Message must be shorter than {queue.settings.maximum_size} bytes."
        raise invalid(f"One or more parameters are invalid. Reason: {reason}")
    trace = (check_attributes(request.get("MessageSystemAttributes")) or {}).get("AWSTraceHeader")
    md5 = md5_of_body(raw)
    answer: JsonObject = {"MD5OfMessageBody": md5}
    if attributes:
        answer["MD5OfMessageAttributes"] = md5_of_attributes(attributes)
    if trace:
        answer["MD5OfMessageSystemAttributes"] = md5_of_attributes({"AWSTraceHeader": trace})
    group, deduplication_id = _fifo_parameters(queue, request, raw)
    delay = _delay(queue, request.get("DelaySeconds"))
    scope = (group or "") if queue.settings.deduplicate_by_group else ""
    if deduplication_id is not None:
        earlier = queue.deduplication.seen(now.mono, scope, deduplication_id)
        if earlier is not None:
            return answer | {"MessageId": earlier[0], "SequenceNumber": earlier[1]}
    message = Message(
        key=queue.next_key(),
        id=_message_id(rng),
        body=body,
        md5=md5,
        size=size,
        sent_ms=int(now.wall * 1000),
        enqueued=now.mono,
        attributes=attributes,
        trace_header=trace.get("StringValue") if trace else None,
        group=group,
        deduplication_id=deduplication_id,
    )
    queue.add(now, message, delay)
    answer["MessageId"] = message.id
    if deduplication_id is not None:
        queue.deduplication.remember(now.mono, scope, deduplication_id, message)
        answer["SequenceNumber"] = message.sequence_number
    return answer


def _fifo_parameters(queue: Queue, request: JsonObject, raw: bytes) -> tuple[str | None, str | None]:
    """Group and deduplication id; a standard queue takes a group (FIFO-12) but no deduplication id."""
    group, given = request.get("MessageGroupId"), request.get("MessageDeduplicationId")
    for name, value in (("MessageGroupId", group), ("MessageDeduplicationId", given)):
        if value is not None and not _FIFO_ID.fullmatch(value):
            reason = f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
            raise invalid_value(value, name, reason)
    if not queue.settings.fifo:
        if given is not None:
            raise invalid_value(given, "MessageDeduplicationId", _WRONG_TYPE)
        return group, None
    if group is None:
        raise missing("MessageGroupId")
    if given is None:
        if not queue.settings.content_deduplication:
            raise invalid(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
                "provided explicitly"
            )
        given = hashlib.sha256(raw).hexdigest()
    return group, given


def _delay(queue: Queue, given: int | None) -> int:
    if given is None:
        return queue.settings.delay
    if not 0 <= given <= 900:
        raise invalid_value(given, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    if queue.settings.fifo and given:
        raise invalid_value(given, "DelaySeconds", _WRONG_TYPE)
    return queue.settings.delay if queue.settings.fifo else given


def _message_id(rng: random.Random) -> str:
    """A version 4 UUID; formatted by hand, for one is made with every message."""
    bits = f"{rng.getrandbits(128):032x}"
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


def receive(now: Instant, queue: Queue, request: JsonObject, dead_letters: Queue | None) -> JsonObject | Nothing:
    """ReceiveMessage, without the waiting (SQS-1)."""
    maximum = request.get("MaxNumberOfMessages")
    if maximum is None:
        maximum = 1
    elif not 1 <= maximum <= 10:
        raise invalid_value(maximum, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
    wait = request.get("WaitTimeSeconds")
    if wait is None:
        wait = queue.settings.wait
    elif not 0 <= wait <= 20:
        raise invalid_value(wait, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
    visibility = request.get("VisibilityTimeout")
    if visibility is None:
        visibility = queue.settings.visibility
    elif not 0 <= visibility <= LONGEST_VISIBILITY:
        reason = f"VisibilityTimeout must be an integer between 0 and {LONGEST_VISIBILITY}."
        raise invalid_value(visibility, "VisibilityTimeout", reason)
    queue.advance(now)
    if queue.over_limit():
        if wait:
            return Nothing(queue.name, wait, queue.next_change())
        raise SqsError("OverLimit", "The number of in flight messages has reached its limit.", 403)
    taken = queue.take(now, maximum, visibility, dead_letters)
    if not taken:
        return Nothing(queue.name, wait, queue.next_change())
    system = frozenset(request.get("MessageSystemAttributeNames") or ()).union(request.get("AttributeNames") or ())
    names = request.get("MessageAttributeNames") or ()
    return {"Messages": [show(message, queue.receipt(message), system, names) for message in taken]}


def check_types(request: object) -> None:
    """Refuses, as AWS's deserialiser does, a field of the wrong JSON type; the rest may then rely on them."""
    if not isinstance(request, dict):
        raise SqsError("SerializationException", "Start of structure expected")
    for name, value in request.items():
        wanted = _TYPES.get(name, str)
        right = value is None or (type(value) is wanted)
        if wanted is list and right and value and name != "Entries":
            right = all(isinstance(item, str) for item in value)
        if not right:
            raise SqsError("SerializationException", f"{name} has the wrong type.")


def batch(name: str, entries: Any, do: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """A batch operation: the checks of the whole, then each entry for itself; what failed does not stop the rest.

    `name` is the entries' type, which SQS's sentences mention.
    """
    if not entries:
        text = f"There should be at least one {name} in the request."
        raise SqsError("EmptyBatchRequest", text)
    if len(entries) > 10:
        text = f"Maximum number of entries per request are 10. You have sent {len(entries)}."
        raise SqsError("TooManyEntriesInBatchRequest", text)
    seen: set[str] = set()
    for entry in entries:
        check_types(entry)
        entry_id = entry.get("Id")
        if entry_id is None or not _ENTRY_ID.fullmatch(entry_id):
            text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."  # noqa: E501 - one sentence of AWS
            raise SqsError("InvalidBatchEntryId", text)
        if entry_id in seen:
            raise SqsError("BatchEntryIdsNotDistinct", f"Id {entry_id} repeated.")
        seen.add(entry_id)
    answer: JsonObject = {}
    for entry in entries:
        try:
            done = do(entry)
        except SqsError as error:
            answer.setdefault("Failed", []).append(failed_entry(entry["Id"], error))
        else:
            done["Id"] = entry["Id"]
            answer.setdefault("Successful", []).append(done)
    return answer


def failed_entry(entry_id: str, error: SqsError) -> JsonObject:
    """An entry of `Failed`."""
    return {"Id": entry_id, "SenderFault": error.sender_fault, "Code": error.code, "Message": error.message}


def without_entries(request: JsonObject, fault: FailEntries) -> tuple[JsonObject, list[JsonObject]]:
    """The request without the entries that shall fail, and those as they stand in `Failed`."""
    error = SqsError(fault.code, "A failure planted by a test.", 400 if fault.sender_fault else 500)
    kept: list[JsonObject] = []
    failed: list[JsonObject] = []
    for place, entry in enumerate(request.get("Entries") or ()):
        if place in fault.places:
            failed.append(failed_entry(str(entry.get("Id")), error))
        else:
            kept.append(entry)
    return request | {"Entries": kept}, failed


def check_batch_size(entries: Any) -> None:
    """The messages of one SendMessageBatch together may be as long as one message."""
    size = sum(_size_of_entry(entry) for entry in entries or ())
    if size > MAXIMUM_MESSAGE_BYTES:
        text = f"Batch requests cannot be longer than {MAXIMUM_MESSAGE_BYTES} bytes. You have sent {size} bytes."
        raise SqsError("BatchRequestTooLong", text)


def _size_of_entry(entry: Any) -> int:
    """0 for an entry that is wrong: it will fail by itself."""
    try:
        check_types(entry)
        body = check_body(entry.get("MessageBody"))
        return size_of(body.encode(), check_attributes(entry.get("MessageAttributes")))
    except SqsError:
        return 0
