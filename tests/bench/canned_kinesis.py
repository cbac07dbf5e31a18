"""A canned Kinesis endpoint: shards that hand out records of 512 bytes, page after page, or nothing at all.

It does nothing but answer, so that it is never the limit; every client of a comparison talks to the same one.
`python canned_kinesis.py --shards S --records N --page P` prints its URL and serves until its standard input
closes; N is for all shards together, and 0 makes them idle.
"""

import argparse
import asyncio
import base64
import os
import sys

import httptools
import orjson
import uvloop

DATA = base64.b64encode(os.urandom(384)).decode()  # 512 characters
RECORD = (
    '{"SequenceNumber":"%d","ApproximateArrivalTimestamp":1795000000.123,"Data":"' + DATA + '",'
    '"PartitionKey":"key-%d"}'
)
FIRST = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\nx-amzn-requestid: canned\r\n"
    b"date: Fri, 20 Nov 2026 00:00:00 GMT\r\ncontent-length: "
)
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/bench"
PAGE_OF_SHARDS = 1_000


class Stream:
    """The records that are left, and how far each shard is."""

    def __init__(self, shards: int, records: int, page: int) -> None:
        self.shards = [f"shardId-{number:012d}" for number in range(shards)]
        self.left = records
        self.page = page
        self.given = dict.fromkeys(self.shards, 0)

    def summary(self) -> object:
        return {
            "StreamDescriptionSummary": {
                "StreamName": "bench",
                "StreamARN": ARN,
                "StreamStatus": "ACTIVE",
                "RetentionPeriodHours": 24,
                "StreamCreationTimestamp": 1795000000,
                "OpenShardCount": len(self.shards),
                "EnhancedMonitoring": [],
            }
        }

    def listed(self, token: str | None) -> object:
        start = int(token or 0)
        count = len(self.shards)
        shards = [
            {
                "ShardId": self.shards[n],
                "HashKeyRange": {
                    "StartingHashKey": str(n * 2**128 // count),
                    "EndingHashKey": str((n + 1) * 2**128 // count - 1),
                },
                "SequenceNumberRange": {"StartingSequenceNumber": str(FIRST - 1)},
            }
            for n in range(start, min(start + PAGE_OF_SHARDS, count))
        ]
        more = {"NextToken": str(start + PAGE_OF_SHARDS)} if start + PAGE_OF_SHARDS < count else {}
        return {"Shards": shards, **more}

    def records(self, shard: str) -> bytes:
        count = min(self.page, self.left)
        self.left -= count
        first = self.given[shard]
        self.given[shard] = first + count
        records = ",".join([RECORD % (FIRST + n, n % 1000) for n in range(first, first + count)])
        behind = 60_000 if count else 0
        return f'{{"MillisBehindLatest":{behind},"NextShardIterator":"{shard}","Records":[{records}]}}'.encode()


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
            case "ListShards":
                answer = orjson.dumps(self.stream.listed(request.get("NextToken")))
            case "DescribeStreamSummary":
                answer = orjson.dumps(self.stream.summary())
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
