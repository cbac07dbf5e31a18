"""The SQLite store at work: groups, durability, failures that pass, kills, and who else may have the file."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from poller.core.leases import Lease
from poller.errors import StoreError
from poller.store.sqlite import SqliteStore
from poller.store.sqlite_file import read_rows

APP = "11111111-2222-3333-4444-555555555555"
ROW = Lease("shardId-1", "TRIM_HORIZON")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state.db")


def script(text: str, path: str, *arguments: str) -> "subprocess.Popen[str]":
    """Another process with this program, its words on standard output."""
    return subprocess.Popen(
        [sys.executable, "-c", text, path, *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


def names(directory: Path) -> list[str]:
    return sorted(item.name for item in directory.iterdir())


async def statements_of(store: SqliteStore) -> list[str]:
    """What the connection does from now on."""
    seen: list[str] = []
    await store._ask(lambda connection: connection.set_trace_callback(seen.append))
    return seen


# --- a life ---


async def test_rows_outlast_the_store(path: str, tmp_path: Path) -> None:
    """STR-31: what was written is there after the next start, and nothing is left beside the file but its lock."""
    async with SqliteStore(path) as store:
        assert store.lasting
        await store.create(APP, ROW)
        written = await store.swap(APP, ROW, replace(ROW, checkpoint="12"))
    assert names(tmp_path) == ["state.db", "state.db.lock"]
    async with SqliteStore(path) as store:
        assert await store.rows(APP) == (written,)


async def test_closing_ends_what_was_asked_for(path: str) -> None:
    store = SqliteStore(path)
    async with store:
        await store.create(APP, ROW)
        late = [asyncio.ensure_future(store.create(APP, Lease(f"s{n}", "LATEST", start=1.0))) for n in range(700)]
        await asyncio.sleep(0)  # they have asked
        await store.close()
        assert await asyncio.gather(*late) == [True] * 700
        await store.close()
        with pytest.raises(StoreError, match=r"state\.db is not open"):
            await store.rows(APP)
    assert len(read_rows(path, [APP])[APP]) == 701


async def test_a_store_that_was_never_opened(path: str, tmp_path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="is not open"):
        await store.rows(APP)
    await store.close()
    assert names(tmp_path) == []


async def test_a_cancelled_opening_leaves_nothing_locked(path: str) -> None:
    """Whenever it is cancelled: before the thread has the file, and after."""
    for turns in range(4):
        store = SqliteStore(path)
        opening = asyncio.ensure_future(store.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        await store.close()
        async with SqliteStore(path) as again:
            await again.rows(APP)


async def test_a_cancelled_caller_leaves_the_store_well(path: str) -> None:
    async with SqliteStore(path) as store:
        for number in range(50):
            asking = asyncio.ensure_future(store.create(APP, Lease(f"s{number}", "TRIM_HORIZON")))
            await asyncio.sleep(0)
            asking.cancel()
        assert await store.create(APP, ROW)
        assert ROW in await store.rows(APP)


# --- groups ---


async def test_writes_that_wait_share_a_transaction(path: str) -> None:
    """A thousand shards that checkpoint each second must not cost a thousand synchronisations."""
    async with SqliteStore(path) as store:
        seen = await statements_of(store)
        await asyncio.gather(*(store.create(APP, Lease(f"s{n}", "TRIM_HORIZON")) for n in range(1_000)))
        assert len(await store.rows(APP)) == 1_000
        assert seen.count("COMMIT") < 20


async def test_only_what_must_outlast_a_power_failure_waits_for_the_disk(path: str) -> None:
    """ERR-5: attempts that begin are saved for the end of this process, positions for that of the machine's power;
    one of these in a group makes the whole group so.
    """
    async with SqliteStore(path) as store:
        row = ROW
        await store.create(APP, row)
        seen = await statements_of(store)

        async def write(durable: bool) -> list[str]:
            nonlocal row
            seen.clear()
            row = await store.swap(APP, row, replace(row, progress="x"), durable=durable)
            return [text for text in seen if "synchronous" in text or text.startswith("BEGIN")]

        await write(durable=True)
        begin = "BEGIN IMMEDIATE"
        assert await write(durable=False) == ["PRAGMA synchronous=1", begin]
        assert await write(durable=False) == [begin]
        assert await write(durable=True) == ["PRAGMA synchronous=2", begin]
        assert await write(durable=True) == [begin]
        await write(durable=False)
        seen.clear()
        other = Lease("shardId-2", "TRIM_HORIZON")
        swap = store.swap(APP, row, replace(row, progress="y"), durable=False)
        await asyncio.gather(swap, store.create(APP, other), store.get(APP, "shardId-2"))
        assert seen[:2] == ["PRAGMA synchronous=2", begin]


async def test_one_row_that_cannot_be_stored_fails_alone(path: str) -> None:
    """Half a surrogate pair is no text, and 2^70 no integer of SQLite's."""
    async with SqliteStore(path) as store:
        answers = await asyncio.gather(
            store.create(APP, ROW),
            store.create(APP, replace(ROW, key="shardId-2", owner="\ud800")),
            store.create(APP, replace(ROW, key="shardId-3", switches=2**70)),
            store.create(APP, replace(ROW, key="shardId-4")),
            return_exceptions=True,
        )
        assert [str(answer).partition(":")[0] for answer in answers] == [
            "True",
            f"The state file {path} cannot take a row",
            f"The state file {path} cannot take a row",
            "True",
        ]
        assert [lease.key for lease in await store.rows(APP)] == ["shardId-1", "shardId-4"]


