"""Which records pass: the truth table of the language through both faces, and the matrices of data and pattern."""

import json
from base64 import b64encode
from typing import Any

import pytest

from poller.core.filter import RecordFilter, make_filter
from poller.core.mapping import EventSourceMapping, SourceArn, parse_mapping
from poller.core.model import JsonObject, SourceKind
from poller.core.payload import make_messages
from poller.core.records import Record
from poller.core.stream_payload import make_records
from tests.unit.core.filter_table import TABLE, Row

QUEUE = SourceArn("arn:aws:sqs:eu-west-1:123456789012:q", "aws", "eu-west-1", "123456789012", "q")
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
TABLE_STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"
SHARD = "shardId-000000000007"
TYPED = {"body": {"type": ["order"]}}


def compiled(*patterns: Any, source: SourceKind = SourceKind.SQS) -> RecordFilter:
    return make_filter([p if isinstance(p, str) else json.dumps(p) for p in patterns], source)


def message(body: str, attributes: dict[str, Any] | None = None) -> JsonObject:
    sent = {"SentTimestamp": "1000"}
    wire = {"MessageId": "m1", "ReceiptHandle": "r", "Body": body, "MD5OfBody": "0", "Attributes": sent}
    made = make_messages([{**wire, "MessageAttributes": attributes}], QUEUE, False, 0.0, 0.0)
    return made[0].record


def stream(arn: str) -> EventSourceMapping:
    mapping = parse_mapping({"EventSourceArn": arn, "FunctionName": "python:a:b", "StartingPosition": "LATEST"})
    assert isinstance(mapping, EventSourceMapping)
    return mapping


def kinesis(data: str | bytes, **fields: Any) -> Record:
    encoded = b64encode(data.encode() if isinstance(data, str) else data).decode()
    wire = {"SequenceNumber": "49", "PartitionKey": "k", "Data": encoded, "ApproximateArrivalTimestamp": 1.5}
    return make_records([wire | fields], stream(STREAM), SHARD, 0)[0]


def item(change: JsonObject, name: str = "INSERT") -> Record:
    wire = {"eventID": "e", "eventName": name, "dynamodb": {"SequenceNumber": "7", **change}}
    return make_records([wire], stream(TABLE_STREAM), SHARD, 0)[0]


def kinesis_passes(pattern: Any, record: Record) -> bool:
    return compiled(pattern, source=SourceKind.KINESIS).passes_record(record, stream(STREAM).arn, SHARD)


def item_passes(pattern: Any, record: Record) -> bool:
    return compiled(pattern, source=SourceKind.DYNAMODB).passes_record(record, stream(TABLE_STREAM).arn, SHARD)


def test_the_truth_table() -> None:
    """FLT-2, FLT-4, FLT-5, FLT-10, FLT-11, FLT-12, FLT-13, FLT-14, FLT-15, FLT-16, FLT-17, FLT-18, FLT-19, FLT-20,
    FLT-21, FLT-23, FLT-24, FLT-25, FLT-26, FLT-27, OPEN-13: each row with the record as it is.
    """
    assert len(TABLE) >= 300
    wrong = [
        row for row in TABLE if item_passes(row.pattern, Record("1", 0, 0, 0.0, 0, row.record)) != row.expected
    ]
    assert not wrong


def test_the_truth_table_inside_a_body() -> None:
    """FLT-34: the same rows, with the record as the JSON in a body."""
    wrong = [
        row
        for row in TABLE
        if compiled(_within_body(row)).passes_message(message(json.dumps(row.record))) != row.expected
    ]
    assert not wrong


def _within_body(row: Row) -> str:
    pattern = row.pattern if isinstance(row.pattern, str) else json.dumps(row.pattern)
    return f'{{"body": {pattern}}}'


def test_one_filter_is_enough() -> None:
    """FLT-1: any of them."""
    both = compiled({"body": {"a": [1]}}, {"body": {"b": [2]}})
    assert both.passes_message(message('{"a": 1}'))
    assert both.passes_message(message('{"b": 2}'))
    assert not both.passes_message(message('{"a": 2, "b": 1}'))


