"""Whatever stands in a template or a listing: a file that is a configuration, or a sentence; texts come back."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poller.config import Configuration, parse
from poller.errors import ConfigurationError
from poller.importer.file import Imported, import_listing, import_template
from poller.importer.mapping import Draft
from poller.importer.values import Blank, Text, joined
from poller.importer.write import written
from poller.yamltext import Document, read_yaml

FUNCTIONS = ["Ref", *(f"Fn::{name}" for name in (
    "GetAtt", "Sub", "Join", "Select", "Split", "FindInMap", "If", "Equals", "Not", "And", "ImportValue",
    "ToJsonString", "Length", "Transform",
))]  # fmt: skip
WORDS = [
    "Type", "Properties", "Events", "Queue", "Stream", "EventSourceArn", "FunctionName", "BatchSize", "Condition",
    "StartingPosition", "FilterCriteria", "Filters", "Pattern", "DestinationConfig", "OnFailure", "Destination",
    "A", "B", "Handler", "Runtime", "Timeout", "Tags", "Key", "Value", "QueueName", "Default", "State", "UUID",
    "FunctionResponseTypes", "FunctionArn", "ScalingConfig", "MaximumConcurrency", "Enabled", "Name",
]  # fmt: skip
TEXTS = [
    *WORDS, "AWS::Serverless::Function", "AWS::Lambda::EventSourceMapping", "AWS::SQS::Queue",
    "AWS::Lambda::Alias", "AWS::Lambda::Function", "SQS", "Kinesis", "Api", "A.Arn", "A.QueueName", "AWS::Region",
    "AWS::NoValue", "${A}", "${A.Arn}-${!B}", "arn:aws:sqs:eu-west-1:123456789012:q",
    "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:1",
    "LATEST", "python3.12", "a.b", "exec:x", '{"body":["${"]}', "{{resolve:ssm:x}}", "$", "\x85\u2028", "\ud83d",
    "ReportBatchItemFailures",
]  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 10_001)
    | st.floats()
    | st.sampled_from(TEXTS)
    | st.text(max_size=9)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
        | st.builds(lambda name, argument: {name: argument}, st.sampled_from(FUNCTIONS), inner)
    ),
    max_leaves=15,
)
properties = st.dictionaries(st.sampled_from(WORDS), values, max_size=5).map(
    lambda given: {"EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:q", "FunctionName": "f"} | given
)
resources = st.fixed_dictionaries(
    {"Type": st.sampled_from(["AWS::Lambda::EventSourceMapping", "AWS::SQS::Queue", "AWS::Lambda::Alias"])},
    optional={"Properties": properties | values, "Condition": st.sampled_from(["A", "B"]) | values},
)
functions = st.fixed_dictionaries(
    {
        "Type": st.just("AWS::Serverless::Function"),
        "Properties": st.fixed_dictionaries(
            {"Events": st.dictionaries(st.sampled_from(["A", "B"]), st.fixed_dictionaries(
                {"Type": st.sampled_from(["SQS", "Kinesis", "DynamoDB"]), "Properties": properties | values}
            ) | values)},
            optional=dict.fromkeys(("Timeout", "Handler", "Runtime", "AutoPublishAlias"), values),
        ),
    }
)  # fmt: skip
sections = st.dictionaries(st.sampled_from(["A", "B"]), values, max_size=2)
templates = st.fixed_dictionaries(
    {"Resources": st.dictionaries(st.sampled_from(["A", "B", "C"]), resources | functions | values, min_size=1)},
    optional=dict.fromkeys(("Parameters", "Mappings", "Conditions", "Globals"), sections | values),
)
calm = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def readable(imported: Imported) -> None:
    """Every line is for people, and the file is a configuration once its variables are set."""
    assert all(line.isprintable() for line in imported.lines)
    if imported.text:
        document = read_yaml(imported.text, {})
        assert isinstance(document, Document)
        assert all("environment variable" in problem.sentence for problem in document.problems)
        if not document.problems:
            assert isinstance(parse(imported.text, "poller.yaml", {}), Configuration), imported.text


def told_or_read(read: Any, path: Path) -> None:
    try:
        imported = read(path)
    except ConfigurationError as error:
        imported = Imported("", tuple(str(error).splitlines()), complete=False)
    assert imported.text or imported.lines
    readable(imported)


@calm
@given(templates, st.booleans(), st.booleans())
def test_templates_of_any_values(tmp_path: Path, template: Any, sam: bool, local: bool) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(template))
    told_or_read(lambda path: import_template(path, {}, sam=sam, local=local), path)


@calm
@given(st.lists(st.fixed_dictionaries(
    {"EventSourceArn": st.sampled_from(TEXTS), "FunctionArn": st.sampled_from(["f", "g"])},
    optional=dict.fromkeys(("State", "FilterCriteria", "BatchSize", "KMSKeyArn", "DestinationConfig"), values),
) | values, max_size=4) | values)  # fmt: skip
def test_listings_of_any_values(tmp_path: Path, answer: Any) -> None:
    path = tmp_path / "l.json"
    path.write_text(json.dumps({"EventSourceMappings": answer}))
    told_or_read(import_listing, path)


@calm
@given(st.binary(max_size=200))
@pytest.mark.parametrize("read", [import_listing, lambda path: import_template(path, {}, sam=True, local=True)])
def test_any_bytes(tmp_path: Path, read: Any, data: bytes) -> None:
    path = tmp_path / "b.yaml"
    path.write_bytes(b"Resources: " + data if data[:1] > b"z" else data)
    told_or_read(read, path)


@calm
@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), max_size=12)  # what reads the template tells of half characters
        | st.sampled_from(["${", "$", "$$", "\n x", "' \"", "# ", "\x85"]),
        max_size=5,
    ),
    st.booleans(),
)
def test_texts_come_back_as_they_were(pieces: list[str], filled: bool) -> None:
    """With a variable in their middle they come back with its value there."""
    parts = [*pieces, Text((Blank("", "A_B"),)), *pieces] if filled else list(pieces)
    value = joined(parts)
    if isinstance(value, Text) and value.whole and len(pieces):
        return  # a dollar sign stood before the variable, or the text was all too long
    text = written("x\ny", [Draft("m", 1, {"EventSourceArn": value, "FunctionName": [value, {"k": value}]})], {})
    document = read_yaml(text, {"A_B": "${v}: 1"})
    assert isinstance(document, Document), document
    assert document.problems == []
    expected = "".join([*pieces, "${v}: 1", *pieces] if filled else pieces)
    [mapping] = document.value["EventSourceMappings"]  # type: ignore[index] # read back as it was written
    assert mapping == {"Name": "m", "EventSourceArn": expected, "FunctionName": [expected, {"k": expected}]}
