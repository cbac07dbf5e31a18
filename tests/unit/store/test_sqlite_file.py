"""What is refused as a state file, each with one sentence, and never taken for a new one."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from poller.core.leases import Lease
from poller.errors import StoreError
from poller.store import sqlite_file
from poller.store.sqlite import SqliteStore
from poller.store.sqlite_file import StateFile, read_rows

APP = "11111111-2222-3333-4444-555555555555"
ROWS = tuple(Lease(f"shardId-{number:03}", "7", progress="x" * 1_000) for number in range(100))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state file with a hundred rows, closed."""
    path = tmp_path / "state.db"

    async def fill() -> None:
        async with SqliteStore(str(path)) as store:
            await asyncio.gather(*(store.create(APP, row) for row in ROWS))

    asyncio.run(fill())
    return path


def sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def refused(path: Path | str) -> str:
    """Why it is refused: by the store, which changes nothing, and which leaves it to others then."""
    before = Path(path).read_bytes() if os.path.isfile(path) else None  # noqa: PTH113 - the name may be none
    with pytest.raises(StoreError) as caught:
        StateFile(str(path))
    with pytest.raises(StoreError) as again:
        StateFile(str(path))
    assert str(again.value) == str(caught.value)  # not "in use"
    text = str(caught.value)
    assert text.startswith(f"The state file {path} ")
    assert text.isprintable()
    assert before == (None if before is None else Path(path).read_bytes())
    return text


def damage(path: Path, start: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * size)


NOT_OURS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is cut short, to 0 bytes; restore it from a copy"),
    "text": (lambda path: path.write_text("EventSourceMappings: []\n" * 200), "is no SQLite database"),
    "short text": (lambda path: path.write_text("x"), "is cut short, to 1 bytes"),
    "damaged header": (lambda path: damage(path, 0, 16), "is no SQLite database"),
    "damaged pages": (lambda path: damage(path, 8192, 20_000), "is damaged ("),
    "cut off": (lambda path: os.truncate(path, 20_480), "is damaged ("),
    "another's": (lambda path: sql(path, "PRAGMA application_id=7"), "is a database of another program"),
    "newer": (
        lambda path: sql(path, "PRAGMA user_version=3"),
        "has the format 3, and this version of poller knows 1 and 2 only",
    ),
    "older": (
        lambda path: sql(path, "PRAGMA user_version=0"),
        "has the format 0, and this version of poller knows 1 and 2 only",
    ),
}


@pytest.mark.parametrize("kind", NOT_OURS)
def test_what_is_no_state_file_is_refused(path: Path, kind: str) -> None:
    """STR-14, STR-31: positions that cannot be read are never taken for none."""
    change, words = NOT_OURS[kind]
    change(path)
    assert words in refused(path)
    with pytest.raises(StoreError) as caught:
        read_rows(str(path), [APP])
    assert words in str(caught.value)


def test_a_directory(tmp_path: Path) -> None:
    assert "is a directory: name a file in it" in refused(tmp_path)


def test_no_directory(tmp_path: Path) -> None:
    assert f"there is no directory {tmp_path}/state; make it" in refused(tmp_path / "state" / "x.db")


def test_a_name_that_is_none(tmp_path: Path) -> None:
    assert "cannot be used: " in refused(tmp_path / ("x" * 300))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "cannot be used: Too many levels of symbolic links" in refused(loop)


def test_the_last_writes_without_their_file(path: Path) -> None:
    """They would be read into the new file, or be lost; nobody but the user knows which file they belong to."""
    log = Path(f"{path}-wal")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE lease SET checkpoint = 8")
        connection.commit()
        kept = shutil.copy(log, f"{path}.kept")
    path.unlink()
    shutil.move(kept, log)
    assert "is missing but its last writes are there, in state.db-wal" in refused(path)
    assert not path.exists()
    log.unlink()
    StateFile(str(path)).close()
    assert read_rows(str(path), [APP]) == {APP: ()}


def test_what_a_making_left_behind_is_made_anew(tmp_path: Path) -> None:
    """Killed while it made the file: nothing was in it yet."""
    path = tmp_path / "state.db"
    for name in ("state.db.new", "state.db.new-journal", "state.db-shm"):
        (tmp_path / name).write_text("half")
    StateFile(str(path)).close()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["state.db", "state.db.lock"]


@pytest.mark.parametrize("name", ["a b.db", "a?mode=memory", "a%20#x.db", ":memory:", "é☃.db", "file:x"])
def test_any_name_is_a_file_of_that_name(tmp_path: Path, name: str) -> None:
    StateFile(str(tmp_path / name)).close()
    assert sorted(item.name for item in tmp_path.iterdir()) == [name, f"{name}.lock"]


# --- permissions ---

