"""One shard's machine and the world: facts in, commands out, one timer; what breaks is nobody else's trouble."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import pytest

from poller.clock import SystemClock
from poller.core.messages import Request, Requested, Tick
from poller.core.model import BatchTrigger, Instant, NotInvoked, SourceProblem
from poller.core.records import (
    TRIM_HORIZON,
    Discard,
    DiscardReason,
    Page,
    Position,
    Progress,
    Record,
    ShardGauges,
    StreamBatch,
    after,
)
from poller.core.stream_messages import (
    DocumentSent,
    Fetch,
    Fetched,
    FetchFailed,
    Finished,
    Invoke,
    Invoked,
    LeaseLost,
    Save,
    Saved,
    SaveFailed,
    SendDocument,
    StreamCommand,
    StreamEvent,
)
from poller.errors import DestinationError, SourceError, StoreError
from poller.metrics import Metrics
from poller.ports import FailureDocument
from poller.runtime.crew import Crew
from poller.runtime.gate import Gate
from poller.runtime.stream_driver import LEAST_WAIT, Ending, Kit, StreamDriver
from poller.stream_telemetry import StreamTelemetry
from tests.unit.runtime.rig import OK, turns, until
from tests.unit.runtime.stream_rig import StreamHands, StreamInMemory, Takes, gone, stream_mapping

PROGRESS = Progress(after("7"))


def batch(number: int = 1) -> StreamBatch:
    record = Record("7", 0, 0, 1.0, 10, {"PartitionKey": f"r{number}"})
    return StreamBatch(number, 0, (record,), BatchTrigger.SIZE, 0.0, 10)


def discard() -> Discard:
    return Discard(1, batch(), DiscardReason.RETRIES, 1.0, 1)


class Scripted:
    """A machine that answers facts with what the test has put into `script`, by the type of the fact."""

    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self.script: dict[type, list[list[StreamCommand] | Exception]] = {}
        self.due: float | None = None
        self.at_rest = True
        self.receiving = True
        self.positioned = False
        self.released = 0
        self.in_flight = 0

    def handle(self, event: StreamEvent, now: Instant) -> list[StreamCommand]:
        self.events.append(event)
        answers = self.script.get(type(event))
        answer = answers.pop(0) if answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer

    def deadline(self) -> float | None:
        return self.due

    def gauges(self) -> ShardGauges:
        return ShardGauges(0, 0, 0, self.in_flight, None, 0.0, None, None, None, self.receiving)

    def release(self) -> None:
        self.released += 1


class Row:
    """A shard's row whose writes come to `answer`."""

    def __init__(self, answer: bool | Exception = True) -> None:
        self.answer = answer
        self.written: list[tuple[Progress, bool]] = []

    async def save(self, progress: Progress, *, durable: bool) -> bool:
        self.written.append((progress, durable))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class World:
    """All that a driver needs; an async context manager around the group of its crew."""

    def __init__(self, destination: Takes | None = None) -> None:
        self.stream = StreamInMemory(2)
        self.hands = StreamHands()
        self.row = Row()
        self.destination = destination
        self.reads, self.calls = Gate(10), Gate(10)
        self.watch = StreamTelemetry(Metrics().add(stream_mapping(), lambda: None))  # type: ignore[arg-type,return-value]
        self.endings: list[tuple[str, Ending]] = []

    async def __aenter__(self) -> Self:
        self.tasks = asyncio.TaskGroup()
        await self.tasks.__aenter__()
        self.crew = Crew(self.tasks)
        self.doubts = 0
        self.kit = Kit(
            self.stream,
            self.destination,
            lambda shard_id, discard: FailureDocument({"shard": shard_id}, {}, "key"),
            self.hands,
            self.crew,
            self.reads,
            self.calls,
            SystemClock(),
            self.watch,
            self._doubt,
        )
        return self

    def _doubt(self) -> None:
        self.doubts += 1

    async def __aexit__(self, *exc_info: object) -> None:
        self.crew.dismiss()
        await self.tasks.__aexit__(*exc_info)  # type: ignore[arg-type]

    def driver(
        self,
        machine: Scripted,
        shard: str = "shard-00",
        awaited: Callable[[SourceError | None], None] | None = None,
    ) -> StreamDriver:
        return StreamDriver(shard, machine, self.row, self.kit, self._ended, awaited)

    def _ended(self, driver: StreamDriver, ending: Ending) -> None:
        self.endings.append((driver.shard_id, ending))


