"""Streams over the life of a mapping: disabled and enabled, with other lanes, removed and added, stopped."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import poller
from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

HANDLERS = """
async def work(event, context):
    note(*(f"{record['kinesis']['partitionKey']} {text(record)}" for record in event["Records"]))


def now_and_then(event, context):
    if random.random() < 0.2:
        raise RuntimeError("on purpose")
    note(*(f"{record['kinesis']['partitionKey']} {text(record)}" for record in event["Records"]))


async def slow(event, context):
    note("begun")
    while not there("go"):
        await asyncio.sleep(0.01)
    note(*(f"done {text(record)}" for record in event["Records"]))


def deaf(event, context):
    note("begun")
    while True:
        time.sleep(60)
"""


def numbered(first: int, count: int) -> list[str]:
    return [str(n) for n in range(first, first + count)]


def keys_of(texts: list[str]) -> list[str]:
    return [f"k{int(text) % 7}" for text in texts]


def numbers(folder: Path) -> list[int]:
    return [int(line.split()[1]) for line in streams.notes(folder) if " " in line]


def wait_for_notes(folder: Path, count: int) -> None:
    daemon.wait_for(lambda: len(streams.notes(folder)) >= count, f"{count} records")


def in_order(lines: list[str]) -> bool:
    """Whether the first time of each record of a key comes behind those of all before it."""
    first: dict[str, list[int]] = defaultdict(list)
    seen = set()
    for line in lines:
        key, number = line.split()
        if line not in seen:
            seen.add(line)
            first[key].append(int(number))
    return all(found == sorted(found) for found in first.values())


async def test_pause_write_resume(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """API-8, API-9, STR-31: paused it delivers nothing; resumed it goes on where it was, also where LATEST was."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    stream = await asyncio.to_thread(new_stream, embedded_aws, 2)
    seen: list[str] = []

    async def handler(event: Any, context: Any) -> None:
        seen.extend(record["kinesis"]["partitionKey"] for record in event["Records"])

    async def put(*names: str) -> None:
        for name in names:
            await asyncio.to_thread(stream.put, [name], name)

    async def until(names: list[str]) -> None:
        await streams.until(lambda: sorted(seen) == sorted(names), str(names))

    await put("old")
    async with poller.Poller(region="us-east-1", endpoint_url=embedded_aws) as p:
        latest = p.add(stream.arn, handler, StartingPosition="LATEST", Name="latest")
        await latest.started()
        await p.pause(latest.uuid)
        assert latest.state == "Disabled"
        await put("a", "b", "c")
        await p.resume(latest.uuid)
        await until(["a", "b", "c"])
        await p.pause(latest.uuid)
        await put("d")
        await p.resume(latest.uuid)
        await until(["a", "b", "c", "d"])
        assert latest.state == "Enabled"


