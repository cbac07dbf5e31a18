"""The response table, row by row (PBR-1 to PBR-4), and everything odd that a function can return."""

import json

import pytest

from poller.core.response import Failure, Outcome, PartialFailure, Success, interpret_queue_response

SENT = ("a", "b", "c")


def read(payload: bytes | str, partial: bool = True) -> Outcome:
    raw = payload.encode() if isinstance(payload, str) else payload
    return interpret_queue_response(raw, SENT, partial)


def failures(*entries: object) -> str:
    return json.dumps({"batchItemFailures": list(entries)})


def failed(identifier: object) -> dict[str, object]:
    return {"itemIdentifier": identifier}


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
        '{"BatchItemFailures": [{"itemIdentifier": "a"}]}',
        " \r\n\t",
        " null\n",
        failures({}),
        failures({}, {}),
    ],
)
def test_complete_success(payload: str) -> None:
    """PBR-3, OPEN-8, OPEN-9: the rows of complete success for a queue, `[{}]` among them; keys as in PBR-4."""
    assert read(payload) == Success()


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ('"done"', "a string"),
        ("1", "a number"),
        ("0", "a number"),
        ("1.5", "a number"),
        ("true", "a boolean"),
        ("false", "a boolean"),
        ("[1]", "an array"),
        ('[{"itemIdentifier": "a"}]', "an array"),
        ("done", "not JSON"),
        ("{'batchItemFailures': []}", "not JSON"),
        ('{"batchItemFailures": []', "not JSON"),
        ('{"batchItemFailures": []} and more', "not JSON"),
        ('{"batchItemFailures": "a"}', "batchItemFailures is a string"),
        ('{"batchItemFailures": ""}', "batchItemFailures is a string"),
        ('{"batchItemFailures": {}}', "batchItemFailures is an object"),
        ('{"batchItemFailures": 0}', "batchItemFailures is a number"),
        ('{"batchItemFailures": false}', "batchItemFailures is a boolean"),
        (failures(failed("")), "empty itemIdentifier"),
        (failures(failed(None)), "null as its itemIdentifier"),
        (failures(failed(1)), "a number as its itemIdentifier"),
        (failures(failed(True)), "a boolean as its itemIdentifier"),
        (failures(failed(["a"])), "an array as its itemIdentifier"),
        (failures(failed({"a": "a"})), "an object as its itemIdentifier"),
        (failures({"foo": "a"}), "no itemIdentifier"),
        (failures({"foo": None}), "no itemIdentifier"),
        (failures({"ItemIdentifier": "a"}), "no itemIdentifier"),
        (failures(failed("unknown")), "not in the batch"),
        (failures(failed("A")), "not in the batch"),
        (failures(failed("a"), failed("unknown")), "entry 2 of batchItemFailures"),
        (failures(failed("a"), failed("")), "entry 2 of batchItemFailures"),
        (failures(None), "null instead of an object"),
        (failures("a"), "a string instead of an object"),
        (failures(["a"]), "an array instead of an object"),
        (failures({}, None), "no itemIdentifier"),
        (failures(failed("a"), {}), "entry 2 of batchItemFailures has no itemIdentifier"),
        (failures({}, failed("a")), "entry 1 of batchItemFailures has no itemIdentifier"),
    ],
)
def test_complete_failure(payload: str, says: str) -> None:
    """PBR-3, PBR-11, OPEN-9: the rows of complete failure, of which no record is done; the reason says which."""
    outcome = read(payload)
    assert isinstance(outcome, Failure)
    assert says in outcome.reason


@pytest.mark.parametrize(
    ("payload", "ids"),
    [
        (failures(failed("b")), {"b"}),
        (failures(failed("c"), failed("a")), {"a", "c"}),
        (failures(failed("b"), failed("b")), {"b"}),
        (failures(failed("a"), failed("b"), failed("c")), {"a", "b", "c"}),
        (failures({"itemIdentifier": "b", "why": "tired"}), {"b"}),
        ('{"statusCode": 200, "batchItemFailures": [{"itemIdentifier": "a"}]}', {"a"}),
    ],
)
def test_partial_failure(payload: str, ids: set[str]) -> None:
    """PBR-3, PBR-4: messageIds that were sent, each once, whatever else stands beside them."""
    assert read(payload) == PartialFailure(frozenset(ids))