def fetch(iterator: str | None = None, position: Position = TRIM_HORIZON) -> Fetch:
    return Fetch(iterator, position, 100, 5.0)


async def answered(machine: Scripted, kind: type) -> Any:
    return await until(lambda: next((e for e in machine.events if isinstance(e, kind)), None), str(kind))


# --- reading ---


async def test_str_4_the_iterator_first_then_the_records():
    """STR-4, STR-26: and the next read goes on with the iterator that came with them."""
    machine = Scripted()
    async with World() as world:
        world.stream.put("shard-00", "a")
        machine.script[Tick] = [[fetch()], [fetch("shard-00 1")]]
        driver = world.driver(machine)
        driver.feed(Tick())
        page = (await answered(machine, Fetched)).page
        assert isinstance(page, Page)
        assert [record["PartitionKey"] for record in page.records] == ["a"]
        assert page.iterator == "shard-00 1"
        driver.feed(Tick())
        await until(lambda: len(machine.events) == 4, "the second read")
        assert world.stream.calls == [
            ("iterator", "shard-00 TRIM_HORIZON"),
            ("records", "shard-00"),
            ("records", "shard-00"),
        ]


@pytest.mark.parametrize("method", ["iterator", "records"])
async def test_str_24_a_read_that_fails_says_why(method: str):
    """STR-23 to STR-25: what follows from it is the machine's business; it gets the iterator that there was."""
    machine = Scripted()
    async with World() as world:
        world.stream.failing[method] = [gone(SourceProblem.EXPIRED)]
        machine.script[Tick] = [[fetch()]]
        world.driver(machine).feed(Tick())
        failed = await answered(machine, FetchFailed)
        assert failed.problem is SourceProblem.EXPIRED
        assert failed.detail == "planted: expired"
        assert failed.iterator == (None if method == "iterator" else "shard-00 0")
        assert world.endings == []


async def test_str_3_only_a_shard_that_is_said_not_to_exist_is_doubted():
    """STR-3: what becomes of it is found out by listing all shards."""
    for problem in SourceProblem:
        machine = Scripted()
        async with World() as world:
            world.stream.failing["records"] = [gone(problem)]
            machine.script[Tick] = [[fetch()]]
            world.driver(machine).feed(Tick())
            await answered(machine, FetchFailed)
            assert world.doubts == (problem is SourceProblem.MISSING)


async def test_a_read_waits_for_a_place_and_makes_room_for_the_next():
    machines = [Scripted(), Scripted()]
    async with World() as world:
        world.reads = Gate(1)
        await world.tasks.__aexit__(None, None, None)
        await world.__aenter__()
        world.stream.hold = asyncio.Event()
        for number, machine in enumerate(machines):
            machine.script[Tick] = [[fetch()]]
            world.driver(machine, f"shard-0{number}").feed(Tick())
        await until(lambda: world.stream.reading, "the first read")
        await turns()
        assert world.stream.reading == 1
        world.stream.hold.set()
        for machine in machines:
            await answered(machine, Fetched)


async def test_a_finished_machine_cancels_its_read():
    """Nothing is taken from a stream by reading it."""
    machine = Scripted()
    async with World() as world:
        world.stream.hold = asyncio.Event()
        machine.script[Tick] = [[fetch()]]
        machine.script[Requested] = [[Finished(ended=False, progress=PROGRESS)]]
        driver = world.driver(machine)
        driver.feed(Tick())
        await until(lambda: world.stream.reading, "the read")
        driver.request(Request.STOP)
        assert [ending for _, ending in world.endings] == [Finished(ended=False, progress=PROGRESS)]
        await until(lambda: not world.stream.reading, "the end of it")
        await turns()
        assert [type(event) for event in machine.events] == [Tick, Requested]
        assert machine.released == 1


async def test_str_11_who_waits_for_the_first_read_hears_of_it():
    """STR-11: of each failure, and once of the success."""
    machine, heard = Scripted(), []
    async with World() as world:
        world.stream.failing["iterator"] = [gone(SourceProblem.DENIED)]
        world.stream.hold = asyncio.Event()
        machine.script = {Tick: [[fetch()]], FetchFailed: [[fetch()]], Fetched: [[fetch()]]}
        driver = world.driver(machine, awaited=heard.append)
        driver.feed(Tick())
        await until(lambda: world.stream.reading, "the second read")
        assert [error.problem for error in heard] == [SourceProblem.DENIED]
        machine.positioned = True
        world.stream.hold.set()
        await until(lambda: len(world.stream.asked("records")) == 2, "two reads")
        await turns()
        assert heard[1:] == [None]


