"""The response table for streams, row by row (PBR-3), and the state of a tumbling window (TMB-5)."""

import json

import pytest

from poller.core.payload import serialise
from poller.core.response import (
    Failure,
    PartialProgress,
    StreamOutcome,
    Success,
    interpret_stream_response,
    interpret_window_response,
)

SENT = ("98", "99", "100", "101")


def read(payload: bytes | str, partial: bool = True) -> StreamOutcome:
    raw = payload.encode() if isinstance(payload, str) else payload
    return interpret_stream_response(raw, SENT, partial)


def failures(*entries: object) -> str:
    return json.dumps({"batchItemFailures": list(entries)})


def failed(*identifiers: object) -> str:
    return failures(*({"itemIdentifier": identifier} for identifier in identifiers))


@pytest.mark.parametrize(
    "payload",
    [
        "null",
        "",
        "{}",
        '{"batchItemFailures":[]}',
        '{"batchItemFailures": []}',
        ' { "batchItemFailures" : [ ] } ',
        '{"batchItemFailures": null}',
        '""',
        "[]",
        '{"statusCode": 200}',
        '{"state": {"a": 1}}',
        '{"state": {"a": 1}, "batchItemFailures": []}',
        '{"BatchItemFailures": [{"itemIdentifier": "99"}]}',
        " \r\n\t",
    ],
)
def test_complete_success(payload: str) -> None:
    """PBR-3, PBR-4, OPEN-9: the rows of complete success for a stream."""
    assert read(payload) == Success()


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ('"done"', "a string"),
        ("1", "a number"),
        ("0", "a number"),
        ("true", "a boolean"),
        ("false", "a boolean"),
        ("[1]", "an array"),
        ('[{"itemIdentifier": "99"}]', "an array"),
        ("done", "not JSON"),
        ('{"batchItemFailures": []', "not JSON"),
        (b"\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"batchItemFailures": "99"}', "batchItemFailures is a string"),
        ('{"batchItemFailures": {}}', "batchItemFailures is an object"),
        ('{"batchItemFailures": 99}', "batchItemFailures is a number"),
        ('{"batchItemFailures": false}', "batchItemFailures is a boolean"),
        (failed(""), "empty itemIdentifier"),
        (failed(None), "null as its itemIdentifier"),
        (failed(99), "a number as its itemIdentifier"),
        (failures({"foo": "99"}), "no itemIdentifier"),
        (failures({"foo": None}), "no itemIdentifier"),
        (failures({"ItemIdentifier": "99"}), "no itemIdentifier"),
        (failures({}), "entry 1 of batchItemFailures has no itemIdentifier"),
        (failures({}, {}), "entry 1 of batchItemFailures has no itemIdentifier"),
        (failed("97"), "was not in the batch"),
        (failed("099"), "was not in the batch"),
        (failed("99 "), "was not in the batch"),
        (failed("99", "97"), "entry 2 of batchItemFailures"),
        (failed("99", ""), "entry 2 of batchItemFailures"),
        (failed("99", None), "entry 2 of batchItemFailures"),
        (failures({"itemIdentifier": "99"}, {}), "entry 2 of batchItemFailures has no itemIdentifier"),
        (failures(None), "null instead of an object"),
        (failures("99"), "a string instead of an object"),
    ],
)
def test_complete_failure(payload: bytes | str, says: str) -> None:
    """PBR-3, OPEN-7, OPEN-8, OPEN-9: the rows of complete failure for a stream, `[{}]` among them."""
    outcome = read(payload)
    assert isinstance(outcome, Failure)
    assert says in outcome.reason


@pytest.mark.parametrize(
    ("payload", "lowest"),
    [
        (failed("99"), 1),
        (failed("98"), 0),
        (failed("101"), 3),
        (failed("100", "99"), 1),
        (failed("101", "99", "100"), 1),
        (failed("99", "99"), 1),
        (failed("98", "99", "100", "101"), 0),
        (failures({"itemIdentifier": "100", "why": "tired"}), 2),
        ('{"state": {}, "batchItemFailures": [{"itemIdentifier": "100"}]}', 2),
    ],
)
def test_progress_up_to_the_lowest_listed(payload: str, lowest: int) -> None:
    """PBR-3, PBR-20, PBR-21, PBR-28: by integer value, not as text ("100" < "99") nor by place in the list."""
    assert read(payload) == PartialProgress(lowest)


