"""What is sent when a message of a dead-letter queue goes back to work, and whether it goes back at all."""

from typing import Any, Final

from poller.core.fact import Word
from poller.core.model import JsonObject

_KEPT: Final = ("DataType", "StringValue", "BinaryValue")


class Fate(Word):
    """What a redrive does with a message."""

    SEND = "send"
    FILTERED = "filtered"
    """The patterns do not want it."""
    FOREIGN = "foreign"
    """It failed in another queue, of which this one is the dead-letter queue too."""
    HELD_BACK = "held_back"
    """An earlier one of its FIFO group stays."""


def came_from(wire: JsonObject) -> str | None:
    """The queue that SQS took the message from; None where it does not tell, as for one that was sent there."""
    attributes = wire.get("Attributes")
    told = attributes.get("DeadLetterQueueSourceArn") if isinstance(attributes, dict) else None
    return told if isinstance(told, str) else None


def group_of(wire: JsonObject) -> str:
    """Its FIFO group; messages without one are one group."""
    attributes = wire.get("Attributes")
    return str(attributes.get("MessageGroupId") or "") if isinstance(attributes, dict) else ""


def message_to_send(wire: JsonObject, *, fifo: bool) -> JsonObject:
    """SendMessage's fields but for the queue: body, attributes and the trace header as they were.

    On a FIFO queue its group stays. Its deduplication id does not: within five minutes of the first sending SQS
    would take a second message with that id without delivering it, and the one in the dead-letter queue would be
    deleted for nothing. The new one is made of the message's id there, which no other message has: a redrive that
    died between sending and deleting is done again without a second delivery, within those five minutes.
    """
    sent: JsonObject = {"MessageBody": wire.get("Body", "")}
    attributes = wire.get("MessageAttributes")
    if isinstance(attributes, dict) and attributes:
        sent["MessageAttributes"] = {name: _attribute(entry) for name, entry in attributes.items()}
    system = wire.get("Attributes")
    system = system if isinstance(system, dict) else {}
    if trace := system.get("AWSTraceHeader"):
        sent["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    if group := system.get("MessageGroupId"):  # on a standard queue it marks a tenant (FIFO-12)
        sent["MessageGroupId"] = group
    if fifo:
        sent["MessageDeduplicationId"] = f"redrive-{wire['MessageId']}"
    return sent


def _attribute(entry: Any) -> Any:
    """Without the lists, which SQS shows and does not take."""
    if not isinstance(entry, dict):
        return entry
    return {key: entry[key] for key in _KEPT if entry.get(key) is not None}
