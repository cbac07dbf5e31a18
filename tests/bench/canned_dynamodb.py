"""A canned DynamoDB stream: shards that hand out records with images of 512 bytes, page after page.

It does nothing but answer, so that it is never the limit; every client of a comparison talks to the same one.
`python canned_dynamodb.py --shards S --records N --page P` prints its URL and serves until its standard input
closes; N is for all shards together.
"""

import argparse
import asyncio
import sys
from email.utils import formatdate

import httptools
import orjson
import uvloop

RECORD = (
    '{"awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1795000000,"Keys":{"pk":{"S":"key-%d"}},'
    '"NewImage":{"pk":{"S":"key-%d"},"text":{"S":"' + "x" * 512 + '"}},"SequenceNumber":"%d","SizeBytes":530,'
    '"StreamViewType":"NEW_IMAGE"},"eventID":"%032x","eventName":"INSERT","eventSource":"aws:dynamodb",'
    '"eventVersion":"1.1"}'
)
FIRST = 100_000_000_000_000_000_000
HEAD = (
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: canned\r\n"
    f"date: {formatdate(usegmt=True)}\r\ncontent-length: "
).encode()
PAGE_OF_SHARDS = 100


class Stream:
    """The records that are left, and how far each shard is."""

    def __init__(self, shards: int, records: int, page: int) -> None:
        self.shards = [f"shardId-{number:020d}-bench" for number in range(shards)]
        self.left = records
        self.page = page
        self.given = dict.fromkeys(self.shards, 0)

    def described(self, request: dict) -> object:
        after = request.get("ExclusiveStartShardId")
        start = self.shards.index(after) + 1 if after else 0
        names = self.shards[start : start + PAGE_OF_SHARDS]
        if "ShardFilter" in request:
            names = []
        more = start + len(names) < len(self.shards) and names
        return {
            "StreamDescription": {
                "StreamArn": request["StreamArn"],
                "StreamStatus": "ENABLED",
                "StreamViewType": "NEW_IMAGE",
                "TableName": "bench",
                "Shards": [
                    {"ShardId": name, "SequenceNumberRange": {"StartingSequenceNumber": str(FIRST)}}
                    for name in names
                ],
                **({"LastEvaluatedShardId": names[-1]} if more else {}),
            }
        }

    def records(self, shard: str) -> bytes:
        count = min(self.page, self.left)
        self.left -= count
        first = self.given[shard]
        self.given[shard] = first + count
        records = ",".join([RECORD % (n % 1000, n % 1000, FIRST + n, n) for n in range(first, first + count)])
        return f'{{"NextShardIterator":"{shard}","Records":[{records}]}}'.encode()


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.body = b""
        self.target = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-amz-target":
            self.target = value.decode().rpartition(".")[2]

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        request = orjson.loads(body)
        match self.target:
            case "GetRecords":
                answer = self.stream.records(request["ShardIterator"])
            case "GetShardIterator":
                answer = orjson.dumps({"ShardIterator": request["ShardId"]})
            case "DescribeStream":
                answer = orjson.dumps(self.stream.described(request))
            case _:
                answer = b"{}"
        self.transport.write(HEAD + str(len(answer)).encode() + b"\r\n\r\n" + answer)


async def serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stream = Stream(options.shards, options.records, options.page)
    server = await loop.create_server(lambda: Connection(stream), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--page", type=int, default=500)
    uvloop.run(serve(parser.parse_args()))
