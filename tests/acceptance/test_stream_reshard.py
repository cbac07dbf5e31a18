"""Split and merge while batches fail, and what is written to a child that nobody has seen yet."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

SERVERS = ["embedded_aws", "kinesis_local"]

HANDLERS = """
def work(event, context):
    texts = [text(record) for record in event["Records"]]
    held = [one for one in texts if there("hold-" + one.split()[0])]
    if held:
        note(*(f"failed {one}" for one in texts))
        raise RuntimeError("held by the test")
    note(*(f"done {one}" for one in texts))
"""


def numbered(shard: str, count: int = 20) -> list[str]:
    return [f"{shard} {n}" for n in range(count)]


def finished(folder: Path) -> list[str]:
    return [line.removeprefix("done ") for line in streams.notes(folder) if line.startswith("done ")]


def begun(folder: Path, shard: str) -> bool:
    return any(line.split()[1] == shard for line in streams.notes(folder))


def failures(folder: Path, shard: str) -> int:
    """How often its first record has failed."""
    return streams.notes(folder).count(f"failed {shard} 0")


@pytest.mark.parametrize("server", SERVERS)
def test_split_and_merge_while_batches_fail(
    server: str, request: pytest.FixtureRequest, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """STR-2, STR-4, STR-6, STR-10, GEN-9, ERR-4: nothing of a child is delivered before all of its parents are
    done, a merged one waits for both, and each record comes once, in the order of its shard.
    """
    url = request.getfixturevalue(server)
    stream = new_stream(url, 2)
    left, right = stream.shards()
    sent = {}

    def put(*shards: str) -> None:
        for shard in shards:
            sent[shard] = numbered(shard)
            stream.put_in(shard, sent[shard])

    for shard in (left, right):
        (tmp_path / f"hold-{shard}").touch()
    put(left, right)
    streams.write(tmp_path, streams.mapping(stream, BatchSize=5), handlers=HANDLERS)
    with daemon.running(tmp_path, daemon.environment(url), "--drain") as running:
        daemon.wait_for(lambda: failures(tmp_path, left) and failures(tmp_path, right), "both to fail")
        lower, upper = stream.split(left)
        put(lower, upper)
        merged = stream.merge(upper, right)
        put(merged)
        (tmp_path / f"hold-{upper}").touch()
        # one parent of the merged one is done; of the other nobody has heard yet
        (tmp_path / f"hold-{right}").unlink()
        daemon.wait_for(lambda: streams.checkpoints(tmp_path)[right] == "SHARD_END", "the end of the one parent")
        before = failures(tmp_path, left)
        daemon.wait_for(lambda: failures(tmp_path, left) > before, "one more failure")
        assert not any(begun(tmp_path, shard) for shard in (lower, upper, merged))
        (tmp_path / f"hold-{left}").unlink()
        daemon.wait_for(lambda: failures(tmp_path, upper), "the other parent to begin, and to fail")
        daemon.wait_for(lambda: set(sent[lower]) <= set(finished(tmp_path)), "its sibling")
        assert not begun(tmp_path, merged)
        (tmp_path / f"hold-{upper}").unlink()
        assert running.wait() == 0, running.output()
    done = finished(tmp_path)
    assert sorted(done) == sorted(text for texts in sent.values() for text in texts)
    place = {text: n for n, text in enumerate(done)}
    for texts in sent.values():
        assert [one for one in done if one in set(texts)] == texts
    for child, parents in {lower: [left], upper: [left], merged: [upper, right]}.items():
        last = max(place[text] for parent in parents for text in sent[parent])
        assert min(place[text] for text in sent[child]) > last
    checkpoints = streams.checkpoints(tmp_path)
    assert [checkpoints[shard] for shard in (left, right, upper)] == ["SHARD_END"] * 3


@pytest.mark.parametrize("server", SERVERS)
def test_latest_misses_nothing_of_a_child(
    server: str, request: pytest.FixtureRequest, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """STR-6, STR-11, STR-12: what was written before LATEST is not delivered; what is written to a child before
    anyone knows of it is, while the daemon runs and while it does not.
    """
    url = request.getfixturevalue(server)
    stream = new_stream(url)
    (first,) = stream.shards()
    stream.put_in(first, ["old 0"])
    streams.write(tmp_path, streams.mapping(stream, StartingPosition="LATEST"), handlers=HANDLERS)
    env = daemon.environment(url)
    expected: list[str] = []

    def put(shard: str) -> None:
        expected.extend(numbered(shard, 3))
        stream.put_in(shard, numbered(shard, 3))

    def all_done() -> bool:
        return set(expected) <= set(finished(tmp_path))

    with daemon.running(tmp_path, env) as running:
        running.ready()
        put(first)
        children = stream.split(first)
        for shard in children:
            put(shard)
        daemon.wait_for(all_done, "the children's records")
        running.signal(15)
        assert running.wait() == 0, running.output()
    merged = stream.merge(*children)
    put(merged)
    for shard in stream.split(merged):
        put(shard)
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(all_done, "what was written meanwhile")
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert sorted(finished(tmp_path)) == sorted(expected)


def test_latest_of_a_shard_without_records(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """STR-11, STR-14, SUR-4: LATEST is found out once: what is written to a shard, and to children it gets, while
    the daemon is away before it ever read a record, is delivered.
    """
    stream = new_stream(embedded_aws, 2)
    split, whole = stream.shards()
    streams.write(tmp_path, streams.mapping(stream, StartingPosition="LATEST"), handlers=HANDLERS)
    env = daemon.environment(embedded_aws)
    with daemon.running(tmp_path, env) as running:
        running.ready().kill()  # not even a clean stop
    children = stream.split(split)
    expected = [text for shard in (whole, *children) for text in numbered(shard)]
    for shard in (whole, *children):
        stream.put_in(shard, numbered(shard))
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: set(expected) <= set(finished(tmp_path)), "what was written meanwhile")
    assert sorted(finished(tmp_path)) == sorted(expected)
