"""One SQS message: what a send may hold, its checksums, and how a receive shows it."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from poller.core.model import JsonObject
from poller.testing.sqs_errors import SqsError, invalid, missing

SENDER_ID: Final = "AIDAEMBEDDEDAWSSENDER"
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class State(IntEnum):
    """Where a message stands in its queue."""

    VISIBLE = 0
    DELAYED = 1
    IN_FLIGHT = 2
    GONE = 3


@dataclass(slots=True, eq=False)
class Message:
    """A stored message. `key` grows with each message of the queue and is its order; `due` is the monotonic
    second at which delay or invisibility ends; `enqueued` the one from which retention counts.

    `base_receives` are the receives of an earlier queue (redrive), shown but not counted again.
    """

    key: int
    id: str
    body: str
    md5: str
    size: int
    sent_ms: int
    enqueued: float
    attributes: Mapping[str, JsonObject] | None = None
    trace_header: str | None = None
    group: str | None = None
    deduplication_id: str | None = None
    fifo: bool = False
    state: State = State.VISIBLE
    due: float = 0.0
    receives: int = 0
    base_receives: int = 0
    first_received_ms: int | None = None
    received: float = 0.0
    source_arn: str | None = None

    @property
    def sequence_number(self) -> str:
        """Twenty digits; larger for each later message of the queue."""
        return f"{self.key:020d}"

    def system_attributes(self) -> dict[str, str]:
        """Every system attribute that it has; all are strings (SQS-41, SQS-42)."""
        shown = {
            "SenderId": SENDER_ID,
            "SentTimestamp": str(self.sent_ms),
            "ApproximateReceiveCount": str(self.receives),
            "ApproximateFirstReceiveTimestamp": str(self.first_received_ms),
        }
        if self.group is not None:
            shown["MessageGroupId"] = self.group
        if self.fifo:
            shown["SequenceNumber"] = self.sequence_number
            shown["MessageDeduplicationId"] = self.deduplication_id or ""
        if self.trace_header is not None:
            shown["AWSTraceHeader"] = self.trace_header
        if self.source_arn is not None:
            shown["DeadLetterQueueSourceArn"] = self.source_arn
        return shown


def show(message: Message, receipt: str, system: frozenset[str], names: Sequence[str]) -> JsonObject:
    """The message as ReceiveMessage gives it, with the attributes that were asked for and no others."""
    shown: JsonObject = {
        "MessageId": message.id,
        "ReceiptHandle": receipt,
        "MD5OfBody": message.md5,
        "Body": message.body,
    }
    if system:
        every = message.system_attributes()
        chosen = every if "All" in system else {name: every[name] for name in every if name in system}
        if chosen:
            shown["Attributes"] = chosen
    if names and message.attributes:
        asked = {name: value for name, value in message.attributes.items() if _matches(name, names)}
        if asked:
            shown["MessageAttributes"] = asked
            shown["MD5OfMessageAttributes"] = md5_of_attributes(asked)
    return shown


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """`All` and `.*` take every attribute, `prefix.*` and `prefix*` those that begin so, a name itself."""
    for pattern in patterns:
        if pattern in {"All", ".*", name}:
            return True
        if pattern.endswith(".*") and name.startswith(pattern[:-1]):
            return True
    return False


def check_body(body: str | None) -> str:
    """The body, if SQS takes it: not empty, only characters of the W3C's XML set."""
    if not body:
        raise missing("MessageBody")
    if _FORBIDDEN.search(body):
        raise SqsError(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
            "#xE000 to #xFFFD | #x10000 to #x10FFFF.",
        )
    return body


def check_attributes(given: JsonObject | None) -> Mapping[str, JsonObject] | None:
    """The message attributes of a send, if SQS takes them: at most ten, each with a type and a value."""
    if not given:
        return None
    if len(given) > 10:
        raise invalid(f"Number of message attributes [{len(given)}] exceeds the allowed maximum [10].")
    kept: dict[str, JsonObject] = {}
    for name, value in given.items():
        if not _ATTRIBUTE_NAME.fullmatch(name) or len(name) > 256 or name.lower().startswith(("aws.", "amazon.")):
            raise invalid(f"The message attribute name '{name}' is invalid.")
        kept[name] = _check_attribute(name, value)
    return kept


def _check_attribute(name: str, value: object) -> JsonObject:
    data_type = value.get("DataType") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(data_type, str) or not data_type:
        raise invalid(f"The message attribute '{name}' must contain a non-empty message attribute type.")
    kind = data_type.partition(".")[0]
    field = "BinaryValue" if kind == "Binary" else "StringValue"
    if kind not in {"String", "Number", "Binary"}:
        supported = "the set of supported type prefixes is Binary, Number, and String."
        raise invalid(f"The message attribute '{name}' has an invalid message attribute type, {supported}")
    content = value.get(field)
    if not isinstance(content, str) or not content:
        needed = f"must contain a non-empty message attribute value for message attribute type '{kind}'."
        raise invalid(f"The message attribute '{name}' {needed}")
    if kind == "Number" and not _NUMBER.fullmatch(content):
        raise invalid(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    if kind == "Binary":
        try:
            base64.b64decode(content, validate=True)
        except binascii.Error:
            raise invalid(f"The message attribute '{name}' does not hold base64.") from None
    return {field: content, "DataType": data_type}


def md5_of_body(body: bytes) -> str:
    """MD5OfMessageBody of a send, MD5OfBody of a receive."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _value_of(value: Mapping[str, str]) -> bytes:
    if "BinaryValue" in value:
        return base64.b64decode(value["BinaryValue"])
    return value["StringValue"].encode()


def md5_of_attributes(attributes: Mapping[str, JsonObject]) -> str:
    """MD5 over the sorted attributes: name, type, a byte for text (1) or bytes (2), value, each with its length.

    Source: SQS Developer Guide, "Calculating the MD5 message digest for message attributes".
    """
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(len(part).to_bytes(4, "big") + part)
        content = _value_of(value)
        digest.update((b"\2" if "BinaryValue" in value else b"\1") + len(content).to_bytes(4, "big") + content)
    return digest.hexdigest()


def size_of(body: bytes, attributes: Mapping[str, JsonObject] | None) -> int:
    """Bytes that count towards the limit: body, and name, type and value of every attribute."""
    size = len(body)
    for name, value in (attributes or {}).items():
        size += len(name.encode()) + len(value["DataType"].encode()) + len(_value_of(value))
    return size
