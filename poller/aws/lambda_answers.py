"""What an answer to Invoke comes to: Lambda's own answers, and those of the Runtime Interface Emulator.

Here answers are judged, none is asked for: lambda_handler.py and lambda_emulator.py do that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from poller.aws import errors
from poller.core.model import FunctionError, InvocationResult, NotInvoked, Succeeded, Throttled
from poller.errors import SourceError

MOST_BYTES: Final = 6 * 1024 * 1024
"""Bytes that a response may have (INV-5)."""

_CHUNK: Final = 256 * 1024
_MOST_TEXT: Final = 1024  # characters of a function's own words that go on into logs and status
_TIMED_OUT: Final = re.compile(r"Task timed out after [\d.]+ seconds")
# This very event will never be taken, however often it is sent (ERR-8).
_NEVER_TAKEN: Final = frozenset(
    {"InvalidRequestContentException", "RequestTooLargeException", "SerializedRequestEntityTooLargeException"}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names in lower case. `payload` is None when it was longer than MOST_BYTES."""

    status: int
    headers: Mapping[str, str]
    payload: bytes | None


class Body(Protocol):
    """A response's body, of the SDK or of aiohttp."""

    async def read(self, amount: int) -> bytes:
        """The next bytes, up to so many; none at the end."""
        ...


async def read_up_to(body: Body, most: int) -> bytes | None:
    """The whole body; None, with the rest unread, when it is longer than `most` bytes."""
    read: list[bytes] = []
    while chunk := await body.read(_CHUNK):
        read.append(chunk)
        most -= len(chunk)
        if most < 0:
            return None
    return b"".join(read)


def from_lambda(answer: Answer) -> InvocationResult:
    """A success of the API: what the function came to (INV-2, INV-5, INV-8)."""
    if answer.status != 200 or _is_page(answer):
        return NotInvoked(
            f"what answered with HTTP {answer.status} is not Lambda; check the endpoint URL and proxies"
        )
    version = answer.headers.get("x-amz-executed-version") or "$LATEST"
    told = answer.headers.get("x-amz-function-error")
    if told:
        return _function_error(answer.payload, told, version)
    if answer.payload is None:
        return _too_large(version)
    return Succeeded(answer.payload, version)


def from_emulator(answer: Answer) -> InvocationResult:
    """The emulator's statuses and headers tell little (its issues 20, 21 and 86 on GitHub): what a function raised
    comes with status 200 and no header, a timeout as bare text, a process that ended as nothing at all.

    So a payload in the form in which runtimes report errors is one, and so is an empty one: every runtime writes
    at least `null` for a function that returned. Better a batch runs again than that a failed one counts as done.
    """
    status, payload = answer.status, answer.payload
    if status == 400 and not payload:
        return Throttled("the emulator is busy: it runs one invocation at a time (set Handler.Concurrency to 1)")
    if status not in {200, 502} or _is_page(answer):  # 502: the function did not start, or its process ended
        said = errors.clean((payload or b"")[:1000].decode("utf-8", "replace"))
        return NotInvoked(
            f"it answered with HTTP {status}{f' ({said})' if said else ''}; Handler.EndpointUrl must be the"
            " address of a Runtime Interface Emulator"
        )
    told = answer.headers.get("x-amz-function-error") or answer.headers.get("lambda-runtime-function-error-type")
    if told or (payload is not None and _is_error(payload)):
        return _function_error(payload, told or "Unhandled", "$LATEST")
    if status == 502 or payload == b"":
        return FunctionError("Runtime.ExitError", "the emulator told no response: the function's process ended")
    if payload is None:
        return _too_large("$LATEST")
    return Succeeded(payload)


def from_refusal(name: str, error: SourceError, response: Mapping[str, Any]) -> InvocationResult:
    """A call that Lambda refused, or that did not reach it (INV-4, INV-6); `response` is the SDK's, if one came.

    The function has not seen the event, so nothing is spent. But what no retry can help must come to its end: an
    event that is too large for the API, or no JSON to it, fails like an attempt (ERR-8).
    """
    told = response.get("ResponseMetadata", {})
    status = told.get("HTTPStatusCode", 0)
    reason = f" ({response['Reason']})" if response.get("Reason") else ""
    said = f"{name} was not invoked{reason}: {error}"
    if error.code in _NEVER_TAKEN or status == 413:
        return FunctionError(error.code, said)
    if status == 429:
        return Throttled(said, _seconds(told.get("HTTPHeaders", {}).get("retry-after")))
    return NotInvoked(said)


def _function_error(payload: bytes | None, told: str, version: str) -> FunctionError:
    """`told` is what the header says, Handled or Unhandled."""
    fields, text = _read(payload or b"")
    kind, message = fields.get("errorType"), fields.get("errorMessage")
    kind = _short(kind) if isinstance(kind, str) and kind else ""
    message = _short(message if isinstance(message, str) else text)
    timed_out = kind in {"", "Sandbox.Timedout"} and _TIMED_OUT.search(message) is not None
    if not kind:
        kind = "Sandbox.Timedout" if timed_out else told
    return FunctionError(kind, message, told == "Handled", timed_out, version)


def _is_error(payload: bytes) -> bool:
    """Whether it has the form in which runtimes report errors: an object with a type or a message, or the bare
    text of a timeout.
    """
    if _TIMED_OUT.fullmatch(payload.decode("utf-8", "replace").strip('" \n')):
        return True
    fields, _ = _read(payload)
    return any(isinstance(fields.get(name), str) and fields[name] for name in ("errorType", "errorMessage"))


def _read(payload: bytes) -> tuple[dict[str, Any], str]:
    """The fields of an object, or the text of what is none."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        value = payload.decode("utf-8", "replace")
    if isinstance(value, dict):
        return value, ""
    return {}, value if isinstance(value, str) else ""


def _is_page(answer: Answer) -> bool:
    """Proxies, captive portals and wrong ports have pages with status 200: that is no success of a function."""
    return answer.headers.get("content-type", "").lower().startswith("text/html")


def _too_large(version: str) -> FunctionError:
    text = f"the response has more than {MOST_BYTES} bytes"
    return FunctionError("Function.ResponseSizeTooLarge", text, executed_version=version)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; None for a date, and for whatever else it says."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if seconds >= 0 else None


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"
