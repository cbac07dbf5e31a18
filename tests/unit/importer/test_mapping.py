"""What of a mapping is written, what is left out, and when the whole mapping is: an import must lose no record."""

from pathlib import Path
from typing import Any

import pytest

from poller.importer.mapping import Draft, Judge
from poller.importer.values import Text, Value, blank, joined
from poller.importer.write import written
from tests.unit.importer.meaning import ARN, mapping, meaning, template

QUEUE = ARN("sqs", "orders")
SEVEN = {"FilterCriteria": {"Filters": [{"Pattern": '{"body":["7"]}'}]}}
STREAM = ARN("kinesis", "stream/clicks")


def judged(**fields: Value) -> tuple[Draft | None, list[str]]:
    """A queue's mapping of these fields, as it would be written, and what is told."""
    judge = Judge()
    base: dict[str, Value] = {"EventSourceArn": QUEUE, "FunctionName": "f"}
    draft = judge.judge(Draft("m", 1, base | fields))
    return draft, [f"{note.where}: {note.sentence}" for note in judge.notes]


def stream(**fields: Value) -> tuple[Draft | None, list[str]]:
    base: dict[str, Value] = {"EventSourceArn": STREAM, "StartingPosition": "LATEST"}
    return judged(**base | fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"BatchSize": 0}, "m.BatchSize: not taken: 1 validation error"),
        ({"BatchSize": 100}, "m.BatchSize: not taken: Maximum batch window in seconds must be greater"),
        ({"ParallelizationFactor": 2}, "m.ParallelizationFactor: not taken: Unsupported"),
        ({"LoggingConfig": {"SystemLogLevel": "INFO"}}, "m.LoggingConfig: not taken: Unsupported"),
        ({"ScalingConfig": {"MaximumConcurrency": 1}}, "m.ScalingConfig.MaximumConcurrency: not taken: 1 val"),
        ({"Colour": "red"}, "m.Colour: not taken: 'Colour' is not a field"),
        ({"ProvisionedPollerConfig": blank("nobody knows")}, "m.ProvisionedPollerConfig: not taken: nobody knows"),
        (
            {"Handler": {"Concurrency": 5}},
            "m.Handler: not taken: Handler is not a field of an event source mapping",
        ),
        ({"Poller": {"Heartbeat": True}}, "m.Poller: not taken: Poller is not a field of an event source mapping"),
        ({"MetricsConfig": {"Metrics": ["ErrorCount"]}}, "m.MetricsConfig.Metrics[0]: not taken: Unsupported"),
    ],
)
def test_a_field_that_is_refused_is_left_out_and_told(fields: dict[str, Value], told: str) -> None:
    draft, lines = judged(**fields)
    assert draft is not None
    assert not fields.keys() & draft.fields.keys()
    assert [line[: len(told)] for line in lines] == [told]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"FilterCriteria": {"Filters": [{"Pattern": "no JSON"}]}}, "FilterCriteria"),
        ({"FilterCriteria": {"Filter": []}}, "FilterCriteria"),
        ({"FunctionResponseTypes": ["ReportBatchItemFailure"]}, "FunctionResponseTypes"),
        ({"DestinationConfig": {"OnFailure": {"Destination": f"{QUEUE}.fifo"}}}, "DestinationConfig"),
        ({"StartingPosition": "SOMEWHERE"}, "StartingPosition"),
        ({"StartingPosition": None}, "StartingPosition"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp"),
        ({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "soon"}, "StartingPositionTimestamp"),
        ({"EventSourceArn": "arn:aws:mq:eu-west-1:123456789012:broker:b:1"}, "EventSourceArn"),
        ({"FunctionName": None}, "FunctionName"),
        ({"Fn::Transform": {"Name": "AWS::Include"}}, "Fn::Transform"),
    ],
)
def test_a_mapping_that_would_do_something_else_is_not_written(fields: dict[str, Value], field: str) -> None:
    """Without its filter it would hand over and delete what was not meant for it; without its destination a record
    that is given up would be gone (FLT-40, DST-30).
    """
    draft, lines = stream(**fields)
    assert draft is None
    assert field in lines[-1].partition(": ")[0]
    assert lines[-1].partition(": ")[2].startswith("the mapping is not written: ")


@pytest.mark.parametrize("name", ["exec:rm -r x", "python:os:abort", "process:a:b", "https://h/x", "exec"])
def test_a_template_cannot_make_this_machine_run_something(name: str) -> None:
    """A function called `exec` with an alias behind it would be a command line."""
    draft, lines = judged(FunctionName=joined([name, ":", blank("no")]) if name == "exec" else name)
    assert draft is None
    assert "is not the name of a Lambda function" in lines[0]


def test_on_success_alone_is_left_out() -> None:
    """CFG-10: AWS has nothing else to say about it either."""
    draft, lines = stream(
        DestinationConfig={"OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": QUEUE}}
    )
    assert draft is not None
    assert draft.fields["DestinationConfig"] == {"OnFailure": {"Destination": QUEUE}}
    assert len(lines) == 1
    assert lines[0].startswith("m.DestinationConfig.OnSuccess: not taken: Unsupported DestinationConfig parameter")


