"""The library inside an application: what it does, how it leaves, and what it keeps its hands off."""

import ast
import asyncio
import builtins
import gc
import inspect
import io
import logging
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from prometheus_client import CollectorRegistry, Counter, generate_latest

import poller
from poller import embed
from poller.core.model import Instant
from poller.errors import ConfigurationError, SourceError
from poller.service import Service
from poller.testing import EmbeddedAws, FakeQueue, ManualClock
from tests.unit.runtime.rig import DEADLINE, turns, until

README = Path(__file__).resolve().parents[2] / "README.md"
ARN = "arn:aws:sqs:us-east-1:000000000000:"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dummy credentials, and nothing of the machine's own."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_SQS", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The embedded AWS where every client of this process looks for AWS."""
    async with EmbeddedAws() as embedded:
        monkeypatch.setenv("AWS_ENDPOINT_URL", embedded.url)
        yield embedded


def queue_of(aws: EmbeddedAws, name: str = "orders", visibility: int = 30) -> FakeQueue:
    return FakeQueue(name, service=aws.service, attributes={"VisibilityTimeout": str(visibility)})


def visible(queue: FakeQueue) -> int:
    told = queue._now("GetQueueAttributes", {"QueueUrl": queue.url, "AttributeNames": ["All"]})["Attributes"]
    return int(told["ApproximateNumberOfMessages"])


def quick(**settings: Any) -> poller.Poller:
    """Long polls of a second, so that leaving takes no longer."""
    return poller.Poller(**{"shutdown_timeout": 2.5} | settings)


@pytest.fixture
def quick_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for poller.run."""
    monkeypatch.setattr(embed, "Service", lambda **settings: Service(**{"shutdown_timeout": 2.5} | settings))


async def nothing(event: Any, context: Any) -> None:
    """A handler."""


# --- the README ---


def readme_example() -> tuple[str, str]:
    """The example of "Inside your own program", adapted ARNs only: the part with run, the part with Poller."""
    text = README.read_text(encoding="utf-8")
    section = text.partition("## Inside your own program")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    code = code.replace("eu-west-1:123456789012", "us-east-1:000000000000")
    first, marker, second = code.partition("# several, inside an application")
    assert marker
    assert "poller.run(" in first
    return first, second


async def execute(code: str, names: dict[str, Any]) -> None:
    """Runs a piece of a program with await at its top level."""
    made = eval(compile(code, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(made):
        await made


async def test_the_readmes_example_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """GEN-5, API-8: as it is printed; AWS's clock moves on whenever its queues are empty and somebody waits."""
    monkeypatch.chdir(tmp_path)  # it keeps its positions in a file
    clock = ManualClock(Instant(time.time(), time.monotonic()))
    async with EmbeddedAws(clock=clock) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        aws.kinesis.limits = False
        aws.kinesis.apply(clock.now(), "CreateStream", {"StreamName": "clicks", "ShardCount": 1})
        orders, payments = queue_of(aws), queue_of(aws, "payments.fifo")

        async def time_passes() -> None:
            while True:
                if aws.service.waiting and not (orders.bodies() or payments.bodies()):
                    clock.advance(20)
                await asyncio.sleep(0.005)

        passing = asyncio.create_task(time_passes())
        first, second = readme_example()
        names: dict[str, Any] = {"my_registry": CollectorRegistry()}
        orders.send("one")
        running = asyncio.create_task(execute(first, names))
        await until(lambda: not orders.bodies() or running.done(), "the message")
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE)
        assert running.cancelled()
        orders.send("two")
        payments.send("three", MessageGroupId="a")
        async with asyncio.timeout(DEADLINE):
            await execute(second, names)
        assert orders.bodies() == payments.bodies() == []
        assert list(names["my_registry"].collect()) == []
        passing.cancel()
        await asyncio.wait([passing])


# --- poller.run ---


