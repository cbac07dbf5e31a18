"""Sizes are exact and records are complete, whatever the text."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from poller.core.mapping import SourceArn
from poller.core.payload import event_size, make_messages, queue_event, record_size, serialise

ARN = SourceArn("arn:aws:sqs:eu-west-1:123456789012:q.fifo", "aws", "eu-west-1", "123456789012", "q.fifo")
# Surrogates included: no sender should send them, some servers let them through.
TEXT = st.text(st.characters())
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)
ATTRIBUTE = st.fixed_dictionaries(
    {"DataType": st.sampled_from(["String", "Number.int", "Binary", "Binary.gif"])},
    optional={"StringValue": TEXT, "BinaryValue": st.just("AAEC")},
)
WIRE = st.fixed_dictionaries(
    {"MessageId": TEXT, "ReceiptHandle": TEXT, "Body": TEXT},
    optional={
        "MD5OfBody": TEXT,
        "Attributes": st.dictionaries(TEXT, TEXT | st.integers()) | JUNK,
        "MessageAttributes": st.dictionaries(TEXT, ATTRIBUTE) | JUNK,
        "MD5OfMessageAttributes": TEXT,
    },
)


@given(st.lists(WIRE, max_size=5), st.booleans())
def test_the_event_is_as_big_as_its_sizes_say(wires: list[dict[str, Any]], null_md5: bool) -> None:
    """BAT-2, SQS-45: exact bytes, bodies unchanged, and only messages without id or receipt are left out."""
    messages = make_messages(wires, ARN, null_md5, 0.0, 0.0)
    assert [message.id for message in messages] == [
        wire["MessageId"] for wire in wires if wire["MessageId"] and wire["ReceiptHandle"]
    ]
    event = queue_event(message.record for message in messages)
    written = serialise(event)
    assert len(written) == event_size([message.size for message in messages])
    assert [message.size for message in messages] == [record_size(message.record) for message in messages]
    read = json.loads(written)
    sent = [w["Body"] for w in wires if w["MessageId"] and w["ReceiptHandle"]]
    assert [record["body"] for record in read["Records"]] == sent
    assert all(isinstance(v, str) for record in read["Records"] for v in record["attributes"].values())
