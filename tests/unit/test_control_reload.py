"""Reloads of the file and changes through the control API at once: neither takes the other's place."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from poller.config import Configuration
from poller.control import Control
from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import JsonObject
from poller.notify import Notify
from poller.reload import Reload
from poller.settings import Settings, State
from tests.unit.runtime.rig import until
from tests.unit.test_control import (
    ARN,
    OTHER,
    QUEUE,
    Controlled,
    controlled,
    created,
    done,
    let_go,
    of_file,
    refused,
    seen,
)  # fmt: skip


@contextlib.asynccontextmanager
async def reloading(
    service: Controlled, control: Control, path: Path, *mappings: JsonObject
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A reload that is under way to a file of these mappings; the block gets what waits for its end."""
    path.write_text(json.dumps({"EventSourceMappings": mappings}))  # noqa: ASYNC240 - a few bytes
    reload = Reload(Configuration(Settings(), (), str(path)), service, Notify(None, service.metrics), control)
    reload.wanted.set()
    serving = asyncio.create_task(reload.serve())
    told = service.metrics.process.config_reloads

    async def end() -> None:
        await until(lambda: service.clock.advance(1) or sum(told.values()), "the end of the reload")

    try:
        yield end
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_while_a_reload_brings_mappings_the_api_brings_none_like_them(tmp_path: Path) -> None:
    """CFG-51: neither their sources and functions nor names, or what the reload has stopped would be gone."""
    seen.clear()
    let_go["slow"] = asyncio.Event()
    slow_one = {**QUEUE, "Name": "orders", "FunctionName": "python:tests.unit.test_control:slow"}
    mapping = parse_mapping(slow_one)
    assert isinstance(mapping, EventSourceMapping)
    async with controlled() as (service, control):
        service.add(mapping)
        service.queue("orders").send("x")
        await until(lambda: "begun" in seen, "the handler")
        fresh = {"EventSourceArn": ARN + "clicks", "FunctionName": OTHER}
        file = ({**fresh, "Name": "clicks"}, {**slow_one, "BatchSize": 7})
        async with reloading(service, control, tmp_path / "poller.yaml", *file) as end:
            await until(service.coordinators["orders"]._stopping.is_set, "its stop")
            for fields in (fresh, {**fresh, "FunctionName": QUEUE["FunctionName"], "Name": "clicks"}):
                assert refused(await control.create(fields)) == ("ResourceConflictException", 409)
            uuid = done(await control.create({**fresh, "EventSourceArn": ARN + "else"}))["UUID"]
            let_go["slow"].set()
            await end()
        assert {name: one.mapping.batch_size for name, one in service.coordinators.items()} == {
            "clicks": 10,
            "orders": 7,
            "else": 10,
        }
        assert service.find(uuid).mapping.name == "else"


async def test_a_held_mapping_stands_in_the_way_of_no_reload(tmp_path: Path) -> None:
    """CFG-51: it does not run; what the file has goes on being changed."""
    lasting: dict[str, Any] = {"state": State("sqlite", str(tmp_path / "state.db"))}
    async with controlled(**lasting) as (service, control):
        await created(service, control)
    own = of_file("mine", "orders", QUEUE["FunctionName"])
    changed = {**QUEUE, "Name": "mine", "BatchSize": 7}
    async with controlled(own, **lasting) as (service, control):
        await service.polling()
        async with reloading(service, control, tmp_path / "poller.yaml", changed) as end:
            await end()
        assert {name: one.mapping.batch_size for name, one in service.coordinators.items()} == {"mine": 7}