# --- invoking ---


async def test_err_7_an_invocation_comes_back_with_the_id_of_its_request():
    """ERR-7, INV-9."""
    machine = Scripted()
    async with World() as world:
        told: list[tuple[str, float]] = []
        world.watch.invoked = lambda shard_id, seconds, trace_id: told.append((shard_id, seconds))  # type: ignore[method-assign]
        machine.script[Tick] = [[Invoke(batch(1)), Invoke(batch(2))]]
        driver = world.driver(machine)
        driver.feed(Tick())
        assert [(work.shard_id, work.batch.number) for work, _ in world.hands.running] == [
            ("shard-00", 1),
            ("shard-00", 2),
        ]
        assert driver.running == 2
        world.hands.end(OK, 1)
        world.hands.end(OK)
        assert machine.events[1:] == [Invoked(batch(2), OK, "request-2"), Invoked(batch(1), OK, "request-1")]
        assert told == [("shard-00", 0.5)] * 2
        assert driver.running == 0


async def test_what_waits_for_its_turn_is_withdrawn_at_a_stop():
    """API-8: it never began, so it is no attempt (ERR-1)."""
    machines = [Scripted(), Scripted()]
    async with World() as world:
        world.calls = Gate(1)
        await world.tasks.__aexit__(None, None, None)
        await world.__aenter__()
        drivers = []
        for number, machine in enumerate(machines):
            machine.script[Tick] = [[Invoke(batch(1))]]
            drivers.append(world.driver(machine, f"shard-0{number}"))
            drivers[-1].feed(Tick())
        assert len(world.hands.running) == 1
        for driver in drivers:
            driver.request(Request.PAUSE)
        assert [type(event) for event in machines[1].events] == [Tick, Requested]
        for driver in drivers:
            driver.request(Request.STOP)
        assert [type(event) for event in machines[0].events] == [Tick, Requested, Requested]
        withdrawn = machines[1].events[-1]
        assert isinstance(withdrawn, Invoked)
        assert isinstance(withdrawn.result, NotInvoked)
        world.hands.end(OK)
        assert world.hands.running == []
        machines[0].script[Tick] = [[Invoke(batch(2))]]
        drivers[0].feed(Tick())
        assert len(world.hands.running) == 1  # the place is free again


async def test_err_5_an_attempt_that_is_made_alone():
    """ERR-5: it is not even written down before all others have ended, and none begins before it has."""
    first, second, third = machines = [Scripted(), Scripted(), Scripted()]
    first.script[Tick] = [[Invoke(batch(1))]]
    second.script[Tick] = [[Save(1, PROGRESS, durable=False, alone=True)]]
    second.script[Saved] = [[Invoke(batch(2))]]
    third.script[Tick] = [[Invoke(batch(3))]]
    async with World() as world:
        drivers = [world.driver(machine, f"shard-0{n}") for n, machine in enumerate(machines)]
        for driver in drivers[:2]:
            driver.feed(Tick())
        await turns()
        drivers[2].feed(Tick())
        assert world.row.written == []
        assert world.hands.seen == ["r1"]
        world.hands.end(OK)
        await until(lambda: len(world.hands.running) == 1, "the one that is alone")
        assert world.row.written == [(PROGRESS, False)]
        assert world.hands.seen == ["r1", "r2"]
        second.script[Invoked] = [[Save(2, Progress(after("8")), durable=True)]]
        world.row.answer = StoreError("full")
        world.hands.end(OK)
        await answered(second, SaveFailed)
        assert world.hands.seen == ["r1", "r2"], "its outcome is not written down"
        second.script[Tick] = [[Save(3, Progress(after("8")), durable=True)]]
        world.row.answer = True
        drivers[1].feed(Tick())
        await until(lambda: world.hands.running, "the others")
        assert world.hands.seen == ["r1", "r2", "r3"]
        world.hands.end(OK)


