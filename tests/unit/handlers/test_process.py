"""`process:`: what python: does, in another process, and what only a process of its own can survive."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poller.core.mapping import EventSourceMapping, HandlerSettings
from poller.core.model import FunctionError, NotInvoked, Succeeded
from poller.core.trace_headers import TraceContext
from poller.errors import ConfigurationError
from poller.handlers import process
from poller.handlers.process import ProcessHandler
from poller.handlers.python import PythonHandler
from poller.ports import Invocation
from tests.unit.handlers.processes import alive, descriptors, until

FUNCTIONS = "tests.unit.handlers.process_functions"
ASYNC = "tests.unit.handlers.process_async"


def call(**event) -> Invocation:
    return Invocation(event, "request-1", time.monotonic() + 30)


@pytest.fixture
async def handler(mapping: EventSourceMapping) -> AsyncIterator[Callable]:
    """handler(function, settings...): started, and gone afterwards with everything that it had."""
    made: list[ProcessHandler] = []

    async def start(function: str, **settings) -> ProcessHandler:
        if ":" not in function:
            function = f"{FUNCTIONS}:{function}"
        changed = replace(
            mapping,
            function_name=f"process:{function}",
            handler=HandlerSettings(**({"timeout": 30.0, "concurrency": 2} | settings)),
        )
        made.append(ProcessHandler(function, changed))
        await made[-1].start()
        return made[-1]

    yield start
    for one in made:
        await one.close()
    assert len(asyncio.all_tasks()) == 1


async def result(one: ProcessHandler, **event):
    answer = await one.invoke(call(**event))
    assert isinstance(answer, Succeeded), answer
    return json.loads(answer.payload)


@pytest.mark.parametrize("name", ["show", f"{ASYNC}:show_async", f"{ASYNC}:show_later"])
async def test_every_kind_of_function_in_one_worker_that_is_kept(handler, name: str):
    one = await handler(name)
    shown = [await result(one) for _ in range(3)]
    assert [call["calls"] for call in shown] == [1, 2, 3]
    assert len({call["pid"] for call in shown}) == 1
    assert shown[0]["pid"] != os.getpid()
    assert len({call.get("loop") for call in shown}) == 1
    assert all(call["main"] for call in shown)
    assert {call["color"] for call in shown} == {"none"}  # what a call sets in its context ends with it


async def test_a_task_left_behind_harms_nobody(handler):
    one = await handler(f"{ASYNC}:leave_a_task")
    for _ in range(3):
        assert await one.invoke(call()) == Succeeded(b"null")


async def test_the_response_is_what_python_makes_of_it(handler, mapping):
    one = await handler("give_special")
    python = PythonHandler(f"{FUNCTIONS}:give_special", mapping)
    await python.start()
    expected = {
        "decimal": b'{"n":1.5}',
        "bytes": b'{"raw":\n 1}',
        "nan": b"NaN",
        "surrogate": b'"\\ud800"',
        "set": "Runtime.MarshalError",
    }
    for which, payload in expected.items():
        answer = await one.invoke(call(which=which))
        assert answer == await python.invoke(call(which=which))
        assert payload == (answer.payload if isinstance(answer, Succeeded) else answer.error_type)
    await python.close()


async def test_the_context_is_lambdas(handler, mapping: EventSourceMapping):
    shown = await result(await handler("tell_context"))
    assert shown == ["request-1", f"process:{FUNCTIONS}:tell_context", mapping.function_arn, True]


@pytest.mark.parametrize("name", ["fail", "fail_async"])
async def test_inv_2_what_it_raises_with_its_place_and_traceback_but_not_each_time(handler, name: str, caplog):
    """INV-2."""
    one = await handler(name)
    for _ in range(20):
        assert await one.invoke(call()) == FunctionError("ValueError", "bad order")
    (record,) = [record for record in caplog.records if record.action == "handler_error"]
    assert record.levelno == logging.WARNING
    assert record.error_type == "ValueError"
    assert "process_functions.py:" in record.at
    assert 'raise ValueError("bad order")' in caplog.text


@pytest.mark.parametrize("name", ["fail_by", "fail_by_async"])
async def test_inv_2_whatever_it_raises_the_worker_goes_on(handler, name: str):
    """INV-2."""
    one = await handler(f"{ASYNC}:{name}", concurrency=1)
    for kind in ["KeyboardInterrupt", "CancelledError", "GeneratorExit"] * 2:
        answer = await one.invoke(call(kind=kind))
        assert isinstance(answer, FunctionError)
        assert answer.error_type == kind


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("end", {"SIGKILL": "signal: killed", "SIGSEGV": "signal: segmentation fault", "exit": "exit status 3"}),
        ("end_async", {"exit": "exit status 3", "_exit": "exit status 4"}),
    ],
)
async def test_inv_2_the_end_of_the_process_is_an_unhandled_error(handler, name: str, ends: dict[str, str]):
    """INV-2: it counts as an attempt, and the next call has another worker."""
    one = await handler(name)
    for how, why in ends.items():
        said = f"RequestId: request-1 Error: Runtime exited with error: {why}"
        assert await one.invoke(call(how=how)) == FunctionError("Runtime.ExitError", said)
        assert await one.invoke(call(how="")) == Succeeded(b"null")


@pytest.mark.parametrize("how", ["thread", "os_close"])
async def test_an_end_that_does_not_come_is_made(handler, how: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("poller.handlers.child.LAST_WORDS", 0.1)
    one = await handler("end")
    answer = await one.invoke(call(how=how))
    assert isinstance(answer, FunctionError)
    assert answer.error_type == "Runtime.ExitError"
    assert await one.invoke(call(how="")) == Succeeded(b"null")


async def test_what_it_prints_is_passed_on_and_never_an_answer(handler, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="poller")
    one = await handler("chatter")
    for _ in range(2):
        assert await result(one) == "quiet"
    await one.close()
    lines = [record.getMessage() for record in caplog.records if record.action == "handler_output"]
    once = [
        "printed",
        "to standard error",
        "written \ufffd",
        "by a program",
        'without an end={"batchItemFailures":[]}',
    ]
    once += ['={"batchItemFailures":[]}'] * 2
    assert lines == [f"orders: {line}" for line in once] * 2


async def test_what_it_printed_before_its_end_is_told(handler, caplog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    caplog.set_level(logging.INFO, logger="poller")
    assert isinstance(await (await handler("last_words")).invoke(call()), FunctionError)
    lines = [record.getMessage() for record in caplog.records if record.action == "handler_output"]
    assert lines == ["orders: about to end"]


async def test_what_it_forks_cannot_answer_and_ends_with_it(handler):
    one = await handler(f"{ASYNC}:fork")
    assert await result(one) == 0
    assert await result(one) == 0


async def test_a_fork_that_returns_from_the_function_too_does_not_answer(handler):
    one = await handler(f"{ASYNC}:return_twice")
    for _ in range(2):
        assert await result(one) == "the worker"


async def test_its_own_programs_get_none_of_our_pipes(handler):
    """Their standard output and error, and nothing else."""
    assert await result(await handler(f"{ASYNC}:show_pipes")) == "2\n"


async def test_its_own_children_are_ended_as_everywhere_and_with_the_worker(handler):
    assert await result(await handler(f"{ASYNC}:stop_child")) == -signal.SIGTERM
    one = await handler(f"{ASYNC}:offspring")
    pid = await result(one)
    assert alive(pid)
    await one.close()
    await until(lambda: not alive(pid), "the function's own process to end")


async def test_signals_for_everybody_are_not_for_workers(handler):
    """Ctrl-C, and a service manager that stops all processes at once."""
    one = await handler("show")
    pid = (await result(one))["pid"]
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
        assert (await result(one))["pid"] == pid


async def test_recycled(handler):
    one = await handler("show", recycle_after=2)
    shown = [await result(one) for _ in range(5)]
    assert [call["calls"] for call in shown] == [1, 2, 1, 2, 1]


async def test_crashes_in_a_row_lose_nothing_and_leave_nothing(handler):
    one = await handler("end", concurrency=4)
    await one.invoke(call(how="_exit"))
    await asyncio.gather(*(one.invoke(call(how="")) for _ in range(4)))
    before = len(descriptors())
    for _ in range(3):
        answers = await asyncio.gather(*(one.invoke(call(how=how)) for how in ("SIGKILL", "_exit", "", "exit")))
        assert [type(answer) for answer in answers] == [FunctionError, FunctionError, Succeeded, FunctionError]
    await asyncio.gather(*(one.invoke(call(how="")) for _ in range(4)))
    await until(lambda: len(descriptors()) <= before, "the descriptors of the dead to be closed")
    assert len(one._pool._children) <= 4


# --- what cannot be started ---

BROKEN = {
    "raises": "import nowhere_at_all",
    "syntax": "def handler(:",
    "exits": "import sys; sys.exit(3)",
    "unlike": "def handle(event, context): pass",
    "number": "handler = 7",
}


@pytest.mark.parametrize("target", [*(f"{name}_module:handler" for name in BROKEN), "missing.module:handler", "x"])
async def test_a_target_that_cannot_be_had_is_told_in_the_words_of_python(
    mapping: EventSourceMapping, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, text in BROKEN.items():
        (tmp_path / f"{name}_module.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigurationError) as of_python:
        await PythonHandler(target, mapping).start()
    handler = ProcessHandler(target, mapping)
    with pytest.raises(ConfigurationError) as of_process:
        await handler.start()
    await handler.close()
    assert str(of_process.value) == str(of_python.value).replace("python:", "process:")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import os; os._exit(3)", "the worker ended with exit code 3 while the module was imported"),
        ("import os; os.kill(os.getpid(), 9)", "the worker ended with signal 9"),
        ("import time; time.sleep(600)", "the module is still not imported after 0.5 s"),
    ],
)
async def test_a_module_that_ends_or_never_ends_its_import(
    mapping, text: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "odd_module.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    if "still" in why:
        monkeypatch.setattr(process, "START_SECONDS", 0.5)
    handler = ProcessHandler("odd_module:handler", mapping)
    before = descriptors()
    with pytest.raises(ConfigurationError, match=f"process:odd_module:handler: {why}"):
        await handler.start()
    await handler.close()
    assert descriptors() == before


async def test_a_module_that_breaks_later_is_not_invoked_until_it_is_mended(
    mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "deployed_module.py"
    module.write_text("import os\ndef handler(event, context):\n    return os._exit(1) if event else 1\n")
    handler = ProcessHandler("deployed_module:handler", mapping)
    await handler.start()
    assert isinstance(await handler.invoke(call(end=True)), FunctionError)
    module.rename(tmp_path / "aside.py")
    for _ in range(3):
        answer = await handler.invoke(call())
        assert isinstance(answer, NotInvoked)
        assert "there is no module 'deployed_module'" in answer.message
    (tmp_path / "aside.py").rename(module)
    deadline = time.monotonic() + 30
    while not isinstance(answer := await handler.invoke(call()), Succeeded):
        assert isinstance(answer, NotInvoked)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await handler.close()


async def test_a_function_of_one_record_needs_somebody_who_reads_its_reports(
    mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SUR-5, PBR-1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "by_record.py").write_text("import poller\nhandler = poller.each(lambda record: None)\n")
    deaf = ProcessHandler("by_record:handler", replace(mapping, report_batch_item_failures=False))
    with pytest.raises(ConfigurationError, match=r"Mapping 'orders': .*\[ReportBatchItemFailures\]"):
        await deaf.start()
    await deaf.close()
    handler = ProcessHandler("by_record:handler", replace(mapping, report_batch_item_failures=True))
    await handler.start()
    record = {"eventSource": "aws:sqs", "messageId": "m", "body": ""}
    assert await handler.invoke(call(Records=[record])) == Succeeded(b'{"batchItemFailures":[]}')
    await handler.close()


async def test_a_users_file_named_like_one_of_pythons_does_not_stop_the_worker(
    mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("queue", "types", "enum", "json", "signal"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not meant for you')")
    (tmp_path / "shop.py").write_text("def handler(event, context):\n    return 5\n")
    handler = ProcessHandler("shop:handler", mapping)
    await handler.start()
    assert await handler.invoke(call()) == Succeeded(b"5")
    await handler.close()


async def test_a_system_without_room_at_the_start_is_no_reason_to_end(mapping, monkeypatch, caplog):
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", _refuse)
    handler = ProcessHandler(f"{FUNCTIONS}:show", mapping)
    await handler.start()
    answer = await handler.invoke(call())
    assert isinstance(answer, NotInvoked)
    assert "Resource temporarily unavailable" in answer.message
    monkeypatch.setattr(subprocess, "Popen", popen)
    assert isinstance(await handler.invoke(call()), Succeeded)
    await handler.close()
    assert "cannot be started now" in caplog.text


def _refuse(*args, **fields):
    raise BlockingIOError(11, "Resource temporarily unavailable")


async def test_the_trace_is_where_lambdas_runtimes_have_it(handler):
    """_X_AMZN_TRACE_ID, for each call its own."""
    one = await handler("show_trace")
    traced = replace(
        call(),
        trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="a=1"),
    )
    assert await one.invoke(traced) == Succeeded(
        b'"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"'
    )
