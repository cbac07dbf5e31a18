"""Streams and processes that die: `kill -9` at any instant, and handlers that take the process with them."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from poller.config import load
from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams

KILLS = 20
RECORDS = 20_000
KEYS = 60
FACTORS = (1, 4, 10)

HANDLERS = """
def work(factor, event):
    records = event["Records"]
    chance = random.random()
    well = next((n for n, record in enumerate(records) if text(record).endswith("poison")), len(records))
    if chance < 0.5 and well < len(records):
        raise ValueError("always")
    if not there("calm"):
        if chance < 0.04:
            raise RuntimeError("now and then")
        if chance < 0.08:
            well = random.randrange(well + 1)
    return done(factor, records, well)


def done(factor, records, count):
    note(*(f"{factor} {text(record)} {record['kinesis']['sequenceNumber']}" for record in records[:count]))
    failed = [record["kinesis"]["sequenceNumber"] for record in records[count : count + 1]]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


async def one(event, context):
    return work(1, event)


async def four(event, context):
    return work(4, event)


async def ten(event, context):
    return work(10, event)
"""


def reached(path: Path, size: int) -> bool:
    return path.stat().st_size >= size


class Account:
    """What became of the records of one mapping, as far as anyone outside can tell."""

    def __init__(self) -> None:
        self.done: dict[str, list[int]] = defaultdict(list)  # by shard, in the order of first successes
        self.known: set[str] = set()
        self.last: dict[str, int] = {}
        self.given_up: dict[str, set[int]] = defaultdict(set)

    def succeeded(self, key: str, shard: str, sequence: str) -> None:
        """STR-40: the first success of each record of a key comes behind those of all before it."""
        if sequence in self.known:
            return
        self.known.add(sequence)
        assert int(sequence) > self.last.get(key, 0), f"key {key} out of order at {sequence}"
        self.last[key] = int(sequence)
        self.done[shard].append(int(sequence))

    def documented(self, document: dict[str, Any]) -> None:
        info = document["KinesisBatchInfo"]
        assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert info["batchSize"] == 1, "with bisect it comes down to the one record"
        assert info["startSequenceNumber"] == info["endSequenceNumber"]
        self.given_up[info["shardId"]].add(int(info["startSequenceNumber"]))


def test_twenty_kills_lose_nothing_and_keep_order(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], aws_client: Any, tmp_path: Path
) -> None:
    """STR-30, STR-31, STR-40, STR-42, ERR-5, ERR-20, ERR-30, ERR-33, PBR-20, PBR-24, GEN-2: 20,000 records on 4
    shards, for three mappings with 1, 4 and 10 lanes: each succeeded, or is named in a failure document; the keys
    are in order; and at no kill was a position ahead of what was done.
    """
    sqs = aws_client("sqs", embedded_aws)
    stream = new_stream(embedded_aws, 4)
    queues = {n: daemon.make_queue(sqs, f"{stream.name}-{n}", visibility=300) for n in FACTORS}
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    print(f"seed {seed}")
    streams.write(
        tmp_path,
        *(
            streams.mapping(
                stream,
                function,
                Name=f"lanes-{factor}",
                BatchSize=40,
                ParallelizationFactor=factor,
                MaximumRetryAttempts=1,
                BisectBatchOnFunctionError=True,
                FunctionResponseTypes=["ReportBatchItemFailures"],
                DestinationConfig=streams.to_queue(queues[factor]["arn"]),
            )
            for factor, function in zip(FACTORS, ("one", "four", "ten"), strict=True)
        ),
        handlers=HANDLERS,
    )
    env = daemon.environment(embedded_aws)
    placed: dict[str, tuple[str, str]] = {}  # sequence number: shard, key
    sent: dict[str, list[int]] = defaultdict(list)
    poison: dict[str, set[int]] = defaultdict(set)
    accounts = {factor: Account() for factor in FACTORS}
    path = tmp_path / "notes.txt"
    path.touch()
    read = 0

    def feed() -> None:
        share = RECORDS // KILLS
        names = [f"k{chance.randrange(KEYS)}" for _ in range(share)]
        bad = chance.randrange(share)
        texts = [f"{name} {'poison' if n == bad else 'good'}" for n, name in enumerate(names)]
        for n, one in enumerate(stream.put(texts, names)):
            placed[one.sequence] = one.shard, names[n]
            sent[one.shard].append(int(one.sequence))
            if n == bad:
                poison[one.shard].add(int(one.sequence))

    def look() -> None:
        """Takes in what was noted and documented since the last time."""
        nonlocal read
        with path.open("rb") as file:
            file.seek(read)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        read += len(data)
        for line in data.decode().splitlines():
            factor, key, _, sequence = line.split()
            accounts[int(factor)].succeeded(key, placed[sequence][0], sequence)
        for factor, queue in queues.items():
            for document in streams.documents(sqs, queue["url"]):
                accounts[factor].documented(document)

    def check_positions() -> None:
        """STR-30: all up to a saved position has succeeded or is documented."""
        for (app, shard), checkpoint in streams.positions(tmp_path).items():
            if checkpoint.isdigit():
                account = accounts[apps[app]]
                resolved = set(account.done[shard]) | account.given_up[shard]
                ahead = [n for n in sent[shard] if n <= int(checkpoint) and n not in resolved]
                assert not ahead, f"the position of {shard} is ahead of {len(ahead)} records (seed {seed})"

    mappings = load(tmp_path / "poller.yaml", env).mappings
    apps = {mapping.uuid: int(mapping.name.removeprefix("lanes-")) for mapping in mappings}
    for kill in range(KILLS):
        feed()
        with daemon.running(tmp_path, env) as victim:
            size = path.stat().st_size
            if kill % 7 == 3:  # in the start
                streams.soon(victim.output, 30.0)
            else:  # somewhere in the work: after so many bytes of notes, or when nothing more can be done now
                streams.soon(partial(reached, path, size + 1), 30.0)
                streams.soon(partial(reached, path, size + chance.randrange(1, 300_000)), 1.0)
            assert victim.process.poll() is None, victim.output()
            victim.kill()
        look()
        check_positions()
    print(f"{sum(len(a.known) for a in accounts.values())} of {3 * RECORDS} before the last run")
    (tmp_path / "calm").touch()
    began = time.monotonic()
    with daemon.running(tmp_path, env, "--drain") as last:
        assert last.wait() == 0, last.output()
    print(f"the last run took {time.monotonic() - began:.1f} s")
    look()
    check_positions()
    for account in accounts.values():
        for shard, numbers in sent.items():
            done, given_up = set(account.done[shard]), account.given_up[shard]
            assert not set(numbers) - done - given_up, f"lost (seed {seed})"
            assert poison[shard] <= given_up
            assert not poison[shard] & done
            # a healthy one is given up only after it had failed twice by itself, or was met by kills
            assert len(given_up - poison[shard]) < 30, "healthy records that were given up"
    ends = streams.positions(tmp_path)
    assert len(ends) == len(FACTORS) * 4
    assert all(int(checkpoint) == sent[shard][-1] for (_, shard), checkpoint in ends.items())


def test_a_record_that_kills_the_process(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], aws_client: Any, tmp_path: Path
) -> None:
    """ERR-5, ERR-20, ERR-24, ERR-30, DST-2: `os._exit` in the handler is bounded by MaximumRetryAttempts, whoever
    starts the process again; that record alone ends in the failure queue, and all others are handled, those too
    that run whenever the process ends.
    """
    sqs = aws_client("sqs", embedded_aws)
    stream = new_stream(embedded_aws, 3)
    queue = daemon.make_queue(sqs, stream.name, visibility=300)
    before, shard, behind = stream.shards()
    texts = [str(n) for n in range(30)]
    placed = stream.put_in(shard, [*texts[:12], "deadly", *texts[12:]])
    others = {one: [f"slow {one} {n}" for n in range(10)] for one in (before, behind)}
    for one, slow in others.items():
        stream.put_in(one, slow)
    retries, batch = 3, 4
    # each size on the way down once, then the record alone: one attempt is free, because kills meet the innocent
    ways = [4, 2] + [1] * (1 + 1 + retries)
    most = len(ways)
    streams.write(
        tmp_path,
        streams.mapping(
            stream,
            BatchSize=batch,
            MaximumRetryAttempts=retries,
            BisectBatchOnFunctionError=True,
            DestinationConfig=streams.to_queue(queue["arn"]),
        ),
        handlers="""
