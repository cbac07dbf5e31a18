"""The state file: how it is found, made, judged and opened, and the sentences when it cannot be used.

What is no state file of ours is refused. A new one is made only where there is nothing: to take an empty, damaged
or foreign file for a new one would be a start from scratch that nobody asked for.
"""

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from poller.core.lease_items import ATTRIBUTES, lease_from
from poller.core.leases import Lease
from poller.errors import StoreError
from poller.store.filelock import FileLock, Held
from poller.store.trouble import RESTORE, explained, mounts, network_file_system

T = TypeVar("T")
APPLICATION = 0x45534D50  # "ESMP": tells our files from other programs' databases
VERSION = 1
NEWEST = 2  # with the table of sqlite_mappings.py
BUSY_TIMEOUT = 5.0  # seconds that another program may hold SQLite's own lock: a backup, a shell
_SMALLEST = 512  # bytes of a database: one page
_CHECKED_BYTES = 64 * 1024 * 1024  # quick_check reads all of the file: half a second for so much
_COLUMN_TYPES = {str: "TEXT", int: "INTEGER", float: "REAL", tuple: "TEXT"}
_LISTS = tuple(attribute for attribute, _name, kind in ATTRIBUTES if kind is tuple)
_COLUMNS = ", ".join(f'"{attribute}" {_COLUMN_TYPES[kind]}' for attribute, _name, kind in ATTRIBUTES)
_SCHEMA = f"CREATE TABLE lease (app TEXT NOT NULL, {_COLUMNS}, PRIMARY KEY (app, leaseKey))"
SELECT = f"SELECT {', '.join(attribute for attribute, _name, _kind in ATTRIBUTES)} FROM lease WHERE app = ?"  # noqa: S608 - our own names


class StateFile:
    """The file, open for writing and locked against other processes. Not thread-safe."""

    def __init__(self, name: str) -> None:
        """Opens it, or makes it where there is none. Raises StoreError, and has then nothing open."""
        self.name = name
        self._path = _located(name)
        self._lock = _locked(name, self._path)
        try:
            if not (self._path.exists() or self._path.is_symlink()):  # a loop of links exists, and is no file
                _make(name, self._path)
            self._identity = _writable(name, self._path)
            self.connection = self._connect()
        except sqlite3.Error as error:
            self._lock.close()
            raise explained(name, error) from error
        except BaseException:
            self._lock.close()
            raise

    def check(self) -> None:
        """Raises StoreError when the file was taken away: writes to it would succeed, and be lost."""
        try:
            found = _identity(self._path)
        except OSError:
            found = None
        if found != self._identity:
            raise StoreError(
                f"The state file {self.name} was removed or replaced while in use: put it back, or start again."
            )

    def close(self) -> None:
        """Closes it and lets other processes have it."""
        try:
            with suppress(sqlite3.Error):  # nothing is unsaved; the next to open it tidies up
                self.connection.close()
        finally:
            self._lock.close()

    def _connect(self) -> sqlite3.Connection:
        connection = _open(self._path, "rw")
        try:
            _judge(self.name, self._path, connection)
            _log_ahead(self.name, connection)
            connection.execute("PRAGMA fullfsync=1")  # macOS: else what is synchronised stays in the disk's cache
            connection.execute("BEGIN IMMEDIATE")  # may it be written?
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection


def look(name: str) -> None:
    """Raises StoreError where none could be opened or made, as far as a look tells. It writes nothing and opens
    nothing: a daemon may be at work on it.
    """
    path = _located(name)
    _on_a_local_disk(name, path)
    there = ((path.parent, os.R_OK | os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK))
    if not all(os.access(place, needed) for place, needed in there if place.exists()):
        raise explained(name, OSError(errno.EACCES, ""))


def read_rows(name: str, apps: Iterable[str]) -> dict[str, tuple[Lease, ...]]:
    """The rows of these mappings, as `read` does."""
    select = f"{SELECT} ORDER BY leaseKey"
    apps = list(apps)
    return read(
        name,
        lambda connection: {
            app: tuple(decoded(name, row) for row in connection.execute(select, (app,))) for app in apps
        },
    )


def read(name: str, work: Callable[[sqlite3.Connection], T]) -> T:
    """What `work` finds at one moment, without writing or locking: a daemon may be at work on the file.

    Raises StoreError, also when there is no file.
    """
    path = _located(name)
    if not path.exists():
        if Path(name).is_absolute():
            raise StoreError(f"There is no state file {name} yet: `poller run` makes it.")
        where = f"{name} is looked for from the folder in which a command is started"
        raise StoreError(f"There is no state file {path} yet: `poller run` makes it. {where}.")
    before = _stamp(name, path)
    idle = before[0]
    # of a file that nobody has open, SQLite would leave a log and an index behind that are ours, not the daemon's
    try:
        rows = _read(name, path, "ro&immutable=1" if idle else "ro", work)
    except StoreError:
        if not idle or _stamp(name, path) == before:
            raise
    else:
        if not idle or _stamp(name, path) == before:
            return rows
    return _read(name, path, "ro", work)  # somebody has opened it meanwhile