async def test_removed_and_added_it_starts_over(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """API-10, STR-14: a mapping that is removed takes its positions along; one that is stopped does not."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    stream = await asyncio.to_thread(new_stream, embedded_aws)
    await asyncio.to_thread(stream.put, numbered(0, 5), "k")
    seen: list[str] = []

    async def handler(event: Any, context: Any) -> None:
        seen.extend(record["kinesis"]["data"] for record in event["Records"])

    async def run(count: int, *, remove: bool) -> None:
        state = f"sqlite:{tmp_path / 'state.db'}"
        async with poller.Poller(region="us-east-1", endpoint_url=embedded_aws, state=state) as p:
            mapping = p.add(stream.arn, handler, StartingPosition="TRIM_HORIZON", Name="m")
            await mapping.started()
            await streams.until(lambda: len(seen) >= count, "the work")
            if remove:
                await p.remove(mapping.uuid)
            else:
                await p.drain()

    await run(5, remove=False)
    await run(5, remove=True)
    assert len(seen) == 5
    await run(10, remove=False)
    assert set(Counter(seen).values()) == {2}


def test_disabled_and_enabled_in_the_file(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """API-9, STR-31: written while it was Enabled: false, read when it is enabled: from where it was."""
    stream = new_stream(embedded_aws, 2)
    env = daemon.environment(embedded_aws)
    for first, enabled in ((0, True), (10, False), (20, True)):
        texts = numbered(first, 10)
        stream.put(texts, keys_of(texts))
        streams.write(tmp_path, streams.mapping(stream, Enabled=enabled), handlers=HANDLERS)
        with daemon.running(tmp_path, env) as running:
            if enabled:
                wait_for_notes(tmp_path, first + 10)
            else:
                daemon.wait_for(lambda: "Disabled" in running.output(), "the state Disabled")
            running.signal(15)
            assert running.wait() == 0, running.output()
    assert sorted(numbers(tmp_path)) == list(range(30))
    assert in_order(streams.notes(tmp_path))


def test_other_numbers_of_lanes(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """STR-40, STR-43, STR-31: another ParallelizationFactor at each start, killed at work: the keys stay in order,
    nothing is lost.
    """
    stream = new_stream(embedded_aws, 2)
    env = daemon.environment(embedded_aws)
    factors = [1, 4, 10, 2, 7, 1]
    for run, factor in enumerate(factors):
        texts = numbered(300 * run, 300)
        stream.put(texts, keys_of(texts))
        fields: dict[str, Any] = {"ParallelizationFactor": factor, "BatchSize": 10}
        fields |= {"MaximumRetryAttempts": 1000, "BisectBatchOnFunctionError": True}
        streams.write(tmp_path, streams.mapping(stream, "now_and_then", **fields), handlers=HANDLERS)
        last = run == len(factors) - 1
        with daemon.running(tmp_path, env, *(["--drain"] if last else [])) as running:
            if last:
                assert running.wait() == 0, running.output()
            else:
                wait_for_notes(tmp_path, 200 * (run + 1))
                running.kill()
    assert set(numbers(tmp_path)) == set(range(300 * len(factors)))
    assert in_order(streams.notes(tmp_path))


def test_sigterm_lets_the_handler_finish(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """API-8, STR-30, STR-31: what runs ends, its position is saved, exit code 0; the next start delivers what was
    not delivered, and nothing twice.
    """
    stream = new_stream(embedded_aws)
    (shard,) = stream.shards()
    placed = stream.put(numbered(0, 10), "k")
    env = daemon.environment(embedded_aws)
    streams.write(
        tmp_path,
        streams.mapping(stream, "slow", BatchSize=4, Handler={"TimeoutInSeconds": 60}),
        handlers=HANDLERS,
        ShutdownTimeoutInSeconds=60,
    )
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: streams.notes(tmp_path), "the invocation")
        running.signal(15)
        daemon.wait_for(lambda: "stopping" in running.output(), "the stop to begin")
        (tmp_path / "go").touch()
        assert running.wait() == 0, running.output()
    assert streams.notes(tmp_path) == ["begun", *(f"done {n}" for n in range(4))], "and no further batch began"
    assert streams.checkpoints(tmp_path) == {shard: placed[3].sequence}
    with daemon.running(tmp_path, env, "--drain") as running:
        assert running.wait() == 0, running.output()
    assert numbers(tmp_path) == list(range(10))
    assert streams.checkpoints(tmp_path) == {shard: placed[9].sequence}


def test_a_handler_that_never_ends(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """API-8, GEN-2: past the stop deadline its records are abandoned, told, and delivered again; exit code 3."""
    stream = new_stream(embedded_aws)
    stream.put(numbered(0, 4), "k")
    env = daemon.environment(embedded_aws)
    endless = streams.mapping(stream, "deaf", BatchSize=2, Handler={"TimeoutInSeconds": 60})
    streams.write(tmp_path, endless, handlers=HANDLERS, ShutdownTimeoutInSeconds=1)
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: streams.notes(tmp_path), "the invocation")
        running.signal(15)
        assert running.wait() == 3, running.output()
    last = running.output().splitlines()[-1]
    assert "2 " in last
    assert "abandoned" in last
    assert "queue" not in last, "records are no messages"
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    with daemon.running(tmp_path, env, "--drain") as running:
        assert running.wait() == 0, running.output()
    assert numbers(tmp_path) == list(range(4))


def test_a_second_ctrl_c_ends_it_at_once(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """API-8, GEN-2: who presses twice does not wait; exit code 3, and the records come again."""
    stream = new_stream(embedded_aws)
    stream.put(numbered(0, 2), "k")
    env = daemon.environment(embedded_aws)
    endless = streams.mapping(stream, "deaf", BatchSize=2, Handler={"TimeoutInSeconds": 300})
    streams.write(tmp_path, endless, handlers=HANDLERS, ShutdownTimeoutInSeconds=300)
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: streams.notes(tmp_path), "the invocation")
        running.signal(2)
        daemon.wait_for(lambda: "again" in running.output(), "the daemon to say how to end at once")

        def ended() -> bool:
            running.signal(2)
            return running.process.poll() is not None

        daemon.wait_for(ended, "the end")
        assert running.wait() == 3, running.output()
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    with daemon.running(tmp_path, env, "--drain") as running:
        assert running.wait() == 0, running.output()
    assert numbers(tmp_path) == [0, 1]