def work(event, context):
    texts = [text(record) for record in event["Records"]]
    if "deadly" in texts:
        time.sleep(0.1)
        note(f"dying {len(texts)}")
        os._exit(9)
    if texts[0].startswith("slow"):
        time.sleep(0.4)
    note(*texts)
""",
    )
    env = daemon.environment(embedded_aws)
    deaths = 0
    code = 9
    while code == 9:
        with daemon.running(tmp_path, env, "--drain") as running:
            code = running.wait()
            assert code in {0, 9}, running.output()
        deaths += code == 9
        assert deaths <= most, "it is started again and again"
    lines = streams.notes(tmp_path)
    dying = [int(line.split()[1]) for line in lines if line.startswith("dying")]
    assert dying == ways
    assert deaths == most
    assert {line for line in lines if not line.startswith("dying")} == {
        *texts,
        *(text for slow in others.values() for text in slow),
    }
    (document,) = streams.documents(sqs, queue["url"])
    deadly = placed[12]
    assert document["KinesisBatchInfo"]["shardId"] == shard
    assert document["KinesisBatchInfo"]["startSequenceNumber"] == deadly.sequence
    assert document["KinesisBatchInfo"]["endSequenceNumber"] == deadly.sequence
    assert document["KinesisBatchInfo"]["batchSize"] == 1
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert streams.checkpoints(tmp_path)[shard] == placed[-1].sequence
