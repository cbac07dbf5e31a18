"""Messages of SQS that are not what they should be: each is a message or left out, and none stops the others."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.core.filter import make_filter
from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.messages import Received, ReceivedAgain
from poller.core.model import Instant, Message, SourceKind
from poller.core.payload import event_size, make_messages, queue_event, serialise
from poller.metrics_stats import NO_GAUGES, MappingStats
from poller.telemetry import Telemetry
from tests.property.hostile import DEEPEST, MEGABYTE, ODD, costing_at_most, deep_text, objects, odd, one_odd_field
from tests.unit.core.machine import Rig

QUEUE = SourceArn("arn:aws:sqs:eu-west-1:123456789012:q", "aws", "eu-west-1", "123456789012", "q")
FIFO = SourceArn("arn:aws:sqs:eu-west-1:123456789012:q.fifo", "aws", "eu-west-1", "123456789012", "q.fifo")
ATTRIBUTES = {
    "ApproximateReceiveCount": "1",
    "SentTimestamp": "1545082649183",
    "MessageGroupId": "g",
}
ATTRIBUTE = {"DataType": "String", "StringValue": "x", "BinaryValue": "AAEC"}
WIRE = {
    "MessageId": "m",
    "ReceiptHandle": "r",
    "Body": "b",
    "MD5OfBody": "d",
    "Attributes": ATTRIBUTES,
    "MessageAttributes": {"a": ATTRIBUTE},
    "MD5OfMessageAttributes": "e",
}
GOOD = {**WIRE, "MessageId": "good", "ReceiptHandle": "good"}
FIELDS = {
    "messageId",
    "receiptHandle",
    "body",
    "attributes",
    "messageAttributes",
    "md5OfBody",
    "eventSource",
    "eventSourceARN",
    "awsRegion",
}
FILTERS = [
    make_filter([pattern], SourceKind.SQS)
    for pattern in (
        '{"body": ["b"]}',
        '{"body": {"a": [{"numeric": [">", 1]}]}}',
        '{"body": {"a": [1, null, {"prefix": "x"}]}, "messageAttributes": {"a": {"dataType": ["String"]}}}',
        '{"attributes": {"SenderId": [{"exists": false}]}, "body": [{"wildcard": "*a*b*"}]}',
        '{"body": {"a": [{"anything-but": [1e300]}]}}',
    )
]
wires = st.one_of(
    odd,
    objects(WIRE | {"Attributes": ATTRIBUTES | {"SentTimestamp": "9" * 400, "SqsManagedSseEnabled": "true"}}),
    st.builds(lambda attributes: {**WIRE, "Attributes": attributes}, objects(ATTRIBUTES)),
    st.builds(lambda attribute: {**WIRE, "MessageAttributes": {"a": attribute}}, objects(ATTRIBUTE) | odd),
)


def check(messages: list[Message]) -> None:
    """What every message must be, whatever it was made of."""
    event = queue_event(message.record for message in messages)
    written = serialise(event)
    assert len(written) == event_size([message.size for message in messages])
    read = json.loads(written)
    for message, record in zip(messages, read["Records"], strict=True):
        assert record.keys() - {"md5OfMessageAttributes"} == FIELDS
        texts = [record[name] for name in FIELDS - {"attributes", "messageAttributes"}]
        texts += record["attributes"].values()
        for attribute in record["messageAttributes"].values():
            assert (attribute.pop("stringListValues"), attribute.pop("binaryListValues")) == ([], [])
            texts += attribute.values()
        assert all(isinstance(text, str) for text in texts)
        assert message.id
        assert message.receipt
        assert message.receive_count >= 1
        assert 0 <= message.sent_at < float("inf")
        assert message.group is None or isinstance(message.group, str)
        float(message.receive_count)  # it becomes a number of a metric
        for filtered in FILTERS:
            assert filtered.passes_message(message.record) in {True, False}


@given(st.lists(wires, max_size=4), st.booleans(), st.sampled_from([QUEUE, FIFO]))
def test_whatever_a_receive_brings_the_good_message_among_it_is_there(
    sent: list[Any], null_md5: bool, arn: SourceArn
) -> None:
    """SQS-40, SQS-41, SQS-43, SQS-45, BAT-2: nothing raises, sizes are exact, all that must be text is text."""
    messages = make_messages([*sent, GOOD], arn, null_md5, 0.0, 0.0)
    assert messages[-1].id == "good"
    check(messages)


@pytest.mark.parametrize("arn", [QUEUE, FIFO])
def test_a_field_that_is_odd_costs_at_most_its_message(arn: SourceArn) -> None:
    """SQS-40 to SQS-45: every field of a message and of what is in it, missing or of every odd kind."""
    attributes = ({**WIRE, "Attributes": odd_one} for odd_one in one_odd_field(ATTRIBUTES))
    attribute = ({**WIRE, "MessageAttributes": {"a": odd_one}} for odd_one in one_odd_field(ATTRIBUTE))
    deepest = ({**WIRE, name: DEEPEST} for name in WIRE)
    for wire in (*one_odd_field(WIRE), *attributes, *attribute, *deepest):
        messages = make_messages([wire, GOOD], arn, False, 0.0, 0.0)
        named = all(isinstance(wire.get(name), str) and wire[name] for name in ("MessageId", "ReceiptHandle"))
        assert len(messages) == 1 + named
        check(messages)


def test_attributes_survive_without_the_digest_of_the_body() -> None:
    """SQS-43: which five fields a message has does not decide what is in it."""
    wire = {name: value for name, value in WIRE.items() if name not in {"MD5OfBody", "MD5OfMessageAttributes"}}
    [message] = make_messages([wire], QUEUE, False, 0.0, 0.0)
    assert message.record["messageAttributes"]["a"]["stringValue"] == "x"
    del wire["MessageAttributes"]
    [message] = make_messages([wire | {"MD5OfMessageAttributes": "e"}], QUEUE, False, 0.0, 0.0)
    assert message.record["md5OfMessageAttributes"] == "e"


def test_ids_and_receipts_may_come_twice() -> None:
    """SQS-27: each of them is a message here; which one is kept is the machine's question."""
    assert len(make_messages([WIRE, WIRE, dict(WIRE)], QUEUE, False, 0.0, 0.0)) == 3


