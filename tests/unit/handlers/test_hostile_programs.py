"""`exec:` programs that write what no program should: each event has one outcome, soon, in bounded memory, and a
well-behaved call beside it has its own.
"""

import asyncio
import logging
import shlex
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, NotInvoked, Succeeded
from poller.handlers.callables import MOST_TEXT, RESPONSE_LIMIT
from poller.handlers.exec import ExecHandler
from poller.ports import Invocation

SECONDS = 60.0
Program = Callable[[str], Awaitable[ExecHandler]]


@pytest.fixture
async def program(mapping: EventSourceMapping) -> AsyncIterator[Program]:
    made: list[ExecHandler] = []

    async def start(script: str) -> ExecHandler:
        command = shlex.join(["sh", "-c", script])
        made.append(ExecHandler(command, replace(mapping, function_name=f"exec:{command}")))
        await made[-1].start()
        return made[-1]

    yield start
    for one in made:
        await one.close()
    assert len(asyncio.all_tasks()) == 1


async def ask(one: ExecHandler, **event: object) -> object:
    invocation = Invocation(event, "request-1", time.monotonic() + SECONDS)
    return await asyncio.wait_for(one.invoke(invocation), SECONDS)


ANSWERS = {
    "binary": r"printf '\377\376\000\001\n'",
    "NUL": r"printf '\000\n'",
    "an empty line": "echo",
    "a carriage return for a line break": r"printf 'null\rnull\n'",
    "two lines at once": r"printf 'null\nnull\n'",
    "UTF-16": r"printf 'n\000u\000l\000l\000\n'",
    "half a character": r"""printf '"\360\237\230"\n'""",
    "a thousand lines": "yes null | head -n 1000",
    "an object that never ends": "printf '{\"a\":'; echo",
    "a surrogate in UTF-8": r"""printf '"\355\240\200"\n'""",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_what_is_no_line_of_json_confirms_nothing(program: Program, answer: str) -> None:
    """INV-2, INV-9: a function error, and the next event finds a program of its own."""
    one = await program(f'while read -r line; do case "$line" in *bad*) {answer};; *) echo 1;; esac; done')
    for _ in range(2):
        error = await ask(one, kind="bad")
        assert isinstance(error, FunctionError)
        assert error.error_type == "Runtime.InvalidResponse"
        assert await ask(one, kind="good") == Succeeded(b"1")


ENDLESS = {
    "a gigabyte without a line break": "head -c 1073741824 /dev/zero",
    "a gigabyte of one text": "printf '\"'; head -c 1073741824 /dev/zero | tr '\\0' x",
    "one byte more than it may have": f"head -c {RESPONSE_LIMIT + 1} /dev/zero",
}


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
async def test_a_line_without_end_is_not_read_to_its_end(program: Program, answer: str) -> None:
    """INV-5: no more of it is kept than a response may have, and the program does not stay."""
    one = await program(f'while read -r line; do case "$line" in *bad*) {answer};; *) echo 1;; esac; done')
    tracemalloc.start()
    try:
        error = await ask(one, kind="bad")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, FunctionError)
    assert error.error_type == "Function.ResponseSizeTooLarge"
    assert peak < 4 * RESPONSE_LIMIT
    assert await ask(one, kind="good") == Succeeded(b"1")


@pytest.mark.parametrize("how", ["exec 1>&-", "exec 0<&- 1>&- 2>&-", "kill -STOP $$ & exec 1>&-"])
async def test_a_program_that_closes_its_mouth_is_not_waited_for(program: Program, how: str) -> None:
    """INV-2: nothing more can come of it, so its event has failed; what it has started ends with it."""
    one = await program(f'while read -r line; do case "$line" in *bad*) {how}; sleep 600;; *) echo 1;; esac; done')
    error = await ask(one, kind="bad")
    assert isinstance(error, FunctionError)
    assert error.error_type == "Runtime.ExitError"
    assert await ask(one, kind="good") == Succeeded(b"1")


async def test_an_answer_before_the_event_is_for_no_event(program: Program) -> None:
    """INV-4: it cannot have been run, however often it is tried."""
    one = await program("echo '{\"batchItemFailures\":[]}'; while read -r line; do echo 1; done")
    for _ in range(3):
        assert isinstance(await ask(one, text="x" * 200_000), NotInvoked)


async def test_numbers_and_errors_are_taken_as_they_are_meant(program: Program) -> None:
    """INV-2, INV-9: digits beyond what Python reads are JSON; the texts of an error are cut for log and status."""
    digits = await program("while read -r line; do head -c 5000 /dev/zero | tr '\\0' 9; echo; done")
    assert await ask(digits) == Succeeded(b"9" * 5_000)
    long = "head -c 1000000 /dev/zero | tr '\\0' "
    script = f"""printf '{{"errorType":"'; {long}T; printf '","errorMessage":"'; {long}M; echo '"}}'"""
    error = await ask(await program(f"while read -r line; do {script}; done"))
    assert isinstance(error, FunctionError)
    assert error.handled
    assert len(error.error_type) == len(error.message) == MOST_TEXT


async def test_a_program_that_talks_without_end_or_line_break(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """GEN-9: what it says goes into the log in pieces, and is not kept."""
    caplog.set_level(logging.CRITICAL)
    one = await program("while read -r line; do head -c 20000000 /dev/zero >&2; echo 1; done")
    tracemalloc.start()
    try:
        assert await ask(one) == Succeeded(b"1")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * RESPONSE_LIMIT
