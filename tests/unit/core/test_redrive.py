"""What is sent when a message leaves its dead-letter queue."""

from poller.core.redrive import came_from, group_of, message_to_send

WIRE = {
    "MessageId": "m-1", "ReceiptHandle": "r", "Body": "b",
    "Attributes": {
        "MessageGroupId": "g", "MessageDeduplicationId": "d", "AWSTraceHeader": "Root=1", "SequenceNumber": "1",
        "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:123456789012:orders",
    },
    "MessageAttributes": {
        "a": {"StringValue": "1", "StringListValues": [], "BinaryListValues": [], "DataType": "Number"},
        "b": {"BinaryValue": "AA==", "DataType": "Binary", "StringValue": None},
    },
}  # fmt: skip


def test_all_goes_along_but_the_deduplication_id() -> None:
    """FIFO-1: the old id could be swallowed within its five minutes, and the message be deleted for nothing. The
    new one is the same each time it is tried.
    """
    sent = message_to_send(WIRE, fifo=True)
    assert sent == {
        "MessageBody": "b",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "redrive-m-1",
        "MessageAttributes": {
            "a": {"StringValue": "1", "DataType": "Number"},
            "b": {"BinaryValue": "AA==", "DataType": "Binary"},
        },
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}},
    }
    assert message_to_send(WIRE, fifo=True) == sent


def test_a_standard_queue_takes_no_deduplication_id() -> None:
    """FIFO-12: a group there is a tenant, and stays."""
    assert message_to_send({"MessageId": "m", "Body": "b"}, fifo=False) == {"MessageBody": "b"}
    standard = message_to_send(WIRE, fifo=False)
    assert "MessageDeduplicationId" not in standard
    assert standard["MessageGroupId"] == "g"


def test_where_it_came_from() -> None:
    """Nothing tells it of a message that somebody sent there."""
    assert came_from(WIRE) == "arn:aws:sqs:us-east-1:123456789012:orders"
    assert came_from({"Attributes": None}) is None


def test_its_group() -> None:
    """FIFO-1, FIFO-12: those without one are one group, whatever stands in its place."""
    assert group_of(WIRE) == "g"
    for without in ({}, {"Attributes": None}, {"Attributes": {}}, {"Attributes": {"MessageGroupId": None}}):
        assert group_of(without) == ""


def test_attributes_that_are_none_are_not_sent() -> None:
    """SQS-43: SQS would refuse the message for them."""
    for attributes in (None, {}, [], ["x"], "x", 5):
        assert "MessageAttributes" not in message_to_send(WIRE | {"MessageAttributes": attributes}, fifo=True)
