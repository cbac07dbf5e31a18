"""`exec:`: a program in any language, JSON in and JSON out, line by line, and every way to get that wrong."""

import asyncio
import json
import logging
import shlex
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poller.core.mapping import EventSourceMapping
from poller.core.model import FunctionError, NotInvoked, Succeeded
from poller.core.trace_headers import TraceContext
from poller.errors import ConfigurationError
from poller.handlers.exec import ExecHandler
from poller.ports import Invocation
from tests.unit.handlers.processes import descriptors, until


def call(**event) -> Invocation:
    return Invocation(event, "request-1", time.monotonic() + 30)


@pytest.fixture
async def program(mapping: EventSourceMapping) -> AsyncIterator[Callable]:
    """program(script): a handler with a shell script behind it; program(command=...): any command line."""
    made: list[ExecHandler] = []

    async def start(script: str = "", command: str = "") -> ExecHandler:
        command = command or shlex.join(["sh", "-c", script])
        made.append(ExecHandler(command, replace(mapping, function_name=f"exec:{command}")))
        await made[-1].start()
        return made[-1]

    yield start
    for one in made:
        await one.close()
    assert len(asyncio.all_tasks()) == 1


ECHO = 'while read -r line; do printf "%s\\n" "$line"; done'


async def test_the_event_is_a_line_and_so_is_the_response(program):
    one = await program(ECHO)
    for number in range(3):
        event = {"n": number, "text": "a\nb\u2028é"}
        answer = await one.invoke(call(**event))
        assert isinstance(answer, Succeeded)
        assert json.loads(answer.payload) == event


async def test_the_command_line_is_taken_apart_as_by_a_shell_and_none_is_started(program):
    script = shlex.quote('read -r line; printf \'["%s","%s","%s"]\\n\' "$@"')
    one = await program(command=f"""sh -c {script} sh 'a b' "c d" '$HOME;*'""")
    assert await one.invoke(call()) == Succeeded(b'["a b","c d","$HOME;*"]')


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("null", Succeeded(b"null")),
        (' {"batchItemFailures": []} \r', Succeeded(b' {"batchItemFailures": []} \r')),
        ('"\\ud800"', Succeeded(b'"\\ud800"')),
        ('{"n": NaN}', Succeeded(b'{"n": NaN}')),
        ('{"errorType": "E", "errorMessage": "m", "trace": []}', FunctionError("E", "m", handled=True)),
        ('{"errorType": "E"}', Succeeded(b'{"errorType": "E"}')),
        ('{"errorType": 1, "errorMessage": "m"}', Succeeded(b'{"errorType": 1, "errorMessage": "m"}')),
        ('[{"errorType": "E", "errorMessage": "m"}]', Succeeded(b'[{"errorType": "E", "errorMessage": "m"}]')),
    ],
)
async def test_inv_2_what_a_line_means(program, line: str, result):
    """INV-2: in the shape in which Lambda's runtimes write errors it is one, and the program goes on."""
    one = await program(f"while read -r line; do printf '%s\\n' {shlex.quote(line)}; done")
    for _ in range(2):
        assert await one.invoke(call()) == result
    assert len(one._pool._children) == 1


@pytest.mark.parametrize(
    "line", ["", "ok", "processing 1 record...", '{"batchItemFailures": [', "[" * 100_000, "1 2"]
)
async def test_a_line_that_is_not_json_confirms_nothing(program, line: str):
    """Most likely it is something that the program prints, before its work is done."""
    one = await program(f"while read -r line; do printf '%s\\n' {shlex.quote(line)}; echo null; done")
    for _ in range(3):
        answer = await one.invoke(call())
        assert isinstance(answer, FunctionError)
        assert answer.error_type == "Runtime.InvalidResponse"


async def test_a_second_line_is_not_the_answer_to_the_next_event(
    program, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    told = tmp_path / "the first answer was read"
    wait = f"while [ ! -e {shlex.quote(str(told))} ]; do sleep 0.01; done"
    one = await program(f"while read -r line; do echo 1; {wait}; rm {shlex.quote(str(told))}; echo 2; done")
    assert await one.invoke(call()) == Succeeded(b"1")
    told.touch()
    await until(lambda: "although no event was with it" in caplog.text, "the second line to be noticed")
    assert await one.invoke(call()) == Succeeded(b"1")


async def test_a_greeting_is_no_answer(program):
    """It is there before the event was read: not invoked, and the program not asked again without a pause."""
    one = await program("echo '\"ready\"'; exec cat")
    for _ in range(5):
        assert isinstance(await one.invoke(call()), NotInvoked)


async def test_inv_2_an_end_in_mid_call_is_an_unhandled_error(program):
    """INV-2."""
    one = await program("read -r line; exit 3")
    for _ in range(3):
        text = "RequestId: request-1 Error: Runtime exited with error: exit status 3"
        assert await one.invoke(call()) == FunctionError("Runtime.ExitError", text, handled=False)


async def test_a_program_for_one_event_is_started_for_each(program):
    one = await program("read -r line; echo $$")
    answers = [await one.invoke(call()) for _ in range(4)]
    assert len({answer.payload for answer in answers}) == 4


async def test_a_program_that_ends_at_once_is_no_attempt_and_no_busy_loop(program, tmp_path: Path):
    one = await program(f"echo started >> {tmp_path}/log; exit 1")
    for _ in range(100):
        answer = await one.invoke(call())
        assert isinstance(answer, NotInvoked)
        assert "exit code 1" in answer.message
    assert 2 <= len((tmp_path / "log").read_text().splitlines()) < 10


async def test_what_it_says_on_standard_error_is_passed_on(program, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="poller")
    one = await program("while read -r line; do echo said >&2; echo null; done")
    assert await one.invoke(call()) == Succeeded(b"null")
    await one.close()
    (record,) = [record for record in caplog.records if record.action == "handler_output"]
    assert record.getMessage() == "orders: said"


@pytest.mark.parametrize("command", ["no-such-program --fast", "./missing", "/"])
async def test_a_command_that_is_none_is_told_at_the_start(mapping, command: str):
    handler = ExecHandler(command, mapping)
    first = command.split(maxsplit=1)[0]
    with pytest.raises(ConfigurationError, match=f"exec:{command}: '{first}' cannot be started"):
        await handler.start()
    await handler.close()


async def test_fifty_crashes_in_a_row_lose_nothing_and_leave_nothing(program):
    """Each is one function error, the calls beside it succeed, and no process or descriptor stays."""
    one = await program("while read -r line; do case $line in *true*) kill -9 $$;; *) echo null;; esac; done")
    await asyncio.gather(one.invoke(call(crash=True)), one.invoke(call(crash=False)))
    before = len(descriptors())
    for _ in range(50):
        crashed, well = await asyncio.gather(one.invoke(call(crash=True)), one.invoke(call(crash=False)))
        assert isinstance(crashed, FunctionError)
        assert isinstance(well, Succeeded)
    await until(lambda: len(descriptors()) <= before, "the descriptors of the dead to be closed")
    assert len(one._pool._children) <= 2


async def test_the_trace_stands_beside_the_records(program):
    """And the event of others who see it stays what it was."""
    one = await program(ECHO)
    event = {"Records": []}
    answer = await one.invoke(
        replace(
            call(),
            event=event,
            trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="a=1"),
        )
    )
    assert isinstance(answer, Succeeded)
    assert json.loads(answer.payload) == {
        "Records": [],
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "a=1",
    }
    assert event == {"Records": []}
