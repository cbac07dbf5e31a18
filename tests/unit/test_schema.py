"""The JSON Schema of poller.yaml: a schema, whole, and of one mind with what validates the file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from poller.cli import commands
from poller.config import Configuration, parse
from poller.config_shape import FileShape, SettingsShape
from poller.core.mapping_rules import FIELDS
from poller.schema import make_schema

README = Path(__file__).resolve().parents[2] / "README.md"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"
SCHEMA = make_schema()
VALID = Draft202012Validator(SCHEMA)


def file(arn: str, settings: str = "", **fields: Any) -> str:
    """A file with one mapping; fields as YAML."""
    start = {} if ":sqs:" in arn else {"StartingPosition": "LATEST"}
    told = {"EventSourceArn": arn, "FunctionName": "python:a:b"} | start | fields
    lines = "".join(f"    {name}: {value}\n" for name, value in told.items())
    return f"{settings}EventSourceMappings:\n  -\n{lines}"


def agreed(text: str, **environment: str) -> bool:
    """Whether the file is a configuration, on which the program and the schema must be of one mind."""
    taken = isinstance(parse(text, "poller.yaml", environment), Configuration)
    assert VALID.is_valid(yaml.safe_load(text)) == taken, text
    return taken


def test_it_is_a_schema() -> None:
    """Of the draft that it names, the same every time, with every field that a file may have."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert json.dumps(SCHEMA) == json.dumps(make_schema())
    assert set(SCHEMA["properties"]) == set(FileShape.model_fields)
    assert set(SCHEMA["properties"]["Settings"]["properties"]) == set(SettingsShape.model_fields)
    mapping = SCHEMA["$defs"]["EventSourceMapping"]
    assert set(mapping["properties"]) == {name for name, field in FIELDS.items() if field.sources}


def test_it_is_printed() -> None:
    """`poller schema` writes it to standard output and nothing else."""
    result = CliRunner().invoke(commands, ["schema"])
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, SCHEMA, "")


def test_patterns_are_those_of_editors() -> None:
    """JavaScript's regular expressions have no (?P<name>), and its strict ones no needless backslashes."""
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(SCHEMA))
    assert len(patterns) > 40
    for pattern in (json.loads(f'"{one}"') for one in patterns):
        assert "(?P" not in pattern
        assert re.findall(r"\\([^sSdDwWbB.$(){}\[\]|?*+^/\\t])", pattern) == []


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE))
def test_the_examples_of_the_readme(text: str) -> None:
    """An example that an editor marked as wrong would be a poor one; one that is indented is part of a mapping."""
    assert agreed(file(QUEUE) + text if text.startswith(" ") else text)


GOOD = [
    (QUEUE, {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 300}),
    (f"{QUEUE}.fifo", {"BatchSize": 10, "ScalingConfig": "{MaximumConcurrency: 2}"}),
    (QUEUE, {"ScalingConfig": "{}", "ProvisionedPollerConfig": "{MinimumPollers: 2, MaximumPollers: 10000}"}),
    (QUEUE, {"Poller": "{Heartbeat: true, RetryDelay: {Initial: 0.5, Max: 43200}}", "Enabled": "false"}),
    (QUEUE, {"FunctionName": "process:a.b:c", "Handler": "{RecycleAfter: 1, Concurrency: 4}"}),
    (QUEUE, {"FunctionName": "https://h/x?y=1", "Handler": "{HmacSecretVariable: KEY, TimeoutInSeconds: 1.5}"}),
    (QUEUE, {"FunctionName": "shop:live", "Handler": "{EndpointUrl: 'http://127.0.0.1:9000'}"}),
    (QUEUE, {"FunctionName": "arn:aws:lambda:eu-west-1:123456789012:function:shop:$LATEST"}),
    (QUEUE, {"FunctionName": "exec:./handler --fast", "Tags": "{a: b}", "KMSKeyArn": "''"}),
    (QUEUE, {"FunctionName": "python:m:<lambda>", "MetricsConfig": "{Metrics: [EventCount]}"}),
    (QUEUE, {"FunctionResponseTypes": "[ReportBatchItemFailures]", "FilterCriteria": "{Filters: []}"}),
    (QUEUE, {"FilterCriteria": '{Filters: [{Pattern: {body: {type: [a]}}}, {Pattern: \'{"body": ["x"]}\'}]}'}),
    (QUEUE, {"FilterCriteria": "{Filters: [" + "{Pattern: {body: [x]}}, " * 10 + "]}"}),
    (QUEUE, {"Handler": "{Concurrency: , EndpointUrl: }", "ScalingConfig": "{MaximumConcurrency: }"}),
    (QUEUE, dict.fromkeys(set(FIELDS) - {"EventSourceArn", "FunctionName"} - {"Topics"}, "null")),
    (STREAM, {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "'2026-01-31 12:00:00+02'"}),
    (STREAM, {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1769860800.5}),
    (STREAM, {"MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": -1, "ParallelizationFactor": 10}),
    (STREAM, {"MaximumRecordAgeInSeconds": 60, "MaximumRetryAttempts": 0, "BisectBatchOnFunctionError": "true"}),
    (
        TABLE,
        {"TumblingWindowInSeconds": 900, "DestinationConfig": "{OnFailure: {Destination: 'arn:aws:s3:::abc'}}"},
    ),
    (TABLE, {"DestinationConfig": "{OnFailure: {Destination: 'arn:aws:sns:eu-west-1:123456789012:t'}}"}),
    (TABLE, {"DestinationConfig": "{OnFailure: {Destination: ''}}"}),
    ("arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/2026-01-01T00:00:00.000", {}),
    ("arn:aws-cn:sqs:cn-north-1:123456789012:q", {}),
]


