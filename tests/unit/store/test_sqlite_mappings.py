"""The mappings of the control API in a state file, and files that have none."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from poller.core.leases import Lease
from poller.errors import StoreError
from poller.ports import KeptMapping
from poller.store.sqlite import SqliteStore
from poller.store.sqlite_file import read_rows
from poller.store.sqlite_mappings import read_mappings

ONE = KeptMapping("11111111-2222-4333-8444-555555555555", {"BatchSize": 7}, 1.5)
ROW = Lease("shardId-1", "TRIM_HORIZON")


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_a_file_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    """API-2, STR-31: positions stay, and until there is a mapping the version before can go on with it."""
    path = tmp_path / "state.db"
    async with SqliteStore(str(path)) as store:
        await store.create("app", ROW)
        assert await store.load() == ()
        await store.remove("other")
    assert version(path) == 1
    assert read_mappings(str(path)) == ()
    async with SqliteStore(str(path)) as store:
        await store.save(ONE)
        assert await store.rows("app") == (ROW,)
    assert version(path) == 2
    async with SqliteStore(str(path)) as store:
        assert await store.load() == read_mappings(str(path)) == (ONE,)
        assert await store.rows("app") == read_rows(str(path), ["app"])["app"] == (ROW,)


@pytest.mark.parametrize("fields", ["[]", "{", "", "7", "[" * 100_000])
async def test_a_row_that_cannot_be_read_is_told(tmp_path: Path, fields: str) -> None:
    """It is not taken for no mapping."""
    path = tmp_path / "state.db"
    async with SqliteStore(str(path)) as store:
        await store.save(ONE)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE mapping SET fields = ?", (fields,))
    with pytest.raises(StoreError, match=f"The mapping {ONE.uuid} in the state file .* cannot be read; correct"):
        read_mappings(str(path))
    async with SqliteStore(str(path)) as store:
        with pytest.raises(StoreError, match="cannot be read"):
            await store.load()
