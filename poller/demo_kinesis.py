"""The demo's Kinesis stream, split in the middle of the run."""

import base64
import json
from collections.abc import Callable
from typing import Any

from poller.aws.clients import AwsClients
from poller.core.model import JsonObject
from poller.demo_source import active
from poller.demo_streams import Sighting, Stream, stream_handler
from poller.demo_work import Work

SHARDS = 2


class KinesisStream(Stream):
    """The Kinesis stream. PutRecords told where each record is; that is what documents are held against."""

    mapping = "clicks"
    noun = "a Kinesis stream"
    keys = "key"
    share = 25
    key = "user"
    different = 50
    chunk = 50  # no key twice in one call, for only then its order is certain

    def __init__(self, prefix: str, clients: AwsClients) -> None:
        super().__init__(prefix, clients)
        self._places: dict[str, dict[int, int]] = {}

    async def make_stream(self) -> None:
        """See Stream."""
        kinesis = await self.sdk("kinesis")
        await kinesis.create_stream(StreamName=self.name, ShardCount=SHARDS)
        self.made(kinesis.delete_stream, StreamName=self.name)
        told = await active(
            lambda: kinesis.describe_stream_summary(StreamName=self.name),
            lambda told: str(told["StreamDescriptionSummary"]["StreamStatus"]),
        )
        self.arn = told["StreamDescriptionSummary"]["StreamARN"]

    def handler(self) -> Callable[[Any, Any], Any]:
        """See Source."""
        return stream_handler(self.ledger, read_click)

    async def send(self, works: list[Work]) -> None:
        """See Source."""
        kinesis = await self.sdk("kinesis")
        records = [
            {"Data": json.dumps({"number": work.number, "kind": work.kind}).encode(), "PartitionKey": work.key}
            for work in works
        ]
        answer = await kinesis.put_records(StreamName=self.name, Records=records)
        for work, told in zip(works, answer["Records"], strict=True):
            if not told.get("ErrorCode"):
                self.ledger.sent[work.number] = work.key
                self._places.setdefault(told["ShardId"], {})[int(told["SequenceNumber"])] = work.number

    async def inside(self, shard_id: str, start: str, end: str) -> set[int]:
        """See Stream."""
        places = self._places.get(shard_id, {})
        return {number for sequence, number in places.items() if int(start) <= sequence <= int(end)}

    async def reshard(self) -> str:
        """Splits the first shard in the middle of its hashes."""
        kinesis = await self.sdk("kinesis")
        shard = (await kinesis.list_shards(StreamName=self.name))["Shards"][0]
        hashes = shard["HashKeyRange"]
        middle = (int(hashes["StartingHashKey"]) + int(hashes["EndingHashKey"]) + 1) // 2
        await kinesis.split_shard(
            StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
        )
        return f"{self.mapping}: {shard['ShardId']} split in two; its children wait until it is done"


def read_click(record: JsonObject) -> Sighting:
    """Of Kinesis."""
    told = record["kinesis"]
    work = json.loads(base64.b64decode(told["data"]))
    return Sighting(work["number"], work["kind"], told["partitionKey"], told["sequenceNumber"])