# --- others at the file ---


async def test_one_process_at_a_time(path: str) -> None:
    """Told with the file and the process; whichever way the file is named."""
    async with SqliteStore(path):
        link = Path(path).with_name("link.db")
        link.symlink_to(path)
        for name in (path, str(link)):
            with pytest.raises(StoreError) as caught:
                async with SqliteStore(name):
                    pass
            assert str(caught.value) == (
                f"The state file {name} is in use by another process (pid {os.getpid()}),"
                " and only one can write to it: stop that one first."
            )
    async with SqliteStore(path):
        pass


FORKS = """
import asyncio, os, sys, time
from poller.store.sqlite import SqliteStore

async def main():
    async with SqliteStore(sys.argv[1]) as store:
        if not os.fork():
            print(os.getpid(), flush=True)  # by now it has done what is done after a fork
            time.sleep(600)
            os._exit(0)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_forked_child_does_not_keep_the_file(path: str) -> None:
    """A handler's pool of processes outlives a kill -9 of the daemon, and must not keep the next from starting."""
    process = script(FORKS, path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        async with SqliteStore(path) as store:
            assert await store.rows(APP) == ()
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


async def test_others_may_read_meanwhile(path: str) -> None:
    """What is committed, at once; a reader that stays does not stop the writer."""
    async with SqliteStore(path) as store:
        await store.create(APP, ROW)
        assert read_rows(path, [APP, "x"]) == {APP: (ROW,), "x": ()}
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM lease").fetchone() == (1,)
            written = await store.swap(APP, ROW, replace(ROW, checkpoint="5"))
            assert read_rows(path, [APP])[APP] == (written,)
            assert reader.execute("SELECT checkpoint FROM lease").fetchone() == ("TRIM_HORIZON",)


async def test_a_file_that_another_program_locks(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told after a while, and fine again when it is let go."""
    monkeypatch.setattr("poller.store.sqlite_file.BUSY_TIMEOUT", 0.05)
    async with SqliteStore(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="is locked by another program"):
                await store.create(APP, ROW)
            other.execute("ROLLBACK")
        assert await store.create(APP, ROW)


async def test_all_that_wait_for_a_locked_file_wait_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a thousand shards would wait a thousand times five seconds, and the stop behind them."""
    monkeypatch.setattr("poller.store.sqlite_file.BUSY_TIMEOUT", 0.05)
    async with SqliteStore(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            seen: list[object] = []
            begin = store._begin
            monkeypatch.setattr(store, "_begin", lambda *given, **by: seen.append(by) or begin(*given, **by))
            leases = [Lease(f"s{n}", "TRIM_HORIZON") for n in range(300)]
            answers = await asyncio.gather(*(store.create(APP, one) for one in leases), return_exceptions=True)
            assert {type(answer) for answer in answers} == {StoreError}
            assert len(seen) < 20
            other.execute("ROLLBACK")
        assert await store.create(APP, ROW)


async def test_a_disk_that_hangs_does_not_hold_up_the_end(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was told to stop has a deadline; who waits for the disk is told."""
    monkeypatch.setattr("poller.store.sqlite.CLOSE_WAIT", 0.05)
    disk = threading.Event()
    store = await SqliteStore(path).__aenter__()
    saving = asyncio.ensure_future(store._ask(lambda _: disk.wait(60)))
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match=r"state\.db does not answer"):
        await store.close()
    disk.set()
    assert await saving
    await store.close()


async def test_a_file_taken_away_while_in_use(path: str, tmp_path: Path) -> None:
    """Writes to it would succeed, and nobody would ever read them."""
    async with SqliteStore(path) as store:
        await store.create(APP, ROW)
        away = tmp_path / "away.db"
        shutil.move(path, away)
        with pytest.raises(StoreError, match="was removed or replaced while in use: put it back"):
            await store.swap(APP, ROW, replace(ROW, checkpoint="5"))
        shutil.copy(away, path)
        with pytest.raises(StoreError, match="was removed or replaced"):
            await store.get(APP, ROW.key)
        shutil.move(away, path)
        assert await store.get(APP, ROW.key) == ROW


# --- a full disk ---

FILLS = """
import asyncio, os, resource, sys
from dataclasses import replace
from pathlib import Path
from poller.core.leases import Lease
from poller.errors import StoreError
from poller.store.sqlite import SqliteStore

path, how = Path(sys.argv[1]), sys.argv[2]
ballast = path.with_name("ballast")

def full(yes):
    if how == "file size":
        limit = 150_000 if yes else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    elif yes:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    else:
        ballast.unlink()

async def main():
    async with SqliteStore(str(path)) as store:
        rows = [Lease(f"s{n}", "TRIM_HORIZON") for n in range(5)]
        await asyncio.gather(*(store.create("app", row) for row in rows))
        full(True)
        large = [replace(row, checkpoint="7", progress="x" * 300_000) for row in rows]
        answers = await asyncio.gather(
            *(store.swap("app", row, new) for row, new in zip(rows, large)), return_exceptions=True
        )
        assert all(isinstance(answer, StoreError) for answer in answers), answers
        print(answers[0])
        assert await store.rows("app") == tuple(rows)
        full(False)
        for row, new in zip(rows, large):
            assert await store.swap("app", row, new) == replace(new, counter=1)
    async with SqliteStore(str(path)) as store:
        assert [row.checkpoint for row in await store.rows("app")] == ["7"] * 5

asyncio.run(main())
"""
NO_ROOM = """
import asyncio, resource, signal, sys
from pathlib import Path
from poller.store.sqlite import SqliteStore
from poller.errors import StoreError

path, how = Path(sys.argv[1]), sys.argv[2]

async def main():
    if how == "file size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    else:
        with path.with_name("ballast").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    try:
        async with SqliteStore(str(path)):
            print("opened")
    except StoreError as error:
        print(error)
    assert not path.exists()  # no half-made file that the next start would refuse

asyncio.run(main())
"""


def outcome(text: str, directory: Path, how: str) -> str:
    """What the program says, run with a limit on file sizes or in a tiny file system of its own."""
    program = [sys.executable, "-c", text, str(directory / "state.db"), how]
    if how == "file system":
        mounting = f"mount -t tmpfs -o size=3m tiny {directory} && exec "
        trial = ["unshare", "-rm", "sh", "-c", mounting + "true"]
        if shutil.which("unshare") is None or subprocess.run(trial, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here; the same runs with a limit on file sizes")
        program = ["unshare", "-rm", "sh", "-c", mounting + '"$@"', "sh", *program]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FULL = {"file size": "input/output error; look whether its disk is full", "file system": "its disk is full"}


@pytest.mark.parametrize("how", FULL)
def test_a_disk_that_fills_up_and_is_freed(tmp_path: Path, how: str) -> None:
    """Each caller learns of it, nothing changes, reading goes on; writing too once there is room."""
    assert FULL[how] in outcome(FILLS, tmp_path, how)


@pytest.mark.parametrize("how", FULL)
def test_no_room_for_a_new_file(tmp_path: Path, how: str) -> None:
    assert FULL[how] in outcome(NO_ROOM, tmp_path, how)


# --- kill -9 ---

WRITES = """
import asyncio, sys
from dataclasses import replace
from poller.core.leases import Lease
from poller.store.sqlite import SqliteStore

async def count(store, key):
    await store.create("app", Lease(key, "TRIM_HORIZON"))
    row = await store.get("app", key)
    number = 0 if row.checkpoint == "TRIM_HORIZON" else int(row.checkpoint)
    while True:
        number += 1
        row = await store.swap("app", row, replace(row, checkpoint=str(number)), durable=number % 3 == 0)
        print(key, number, flush=True)

async def main():
    async with SqliteStore(sys.argv[1]) as store:
        await asyncio.gather(*(count(store, f"s{n}") for n in range(8)))

asyncio.run(main())
"""


async def test_kill_dash_nine_loses_nothing_that_was_told_saved(path: str) -> None:
    """GEN-5, STR-31: at any moment; neither more nor less than one write in flight beyond what was told."""
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    print(f"seed {seed}")
    told: dict[str, int] = {}
    for _ in range(5):
        process = script(WRITES, path)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randrange(1, 150))]
        assert all(lines)  # it was at work
        process.kill()
        for line in [*lines, *process.stdout]:  # not communicate: that would pass by what is buffered here
            if line.endswith("\n"):
                key, number = line.split()
                told[key] = int(number)
        process.communicate()
        async with SqliteStore(path) as store:
            kept = {row.key: row.checkpoint for row in await store.rows("app")}
        for key, number in told.items():
            assert int(kept[key]) - number in {0, 1}
        told = {key: int(number) for key, number in kept.items() if number.isdigit()}
    assert len(told) == 8