@pytest.mark.parametrize("payload", [failures(failed("a")), failures(failed("")), "not JSON", "1", "", b"\xff"])
def test_payload_is_ignored_when_partial_responses_are_off(payload: bytes | str) -> None:
    """PBR-1: without ReportBatchItemFailures nothing that the function returns is a failure."""
    assert read(payload, partial=False) == Success()


def test_identifier_of_a_record_that_was_never_sent() -> None:
    """PBR-3: an id from some other batch fails this one, so a record filtered out cannot be reported."""
    assert isinstance(interpret_queue_response(failures(failed("a")).encode(), (), True), Failure)


@pytest.mark.parametrize("sent", [SENT, list(SENT), set(SENT), frozenset(SENT), dict.fromkeys(SENT).keys()])
def test_sent_may_be_any_collection(sent: tuple[str, ...]) -> None:
    """PBR-4: the ids are compared as text, in whatever the caller keeps them."""
    assert interpret_queue_response(failures(failed("b")).encode(), sent, True) == PartialFailure(frozenset("b"))


def test_the_last_of_duplicate_keys_counts() -> None:
    """PBR-3: one object with a key twice is read as every common JSON reader does."""
    twice = '{"batchItemFailures": [{"itemIdentifier": "x"}], "batchItemFailures": [{"itemIdentifier": "a"}]}'
    assert read(twice) == PartialFailure(frozenset("a"))
    assert read('{"batchItemFailures": [{"itemIdentifier": "x", "itemIdentifier": "b"}]}') == PartialFailure(
        frozenset("b")
    )


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", '{"x": NaN}', '{"batchItemFailures": [], "x": Infinity}']
)
def test_nan_and_infinity_are_not_json(text: str) -> None:
    """PBR-3, row "not JSON at all"."""
    outcome = read(text)
    assert isinstance(outcome, Failure)
    assert "not JSON" in outcome.reason


def test_invalid_utf8_is_not_json() -> None:
    """PBR-3, row "not JSON at all"."""
    assert isinstance(read(b'{"x": "\xff"}'), Failure)
    assert isinstance(read(b"\xed\xa0\x80"), Failure)
    assert isinstance(read('{"batchItemFailures": []}'.encode("utf-16")), Failure)


def test_what_orjson_refuses_but_json_allows_is_still_read() -> None:
    """PBR-3: trouble in a field that nobody asked for does not fail a batch."""
    rest = '"batchItemFailures": [{"itemIdentifier": "a"}]}'
    expected = PartialFailure(frozenset("a"))
    assert read('{"x": "\\ud800", ' + rest) == expected
    assert read('{"x": 1e999, ' + rest) == expected
    assert read('{"x": ' + "9" * 10_000 + ", " + rest) == expected
    assert read(b"\xef\xbb\xbf{" + rest.encode()) == expected


def test_lone_surrogate_as_identifier() -> None:
    """PBR-3: text, but the id of nothing; and the reason can be written to a log."""
    outcome = read('{"batchItemFailures": [{"itemIdentifier": "\\ud800"}]}')
    assert isinstance(outcome, Failure)
    assert outcome.reason.isascii()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"batchItemFailures":' * 100_000, "[" * 5_000 + "]" * 5_000])
def test_deep_nesting_is_a_failure_and_no_crash(text: str) -> None:
    """PBR-3: a response too deep to read is as good as none."""
    assert isinstance(read(text), Failure)


def test_the_reason_quotes_nothing_of_the_response() -> None:
    """PBR-4: the usual mistake is to return the receipt handle, which must not reach a log."""
    outcome = read(failures(failed("AQEBsecret")))
    assert isinstance(outcome, Failure)
    assert "AQEB" not in outcome.reason
