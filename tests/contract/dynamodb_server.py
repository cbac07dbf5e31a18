"""The contract suite's view of a server with DynamoDB: tables, and their streams as DynamoDbStream reads them."""

import asyncio
import time
import uuid
from typing import Any, ClassVar

import pytest

from poller.aws.clients import AwsClients
from poller.aws.dynamodb_streams import DynamoDbStream
from poller.core.mapping import SourceArn
from poller.core.model import JsonObject, SourceProblem
from poller.core.records import TRIM_HORIZON, Page, Position
from poller.errors import SourceError

REGION = "us-east-1"
GENEROUS = 60.0  # seconds; far above what a healthy server takes
BOTH = "NEW_AND_OLD_IMAGES"


class Stream(DynamoDbStream):
    """One stream of the server; its ARN is as the server told it, its parts are not looked at."""

    _shard_of: ClassVar[dict[str, str]] = {}  # by iterator

    def __init__(self, clients: AwsClients, arn: str) -> None:
        super().__init__(clients, SourceArn(arn, "aws", REGION, "000000000000", "of a test"))

    async def raw(self, operation: str, **request: Any) -> JsonObject:
        """A call of the streams' API by its field names."""
        return (await self._wire.call(operation, request, deadline=GENEROUS)).data

    async def ids(self) -> list[str]:
        return [shard.id for shard in (await self.list_shards()).shards]

    async def at(self, shard_id: str, position: Position = TRIM_HORIZON) -> str:
        iterator = await self.iterator(shard_id, position, GENEROUS)
        self._shard_of[iterator] = shard_id
        return iterator

    async def page(self, iterator: str, limit: int = 1_000) -> Page:
        shard_id = self._shard_of.get(iterator, "of none")
        page = await self.records(shard_id, iterator, limit, GENEROUS)
        if page.iterator is not None:
            self._shard_of[page.iterator] = shard_id
        return page

    async def read(self, count: int) -> list[JsonObject]:
        """Reads all shards from their beginning until so many records are there."""
        found: list[JsonObject] = []
        iterators: list[str | None] = [await self.at(shard_id) for shard_id in await self.ids()]
        deadline = time.monotonic() + GENEROUS
        while True:
            for i, iterator in enumerate(iterators):
                if iterator is not None:
                    page = await self.page(iterator)
                    found += page.records
                    iterators[i] = page.iterator
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {count} records"
            await asyncio.sleep(0.02)

    async def shard_with(self, count: int) -> tuple[str, list[JsonObject]]:
        """The shard in which so many records are, and they; all of them have one key."""
        deadline = time.monotonic() + GENEROUS
        while True:
            for shard_id in await self.ids():
                page = await self.page(await self.at(shard_id))
                if len(page.records) >= count:
                    return shard_id, page.records
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


class Table:
    """One table, by the calls that the tests make most."""

    def __init__(self, server: "Server", name: str, told: JsonObject) -> None:
        self.server = server
        self.name = name
        self.stream_arn: str = told.get("LatestStreamArn", "")

    @property
    def stream(self) -> Stream:
        return Stream(self.server.clients, self.stream_arn)

    async def do(self, operation: str, **request: Any) -> JsonObject:
        return await self.server.do(operation, TableName=self.name, **request)

    async def put(self, key: str = "a", **attributes: JsonObject) -> None:
        await self.do("PutItem", Item={"id": {"S": key}, **attributes})

    async def delete(self, key: str = "a") -> None:
        await self.do("DeleteItem", Key={"id": {"S": key}})

    async def get(self, key: str = "a") -> JsonObject | None:
        return (await self.do("GetItem", Key={"id": {"S": key}}, ConsistentRead=True)).get("Item")

    async def enable(self, view: str = BOTH) -> None:
        specification = {"StreamEnabled": True, "StreamViewType": view}
        told = await self.do("UpdateTable", StreamSpecification=specification)
        self.stream_arn = told["TableDescription"]["LatestStreamArn"]
        await self.active()

    async def disable(self) -> None:
        await self.do("UpdateTable", StreamSpecification={"StreamEnabled": False})
        await self.active()

    async def active(self) -> None:
        deadline = time.monotonic() + GENEROUS
        while (await self.do("DescribeTable"))["Table"]["TableStatus"] != "ACTIVE":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


class Server:
    """The server, with tables that no other test shares."""

    def __init__(self, name: str, clients: AwsClients) -> None:
        self.name = name
        self.clients = clients

    async def do(self, operation: str, **request: Any) -> JsonObject:
        """A call of DynamoDB by its field names."""
        wire = self.clients.wire("dynamodb", REGION)
        return (await wire.call(operation, request, deadline=GENEROUS)).data

    async def table(self, view: str | None = BOTH) -> Table:
        """A new table with the partition key id, and with a stream unless `view` is None; it goes with its server,
        at the end of the run.
        """
        name = f"t-{uuid.uuid4().hex[:16]}"
        specification = {"StreamEnabled": True, "StreamViewType": view} if view else {"StreamEnabled": False}
        told = await self.do(
            "CreateTable",
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification=specification,
        )
        table = Table(self, name, told["TableDescription"])
        await table.active()
        return table


def refused(code: str = "ValidationException") -> Any:
    return pytest.raises(SourceError, check=lambda error: error.code == code)


def problem(wanted: SourceProblem) -> Any:
    return pytest.raises(SourceError, check=lambda error: error.problem is wanted)


def number_of(record: JsonObject) -> int:
    return int(record["dynamodb"]["NewImage"]["n"]["N"])


async def put_numbers(table: Table, *numbers: int) -> None:
    for number in numbers:
        await table.put(n={"N": str(number)})