BODIES = {
    "empty": "",
    "one byte": "x",
    "just below 256 KiB": "x" * (256 * 1024 - 1),
    "1 MiB": "x" * MEGABYTE,
    "1 MiB of NUL, which JSON writes as six bytes each": "\0" * MEGABYTE,
    "1 MiB of lone surrogates": "\ud800" * (MEGABYTE // 3),
    "1 MiB of brackets": "[" * MEGABYTE,
    "deep": deep_text(10_000),
    "long numbers": '{"a": ' + "9" * 1_000 + ', "b": -0.' + "1" * 1_000 + "}",
    "1 MiB of one number": '{"a": ' + "9" * MEGABYTE + "}",
    "an exponent without end": '{"a": 1e' + "9" * 1_000 + "}",
    "many elements": '{"a": [' + "1," * 20_000 + "1]}",
    "many wrong elements": '{"a": [' + "[1]," * 20_000 + "[1]]}",
    "many keys": "{" + ",".join(f'"a.{number}":1' for number in range(30_000)) + "}",
    "a number of 5,000 digits": '{"a": ' + "9" * 5_000 + "}",
    "nearly what the wildcard wants": "a" * MEGABYTE,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_a_body_costs_is_bounded(body: str) -> None:
    """SQS-45, FLT-34: ten messages of up to 1 MiB, made, filtered five times and written, in no more than this."""
    sent = [{**WIRE, "Body": body} for _ in range(10)]
    with costing_at_most(megabytes=200, seconds=15):
        messages = make_messages(sent, QUEUE, False, 0.0, 0.0)
        for filtered in FILTERS:
            filtered.passes_message(messages[0].record)
    assert len(messages) == 10
    assert messages[0].record["body"] is body
    assert all(message.size == messages[0].size for message in messages)
    check(messages[:1])


def test_ten_thousand_attributes() -> None:
    """SQS-41, SQS-43: more than any service takes, all of them there."""
    many = {f"name-{number}": ATTRIBUTE for number in range(10_000)}
    system = ATTRIBUTES | {f"Name{number}": "x" for number in range(10_000)}
    with costing_at_most(megabytes=60, seconds=10):
        [message] = make_messages([{**WIRE, "MessageAttributes": many, "Attributes": system}], QUEUE, False, 0, 0)
    assert message.record["messageAttributes"].keys() == many.keys()
    assert len(message.record["attributes"]) == len(system)
    check([message])


@pytest.mark.parametrize("number", ["9" * 1_000, "-" + "9" * 5_000, "0." + "1" * 5_000, "1e999", "9" * 300_000])
def test_a_number_that_nobody_reads_does_not_make_a_body_text(number: str) -> None:
    """FLT-34, FLT-35: a message that is filtered out is deleted, so JSON must be known for what it is."""
    wire = {**WIRE, "Body": '{"type": "order", "n": ' + number + "}"}
    [message] = make_messages([wire], QUEUE, False, 0.0, 0.0)
    assert make_filter(['{"body": {"type": ["order"]}}'], SourceKind.SQS).passes_message(message.record)
    assert make_filter(['{"body": {"n": [{"exists": true}]}}'], SourceKind.SQS).passes_message(message.record)


def test_what_a_receive_brings_is_counted_whatever_it_is() -> None:
    """SQS-40: the numbers of a mapping are made of the same rubble, and nothing in them may break either."""
    mapping = EventSourceMapping("u", "n", SourceKind.SQS, QUEUE, "f", "arn:f")
    stats = MappingStats(mapping, lambda: NO_GAUGES, since=0.0)
    telemetry = Telemetry(stats)
    sent = [*ODD, *one_odd_field(WIRE), *({**WIRE, "Attributes": one} for one in one_odd_field(ATTRIBUTES))]
    telemetry.words[Received](Received(1, sent, 1_000), Instant(1.0, 1.0))
    for command in Rig().bring(*sent):
        if isinstance(command, ReceivedAgain):
            telemetry.words[ReceivedAgain](command, Instant(1.0, 1.0))
    assert stats.polled_events == len(sent)
    assert 0 < stats.redelivered_events < len(sent)