@pytest.mark.parametrize(("arn", "fields"), GOOD)
def test_what_both_take(arn: str, fields: dict[str, Any]) -> None:
    """CFG-1: no line under what is right."""
    foreign = {name for name, field in FIELDS.items() if not field.sources}
    assert agreed(file(arn, **{name: value for name, value in fields.items() if name not in foreign}))


BAD = [
    (QUEUE, {"BatchSize": 0}),
    (QUEUE, {"BatchSize": 10_001}),
    (QUEUE, {"BatchSize": "'10'"}),
    (QUEUE, {"Batchsize": 10}),
    (QUEUE, {"Enabled": 1}),
    (QUEUE, {"Name": "a b"}),
    (QUEUE, {"FunctionName": "shop.orders:handler"}),
    (QUEUE, {"FunctionName": "python:handler"}),
    (QUEUE, {"FunctionName": "null"}),
    (QUEUE, {"ScalingConfig": "{MaximumConcurrency: 1}"}),
    (QUEUE, {"ScalingConfig": "[2]"}),
    (QUEUE, {"ProvisionedPollerConfig": "{PollerGroupName: a}"}),
    (QUEUE, {"FunctionResponseTypes": "ReportBatchItemFailures"}),
    (QUEUE, {"FunctionResponseTypes": "[ReportBatchItemFailures, ReportBatchItemFailures]"}),
    (QUEUE, {"FunctionResponseTypes": "[Report]"}),
    (QUEUE, {"MetricsConfig": "{Metrics: [ErrorCount]}"}),
    (QUEUE, {"FilterCriteria": "{Filters: [{}]}"}),
    (QUEUE, {"FilterCriteria": "{Filters: [{Pattern: 7}]}"}),
    (QUEUE, {"FilterCriteria": "{Filter: []}"}),
    (QUEUE, {"FilterCriteria": "{Filters: [" + "{Pattern: {body: [x]}}, " * 11 + "]}"}),
    (QUEUE, {"Tags": "{a: 1}"}),
    (QUEUE, {"KMSKeyArn": "key"}),
    (QUEUE, {"Handler": "{TimeoutInSeconds: 901}"}),
    (QUEUE, {"Handler": "{Timeout: 9}"}),
    (QUEUE, {"Handler": "{EndpointUrl: localhost}"}),
    (QUEUE, {"Poller": "{RetryDelay: {Initial: 1}}"}),
    (QUEUE, {"Poller": "{RetryDelay: {Initial: , Max: 1}}"}),
    (QUEUE, {"StartingPosition": "LATEST"}),
    (QUEUE, {"ParallelizationFactor": 1}),
    (QUEUE, {"DestinationConfig": "{}"}),
    (QUEUE, {"Topics": "[a]"}),
    (STREAM, {"StartingPosition": "latest"}),
    (STREAM, {"StartingPosition": "null"}),
    (STREAM, {"StartingPositionTimestamp": -1}),
    (STREAM, {"StartingPositionTimestamp": "soon"}),
    (STREAM, {"MaximumRecordAgeInSeconds": 59}),
    (STREAM, {"MaximumRetryAttempts": -2}),
    (STREAM, {"ScalingConfig": "{MaximumConcurrency: 2}"}),
    (STREAM, {"Poller": "{Heartbeat: true}"}),
    (STREAM, {"DestinationConfig": "{OnSuccess: {}}"}),
    (STREAM, {"DestinationConfig": "{OnFailure: {Destination: 'arn:aws:sqs:eu-west-1:123456789012:q.fifo'}}"}),
    (f"{STREAM}/consumer/c:1", {}),
    (TABLE, {"StartingPositionTimestamp": 5}),
    (TABLE, {"TumblingWindowInSeconds": 901}),
    (TABLE.partition("/stream")[0], {}),
    ("orders", {}),
    ("null", {}),
]  # fmt: skip


