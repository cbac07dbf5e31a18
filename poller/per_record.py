"""`poller.each`: a function of one record becomes a handler of batches that reports which records failed.

It runs wherever a handler does: under `python:` and `process:`, embedded, and on Lambda itself.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from poller.frames import of_traceback, user_place
from poller.handlers.callables import REPORTS, is_coroutine_callable

Handler: TypeAlias = Callable[..., Any]


def each(function: Callable[..., Any]) -> Handler:
    """A handler `(event, context)` that calls `function(record)` or `function(record, context)` for each record of
    an SQS, Kinesis or DynamoDB event, and returns `{"batchItemFailures": [...]}`; also as a decorator.

    A record whose function raises has failed, whatever it returns; the exception is logged. What happens then
    depends on the source, so that nothing overtakes a record that will be tried again:

    - standard queue: the others go on, those that failed are reported.
    - FIFO queue: so they do, but what follows in the same message group is not run and is reported, too (FIFO-7).
    - stream: nothing after it is run, and it alone is reported: the position goes no further (PBR-20).

    Records run one after the other: only so is their order kept, and Handler.Concurrency is for batches side by
    side. A coroutine function makes a coroutine function, which runs in the event loop; any other one a plain
    function, which runs in a thread.

    The mapping needs `FunctionResponseTypes: [ReportBatchItemFailures]`. Raises TypeError for a function that
    cannot be called so. The handler raises ValueError, before any record ran, for an event without records of a
    known source, and for one of a tumbling window: who sums up a window must return its state.
    """
    with_context = _takes_context(function)

    def arguments(record: Any, context: Any) -> tuple[Any, ...]:
        return (record, context) if with_context else (record,)

    def handle(event: Any, context: Any = None) -> dict[str, Any]:
        batch = _Batch(event)
        for record in batch:
            try:
                result = function(*arguments(record, context))
            except Exception as error:  # noqa: BLE001 - a failed record is what this is about
                batch.failed(error)
                continue
            if inspect.isawaitable(result):
                raise _not_awaited(function, result)
        return batch.response()

    async def handle_in_loop(event: Any, context: Any = None) -> dict[str, Any]:
        batch = _Batch(event)
        for record in batch:
            try:
                await function(*arguments(record, context))
            except Exception as error:  # noqa: BLE001 - as above
                batch.failed(error)
        return batch.response()

    handler: Handler = handle_in_loop if is_coroutine_callable(function) else handle
    functools.update_wrapper(handler, function)
    setattr(handler, REPORTS, True)
    return handler


class _Batch:
    """The records of one event: those to be run, in order, and what became of them."""

    def __init__(self, event: Any) -> None:
        self._records = _read(event)
        self._failures: dict[str, None] = {}
        self._blocked: set[str] = set()
        self._ended = False
        self._current: tuple[str, str, str | None] = ("", "", None)  # identifier, source, message group

    def __iter__(self) -> Iterator[Any]:
        for identifier, record in self._records:
            if self._ended:
                return
            group = _group(record)
            if group in self._blocked:
                self._failures[identifier] = None
                continue
            # told apart before the function has the record, because it may take out of it what it likes
            self._current = (identifier, record["eventSource"], group)
            yield record

    def failed(self, error: Exception) -> None:
        """The record that was handed out last has failed."""
        identifier, source, group = self._current
        self._failures[identifier] = None
        if source != "aws:sqs":
            self._ended = True
        elif group is not None:
            self._blocked.add(group)
        place = user_place(of_traceback(error.__traceback__))
        logging.getLogger("poller").warning(
            "record %s failed: %s at %s",
            identifier,
            type(error).__name__,
            place,
            exc_info=error,
            extra={
                "action": "record_failed",
                "record": identifier,
                "error_type": type(error).__name__,
                "at": place,
            },
        )

    def response(self) -> dict[str, Any]:
        """What the poller reads (PBR-4)."""
        return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in self._failures]}


def _read(event: Any) -> list[tuple[str, Any]]:
    """The records with their identifiers."""
    if isinstance(event, dict) and "window" in event:
        raise ValueError(
            "poller.each cannot serve a tumbling window, whose state it would lose: write a handler"
            " (event, context) that returns `state`, or take TumblingWindowInSeconds out of the mapping"
        )
    try:
        return [(_identifier(record), record) for record in event["Records"]]
    except (KeyError, TypeError) as error:
        raise ValueError("poller.each takes events with records of SQS, Kinesis or DynamoDB only") from error


def _identifier(record: Any) -> str:
    match record["eventSource"]:
        case "aws:sqs":
            identifier = record["messageId"]
        case "aws:kinesis":
            identifier = record["kinesis"]["sequenceNumber"]
        case "aws:dynamodb":
            identifier = record["dynamodb"]["SequenceNumber"]
        case other:
            raise KeyError(other)
    return str(identifier)


def _group(record: Any) -> str | None:
    """The message group of a FIFO queue. On a standard queue MessageGroupId names a tenant and orders nothing."""
    if record["eventSource"] == "aws:sqs" and str(record.get("eventSourceARN", "")).endswith(".fifo"):
        return str(record.get("attributes", {}).get("MessageGroupId", ""))
    return None


def _takes_context(function: Any) -> bool:
    """Whether it is a function of (record, context). Raises TypeError when it is neither that nor one of (record).

    A second parameter with a default is the function's own business, unless it is called `context`.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"poller.each: {_named(function)} is a generator: its body would never run; take out `yield`"
        )
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a signature
        return False
    except TypeError as error:
        raise TypeError(f"poller.each takes a function of a record, not {function!r}") from error
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    required = [p for p in positional if p.default is p.empty]
    others = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    variable = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if others or len(required) > 2 or not (positional or variable):
        raise TypeError(f"poller.each: {_named(function)} must take (record) or (record, context)")
    return len(required) == 2 or (len(positional) > 1 and positional[1].name == "context")


def _not_awaited(function: Any, result: Any) -> TypeError:
    """The record has not been worked on: its batch fails as a whole."""
    if inspect.iscoroutine(result):
        result.close()
    return TypeError(
        f"poller.each: {_named(function)} is no coroutine function but returned something to be awaited, which a"
        " thread cannot do: make it `async def`"
    )


def _named(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))