async def test_err_5_two_lanes_of_a_shard_that_go_alone():
    """ERR-5: one after the other; that the second begins is written together with what came of the first."""
    machine, other = Scripted(), Scripted()
    machine.script[Tick] = [[Save(1, PROGRESS, durable=False, alone=True)]]
    machine.script[Saved] = [[Invoke(batch(1))], [Invoke(batch(2))]]
    machine.script[Invoked] = [
        [Save(2, PROGRESS, durable=True, alone=True)],
        [Save(3, PROGRESS, durable=True)],
    ]
    other.script[Tick] = [[Invoke(batch(3))]]
    async with World() as world:
        driver, beside = world.driver(machine), world.driver(other, "shard-01")
        driver.feed(Tick())
        await until(lambda: world.hands.running, "the first")
        beside.feed(Tick())
        await turns()
        assert world.hands.seen == ["r1"]
        world.hands.end(OK)
        await until(lambda: world.hands.running, "the second")
        assert world.hands.seen == ["r1", "r2"]
        world.hands.end(OK)
        await until(lambda: world.hands.running, "the rest")
        assert world.hands.seen == ["r1", "r2", "r3"]
        world.hands.end(OK)


@pytest.mark.parametrize("ending", ["nothing follows", "stop", "pause", "cut"])
async def test_err_5_an_attempt_that_is_not_made_alone_after_all(ending: str):
    """ERR-5: nobody waits for it any more, and a stop or a pause does not wait for others to end."""
    machine, other = Scripted(), Scripted()
    machine.script[Tick] = [[Save(1, PROGRESS, durable=False, alone=True)]]
    other.script[Tick] = [[Invoke(batch(1))], [Invoke(batch(2))]]
    async with World() as world:
        driver, beside = world.driver(machine), world.driver(other, "shard-01")
        if ending != "nothing follows":
            beside.feed(Tick())
        driver.feed(Tick())
        await turns()
        match ending:
            case "nothing follows":
                await answered(machine, Saved)
                beside.feed(Tick())
            case "cut":
                driver.cut()
            case _:
                driver.request(Request.PAUSE if ending == "pause" else Request.STOP)
                await answered(machine, Saved)
        await turns()
        assert bool(world.row.written) is (ending != "cut")
        beside.feed(Tick())
        assert world.hands.seen == ["r1", "r2"]
        while world.hands.running:
            world.hands.end(OK)
        assert not world.kit.solitude.wanted


async def test_results_that_come_after_the_end_are_nobodys():
    machine = Scripted()
    async with World() as world:
        machine.script[Tick] = [[Invoke(batch(1))]]
        machine.script[Requested] = [[Finished(ended=False, progress=PROGRESS, abandoned=1)]]
        driver = world.driver(machine)
        driver.feed(Tick())
        driver.request(Request.ABANDON)
        quiet = asyncio.create_task(driver.quiet())
        await turns()
        assert not quiet.done()
        world.hands.end(OK)
        await quiet
        assert [type(event) for event in machine.events] == [Tick, Requested]


# --- writing ---


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        (True, Saved(3)),
        (False, LeaseLost()),
        (StoreError("planted: full"), SaveFailed(3, "planted: full")),
    ],
)
async def test_str_30_a_save_comes_back_as_what_it_came_to(answer: Any, fact: StreamEvent):
    """STR-30."""
    machine = Scripted()
    async with World() as world:
        world.row = Row(answer)
        machine.script[Tick] = [[Save(3, PROGRESS, durable=False)]]
        world.driver(machine).feed(Tick())
        assert await answered(machine, type(fact)) == fact
        assert world.row.written == [(PROGRESS, False)]


@pytest.mark.parametrize(
    ("error", "problem"),
    [(None, ""), (DestinationError("planted: no"), "planted: no"), (DestinationError(), "DestinationError")],
)
async def test_dst_30_a_document_comes_back_accepted_or_refused(error: Exception | None, problem: str):
    """DST-30, ERR-33: refused never looks like accepted."""
    machine, takes = Scripted(), Takes(error)
    async with World(takes) as world:
        machine.script[Tick] = [[SendDocument(discard())]]
        world.driver(machine).feed(Tick())
        sent = await answered(machine, DocumentSent)
        assert sent == DocumentSent(discard(), problem)
        assert [document.document for document in takes.documents] == [{"shard": "shard-00"}]


# --- what breaks ---


