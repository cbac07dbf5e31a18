"""Which mappings of the control API there are beside those of the file: taken up from the store when the daemon
starts, kept there with each change, and given room by a reload.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from poller.clock import Clock, SystemClock
from poller.control_book import Entry, Unusable
from poller.control_reading import Reading
from poller.control_work import Work, told_held
from poller.core.api_answers import Refused, refused
from poller.core.api_changes import Draft, own_name, renamed, restored
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_conflicts import find_conflict
from poller.core.model import MappingState
from poller.errors import ConfigurationError, StoreError
from poller.ports import KeptMapping
from poller.service import Service

_log: Final = logging.getLogger("poller")


class Keeping(Reading):
    """What the daemon and its reloads ask of the control API; on the main event loop."""

    def __init__(
        self, service: Service, *, account: str | None = None, read_only: str = "", clock: Clock | None = None
    ) -> None:
        """`account` is Settings.AccountId, for the ARNs of mappings; without it that of the source is taken.
        `read_only` is a sentence that says why nothing can be changed; empty where it can.
        """
        super().__init__(service, account)
        self._read_only = read_only
        self._clock = clock or SystemClock()
        self._work = Work(service, self._book)
        self._changing = asyncio.Lock()
        """Held from the last look at what there is until the store has what is to be."""

    async def start(self) -> None:
        """Starts the mappings that the store has, after those of the file. Raises StoreError: a mapping that is
        not known of would not run, and nobody would see it.
        """
        for kept in await self._service.kept_mappings():
            if kept.deleting:
                self._work.delete(kept.uuid)
                continue
            draft = restored(kept.fields, kept.uuid)
            if isinstance(draft, Refused):
                self._unusable[kept.uuid] = Unusable(kept, draft.message)
                text = f"the mapping {kept.uuid} of the control API does not run: {draft.message}"
                _log.error(text, extra={"action": "mapping_held", "uuid": kept.uuid})
            else:
                await self._take_up(draft, kept.modified)
        self._away = ""

    async def close(self) -> None:
        """From now on nothing is changed and nothing told; the service stops what runs."""
        self._away = "The daemon is stopping: try again when it is back."
        await self._work.close()

    @property
    def uuids(self) -> frozenset[str]:
        """Those of the API's mappings."""
        return frozenset(entry.mapping.uuid for entry in self._book)

    @asynccontextmanager
    async def room_for(self, coming: Sequence[EventSourceMapping]) -> AsyncIterator[None]:
        """While the block puts these mappings of the file where they belong, none comes through the API that could
        not live beside them. Raises ConfigurationError where one does: whoever runs stays (CFG-51).
        """
        async with self._changing:
            there = [mapping for entry in self._book if not self._at_rest(entry) for mapping in entry.mappings]
            clashes = [(mapping, find_conflict(mapping, there)) for mapping in coming]
            if wrong := [f"{mapping.name}: {clash.detail}" for mapping, clash in clashes if clash is not None]:
                raise ConfigurationError("\n".join(wrong))
            self._coming = tuple(coming)
        try:
            yield
        finally:
            self._coming = ()

    def _at_rest(self, entry: Entry) -> bool:
        """Whether it is held and nothing of it runs, as beside a mapping of the file that is the same."""
        return bool(entry.held) and entry.state is None and self._service.coordinator(entry.mapping.uuid) is None

    async def _take_up(self, draft: Draft, modified: float) -> None:
        """What the file has goes first: a mapping of the API that would read the same source for the same function
        is held, and goes on at its positions once it is alone; one whose name alone is taken gets another.
        """
        clash = find_conflict(draft.mapping, self._others(draft.mapping.uuid))
        if clash is not None and clash.path == ("Name",):
            name = draft.mapping.name
            draft = renamed(draft, own_name(name, draft.mapping.uuid))
            text = f"the name {name} is taken by the configuration file; this mapping is {draft.mapping.name} now"
            _log.warning(text, extra={"action": "mapping_renamed", "uuid": draft.mapping.uuid})
            store = await self._service.opened_store()
            await store.save(KeptMapping(draft.mapping.uuid, draft.fields, modified))
            clash = None
        mapping = draft.mapping
        begins = MappingState.ENABLING if mapping.enabled else MappingState.DISABLED
        held = "" if clash is None else clash.message
        if not held:
            try:
                self._service.add(mapping, begins=begins)
            except ConfigurationError as error:
                held = " ".join(str(error).split())
        under_way = begins if mapping.enabled and not held else None
        entry = self._book.put(Entry(draft, mapping, modified, under_way, held=held))
        if held:
            told_held(mapping, held)
        elif under_way is not None:
            self._work.begin(entry)

    async def _keep(self, entry: Entry) -> Refused | None:
        """First the store, then what is told; why neither."""
        if (no := await self._save(entry)) is None:
            self._book.put(entry)
        return no

    async def _save(self, entry: Entry) -> Refused | None:
        try:
            await (await self._service.opened_store()).save(entry.row)
        except StoreError as error:
            return refused("ServiceException", str(error))
        return None
