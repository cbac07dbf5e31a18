"""CloudFormation's functions one by one: what each gives, and what comes of those that cannot be known."""

from typing import Any

import pytest
import yaml

from poller.importer.resources import attribute
from poller.importer.template import Template
from poller.importer.values import Text, Value
from poller.yamltext import Document, read_yaml

TEMPLATE = """\
Parameters:
  Stage: {Type: String, Default: prod}
  Count: {Type: Number, Default: 5}
  Names: {Type: CommaDelimitedList, Default: "a, b,c"}
  Open: {Type: String}
  Fetched: {Type: "AWS::SSM::Parameter::Value<String>", Default: /path}
  Secret: {Type: String, NoEcho: true, Default: swordfish}
  Looked: {Type: String, Default: "{{resolve:ssm:/path}}"}
Mappings:
  Sizes: {prod: {Size: 10, Zones: [x, y]}, "007": {Size: 1}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsTest: !Not [!Condition IsProd]
  Maybe: !Equals [!Ref Open, x]
  Same: !Equals [!Ref Open, !Ref Open]
  TestAndMaybe: !And [!Condition Maybe, !Condition IsTest]
  ProdOrMaybe: !Or [!Condition Maybe, !Condition IsProd]
  BothMaybe: !And [!Condition IsProd, !Condition Maybe]
  TestOrMaybe: !Or [!Condition IsTest, !Condition Maybe]
  Circle: !Not [!Condition Circle]
  Odd: {Fn::Contains: [[a], a]}
Resources:
  Queue: {Type: "AWS::SQS::Queue", Properties: {QueueName: jobs}}
  Nameless: {Type: "AWS::SQS::Queue"}
  Stream: {Type: "AWS::Kinesis::Stream", Properties: {Name: !Sub "${Stage}-s"}}
  Table: {Type: "AWS::DynamoDB::Table", Properties: {TableName: t}}
  Topic: {Type: "AWS::SNS::Topic", Properties: {TopicName: news}}
  Bucket: {Type: "AWS::S3::Bucket", Properties: {BucketName: bin}}
  Function: {Type: "AWS::Lambda::Function", Properties: {FunctionName: fn}}
  Alias: {Type: "AWS::Lambda::Alias", Properties: {FunctionName: !GetAtt Function.Arn, Name: live}}
  Sam: {Type: "AWS::Serverless::Function", Properties: {FunctionName: sam, AutoPublishAlias: live}}
  Role: {Type: "AWS::IAM::Role"}
"""
PLACE = {"AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012"}
ARN = "arn:aws:{}:eu-west-1:123456789012:{}".format


def read(text: str) -> Any:
    document = read_yaml(text, None, lambda tag: tag if tag in {"Ref", "Condition"} else f"Fn::{tag}")
    assert isinstance(document, Document), document
    assert document.problems == []
    return document.value


def resolve(text: str, **given: str) -> Value:
    """The value of an expression in the template above, on AWS with `given` parameters."""
    return Template(read(TEMPLATE), {**PLACE, **given}, attribute).resolve(read(text))


