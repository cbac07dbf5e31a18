"""The event record of SQS-40 to SQS-45, message for message, and its bytes (BAT-2)."""

import json
from typing import Any

import orjson
import pytest

from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, Message
from poller.core.payload import (
    EVENT_LIMIT,
    EVENT_OVERHEAD,
    event_size,
    make_messages,
    queue_event,
    record_size,
    serialise,
)


def arn_of(name: str) -> SourceArn:
    return SourceArn(f"arn:aws:sqs:us-east-2:123456789012:{name}", "aws", "us-east-2", "123456789012", name)


ARN = arn_of("my-queue")
FIFO = arn_of("my-queue.fifo")


def make_message(wire: JsonObject, arn: SourceArn, null_md5: bool, lease_until: float) -> Message | None:
    """One receive of one message."""
    made = make_messages([wire], arn, null_md5, lease_until, 0.5)
    return made[0] if made else None


def queue_record(wire: JsonObject, arn: SourceArn, null_md5: bool) -> JsonObject:
    """The event record of a message."""
    message = make_message(wire, arn, null_md5, 1.0)
    assert message is not None
    return message.record


def wire_message(**changes: Any) -> JsonObject:
    return {
        "MessageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "ReceiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "MD5OfBody": "098f6bcd4621d373cade4e832627b4f6",
        "Body": "test",
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
        },
    } | changes