@pytest.mark.parametrize(("arn", "fields"), BAD)
def test_what_both_refuse(arn: str, fields: dict[str, Any]) -> None:
    """CFG-39: fields, types, ranges, and which source takes what."""
    assert not agreed(file(arn, **fields))


@pytest.mark.parametrize(
    ("setting", "taken"),
    [
        ("{}", True),
        ("null", True),
        ("{Region: eu-west-1, AccountId: '123456789012', State: 'memory:', ShutdownTimeoutInSeconds: 1.5}", True),
        ("{EndpointUrl: 'http://h:4566', Metrics: {Listen: ':1'}, ControlApi: {Listen: ''}, Logging: }", True),
        ("{Logging: {Level: Debug, Format: json}, Metrics: {Listen: '[::1]:9464'}, Region: }", True),
        ("{Region: europe}", False),
        ("{AccountId: 123456789012}", False),
        ("{State: redis}", False),
        ("{ShutdownTimeoutInSeconds: 0}", False),
        ("{ShutdownTimeoutInSeconds: '9'}", False),
        ("{EndpointUrl: 'h:4566'}", False),
        ("{Metrics: {Listen: localhost}}", False),
        ("{Metrics: {Port: 1}}", False),
        ("{Metrics: {Histograms: false, MaxShards: 0}}", True),
        ("{Metrics: {Histograms: 0}}", False),
        ("{Metrics: {MaxShards: 10001}}", False),
        ("{Logging: {Level: loud}}", False),
        ("{Logging: {Format: JSON}}", False),
        ("{Logging: INFO}", False),
        ("{Regoin: eu-west-1}", False),
    ],
)
def test_settings(setting: str, taken: bool) -> None:
    """Those of the process, from the same models."""
    assert agreed(file(QUEUE, f"Settings: {setting}\n")) == taken


@pytest.mark.parametrize(
    "text", ["{}", "[]", "EventSourceMappings: {}", "EventSourceMappings: [7]", "Setings: {}"]
)
def test_what_is_no_configuration(text: str) -> None:
    """The map at the top."""
    assert not agreed(text)


def test_variables_stand_wherever_a_value_does() -> None:
    """A number, a flag and a word are text in the file until the environment fills them in."""
    text = file(
        "arn:aws:kinesis:${REGION}:123456789012:stream/${STREAM}",
        "Settings:\n  Region: ${REGION}\n  ShutdownTimeoutInSeconds: ${T:-25}\n  State: ${S:-memory:}\n",
        FunctionName="${TARGET}",
        BatchSize="${SIZE}",
        Enabled="${ON}",
        StartingPosition="${WHERE}",
        MaximumRecordAgeInSeconds="${AGE:--1}",
        FunctionResponseTypes="\n    - ${WORD}",
        Handler="\n      TimeoutInSeconds: ${T:-25}",
        DestinationConfig="\n      OnFailure: {Destination: '${WHERETO:-}'}",
    )
    environment = {
        "REGION": "eu-west-1", "STREAM": "s", "TARGET": "python:a:b", "SIZE": "7", "ON": "true", "WHERE": "LATEST",
        "WORD": "ReportBatchItemFailures",
    }  # fmt: skip
    assert agreed(text, **environment)
    assert agreed(file("${ARN}", StartingPosition="LATEST"), ARN=STREAM)
