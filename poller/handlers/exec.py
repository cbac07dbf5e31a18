"""The target `exec:command line`: a program in any language that reads events and writes responses, a line each.

The command line is taken apart as a POSIX shell does it, and no shell is started. The program runs until its input
ends, as one process for each call that runs at once, in the working directory and environment of the poller:

- it reads one event from standard input: a line of JSON, as a Lambda function would get it. There is no context;
  where poller traces, `traceparent` (and `tracestate`) stand beside the records.
- it writes one line of JSON to standard output, and flushes it: its response, as a Lambda function would return
  it; `null` if it has nothing to say. An object with the texts errorType and errorMessage, as Lambda's runtimes
  write it, is a function error, and the program goes on.
- all else that it has to say goes to standard error, line by line, and into our log.

Standard output is for responses only. A line that is not JSON, a second line, a line before the event was read:
each fails the batch, and the program is ended and started again, because nobody could say what its next line
answers. A program that ends before it has answered has failed too (Runtime.ExitError); one that ends before it has
read anything has not been invoked.
"""

import json
import logging
from typing import Any

import orjson

from poller.clock import Clock, SystemClock
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_targets import ExecTarget
from poller.core.model import FunctionError, InvocationResult, Succeeded
from poller.core.payload import serialise
from poller.core.trace_headers import trace_fields
from poller.errors import HandlerError
from poller.handlers.callables import RESPONSE_LIMIT, short
from poller.handlers.child import Child
from poller.handlers.child_pool import ChildPool
from poller.ports import Invocation
from poller.telling import Teller


class ExecHandler:
    """One mapping's program, running as often as calls run at once, and Handler.Concurrency times at most."""

    def __init__(self, command: str, mapping: EventSourceMapping, clock: Clock | None = None) -> None:
        self._command = ExecTarget(command).arguments
        self._named = f"exec:{command}"
        self._clock = clock or SystemClock()
        self._teller = Teller(mapping.name, logging.getLogger("poller"))
        self._pool = ChildPool(
            self._start_program, _read, "program", mapping.handler.concurrency, self._teller, self._clock
        )

    async def start(self) -> None:
        """Starts the program. Raises ConfigurationError if there is none that can be started."""
        try:
            await self._pool.prepare()
        except HandlerError as error:
            self._teller.failure("worker_unusable", "start", str(error), self._clock.now())

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """See ports.Handler."""
        event = invocation.event
        if invocation.trace is not None:
            event = event | trace_fields(invocation.trace)
        request = serialise(event) + b"\n"
        return await self._pool.ask(lambda: request, invocation)

    async def close(self) -> None:
        """See ports.Handler."""
        await self._pool.close()

    async def _start_program(self) -> Child:
        return await Child.start(self._command, self._named, RESPONSE_LIMIT, self._teller, apart=False)


def _read(line: bytes) -> InvocationResult | None:
    try:
        response = _parse(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(response, dict):
        kind, message = response.get("errorType"), response.get("errorMessage")
        if isinstance(kind, str) and isinstance(message, str):
            return FunctionError(short(kind), short(message), handled=True)
    return Succeeded(line)


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # What Python's own json writes, it reads: lone surrogates, NaN. From text, because of bytes it takes
        # UTF-16, too; as float, because int() has a limit of digits, and no number matters here.
        return json.loads(line.decode("utf-8-sig"), parse_int=float)