def test_the_record_of_a_plain_message() -> None:
    """SQS-40, SQS-44: exactly these keys and values in this order; no md5OfMessageAttributes with window 0."""
    record = queue_record(wire_message(), ARN, null_md5=False)
    assert list(record.items()) == [
        ("messageId", "059f36b4-87a3-44ab-83d2-661975830a7d"),
        ("receiptHandle", "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"),
        ("body", "test"),
        (
            "attributes",
            {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
        ),
        ("messageAttributes", {}),
        ("md5OfBody", "098f6bcd4621d373cade4e832627b4f6"),
        ("eventSource", "aws:sqs"),
        ("eventSourceARN", "arn:aws:sqs:us-east-2:123456789012:my-queue"),
        ("awsRegion", "us-east-2"),
    ]


def test_the_event() -> None:
    """SQS-40: the records and nothing beside them."""
    record = queue_record(wire_message(), ARN, null_md5=False)
    assert queue_event((record, record)) == {"Records": [record, record]}


def test_system_attributes_are_strings() -> None:
    """SQS-41: also where a server sent numbers."""
    record = queue_record(wire_message(Attributes={"ApproximateReceiveCount": 3, "SenderId": "x"}), ARN, False)
    assert record["attributes"] == {"ApproximateReceiveCount": "3", "SenderId": "x"}


def test_optional_system_attributes() -> None:
    """SQS-42: what SQS sends is passed on, whatever the kind of queue; the encryption flag is not."""
    optional = {
        "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-2:123456789012:other",
        "SequenceNumber": "18849496460467696128",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "d",
    }
    record = queue_record(wire_message(Attributes=optional | {"SqsManagedSseEnabled": "true"}), FIFO, False)
    assert record["attributes"] == optional
    fair = queue_record(wire_message(Attributes={"MessageGroupId": "tenant"}), ARN, False)
    assert fair["attributes"] == {"MessageGroupId": "tenant"}


def test_message_attributes() -> None:
    """SQS-43: string, number with a suffix and binary, each with the two empty lists."""
    attributes = {
        "s": {"StringValue": "text", "DataType": "String"},
        "n": {"StringValue": "6", "DataType": "Number.int"},
        "b": {"BinaryValue": "AAEC", "DataType": "Binary"},
        "p": {"BinaryValue": "AAEC", "DataType": "Binary.png"},
    }
    record = queue_record(
        wire_message(MessageAttributes=attributes, MD5OfMessageAttributes="00484c68"), ARN, null_md5=True
    )
    lists: JsonObject = {"stringListValues": [], "binaryListValues": []}
    assert record["messageAttributes"] == {
        "s": {"stringValue": "text", "dataType": "String"} | lists,
        "n": {"stringValue": "6", "dataType": "Number.int"} | lists,
        "b": {"binaryValue": "AAEC", "dataType": "Binary"} | lists,
        "p": {"binaryValue": "AAEC", "dataType": "Binary.png"} | lists,
    }
    assert list(record["messageAttributes"]["s"]) == [
        "stringValue",
        "stringListValues",
        "binaryListValues",
        "dataType",
    ]


@pytest.mark.parametrize("null_md5", [False, True])
def test_md5_of_message_attributes_with_attributes(null_md5: bool) -> None:
    """SQS-44: the value, with and without a window."""
    wire = wire_message(
        MessageAttributes={"s": {"StringValue": "x", "DataType": "String"}}, MD5OfMessageAttributes="00484c68"
    )
    assert queue_record(wire, ARN, null_md5)["md5OfMessageAttributes"] == "00484c68"


def test_md5_of_message_attributes_without_attributes() -> None:
    """SQS-44: absent with window 0, null with a window."""
    assert "md5OfMessageAttributes" not in queue_record(wire_message(), ARN, null_md5=False)
    assert queue_record(wire_message(), ARN, null_md5=True)["md5OfMessageAttributes"] is None
    empty = wire_message(MD5OfMessageAttributes="")
    assert queue_record(empty, ARN, null_md5=True)["md5OfMessageAttributes"] is None


def test_a_body_of_json_stays_a_string() -> None:
    """SQS-45: never parsed."""
    assert queue_record(wire_message(Body='{"a": 1.0}'), ARN, False)["body"] == '{"a": 1.0}'


@pytest.mark.parametrize(
    "missing", ["MD5OfBody", "Body", "Attributes", "MessageAttributes", "MD5OfMessageAttributes"]
)
@pytest.mark.parametrize("null", [False, True])
def test_optional_keys_may_be_missing_or_null(missing: str, null: bool) -> None:
    """SQS-40: the record keeps its shape all the same."""
    wire = wire_message(MessageAttributes={}, MD5OfMessageAttributes=None)
    del wire[missing]
    message = make_message(wire | ({missing: None} if null else {}), ARN, False, 1.0)
    assert message is not None
    assert list(message.record) == list(queue_record(wire_message(), ARN, False))
    assert isinstance(message.record["body"], str)
    assert isinstance(message.record["attributes"], dict)


def test_attributes_that_are_no_objects() -> None:
    """SQS-43: a server's nonsense costs the attributes, not the message."""
    message = make_message(
        wire_message(Attributes="x", MessageAttributes=["y"], MessageGroupId=1), FIFO, False, 1.0
    )
    assert message is not None
    assert (message.record["attributes"], message.record["messageAttributes"]) == ({}, {})
    record = queue_record(wire_message(MessageAttributes={"a": None, "b": {}}), ARN, False)
    assert record["messageAttributes"] == {
        "b": {"stringListValues": [], "binaryListValues": [], "dataType": "String"}
    }


def test_a_message() -> None:
    """SQS-40, FIFO-1: all that the core wants to know, read once."""
    attributes = {"ApproximateReceiveCount": "7", "SentTimestamp": "1545082649183", "MessageGroupId": "g1"}
    message = make_message(wire_message(Attributes=attributes), FIFO, False, lease_until=12.5)
    assert message is not None
    assert message.id == "059f36b4-87a3-44ab-83d2-661975830a7d"
    assert message.receipt == "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"
    assert (message.group, message.receive_count) == ("g1", 7)
    assert message.sent_at == pytest.approx(1545082649.183)
    assert (message.lease_until, message.received_at) == (12.5, 0.5)
    assert message.size == len(orjson.dumps(message.record))


def test_a_standard_queue_has_no_groups() -> None:
    """FIFO-12: the tenant of a fair queue is shown to the function and holds nothing back."""
    message = make_message(wire_message(Attributes={"MessageGroupId": "tenant"}), ARN, False, 1.0)
    assert message is not None
    assert message.group is None
    assert message.record["attributes"] == {"MessageGroupId": "tenant"}


@pytest.mark.parametrize("value", [None, "", "x", "-1", "0", "1e3", "9" * 400, "9" * 5000, [], {}, "inf", "NaN"])
def test_unreadable_numbers_do_no_harm(value: object) -> None:
    """SQS-41: a message with a bad counter is a message all the same."""
    attributes = {"ApproximateReceiveCount": value, "SentTimestamp": value}
    message = make_message(wire_message(Attributes=attributes), ARN, False, 1.0)
    assert message is not None
    assert message.receive_count == 1
    assert message.sent_at == 0


@pytest.mark.parametrize("key", ["MessageId", "ReceiptHandle"])
@pytest.mark.parametrize("value", [None, "", 5, ["x"]])
def test_a_message_that_cannot_be_named_or_deleted(key: str, value: object) -> None:
    """SQS-40: it is left alone; the caller sees None."""
    assert make_message(wire_message(**{key: value}), ARN, False, 1.0) is None
    wire = wire_message()
    del wire[key]
    assert make_message(wire, ARN, False, 1.0) is None


@pytest.mark.parametrize("nonsense", [None, 5, "x", ["x"], {}])
def test_what_is_no_message_stands_in_nobodys_way(nonsense: object) -> None:
    """SQS-40: those behind it are messages all the same."""
    made = make_messages([nonsense, wire_message(MessageId="a")], ARN, False, 1.0, 0.5)
    assert [message.id for message in made] == ["a"]


def test_what_is_read_of_an_unusual_message_is_the_same() -> None:
    """SQS-41, SQS-42: its times and counts are those of a usual one."""
    attributes = {"ApproximateReceiveCount": 7, "SentTimestamp": 1545082649183, "SqsManagedSseEnabled": "true"}
    message = make_message(wire_message(Attributes=attributes), ARN, False, 1.0)
    assert message is not None
    assert (message.receive_count, message.sent_at) == (7, 1545082649.183)


def test_text_that_orjson_refuses_is_written_as_orjson_would() -> None:
    """BAT-2: but for the surrogate, which becomes the escape that it came from."""
    assert serialise({"a": "\u00e4\ud800"}) == b'{"a":"\xc3\xa4\\ud800"}'


def test_the_limit() -> None:
    """BAT-2: bytes of the whole serialised event, and no way to change it."""
    assert EVENT_LIMIT == 6_291_456
    assert len(orjson.dumps(queue_event([]))) == EVENT_OVERHEAD


@pytest.mark.parametrize("body", ["x" * 512, '"\\\n\t\x00\x1f\x7f', "äöü€😀", "", "\ud800", "ä\udfff\ud800"])
@pytest.mark.parametrize("count", [0, 1, 2, 11])
def test_event_size_is_exact(body: str, count: int) -> None:
    """BAT-2: envelope, escapes and every byte beyond ASCII are counted, for text that orjson refuses as well."""
    records = [queue_record(wire_message(Body=body), ARN, True) for _ in range(count)]
    written = serialise(queue_event(records))
    assert event_size([record_size(record) for record in records]) == len(written)
    assert json.loads(written) == queue_event(records)
