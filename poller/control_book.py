"""The mappings of the control API as they stand: what is kept of each, what runs, what is under way.

Entries never change; the book puts another in the place of one. So any thread may read while the loop writes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from poller.core.api_changes import Draft
from poller.core.api_shapes import Standing, processing_result
from poller.core.mapping import EventSourceMapping
from poller.core.model import MappingState
from poller.metrics_stats import MappingStats
from poller.ports import KeptMapping


@dataclass(frozen=True, slots=True)
class Entry:
    """A mapping of the API. `kept` is what the store has; `mapping` is what runs, another only while a change is
    under way (API-7), with `state` told until that has come to its end (None: nothing is under way). `fresh`: not
    changed since it was made. `held` says why it does not run although it shall. `modified` is epoch seconds.
    """

    kept: Draft
    mapping: EventSourceMapping
    modified: float
    state: MappingState | None
    fresh: bool = False
    held: str = ""

    def standing(self, stats: MappingStats | None) -> Standing:
        """API-3: how it stands, by the numbers of what runs."""
        result = "" if stats is None else stats.last_result
        problem = None if stats is None else stats.last_problem
        told = processing_result(result, self.held or problem)
        return Standing(self._state(stats), self.modified, told, self.held if self.state is None else "")

    def _state(self, stats: MappingStats | None) -> MappingState:
        if self.state is not None:
            return self.state
        if self.held or stats is None or not self.mapping.enabled:
            return MappingState.DISABLED
        if stats.state is MappingState.CREATING and not self.fresh:  # what was changed is never Creating again
            return MappingState.ENABLING
        return stats.state

    @property
    def mappings(self) -> tuple[EventSourceMapping, ...]:
        """What it is and shall be; two while a change is under way."""
        kept = self.kept.mapping
        return (kept,) if self.mapping is kept else (kept, self.mapping)

    @property
    def row(self) -> KeptMapping:
        """For the store."""
        return KeptMapping(
            self.kept.mapping.uuid, self.kept.fields, self.modified, self.state is MappingState.DELETING
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A mapping that does not run although it shall, and why."""

    mapping: EventSourceMapping
    why: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A mapping in the store that this version cannot run, and why."""

    row: KeptMapping
    why: str


class Book:
    """All entries, by UUID."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, uuid: object) -> bool:
        return uuid in self._entries

    def __getitem__(self, uuid: str) -> Entry:
        return self._entries[uuid]

    def get(self, uuid: str) -> Entry | None:
        """None for one that is not the API's."""
        return self._entries.get(uuid)

    def held(self) -> dict[str, Held]:
        """Those that do not run although they shall, by UUID."""
        return {
            uuid: Held(entry.mapping, entry.held)
            for uuid, entry in self._entries.items()
            if entry.held and entry.state is None
        }

    def put(self, entry: Entry) -> Entry:
        """In the place of the one with its UUID."""
        self._entries = {**self._entries, entry.kept.mapping.uuid: entry}
        return entry

    def drop(self, uuid: str) -> None:
        """There is no such mapping any more."""
        self._entries = {key: entry for key, entry in self._entries.items() if key != uuid}
