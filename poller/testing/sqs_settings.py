"""A queue's own attributes: which values SQS takes, and how they are shown again."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from poller.testing.sqs_errors import SqsError, invalid_value

MAXIMUM_MESSAGE_BYTES: Final = 1_048_576
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")

# attribute -> (field, smallest, largest)
_NUMBERS: Final = {
    "DelaySeconds": ("delay", 0, 900),
    "MaximumMessageSize": ("maximum_size", 1_024, MAXIMUM_MESSAGE_BYTES),
    "MessageRetentionPeriod": ("retention", 60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": ("wait", 0, 20),
    "VisibilityTimeout": ("visibility", 0, 43_200),
}
_FIFO_ONLY: Final = {
    "ContentBasedDeduplication": ("true", "false"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
# Taken and shown again, without any effect here.
_KEPT_AS_THEY_ARE: Final = frozenset(
    {"Policy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"}
)


@dataclass(frozen=True, slots=True)
class Redrive:
    """RedrivePolicy: where a message goes that was received `maximum` times."""

    target_arn: str
    maximum: int


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The attributes that change what a queue does (seconds, bytes), and the text of all that were given."""

    fifo: bool = False
    delay: int = 0
    maximum_size: int = MAXIMUM_MESSAGE_BYTES
    retention: int = 345_600
    wait: int = 0
    visibility: int = 30
    redrive: Redrive | None = None
    content_deduplication: bool = False
    deduplicate_by_group: bool = False
    other: Mapping[str, str] | None = None

    def shown(self) -> dict[str, str]:
        """As GetQueueAttributes tells them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        shown = {name: str(values[field]) for name, (field, _, _) in _NUMBERS.items()}
        if self.fifo:
            shown |= {
                "FifoQueue": "true",
                "ContentBasedDeduplication": "true" if self.content_deduplication else "false",
                "DeduplicationScope": "messageGroup" if self.deduplicate_by_group else "queue",
                "FifoThroughputLimit": "perQueue",
            }
        if self.redrive:
            policy = {"deadLetterTargetArn": self.redrive.target_arn, "maxReceiveCount": self.redrive.maximum}
            shown["RedrivePolicy"] = json.dumps(policy, separators=(",", ":"))
        return {"SqsManagedSseEnabled": "true"} | shown | dict(self.other or {})


def check_name(name: str | None, fifo: bool) -> str:
    """The name of a new queue; `.fifo` belongs to FIFO queues and to no other."""
    stem = (name or "").removesuffix(".fifo" if fifo else "")
    if name is None or len(name) > 80 or not _NAME.fullmatch(stem):
        reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        raise invalid_value(name, "QueueName", reason)
    if fifo and not name.endswith(".fifo"):
        reason = "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length"  # noqa: E501 - one sentence of AWS
        raise invalid_value(name, "QueueName", reason)
    return name


def read_settings(current: QueueSettings, given: Mapping[str, str]) -> QueueSettings:
    """`current` with the given attributes; "" for a policy takes it away, as at AWS."""
    changes: dict[str, object] = {}
    other = dict(current.other or {})
    for name, value in given.items():
        if name in _NUMBERS:
            field, low, high = _NUMBERS[name]
            changes[field] = _number(name, value, low, high)
        elif name == "RedrivePolicy":
            changes["redrive"] = _redrive(value) if value else None
        elif name == "FifoQueue":
            if value != ("true" if current.fifo else "false"):
                raise SqsError("InvalidAttributeValue", "Invalid value for the parameter FifoQueue.")
        elif name in _FIFO_ONLY and current.fifo:
            changes |= _fifo_setting(name, value, other)
        elif name in _KEPT_AS_THEY_ARE:
            other[name] = value
        else:
            raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    return replace(current, other=other, **changes)  # type: ignore[arg-type]  # names and types come from _NUMBERS


def _fifo_setting(name: str, value: str, other: dict[str, str]) -> dict[str, object]:
    if value not in _FIFO_ONLY[name]:
        raise SqsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    if name == "DeduplicationScope":
        return {"deduplicate_by_group": value == "messageGroup"}
    if name == "ContentBasedDeduplication":
        return {"content_deduplication": value == "true"}
    other[name] = value  # throughput has no limit here
    return {}


def _number(name: str, value: object, low: int, high: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if not low <= number <= high:
        raise SqsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    return number


def _redrive(value: str) -> Redrive:
    try:
        policy = json.loads(value)
        redrive = Redrive(str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"]))
    except (ValueError, KeyError, TypeError):
        reason = "Redrive policy is not a valid JSON map with deadLetterTargetArn and maxReceiveCount."
        raise invalid_value(value, "RedrivePolicy", reason) from None
    if not 1 <= redrive.maximum <= 1_000:
        reason = "Invalid value for maxReceiveCount: must be between 1 and 1000."
        raise invalid_value(value, "RedrivePolicy", reason)
    return redrive