def why(value: Value) -> str:
    assert isinstance(value, Text), value
    assert value.whole, value
    return value.blanks[0].why


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Stage", "prod"),
        ("!Ref Count", "5"),
        ("!Ref Names", ["a", "b", "c"]),
        ("!Ref AWS::Region", "eu-west-1"),
        ("!Ref AWS::Partition", "aws"),
        ("!Ref AWS::URLSuffix", "amazonaws.com"),
        ("[1, !Ref AWS::NoValue, {a: !Ref AWS::NoValue, b: 2}]", [1, {"b": 2}]),
        ("{Ref: Stage}", "prod"),
        ("{Ref: Stage, Other: 1}", {"Ref": "Stage", "Other": 1}),
        ("!Ref Stream", "prod-s"),
        ("!Ref Topic", ARN("sns", "news")),
        ("!Ref Bucket", "bin"),
        ("!Ref Function", "fn"),
        ("!Ref Alias", f"{ARN('lambda', 'function:fn')}:live"),
        ("!Ref Sam.Alias", "sam:live"),
        ("!GetAtt Queue.Arn", ARN("sqs", "jobs")),
        ("!GetAtt [Queue, QueueName]", "jobs"),
        ("!GetAtt Stream.Arn", ARN("kinesis", "stream/prod-s")),
        ("!GetAtt Table.Arn", ARN("dynamodb", "table/t")),
        ("!GetAtt Topic.TopicArn", ARN("sns", "news")),
        ("!GetAtt Bucket.Arn", "arn:aws:s3:::bin"),
        ("!GetAtt Sam.Arn", ARN("lambda", "function:sam")),
        ("!Sub '${Stage}:${Queue.QueueName}:${!x}:${AWS::Region}'", "prod:jobs:${x}:eu-west-1"),
        ("!Sub ['${A}-${B}-${Stage}', {A: 1, B: !Sub 'b${Stage}'}]", "1-bprod-prod"),
        ("!Join ['-', [a, !Ref Count, true, !Join ['', [x, y]]]]", "a-5-true-xy"),
        ("!Join [',', !Ref Names]", "a,b,c"),
        ("!Split [':', 'a:b:']", ["a", "b", ""]),
        ("!Select [1, !Split [',', 'a,b']]", "b"),
        ("!Select ['0', !Ref Names]", "a"),
        ("!Select [5, !Split [':', !GetAtt Queue.Arn]]", "jobs"),
        ("!FindInMap [Sizes, !Ref Stage, Size]", 10),
        ("!FindInMap [Sizes, '007', Size]", 1),
        ("!FindInMap [Sizes, prod, Zones]", ["x", "y"]),
        ("!FindInMap [Sizes, none, Size, {DefaultValue: !Ref Count}]", "5"),
        ("!If [IsProd, a, b]", "a"),
        ("!If [IsTest, a, !If [IsProd, c, d]]", "c"),
        ("!If [Maybe, same, same]", "same"),
        ("!If [Same, a, b]", "a"),
        ("!If [TestAndMaybe, a, b]", "b"),
        ("!If [ProdOrMaybe, a, b]", "a"),
        ("!ToJsonString {body: {a: [!Ref Stage, 1]}}", '{"body":{"a":["prod",1]}}'),
        ("!Length [1, 2]", 2),
    ],
)
def test_a_function_gives_what_it_gives_on_aws(text: str, value: Value) -> None:
    assert resolve(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("!Ref Open", "parameter Open has no default: --parameter Open=VALUE"),
        ("!Ref Fetched", "parameter Fetched is read from Systems Manager when the stack is deployed"),
        ("!Ref Secret", "parameter Secret is a secret (NoEcho)"),
        ("!Ref Looked", "'{{resolve:ssm:/path}}' is looked up when the stack is deployed"),
        ("!Ref AWS::StackName", "AWS::StackName is not in the template: --parameter AWS::StackName=VALUE"),
        ("!Ref AWS::Odd", "Ref 'AWS::Odd' is not known here"),
        ("!Ref Nothing", "Ref Nothing names nothing in this template"),
        ("!Ref Queue", "Ref Queue is the URL of a queue, and what is needed is its ARN"),
        ("!Ref Role", "Ref Role is known only once the stack is there"),
        ("!GetAtt Role.Arn", "Fn::GetAtt Role.Arn is known only once the stack is there"),
        ("!GetAtt Queue", "'Fn::GetAtt' cannot be resolved here"),
        ("!GetAtt Nameless.Arn",
         "Fn::GetAtt Nameless.Arn is chosen by CloudFormation, because Nameless has no QueueName"),
        ("!GetAtt Table.StreamArn",
         "the ARN of a table's stream has a time in it: it is the LatestStreamArn of Table"),
        ("!ImportValue x", "Fn::ImportValue 'x' is the output of another stack"),
        ("!GetAZs ''", "'Fn::GetAZs' cannot be resolved here"),
        ("!Odd [1]", "'Fn::Odd' cannot be resolved here"),
        ("!FindInMap [Sizes, x, Size]", "Fn::FindInMap finds nothing for 'Sizes', 'x', 'Size'"),
        ("!FindInMap [Sizes, !Ref Open, Size]",
         "Fn::FindInMap: parameter Open has no default: --parameter Open=VALUE"),
        ("!Select [9, [a]]", "Fn::Select finds no member '9' in a list of 1"),
        ("!Select [0, !Split [',', !Ref Open]]",
         "Fn::Select: Fn::Split: parameter Open has no default: --parameter Open=VALUE"),
        ("!Join [',', !ImportValue x]", "Fn::Join: Fn::ImportValue 'x' is the output of another stack"),
        ("!If [Maybe, a, b]", "Fn::If 'Maybe': parameter Open has no default: --parameter Open=VALUE"),
        ("!If [BothMaybe, a, b]", "Fn::If 'BothMaybe': parameter Open has no default: --parameter Open=VALUE"),
        ("!If [TestOrMaybe, a, b]", "Fn::If 'TestOrMaybe': parameter Open has no default: --parameter Open=VALUE"),
        ("!If [Circle, a, b]", "Fn::If 'Circle': condition Circle depends on itself"),
        ("!If [None, a, b]", "Fn::If 'None': the template has no condition 'None'"),
        ("!If [Odd, a, b]", "Fn::If 'Odd': a map is no condition that can be decided here"),
        ("!ToJsonString {a: !Ref Open}",
         "Fn::ToJsonString: parameter Open has no default: --parameter Open=VALUE"),
        ("!Sub '{{resolve:ssm:/${Open}}}'", "it holds a dynamic reference, {{resolve:...}}"),
        ("'{{resolve:secretsmanager:a:SecretString:b}}'",
         "'{{resolve:secretsmanager:a:SecretString:b}}' is looked up when the stack is deployed"),
        ("!Sub 'a$${Open}'", "it has a dollar sign before something unknown, which a variable cannot follow"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_a_blank_with_the_reason(text: str, reason: str) -> None:
    assert why(resolve(text)) == reason


def test_what_was_given_is_the_value_of_a_parameter() -> None:
    assert resolve("!Sub '${Open}${Fetched}${Secret}'", Open="a", Fetched="b", Secret="c") == "abc"
    assert resolve("!Ref Names", Names="z") == ["z"]
    assert resolve("!If [Maybe, a, b]", Open="x") == "a"
    template = Template(read(TEMPLATE), {"Opn": "1", **PLACE}, attribute)
    assert template.unknown_parameters() == ["Opn"]


def test_the_unknown_stands_in_the_middle_of_what_is_known() -> None:
    """An ARN without its region keeps what is known, and can be taken apart: a region holds no colon."""
    template = Template(read(TEMPLATE), {"AWS::AccountId": "123456789012", "AWS::Partition": "aws"}, attribute)
    arn = template.resolve(read("!GetAtt Queue.Arn"))
    assert isinstance(arn, Text)
    assert [part if isinstance(part, str) else part.variable for part in arn.parts] == [
        "arn:aws:sqs:",
        "AWS_REGION",
        ":123456789012:jobs",
    ]
    assert arn.sample == "arn:aws:sqs:us-east-1:123456789012:jobs"
    assert template.resolve(read("!Select [5, !Split [':', !GetAtt Queue.Arn]]")) == "jobs"


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_the_partition_follows_from_the_region(region: str) -> None:
    partition = {"cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov"}[region]
    assert resolve("!Ref AWS::Partition", **{"AWS::Region": region}) == partition
    assert resolve("!Ref AWS::URLSuffix", **{"AWS::Region": "cn-north-1"}) == "amazonaws.com.cn"


@pytest.mark.parametrize(
    "text", ["!Ref [a]", "!Sub {a: 1}", "!Join [a]", "!Split ['', a]", "!If [a]", "!Select 1"]
)
def test_malformed_functions_are_blanks_too(text: str) -> None:
    assert "cannot be resolved here" in why(resolve(text))


def test_a_template_of_odd_types_is_read_without_an_error() -> None:
    odd = yaml.safe_load(
        "{Parameters: [1], Mappings: x, Conditions: 5, Resources: {Q: 1, R: {Type: [a]}}, Globals: 1}"
    )
    template = Template(odd, {}, attribute)
    assert why(template.resolve({"Ref": "Q"})) == "Ref Q names nothing in this template"
    assert "known only once" in why(template.resolve({"Ref": "R"}))
