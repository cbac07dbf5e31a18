"""The demo's table with a stream, whose shards roll over in the middle of the run."""

from collections.abc import Callable
from typing import Any

from poller.core.model import JsonObject
from poller.demo_source import REGION, active
from poller.demo_streams import Sighting, Stream, stream_handler
from poller.demo_work import Work

ROLL_DEADLINE = 10.0


class TableStream(Stream):
    """The table. A write does not tell its place in the stream, so documents are held against the stream."""

    mapping = "stock"
    noun = "a table"
    keys = "item"
    share = 15
    key = "item"
    different = 40
    chunk = 25

    async def make_stream(self) -> None:
        """See Stream."""
        dynamodb = await self.sdk("dynamodb")
        await dynamodb.create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.made(dynamodb.delete_table, TableName=self.name)
        told = await active(
            lambda: dynamodb.describe_table(TableName=self.name), lambda told: str(told["Table"]["TableStatus"])
        )
        self.arn = told["Table"].get("LatestStreamArn", "")
        streams = await self.sdk("dynamodbstreams")
        await streams.describe_stream(StreamArn=self.arn)  # some have tables, and no streams of them

    def handler(self) -> Callable[[Any, Any], Any]:
        """See Source."""
        return stream_handler(self.ledger, read_change)

    async def send(self, works: list[Work]) -> None:
        """See Source."""
        dynamodb = await self.sdk("dynamodb")
        puts = [
            {
                "PutRequest": {
                    "Item": {"id": {"S": work.key}, "number": {"N": str(work.number)}, "kind": {"S": work.kind}}
                }
            }
            for work in works
        ]
        answer = await dynamodb.batch_write_item(RequestItems={self.name: puts})
        left = answer.get("UnprocessedItems", {}).get(self.name, [])
        refused = {int(put["PutRequest"]["Item"]["number"]["N"]) for put in left}
        self.ledger.sent |= {work.number: work.key for work in works if work.number not in refused}

    async def inside(self, shard_id: str, start: str, end: str) -> set[int]:
        """See Stream."""
        streams = await self.sdk("dynamodbstreams")
        first = await streams.get_shard_iterator(
            StreamArn=self.arn,
            ShardId=shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=start,
        )
        iterator = first["ShardIterator"]
        found: set[int] = set()
        while iterator:
            page = await streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                sequence = int(record["dynamodb"]["SequenceNumber"])
                if int(start) <= sequence <= int(end):
                    found.add(int(record["dynamodb"]["NewImage"]["number"]["N"]))
                if sequence >= int(end):
                    return found
            iterator = page.get("NextShardIterator") if page["Records"] else None
        return found

    async def reshard(self) -> str:
        """Has the embedded AWS do at once what DynamoDB does every four hours."""
        wire = self.clients.wire("dynamodb", REGION)
        await wire.call("RollStream", {"TableName": self.name}, deadline=ROLL_DEADLINE)
        return f"{self.mapping}: every shard of the table rolled over to a child"


def read_change(record: JsonObject) -> Sighting:
    """Of a table: the item as it is now."""
    told = record["dynamodb"]
    item = told["NewImage"]
    return Sighting(int(item["number"]["N"]), item["kind"]["S"], item["id"]["S"], told["SequenceNumber"])
