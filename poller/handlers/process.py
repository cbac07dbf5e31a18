"""The target `process:package.module:attribute`: a callable `(event, context)` in worker processes.

For code that keeps a core busy, or may crash: each call that runs has a process of its own, which serves one call
after the other. A call that times out is ended with its worker; a worker that ends in a call (sys.exit, a crash,
out of memory) is a function error, Runtime.ExitError, and not our end. worker.py is what runs there.
"""

import asyncio
import binascii
import json
import logging
import sys
from pathlib import Path
from typing import Final

import orjson

from poller.clock import Clock, SystemClock
from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, InvocationResult, Succeeded
from poller.core.payload import serialise
from poller.core.trace_headers import trace_fields
from poller.errors import ConfigurationError, HandlerError
from poller.handlers.callables import RESPONSE_LIMIT
from poller.handlers.child import Answer, Child, Ended
from poller.handlers.child_pool import ChildPool, ending
from poller.ports import Invocation
from poller.telling import Teller

START_SECONDS: Final = 60.0
"""For a worker to import the user's module; Lambda gives 10, on machines that do little else."""

_LONGEST_LINE: Final = 1 + (RESPONSE_LIMIT + 2) // 3 * 4
"""The longest response in base64 behind its first byte: worker.py judges the length itself."""

# The worker finds its own modules as any program of this interpreter does, and poller, if it is not installed,
# where it is now. Not by `-m`: the working directory would come first, and a user's queue.py in place of Python's.
_PROGRAM: Final = "import sys; sys.path.append(sys.argv.pop(1)); from poller.handlers.worker import main; main()"
_HOME: Final = str(Path(__file__).parents[2])


class ProcessHandler:
    """One mapping's worker processes, as many as calls run at once, and Handler.Concurrency at most."""

    def __init__(self, target: str, mapping: EventSourceMapping, clock: Clock | None = None) -> None:
        self._named = f"process:{target}"
        hello = {
            "path": [str(entry) for entry in sys.path],
            "target": target,
            "name": mapping.function_name,
            "arn": mapping.function_arn,
            "mapping": mapping.name,
            "reports_are_read": mapping.report_batch_item_failures,
        }
        self._hello = json.dumps(hello).encode() + b"\n"
        self._clock = clock or SystemClock()
        self._teller = Teller(mapping.name, logging.getLogger("poller"))
        self._pool = ChildPool(
            self._start_worker,
            self._read,
            "worker",
            mapping.handler.concurrency,
            self._teller,
            self._clock,
            mapping.handler.recycle_after,
        )

    async def start(self) -> None:
        """Starts the first worker, which imports the target. Raises ConfigurationError if it cannot be had.

        A system that has no room for a process just now is another matter: invocations will tell.
        """
        try:
            await self._pool.prepare()
        except HandlerError as error:
            self._teller.failure("worker_unusable", "start", str(error), self._clock.now())

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """See ports.Handler."""
        event = serialise(invocation.event)
        identifier = orjson.dumps(invocation.request_id)
        trace = b"" if invocation.trace is None else b',"trace":%b' % orjson.dumps(trace_fields(invocation.trace))

        def request() -> bytes:
            seconds = max(0.0, invocation.deadline - self._clock.now().mono)
            return b'{"id":%b,"seconds":%f%b,"event":%b}\n' % (identifier, seconds, trace, event)

        return await self._pool.ask(request, invocation)

    async def close(self) -> None:
        """See ports.Handler."""
        await self._pool.close()

    async def _start_worker(self) -> Child:
        command = (sys.executable, "-P", "-c", _PROGRAM, _HOME)
        child = await Child.start(command, self._named, _LONGEST_LINE, self._teller, apart=True)
        try:
            async with asyncio.timeout(START_SECONDS):
                problem = self._problem(await child.ask(self._hello))
        except TimeoutError:
            problem = (
                f"{self._named}: the module is still not imported after {START_SECONDS:g} s; what it waits for"
                " while it is imported should be done when the function is called."
            )
        except BaseException:
            await child.end()
            raise
        if problem is not None:
            await child.end()
            raise ConfigurationError(problem)
        child.answered = 0
        return child

    def _problem(self, answer: Answer) -> str | None:
        """Why the worker cannot be asked, in a sentence."""
        if answer == b"R":
            return None
        if isinstance(answer, bytes) and answer.startswith(b"P"):
            return answer[1:].decode()
        how = ending(answer.status) if isinstance(answer, Ended) else "an answer that makes no sense"
        return f"{self._named}: the worker ended with {how} while the module was imported; its log may tell more."

    def _read(self, answer: bytes) -> InvocationResult | None:
        """None for what worker.py does not write: a function can get at any descriptor of its process."""
        kind, rest = answer[:1], answer[1:]
        try:
            match kind:
                case b"=":
                    return Succeeded(rest)
                case b"~":
                    return Succeeded(binascii.a2b_base64(rest))
                case b"!":
                    return self._failed(orjson.loads(rest))
                case _:
                    return None
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def _failed(self, failure: dict[str, str]) -> FunctionError:
        """Users need the traceback of their own code; one that repeats is told again every 30 s, with a count.

        Raises AttributeError, KeyError or TypeError for what is no failure.
        """
        if not all(isinstance(text, str) for text in failure.values()):
            raise TypeError("a failure is told in texts")
        kind, place = failure["type"], failure["place"]
        trace = WorkerTraceback(failure["trace"]) if failure["trace"] else None
        self._teller.failure(
            "handler_error",
            f"{kind} {place}",
            failure["told"],
            self._clock.now(),
            error_type=kind,
            at=place,
            exc_info=trace,
        )
        return FunctionError(kind, failure["message"])


class WorkerTraceback(Exception):  # noqa: N818 - it is no error of ours, but the shape in which logs take a traceback
    """The traceback of what a function raised in its worker, as text."""

    def __str__(self) -> str:
        return f"in the worker:\n{self.args[0]}"
