"""The rows of one mapping's shards: as they are in the store, and those that are ours to write.

What a row means is core/leases.py's business, which rows there should be core/shards.py's. One worker has the
store for itself for now, so a row that another one left is taken at once.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from poller.core.cleanup import Lost, deleted_rows
from poller.core.leases import Conflict, Lease, progress_of, released, taken, with_progress
from poller.core.records import Progress
from poller.core.shards import at_end
from poller.errors import StoreError
from poller.ports import LeaseStore

WRITES: Final = 3  # tries of one write whose earlier ones have landed although their answer was lost
TAKES: Final = 5
AT_ONCE: Final = 500  # rows created together

Change: TypeAlias = Callable[[Lease], Lease]


class StreamRows:
    """`rows` is what is known of them, by shard id: read from the store, and kept up by our own writes."""

    def __init__(self, store: LeaseStore, app: str, worker: str) -> None:
        """`app` is the mapping's UUID, `worker` our name as an owner."""
        self.rows: dict[str, Lease] = {}
        self.store: Final = store
        self.app: Final = app
        self._worker = worker
        self._held: dict[str, HeldRow] = {}

    async def read(self) -> None:
        """Reads them all. A row of ours that somebody took out of the store is put back (STR-31).

        Raises StoreError, also for a row that has no meaning.
        """
        held = {key: row.lease for key, row in self._held.items()}
        found = {lease.key: lease for lease in await self.store.rows(self.app)}
        for lease in deleted_rows(held, found):
            await self.store.create(self.app, lease)
        # our own writes may have overtaken the reading
        self.rows = found | {key: row.lease for key, row in self._held.items()}
        for lease in found.values():
            _understood(lease)

    async def create(self, leases: Sequence[Lease]) -> bool:
        """Adds rows, in this order. False if one was there already: then they have to be read again."""
        all_new = True
        for begin in range(0, len(leases), AT_ONCE):
            some = leases[begin : begin + AT_ONCE]
            # begun in their order, and a store may write them together; all of them end before this does, because
            # else the first to fail would hide that we are cancelled, and the others would write later
            told = await asyncio.gather(
                *(self.store.create(self.app, lease) for lease in some), return_exceptions=True
            )
            self.rows.update({lease.key: lease for lease, new in zip(some, told, strict=True) if new is True})
            if failed := [one for one in told if isinstance(one, BaseException)]:
                raise failed[0]
            all_new = all_new and all(told)
        return all_new

    async def learn(self, keys: Iterable[str]) -> None:
        """Reads those of these rows that are not known, whoever made them. Not all of the mapping: what is created
        meanwhile would be overlooked. Raises StoreError.
        """
        for key in keys:
            if key not in self.rows and (lease := await self.store.get(self.app, key)) is not None:
                self.rows.setdefault(key, lease)

    async def take(self, key: str) -> "HeldRow | None":
        """Makes the row ours, from the store's own answer (a tenure never begins with what was only read); None if
        there is no such row, or nothing left to do in it (the answer that said so may have been lost).
        """
        lease = await self.store.get(self.app, key)
        for _ in range(TAKES):
            if lease is None:
                self.rows.pop(key, None)
                return None
            if at_end(lease):
                self.rows[key] = lease
                return None
            # it need not outlast a power failure: whoever comes after it takes the row all the same
            mine = taken(lease, self._worker, secrets.token_hex(8))
            answer = await self.store.swap(self.app, lease, mine, durable=False)
            if isinstance(answer, Lease):
                row = self._held[key] = HeldRow(self, answer)
                self.rows[key] = answer
                return row
            lease = answer.found
        raise StoreError(f"the row of shard {key} changes faster than it can be taken: who else writes it?")

    async def put_right(self, lost: Lost) -> bool:
        """A row whose shard is not what it was; False if it has changed meanwhile. It is nobody's then."""
        self.drop(lost.lease.key)
        answer = await self.store.swap(self.app, lost.lease, lost.instead)
        if isinstance(answer, Conflict):
            return False
        self.rows[answer.key] = answer
        return True

    async def delete(self, leases: Iterable[Lease]) -> None:
        """Takes rows away, those that are still as given."""
        for lease in leases:
            if await self.store.delete(self.app, lease):
                self.rows.pop(lease.key, None)

    def drop(self, key: str) -> None:
        """The row is not ours any more, or nobody writes it any more."""
        self._held.pop(key, None)

    def wrote(self, row: "HeldRow", lease: Lease) -> None:
        """A row of ours is this now; for the row alone to call."""
        if self._held.get(lease.key) is row:
            self.rows[lease.key] = lease


class HeldRow:
    """One tenure of a row. Everything is written from what this tenure wrote last, one write after the other."""

    __slots__ = ("_rows", "lease")

    def __init__(self, rows: StreamRows, lease: Lease) -> None:
        self._rows = rows
        self.lease = lease

    def progress(self) -> Progress:
        """How far the shard is. Raises StoreError for a row without a meaning."""
        return _understood(self.lease)

    async def save(self, progress: Progress, *, durable: bool) -> bool:
        """Writes how far the shard is; False if the row is not ours any more. Raises StoreError."""
        return await self.write(lambda lease: with_progress(lease, progress), durable=durable)

    async def release(self, progress: Progress) -> bool:
        """The same, and the row is nobody's from then on."""
        done = await self.write(lambda lease: released(with_progress(lease, progress)))
        self._rows.drop(self.lease.key)
        return done

    async def write(self, change: Change, *, durable: bool = True) -> bool:
        """Compare-and-set of what `change` makes of the row. False if somebody else has written it.

        An earlier write of this tenure may have landed although nobody could tell (S9 of the lease algorithm):
        then the row in the store carries our tenure, and is what this one is made from. A row that somebody took
        out of the store is put back as we know it, so that neither the position nor the fence is lost (STR-31).
        """
        rows = self._rows
        for _ in range(WRITES):
            wanted = change(self.lease)
            answer = await rows.store.swap(rows.app, self.lease, wanted, durable=durable)
            if isinstance(answer, Conflict):
                found = answer.found
                if found is None:  # taken out by hand: the mapping's own end comes before that of its rows
                    await rows.store.create(rows.app, self.lease)
                    continue
                if (found.owner, found.tenure) != (self.lease.owner, self.lease.tenure):
                    if found != replace(wanted, counter=found.counter):
                        return False
                    answer = found  # this very write, which gave the row away
                else:
                    self.lease = found
                    continue
            self.lease = answer
            rows.wrote(self, answer)
            return True
        raise StoreError(f"the row of shard {self.lease.key} changes under our hands: who else writes it?")


def _understood(lease: Lease) -> Progress:
    try:
        return progress_of(lease)
    except ValueError as error:
        raise StoreError(str(error)) from error
