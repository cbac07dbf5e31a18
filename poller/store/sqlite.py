"""Rows in a SQLite file, for one process: one thread writes, and gathers what waits into one transaction.

How the file is opened and refused is in sqlite_file.py.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from poller.core.lease_items import ATTRIBUTES
from poller.core.leases import Conflict, Lease
from poller.errors import StoreError
from poller.ports import KeptMapping
from poller.store import sqlite_mappings
from poller.store.sqlite_file import SELECT, StateFile, decoded, encoded
from poller.store.trouble import explained

T = TypeVar("T")
CLOSE_WAIT = 10.0  # seconds, for what was asked for: longer than another program may lock the file
_AT_ONCE = 500  # in one transaction: the first of them waits for the last
_NAMES = [attribute for attribute, _name, _kind in ATTRIBUTES]
# these three are made of our own names, of no input (S608)
_INSERT = f"INSERT OR IGNORE INTO lease (app, {', '.join(_NAMES)}) VALUES (?{', ?' * len(_NAMES)})"  # noqa: S608
_WHERE = "WHERE app = ? AND leaseKey = ? AND leaseCounter = ? AND leaseOwner IS ?"
_UPDATE = f"UPDATE lease SET {', '.join(f'{name} = ?' for name in _NAMES)} {_WHERE}"  # noqa: S608
_DELETE = f"DELETE FROM lease {_WHERE}"  # noqa: S608


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    durable: bool
    done: Future[Any]
    result: Any = None


class SqliteStore:
    """A ports.Store; an async context manager for one use. No other process can have the file meanwhile.

    Every method raises StoreError when the file cannot be used, and works again when the cause is gone. A write
    whose caller is cancelled may or may not be done.
    """

    def __init__(self, path: str) -> None:
        self._name = path
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._open = False
        self._gate = threading.Lock()
        self._opened = _waitable()
        self._ended = _waitable()
        self._synchronous = -1
        # not a pool's: `durable` is a state of the connection, and no other work may wait behind a slow disk
        self._thread = threading.Thread(target=self._main, name="esm-store", daemon=True)

    async def __aenter__(self) -> Self:
        self._open = True
        self._thread.start()
        try:
            await asyncio.wrap_future(self._opened)
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what was asked for, then closes the file. May be called again.

        Raises StoreError for a disk that hangs: who ends has a deadline, and does not wait for it.
        """
        self._stop()
        if self._thread.ident is None:
            return
        try:
            async with asyncio.timeout(CLOSE_WAIT):
                await asyncio.wrap_future(self._ended)
        except TimeoutError:
            raise StoreError(
                f"The state file {self._name} does not answer, and its last writes may not be done: what"
                " they would have said is delivered again; look after its disk."
            ) from None

    @property
    def lasting(self) -> bool:
        """Always."""
        return True

    async def create(self, app: str, lease: Lease) -> bool:
        """Adds a row; False if there is one of that key, which stays as it is."""
        values = [app, *encoded(lease)]
        return await self._ask(lambda connection: connection.execute(_INSERT, values).rowcount == 1, durable=True)

    async def rows(self, app: str) -> tuple[Lease, ...]:
        """All rows of the mapping, by key."""

        def work(connection: sqlite3.Connection) -> tuple[Lease, ...]:
            found = connection.execute(f"{SELECT} ORDER BY leaseKey", (app,))
            return tuple(decoded(self._name, row) for row in found)

        return await self._ask(work)

    async def get(self, app: str, key: str) -> Lease | None:
        """One row."""
        return await self._ask(lambda connection: self._find(connection, app, key))

    async def swap(self, app: str, expected: Lease, lease: Lease, *, durable: bool = True) -> Lease | Conflict:
        """Writes `lease` over the row of that key if its counter and owner are as expected."""
        written = replace(lease, counter=expected.counter + 1)
        values = [*encoded(written), app, lease.key, expected.counter, expected.owner]

        def work(connection: sqlite3.Connection) -> Lease | Conflict:
            if connection.execute(_UPDATE, values).rowcount == 1:
                return written
            return Conflict(self._find(connection, app, lease.key))

        return await self._ask(work, durable=durable)

    async def delete(self, app: str, expected: Lease) -> bool:
        """Takes a row away if its counter and owner are as expected; False if not."""
        values = (app, expected.key, expected.counter, expected.owner)
        return await self._ask(lambda connection: connection.execute(_DELETE, values).rowcount == 1, durable=True)

    async def forget(self, app: str) -> None:
        """Takes all rows of a mapping away."""
        await self._ask(
            lambda connection: connection.execute("DELETE FROM lease WHERE app = ?", (app,)), durable=True
        )

    async def load(self) -> tuple[KeptMapping, ...]:
        """The mappings of the control API, by UUID."""
        return await self._ask(lambda connection: sqlite_mappings.load(connection, self._name))

    async def save(self, mapping: KeptMapping) -> None:
        """Adds a mapping, or puts it in the place of the one with its UUID."""
        await self._ask(lambda connection: sqlite_mappings.save(connection, mapping), durable=True)

    async def remove(self, uuid: str) -> None:
        """Takes a mapping away with all rows of its positions."""
        await self._ask(lambda connection: sqlite_mappings.remove(connection, uuid), durable=True)

    def _find(self, connection: sqlite3.Connection, app: str, key: str) -> Lease | None:
        row = connection.execute(f"{SELECT} AND leaseKey = ?", (app, key)).fetchone()
        return None if row is None else decoded(self._name, row)

    async def _ask(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        done: Future[T] = Future()
        with self._gate:
            if not self._open:
                raise StoreError(f"The state file {self._name} is not open.")
            self._jobs.put(_Job(work, durable, done))
        return await asyncio.wrap_future(done)

    def _stop(self) -> None:
        with self._gate:
            if self._open:
                self._open = False
                self._jobs.put(None)  # behind everything that was asked for

    # --- in the thread ---

    def _main(self) -> None:
        try:
            file = StateFile(self._name)
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits for the opening
            self._ended.set_result(None)
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            while jobs := self._next():
                self._do(file, [job for job in jobs if job.done.set_running_or_notify_cancel()])
        finally:
            file.close()
            self._ended.set_result(None)

    def _next(self) -> list[_Job]:
        """What waits, at least one; nothing once the store is closed."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        with suppress(Empty):
            while job is not None:
                jobs.append(job)
                if len(jobs) == _AT_ONCE:
                    break
                job = self._jobs.get_nowait()
        if job is None and jobs:
            self._jobs.put(None)  # the end comes after these
        return jobs

    def _do(self, file: StateFile, jobs: list[_Job]) -> None:
        """All in one transaction; when that fails each in its own, so that none fails for another's sake."""
        if not jobs:
            return
        error = self._begin(file, durable=any(job.durable for job in jobs))
        if error is not None:  # the file's own trouble: who tries again for each waits for each
            for job in jobs:
                job.done.set_exception(StoreError(str(error)))
            return
        error = self._transact(file, jobs)
        if error is None:
            for job in jobs:
                job.done.set_result(job.result)
        elif len(jobs) == 1:
            jobs[0].done.set_exception(error)
        else:
            for job in jobs:
                self._do(file, [job])

    def _begin(self, file: StateFile, *, durable: bool) -> StoreError | None:
        """Begins a transaction; why there is none."""
        try:
            file.check()
            synchronous = 2 if durable else 1  # FULL or NORMAL
            if synchronous != self._synchronous:
                file.connection.execute(f"PRAGMA synchronous={synchronous}")
                self._synchronous = synchronous
            file.connection.execute("BEGIN IMMEDIATE")
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers learn of it and the thread goes on
            return _told(file, error)
        return None

    def _transact(self, file: StateFile, jobs: list[_Job]) -> StoreError | None:
        """Nobody is told before the commit; why it failed, and then nothing has changed."""
        connection = file.connection
        try:
            for job in jobs:
                job.result = job.work(connection)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - as in _begin
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            return _told(file, error)
        return None


def _told(file: StateFile, error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    if isinstance(error, sqlite3.Error | OSError):
        return explained(file.name, error)
    return StoreError(f"The state file {file.name} cannot take a row: {error}.")


def _waitable() -> Future[None]:
    """A future that a cancelled waiter does not cancel."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future
