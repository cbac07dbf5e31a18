"""`poller checkpoint`: what it shows, moves and exports, and every way in which it cannot."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poller import cli
from poller.config import load
from poller.core.lease_items import from_item
from poller.core.leases import Lease, ended, with_progress
from poller.core.records import Head, Progress, WindowState, after
from poller.store.sqlite import SqliteStore
from poller.store.sqlite_file import read_rows

FILE = """
Settings: {State: "sqlite:STATE"}
EventSourceMappings:
  - Name: clicks
    EventSourceArn: arn:aws:kinesis:eu-west-1:123456789012:stream/clicks
    FunctionName: python:shop:clicks
    StartingPosition: TRIM_HORIZON
  - Name: views
    EventSourceArn: arn:aws:kinesis:eu-west-1:123456789012:stream/views
    FunctionName: python:shop:views
    StartingPosition: LATEST
  - Name: orders
    EventSourceArn: arn:aws:sqs:eu-west-1:123456789012:orders
    FunctionName: python:shop:orders
"""
SEQUENCE = "49545115243490985018280067714973144582180062593244200961"
HEAD = Head(2, SEQUENCE, SEQUENCE, 5, attempts=3, interrupted=1, failed_at=1700000000.0, running=False)
WINDOW = WindowState(1700000000, 1700000060, {"secret": 1}, 1700000001.0)
ROWS = (
    Lease("shardId-0", "TRIM_HORIZON"),
    with_progress(
        Lease("shardId-1", "TRIM_HORIZON", "host:1", counter=7, parents=("shardId-0",)),
        Progress(after(SEQUENCE), (HEAD,), WINDOW),
    ),
    Lease("shardId-2", "LATEST", start=1700000000.25),
    ended(Lease("shardId-3", "5"), 1700000000.0),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "poller.yaml"
    path.write_text(FILE.replace("STATE", str(tmp_path / "state.db")))
    return path


def uuid(file: Path, name: str) -> str:
    return next(mapping.uuid for mapping in load(file, {}).mappings if mapping.name == name)


def fill(file: Path, *rows: Lease, name: str = "clicks") -> str:
    """Puts rows into the state file; its path."""
    path = str(file.with_name("state.db"))

    async def work() -> None:
        async with SqliteStore(path) as store:
            for row in rows:
                await store.create(uuid(file, name), row)

    asyncio.run(work())
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`poller checkpoint ...` with this file: exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(verb: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["poller", "checkpoint", verb, "-c", str(file), *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


# --- show ---


def test_show_as_json(file: Path, run: Run) -> None:
    """STR-31, ERR-5: each shard's position, its failing batches and window, nothing of its records or state."""
    fill(file, *ROWS)
    fill(file, Lease("shardId-9", "LATEST", start=0.0), name="views")
    code, out, err = run("show", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert [(row["mapping"], row["shard"], row["checkpoint"]) for row in told] == [
        ("clicks", "shardId-0", "TRIM_HORIZON"),
        ("clicks", "shardId-1", SEQUENCE),
        ("clicks", "shardId-2", "LATEST"),
        ("clicks", "shardId-3", "SHARD_END"),
        ("views", "shardId-9", "LATEST"),
    ]
    assert told[1] == {
        "mapping": "clicks",
        "uuid": uuid(file, "clicks"),
        "shard": "shardId-1",
        "checkpoint": SEQUENCE,
        "timestamp": None,
        "ended_at": None,
        "owner": "host:1",
        "counter": 7,
        "failing": [
            {
                "lane": 2,
                "first": SEQUENCE,
                "last": SEQUENCE,
                "count": 5,
                "attempts": 3,
                "interrupted": 1,
                "failed_at": "2023-11-14T22:13:20Z",
                "running": False,
            }
        ],
        "window": {"start": "2023-11-14T22:13:20Z", "end": "2023-11-14T22:14:20Z"},
        "problem": None,
    }
    assert told[2]["timestamp"] == told[3]["ended_at"] == "2023-11-14T22:13:20Z"
    assert "secret" not in out


def test_show_as_a_table(file: Path, run: Run) -> None:
    fill(file, *ROWS)
    code, out, err = run("show", "--mapping", "clicks")
    since = "2023-11-14T22:13:20Z"
    note = f"lane 2: a batch of 5 has failed 3 times since {since}; window of {since} is open"
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines == [
        "mapping shard position note",
        "clicks shardId-0 TRIM_HORIZON",
        f"clicks shardId-1 {SEQUENCE} {note}",
        "clicks shardId-2 LATEST (2023-11-14T22:13:20Z)",
        "clicks shardId-3 SHARD_END (2023-11-14T22:13:20Z)",
    ]


def test_show_a_row_that_cannot_be_read(file: Path, run: Run) -> None:
    """The others are shown, and this one says why."""
    fill(file, *ROWS, Lease("shardId-5", "LATEST"), Lease("shardId-6", "AT_TIMESTAMP", start=1e300))
    code, out, _ = run("show", "--json")
    told = json.loads(out)
    assert code == 0
    assert told[4]["problem"].startswith("the row of shard shardId-5 cannot be read: it says LATEST without")
    assert told[5]["timestamp"] == "1e+300"
    assert "it says LATEST without the time of it" in run("show")[1].replace("\n", "")


def test_show_nothing_yet(file: Path, run: Run) -> None:
    fill(file)
    assert run("show") == (0, "no positions yet\n", "")
    assert run("show", "--json") == (0, "[]\n", "")


def test_show_and_export_while_the_daemon_has_the_file(file: Path, run: Run) -> None:
    path = fill(file, *ROWS)

    async def beside() -> None:
        async with SqliteStore(path) as store:
            await store.swap(uuid(file, "clicks"), ROWS[0], replace(ROWS[0], checkpoint="77"))
            code, out, _ = await asyncio.to_thread(run, "show", "--json")
            assert (code, json.loads(out)[0]["checkpoint"]) == (0, "77")
            code, out, _ = await asyncio.to_thread(run, "export")
            assert (code, len(out.splitlines())) == (0, 4)

    asyncio.run(beside())


# --- export ---


def test_export(file: Path, run: Run) -> None:
    """Items of KCL's table, one a line, that come back as the same rows."""
    fill(file, *ROWS)
    fill(file, ROWS[0], name="views")
    code, out, err = run("export", "--mapping", "clicks")
    items = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert tuple(from_item(item) for item in items) == ROWS
    assert {item["app"]["S"] for item in items} == {uuid(file, "clicks")}
    assert items[1]["parentShardId"] == {"SS": ["shardId-0"]}
    assert len(run("export")[1].splitlines()) == 5


# --- set ---


@pytest.mark.parametrize("shard", ["shardId-0", "shardId-1", "shardId-3", "shardId-5"])
@pytest.mark.parametrize(
    ("arguments", "checkpoint"),
    [(["--sequence", "0012"], "0012"), (["--trim-horizon"], "TRIM_HORIZON"), (["--end"], "SHARD_END")],
)
def test_set(file: Path, run: Run, shard: str, arguments: list[str], checkpoint: str) -> None:
    """From anywhere to anywhere, with what was known of the batches there forgotten; other rows stay."""
    path = fill(file, *ROWS, Lease("shardId-5", "LATEST", progress="x"))
    before = {row.key: row for row in read_rows(path, [uuid(file, "clicks")])[uuid(file, "clicks")]}
    code, out, err = run("set", "--mapping", "clicks", "--shard", shard, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith(f"clicks: shard {shard} goes on at {checkpoint}")
    assert "no longer at" in out
    after_ = {row.key: row for row in read_rows(path, [uuid(file, "clicks")])[uuid(file, "clicks")]}
    row = after_.pop(shard)
    old = before.pop(shard)
    assert (row.checkpoint, row.counter, row.progress, row.switches) == (checkpoint, old.counter + 1, "", 0)
    assert row.parents == old.parents
    assert (row.ended_at is not None) == (checkpoint == "SHARD_END")
    assert after_ == before


def test_set_to_latest_is_pinned(file: Path, run: Run) -> None:
    """STR-11: what is written from now on, also if the daemon starts tomorrow."""
    path = fill(file, *ROWS)
    code, _, err = run("set", "--mapping", "clicks", "--shard", "shardId-1", "--latest")
    assert (code, err) == (0, "")
    row = read_rows(path, [uuid(file, "clicks")])[uuid(file, "clicks")][1]
    assert row.checkpoint == "LATEST"
    assert row.start is not None
    assert 0 <= Path(path).stat().st_mtime - row.start < 600


def test_set_while_the_daemon_has_the_file(file: Path, run: Run) -> None:
    """It would write over what was set, so it is refused."""
    path = fill(file, *ROWS)

    async def beside() -> None:
        async with SqliteStore(path):
            code, out, err = await asyncio.to_thread(
                run, "set", "--mapping", "clicks", "--shard", "shardId-0", "--trim-horizon"
            )
            assert (code, out) == (1, "")
            assert f"in use by another process (pid {os.getpid()})" in err
            assert "stop that one first" in err

    asyncio.run(beside())


# --- what cannot be ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mapping", "clicks", "--shard", "x", "--end"], "has no shard 'x' in"),
        (["--mapping", "click", "--shard", "x", "--end"], "There is no mapping 'click' in"),
        (["--mapping", "click", "--shard", "x", "--end"], "those of streams: clicks, views."),
        (
            ["--mapping", "orders", "--shard", "x", "--end"],
            "The mapping 'orders' reads a queue, which has no positions",
        ),
        (
            ["--mapping", "clicks", "--shard", "shardId-0"],
            "one of --sequence N, --trim-horizon, --latest and --end",
        ),
        (["--mapping", "clicks", "--shard", "shardId-0", "--end", "--latest"], "one of --sequence N"),
        (["--mapping", "clicks", "--shard", "shardId-0", "--sequence", "1", "--end"], "one of --sequence N"),
        (["--mapping", "clicks", "--shard", "shardId-0", "--sequence", "x"], "'x' is not a sequence number"),
        (["--mapping", "clicks", "--shard", "shardId-0", "--sequence", ""], "'' is not a sequence number"),
        (["--mapping", "clicks", "--shard", "shardId-0", "--sequence", "9" * 130], "is not a sequence number"),
        (["--shard", "shardId-0", "--end"], "Missing option '--mapping'"),
        (["--mapping", "clicks", "--end"], "Missing option '--shard'"),
    ],
)
def test_set_what_is_not_there(file: Path, run: Run, arguments: list[str], words: str) -> None:
    """Exit code 2, a sentence, and nothing changed."""
    path = fill(file, *ROWS)
    code, out, err = run("set", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert read_rows(path, [uuid(file, "clicks")])[uuid(file, "clicks")] == ROWS


VERBS = [["show"], ["export"], ["set", "--mapping", "clicks", "--shard", "s", "--end"]]


@pytest.mark.parametrize("arguments", VERBS)
def test_no_file_yet(file: Path, run: Run, arguments: list[str]) -> None:
    """Told, and none is made."""
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err == f"poller: There is no state file {file.with_name('state.db')} yet: `poller run` makes it.\n"
    assert [item.name for item in file.parent.iterdir()] == ["poller.yaml"]


def test_no_file_in_the_folder_of_the_command(file: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon elsewhere has one, so the message says where this was looked for."""
    file.write_text(FILE.replace("STATE", "state.db"))
    monkeypatch.chdir(file.parent)
    there = file.parent.resolve() / "state.db"
    assert run("show")[2] == (
        f"poller: There is no state file {there} yet: `poller run` makes it."
        " state.db is looked for from the folder in which a command is started.\n"
    )


@pytest.mark.parametrize("arguments", VERBS)
def test_a_file_that_is_none(file: Path, run: Run, arguments: list[str]) -> None:
    file.with_name("state.db").write_text("x" * 5_000)
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert "is no SQLite database" in err


@pytest.mark.parametrize("arguments", VERBS)
def test_state_in_memory(file: Path, run: Run, arguments: list[str]) -> None:
    file.write_text(FILE.replace("sqlite:STATE", "memory:"))
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("poller: Positions are in the daemon's memory (Settings.State is memory:)")


@pytest.mark.parametrize("arguments", VERBS)
def test_no_streams(file: Path, run: Run, arguments: list[str]) -> None:
    text = FILE.replace("STATE", str(file.with_name("state.db")))
    file.write_text(text[: text.index("  - Name: clicks")] + text[text.index("  - Name: orders") :])
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "has no mapping of a stream" in err or "there is none of a stream" in err


@pytest.mark.parametrize("arguments", VERBS)
def test_no_configuration(file: Path, run: Run, arguments: list[str]) -> None:
    file.unlink()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "there is no such file" in err