def test_recipe_of_integer_order() -> None:
    """PBR-20, PBR-21: numbers that end in …100 and …99 are in that order as text, and are not as integers."""
    stem = "495903382714902566085596925383615710959215759891365"
    sent = [f"{stem}{n}" for n in range(90, 110)]
    assert sorted(sent) != sorted(sent, key=int) == sent
    assert interpret_stream_response(failed(sent[10], sent[9]).encode(), sent, True) == PartialProgress(9)


def test_records_that_share_a_sequence_number() -> None:
    """PBR-20, KIN-6: the first of them is meant, so that none that failed is passed over."""
    assert interpret_stream_response(failed("2").encode(), ["1", "2", "2", "3"], True) == PartialProgress(1)


def test_an_order_that_no_shard_has() -> None:
    """PBR-20: were a batch out of order, what is listed would still not count as done."""
    assert interpret_stream_response(failed("5", "3").encode(), ["5", "3", "7"], True) == PartialProgress(0)


def test_a_record_that_was_never_sent() -> None:
    """PBR-3, OPEN-7: also where nothing was sent at all."""
    assert isinstance(interpret_stream_response(failed("99").encode(), (), True), Failure)


@pytest.mark.parametrize("payload", [failed("99"), failed(""), "not JSON", "1", "", b"\xff"])
def test_payload_is_ignored_when_partial_responses_are_off(payload: bytes | str) -> None:
    """PBR-1: without ReportBatchItemFailures nothing that the function returns is a failure."""
    assert read(payload, partial=False) == Success()


def test_the_reason_quotes_nothing_of_the_response() -> None:
    """PBR-4: what stands there instead of a sequence number may be a record."""
    outcome = read(failed("secret"))
    assert isinstance(outcome, Failure)
    assert "secret" not in outcome.reason


# --- tumbling windows ---


@pytest.mark.parametrize(
    "state", [{}, {"1": 282}, {"a": {"b": [None, True, 1.5, "ä"]}}, {"odd": "\ud800"}, {"": ""}]
)
def test_the_state_that_was_returned(state: dict[str, object]) -> None:
    """TMB-5, PBR-28: it is what stands in the response, whatever stands beside it."""
    for response in ({"state": state}, {"batchItemFailures": [{"itemIdentifier": "1"}], "state": state}):
        assert interpret_window_response(json.dumps(response).encode()) == state


def test_numbers_of_the_state_stay_exact() -> None:
    """TMB-3: a sum of any size comes back as it was returned, digit for digit."""
    state = {"big": 2**200 + 1, "small": -(2**63) - 1, "half": 0.1 + 0.2, "whole": 1.0}
    told = interpret_window_response(json.dumps({"state": state}).encode())
    assert told == state
    assert isinstance(told, dict)
    assert json.loads(serialise(told)) == state
    assert serialise(told) == serialise(state)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ("null", "is null"),
        ("{}", "has no state"),
        ("[]", "is an array"),
        ('""', "is a string"),
        ("1", "is a number"),
        ('{"batchItemFailures": []}', "has no state"),
        ('{"State": {}}', "has no state"),
        ('{"state": null}', "has null as its state"),
        ('{"state": []}', "has an array as its state"),
        ('{"state": "{}"}', "has a string as its state"),
        ('{"state": 1}', "has a number as its state"),
        ("", "not JSON"),
        ("done", "not JSON"),
        (b'{"state": {"x": "\xff"}}', "not JSON"),
        ('{"state": {"x": NaN}}', "not JSON"),
        ('{"state": {"x": Infinity}}', "not JSON"),
        ('{"state": {"x": 1e999}}', "not JSON"),
        ('{"state": {"x": ' + "9" * 5_000 + "}}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"state":' * 300 + "1" + "}" * 300, "nested too deeply"),
    ],
)
def test_a_response_without_a_state(payload: bytes | str, says: str) -> None:
    """TMB-5: without an object as state, or with one that could not be carried on unchanged, it is a failure."""
    told = interpret_window_response(payload.encode() if isinstance(payload, str) else payload)
    assert isinstance(told, Failure)
    assert says in told.reason


def test_a_byte_order_mark_is_no_trouble() -> None:
    """TMB-5: as with the list of failures."""
    assert interpret_window_response(b'\xef\xbb\xbf{"state": {"a": 1}}') == {"a": 1}
