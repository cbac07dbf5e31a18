"""A canned SQS endpoint: N messages of 512 bytes, handed out ten at a time, and deletes that always succeed.

It does nothing but answer, so that it is never the limit; every client of a comparison talks to the same one.
`python canned.py --messages N` prints its URL and serves until its standard input closes.
"""

import argparse
import asyncio
import hashlib
import sys

import httptools
import orjson
import uvloop

BODY = "x" * 512
MD5 = hashlib.md5(BODY.encode()).hexdigest()
RECEIPT = "AQEB" + "r" * 196
MESSAGE = (
    '{"Attributes":{"ApproximateFirstReceiveTimestamp":"1795000000001","ApproximateReceiveCount":"1",'
    '"SenderId":"AIDAEXAMPLE","SentTimestamp":"1795000000000"},"Body":"' + BODY + '","MD5OfBody":"' + MD5 + '",'
    '"MessageId":"%s","ReceiptHandle":"' + RECEIPT + '%s"}'
)
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: canned\r\ncontent-length: "
)


class Stock:
    """The messages that are left."""

    def __init__(self, messages: int) -> None:
        self.left = messages
        self.given = 0

    def take(self, most: int) -> bytes:
        count = min(most, self.left)
        self.left -= count
        parts = []
        for _ in range(count):
            self.given += 1
            number = f"{self.given:032x}"
            name = f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"
            parts.append(MESSAGE % (name, number))
        return ('{"Messages":[' + ",".join(parts) + "]}").encode() if parts else b"{}"


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, stock: Stock, url: list[str]) -> None:
        self.stock = stock
        self.url = url
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
            case "ReceiveMessage":
                answer = self.stock.take(request.get("MaxNumberOfMessages", 1))
                if answer == b"{}":
                    wait = request.get("WaitTimeSeconds", 0)
                    asyncio.get_running_loop().call_later(wait, self.reply, answer)
                    return
            case "DeleteMessageBatch":
                done = [{"Id": entry["Id"]} for entry in request["Entries"]]
                answer = orjson.dumps({"Successful": done, "Failed": []})
            case "GetQueueUrl":
                answer = orjson.dumps({"QueueUrl": self.url[0] + "/000000000000/bench"})
            case "GetQueueAttributes":
                answer = orjson.dumps(
                    {
                        "Attributes": {
                            "VisibilityTimeout": "60",
                            "ApproximateNumberOfMessages": str(self.stock.left),
                            "ApproximateNumberOfMessagesNotVisible": "0",
                            "ApproximateNumberOfMessagesDelayed": "0",
                        }
                    }
                )
            case _:
                answer = b"{}"
        self.reply(answer)

    def reply(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(HEAD + str(len(answer)).encode() + b"\r\n\r\n" + answer)


async def serve(messages: int) -> None:
    loop = asyncio.get_running_loop()
    stock, url = Stock(messages), [""]
    server = await loop.create_server(lambda: Connection(stock, url), "127.0.0.1", 0)
    url[0] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(url[0], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, required=True)
    uvloop.run(serve(parser.parse_args().messages))
