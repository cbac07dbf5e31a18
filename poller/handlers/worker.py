"""The program of a worker of `process:`: imports one function and calls it, one event after the other.

It is started by handlers/process.py with three descriptors and speaks in lines. Of us it gets one line that tells
what to import, then one for each call; it answers each with one line, whose first byte tells what follows:

R   ready: the function is there
P   it cannot be had: a sentence
=   the response, as it is
~   the response in base64, because it has a line break
!   a function error: a JSON object with type, message, told (a sentence), place and trace

All that the function prints goes elsewhere and cannot be taken for an answer. Few imports: a worker shall start
fast and be small.
"""

import _thread
import binascii
import contextlib
import contextvars
import faulthandler
import inspect
import json
import os
import signal
import sys
from collections.abc import Awaitable
from typing import Any, BinaryIO, Final

from poller.clock import SystemClock
from poller.core.model import Succeeded
from poller.errors import ConfigurationError
from poller.handlers.callables import Target, answer, check_reports, find_function, is_coroutine_callable, raised
from poller.handlers.context import Context
from poller.ports import Invocation

MOST_TRACE: Final = 16_384
"""Characters of a traceback that are passed on."""


def main() -> None:
    """`sys.argv` has the descriptors: requests, answers, and the one that is closed when nobody wants us any more.

    A function that ends the process (sys.exit) does so: it is the end of this worker, and a function error.
    """
    requests, answers, lifeline = (int(text) for text in sys.argv[1:4])
    for descriptor in (requests, answers, lifeline):
        os.set_inheritable(descriptor, False)
    # What the function forks, and what may even return from it a second time, must neither answer nor be asked.
    os.register_at_fork(after_in_child=lambda: _to_nowhere(requests, answers, lifeline))
    _thread.start_new_thread(_end_with, (lifeline,))
    # The end is decided by the poller, also where Ctrl-C or a service manager's stop reach all processes. Not
    # SIG_IGN, which the function's own child processes would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stay)
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr] # both are files here
    with open(answers, "wb") as told, open(requests, "rb") as asked:  # noqa: PTH123 - descriptors, not paths
        first = asked.readline()
        if first:
            _serve(json.loads(first), asked, told)


def _serve(hello: dict[str, Any], asked: BinaryIO, told: BinaryIO) -> None:
    sys.path[:] = hello["path"]
    sys.argv[:] = [hello["name"]]
    try:
        function = Function(hello)
    except ConfigurationError as error:
        _say(told, b"P", str(error).encode())
        return
    _say(told, b"R", b"")
    # not `for line in asked`: that would read ahead
    while line := asked.readline():
        _say(told, *function.call(json.loads(line)))
        del line  # an idle worker keeps no batch


class Function:
    """The user's function, and the event loop for it if it wants one: the same for all calls, as on Lambda."""

    def __init__(self, hello: dict[str, Any]) -> None:
        """Imports it. Raises ConfigurationError."""
        self._name, self._arn = hello["name"], hello["arn"]
        self._function: Target = find_function(hello["target"], "process")
        if not hello["reports_are_read"]:
            check_reports(self._function, hello["mapping"])
        self._clock = SystemClock()
        self._runner: Any = None
        if is_coroutine_callable(self._function):
            self._make_loop()

    def call(self, request: dict[str, Any]) -> tuple[bytes, bytes]:
        """The answer to one call: its first byte and the rest."""
        deadline = self._clock.now().mono + request["seconds"]
        context = Context(
            Invocation(request["event"], request["id"], deadline), self._name, self._arn, self._clock
        )
        variables = contextvars.copy_context()
        if "trace" in request:
            variables.run(_take_over, request["trace"])
        try:
            result = variables.run(self._function, request.pop("event"), context)
            if inspect.isawaitable(result):
                self._make_loop()
                result = self._runner.run(_wait(result), context=variables)
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the function does is an outcome
            failure, place = raised(error)
            told = f"the handler raised {failure.error_type} at {place}: {failure.message}"
            return b"!", _error(failure.error_type, failure.message, told, place, _trace(error))
        response = answer(result)
        if not isinstance(response, Succeeded):
            return b"!", _error(response.error_type, response.message, response.message, "", "")
        if b"\n" in response.payload:
            return b"~", binascii.b2a_base64(response.payload, newline=False)
        return b"=", response.payload

    def _make_loop(self) -> None:
        import asyncio  # noqa: PLC0415 - a third of the memory, for functions that use it

        self._runner = self._runner or asyncio.Runner()


def _take_over(trace: dict[str, str]) -> None:
    from poller.tracing import take_over  # noqa: PLC0415 - for a poller that traces

    take_over(trace)


async def _wait(result: Awaitable[Any]) -> Any:
    return await result


def _error(kind: str, message: str, told: str, place: str, trace: str) -> bytes:
    fields = {"type": kind, "message": message, "told": told, "place": place, "trace": trace}
    # a traceback quotes what the function was given, and half an emoji is no text to the other side
    clean = {name: text.encode("utf-8", "replace").decode() for name, text in fields.items()}
    return json.dumps(clean).encode()


def _trace(error: BaseException) -> str:
    import traceback  # noqa: PLC0415 - for errors only

    try:
        return "".join(traceback.format_exception(error))[-MOST_TRACE:]
    except BaseException:  # noqa: BLE001 - it asks the user's own classes
        return ""


def _say(told: BinaryIO, kind: bytes, rest: bytes) -> None:
    told.write(kind)
    told.write(rest)
    told.write(b"\n")
    told.flush()


def _end_with(lifeline: int) -> None:
    """Waits in a thread of its own for the end of whoever holds the other end, and ends everything here then."""
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # with what the function has started
    os._exit(1)


def _to_nowhere(*descriptors: int) -> None:
    """Not closed: a file that is opened later would have such a number, and be written to."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


def _stay(_number: int, _frame: Any) -> None:
    """Nothing."""
