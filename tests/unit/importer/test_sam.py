"""Events of functions and resources of a template that are no mapping this poller can have: each is told."""

from pathlib import Path

import pytest

from tests.unit.importer.meaning import meaning, template

MAPPING = """\
Resources:
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: "arn:aws:sqs:eu-west-1:123456789012:q", FunctionName: f}
"""
FUNCTION = f"""{MAPPING}
  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: g
      Events: EVENTS
"""
QUEUE = "{Queue: 'arn:aws:sqs:eu-west-1:123456789012:q'}"
STREAM = "'arn:aws:kinesis:eu-west-1:123456789012:stream/s'"


@pytest.mark.parametrize(
    ("events", "told", "complete"),
    [
        ("{E: {Type: Api}}", "F.E: not taken: nothing is polled for events of type 'Api'.", True),
        ("{E: {Type: Schedule, Properties: {Schedule: rate(1 day)}}}",
         "F.E: not taken: nothing is polled for events of type 'Schedule'.", True),
        ("{E: {Type: MSK}}", "F.E: not taken: MSK is a source that this poller does not read.", False),
        ("{E: {Type: MQ}}", "F.E: not taken: MQ is a source that this poller does not read.", False),
        ("{E: {}}", "F.E: not taken: nothing is polled for events of type null.", False),
        ("{E: 5}", "F.E: not taken: nothing is polled for events of type null.", False),
        ("[a]", "F.Events: not taken: a list is not a map of events.", False),
        ("{E: {Type: SQS, Properties: !Include x}}",
         "F.E: not taken: its Properties come from elsewhere.", False),
        ("{E: {Type: SQS}}", "FE.EventSourceArn: the mapping is not written: Unrecognized event source.", False),
        (f"{{E: {{Type: SQS, Properties: {{Stream: {STREAM}}}}}}}",
         "FE.EventSourceArn: the mapping is not written: Unrecognized event source.", False),
    ],
)  # fmt: skip
def test_an_event_that_is_no_mapping_is_told(events: str, told: str, complete: bool, tmp_path: Path) -> None:
    """What Lambda is called for by others is nothing that an import could miss; what another poller reads is."""
    result = template(tmp_path / "t.yaml", FUNCTION.replace("EVENTS", events))
    assert [mapping.name for mapping in meaning(result.text)] == ["M"]
    assert told in result.lines[0]
    assert result.complete == complete


def test_the_alias_of_globals_is_that_of_each_function(tmp_path: Path) -> None:
    """SAM maps the alias that it publishes; a function that takes it back is mapped itself."""
    text = FUNCTION.replace("EVENTS", f"{{E: {{Type: SQS, Properties: {QUEUE}}}}}")
    globals_ = "Globals: {Function: {AutoPublishAlias: live, Timeout: 7}}\n"
    result = template(tmp_path / "t.yaml", globals_ + text)
    assert [(one.function_name, one.handler.timeout) for one in meaning(result.text)] == [("f", 30), ("g:live", 7)]
    own = text.replace("FunctionName: g", "FunctionName: g\n      AutoPublishAlias: blue\n      Timeout: 8")
    result = template(tmp_path / "t.yaml", globals_ + own)
    assert [(one.function_name, one.handler.timeout) for one in meaning(result.text)] == [("f", 30), ("g:blue", 8)]


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ("{S: {Type: 'AWS::CloudFormation::Stack'}}", "S: not taken: this is a stack of its own"),
        ("{S: {Type: 'AWS::Serverless::Application'}}", "S: not taken: this is a stack of its own"),
        ("{'Fn::ForEach::Q': [x, [a], {}]}", "Resources: not taken: 'Fn::ForEach::Q' makes resources"),
        ("{'Fn::Transform': {Name: 'AWS::Include'}}", "Resources: not taken: 'Fn::Transform' makes resources"),
        ("{X: {Type: 'AWS::Lambda::EventSourceMapping'}}", "X: not taken: its Properties are no map"),
        ("{X: {Type: 'AWS::Lambda::EventSourceMapping', Properties: {Fn::Transform: {Name: a}}}}",
         "X: not taken: its Properties are no map"),
        ("{X: {Type: 'AWS::Lambda::EventSourceMapping', Properties: {EventSourceArn: 'arn:aws:sqs'}}}",
         "X.EventSourceArn: the mapping is not written"),
    ],
)  # fmt: skip
def test_resources_that_hide_mappings_are_told(resource: str, told: str, tmp_path: Path) -> None:
    text = MAPPING + "\n".join(f"  {line}" for line in resource[1:-1].split("\n")) + "\n"
    result = template(tmp_path / "t.yaml", text)
    assert [mapping.name for mapping in meaning(result.text)] == ["M"]
    assert told in result.lines[0]
    assert not result.complete


def test_tags_are_a_map(tmp_path: Path) -> None:
    """CloudFormation has a list of them (CFG-24); one whose key is not known cannot be written."""
    tags = "FunctionName: f, Tags: [{Key: a, Value: 1}, {Key: b, Value: !Ref AWS::Region}]"
    result = template(tmp_path / "t.yaml", MAPPING.replace("FunctionName: f", tags.replace("1", "'1'")))
    assert "Tags:\n      a: '1'\n      b: eu-west-1\n" in result.text
    assert meaning(result.text)
    result = template(
        tmp_path / "t.yaml", MAPPING.replace("FunctionName: f", tags.replace("Key: a", "Key: !Ref X"))
    )
    assert result.lines[0].partition(": ")[2].startswith("M.Tags: not taken: ")
    assert meaning(result.text)
