"""What a function's response means for its batch: the one place that reads `batchItemFailures` (PBR), and the
state that a tumbling window's function returns (TMB-5).

What is then done about it is the business of settle.py and stream_settle.py.
"""

import json
import math
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn, TypeAlias

import orjson

from poller.core.fact import fact
from poller.core.model import JsonObject
from poller.core.wire_text import nested_too_deeply


@fact
class Success:
    """Every record of the batch is done."""


@fact
class PartialFailure:
    """These message ids (at least one, all of them of the batch) failed; the others are done (PBR-10)."""

    ids: frozenset[str]


@fact
class PartialProgress:
    """The records of the batch before this one are done, it and all after it are not (PBR-20).

    `lowest` is its place in the batch; 0 is no progress at all, which the settling rules treat as such (PBR-23).
    """

    lowest: int


@fact
class Failure:
    """No record of the batch is done. `reason` is a sentence for the log and quotes nothing of the response."""

    reason: str


Outcome: TypeAlias = Success | PartialFailure | Failure
StreamOutcome: TypeAlias = Success | PartialProgress | Failure

_SUCCESS = Success()
# What nearly every function returns; compared before anything is parsed.
_PLAINLY_SUCCESS = (b"null", b"", b'{"batchItemFailures":[]}', b'{"batchItemFailures": []}', b"{}")
_JSON_WHITESPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_NAMES = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def interpret_queue_response(payload: bytes, sent: Collection[str], partial: bool) -> Outcome:
    """Reads the response of a function that returned (PBR-3, the column of SQS).

    `payload` is the response as it came, meant to be JSON text; `sent` the message ids of the batch; `partial`
    whether ReportBatchItemFailures is on: without it the payload is not even looked at (PBR-1). Never raises.

    Entries without any key name nothing and are no failure (OPEN-8), but only while no entry has one: beside a
    real entry they show that the list was built wrongly, and a list that cannot be trusted deletes nothing.
    """
    if not partial or payload in _PLAINLY_SUCCESS:
        return _SUCCESS
    entries = _failure_entries(payload)
    if not isinstance(entries, list):
        return entries
    if all(entry == {} for entry in entries):
        return _SUCCESS
    known = sent if isinstance(sent, AbstractSet) else frozenset(sent)
    return _distrust(entries, known) or PartialFailure(frozenset(entry["itemIdentifier"] for entry in entries))


def interpret_stream_response(payload: bytes, sent: Sequence[str], partial: bool) -> StreamOutcome:
    """Reads the response of a function that returned (PBR-3, the column of streams). Never raises.

    As for a queue, but `sent` are the sequence numbers of the batch in its order, and an entry without any key is
    a failure like every other entry that names nothing (OPEN-7, OPEN-8).

    The lowest number listed is found by its place in the batch: a shard is read in ascending order, so that is
    the lowest by integer value (PBR-21), and were a source ever to break that order, nothing listed would be
    passed over. Where records share a number (KIN-6), the first of them is meant.
    """
    if not partial or payload in _PLAINLY_SUCCESS:
        return _SUCCESS
    entries = _failure_entries(payload)
    if not isinstance(entries, list):
        return entries
    if not entries:
        return _SUCCESS
    places = dict(zip(reversed(sent), range(len(sent) - 1, -1, -1), strict=True))
    return _distrust(entries, places.keys()) or PartialProgress(
        min(places[entry["itemIdentifier"]] for entry in entries)
    )


def interpret_window_response(payload: bytes) -> JsonObject | Failure:
    """The state that the function of a tumbling window returned, an object (TMB-5). Never raises.

    Nothing is lost on the way: long integers stay exact, and what could not be carried on (a number that is
    infinite as a float, nesting without end) is a failure instead of another value.
    """
    try:
        response = json.loads(_text(payload), parse_float=_finite, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Failure(
            "the function's response is not JSON that can be read, and a tumbling window needs its state, "
            "so the batch counts as failed"
        )
    if not isinstance(response, dict):
        found = f"is {_name(response)}"
    elif "state" not in response:
        found = "has no state"
    elif not isinstance(state := response["state"], dict):
        found = f"has {_name(state)} as its state"
    elif _unwritable(state):
        found = "has a state that is nested too deeply"
    else:
        return state
    return Failure(
        f"the function's response {found}; a tumbling window needs an object with an object as its state, "
        "so the batch counts as failed"
    )


def _unwritable(state: JsonObject) -> bool:
    try:
        orjson.dumps(state)
    except orjson.JSONEncodeError:
        return nested_too_deeply(state)  # all else that it refuses, serialise() writes
    return False


def _distrust(entries: Sequence[Any], known: AbstractSet[str]) -> Failure | None:
    """Why a list of failures cannot be believed: its first bad entry, or None."""
    for place, entry in enumerate(entries, start=1):
        if complaint := _complaint(entry, known):
            return Failure(f"entry {place} of batchItemFailures {complaint}, so the whole batch counts as failed")
    return None


def _complaint(entry: object, known: AbstractSet[str]) -> str | None:
    """Why an entry names no record that was sent, or None if it does; keys are case-sensitive (PBR-4)."""
    if not isinstance(entry, dict):
        return f"is {_name(entry)} instead of an object"
    if "itemIdentifier" not in entry:
        return "has no itemIdentifier"
    identifier = entry["itemIdentifier"]
    if not isinstance(identifier, str):
        return f"has {_name(identifier)} as its itemIdentifier instead of a string"
    if not identifier:
        return "has an empty itemIdentifier"
    if identifier not in known:
        return "has an itemIdentifier that was not in the batch"
    return None


def _failure_entries(payload: bytes) -> list[Any] | Success | Failure:
    """The rows of PBR-3 that are decided before any entry is looked at; the same for queues and streams."""
    if not payload.strip(_JSON_WHITESPACE):
        return _SUCCESS  # nothing but white space is as empty as nothing
    try:
        response = _parse(payload)
    except (ValueError, RecursionError):
        return Failure("the function's response is not JSON, so the whole batch counts as failed")
    if response is None or response in ("", []):
        return _SUCCESS
    if not isinstance(response, dict):
        return Failure(
            f"the function's response is {_name(response)} instead of an object with batchItemFailures, "
            "so the whole batch counts as failed"
        )
    entries = response.get("batchItemFailures")
    if entries is None:
        return _SUCCESS
    if not isinstance(entries, list):
        return Failure(
            f"batchItemFailures is {_name(entries)} instead of an array, so the whole batch counts as failed"
        )
    return entries


def _parse(payload: bytes) -> Any:
    """JSON text to values; raises ValueError or RecursionError.

    orjson refuses a few things that are JSON all the same (an escaped lone surrogate in some unrelated field, a
    byte order mark, numbers out of range); what it refuses gets a second, more patient reading. NaN and Infinity
    are not JSON to either.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        # As float, because int() has a limit of digits, and no number of the response matters.
        return json.loads(_text(payload), parse_int=float, parse_constant=_refuse)


def _text(payload: bytes) -> str:
    return payload.removeprefix(_BOM).decode("utf-8")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is out of range")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _name(value: object) -> str:
    return _NAMES.get(type(value), "null")
