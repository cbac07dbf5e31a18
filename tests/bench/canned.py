"""A canned SQS endpoint: N messages of 512 bytes, handed out ten at a time, and deletes that always succeed.

It does nothing but answer, so that it is never the limit; every client of a comparison talks to the same one.
`python canned.py --messages N` prints its URL and serves until its standard input closes. With `--groups G` it is
a FIFO queue whose receives bring one of G groups each, with `--orders` bodies are those that filters.py looks at,
and with `--certificates FOLDER` it speaks TLS as localhost.
"""

import argparse
import asyncio
import hashlib
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import httptools
import orjson
import uvloop

ORDER: dict[str, Any] = {
    "type": "order",
    "id": "o-123456",
    "customer": {"tier": "gold", "id": 77, "name": "Ann Example"},
    "amount": 129.5,
    "items": [{"sku": "a1", "count": 2}, {"sku": "b2", "count": 1}],
    **{f"k{n}": f"v{n}" for n in range(20)},
}
ORDER["note"] = "x" * (512 - len(json.dumps(ORDER)) - len(', "note": ""'))
RECEIPT = "AQEB" + "r" * 196
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: canned\r\ncontent-length: "
)


def form(body: str, fifo: bool) -> str:
    """A message, but for its id, its group and sequence number where it is of a FIFO queue, and its receipt."""
    more = '"MessageDeduplicationId":"d","MessageGroupId":"g%d","SequenceNumber":"%020d",' if fifo else ""
    return (
        '{"MessageId":"%s","Attributes":{"ApproximateFirstReceiveTimestamp":"1795000000001",'
        '"ApproximateReceiveCount":"1",' + more + '"SenderId":"AIDAEXAMPLE","SentTimestamp":"1795000000000"},'
        '"Body":' + json.dumps(body) + ',"MD5OfBody":"' + hashlib.md5(body.encode()).hexdigest() + '",'
        '"ReceiptHandle":"' + RECEIPT + '%s"}'
    )


class Stock:
    """The messages that are left."""

    def __init__(self, messages: int, body: str, groups: int) -> None:
        self.left = messages
        self.given = 0
        self.receives = 0
        self.groups = groups
        self.form = form(body, fifo=groups > 0)

    def take(self, most: int) -> bytes:
        count = min(most, self.left)
        self.left -= count
        self.receives += 1
        parts = []
        for _ in range(count):
            self.given += 1
            number = f"{self.given:032x}"
            name = f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"
            order = (self.receives % self.groups, self.given) if self.groups else ()
            parts.append(self.form % (name, *order, number))
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
                answer = orjson.dumps({"QueueUrl": f"{self.url[0]}/000000000000/{request['QueueName']}"})
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


async def serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stock = Stock(options.messages, json.dumps(ORDER) if options.orders else "x" * 512, options.groups)
    url, tls, begin = [""], None, "http://127.0.0.1"
    if options.certificates:
        tls, begin = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "https://localhost"
        tls.load_cert_chain(options.certificates / "server.pem", options.certificates / "server.key")
    server = await loop.create_server(lambda: Connection(stock, url), "127.0.0.1", 0, ssl=tls)
    url[0] = f"{begin}:{server.sockets[0].getsockname()[1]}"
    print(url[0], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--groups", type=int, default=0)
    parser.add_argument("--orders", action="store_true")
    parser.add_argument("--certificates", type=Path)
    uvloop.run(serve(parser.parse_args()))