@pytest.mark.parametrize(
    ("fields", "filled"),
    [
        ({"BatchSize": blank("")}, {"BatchSize": 7}),
        ({"Enabled": blank("")}, {"Enabled": False}),
        ({"FilterCriteria": blank("")}, SEVEN),
        ({"FilterCriteria": {"Filters": blank("")}}, SEVEN),
        ({"FilterCriteria": {"Filters": [blank("")]}}, SEVEN),
        ({"ScalingConfig": blank("")}, {"ScalingConfig": {"MaximumConcurrency": 7}}),
        ({"FunctionResponseTypes": blank("")}, {"FunctionResponseTypes": ["ReportBatchItemFailures"]}),
        ({"BatchSize": 100, "MaximumBatchingWindowInSeconds": blank("")},
         {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 7}),
        ({"FunctionName": blank("")}, {"FunctionName": "7"}),
        ({"EventSourceArn": blank("")}, {"EventSourceArn": QUEUE}),
    ],
)  # fmt: skip
def test_a_blank_is_a_variable_where_its_text_would_stand(
    fields: dict[str, Value], filled: dict[str, Any], tmp_path: Path
) -> None:
    """A variable holds a text, a number or a flag; what it stands for in a list or map is put inside."""
    judge = Judge()
    base: dict[str, Value] = {"EventSourceArn": QUEUE, "FunctionName": "f"}
    draft = judge.judge(Draft("m", 1, base | fields))
    assert draft is not None
    [variable] = judge.variables
    values = {"Enabled": "false", "FilterCriteria": '{"body":["7"]}', "EventSourceArn": QUEUE}
    values["FunctionResponseTypes"] = "ReportBatchItemFailures"
    value = next((values[name] for name in values if name in fields), "7")
    assert meaning(written("t", [draft], judge.variables), **{variable: value}) == [
        mapping(**{"Name": "m", "EventSourceArn": QUEUE, "FunctionName": "f", **filled})
    ]
    assert [note.complete for note in judge.notes] == [False]


def test_variables_mean_one_thing_each_and_nothing_else() -> None:
    """One that a shell or AWS's tools give a meaning would be filled in by chance."""
    judge = Judge()
    fields: dict[str, Value] = {
        "EventSourceArn": joined(["arn:aws:sqs:", blank("r", "AWS_REGION"), ":", blank("a", "AwsProfile"), ":q"]),
        "FunctionName": joined([blank("x", "Path"), blank("y", "OrdersQueueArn"), blank("z", "OrdersQueue.Arn")]),
        "StartingPosition": joined([blank("same"), blank("same"), blank("o", "1é")]),
    }
    draft = judge.judge(Draft("odd name", 1, fields | {"StartingPosition": blank("same")}))
    assert draft is not None
    assert list(judge.variables.items()) == [
        ("AWS_REGION", "r"),
        ("TEMPLATE_AWS_PROFILE", "a"),
        ("TEMPLATE_PATH", "x"),
        ("ORDERS_QUEUE_ARN", "y"),
        ("ORDERS_QUEUE_ARN_2", "z"),
        ("ODD_NAME_STARTING_POSITION", "same"),
    ]


def test_two_blanks_of_one_reason_are_two_variables(tmp_path: Path) -> None:
    """One condition decides about both, and each has values of its own."""
    conditional = "!Join ['-', [!If [C, a, b], !If [C, x, y]]]"
    text = f"""
Parameters: {{P: {{Type: String}}}}
Conditions: {{C: !Equals [!Ref P, 1]}}
Resources:
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{EventSourceArn: "{QUEUE}", FunctionName: {conditional}}}
"""
    imported = template(tmp_path / "t.yaml", text)
    found = meaning(imported.text, M_FUNCTION_NAME="a", M_FUNCTION_NAME_2="x")
    assert [one.function_name for one in found] == ["a-x"]


def test_a_consumer_is_read_as_its_stream() -> None:
    """KIN-5: enhanced fan-out is not part of this version."""
    consumer = f"{STREAM}/consumer/c:1"
    for arn in (
        consumer,
        joined(["arn:aws:kinesis:", blank("r", "AWS_REGION"), consumer.partition("eu-west-1")[2]]),
    ):
        draft, lines = stream(EventSourceArn=arn)
        assert draft is not None
        taken = draft.fields["EventSourceArn"]
        last = taken.parts[-1] if isinstance(taken, Text) else taken
        assert str(last).endswith(":stream/clicks")
        assert "enhanced fan-out" in lines[0]


def test_names_and_targets_are_there_once() -> None:
    """CFG-51: the second mapping of a source and a function is refused, so it is not written."""
    judge = Judge()
    fields: dict[str, Value] = {"EventSourceArn": QUEUE, "FunctionName": "f"}
    names = [judge.judge(Draft("a b", 1, fields | {"FunctionName": name})) for name in ("f", "g", "f")]
    assert [draft and draft.name for draft in names] == ["a-b", "a-b-2", None]
    assert [note.sentence for note in judge.notes] == [
        "not written: another mapping has this source and this function"
    ]


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("BatchSize", "5", 5),
        ("BatchSize", 5.0, 5),
        ("Enabled", "False", False),
        ("ScalingConfig", {"MaximumConcurrency": "9"}, {"MaximumConcurrency": 9}),
    ],
)
def test_texts_are_numbers_and_flags_as_cloudformation_takes_them(name: str, given: Value, taken: Value) -> None:
    draft, _ = judged(**{name: given})
    assert draft is not None
    assert draft.fields[name] == taken
    assert type(draft.fields[name]) is type(taken)


def test_a_timestamp_may_be_a_text_with_a_fraction() -> None:
    draft, _ = judged(
        EventSourceArn=STREAM, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp="1767225600.5"
    )
    assert draft is not None
    assert draft.fields["StartingPositionTimestamp"] == 1767225600.5