@pytest.mark.parametrize("where", ["machine", "read", "save", "document", "invocation", "timer"])
async def test_gen_9_what_breaks_ends_its_own_shard_and_no_other(where: str):
    """GEN-9: told once, with what it was; the machine is given up and hears nothing more."""
    bug = ZeroDivisionError("planted")
    machine, other = Scripted(), Scripted()
    async with World(Takes(bug if where == "document" else None)) as world:
        command: dict[str, list[StreamCommand] | Exception] = {
            "machine": bug,
            "read": [fetch()],
            "save": [Save(1, PROGRESS, durable=True)],
            "document": [SendDocument(discard())],
            "invocation": [Invoke(batch())],
            "timer": [],
        }
        machine.script[Tick] = [command[where]]
        if where == "read":
            world.stream.failing_shards["shard-00"] = bug
        driver = world.driver(machine)
        if where == "save":
            world.row.answer = bug
        if where == "invocation":
            world.hands.start = lambda *_: 1 / 0  # type: ignore[method-assign]
        if where == "timer":
            machine.due = 0.0
            driver.feed(Tick())
            machine.deadline = lambda: 1 / 0  # type: ignore[method-assign]
        else:
            driver.feed(Tick())
        await until(lambda: world.endings, "the end")
        ((shard, ending),) = world.endings
        assert shard == "shard-00"
        assert isinstance(ending, ZeroDivisionError)
        assert machine.released == 1
        heard = len(machine.events)
        driver.feed(Tick())
        driver.request(Request.STOP)
        assert len(machine.events) == heard
        other.script[Tick] = [[fetch()]]
        world.driver(other, "shard-01").feed(Tick())
        await answered(other, Fetched)
        assert len(world.endings) == 1


async def test_a_driver_that_is_cut_tells_what_handlers_had():
    machine = Scripted()
    async with World() as world:
        machine.script[Tick] = [[Invoke(batch())]]
        machine.in_flight = 1
        driver = world.driver(machine)
        driver.feed(Tick())
        assert driver.cut() == 1
        assert driver.cut() == 0
        assert machine.released == 1
        assert world.endings == []
        world.hands.end(OK)
        assert [type(event) for event in machine.events] == [Tick]


# --- time, rest, telling ---


async def test_the_timer_rings_at_the_deadline_and_not_in_a_tight_loop():
    """What is due and cannot be done yet costs little."""
    machine = Scripted()
    async with World() as world:
        loop = asyncio.get_running_loop()
        driver = world.driver(machine)
        machine.due = SystemClock().now().mono + 0.05
        begun = loop.time()
        driver.feed(Requested(Request.DRAIN))
        await answered(machine, Tick)
        assert loop.time() - begun >= 0.04
        machine.due = 0.0
        before, begun = len(machine.events), loop.time()
        await asyncio.sleep(0.05)
        assert len(machine.events) - before <= (loop.time() - begun) / LEAST_WAIT + 2
        driver.cut()


async def test_a_timer_that_rings_too_early_is_wound_again():
    machine = Scripted()
    async with World() as world:
        driver = world.driver(machine)
        machine.due = SystemClock().now().mono + 0.01
        driver.feed(Requested(Request.DRAIN))
        machine.due += 0.1
        await answered(machine, Tick)
        assert SystemClock().now().mono >= machine.due
        machine.due = None
        driver.cut()


async def test_api_8_rest_is_when_nothing_is_under_way():
    """API-8: or when it goes on, or has ended."""
    machine = Scripted()
    async with World() as world:
        driver = world.driver(machine)
        await driver.rest()
        machine.receiving = machine.at_rest = False
        for change in ("at_rest", "receiving"):
            resting = asyncio.create_task(driver.rest())
            driver.feed(Tick())
            await turns()
            assert not resting.done()
            setattr(machine, change, True)
            driver.feed(Tick())
            await resting
            setattr(machine, change, False)
        resting = asyncio.create_task(driver.rest())
        await turns()
        driver.cut()
        await resting


async def test_each_word_is_told_before_it_has_an_effect():
    """The place for telemetry: events before the machine sees them, commands before they are executed."""
    machine, told = Scripted(), []
    async with World() as world:

        def tell(shard_id: str, word: Any, now: Instant) -> None:
            assert isinstance(now, Instant)
            told.append((shard_id, type(word).__name__, len(machine.events), len(world.hands.running)))

        world.watch.words.update(dict.fromkeys([Tick, Invoke], tell))
        machine.script[Tick] = [[Invoke(batch())]]
        world.driver(machine).feed(Tick())
        assert told == [("shard-00", "Tick", 0, 0), ("shard-00", "Invoke", 1, 0)]
        world.hands.end(OK)
