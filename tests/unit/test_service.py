"""A process's mappings together: added, removed, stopped in any order; what one does is nothing to the others."""

import asyncio
import contextlib
import gc
import threading
import weakref
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from poller import service as module
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_changes import Changes
from poller.core.messages import Request
from poller.core.model import SourceProblem
from poller.errors import ConfigurationError, SourceError
from poller.runtime import coordinator as coordinator_module
from poller.service import Service
from poller.testing import EmbeddedAws, FakeQueue, ManualClock
from tests.unit.runtime.rig import DEADLINE, mapping_of, turns, until


async def nothing(event: Any, context: Any) -> None:
    """A handler."""


class InMemory(Service):
    """On queues in memory, one for each mapping's source; their clock stands still."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"shutdown_timeout": 3600.0} | settings)
        self.clock = ManualClock()
        self.queues: dict[str, FakeQueue] = {}
        self.beside = 0

    async def _open(self, mapping: EventSourceMapping) -> Any:
        queue = self.queue(mapping.arn.name)
        return queue, await queue.describe()

    @contextlib.asynccontextmanager
    async def _open_beside(self, mapping: EventSourceMapping) -> Any:
        self.beside += 1
        try:
            yield self.queue(mapping.arn.name)
        finally:
            self.beside -= 1

    def queue(self, name: str) -> FakeQueue:
        if name not in self.queues:
            self.queues[name] = FakeQueue(name, clock=self.clock)
        return self.queues[name]

    async def polling(self) -> None:
        """Until every mapping has a long poll under way."""
        for coordinator in self.coordinators.values():
            queue = self.queue(coordinator.mapping.arn.name)
            await until(lambda queue=queue: queue.service.waiting, "a long poll")

    async def while_time_passes(self, work: Any) -> Any:
        """Awaits the work; long polls end meanwhile."""
        task = asyncio.ensure_future(work)
        await until(lambda: self.clock.advance(20) or task.done(), "the end")
        return await task


@contextlib.asynccontextmanager
async def running(**settings: Any) -> Any:
    """A service, left as it should be: no task, no thread, no metric of it remains."""
    threads = set(threading.enumerate())
    service = InMemory(**settings)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(service)
        yield service
        await service.while_time_passes(service.stop())
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await until(lambda: set(threading.enumerate()) <= threads, "the end of the side thread")
    assert service.metrics.mappings() == []
    assert service.coordinators == {}


async def test_gen_4_one_queue_may_feed_several_mappings():
    """GEN-4: each polls for itself, and each message goes to one of them."""
    seen: list[str] = []

    async def handler(event: Any, context: Any) -> None:
        seen.append(context.function_name)

    async with running() as service:
        for name in ("one", "two"):
            source = mapping_of("orders")
            service.add(mapping_of(name, arn=source.arn, function_name=name), handler)
        queue = service.queue("orders")
        await until(lambda: queue.service.waiting == 2, "two long polls")
        queue.send("a")
        await until(lambda: not queue.bodies(), "the message")
        assert len(seen) == 1


async def test_a_crash_of_one_mapping_is_nothing_to_the_others(monkeypatch: pytest.MonkeyPatch):
    """GEN-4: they go on polling, and the one comes back."""
    monkeypatch.setattr(coordinator_module, "delay", lambda *_: 0.0)
    async with running() as service:
        bad, good = service.add(mapping_of("bad"), nothing), service.add(mapping_of("good"), nothing)
        await service.polling()
        monkeypatch.setattr(service.queue("bad"), "delete", None)
        service.queue("bad").send("x")
        await until(lambda: bad.stats.worker_restarts["crash"], "the restart")
        service.queue("good").send("y")
        await until(lambda: not service.queue("good").bodies(), "the other's message")
        assert good.stats.worker_restarts["crash"] == 0
        waiting = asyncio.create_task(service.wait())
        await turns()
        assert not waiting.done()
        waiting.cancel()
        await service.polling()


async def test_a_name_is_taken_until_its_mapping_is_gone():
    """CFG-51: and nothing of the refused one remains."""
    async with running() as service:
        first = service.add(mapping_of("orders"), nothing)
        with pytest.raises(ConfigurationError, match="There is a mapping named 'orders' already"):
            service.add(mapping_of("orders"), nothing)
        await service.polling()
        removing = asyncio.create_task(service.remove(first.mapping.uuid))
        await turns()
        assert first.stats.state.value == "Deleting"
        with pytest.raises(ConfigurationError, match="already"):
            service.add(mapping_of("orders"), nothing)
        await service.while_time_passes(removing)
        service.add(mapping_of("orders"), nothing)
        await service.polling()
        assert len(service.metrics.mappings()) == 1


async def test_removed_by_two_at_once_and_once_more():
    """API-5: the second waits for the same end; after it there is nothing to remove."""
    async with running() as service:
        uuid = service.add(mapping_of("orders"), nothing).mapping.uuid
        service.add(mapping_of("other"), nothing)
        await service.polling()
        await service.while_time_passes(asyncio.gather(service.remove(uuid), service.remove(uuid)))
        assert list(service.coordinators) == ["other"]
        with pytest.raises(ConfigurationError, match="no mapping with the UUID"):
            await service.remove(uuid)
        assert service.abandoned == 0


async def test_a_removal_that_nobody_waits_for_goes_on_and_may_be_waited_for_again():
    """API-8: the handler finishes, its message is deleted."""
    go_on = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        await go_on.wait()

    async with running() as service:
        coordinator = service.add(mapping_of("orders"), handler)
        await service.polling()
        service.queue("orders").send("one")
        await until(lambda: coordinator.gauges().in_flight_messages, "the invocation")
        removing = asyncio.create_task(service.remove(coordinator.mapping.uuid))
        await turns()
        removing.cancel()
        await asyncio.wait([removing])
        assert "orders" in service.coordinators
        go_on.set()
        await service.while_time_passes(service.remove(coordinator.mapping.uuid))
        assert service.queue("orders").bodies() == []
        assert service.coordinators == {}


async def test_the_end_meets_a_removal_under_way():
    """API-8: both wait for the same end."""
    async with running() as service:
        coordinator = service.add(mapping_of("orders"), nothing)
        await service.polling()
        removing = asyncio.create_task(service.remove(coordinator.mapping.uuid))
        await turns()
        await service.while_time_passes(service.stop())
        await removing


async def test_drain_ends_when_the_enabled_are_empty_whatever_becomes_of_the_others():
    """CFG-3: a paused mapping's queue is not waited for."""
    async with running() as service:
        service.add(mapping_of("paused", enabled=False), nothing)
        done = service.add(mapping_of("orders"), nothing)
        service.queue("paused").send("stays")
        service.queue("orders").send("goes")
        await service.while_time_passes(service.drain())
        assert done.task.done()
        assert service.queue("orders").bodies() == []
        assert service.queue("paused").bodies() == ["stays"]
        await service.while_time_passes(service.drain())


