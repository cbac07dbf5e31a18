"""Responses of functions that are not what they should be: each is a success or a failure by the table of PBR-3,
in bounded time and memory, and no failure quotes what it was given.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.core.response import (
    Failure,
    PartialFailure,
    PartialProgress,
    Success,
    interpret_queue_response,
    interpret_stream_response,
    interpret_window_response,
)
from poller.handlers.callables import RESPONSE_LIMIT
from tests.property.hostile import ODD, as_sent, costing_at_most, deep, odd

SENT = [str(number) for number in range(10_000)]
OTHERS = [str(number) for number in range(10_000, 20_000)]


def listing(*identifiers: Any) -> bytes:
    return as_sent({"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]})


def filled(start: bytes, piece: bytes, end: bytes) -> bytes:
    """As many pieces as a tenth of a response has room for: up to 300,000 entries."""
    return start + piece * ((RESPONSE_LIMIT // 10 - len(start) - len(end)) // len(piece)) + end


@given(st.lists(odd | st.builds(lambda value: {"itemIdentifier": value}, odd), min_size=1, max_size=4))
def test_an_odd_entry_beside_good_ones_is_never_a_success(entries: list[Any]) -> None:
    """PBR-3: none of the values is the id of a record, so nothing of the batch may be confirmed."""
    good = [{"itemIdentifier": "7"}]
    for listed in (entries + good, good + entries, good + entries + good):
        payload = as_sent({"batchItemFailures": listed})
        for outcome in (
            interpret_queue_response(payload, SENT, partial=True),
            interpret_stream_response(payload, SENT, partial=True),
        ):
            assert isinstance(outcome, Failure)
            assert outcome.reason.isascii()
            assert len(outcome.reason) < 300


def test_every_odd_value_in_every_place() -> None:
    """PBR-3, TMB-5: as the response, as the list, and as the state of a window."""
    for value in ODD:
        whole, entries = as_sent(value), as_sent({"batchItemFailures": value})
        for payload in (whole, entries):
            queue = interpret_queue_response(payload, SENT, partial=True)
            stream = interpret_stream_response(payload, SENT, partial=True)
            assert isinstance(queue, Success | Failure)
            assert isinstance(stream, Success | Failure)
        empty = value is None or value == []
        lists = [value == [{}], isinstance(interpret_queue_response(entries, SENT, True), Success)]
        assert lists in ([False, empty], [True, True])
        state = interpret_window_response(as_sent({"state": value}))
        assert isinstance(state, dict | Failure)
        assert isinstance(state, Failure) or isinstance(value, dict)
        assert isinstance(interpret_window_response(whole), dict | Failure)


LARGE = {
    "of nothing else": (filled(b"[", b"[],", b"0]"), Failure),
    "empty entries": (filled(b'{"batchItemFailures":[', b"{},", b"{}]}"), None),
    "nulls": (filled(b'{"batchItemFailures":[', b"null,", b"null]}"), Failure),
    "numbers": (filled(b'{"batchItemFailures":[', b"1,", b"1]}"), Failure),
    "the same id": (
        filled(b'{"batchItemFailures":[', b'{"itemIdentifier":"7"},', b'{"itemIdentifier":"7"}]}'),
        PartialFailure | PartialProgress,
    ),
    "the same id, and one of another batch": (
        filled(b'{"batchItemFailures":[', b'{"itemIdentifier":"7"},', b'{"itemIdentifier":"x"}]}'),
        Failure,
    ),
    "ids of another batch": (listing(*OTHERS * 10), Failure),
    "every id": (listing(*SENT, *reversed(SENT)), PartialFailure | PartialProgress),
    "no JSON at its end": (filled(b'{"batchItemFailures":[', b'{"itemIdentifier":"7"},', b"]}"), Failure),
    "one number": (filled(b"", b"9", b""), Failure),
    "one number beside the list": (filled(b'{"a":', b"9", b',"batchItemFailures":[]}'), Success),
    "many digits behind the point": (filled(b'{"a":0.', b"123456789", b',"batchItemFailures":[]}'), Success),
    "brackets": (filled(b"", b"[", b""), Failure),
    "escapes that are no text": (filled(b'{"a":"', rb"\ud800", b'","batchItemFailures":[]}'), Success),
    "white space": (filled(b"", b" ", b""), Success),
    "white space around it": (filled(b"", b"\n", b'{"batchItemFailures":null}'), Success),
    "the same key": (filled(b"{", b'"batchItemFailures":[1],', b'"batchItemFailures":[]}'), Success),
    "other keys": (b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}", Success),
}


@pytest.mark.parametrize(("payload", "kind"), LARGE.values(), ids=LARGE)
def test_long_responses_are_read_in_bounds(payload: bytes, kind: Any) -> None:
    """PBR-3, INV-5, OPEN-8: a long response of anything, against a batch of ten thousand."""
    assert len(payload) <= RESPONSE_LIMIT
    with costing_at_most(megabytes=60, seconds=20):
        queue = interpret_queue_response(payload, SENT, partial=True)
        stream = interpret_stream_response(payload, SENT, partial=True)
    if kind is None:  # the one row in which they differ
        assert (type(queue), type(stream)) == (Success, Failure)
    else:
        assert isinstance(queue, kind)
        assert isinstance(stream, kind)


@pytest.mark.parametrize(
    "state", [deep(150), deep(800), {"a": 10**1_000}, {"a": 10**4_000}, {"a": float("inf")}, {"\ud800": "\ud800"}]
)
def test_a_state_is_carried_on_exactly_or_not_at_all(state: Any) -> None:
    """TMB-5, TMB-6."""
    told = interpret_window_response(as_sent({"state": {"s": state}}))
    assert isinstance(told, Failure) or json.dumps(told) == json.dumps({"s": state})
