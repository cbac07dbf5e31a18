"""The control API below HTTP: mappings made, read, changed and deleted while the daemon runs.

Beside a reload it is the only one that changes mappings at run time. Those of the configuration file can be read
through it and not changed; its own are kept in the state store and outlive the process. Each change is decided by
core/api_changes.py, then kept, then answered, and only then carried out (control_work.py).

*Decision*: a target may be of any form, also one that names code or a command to run. Whoever may use this API may
therefore run code as the daemon does: that is why it is for the loopback only, unless keys are set.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from poller.control_book import Entry
from poller.control_keeping import Keeping
from poller.control_look import problem
from poller.control_reading import standing_of
from poller.core.api_answers import Answer, Done, Refused, in_use, not_found, refused, refused_fields
from poller.core.api_changes import (
    Draft,
    drafted,
    first_state,
    plan,
    redrafted,
    retagged,
)
from poller.core.api_shapes import Standing, configuration
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_conflicts import find_conflict
from poller.core.model import JsonObject, MappingState
from poller.errors import ConfigurationError, PollerError, StoreError
from poller.ports import KeptMapping

_log: Final = logging.getLogger("poller")


class Control(Keeping):
    """What Lambda's operations on event source mappings do here; every answer is a value, nothing is raised.

    Coroutines run on the main event loop; `get`, `list` and `list_tags` may be called from any thread.
    """

    async def create(self, fields: object) -> Answer:
        """CreateEventSourceMapping; `fields` is the request's body, any JSON value."""
        return await self._whole(self._create(fields))

    async def update(self, uuid: str, fields: object) -> Answer:
        """UpdateEventSourceMapping; `fields` is the request's body, any JSON value."""
        return await self._whole(self._update(uuid, fields))

    async def delete(self, uuid: str) -> Answer:
        """DeleteEventSourceMapping."""
        return await self._whole(self._delete(uuid))

    async def tag(self, arn: str, tags: object) -> Answer:
        """TagResource; `tags` is the value of the body's Tags, any JSON value."""
        if not isinstance(tags, Mapping):
            return refused("SerializationException", "Tags is not a map of texts.")
        return await self._whole(self._retag(arn, tags, ()))

    async def untag(self, arn: str, keys: Collection[str]) -> Answer:
        """UntagResource; `keys` are the values of the query's tagKeys."""
        return await self._whole(self._retag(arn, {}, keys))

    async def pause(self, uuid: str) -> Answer:
        """Receives no more: a mapping of the file until the next start, one of the API until it is resumed."""
        return await self._switch(uuid, enabled=False)

    async def resume(self, uuid: str) -> Answer:
        """Receives again."""
        return await self._switch(uuid, enabled=True)

    async def _create(self, fields: object) -> Answer:
        uuid = str(uuid4())
        draft = self._draft(fields, uuid)
        if isinstance(draft, Refused):
            return draft
        no = await problem(draft.mapping, self._service.sources(), self._clock.now().wall)
        if no is not None:
            return no
        async with self._changing:
            draft = self._draft(fields, uuid)  # others may have come meanwhile
            if isinstance(draft, Refused):
                return draft
            mapping, state = draft.mapping, first_state(draft.mapping)
            under_way = None if state is MappingState.DISABLED else state
            entry = Entry(draft, mapping, self._clock.now().wall, under_way, fresh=True)
            if (no := await self._keep(entry)) is not None:
                return no
            try:
                self._service.add(mapping, begins=state)
            except PollerError as error:  # nothing has run yet
                self._book.drop(uuid)
                self._work.delete(uuid)
                return refused("InvalidParameterValueException", " ".join(str(error).split()))
            if under_way is not None:
                self._work.begin(entry)
        _log.info(f"{mapping.name}: created", extra=_extra("mapping_created", mapping))
        return Done(202, configuration(mapping, Standing(state, entry.modified), self._account))

    def _draft(self, fields: object, uuid: str) -> Draft | Refused:
        if self._read_only:
            return refused("ServiceException", self._read_only)
        names = {mapping.name for mapping in self._others(uuid)}
        draft = drafted(fields, uuid, names)
        return draft if isinstance(draft, Refused) else self._clash(draft.mapping) or draft

    async def _update(self, uuid: str, fields: object) -> Answer:
        entry = await self._changeable(uuid)
        if isinstance(entry, Refused):
            return entry
        draft = redrafted(entry.kept, fields)
        if isinstance(draft, Refused):
            return draft
        mapping = draft.mapping
        no = self._clash(mapping)
        if (
            no is None
            and isinstance(fields, Mapping)
            and not fields.keys().isdisjoint(("FunctionName", "Handler"))
        ):
            no = await problem(mapping, self._service.sources(), self._clock.now().wall)
        if no is not None:
            return no
        async with self._changing:
            if self._book.get(uuid) is not entry:
                return in_use()
            no = self._clash(mapping)
            if no is not None:
                return no
            what = plan(entry.mapping, mapping)
            now = self._clock.now().wall
            changed = replace(entry, kept=draft, modified=now, state=what.state, fresh=False)
            if (no := await self._keep(changed)) is not None:
                return no
            self._work.change(changed, what)
        text = f"{mapping.name}: {what.state.value} through the control API"
        _log.info(text, extra=_extra("mapping_updated", mapping))
        return Done(202, configuration(mapping, changed.standing(self._stats(uuid)), self._account))

    async def _delete(self, uuid: str) -> Answer:
        if uuid in self._unusable and not self._read_only:
            return await self._delete_unusable(self._unusable[uuid].row)
        entry = await self._changeable(uuid)
        if isinstance(entry, Refused):
            return entry
        async with self._changing:
            if self._book.get(uuid) is not entry:
                return in_use()
            gone = replace(entry, state=MappingState.DELETING, modified=self._clock.now().wall)
            if (no := await self._keep(gone)) is not None:
                return no
            self._work.delete(uuid)
        return Done(202, configuration(gone.mapping, gone.standing(self._stats(uuid)), self._account))

    async def _delete_unusable(self, kept: KeptMapping) -> Answer:
        try:
            await (await self._service.opened_store()).save(replace(kept, deleting=True))
        except StoreError as error:
            return refused("ServiceException", str(error))
        self._unusable.pop(kept.uuid, None)
        self._work.delete(kept.uuid)
        return Done(202, {"UUID": kept.uuid, "State": MappingState.DELETING.value})

    async def _retag(self, arn: str, tags: Mapping[str, object], without: Collection[str]) -> Answer:
        """CFG-24. Nothing that runs changes by it, so it may come in the middle of another change."""
        uuid = self._uuid(arn)
        if isinstance(uuid, Refused):
            return uuid
        async with self._changing:
            entry = self._known(uuid)
            if isinstance(entry, Refused):
                return entry
            if entry.state is MappingState.DELETING:
                return in_use()
            draft = retagged(entry.kept, tags, without)
            if isinstance(draft, Refused):
                return draft
            if (no := await self._save(replace(entry, kept=draft))) is not None:
                return no
            entry = self._book[uuid]  # a change may have come to its end meanwhile
            shown = replace(entry.mapping, tags=draft.mapping.tags)
            self._book.put(replace(entry, kept=draft, mapping=shown))
        return Done(204, {})

    async def _switch(self, uuid: str, *, enabled: bool) -> Answer:
        if uuid in self._book:
            return await self.update(uuid, {"Enabled": enabled})
        coordinator = self._service.coordinator(uuid)
        if coordinator is None:
            return not_found()
        if why := self._away or self._read_only:
            return refused("ServiceException", why)
        try:
            if enabled:
                coordinator.resume()
            else:
                self._work.pause(coordinator)
                await asyncio.sleep(0)  # it has begun
        except ConfigurationError as error:
            return refused("InvalidParameterValueException", str(error))
        return Done(202, configuration(coordinator.mapping, standing_of(coordinator), self._account))

    # --- both ---

    async def _whole(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Also when who asks has gone: half a change would be one that nobody knows of."""
        if self._away:
            work.close()
            return refused("ServiceException", self._away)
        task = self._work.spawn(work)
        await asyncio.wait([task])
        return refused("ServiceException", self._away) if task.cancelled() else task.result()

    async def _changeable(self, uuid: str) -> Entry | Refused:
        """API-5, API-6. What is Disabled is not in use, whatever is still done for it."""
        entry = self._known(uuid)
        if isinstance(entry, Entry) and entry.state is MappingState.DISABLED:
            await self._work.settled(uuid)
            entry = self._known(uuid)
        return in_use() if isinstance(entry, Entry) and entry.state is not None else entry

    def _known(self, uuid: str) -> Entry | Refused:
        entry = self._book.get(uuid)
        if entry is None:
            named = [one.mapping.name for one in self._of_file() if one.mapping.uuid == uuid]
            return _only_read(named[0]) if named else self._nothing(uuid)
        return refused("ServiceException", self._read_only) if self._read_only else entry

    def _clash(self, mapping: EventSourceMapping) -> Refused | None:
        """CFG-51, CFG-52."""
        clash = find_conflict(mapping, self._others(mapping.uuid))
        return None if clash is None else refused_fields((clash,))


def _only_read(name: str) -> Refused:
    text = (
        f"The mapping {name!r} is one of the configuration file, which this API only reads: change the file, and"
        " send SIGHUP to have it read again."
    )
    return refused("InvalidParameterValueException", text)


def _extra(action: str, mapping: EventSourceMapping) -> JsonObject:
    return {"action": action, "mapping": mapping.name, "uuid": mapping.uuid}