@pytest.mark.usefixtures("quick_run")
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_cancelling_run_lets_the_handler_finish(loop_factory: Callable[[], Any], monkeypatch: pytest.MonkeyPatch):
    """API-8, GEN-5: then CancelledError, on asyncio's own loop and on uvloop; no task is left."""

    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def handler(event: Any, context: Any) -> None:
            begun.set()
            await go_on.wait()

        async with EmbeddedAws() as aws:
            monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
            queue = queue_of(aws)
            queue.send("one")
            running = asyncio.create_task(poller.run(ARN + "orders", handler))
            await asyncio.wait_for(begun.wait(), DEADLINE)
            running.cancel()
            await turns(50)
            assert not running.done()
            queue.send("two")
            go_on.set()
            await asyncio.wait([running], timeout=DEADLINE)
            assert running.cancelled()
            assert queue.bodies() == ["two"]
            assert visible(queue) == 1
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario())


@pytest.mark.usefixtures("quick_run")
async def test_cancelling_run_twice_waits_for_nobody(aws: EmbeddedAws):
    """GEN-2: the handler is cancelled, its message comes back by its visibility timeout."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    queue = queue_of(aws)
    queue.send("one")
    running = asyncio.create_task(poller.run(ARN + "orders", handler))
    await asyncio.wait_for(begun.wait(), DEADLINE)
    for _ in range(2):
        running.cancel()
        await turns(50)
    await asyncio.wait([running], timeout=DEADLINE)
    assert running.cancelled()
    assert cancelled.is_set()
    assert queue.bodies() == ["one"]


@pytest.mark.usefixtures("quick_run")
async def test_a_handler_that_outlasts_the_stop_is_abandoned_and_its_message_visible(aws: EmbeddedAws):
    """API-8, INV-9: at the deadline, not later; whatever a function does."""
    begun = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    queue = queue_of(aws)
    queue.send("one")
    running = asyncio.create_task(poller.run(ARN + "orders", handler))
    await asyncio.wait_for(begun.wait(), DEADLINE)
    running.cancel()
    await asyncio.wait([running], timeout=DEADLINE)
    assert running.cancelled()
    assert visible(queue) == 1


@pytest.mark.usefixtures("aws", "quick_run")
async def test_run_raises_what_only_a_person_can_mend():
    """CFG-40, CFG-38, CFG-4: one readable text, nothing left running."""
    with pytest.raises(SourceError, match=r"(?s)does not exist.*nowhere"):
        await asyncio.wait_for(poller.run(ARN + "nowhere", nothing), DEADLINE)
    with pytest.raises(ConfigurationError, match="no module 'not_there'"):
        await asyncio.wait_for(poller.run(ARN + "orders", "python:not_there:handler"), DEADLINE)
    with pytest.raises(ConfigurationError, match="BatchSize") as caught:
        await poller.run(ARN + "orders", nothing, BatchSize=0, Nonsense=1)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(ConfigurationError, match="not callable"):
        await poller.run(ARN + "orders", 7)  # type: ignore[arg-type]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("quick_run")
async def test_run_waits_for_an_aws_that_is_away(monkeypatch: pytest.MonkeyPatch):
    """API-16: nothing is raised, and it begins when AWS is there."""
    embedded = EmbeddedAws()
    await embedded.start()
    await embedded.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", embedded.url)
    queue = queue_of(embedded)
    queue.send("one")
    running = asyncio.create_task(poller.run(ARN + "orders", nothing))
    await turns(50)
    assert not running.done()
    async with embedded:
        await until(lambda: not queue.bodies(), "the message")
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE)
    assert running.cancelled()


# --- poller.Poller ---


async def test_mappings_are_added_while_others_run_and_removed_again(aws: EmbeddedAws):
    """GEN-4, API-8: by object and by decorator; names are found for those without."""
    seen: list[Any] = []
    first, second = queue_of(aws), queue_of(aws, "payments.fifo")
    async with quick() as p:
        orders = p.add(ARN + "orders", lambda event, context: seen.append(context.function_name))
        again = p.add(ARN + "orders", nothing)
        assert (orders.name, again.name) == ("orders", "orders-2")
        await p.remove(again.uuid)

        @p.mapping(ARN + "payments.fifo", Name="pay", BatchSize=1)
        def payments(event: Any, context: Any) -> None:
            seen.append(event["Records"][0]["body"])

        assert payments({"Records": [{"body": "called"}]}, None) is None
        await orders.started()
        assert orders.state == "Enabled"
        assert [mapping.name for mapping in p.mappings()] == ["orders", "pay"]
        first.send("a")
        second.send("b", MessageGroupId="g")
        await until(lambda: len(seen) == 3 and not (first.bodies() or second.bodies()), "both messages")
        assert orders.in_flight == 0
    assert orders.state == "Enabled"
    assert p.mappings() == []


async def test_exceptions_of_the_block_are_those_that_come_out(aws: EmbeddedAws):
    """API-8: and the mappings have stopped well before."""
    queue = queue_of(aws)
    done: list[str] = []
    begun = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        begun.set()
        await asyncio.sleep(0)
        done.append("done")

    async def application() -> None:
        async with quick() as p:
            p.add(ARN + "orders", handler)
            queue.send("one")
            await asyncio.wait_for(begun.wait(), DEADLINE)
            raise ZeroDivisionError("the application's own")

    with pytest.raises(ZeroDivisionError, match="the application's own"):
        await application()
    assert done == ["done"]
    assert queue.bodies() == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_pause_resume_drain_remove_in_odd_orders(aws: EmbeddedAws):
    """API-8: each is one readable error or nothing, and none hangs."""
    queue = queue_of(aws)
    async with asyncio.timeout(DEADLINE):
        async with quick() as p:
            orders = p.add(ARN + "orders", nothing)
            await p.resume(orders.uuid)
            await p.pause(orders.uuid)
            await p.pause(orders.uuid)
            assert orders.state == "Disabled"
            queue.send("one")
            await p.drain()  # nothing is enabled, so nothing is waited for
            assert queue.bodies() == ["one"]
            await p.resume(orders.uuid)
            await p.drain()
            assert queue.bodies() == []
            await orders.finished()
            await p.drain()
            await p.pause(orders.uuid)
            with pytest.raises(ConfigurationError, match="has ended and cannot go on"):
                await p.resume(orders.uuid)
            await p.remove(orders.uuid)
            for call in (p.pause, p.resume, p.remove):
                with pytest.raises(ConfigurationError, match="There is no mapping with the UUID"):
                    await call(orders.uuid)
            await p.drain()


async def test_a_mapping_whose_source_is_missing_says_so_and_lives_on(aws: EmbeddedAws):
    """CFG-40, API-16: it starts as soon as the queue is there."""
    async with quick() as p:
        orders = p.add(ARN + "orders", nothing)
        with pytest.raises(SourceError, match="does not exist"):
            await asyncio.wait_for(orders.started(), DEADLINE)
        assert orders.state == "Creating"
        queue = queue_of(aws)
        queue.send("one")
        await until(lambda: not queue.bodies(), "the message")


async def test_a_handler_that_cannot_be_used_is_its_mappings_end(aws: EmbeddedAws):
    """CFG-38: the others work on."""
    queue = queue_of(aws)
    async with quick() as p:
        bad = p.add(ARN + "orders", "python:not_there:handler", Name="bad")
        p.add(ARN + "orders", nothing, Name="good")
        for wait in (bad.started, bad.finished):
            with pytest.raises(ConfigurationError, match="no module 'not_there'"):
                await asyncio.wait_for(wait(), DEADLINE)
        queue.send("one")
        await until(lambda: not queue.bodies(), "the message")


async def test_who_waits_for_the_end_of_a_mapping_is_not_cancelled_with_it(aws: EmbeddedAws):
    """API-8: even if the mapping has to be cut off."""
    queue_of(aws)
    aws.faults.hang("ReceiveMessage", times=None)
    async with quick(shutdown_timeout=0.1) as p:
        orders = p.add(ARN + "orders", nothing)
        await until(lambda: aws.service.calls["ReceiveMessage"], "the receive")
        finished = asyncio.create_task(orders.finished())
        await turns()
    await asyncio.wait_for(finished, DEADLINE)


async def test_cfg_44_is_told_before_anything_is_received(aws: EmbeddedAws):
    """CFG-44, SUR-19: AWS's sentence."""
    queue_of(aws, visibility=10)
    async with quick() as p:
        orders = p.add(ARN + "orders", nothing, Handler={"TimeoutInSeconds": 11})
        with pytest.raises(SourceError, match="10 seconds is less than Function timeout: 11 seconds"):
            await asyncio.wait_for(orders.started(), DEADLINE)
    assert aws.service.calls["ReceiveMessage"] == 0