TRIES = """
import os, sys
from poller.store import sqlite_file
from poller.store.sqlite_file import StateFile, look, read_rows
from poller.errors import StoreError
if os.geteuid() == 0:
    os.setuid(65534)
try:
    look(sys.argv[1])
    looked = "fine"
except StoreError as error:
    looked = str(error)
for work in (lambda: StateFile(sys.argv[1]).close(), lambda: print(len(read_rows(sys.argv[1], ["APP"])["APP"]))):
    try:
        work()
        print("fine")
    except StoreError as error:
        print(error)
print(looked)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that any user can reach: root may write everywhere, so another one has to try."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        directory.chmod(0o755)


def as_somebody(path: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", TRIES.replace("APP", APP), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *lines, looked = done.stdout.splitlines()
    assert looked == lines[0], "a look beforehand tells what opening it would come to"
    return lines


MAY_NOT = "may not be written; it needs write permission on the file and on its directory"


def test_a_file_that_may_only_be_read(path: Path, public: Path) -> None:
    """At once, not at the first checkpoint; looking at it is fine."""
    there = Path(shutil.copy(path, public / "state.db"))
    there.chmod(0o444)
    public.chmod(0o777)
    try:
        lines = as_somebody(there)
    finally:
        public.chmod(0o755)
    assert lines == [f"The state file {there} {MAY_NOT}.", "100", "fine"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_directory_that_may_only_be_read(path: Path, public: Path, existing: bool) -> None:
    there = public / "state.db"
    if existing:
        shutil.copy(path, there)
        there.chmod(0o666)
    public.chmod(0o555)
    lines = as_somebody(there)
    assert lines[0] == f"The state file {there} {MAY_NOT}."
    assert not existing or lines[1:] == ["100", "fine"]


def test_a_file_that_may_not_be_read(path: Path, public: Path) -> None:
    there = Path(shutil.copy(path, public / "state.db"))
    there.chmod(0)
    public.chmod(0o777)
    try:
        first, second = as_somebody(there)
    finally:
        public.chmod(0o755)
    assert first == f"The state file {there} {MAY_NOT}."
    assert (
        second
        == f"The state file {there} cannot be opened; it needs permission for the file and for its directory."
    )


# --- rows ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("leaseCounter = 'x'", "its leaseCounter is no N"),
        ("leaseCounter = NULL", "it has no leaseCounter"),
        ("checkpoint = x'00'", "its checkpoint is no S"),
        ("checkpoint = ''", "it has no checkpoint"),
        ("parentShardId = 'shardId-0'", "its parentShardId is no list"),
        ("parentShardId = '{}'", "its parentShardId is no SS"),
        ("parentShardId = '[1]'", "its parentShardId is no SS"),
        ("esm_start = 'soon'", "its esm_start is no N"),
    ],
)
def test_a_row_that_was_changed_by_hand(path: Path, change: str, words: str) -> None:
    """STR-14: its mapping cannot start, as nobody knows where; others can."""
    sql(path, f"UPDATE lease SET {change} WHERE leaseKey = 'shardId-050'")
    sentence = (
        f"The row of shard shardId-050 in the state file {path} cannot be read: {words};"
        " correct it with a SQLite shell, or restore the file."
    )

    async def look() -> None:
        async with SqliteStore(str(path)) as store:
            with pytest.raises(StoreError) as caught:
                await store.rows(APP)
            assert str(caught.value) == sentence
            assert await store.get(APP, "shardId-051") == ROWS[51]
            assert await store.rows("another") == ()

    asyncio.run(look())
    with pytest.raises(StoreError) as caught:
        read_rows(str(path), [APP])
    assert str(caught.value) == sentence


def test_looking_leaves_nothing_behind(path: Path) -> None:
    """A log made by whoever looks would belong to them, and the daemon's user could not write it."""
    before = sorted(item.name for item in path.parent.iterdir())
    assert read_rows(str(path), [APP]) == {APP: ROWS}
    assert sorted(item.name for item in path.parent.iterdir()) == before


def test_a_daemon_that_starts_while_somebody_looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read while it wrote is read again, beside it."""
    opened: list[StateFile] = []
    read = sqlite_file._read

    def slow(*arguments: Any) -> Any:
        rows = read(*arguments)
        if not opened:
            opened.append(StateFile(str(path)))
            opened[0].connection.execute("UPDATE lease SET checkpoint = '8'")
        return rows

    monkeypatch.setattr(sqlite_file, "_read", slow)
    assert {row.checkpoint for row in read_rows(str(path), [APP])[APP]} == {"8"}
    opened[0].close()


def test_reading_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no state file .*x\.db yet: `poller run` makes it\."):
        read_rows(str(tmp_path / "x.db"), [APP])
    assert list(tmp_path.iterdir()) == []
