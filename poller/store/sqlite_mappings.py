"""The mappings of the control API in a state file: a table that is made when the first of them is.

A file without it keeps the format 1, so that who makes no mapping through the API can go back to a version before
this one. Such a version would run none of the mappings here, and refuses the newest format therefore.
"""

import json
import sqlite3

from poller.errors import StoreError
from poller.ports import KeptMapping
from poller.store.sqlite_file import NEWEST, read

_TABLE = (
    "CREATE TABLE IF NOT EXISTS mapping"
    " (uuid TEXT PRIMARY KEY, fields TEXT NOT NULL, modified REAL NOT NULL, deleting INTEGER NOT NULL)"
)
_SELECT = "SELECT uuid, fields, modified, deleting FROM mapping ORDER BY uuid"
_SAVE = "INSERT OR REPLACE INTO mapping (uuid, fields, modified, deleting) VALUES (?, ?, ?, ?)"


def load(connection: sqlite3.Connection, name: str) -> tuple[KeptMapping, ...]:
    """All of them; `name` is the file's. Raises StoreError for a row that cannot be read."""
    if connection.execute("PRAGMA user_version").fetchone()[0] < NEWEST:
        return ()
    return tuple(_kept(name, *row) for row in connection.execute(_SELECT))


def read_mappings(name: str) -> tuple[KeptMapping, ...]:
    """Those of a file that a daemon may be at work on, as sqlite_file.read does."""
    return read(name, lambda connection: load(connection, name))


def save(connection: sqlite3.Connection, mapping: KeptMapping) -> None:
    """In a transaction that somebody else has begun."""
    connection.execute(_TABLE)
    connection.execute(f"PRAGMA user_version={NEWEST}")
    fields = json.dumps(mapping.fields, ensure_ascii=False)
    connection.execute(_SAVE, (mapping.uuid, fields, mapping.modified, mapping.deleting))


def remove(connection: sqlite3.Connection, uuid: str) -> None:
    """The mapping and its positions, in a transaction that somebody else has begun."""
    connection.execute("DELETE FROM lease WHERE app = ?", (uuid,))
    if connection.execute("PRAGMA user_version").fetchone()[0] >= NEWEST:
        connection.execute("DELETE FROM mapping WHERE uuid = ?", (uuid,))


def _kept(name: str, uuid: object, fields: object, modified: object, deleting: object) -> KeptMapping:
    try:
        told = json.loads(str(fields))
    except (ValueError, RecursionError):
        told = None
    if not (isinstance(uuid, str) and isinstance(told, dict) and isinstance(modified, int | float)):
        raise StoreError(
            f"The mapping {uuid} in the state file {name} cannot be read; correct its row with a SQLite shell, or"
            " restore the file."
        )
    return KeptMapping(uuid, told, float(modified), bool(deleting))
