"""What a Create and an Update make of their fields, and what has to be done for it."""

from typing import Any

import pytest

from poller.core.api_answers import Refused
from poller.core.api_changes import (
    Draft,
    Plan,
    Step,
    drafted,
    first_state,
    own_name,
    plan,
    redrafted,
    restored,
    retagged,
)
from poller.core.model import MappingState

UUID = "11111111-2222-4333-8444-555555555555"
QUEUE = {"EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders", "FunctionName": "work"}
STREAM = {
    "EventSourceArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
    "FunctionName": "work",
    "StartingPosition": "LATEST",
}
QUEUE_DESTINATION = {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:failed"}}
FILTERS = {"Filters": [{"Pattern": '{"body": ["x"]}'}]}
S = MappingState


def made(source: dict[str, Any], **more: Any) -> Draft:
    draft = drafted({**source, **more}, UUID)
    assert isinstance(draft, Draft), draft
    return draft


def updated(old: Draft, **fields: Any) -> Draft:
    draft = redrafted(old, fields)
    assert isinstance(draft, Draft), draft
    return draft


def refusal(answer: object) -> tuple[str, int, str]:
    assert isinstance(answer, Refused), answer
    return answer.code, answer.status, answer.message


def test_a_draft_makes_the_same_mapping_again() -> None:
    """API-2: what is kept is enough, and has the name that was chosen for it."""
    draft = drafted(QUEUE, UUID, taken={"orders"})
    assert isinstance(draft, Draft)
    assert (draft.mapping.uuid, draft.mapping.name) == (UUID, "orders-2")
    assert restored(draft.fields, UUID) == draft


def test_a_name_that_is_too_long_to_be_given_is_shortened() -> None:
    """A table's may have 255 characters, a mapping's 128."""
    arn = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{'t' * 255}/stream/2026-01-31T12:00:00.000"
    draft = made(STREAM, EventSourceArn=arn)
    assert draft.mapping.name == "t" * 119 + "-11111111"
    longest = made(STREAM, EventSourceArn=arn.replace("t" * 255, "t" * 128))
    assert longest.mapping.name == "t" * 128
    assert updated(draft, BatchSize=7).mapping.name == draft.mapping.name


@pytest.mark.parametrize("body", [None, [], "x", 7, True])
def test_what_is_no_object_is_refused(body: object) -> None:
    assert refusal(drafted(body, UUID))[:2] == ("SerializationException", 400)
    assert refusal(redrafted(made(QUEUE), body))[:2] == ("SerializationException", 400)


@pytest.mark.parametrize("value", ["\ud800", float("nan"), float("inf"), {"x": [{"\udfff": 1}]}, {1, 2}], ids=repr)
def test_what_cannot_be_kept_as_json_is_refused(value: object) -> None:
    """Before anything is kept or told that would fail over it later."""
    assert refusal(drafted({**QUEUE, "Tags": {"k": value}}, UUID))[:2] == ("SerializationException", 400)
    limits = {"TimeoutInSeconds": value}
    assert refusal(drafted({**QUEUE, "Handler": limits}, UUID))[0] == "SerializationException"


def test_what_is_nested_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert refusal(drafted({**QUEUE, "FilterCriteria": deep}, UUID))[0] == "SerializationException"
    assert refusal(redrafted(made(QUEUE), {"FilterCriteria": deep}))[0] == "SerializationException"
    assert refusal(retagged(made(QUEUE), {"k": deep}))[0] == "SerializationException"


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({}, "ValidationException", "Value null at 'functionName' failed"),
        ({"FunctionName": "work"}, "InvalidParameterValueException", "Unrecognized event source."),
        ({**QUEUE, "BatchSize": 0}, "ValidationException", "Value '0' at 'batchSize' failed to satisfy"),
        ({**QUEUE, "BatchSize": "9"}, "SerializationException", "BatchSize: '9' is not a whole number; allowed:"),
        (
            {**QUEUE, "StartingPosition": "LATEST"},
            "InvalidParameterValueException",
            "StartingPosition is not valid for SQS event sources.",
        ),
        (
            {**STREAM, "StartingPosition": None},
            "ValidationException",
            "Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
        ),
        ({**QUEUE, "Handler": {"X": 1}}, "ValidationException", "Handler.X: 'X' is not a field of this version"),
        (
            {**STREAM, "DestinationConfig": {"OnSuccess": {}}, "FilterCriteria": {"Filters": [{"Pattern": "x"}]}},
            "InvalidParameterValueException",
            "Invalid filter pattern definition.",
        ),
    ],
)
def test_a_wrong_field_is_told_in_the_words_of_the_service(fields: Any, code: str, message: str) -> None:
    """CFG-33, CFG-36, CFG-37, CFG-45: one answer with code and text; ours with the field's name."""
    told = refusal(drafted(fields, UUID))
    assert told[:2] == (code, 400)
    assert message in told[2]


