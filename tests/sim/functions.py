"""The functions of a run: they succeed, fail, take their time, answer nonsense, are busy or cannot be reached."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from poller.core.model import FunctionError, InvocationResult, JsonObject, NotInvoked, Succeeded, Throttled
from poller.ports import Invocation
from tests.sim.sources import Source

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.world import World

NONSENSE = (
    b'{"batchItemFailures": 7}',
    b'{"batchItemFailures": [{}, {"itemIdentifier": "x"}]}',
    b'{"batchItemFailures": [{"itemIdentifier": "x"}]}',
    b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
    b"[1]",
)
DURATIONS = (0.0, 0.01, 0.5, 3.0, 4.8)
TOO_LONG = 9.0  # seconds, of the 5 that a call may last


class Failed(Exception):  # noqa: N818 - what the user's code raises
    """The function's own failure."""


class SimFunction:
    """The function of a mapping as one process calls it: a ports.Handler, or a callable for the Python target."""

    def __init__(self, process: "Process", source: Source) -> None:
        self._process = process
        self._world: World = process.world
        self._source = source

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        random, weather = self._world.random, self._world.weather
        if random.random() < weather.throttle:
            await asyncio.sleep(random.choice([0.0, 0.1]))
            return random.choice([Throttled("busy"), Throttled("busy", 2.0), NotInvoked("away")])
        try:
            return Succeeded(await self._run(invocation.event, invocation.request_id))
        except Failed:
            return FunctionError("Failed", "planted")

    async def __call__(self, event: JsonObject, context: Any) -> Any:
        return json.loads(await self._run(event, context.aws_request_id))

    async def _run(self, event: JsonObject, request_id: str) -> bytes:
        world, random, weather, source = self._world, self._world.random, self._world.weather, self._source
        names = source.names(event)
        world.rules.sees(source, request_id, names)
        await asyncio.sleep(TOO_LONG if random.random() < weather.slow / 3 else random.choice(DURATIONS))
        if any(source.by_name[name].deadly for name in names) and not self._process.dead:
            world.rules.kills_itself(source, names)
            world.die()
            await asyncio.sleep(TOO_LONG)  # nobody hears of it any more
        if random.random() < weather.error:
            raise Failed
        partial = source.mapping.report_batch_item_failures
        bad = [place for place, name in enumerate(names) if source.by_name[name].poison]
        if bad and not partial:
            raise Failed
        windowed = source.mapping.stream is not None and source.mapping.stream.tumbling_window
        if random.random() < weather.nonsense:
            done = [] if partial or windowed else names
            world.rules.answers(request_id, done)
            return random.choice(NONSENSE)
        if partial and names and random.random() < weather.partial:
            bad = sorted({*bad, random.randrange(len(names))})
        if source.mapping.stream is None:
            done = [name for place, name in enumerate(names) if place not in bad]
        else:
            done = names[: bad[0]] if bad else names
        world.rules.answers(request_id, done)
        identifiers = [_identifier(event["Records"][place]) for place in bad]
        answer: JsonObject = {"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]}
        if windowed:
            answer["state"] = {"count": event.get("state", {}).get("count", 0) + len(done)}
        return json.dumps(answer).encode()


def _identifier(record: JsonObject) -> str:
    if "messageId" in record:
        return str(record["messageId"])
    return str(
        record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["dynamodb"]["SequenceNumber"]
    )
