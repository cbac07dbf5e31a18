"""Functions that answer with what no function should, in this process and in workers: each is its own batch's
failure, is told in a log that can be read, and the next call of the same handler is none the worse for it.
"""

import asyncio
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from poller import logs
from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, Succeeded
from poller.handlers.callables import MOST_TEXT
from poller.handlers.process import ProcessHandler
from poller.handlers.python import PythonHandler
from poller.ports import Handler, Invocation
from tests.unit.handlers.hostile_functions import JSON, NO_JSON, RAISED

NAMES = "tests.unit.handlers.hostile_functions"
TARGETS = {"python": PythonHandler, "process": ProcessHandler}
SECONDS = 60.0


@contextmanager
def daemons_log() -> Iterator[io.StringIO]:
    """What a daemon would write, as JSON, and nobody else: other handlers may not bear half an emoji."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    root.handlers.clear()
    logs.configure(form="json", stream=out)
    try:
        yield out
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


async def ask(handler: Handler, **event: str) -> object:
    invocation = Invocation(event, "request-1", time.monotonic() + SECONDS)
    return await asyncio.wait_for(handler.invoke(invocation), SECONDS)


@pytest.mark.parametrize("name", ["function", "later"])
@pytest.mark.parametrize("form", TARGETS)
async def test_every_answer_is_an_outcome_and_the_next_one_comes(
    form: str, name: str, mapping: EventSourceMapping, capsys: pytest.CaptureFixture[str]
) -> None:
    """INV-2, INV-5: a function error for what is raised or cannot be written, the response for all else."""
    handler = TARGETS[form](f"{NAMES}:{name}", replace(mapping, function_name=f"{form}:{NAMES}:{name}"))
    await handler.start()
    with daemons_log() as log:
        for which in RAISED:
            error = await ask(handler, raised=which)
            assert isinstance(error, FunctionError), which
            assert error.error_type
            assert len(error.error_type) <= MOST_TEXT
            assert len(error.message) <= MOST_TEXT
            (error.error_type + error.message).encode()
        for which in NO_JSON:
            error = await ask(handler, returned=which)
            assert isinstance(error, FunctionError), which
            assert error.error_type == "Runtime.MarshalError", which
        for which, (_, payload) in JSON.items():
            assert await ask(handler, json=which) == Succeeded(payload), which
        await handler.close()
    # each line of the log can be read, is no longer than a log bears, and none was lost to the logging itself
    lines = log.getvalue().splitlines()
    assert all(len(line) < 6 * 3 * logs.MOST_TEXT for line in lines)
    told = [json.loads(line) for line in lines]
    assert {line["error_type"] for line in told} >= {"ValueError", "KeyError", "RefusingError", "NamelessError"}
    assert "Logging error" not in capsys.readouterr().err


async def test_a_worker_that_answers_for_itself(mapping: EventSourceMapping) -> None:
    """INV-2: what a function wrote in the place of its answer is none, ends its worker and fails its batch."""
    handler = ProcessHandler(f"{NAMES}:function", mapping)
    await handler.start()
    try:
        for text in ("!{", "![]", '!{"type": 1}', "!{}", '!{"type":"T"}', "~x", "?", "\xff\xfe", "R", ""):
            error = await ask(handler, written=f"{text}\n")
            assert isinstance(error, FunctionError), text
            assert error.error_type == "Runtime.InvalidResponse", text
            assert await ask(handler, json="NaN") == Succeeded(b"NaN"), text
    finally:
        await handler.close()


class Slow(list):  # type: ignore[type-arg]
    """Says when somebody looks at it, and lets nobody go before he is told to."""

    def __init__(self) -> None:
        super().__init__([1])
        self.looked, self.go_on = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[int]:
        self.looked.set()
        assert self.go_on.wait(SECONDS)
        return iter((1,))


async def test_a_response_that_blocks_blocks_its_own_call_alone(mapping: EventSourceMapping) -> None:
    """GEN-9: a plain function's response is written where it was made, in its thread."""
    slow = Slow()
    handler = PythonHandler(lambda event, context: slow if event else None, mapping)
    await handler.start()
    try:
        call = asyncio.ensure_future(ask(handler, slow="yes"))
        async with asyncio.timeout(SECONDS):
            while not slow.looked.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.001)
        assert await ask(handler) == Succeeded(b"null")
        assert not call.done()
        slow.go_on.set()
        assert await call == Succeeded(b"[1]")
    finally:
        slow.go_on.set()
        await handler.close()