async def test_drain_returns_when_the_mapping_is_removed_meanwhile():
    """API-8: whoever waits for a drain is not cancelled with it."""
    async with running(shutdown_timeout=0.2) as service:
        coordinator = service.add(mapping_of("orders"), nothing)
        await service.polling()
        service.queue("orders").faults.hang(times=None)
        draining = asyncio.create_task(service.drain())
        await until(lambda: not draining.done() and coordinator._draining, "the drain")
        service.clock.advance(20)
        await asyncio.wait_for(service.remove(coordinator.mapping.uuid), DEADLINE)
        await asyncio.wait_for(draining, DEADLINE)


async def test_nothing_is_added_before_the_block_nor_after_it_and_it_serves_once():
    """CFG-38: one readable sentence, and no task that fails later."""
    service = InMemory()
    with pytest.raises(ConfigurationError, match="inside the `async with` block only"):
        service.add(mapping_of(), nothing)
    async with service:
        pass
    with pytest.raises(ConfigurationError, match="inside the `async with` block only"):
        service.add(mapping_of(), nothing)
    with pytest.raises(ConfigurationError, match="one `async with` block"):
        await service.__aenter__()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("part", ["AwsClients", "Watchdog"])
async def test_a_start_that_fails_leaves_nothing(part: str, monkeypatch: pytest.MonkeyPatch):
    """The side thread ends, and the embedder's registry is as it was."""

    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("planted")

    threads = set(threading.enumerate())
    registry = CollectorRegistry()
    monkeypatch.setattr(module, part, broken)
    with pytest.raises(ZeroDivisionError):
        async with Service(registry=registry):
            raise AssertionError("it cannot begin")
    assert list(registry.collect()) == []
    await until(lambda: set(threading.enumerate()) <= threads, "the end of the side thread")


async def test_cancelling_the_end_ends_it_at_once_and_completely():
    """GEN-2: handlers are cancelled, what they had comes back later, and no task is left to the embedder."""
    cancelled = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    service = InMemory()
    await service.__aenter__()
    service.add(mapping_of("orders"), handler)
    service.add(mapping_of("idle"), nothing)
    await service.polling()
    service.queue("orders").send("one")
    await until(lambda: service.coordinators["orders"].gauges().in_flight_messages, "the invocation")
    leaving = asyncio.create_task(service.__aexit__(None, None, None))
    await turns()
    leaving.cancel()
    await asyncio.wait([leaving], timeout=DEADLINE)
    assert leaving.cancelled()
    assert cancelled.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert service.metrics.mappings() == []
    assert service.queue("orders").bodies() == ["one"]
    assert service.abandoned == 1


