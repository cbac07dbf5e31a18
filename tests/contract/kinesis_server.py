"""The contract suite's view of a server with Kinesis: streams with names of their own, read by KinesisStream."""

import asyncio
import base64
import time
import uuid
from typing import Any

from poller.aws.clients import AwsClients
from poller.aws.kinesis import KinesisStream
from poller.core.mapping import SourceArn
from poller.core.model import JsonObject
from poller.core.records import TRIM_HORIZON, Page, Position, Shard

REGION = "us-east-1"
GENEROUS = 60.0  # seconds; far above what a healthy server takes


class Stream(KinesisStream):
    """One stream of the server: what the poller uses, and the calls that make it and fill it."""

    def __init__(self, clients: AwsClients, name: str, account: str) -> None:
        text = f"arn:aws:kinesis:{REGION}:{account}:stream/{name}"
        super().__init__(clients, SourceArn(text, "aws", REGION, account, name))
        self.name = name
        self._shard_of: dict[str, str] = {}

    async def raw(self, operation: str, **request: Any) -> JsonObject:
        """A call by its field names; the stream's name is added."""
        answer = await self._wire.call(operation, {"StreamName": self.name} | request, deadline=GENEROUS)
        return answer.data

    async def alone(self, operation: str, **request: Any) -> JsonObject:
        """The same without the name."""
        return (await self._wire.call(operation, request, deadline=GENEROUS)).data

    async def put(self, *texts: str, key: str | None = None, hash_key: int | None = None) -> list[JsonObject]:
        """Puts these, one call each, so that they are in order; the partition key is the text unless given."""
        explicit = {} if hash_key is None else {"ExplicitHashKey": str(hash_key)}
        return [
            await self.raw("PutRecord", Data=encoded(text), PartitionKey=key or text, **explicit) for text in texts
        ]

    async def active(self) -> None:
        """Waits until what was asked of the stream is done."""
        deadline = time.monotonic() + GENEROUS
        while (await self.describe()).status != "ACTIVE":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    async def shards(self) -> tuple[Shard, ...]:
        return (await self.list_shards()).shards

    async def split(self, shard: Shard, at: int | None = None) -> None:
        middle = (int(shard.hash_start) + int(shard.hash_end)) // 2 if at is None else at
        await self.raw("SplitShard", ShardToSplit=shard.id, NewStartingHashKey=str(middle))
        await self.active()

    async def merge(self, first: Shard, second: Shard) -> None:
        await self.raw("MergeShards", ShardToMerge=first.id, AdjacentShardToMerge=second.id)
        await self.active()

    async def at(self, shard_id: str, position: Position = TRIM_HORIZON) -> str:
        iterator = await self.iterator(shard_id, position, GENEROUS)
        self._shard_of[iterator] = shard_id
        return iterator

    async def page(self, iterator: str, limit: int = 10_000) -> Page:
        shard_id = self._shard_of.get(iterator, "of none")
        page = await self.records(shard_id, iterator, limit, GENEROUS)
        if page.iterator is not None:
            self._shard_of[page.iterator] = shard_id
        return page

    async def read(self, iterator: str, count: int, limit: int = 10_000) -> tuple[list[JsonObject], Page]:
        """Reads on until so many records are there: the records, and the last page."""
        found: list[JsonObject] = []
        deadline = time.monotonic() + GENEROUS
        while True:
            page = await self.page(iterator, limit)
            found += page.records
            if len(found) >= count or page.iterator is None:
                return found, page
            assert time.monotonic() < deadline, f"{len(found)} of {count} records"
            iterator = page.iterator

    async def read_to_the_end(self, shard_id: str) -> tuple[list[JsonObject], Page]:
        """Reads a closed shard from its horizon: the records, and the page that ended it."""
        found, page = await self.read(await self.at(shard_id), 1 << 30)
        assert page.iterator is None
        return found, page


class Server:
    """The server; each of its streams is shared with no other test."""

    def __init__(self, name: str, clients: AwsClients) -> None:
        self.name = name
        self._clients = clients

    def stream(self, name: str | None = None) -> Stream:
        """A stream that need not exist."""
        account = "123456789012" if self.name == "roto" else "000000000000"
        return Stream(self._clients, name or f"s-{uuid.uuid4().hex[:16]}", account)

    async def create(self, shards: int = 1) -> Stream:
        """A new stream, ready; it goes with its server, at the end of the run."""
        stream = self.stream()
        await stream.raw("CreateStream", ShardCount=shards)
        await stream.active()
        return stream


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def texts(records: list[JsonObject]) -> list[str]:
    return [base64.b64decode(record["Data"]).decode() for record in records]
