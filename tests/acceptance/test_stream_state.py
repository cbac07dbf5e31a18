"""The state file and who has trouble with it; `poller checkpoint` beside a daemon and without one."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

HANDLERS = """
async def work(event, context):
    note(*(text(record) for record in event["Records"]))
"""
# Root may write everywhere, unless it gives up the capabilities for that (1 and 2) for the next program.
WITHOUT_POWERS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
if os.geteuid() == 0 and hasattr(libc, "prctl"):
    for capability in (1, 2):
        assert libc.prctl(24, capability, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-m", "poller", *sys.argv[1:]])
"""


def numbered(first: int, count: int) -> list[str]:
    return [str(n) for n in range(first, first + count)]


def one_line(done: Any) -> str:
    """What the command says in the end: its log aside, one line."""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert "Traceback" not in done.stderr
    return str(line)


@pytest.fixture
def stream(embedded_aws: str, new_stream: Callable[..., streams.Stream]) -> streams.Stream:
    return new_stream(embedded_aws)


@pytest.fixture
def env(embedded_aws: str) -> dict[str, str]:
    return daemon.environment(embedded_aws)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


TROUBLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no database": (lambda path: path.write_text("positions? " * 1000), "is no SQLite database"),
    "empty": (lambda path: path.write_bytes(b""), "is cut short"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:6000]), "is damaged"),
    "damaged": (damage, "is damaged"),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
    "of a newer version": (
        lambda path: path.write_bytes(path.read_bytes()[:60] + bytes([0, 0, 0, 99]) + path.read_bytes()[64:]),
        "newer",
    ),
}


def test_a_state_file_that_cannot_be_used(stream: streams.Stream, env: dict[str, str], tmp_path: Path) -> None:
    """STR-31: whatever is wrong with the file, it is told in one line with what to do, exit code 1; the file stays
    as it is, and no record is delivered: never a start from the horizon that nobody asked for.
    """
    stream.put(numbered(0, 5), "k")
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    done = daemon.poller("run", "--drain", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    good = (tmp_path / "state.db").read_bytes()
    for problem, (spoil, words) in TROUBLE.items():
        path = tmp_path / f"{problem}.db"
        path.write_bytes(good)
        spoil(path)
        spoilt = path.read_bytes() if path.is_file() else None
        streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS, State=f"sqlite:{path.name}")
        done = daemon.poller("run", "--drain", cwd=tmp_path, env=env)
        assert done.returncode == 1, (problem, done.stderr)
        line = one_line(done)
        assert line.startswith("poller: ")
        assert path.name in line
        assert words in line, (problem, line)
        assert (path.read_bytes() if path.is_file() else None) == spoilt
    assert streams.notes(tmp_path) == numbered(0, 5)


def test_no_directory_for_it(stream: streams.Stream, env: dict[str, str], tmp_path: Path) -> None:
    """STR-31: a path that is a typing error is told, not made."""
    stream.put(["a"], "k")
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS, State="sqlite:nowhere/state.db")
    done = daemon.poller("run", "--drain", cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert "nowhere" in one_line(done)
    assert not (tmp_path / "nowhere").exists()
    assert streams.notes(tmp_path) == []


def test_a_file_that_may_only_be_read(stream: streams.Stream, env: dict[str, str], tmp_path: Path) -> None:
    """STR-31: told at the start, and not when the first position is to be saved."""
    stream.put(["a"], "k")
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    assert daemon.poller("run", "--drain", cwd=tmp_path, env=env).returncode == 0
    (tmp_path / "state.db").chmod(0o444)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POWERS, "run", "--drain"],
        check=False,
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=daemon.DEADLINE,
    )
    assert done.returncode == 1, done.stderr
    assert "state.db may not be written" in one_line(done)
    assert streams.notes(tmp_path) == ["a"]


