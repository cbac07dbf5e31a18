"""Throughput of `process:` with code that keeps a core busy: Concurrency 2 against 1, and against `python:`.

Twice as much on two idle cores; each figure is the best of three, as other programs can only take away.
"""

import asyncio
import time
from dataclasses import replace

from poller.core.mapping import EventSourceMapping, HandlerSettings, SourceArn
from poller.core.model import SourceKind, Succeeded
from poller.eventloop import new_event_loop
from poller.handlers.targets import make_handler
from poller.ports import Invocation
from tests.bench.rows import Row, Work, row

CALLS = 60
ROUNDS = 150_000
REPEATS = 3
ONE = "process:, Concurrency 1"
MAPPING = EventSourceMapping(
    uuid="0b7c1a52-0000-4000-8000-000000000001",
    name="bench",
    source=SourceKind.SQS,
    arn=SourceArn("arn:aws:sqs:eu-west-1:123456789012:b", "aws", "eu-west-1", "123456789012", "b"),
    function_name="",
    function_arn="arn:aws:lambda:eu-west-1:123456789012:function:bench",
)


def busy(event, context):
    """Some tens of milliseconds of plain Python."""
    total = 0
    for number in range(ROUNDS):
        total += number * number % 7
    return total


async def throughput(form: str, concurrency: int, calls: int, repeats: int) -> float:
    """Calls a second, the best of some rounds."""
    settings = HandlerSettings(concurrency=concurrency)
    function_name = f"{form}:tests.bench.sections.processes:busy"
    handler = make_handler(replace(MAPPING, function_name=function_name, handler=settings))
    await handler.start()

    async def one_after_the_other(count: int) -> None:
        for _ in range(count):
            result = await handler.invoke(Invocation({}, "r", time.monotonic() + 60))
            assert isinstance(result, Succeeded), result

    async def side_by_side(count: int) -> None:
        await asyncio.gather(*(one_after_the_other(count // concurrency) for _ in range(concurrency)))

    await side_by_side(2 * concurrency)  # so that all workers are there
    best = 0.0
    for _ in range(repeats):
        begun = time.perf_counter()
        await side_by_side(calls)
        best = max(best, calls / (time.perf_counter() - begun))
    await handler.close()
    return best


async def start() -> float:
    """Seconds until a worker is there, beside what its own module takes to import: the median of some."""
    times = []
    for _ in range(10):
        handler = make_handler(replace(MAPPING, function_name="process:json:dumps"))
        begun = time.perf_counter()
        await handler.start()
        times.append(time.perf_counter() - begun)
        await handler.close()
    return sorted(times)[len(times) // 2]


async def latency() -> float:
    """Seconds that a call costs beyond the function, on one worker: the median of many."""
    handler = make_handler(replace(MAPPING, function_name="process:tests.bench.sections.processes:idle"))
    await handler.start()
    times = []
    for _ in range(1_000):
        begun = time.perf_counter()
        invocation = Invocation({"Records": [{"body": "x" * 512}] * 10}, "r", time.monotonic() + 60)
        assert isinstance(await handler.invoke(invocation), Succeeded)
        times.append(time.perf_counter() - begun)
    await handler.close()
    return sorted(times)[len(times) // 2]


def idle(event, context):
    """Nothing."""


async def figures(work: Work) -> list[Row]:
    calls, unit = work.count(CALLS), "calls a second"
    one = await throughput("process", 1, calls, work.rounds(REPEATS))
    two = await throughput("process", 2, calls, work.rounds(REPEATS))
    threads = await throughput("python", 2, calls, work.rounds(REPEATS))
    return [
        row(ONE, one, unit),
        row("process:, Concurrency 2", two, unit, ONE, two / one),
        row("python:, Concurrency 2", threads, unit, ONE, threads / one),
        row("a worker is there after", await start() * 1e3, "ms"),
        row("a call costs beyond its function", await latency() * 1e6, "microseconds"),
    ]


def measure(work: Work) -> list[Row]:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(figures(work))
