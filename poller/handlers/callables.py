"""What the call of a Python callable comes to, in this process or in a worker of its own: its response as JSON,
what it raised as a function error. Nothing here knows an event loop or a log.
"""

import functools
import inspect
import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from poller.core.model import FunctionError, Succeeded
from poller.errors import ConfigurationError
from poller.frames import of_traceback, user_place
from poller.handlers.importing import import_target, told

Target: TypeAlias = Callable[[Any, Any], Any]

RESPONSE_LIMIT: Final = 6 * 1024 * 1024
"""Bytes that a response may have (INV-5)."""

MOST_TEXT: Final = 1024
"""Characters of an exception's text that go on into logs and status."""

REPORTS: Final = "reports_item_failures"
"""The attribute, True, of a handler whose answer must be read, as those of poller.each."""

_NOTHING_RETURNED: Final = Succeeded(b"null")
_NOTHING_FAILED: Final = Succeeded(b'{"batchItemFailures":[]}')


def find_function(target: str, form: str = "python") -> Target:
    """The callable that `package.module:attribute` names; `form` stands before it. Raises ConfigurationError."""
    return check_function(import_target(target, form), f"{form}:{target}")


def check_function(function: Any, named: str) -> Target:
    """The function, if it can be called. Raises ConfigurationError."""
    if not callable(function):
        raise ConfigurationError(
            f"{named} is {type(function).__name__!r}, which cannot be called: it must be a function of"
            " (event, context)."
        )
    return function  # type: ignore[no-any-return]  # what it takes shows when it is called


def check_reports(function: Target, mapping: str) -> None:
    """For a mapping without ReportBatchItemFailures: the records that this handler reports as failed would count
    as done there (SUR-5). Raises ConfigurationError.
    """
    if getattr(function, REPORTS, False) is True:
        raise ConfigurationError(
            f"Mapping {mapping!r}: its handler (poller.each) reports the records that failed, but nobody reads"
            " that, and they would count as done: add FunctionResponseTypes: [ReportBatchItemFailures]."
        )


def is_coroutine_callable(function: Any) -> bool:
    """Whether calling it does nothing yet but make a coroutine, so that it may be called in the event loop.

    Known of coroutine functions, objects whose `__call__` is one, and partials of both. A plain function that
    returns an awaitable cannot be told from one that blocks: it is called in a thread, and the result awaited
    in the loop.
    """
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted, not whether it is there
    )


def answer(result: Any) -> Succeeded | FunctionError:
    """The response as JSON text, or why it is none (INV-5); what most functions return costs nothing."""
    if result is None:
        return _NOTHING_RETURNED
    if type(result) is dict and len(result) == 1:
        failures = result.get("batchItemFailures")
        if type(failures) is list and not failures:
            return _NOTHING_FAILED
    try:
        # Lambda's runtime passes bytes through as they are
        payload = result if type(result) is bytes else _encode(result).encode()
    except BaseException as error:  # noqa: BLE001 - the user's own classes are asked while it is written
        text = f"the response cannot be written as JSON: {short(told(error))}"
        return FunctionError("Runtime.MarshalError", text)
    if len(payload) > RESPONSE_LIMIT:
        text = f"the response has {len(payload)} bytes, of at most {RESPONSE_LIMIT}"
        return FunctionError("Function.ResponseSizeTooLarge", text)
    return Succeeded(payload)


def raised(error: BaseException) -> tuple[FunctionError, str]:
    """What the function raised as its error (INV-2), and the user's own line that it came from."""
    place = user_place(of_traceback(error.__traceback__))
    kind = type.__dict__["__name__"].__get__(type(error))  # whatever a metaclass of the user's says it is
    return FunctionError(short(kind), short(told(error))), place


def short(text: str) -> str:
    """As much of the user's own words as goes on into logs and status."""
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def _json_default(value: Any) -> Any:
    """Decimal is what the Lambda runtime takes beyond Python's own json, because DynamoDB's numbers are."""
    if isinstance(value, Decimal):
        return math.nan if value.is_nan() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), default=_json_default).encode