async def test_sqs_23_a_handler_without_a_thread_is_tried_again_and_nothing_is_lost(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
):
    """SQS-23: not invoked, so the batch is kept and tried again."""
    seen: list[str] = []
    queue = queue_of(aws)
    async with quick() as p:
        orders = p.add(ARN + "orders", lambda event, context: seen.append(event["Records"][0]["messageId"]))
        await orders.started()
        start, refused = threading.Thread.start, []

        def refuses(thread: threading.Thread) -> None:
            if thread.name.startswith("esm:orders") and not refused:
                refused.append(thread)
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuses)
        sent = queue.send("one")
        await until(lambda: not queue.bodies(), "the second attempt")
    assert refused
    assert seen == [sent]


# --- what a library keeps its hands off ---


async def test_no_signal_handler_no_logging_no_file_of_ours(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A library is a guest: it takes nothing that belongs to the process."""
    queue = queue_of(aws)
    (tmp_path / "poller.yaml").write_text("this: is: not: for: the: library")
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []

    def recorded(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(str(path))
        return io_open(path, *args, **kwargs)

    io_open = io.open
    monkeypatch.setattr(io, "open", recorded)
    monkeypatch.setattr(builtins, "open", recorded)
    names = [None, "poller", "asyncio"]
    logs = [(name, logging.getLogger(name).handlers[:], logging.getLogger(name).level) for name in names]
    signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
    excepthook, threadhook = sys.excepthook, threading.excepthook
    async with quick() as p:
        p.add(ARN + "orders", nothing)
        queue.send("one")
        await until(lambda: not queue.bodies(), "the message")
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == signals
    assert [(n, logging.getLogger(n).handlers[:], logging.getLogger(n).level) for n in names] == logs
    assert (sys.excepthook, threading.excepthook) == (excepthook, threadhook)
    ours = [name for name in opened if name.startswith(str(tmp_path)) or name.endswith(("poller.yaml", ".db"))]
    assert ours == []
    assert [entry.name for entry in os.scandir(tmp_path)] == ["poller.yaml"]


async def test_a_log_that_fails_costs_its_lines_and_nothing_else(aws: EmbeddedAws):
    """SQS-20: a handler of the program's own that lets its errors out, as one that writes to a full queue may."""

    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise queue.Full

    worked: list[str] = []

    async def handler(event: Any, context: Any) -> None:
        worked.append(event["Records"][0]["body"])
        if len(worked) == 1:
            raise ValueError

    orders, full = queue_of(aws, visibility=1), Full()
    logging.getLogger("poller").addHandler(full)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            async with quick() as p:
                mapping = p.add(ARN + "orders", handler, Handler={"TimeoutInSeconds": 1})
                await asyncio.wait_for(mapping.started(), DEADLINE)
                orders.send("one")
                await until(lambda: len(worked) > 1, "the second attempt")
                assert mapping.state == "Enabled"
                await asyncio.wait_for(p.drain(), DEADLINE)
        finally:
            logging.getLogger("poller").removeHandler(full)
    text = "orders: a line of the log (handler_error) was lost to Full"
    assert text in [str(one.message) for one in told if one.category is RuntimeWarning]


async def test_the_embedders_registry_has_our_series_while_we_run_and_its_own_always(aws: EmbeddedAws):
    """MET-1, MET-5: two Pollers may share it; the one that leaves takes only its own."""
    registry = CollectorRegistry()
    Counter("app_orders", "The application's own.", registry=registry)
    queue = queue_of(aws)
    queue_of(aws, "b")

    def series(name: str) -> bool:
        return f'esm_polled_events_total{{mapping="{name}"' in generate_latest(registry).decode()

    async with quick(registry=registry) as one:
        assert one.registry is registry
        first = one.add(ARN + "orders", nothing, Name="a")
        assert series("a")
        async with quick(registry=registry) as other:
            other.add(ARN + "b", nothing, Name="b")
            with pytest.raises(ConfigurationError, match="already counted in this metrics registry"):
                other.add(ARN + "b", nothing, Name="a")
            assert [mapping.name for mapping in other.mappings()] == ["b"]
            assert series("b")
        assert not series("b")
        assert series("a")
        queue.send("one")
        deleted = ("esm_deleted_events_total", {"mapping": "a", "source": "sqs"})
        await until(lambda: registry.get_sample_value(*deleted) == 1.0, "the message")
        assert queue.bodies() == []
        await one.remove(first.uuid)
        assert not series("a")
        one.add(ARN + "orders", nothing, Name="a")
        assert series("a")
    assert [family.name for family in registry.collect()] == ["app_orders"]


async def test_used_outside_of_its_block():
    """One readable sentence each."""
    p = poller.Poller()
    with pytest.raises(ConfigurationError, match="inside the `async with` block only"):
        p.add(ARN + "orders", nothing)
    async with p:
        pass
    with pytest.raises(ConfigurationError, match="one `async with` block"):
        async with p:
            raise AssertionError("it cannot begin")
    with pytest.raises(ConfigurationError, match="not a place for state"):
        poller.Poller(state="nowhere")


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), -1.0])
def test_a_stop_has_an_end(timeout: float):
    """Told when it is asked for, and not by the first mapping."""
    with pytest.raises(ConfigurationError, match="shutdown_timeout"):
        poller.Poller(shutdown_timeout=timeout)


