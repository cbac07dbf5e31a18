"""A source in trouble: iterators that age, throttles, records trimmed, streams made anew, AWS away and back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams
from tests.faults.proxy import in_front_of
from tests.faults.rules import BlackHole, Broken, Rule, Throttle

HANDLERS = """
async def work(event, context):
    note(*(text(record) for record in event["Records"]))


async def changes(event, context):
    note(*(record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]))
"""
HOUR = 3600.0


def numbered(first: int, count: int) -> list[str]:
    return [str(n) for n in range(first, first + count)]


@pytest.fixture
def beside() -> Iterator[streams.Beside]:
    with streams.aws_beside() as beside:
        yield beside


@pytest.fixture
def env(beside: streams.Beside) -> dict[str, str]:
    return daemon.environment(beside.url)


def wait_for_notes(folder: Path, count: int) -> None:
    daemon.wait_for(lambda: len(streams.notes(folder)) >= count, f"{count} records")


def actions(running: daemon.Daemon, action: str) -> list[dict[str, Any]]:
    return [line for line in running.lines() if line.get("action") == action]


def test_iterators_that_expire_and_reads_that_are_refused(
    beside: streams.Beside, env: dict[str, str], new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """STR-23, STR-24, ERR-3: an iterator that is too old is replaced where reading was; throttles, errors and lost
    answers delay, and neither lose nor repeat a record; nobody asks in a tight loop.
    """
    stream = new_stream(beside.url)
    (shard,) = stream.shards()
    stream.put(numbered(0, 5), "k")
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    with daemon.running(tmp_path, env) as running:
        wait_for_notes(tmp_path, 5)
        iterators = beside.calls("GetShardIterator")
        beside.clock.ahead += 301
        stream.put(numbered(5, 5), "k")
        wait_for_notes(tmp_path, 10)
        assert beside.calls("GetShardIterator") == iterators + 1
        before, began = beside.calls("GetRecords"), time.monotonic()
        stream.put(numbered(10, 5), "k")

        def plant(aws: Any) -> None:
            aws.faults.throttle("kinesis:GetRecords", times=2)
            aws.faults.drop("kinesis:GetRecords", times=1, after=True)
            aws.faults.fail("kinesis:GetRecords", times=1, status=500)

        beside.do(plant)
        last = stream.put(numbered(15, 5), "k")[-1]
        wait_for_notes(tmp_path, 20)
        asked = beside.calls("GetRecords") - before
        assert 5 <= asked < 5 + 5 * (time.monotonic() - began)
        assert running.metric("esm_polls_total", outcome="throttled") == 2
        daemon.wait_for(lambda: actions(running, "fetch_recovered"), "the word that it reads again")
        daemon.wait_for(lambda: streams.checkpoints(tmp_path)[shard] == last.sequence, "the position")
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert streams.notes(tmp_path) == numbered(0, 20)


def test_trimmed_while_away(
    beside: streams.Beside, env: dict[str, str], aws_client: Callable[[str, str], Any], tmp_path: Path
) -> None:
    """STR-25: what was trimmed unread is told and counted, with where it begins and ends, and the rest is read."""
    dynamodb = aws_client("dynamodb", beside.url)
    made = dynamodb.create_table(
        TableName="things",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )

    def put(*names: str) -> None:
        for name in names:
            dynamodb.put_item(TableName="things", Item={"id": {"S": name}})

    streams.write(
        tmp_path,
        {
            "Name": "things",
            "EventSourceArn": made["TableDescription"]["LatestStreamArn"],
            "FunctionName": "python:handlers:changes",
            "StartingPosition": "TRIM_HORIZON",
        },
        handlers=HANDLERS,
    )
    put("seen")
    with daemon.running(tmp_path, env) as running:
        wait_for_notes(tmp_path, 1)
        running.signal(15)
        assert running.wait() == 0, running.output()
    (saved,) = [one for one in streams.checkpoints(tmp_path).values() if one.isdigit()]
    put("lost")
    beside.clock.ahead += HOUR
    put("left")
    beside.clock.ahead += 23.5 * HOUR
    with daemon.running(tmp_path, env) as running:
        wait_for_notes(tmp_path, 2)
        (told,) = actions(running, "gap")
        assert saved in told["position"]
        assert int(told["resumed_at"]) > int(saved)
        assert running.metric("esm_gaps_total", reason="trimmed") == 1
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert streams.notes(tmp_path) == ["seen", "left"]


def test_shards_that_are_gone(
    beside: streams.Beside, env: dict[str, str], new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """STR-3, STR-25: a shard that has gone with what was not read of it is told and counted, and holds nothing up:
    its children are read.
    """
    stream = new_stream(beside.url, 2)
    gone, stays = stream.shards()
    stream.put_in(gone, ["a"])
    stream.put_in(stays, ["b"])
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    with daemon.running(tmp_path, env) as running:
        wait_for_notes(tmp_path, 2)
        running.signal(15)
        assert running.wait() == 0, running.output()
    stream.put_in(gone, ["lost"])
    children = stream.split(gone)
    beside.clock.ahead += 25 * HOUR
    for shard in (stays, *children):
        stream.put_in(shard, [f"later in {shard}"])
    with daemon.running(tmp_path, env) as running:
        wait_for_notes(tmp_path, 5)
        (told,) = actions(running, "shards_lost")
        assert gone in told["event"]
        assert running.metric("esm_gaps_total", reason="shard_lost") == 1
        running.signal(15)
        assert running.wait() == 0, running.output()
    assert sorted(streams.notes(tmp_path)[2:]) == sorted(f"later in {shard}" for shard in (stays, *children))


@pytest.mark.parametrize("away", [True, False], ids=["while away", "while reading"])
def test_a_stream_that_is_deleted_and_made_anew(
    away: bool,
    beside: streams.Beside,
    env: dict[str, str],
    new_stream: Callable[..., streams.Stream],
    tmp_path: Path,
) -> None:
    """STR-25, API-16, GEN-2: the new one is read from its start, whatever is remembered of the old one: positions,
    shards of the same ids that had ended, and others that there are not any more.
    """
    stream = new_stream(beside.url, 2)
    first, second = stream.shards()
    stream.put_in(first, numbered(0, 5))
    # that an ended shard is another one now is seen by the next listing: a running daemon makes one a minute
    ended = [first] if away else []
    for shard in ended:
        stream.put_in(stream.split(shard)[0], ["of a child"])
    stream.put_in(second, numbered(5, 5))
    streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
    with daemon.running(tmp_path, env) as running:
        wait_for_notes(tmp_path, 10 + len(ended))
        if away:
            running.signal(15)
            assert running.wait() == 0, running.output()
        beside.clock.ahead += 60  # streams are told apart by the second of their making
        stream.delete()
        stream.create(2)
        ends = [stream.put_in(first, numbered(10, 5))[-1], stream.put_in(second, numbered(15, 5))[-1]]

        def read_anew(running: daemon.Daemon) -> None:
            wait_for_notes(tmp_path, 20 + len(ended))
            expected = {one.shard: one.sequence for one in ends}.items()
            daemon.wait_for(lambda: expected <= streams.checkpoints(tmp_path).items(), "the new positions")
            running.signal(15)
            assert running.wait() == 0, running.output()

        if not away:
            read_anew(running)
    if away:
        with daemon.running(tmp_path, env) as running:
            read_anew(running)
    assert set(streams.notes(tmp_path)) == {*numbered(0, 20), *(["of a child"] * len(ended))}


def test_aws_away_for_a_while(
    embedded_aws: str, new_stream: Callable[..., streams.Stream], tmp_path: Path
) -> None:
    """API-16, ERR-3, STR-23: nothing lost, nothing twice, nobody asks in a tight loop, and it reads on within 5 s
    of its return.
    """
    stream = new_stream(embedded_aws, 4)
    with in_front_of(embedded_aws) as proxy:
        streams.write(tmp_path, streams.mapping(stream), handlers=HANDLERS)
        with daemon.running(tmp_path, daemon.environment(proxy.url)) as running:
            running.ready()
            sent = 0
            for fault in (None, Broken(), Throttle(), BlackHole()):
                before, began = failed_polls(running), time.monotonic()
                proxy.be(*([] if fault is None else [Rule(fault)]), away=fault is None)
                if isinstance(fault, BlackHole):
                    daemon.wait_for(lambda fault=fault: proxy.met(fault) >= 4, "reads that nobody answers")
                else:
                    daemon.wait_for(lambda before=before: failed_polls(running) >= before + 12, "failures")
                # 4 shards, each at once and then after pauses of 0.2 s that double
                failed = failed_polls(running) - before
                assert failed < 4 * (4 + time.monotonic() - began)
                names = numbered(sent, 40)
                stream.put(names, names)
                sent += len(names)
                back = time.monotonic()
                proxy.be()
                wait_for_notes(tmp_path, sent)
                assert time.monotonic() - back < 5.0, fault
            assert actions(running, "fetch_recovered")
            assert len(running.lines()) < 100, "an outage is told, and does not flood the log"
            running.signal(15)
            assert running.wait() == 0, running.output()
    assert sorted(map(int, streams.notes(tmp_path))) == list(range(sent))


def failed_polls(running: daemon.Daemon) -> float:
    return sum(running.metric("esm_polls_total", outcome=outcome) for outcome in ("error", "throttled"))
