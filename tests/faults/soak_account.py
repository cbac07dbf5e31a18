"""What became of every record of the soak, as far as anyone outside the daemon can tell."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams
from tests.faults.soak_world import World
from tests.faults.sources import Record, first_successes, out_of_order

# Words of the log that are only said when something in the daemon itself broke.
BUGS = frozenset(
    {
        *("crashed", "shard_crashed", "handler_unusable", "config_refused", "reload_bug"),
        *("side_thread_died", "side_thread_stuck", "side_task_failed"),
    }
)
HEALTHY_GIVEN_UP = 0.01  # of the records, at most: those that kills and timeouts met again and again


@dataclass(frozen=True)
class Account:
    """One source: how many were sent, and where they are. A record may be in several places; `lost` is in none."""

    sent: int
    handled: int
    filtered: int
    dead: int
    documents: int
    logged: int
    lost: tuple[int, ...]
    duplicates: int
    out_of_order: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def fine(self) -> bool:
        return not (self.lost or self.out_of_order or self.wrong)


def account(
    name: str, sent: dict[int, Record], notes: list[str], dead: set[int], told: set[int], logged: set[int]
) -> Account:
    """`dead` are in the dead-letter queue, `told` in failure documents, `logged` in documents nobody took."""
    kinds = {kind: {n for n, one in sent.items() if one.kind == kind} for kind in ("skip", "poison")}
    handled = {n for numbers in first_successes(notes).values() for n in numbers}
    given_up = dead | told | logged
    healthy = given_up - kinds["poison"]
    wrong = {
        "handled, though nobody sent them": handled - sent.keys(),
        "handled, though the filter keeps them back": handled & kinds["skip"],
        "handled, though they always fail": handled & kinds["poison"],
        "given up, though the filter keeps them back": given_up & kinds["skip"],
        "in the dead-letter queue, though they succeed": dead - kinds["poison"],
        "given up, though they succeed": healthy if len(healthy) > HEALTHY_GIVEN_UP * len(sent) + 5 else set(),
    }
    return Account(
        sent=len(sent),
        handled=len(handled),
        filtered=len(kinds["skip"]),
        dead=len(dead),
        documents=len(told - handled),
        logged=len(logged - told - handled),
        lost=tuple(sorted(sent.keys() - handled - kinds["skip"] - given_up)),
        duplicates=len(notes) - len(handled),
        out_of_order=() if name == "orders" else tuple(out_of_order(notes)),
        wrong=tuple(f"{len(which)} {what}: {sorted(which)[:5]}" for what, which in wrong.items() if which),
    )


def accounts(
    world: World, sent: dict[str, dict[int, Record]], log: list[dict[str, Any]], streams_client: Any
) -> dict[str, Account]:
    """After the drain; takes what is in the dead-letter and failure queues."""
    refused: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in log:
        if line.get("action") == "discarded" and "document" in line:
            refused[line["mapping"]].append(line["document"])
    found = {}
    for name in world.sources:
        dead: set[int] = set()
        told: set[int] = set()
        logged: set[int] = set()
        if name in world.queues:
            messages = daemon.drain(world.sqs, world.queues[name]["dead"])
            dead = {json.loads(message["Body"])["n"] for message in messages}
        else:
            written = _written(world, name, streams_client)
            told = _named(streams.documents(world.sqs, world.documents[name]["url"]), written)
            logged = _named(refused[name], written)
        found[name] = account(name, sent[name], world.notes(name), dead, told, logged)
    return found


def _written(world: World, name: str, client: Any) -> dict[str, dict[int, int]]:
    """By shard, all that the stream holds: sequence number and number."""
    arn = world.sources[name].arn
    if name == "clicks":
        shards = list(world.stream.shards())
        kinesis = world.stream._kinesis
        return {
            shard: dict(_read(kinesis, shard, _kinesis_number, StreamName=world.stream.name)) for shard in shards
        }
    shards, last = [], {}
    while True:
        page = client.describe_stream(StreamArn=arn, **last)["StreamDescription"]
        shards += [one["ShardId"] for one in page["Shards"]]
        if "LastEvaluatedShardId" not in page:
            break
        last = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
    return {shard: dict(_read(client, shard, _change_number, StreamArn=arn)) for shard in shards}


def _read(client: Any, shard: str, number: Any, **stream: str) -> list[tuple[int, int]]:
    first = client.get_shard_iterator(ShardId=shard, ShardIteratorType="TRIM_HORIZON", **stream)
    iterator, found = first["ShardIterator"], []
    while iterator:
        page = client.get_records(ShardIterator=iterator)
        found += [number(record) for record in page["Records"]]
        if not page["Records"] and not page.get("MillisBehindLatest"):
            break
        iterator = page.get("NextShardIterator")
    return found


def _kinesis_number(record: dict[str, Any]) -> tuple[int, int]:
    return int(record["SequenceNumber"]), json.loads(record["Data"])["n"]


def _change_number(record: dict[str, Any]) -> tuple[int, int]:
    return int(record["dynamodb"]["SequenceNumber"]), int(record["dynamodb"]["NewImage"]["n"]["N"])


def _named(documents: list[dict[str, Any]], written: dict[str, dict[int, int]]) -> set[int]:
    """The records that documents name by range. A range is that of a batch: of its lane, not all of the shard, so
    it speaks for a record beyond doubt only where the batch had that one alone.
    """
    found = set()
    for document in documents:
        info = document.get("KinesisBatchInfo") or document["DDBStreamBatchInfo"]
        assert info["batchSize"] == 1, "with bisect it comes down to the one record"
        assert info["startSequenceNumber"] == info["endSequenceNumber"]
        found.add(written[info["shardId"]][int(info["startSequenceNumber"])])
    return found


def bugs(log: list[dict[str, Any]]) -> Counter[str]:
    """What the daemon said that it must never say; errors without an action are those of its libraries."""
    said = Counter(line["action"] for line in log if line.get("action") in BUGS)
    strange = [line for line in log if "action" not in line and line.get("level") in {"error", "critical"}]
    return said + Counter(str(line.get("event"))[:200] for line in strange)