async def test_two_pollers_come_and_go_without_a_trace(aws: EmbeddedAws):
    """GEN-4: threads, tasks, connections."""
    threads = set(threading.enumerate())
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    queue = queue_of(aws)
    async with quick() as one, quick() as other:
        one.add(ARN + "orders", nothing)
        other.add(ARN + "orders", nothing, Poller={"Heartbeat": True})
        queue.send("one")
        await until(lambda: not queue.bodies(), "the message")
    await until(lambda: not aws.connections, "the end of the connections")
    await until(lambda: set(threading.enumerate()) <= threads, "the end of the threads")
    gc.collect()
    await turns()
    assert complaints == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_callable_of_any_kind_has_a_name_for_logs():
    """CFG-2."""

    class Callable:
        def __call__(self, event: Any, context: Any) -> None: ...

    for handler in (nothing, lambda event, context: None, Callable(), Callable, max):
        parsed, target = embed._parse(ARN + "orders", handler, {})
        assert target is handler
        assert parsed.function_name.startswith("python:")
    assert embed._parse(ARN + "orders", nothing, {})[0].function_name.endswith(":nothing")
    for module, name, shown in (
        ("my-app", "handler", "my_app:handler"),  # from a file that was loaded by its path
        ("plugins.2024-orders.main", "class.x", "plugins._2024_orders.main:_class.x"),
        ("shop.\xfc", "f.<locals>.<lambda>", "shop.\xfc:f._locals_._lambda_"),
        (5, None, "application:"),
        ("", "", "application:"),
    ):
        strange: Any = Callable()
        strange.__module__, strange.__qualname__ = module, name
        assert embed._parse(ARN + "orders", strange, {})[0].function_name.startswith(f"python:{shown}")
    assert embed._parse(ARN + "orders", "python:a:b", {})[1] is None