def test_a_second_daemon_on_the_same_file(stream: streams.Stream, env: dict[str, str], tmp_path: Path) -> None:
    """STR-1, STR-31: it is refused and says who has the file; the first one goes on."""
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    with daemon.running(tmp_path, env) as first:
        first.ready()
        done = daemon.poller("run", cwd=tmp_path, env=env)
        assert done.returncode == 1
        line = one_line(done)
        assert str(first.process.pid) in line
        assert "state.db" in line
        stream.put(["a"], "k")
        daemon.wait_for(lambda: streams.notes(tmp_path) == ["a"], "the first one's work")
        first.signal(15)
        assert first.wait() == 0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_disk_that_fills_up_and_is_freed(stream: streams.Stream, env: dict[str, str], tmp_path: Path) -> None:
    """STR-30, STR-31: positions that cannot be saved are told, and saved as soon as there is room; records are
    delivered meanwhile, and again only after a crash.
    """
    (shard,) = stream.shards()
    stream.put(numbered(0, 3), "k")
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: streams.checkpoints(tmp_path).get(shard, "").isdigit(), "a saved position")
        saved = streams.checkpoints(tmp_path)[shard]
        pid = running.process.pid
        # every file may grow to this, and the one of the last writes is longer already
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))
        last = stream.put(numbered(3, 3), "k")[-1]
        daemon.wait_for(lambda: "cannot be read or written" in running.output(), "the complaint")
        assert streams.checkpoints(tmp_path)[shard] == saved
        assert streams.notes(tmp_path) == numbered(0, 6)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        daemon.wait_for(lambda: streams.checkpoints(tmp_path)[shard] == last.sequence, "the saved position")
        running.signal(15)
        assert running.wait() == 0, running.output()
    with daemon.running(tmp_path, env, "--drain") as running:
        assert running.wait() == 0
    assert streams.notes(tmp_path) == numbered(0, 6)


def test_positions_for_people(stream: streams.Stream, env: dict[str, str], tmp_path: Path) -> None:
    """STR-28, STR-30, STR-31: `checkpoint show` and `export` beside a running daemon and without one; `set` is for
    when it does not run, and replays.
    """
    (shard,) = stream.shards()
    placed = stream.put(numbered(0, 5), "k")
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)

    def command(*arguments: str, code: int = 0) -> str:
        done = daemon.poller("checkpoint", *arguments, cwd=tmp_path, env=env)
        assert done.returncode == code, done.stderr
        return one_line(done) if code else str(done.stdout)

    def move(*to: str, code: int = 0) -> str:
        return command("set", "--mapping", stream.name, "--shard", shard, *to, code=code)

    def run(last: str) -> list[str]:
        """Until that record came: all that came."""
        before = len(streams.notes(tmp_path))
        with daemon.running(tmp_path, env) as running:
            daemon.wait_for(lambda: last in streams.notes(tmp_path)[before:], "the last record")
            running.signal(15)
            assert running.wait() == 0, running.output()
        return streams.notes(tmp_path)[before:]

    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(
            lambda: streams.checkpoints(tmp_path).get(shard) == placed[4].sequence, "the saved position"
        )
        (shown,) = json.loads(command("show", "--json"))
        assert (shown["mapping"], shown["shard"]) == (stream.name, shard)
        assert shown["checkpoint"] == placed[4].sequence
        item = json.loads(command("export"))
        assert item["leaseKey"] == {"S": shard}
        assert item["checkpoint"] == {"S": placed[4].sequence}
        refusal = move("--trim-horizon", code=1)
        assert str(running.process.pid) in refusal
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert placed[4].sequence in re.sub(r"\s", "", command("show"))
    assert "goes on at" in move("--sequence", placed[1].sequence)
    assert run("4") == numbered(2, 3)
    move("--trim-horizon")
    assert run("4") == numbered(0, 5)
    refusal = command("set", "--mapping", stream.name, "--shard", "shardId-9", "--latest", code=2)
    assert "shardId-9" in refusal