def _stamp(name: str, path: Path) -> tuple[bool, int]:
    """Whether nobody has it open, and when it was written."""
    try:
        return not Path(f"{path}-wal").exists(), path.stat().st_mtime_ns
    except OSError as error:  # taken away this moment
        raise explained(name, error) from error


def _read(name: str, path: Path, mode: str, work: Callable[[sqlite3.Connection], T]) -> T:
    try:
        with closing(_open(path, mode)) as connection:
            _judge(name, path, connection)
            connection.execute("BEGIN")
            return work(connection)
    except sqlite3.Error as error:
        raise explained(name, error) from error


def encoded(lease: Lease) -> list[Any]:
    """The row's values, in the order of ATTRIBUTES; what is empty is NULL."""
    values = (getattr(lease, name) for _attribute, name, _kind in ATTRIBUTES)
    return [
        None if value in ("", ()) else json.dumps(value) if isinstance(value, tuple) else value for value in values
    ]


def decoded(name: str, row: Iterable[Any]) -> Lease:
    """The row of such values. Raises StoreError when there is none in them."""
    given = dict(zip((attribute for attribute, _name, _kind in ATTRIBUTES), row, strict=True))
    try:
        return lease_from(given | {attribute: _members(attribute, given[attribute]) for attribute in _LISTS})
    except ValueError as error:
        raise StoreError(
            f"The row of shard {given['leaseKey']} in the state file {name} cannot be read: {error};"
            " correct it with a SQLite shell, or restore the file."
        ) from None


def _members(attribute: str, text: object) -> object:
    if text is None:
        return None
    try:
        told = json.loads(str(text))
    except json.JSONDecodeError:
        raise ValueError(f"its {attribute} is no list") from None
    return tuple(told) if isinstance(told, list) else told


def _located(name: str) -> Path:
    """The real place, so that two ways to one file meet at one lock."""
    try:
        path = Path(os.path.realpath(name))
        if path.is_dir():
            raise StoreError(f"The state file {name} is a directory: name a file in it.")
        if not path.parent.is_dir():
            raise StoreError(f"The state file {name} has no place: there is no directory {path.parent}; make it.")
    except (
        OSError,
        ValueError,
    ) as error:  # a name too long, a loop of links, a directory that may not be searched
        raise explained(name, error if isinstance(error, OSError) else OSError(str(error))) from error
    return path


def _on_a_local_disk(name: str, path: Path) -> None:
    kind = network_file_system(path.parent, mounts())
    if kind is not None:
        raise StoreError(
            f"The state file {name} is on a network file system ({kind}), where SQLite loses data:"
            " name a place on a local disk in Settings.State."
        )


def _locked(name: str, path: Path) -> FileLock:
    _on_a_local_disk(name, path)
    try:
        return FileLock(Path(f"{path}.lock"))
    except Held as held:
        who = f"another process (pid {held.pid})" if held.pid else "another process"
        raise StoreError(
            f"The state file {name} is in use by {who}, and only one can write to it: stop that one first."
        ) from None
    except OSError as error:
        raise explained(name, error) from error


def _writable(name: str, path: Path) -> tuple[int, int]:
    """Its identity. SQLite itself would be content with reading, and say so only at the first write."""
    try:
        os.close(os.open(path, os.O_RDWR))
        return _identity(path)
    except OSError as error:
        raise explained(name, error) from error


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _make(name: str, path: Path) -> None:
    """A new file, under another name until it is whole: a half-made one is never taken for a state file."""
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(
            f"The state file {name} is missing but its last writes are there, in {log.name}: restore it, or remove"
            f" {log.name} too to begin again at each mapping's StartingPosition."
        )
    fresh = Path(f"{path}.new")
    try:
        for left in (log, Path(f"{path}-shm"), fresh, Path(f"{fresh}-journal")):
            left.unlink(missing_ok=True)
        with closing(_open(fresh, "rwc")) as connection:
            connection.execute("BEGIN")
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute(_SCHEMA)
            connection.execute("COMMIT")
        fresh.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise explained(name, error) from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None
    )


def _judge(name: str, path: Path, connection: sqlite3.Connection) -> None:
    """Raises StoreError or sqlite3.Error for what is no state file of this version, or damaged."""
    size = path.stat().st_size
    if size < _SMALLEST:  # SQLite would take it for a new one
        raise StoreError(f"The state file {name} is cut short, to {size} bytes; {RESTORE}.")
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION:
        raise StoreError(f"The state file {name} is a database of another program: name another file.")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not VERSION <= version <= NEWEST:
        raise StoreError(
            f"The state file {name} has the format {version}, and this version of poller knows {VERSION} and"
            f" {NEWEST} only: run the version that wrote it."
        )
    if size <= _CHECKED_BYTES:
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreError(f"The state file {name} is damaged ({' '.join(problem.split())}); {RESTORE}.")


def _log_ahead(name: str, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise StoreError(
            f"The state file {name} is on a file system without shared memory, which SQLite needs:"
            " name a place on a local disk in Settings.State."
        )
