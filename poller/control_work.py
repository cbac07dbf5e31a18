"""What the control API has begun and answered already: mappings on the way to what was asked for, each in a task.

The store knows the end of the way before it is begun. Whatever happens in between, kill -9 included, the next
start is there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any, Final, TypeVar, assert_never

from poller.control_book import Book, Entry
from poller.core.api_changes import Plan, Step
from poller.core.backoff import delay
from poller.core.mapping import EventSourceMapping
from poller.core.model import MappingState
from poller.errors import PollerError, StoreError
from poller.runtime.coordinator import Coordinator
from poller.service import Service

FIRST, CAP = 0.5, 30.0  # seconds before a store that cannot be written is tried again
T = TypeVar("T")
_log: Final = logging.getLogger("poller")


class Work:
    """The tasks of one Control."""

    def __init__(self, service: Service, book: Book) -> None:
        self._service = service
        self._book = book
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changes: dict[str, asyncio.Task[None]] = {}
        self._random = Random()  # noqa: S311 - jitter, not a secret

    async def close(self) -> None:
        """Leaves what is under way where it stands; the service stops what runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def change(self, entry: Entry, plan: Plan) -> None:
        """Has what runs become what is kept."""
        uuid, mapping = entry.kept.mapping.uuid, entry.kept.mapping
        self._changes[uuid] = self.spawn(self._until_settled(uuid, lambda: self._change(mapping, plan)))

    async def settled(self, uuid: str) -> None:
        """Until the last change of it is carried out, if there was any."""
        task = self._changes.get(uuid)
        if task is not None:
            await asyncio.wait([task])

    def begin(self, entry: Entry) -> None:
        """Watches the first steps of a mapping that was just added."""
        coordinator = self._service.coordinator(entry.kept.mapping.uuid)
        assert coordinator is not None
        self.spawn(self._until_settled(entry.kept.mapping.uuid, lambda: _first_steps(coordinator, entry.state)))

    def delete(self, uuid: str) -> None:
        """Stops it, and then forgets it and its positions."""
        self.spawn(self._delete(uuid))

    def pause(self, coordinator: Coordinator) -> None:
        """Of a mapping that is not the API's: its handlers may run for long, and nobody waits for them."""
        self.spawn(coordinator.pause())

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that `close` ends."""
        task = asyncio.create_task(work, name="esm:control")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _until_settled(self, uuid: str, work: Callable[[], Awaitable[Coordinator | None]]) -> None:
        """Does it, and has the entry say what came of it. Cancelled, the process ends, and nothing is told."""
        held = ""
        try:
            coordinator = await work()
        except PollerError as error:
            held = " ".join(str(error).split())
        except Exception as error:  # noqa: BLE001 - a bug of ours must not leave the mapping in use for ever
            held = f"{type(error).__name__}: {error}"
            _log.exception("a change of a mapping failed through a bug in poller", extra={"action": "control_bug"})
        else:
            if coordinator is not None and coordinator.failure is not None:
                held = " ".join(str(coordinator.failure).split())
        entry = self._book.get(uuid)
        assert entry is not None, "who deletes it is refused while it changes"
        if held:
            told_held(entry.kept.mapping, held)
        self._book.put(replace(entry, mapping=entry.kept.mapping, state=None, held=held))

    async def _change(self, mapping: EventSourceMapping, plan: Plan) -> Coordinator | None:
        coordinator = self._service.coordinator(mapping.uuid)
        if coordinator is None:
            return await _first_steps(self._service.add(mapping, begins=plan.state), plan.state)
        step = Step.REPLACE if coordinator.task.done() else plan.step
        match step:
            case Step.NOTHING:
                return None
            case Step.PAUSE:
                await coordinator.pause()
                return None
            case Step.RESUME:
                coordinator.resume()
                return None
            case Step.REPLACE:
                new = await self._service.replace(mapping.uuid, mapping, plan.state)
                return await _first_steps(new, plan.state)
            case _:
                assert_never(step)

    async def _delete(self, uuid: str) -> None:
        """As often as it takes: a mapping that is said to be deleted must not run after the next start."""
        tries = 0
        while True:
            try:
                if self._service.coordinator(uuid) is not None:
                    await self._service.remove(uuid)
                await (await self._service.opened_store()).remove(uuid)
            except StoreError as error:
                tries += 1
                text = f"the mapping {uuid} is not deleted yet, which is tried again: {error}"
                _log.warning(text, extra={"action": "control_store_failed", "uuid": uuid})
                await asyncio.sleep(delay(tries, FIRST, CAP, self._random))
            else:
                break
        self._book.drop(uuid)
        self._changes.pop(uuid, None)
        _log.info(f"mapping {uuid} deleted", extra={"action": "mapping_deleted", "uuid": uuid})


async def _first_steps(coordinator: Coordinator, state: MappingState | None) -> Coordinator:
    """Until its source was looked at, whatever came of it: one that is away for long can still be changed."""
    if state is not MappingState.DISABLED:
        await asyncio.shield(coordinator.first_attempt)
    return coordinator


def told_held(mapping: EventSourceMapping, why: str) -> None:
    """Logs that a mapping does not run although it shall."""
    text = f"{mapping.name}: this mapping of the control API does not run: {why}"
    _log.error(text, extra={"action": "mapping_held", "mapping": mapping.name, "uuid": mapping.uuid})