def test_filters_do_not_mix() -> None:
    """FLT-1, FLT-2: half of one filter and half of another is no match."""
    both = compiled({"body": {"a": [1], "b": [1]}}, {"body": {"a": [2], "b": [2]}})
    assert not both.passes_message(message('{"a": 1, "b": 2}'))
    assert both.passes_message(message('{"a": 2, "b": 2}'))


def test_a_filter_that_is_out_decides_nothing_about_another() -> None:
    """FLT-1, FLT-2: the second one is looked at to its end, whatever became of the first."""
    both = compiled({"body": {"a": [1], "b": [1]}}, {"body": {"c": [1]}})
    assert not both.passes_message(message('{"a": 2, "b": 1, "c": 2}'))
    assert both.passes_message(message('{"a": 2, "b": 1, "c": 1}'))


def test_filters_that_share_an_alternative() -> None:
    """FLT-1: it counts for each of them, also where one has another alternative that matches."""
    both = compiled(
        {"body": {"a": ["xy", {"prefix": "x"}], "b": [1]}}, {"body": {"a": [{"prefix": "x"}], "b": [2]}}
    )
    assert both.passes_message(message('{"a": "xy", "b": 2}'))
    assert both.passes_message(message('{"a": "xy", "b": 1}'))
    assert not both.passes_message(message('{"a": "xy", "b": 3}'))


def test_without_filters_all_passes() -> None:
    """CFG-46."""
    assert compiled().passes_message(message(""))
    assert kinesis_passes_all(kinesis(b"\xff"))


def kinesis_passes_all(record: Record) -> bool:
    return compiled(source=SourceKind.KINESIS).passes_record(record, stream(STREAM).arn, SHARD)


def test_shards_share_a_filter() -> None:
    """FLT-1: it is compiled once for all of them."""
    assert compiled(TYPED, source=SourceKind.KINESIS) is compiled(TYPED, source=SourceKind.KINESIS)
    assert compiled(TYPED, source=SourceKind.KINESIS) is not compiled(TYPED, source=SourceKind.SQS)


def test_text_that_is_no_pattern_is_a_mistake_of_the_caller() -> None:
    """FLT-3."""
    with pytest.raises(ValueError, match=r"body\.type: 'order' stands outside a list"):
        compiled({"body": {"type": "order"}})


# --- FLT-34 ---

PLAIN, JSON = "order", '{"type": "order"}'


@pytest.mark.parametrize(
    ("body", "pattern", "passes"),
    [
        (PLAIN, {"body": ["order"]}, True),
        (PLAIN, {"body": ["invoice"]}, False),
        (PLAIN, {"body": [{"prefix": "or"}]}, True),
        (PLAIN, {"body": [{"anything-but": "invoice"}]}, True),
        (PLAIN, {"body": [{"exists": True}]}, True),
        (PLAIN, {"body": [{"exists": False}]}, False),
        (PLAIN, {"messageId": ["m1"]}, True),
        (PLAIN, {"messageId": ["m2"]}, False),
        (PLAIN, TYPED, False),
        (PLAIN, {"body": {"type": [{"exists": False}]}}, False),
        (PLAIN, {"body": {"type": [{"anything-but": "order"}]}}, False),
        (JSON, {"body": [JSON]}, False),
        (JSON, {"body": [{"prefix": "{"}]}, False),
        (JSON, {"body": [{"anything-but": "x"}]}, False),
        (JSON, {"body": [{"exists": True}]}, False),
        (JSON, {"body": [{"exists": False}]}, False),
        (JSON, {"messageId": ["m1"]}, True),
        (JSON, {"messageId": ["m2"]}, False),
        (JSON, TYPED, True),
        (JSON, {"body": {"type": ["invoice"]}}, False),
        (JSON, {"body": {"other": [{"exists": False}]}}, True),
        (JSON, {**TYPED, "messageId": ["m1"]}, True),
        (JSON, {**TYPED, "messageId": ["m2"]}, False),
        (JSON, {"body": {"type": ["invoice"]}, "messageId": ["m1"]}, False),
        (PLAIN, {"body": ["invoice"], "messageId": ["m1"]}, False),
        # a way to match of one kind says nothing about one of the other
        (PLAIN, {"$or": [TYPED, {"body": ["order"]}]}, True),
        (JSON, {"$or": [TYPED, {"body": ["order"]}]}, True),
        (PLAIN, {"$or": [TYPED, {"messageId": ["m1"]}]}, True),
        ("5", {"$or": [TYPED, {"body": ["order"]}]}, False),
        (JSON, {"body": ["order"], "body.type": ["order"]}, False),
    ],
)
def test_the_matrix_of_bodies(body: str, pattern: Any, passes: bool) -> None:
    """FLT-34, FLT-30: every row."""
    assert compiled(pattern).passes_message(message(body)) is passes