def test_null_leaves_a_field_alone() -> None:
    """CFG-55."""
    old = made(STREAM, BatchSize=7, FilterCriteria={"Filters": [{"Pattern": '{"partitionKey": ["x"]}'}]})
    names = ("BatchSize", "FilterCriteria", "FunctionName", "StartingPosition", "Enabled", "DestinationConfig")
    assert updated(old, **dict.fromkeys(names)) == old


@pytest.mark.parametrize(
    ("source", "name", "value", "empties"),
    [
        (QUEUE, "FilterCriteria", FILTERS, [{}, {"Filters": []}, {"Filters": None}]),
        (QUEUE, "ScalingConfig", {"MaximumConcurrency": 2}, [{}, {"MaximumConcurrency": None}]),
        (QUEUE, "ProvisionedPollerConfig", {"MinimumPollers": 3}, [{}]),
        (QUEUE, "FunctionResponseTypes", ["ReportBatchItemFailures"], [[]]),
        (QUEUE, "KMSKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/k", [""]),
        (QUEUE, "MetricsConfig", {"Metrics": ["EventCount"]}, [{}, {"Metrics": []}]),
        (
            STREAM,
            "DestinationConfig",
            QUEUE_DESTINATION,
            [{}, {"OnFailure": {}}, {"OnFailure": {"Destination": ""}}],
        ),
    ],
)
def test_an_empty_value_clears(source: Any, name: str, value: Any, empties: list[Any]) -> None:
    """CFG-9, CFG-46, CFG-55."""
    without, having = made(source), made(source, **{name: value})
    assert having.mapping != without.mapping
    for empty in empties:
        assert updated(having, **{name: empty}) == without


@pytest.mark.parametrize(
    "empty",
    [
        {"OnSuccess": {}},
        {"OnSuccess": {"Destination": ""}},
        {"OnFailur": {}},
        {"OnFailure": {"Destinatio": ""}},
        {"OnFailure": {}, "OnSuccess": {}},
        "",
        [],
    ],
)
def test_what_a_create_refuses_clears_nothing(empty: Any) -> None:
    """CFG-10, CFG-39, CFG-55: a misspelt member would cost the mapping its failure destination."""
    having = made(STREAM, DestinationConfig=QUEUE_DESTINATION)
    assert refusal(redrafted(having, {"DestinationConfig": empty})) == refusal(
        drafted({**STREAM, "DestinationConfig": empty}, UUID)
    )


def test_a_cleared_limit_makes_room_for_what_it_excluded() -> None:
    """CFG-47: at once, in one update."""
    old = made(QUEUE, ScalingConfig={"MaximumConcurrency": 5})
    pollers = {"MinimumPollers": 2}
    assert refusal(redrafted(old, {"ProvisionedPollerConfig": pollers}))[0] == "InvalidParameterValueException"
    assert updated(old, ProvisionedPollerConfig=pollers, ScalingConfig={}).mapping.provisioned is not None


def test_what_is_required_is_not_cleared() -> None:
    """CFG-2."""
    assert refusal(redrafted(made(QUEUE), {"FunctionName": ""}))[0] != ""


