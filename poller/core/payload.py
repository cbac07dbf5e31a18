"""From an SQS message to the event a function gets, and how many bytes that event has.

Everything here runs once for each message: bodies are passed on as they are, never parsed and written again.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

import orjson

from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, Message
from poller.core.wire_text import text_of

EVENT_LIMIT: Final = 6_291_456
"""The most bytes that one serialised event may have (BAT-2)."""

EVENT_OVERHEAD: Final = len(b'{"Records":[]}')
"""The bytes of an event around its records."""

RECORD_SEPARATOR: Final = len(b",")
"""The bytes that each record after the first adds to its own."""


_USUAL: Final = ("MessageId", "ReceiptHandle", "Body", "MD5OfBody", "Attributes")
_USUALLY: Final = len(_USUAL)
_usual: Final = itemgetter(*_USUAL)
_join: Final = "".join
# a Message without a call of its __init__: assigning its fields takes half the time
_new_message: Final[Callable[[], Any]] = partial(object.__new__, Message)


def make_messages(
    wires: Iterable[Any], arn: SourceArn, null_md5: bool, lease_until: float, received_at: float
) -> list[Message]:
    """The messages of one receive, made ready for batches, each with its event record (SQS-40 to SQS-45).

    `wires` are in the JSON protocol's form, binary values base64 text. `lease_until` is the monotonic second at
    which the receipts become stale, `received_at` that of their coming. `null_md5` is whether a message without
    attributes has `md5OfMessageAttributes` as null instead of not at all: so it is on AWS exactly when the mapping
    has a batching window (SQS-44).

    A message whose MessageId or ReceiptHandle is missing, empty or no string is left out: such a thing can neither
    be named by a function nor deleted, so it stays with its visibility timeout. Nothing else makes a message
    unusable: a receive count that cannot be read is 1, a send time 0, and what stands in the place of a text is
    shown as JSON. Only a FIFO queue has groups; on a standard queue MessageGroupId marks a tenant and holds
    nothing back (FIFO-12).

    One function for all of a receive, because here every call counts ten times.
    """
    source_arn, region, fifo = arn.text, arn.region, arn.fifo
    messages: list[Message] = []
    for wire in wires:
        try:
            identifier, receipt, body, md5_of_body, attributes = _usual(wire)
            more = len(wire) > _USUALLY  # most messages have the usual five fields and no other
        except (KeyError, TypeError):
            if not isinstance(wire, dict):
                continue
            identifier, receipt, body, md5_of_body, attributes = map(wire.get, _USUAL)
            more = True
        try:
            _join(
                (identifier, receipt, md5_of_body, *attributes.values())
            )  # the quickest way to see that all are strings
            count = attributes["ApproximateReceiveCount"]
            sent_at = int(attributes["SentTimestamp"]) / 1000
            usual = "SqsManagedSseEnabled" not in attributes and sent_at >= 0 and type(body) is str
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            usual, count, sent_at = False, None, 0.0
        if not usual:
            if not (isinstance(identifier, str) and isinstance(receipt, str)):
                continue
            body, md5_of_body, attributes = text_of(body), text_of(md5_of_body), _system_attributes(attributes)
            count = attributes.get("ApproximateReceiveCount")
            sent_at = _seconds(attributes.get("SentTimestamp"))
        if not (identifier and receipt):
            continue
        sent = wire.get("MessageAttributes") if more else None
        record = {
            "messageId": identifier,
            "receiptHandle": receipt,
            "body": body,
            "attributes": attributes,
            "messageAttributes": _message_attributes(sent) if sent else {},
            "md5OfBody": md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": source_arn,
            "awsRegion": region,
        }
        md5 = wire.get("MD5OfMessageAttributes") if more else None
        if md5 or null_md5:
            record["md5OfMessageAttributes"] = text_of(md5) or None
        try:
            size = len(orjson.dumps(record))
        except orjson.JSONEncodeError:
            size = record_size(record)
        message = _new_message()
        message.id = identifier
        message.receipt = receipt
        message.group = attributes.get("MessageGroupId") if fifo else None
        message.receive_count = 1 if count == "1" else max(1, _integer(count, 1))
        message.sent_at = sent_at
        message.size = size
        message.lease_until = lease_until
        message.record = record
        message.received_at = received_at
        messages.append(message)
    return messages


def queue_event(records: Iterable[JsonObject]) -> JsonObject:
    """What the function is called with (SQS-40)."""
    return {"Records": list(records)}


def record_size(record: JsonObject) -> int:
    """Exact bytes of the record within the serialised event, without the comma before it."""
    return len(serialise(record))


def event_size(sizes: Sequence[int]) -> int:
    """Exact bytes of the serialised event whose records have these sizes (BAT-2)."""
    return EVENT_OVERHEAD + sum(sizes) + RECORD_SEPARATOR * max(0, len(sizes) - 1)


def serialise(value: JsonObject | list[Any]) -> bytes:
    """Compact JSON in UTF-8, as sent to a function; every size in this file is of this form.

    orjson refuses text with a lone surrogate, which some senders and servers let through: that is written as the
    escape it came from, all else as orjson would have written it.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def _system_attributes(attributes: Any) -> JsonObject:
    """Strings all of them (SQS-41), whatever came; the usual ones never come here."""
    if not isinstance(attributes, dict):
        return {}
    # SqsManagedSseEnabled is a flag of the queue, which AWS keeps from functions (SQS-42).
    return {
        name: text_of(value)
        for name, value in attributes.items()
        if value is not None and name != "SqsManagedSseEnabled"
    }


def _message_attributes(attributes: Any) -> JsonObject:
    """The sender's attributes (SQS-43): the type says which value counts, the lists are there and empty."""
    if not isinstance(attributes, dict):
        return {}
    return {name: _message_attribute(entry) for name, entry in attributes.items() if isinstance(entry, dict)}


def _message_attribute(entry: JsonObject) -> JsonObject:
    kind = text_of(entry.get("DataType")) or "String"
    wire_key, key = ("BinaryValue", "binaryValue") if kind.startswith("Binary") else ("StringValue", "stringValue")
    value = entry.get(wire_key)
    return ({} if value is None else {key: text_of(value)}) | {
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": kind,
    }


def _seconds(milliseconds: Any) -> float:
    """Epoch milliseconds as text in seconds; 0 for what cannot be read."""
    try:
        return max(0, int(milliseconds)) / 1000
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _integer(text: Any, default: int) -> int:
    """`text` as an integer that also has room in a float, else the default."""
    try:
        number = int(text)
        float(number)
    except (TypeError, ValueError, OverflowError):
        return default
    return number
