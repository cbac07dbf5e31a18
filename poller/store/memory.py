"""Rows in this process's memory: `State: memory:`, tests, and whoever wants to start over each time."""

from collections import defaultdict
from dataclasses import replace

from poller.core.leases import Conflict, Lease
from poller.ports import KeptMapping


class MemoryStore:
    """A ports.Store that ends with the process. For one event loop."""

    def __init__(self) -> None:
        self._mappings: dict[str, KeptMapping] = {}
        self._apps: defaultdict[str, dict[str, Lease]] = defaultdict(dict)

    @property
    def lasting(self) -> bool:
        """Never."""
        return False

    async def create(self, app: str, lease: Lease) -> bool:
        """Adds a row; False if there is one of that key, which stays as it is."""
        rows = self._apps[app]
        if lease.key in rows:
            return False
        rows[lease.key] = lease
        return True

    async def rows(self, app: str) -> tuple[Lease, ...]:
        """All rows of the mapping, by key."""
        return tuple(sorted(self._apps[app].values(), key=lambda lease: lease.key))

    async def get(self, app: str, key: str) -> Lease | None:
        """One row."""
        return self._apps[app].get(key)

    async def swap(self, app: str, expected: Lease, lease: Lease, *, durable: bool = True) -> Lease | Conflict:
        """Writes `lease` over the row of that key if its counter and owner are as expected."""
        del durable  # nothing here outlasts anything
        found = self._apps[app].get(lease.key)
        if found is None or (found.counter, found.owner) != (expected.counter, expected.owner):
            return Conflict(found)
        written = replace(lease, counter=expected.counter + 1)
        self._apps[app][lease.key] = written
        return written

    async def delete(self, app: str, expected: Lease) -> bool:
        """Takes a row away if its counter and owner are as expected; False if not."""
        found = self._apps[app].get(expected.key)
        if found is None or (found.counter, found.owner) != (expected.counter, expected.owner):
            return False
        del self._apps[app][expected.key]
        return True

    async def forget(self, app: str) -> None:
        """Takes all rows of a mapping away."""
        self._apps.pop(app, None)

    async def load(self) -> tuple[KeptMapping, ...]:
        """The mappings of the control API, by UUID."""
        return tuple(self._mappings[uuid] for uuid in sorted(self._mappings))

    async def save(self, mapping: KeptMapping) -> None:
        """Adds a mapping, or puts it in the place of the one with its UUID."""
        self._mappings[mapping.uuid] = mapping

    async def remove(self, uuid: str) -> None:
        """Takes a mapping away with all rows of its positions."""
        self._mappings.pop(uuid, None)
        self._apps.pop(uuid, None)