@pytest.mark.parametrize(
    ("name", "other"),
    [("EventSourceArn", QUEUE["EventSourceArn"]), ("StartingPosition", "TRIM_HORIZON"), ("Tags", {"a": "c"})],
)
def test_what_an_update_cannot_change_may_only_be_repeated(name: str, other: Any) -> None:
    """CFG-1, CFG-7, CFG-24."""
    old = made(STREAM, Tags={"a": "b"})
    assert updated(old, **{name: old.fields[name]}) == old
    code, _, message = refusal(redrafted(old, {name: other}))
    advice = "use TagResource" if name == "Tags" else "delete the mapping and create another"
    assert (code, message) == ("ValidationException", f"{name} cannot be changed by an update: {advice}.")


def test_what_stands_behind_other_fields_can_be_changed() -> None:
    """CFG-55: by its name, wherever it comes, and whatever is left alone before it."""
    old = made(STREAM, Tags={"a": "b"})
    assert updated(old, TumblingWindowInSeconds=30).mapping != old.mapping
    assert updated(old, Enabled=None, BatchSize=7).mapping.batch_size == 7


def test_rules_across_fields_hold_for_what_an_update_leaves() -> None:
    """CFG-30: the field that is not in the update counts."""
    old = made(QUEUE, BatchSize=100, MaximumBatchingWindowInSeconds=1)
    assert "Maximum batch window" in refusal(redrafted(old, {"MaximumBatchingWindowInSeconds": 0}))[2]
    assert updated(old, MaximumBatchingWindowInSeconds=0, BatchSize=10).mapping.window == 0


def test_tags_come_and_go() -> None:
    """CFG-24: at most fifty, and nothing else of the mapping changes."""
    old = made(QUEUE, Tags={"a": "1"})
    more = retagged(old, {"b": "2", "a": "3"})
    assert isinstance(more, Draft)
    assert (more.mapping.tags, plan(old.mapping, more.mapping).step) == ((("a", "3"), ("b", "2")), Step.NOTHING)
    fewer = retagged(more, {}, ["a", "nobody's"])
    assert isinstance(fewer, Draft)
    assert dict(fewer.mapping.tags) == {"b": "2"}
    assert refusal(retagged(old, {str(n): "" for n in range(50)}))[0] == "ValidationException"
    assert refusal(retagged(old, {"b": 7}))[0] == "SerializationException"


@pytest.mark.parametrize("source", [QUEUE, STREAM], ids=["queue", "stream"])
@pytest.mark.parametrize(
    ("before", "update", "expected"),
    [
        ({}, {"BatchSize": 7}, Plan(Step.REPLACE, S.UPDATING)),
        ({}, {"FunctionName": "other"}, Plan(Step.REPLACE, S.UPDATING)),
        ({}, {}, Plan(Step.NOTHING, S.UPDATING)),
        ({}, {"KMSKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/k"}, Plan(Step.NOTHING, S.UPDATING)),
        ({}, {"Enabled": False}, Plan(Step.PAUSE, S.DISABLING)),
        ({"Enabled": False}, {"Enabled": True}, Plan(Step.RESUME, S.ENABLING)),
        ({}, {"Enabled": False, "BatchSize": 7}, Plan(Step.REPLACE, S.DISABLING)),
        ({"Enabled": False}, {"Enabled": True, "BatchSize": 7}, Plan(Step.REPLACE, S.ENABLING)),
    ],
)
def test_what_an_update_needs(source: Any, before: Any, update: Any, expected: Plan) -> None:
    """API-3, API-7: only what something runs by has it replaced."""
    old = made(source, **before)
    assert plan(old.mapping, updated(old, **update).mapping) == expected


def test_a_queue_that_is_off_stays_disabled_and_a_stream_is_updated() -> None:
    """API-3."""
    for source, state in ((QUEUE, S.DISABLED), (STREAM, S.UPDATING)):
        old = made(source, Enabled=False)
        assert plan(old.mapping, updated(old, BatchSize=7).mapping) == Plan(Step.REPLACE, state)
        assert first_state(old.mapping) is (S.DISABLED if source is QUEUE else S.CREATING)
        assert first_state(made(source).mapping) is S.CREATING


def test_a_name_of_its_own_is_one_that_can_be_given() -> None:
    assert own_name("n" * 128, UUID) == "n" * 119 + "-11111111"
    assert made(QUEUE, Name=own_name("orders", UUID)).mapping.name == "orders-11111111"