async def test_deaf_handlers_of_several_mappings_get_their_grace_together(monkeypatch: pytest.MonkeyPatch):
    """API-8: a hundred mappings must not take a hundred times the grace of one."""
    monkeypatch.setattr(module, "DISPATCHER_GRACE", 3600.0)
    both = asyncio.Barrier(2)

    async def handler(event: Any, context: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await both.wait()

    service = InMemory(shutdown_timeout=0.1)
    async with service:
        for name in ("a", "b"):
            service.queues[name] = FakeQueue(name, clock=service.clock, attributes={"VisibilityTimeout": "900"})
            service.add(mapping_of(name, timeout=900.0), handler)
            service.queue(name).send("one")
        for name in ("a", "b"):
            await until(lambda name=name: service.coordinators[name].gauges().in_flight_messages, "the invocation")
        async with asyncio.timeout(DEADLINE):
            assert await service.stop() == 2
            assert await service.stop() == 2


async def test_what_a_change_abandoned_is_no_failure_of_a_later_stop():
    """API-8: it was told when it happened, perhaps weeks ago."""
    called = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        called.set()
        await asyncio.Event().wait()

    service = InMemory(shutdown_timeout=0.1)
    async with service:
        orders = service.add(mapping_of("orders"), handler)
        service.queue("orders").send("one")
        await called.wait()
        await service.change(Changes(stop=(orders.mapping,), start=()))
        assert orders.abandoned == 1
        async with asyncio.timeout(DEADLINE):
            assert await service.stop() == 0


async def test_a_heartbeat_extends_receipts_while_the_service_runs():
    """SQS-9: what is held is told to the side thread, and let go with the mapping."""
    go_on = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        await go_on.wait()

    async with running() as service:
        coordinator = service.add(mapping_of("orders", heartbeat=True), handler)
        await service.polling()
        service.queue("orders").send("one")
        await until(lambda: coordinator.gauges().in_flight_messages, "the invocation")
        machine = service._heartbeats["orders"]._machine
        await until(lambda: machine._leases, "the receipt in the heartbeat's hands")
        go_on.set()
        await until(lambda: not service.queue("orders").bodies(), "the delete")
        await until(lambda: not machine._leases, "the heartbeat to let go")
        assert service.beside == 1
        await service.while_time_passes(service.remove(coordinator.mapping.uuid))
        assert service.beside == 0


async def test_a_heartbeat_without_a_connection_keeps_nobody_from_leaving(caplog: pytest.LogCaptureFixture):
    """SQS-9, API-8: the mapping works, and the end is the usual one."""

    class Away(InMemory):
        @contextlib.asynccontextmanager
        async def _open_beside(self, mapping: EventSourceMapping) -> Any:
            raise SourceError(SourceProblem.UNREACHABLE, "planted: away")
            yield

    service = Away()
    async with service:
        service.add(mapping_of("orders", heartbeat=True), nothing)
        service.queue("orders").send("one")
        await until(lambda: not service.queue("orders").bodies(), "the message")
        await until(lambda: "planted: away" in caplog.text, "the complaint")
        await service.while_time_passes(service.stop())
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_the_death_of_the_side_thread_keeps_nobody_from_leaving(caplog: pytest.LogCaptureFixture):
    """API-8: it is told, and the mappings end as usual."""

    async def die() -> None:
        raise SystemExit("planted")

    service = InMemory()
    async with service:
        service.add(mapping_of("orders", heartbeat=True), nothing)
        await service.polling()
        service.side.spawn(die())
        await until(lambda: not service.side._thread.is_alive(), "the death")
        service.queue("orders").send("one")
        await until(lambda: not service.queue("orders").bodies(), "the message")
        await service.while_time_passes(service.stop())
        assert service.coordinators == {}
    assert "side_thread_died" in [getattr(record, "action", "") for record in caplog.records]


# --- the first look ---


async def first_problem(*problems: Any) -> Any:
    service = InMemory()
    async with service:
        for number, problem in enumerate(problems):
            coordinator = service.add(mapping_of(f"q{number}"), nothing)
            coordinator.first_attempt.set_result(problem)
        found = await service.first_problem()
        await service.while_time_passes(service.stop())
    return found


def source_error(problem: SourceProblem) -> SourceError:
    return SourceError(problem, "planted")


MISSING, DENIED = source_error(SourceProblem.MISSING), source_error(SourceProblem.DENIED)
AWAY, THROTTLED = source_error(SourceProblem.UNREACHABLE), source_error(SourceProblem.THROTTLED)
BAD = ConfigurationError("planted")


@pytest.mark.parametrize(
    ("problems", "found"),
    [
        ((), None),
        ((None,), None),
        ((AWAY,), None),
        ((AWAY, THROTTLED), None),
        ((MISSING,), MISSING),
        ((DENIED, MISSING), MISSING),
        ((DENIED, None), None),
        ((DENIED, AWAY), None),
        ((None, BAD), BAD),
        ((MISSING, BAD), BAD),
    ],
)
async def test_which_problem_ends_a_daemon_at_its_start(problems: Any, found: Any):
    """CFG-40, CFG-42, API-16: a no from every source, or anything that only a person can mend."""
    assert await first_problem(*problems) is found


@pytest.mark.parametrize(("problem", "found"), [(MISSING, None), (BAD, BAD)])
async def test_a_source_of_the_file_does_not_end_what_the_api_has_made(problem: Any, found: Any):
    """CFG-40, API-16: those mappings would never run again because of a queue that was deleted."""
    async with InMemory() as service:
        for name, first in (("file", problem), ("api", None)):
            service.add(mapping_of(name), nothing).first_attempt.set_result(first)
        assert await service.first_problem({service.coordinators["api"].mapping.uuid}) is found
        await service.while_time_passes(service.stop())


# --- AWS ---


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.mark.usefixtures("credentials")
async def test_over_http_with_a_heartbeat_beside():
    """SQS-9, GEN-5: two connections to the same queue, both closed at the end; every call is counted."""
    async with EmbeddedAws() as aws:
        service = Service(region="us-east-1", endpoint_url=aws.url, shutdown_timeout=5)
        queue = FakeQueue("orders", service=aws.service)
        async with service:
            service.add(mapping_of("orders", heartbeat=True), nothing)
            queue.send("one")
            await until(lambda: not queue.bodies(), "the message")
        await until(lambda: not aws.connections, "the end of the connections")
        series = service.metrics.process.aws_requests
        assert series["sqs", "DeleteMessageBatch", "success"].count == 1
        assert series["sqs", "ReceiveMessage", "success"].count >= 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("credentials")
async def test_cfg_40_a_queue_that_does_not_exist_is_named():
    """CFG-40: and so is an endpoint that cannot be one."""
    async with EmbeddedAws() as aws:
        async with Service(region="us-east-1", endpoint_url=aws.url, shutdown_timeout=5) as service:
            service.add(mapping_of("nowhere"), nothing)
            problem = await asyncio.wait_for(service.first_problem(), DEADLINE)
        assert isinstance(problem, SourceError)
        assert problem.problem is SourceProblem.MISSING
        assert "nowhere" in str(problem)
    async with Service(region="us-east-1", endpoint_url="ftp://x", shutdown_timeout=5) as service:
        service.add(mapping_of("nowhere"), nothing)
        problem = await asyncio.wait_for(service.first_problem(), DEADLINE)
        assert isinstance(problem, ConfigurationError)
        assert "ftp://x" in str(problem)


# --- many ---


async def test_a_thousand_mappings_come_and_go_and_leave_nothing():
    """GEN-4: no task, thread, series or object of theirs remains."""
    async with running() as service:
        gone: list[weakref.ref[Any]] = []
        for lot in range(20):
            uuids = []
            for number in range(50):
                coordinator = service.add(mapping_of(f"q{lot}-{number}"), nothing)
                uuids.append(coordinator.mapping.uuid)
                gone.append(weakref.ref(coordinator))
            del coordinator
            for number in range(50):
                service.queue(f"q{lot}-{number}").send("one")
            for number in range(50):
                queue = service.queue(f"q{lot}-{number}")
                await until(lambda queue=queue: not queue.bodies(), "the message")
            await service.while_time_passes(asyncio.gather(*(service.remove(uuid) for uuid in uuids)))
            service.queues.clear()
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (service.coordinators, service._dispatchers, service._heartbeats) == ({}, {}, {})
        assert service.metrics.mappings() == []
        assert service._budget.used == 0
        await until(
            lambda: gc.collect() >= 0 and not any(ref() is not None for ref in gone), "the last to be freed"
        )


async def test_a_request_to_a_mapping_that_is_gone_does_no_harm():
    async with running() as service:
        coordinator = service.add(mapping_of("orders"), nothing)
        await service.polling()
        await service.while_time_passes(service.remove(coordinator.mapping.uuid))
        for request in Request:
            coordinator.request(request)
        await coordinator.pause()
        assert coordinator.stats.state.value == "Deleting"