@pytest.mark.parametrize(
    "body",
    [
        "123",
        "true",
        "null",
        '"x"',
        "",
        " ",
        "x",
        "{",
        '{"a": 1}x',
        "[1,]",
        "\ufeff{}",
        "{'a': 1}",
        '{"a": NaN}',
    ],
)
def test_what_is_no_object_or_array_is_text(body: str) -> None:
    """FLT-35: it meets the rules for text as it stands, and none for JSON."""
    text = json.dumps({"body": [body]})
    assert compiled(text).passes_message(message(body))
    assert not compiled({"body": {"a": [{"exists": False}]}}).passes_message(message(body))


@pytest.mark.parametrize(
    "body",
    [
        '{"a": 1}',
        ' \n\t{"a": 1} ',
        '[{"a": 1}]',
        '[[[{"a": 1}]]]',
        '{"a": 0, "a": 1}',
        '{"a": [1], "b": "\\ud800"}',
        '{"a": 1, "b": "\ud800"}',
        '{"a": 1, "b": 1e999}',
        '{"a": 1, "b": ' + "[" * 500 + "]" * 500 + "}",
        '{"a": 1, "b": ' + "9" * 4000 + "}",
        '{"a": 1, "b": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_json(body: str) -> None:
    """FLT-35, FLT-4: all that JSON allows, and of duplicate keys the last."""
    assert compiled({"body": {"a": [1]}}).passes_message(message(body))
    assert not compiled({"body": [{"exists": True}]}).passes_message(message(body))


def test_the_body_is_read_once_and_only_if_a_filter_looks_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """FLT-34: reading is most of the work."""
    read: list[str] = []
    monkeypatch.setattr("poller.core.filter.orjson.loads", lambda text: read.append(text) or json.loads(text))
    assert compiled({"messageId": ["m1"]}).passes_message(message(JSON))
    assert not read
    assert not compiled({"body": {"type": ["a"]}}, {"body": {"type": ["b"]}}).passes_message(message(JSON))
    assert read == [JSON]


def test_other_fields_of_a_message() -> None:
    """FLT-32, OPEN-14: the whole record can be looked at, as the function would see it."""
    sent = {
        "tier.name": {"DataType": "String", "StringValue": "gold"},
        "n": {"DataType": "Number", "StringValue": "7"},
    }
    record = message("x", sent)
    assert compiled({"messageAttributes": {"tier.name": {"stringValue": ["gold"]}}}).passes_message(record)
    assert not compiled({"messageAttributes": {"n": {"stringValue": [7]}}}).passes_message(record)
    assert compiled({"attributes": {"SentTimestamp": ["1000"]}, "awsRegion": ["eu-west-1"]}).passes_message(record)
    assert compiled(
        {"eventSourceARN": [{"suffix": ":q"}], "md5OfMessageAttributes": [{"exists": False}]}
    ).passes_message(record)
    assert not compiled({"nothing": [{"exists": True}]}).passes_message(record)
    assert compiled({"nothing": {"below": [{"exists": False}]}}).passes_message(record)


def test_a_message_is_not_changed() -> None:
    """FLT-37: what was a string stays one, also where dotted names had to be taken apart."""
    body = '{"a": {"b": 1},  "a.c": 2}'
    record = message(body)
    before = json.dumps(record)
    assert compiled({"body": {"a": {"b": [1], "c": [2]}}}).passes_message(record)
    assert json.dumps(record) == before


def test_a_body_that_is_no_text() -> None:
    """FLT-34: nothing a server says can raise."""
    record = message("x") | {"body": {"type": "order"}}
    assert compiled({"messageId": ["m1"]}).passes_message(record)
    assert not compiled({"body": ["x"]}).passes_message(record)


# --- FLT-36 ---


@pytest.mark.parametrize(
    ("data", "pattern", "passes"),
    [
        (JSON, {"data": {"type": ["order"]}}, True),
        (JSON, {"data": {"type": ["invoice"]}}, False),
        (JSON, {"partitionKey": ["k"]}, True),
        (JSON, {"partitionKey": ["l"]}, False),
        (JSON, {"data": {"type": ["order"]}, "partitionKey": ["k"]}, True),
        (JSON, {"data": {"type": ["order"]}, "partitionKey": ["l"]}, False),
        (JSON, {"data": {"type": ["invoice"]}, "partitionKey": ["k"]}, False),
        (PLAIN, {"partitionKey": ["k"]}, True),
        (PLAIN, {"partitionKey": ["l"]}, False),
        (PLAIN, {"data": {"type": ["order"]}}, False),
        (PLAIN, {"data": {"type": [{"exists": False}]}}, False),
        (b"\xff\xfe{}", {"data": {"type": [{"exists": False}]}}, False),
        (b"{\xff}", {"data": {"type": [{"exists": False}]}}, False),
        ("7", {"data": {"type": [{"exists": False}]}}, False),
        ('[{"type": "order"}]', {"data": {"type": ["order"]}}, True),
        ('{"type": "order", "s": "\\udfff"}', {"data": {"type": ["order"]}}, True),
        ("{}", {"data": {"type": [{"exists": False}]}}, True),
    ],
)
def test_the_matrix_of_kinesis_data(data: str | bytes, pattern: Any, passes: bool) -> None:
    """FLT-36, FLT-30: every row; data is looked at decoded."""
    assert kinesis_passes(pattern, kinesis(data)) is passes


def test_the_view_of_kinesis_is_flat() -> None:
    """FLT-31, FLT-32: nothing stands under `kinesis`."""
    record = kinesis("x")
    for pattern in (
        {"partitionKey": ["k"], "sequenceNumber": ["49"], "kinesisSchemaVersion": ["1.0"]},
        {"approximateArrivalTimestamp": [{"numeric": ["=", 1.5]}]},
        {"eventSource": ["aws:kinesis"], "eventID": [f"{SHARD}:49"], "awsRegion": ["eu-west-1"]},
        {"eventSourceARN": [STREAM], "kinesis": {"partitionKey": [{"exists": False}]}},
    ):
        assert kinesis_passes(pattern, record), pattern
    assert not kinesis_passes({"kinesis": {"partitionKey": ["k"]}}, record)


def test_data_that_is_no_base64() -> None:
    """FLT-36: it is no JSON."""
    for data in ("?", "a", "\u00e9", 5):
        assert not kinesis_passes({"data": {"a": [{"exists": False}]}}, kinesis("x", Data=data))
        assert kinesis_passes({"partitionKey": ["k"]}, kinesis("x", Data=data))


def test_values_of_dynamodb_are_typed_texts() -> None:
    """FLT-33, FLT-32: the type level belongs to the pattern, and a number is text in it."""
    record = item({"NewImage": {"age": {"N": "101"}, "tags": {"SS": ["a", "b"]}, "m": {"M": {"k": {"S": "v"}}}}})
    image = {"dynamodb": {"NewImage": {"age": {"N": ["101"]}}}}
    assert item_passes(image, record)
    assert item_passes({"eventName": ["INSERT"], **image}, record)
    assert not item_passes({"eventName": ["REMOVE"], **image}, record)
    assert item_passes({"dynamodb": {"NewImage": {"tags": {"SS": ["b"]}}}}, record)
    assert item_passes({"dynamodb": {"NewImage": {"m": {"M": {"k": {"S": [{"prefix": "v"}]}}}}}}, record)
    for wrong in ({"N": [101]}, {"N": [{"numeric": [">", 100]}]}, ["101"], [101], {"S": ["101"]}):
        assert not item_passes({"dynamodb": {"NewImage": {"age": wrong}}}, record)
    assert item_passes({"dynamodb": {"OldImage": {"age": {"N": [{"exists": False}]}}}}, record)


def test_the_creation_time_of_dynamodb_is_a_number() -> None:
    """FLT-33."""
    record = item({"ApproximateCreationDateTime": 1_700_000_000.0})
    assert item_passes({"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 1_600_000_000]}]}}, record)
    assert not item_passes(
        {"dynamodb": {"ApproximateCreationDateTime": [{"numeric": ["<", 1_600_000_000]}]}}, record
    )


# --- records that want to do harm ---


def test_a_deep_record_does_no_harm() -> None:
    """FLT-23: arrays in arrays without end, objects to the depth of the pattern and below."""
    deep: Any = {"b": 1}
    for _ in range(100_000):
        deep = [deep]
    record = Record("1", 0, 0, 0.0, 0, {"a": deep})
    assert compiled({"a": {"b": [1]}}, source=SourceKind.DYNAMODB).passes_record(record, QUEUE, SHARD)
    nested: Any = 1
    for _ in range(99):
        nested = {"a": nested}
    pattern: Any = json.loads(json.dumps(nested).replace("1", "[1]"))
    assert item_passes(pattern, Record("1", 0, 0, 0.0, 0, nested))


def test_a_deep_record_with_dotted_names_does_no_harm() -> None:
    """FLT-26: two values of one field are put together no deeper than patterns go."""
    first: Any = {"c": 1}
    second: Any = {"d": 1}
    for _ in range(5_000):
        first, second = {"x": first}, {"x": second}
    record = Record("1", 0, 0, 0.0, 0, {"a": {"b": first | {"n": 1}}, "a.b": second | {"m": 1}})
    assert item_passes({"a": {"b": {"n": [1], "m": [1]}}}, record)
    assert not item_passes({"a": {"b": {"n": [1], "m": [2]}}}, record)


def test_values_of_dotted_names_come_together_as_deep_as_patterns_go() -> None:
    """FLT-26: on the 92nd level."""
    first: Any = {"c": 1}
    second: Any = {"d": 1}
    pattern: Any = {"c": [1], "d": [1]}
    for _ in range(90):
        first, second, pattern = {"x": first}, {"x": second}, {"x": pattern}
    record = Record("1", 0, 0, 0.0, 0, {"a": {"b": first}, "a.b": second})
    assert item_passes({"a": {"b": pattern}}, record)


def test_a_wildcard_never_tries_twice() -> None:
    """FLT-16: a search that goes back would not come to an end here."""
    several = compiled({"body": [{"wildcard": "*a*b*ab*aab*aaab*c"}]})
    assert not several.passes_message(message("a" * 300_000 + "b"))
    assert not several.passes_message(message("ab" * 150_000))
    assert several.passes_message(message("ab" * 100_000 + "aabaaabc"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be", "utf-8-sig"])
def test_data_in_another_encoding_is_no_json(encoding: str) -> None:
    """FLT-30, FLT-36: data is UTF-8, and nothing else is guessed."""
    record = kinesis('{"a":1}'.encode(encoding))
    assert not kinesis_passes({"data": {"a": [1]}}, record)
    assert kinesis_passes({"partitionKey": ["k"]}, record)


def test_what_is_too_deep_to_be_read_passes() -> None:
    """FLT-35: it may be what was wanted, and deleting it would be for good; other keys still decide."""
    deep = '{"type": "order", "n": ' + "[" * 10_000 + "]" * 10_000 + "}"
    message = {"body": deep, "messageId": "m"}
    assert make_filter(['{"body":{"type":["order"]}}'], SourceKind.SQS).passes_message(message)
    named = make_filter(['{"body":{"type":["order"]},"messageId":["other"]}'], SourceKind.SQS)
    assert not named.passes_message(message)
    data = b64encode(deep.encode()).decode()
    record = Record("1", 0, 0, 0.0, 0, {"SequenceNumber": "1", "PartitionKey": "k", "Data": data})
    hot = make_filter(['{"data":{"type":["order"]}}'], SourceKind.KINESIS)
    assert hot.passes_record(record, QUEUE, "shardId-1")
