"""`sources.py make` makes the queues and the stream of the sample, `sources.py feed` writes to them for ever."""

import asyncio
import contextlib
import json
import sys

from aiobotocore.session import get_session

EACH = 20  # records a second into each source


async def make() -> None:
    async with _client("sqs") as sqs, _client("kinesis") as kinesis:
        for name in ("orders", "orders-dead", "clicks-failed"):
            await sqs.create_queue(QueueName=name)
        url = (await sqs.get_queue_url(QueueName="orders"))["QueueUrl"]
        dead = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:orders-dead", "maxReceiveCount": 5}
        await sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(dead)})
        with contextlib.suppress(kinesis.exceptions.ResourceInUseException):
            await kinesis.create_stream(StreamName="clicks", ShardCount=2)


async def feed() -> None:
    async with _client("sqs") as sqs, _client("kinesis") as kinesis:
        url = (await sqs.get_queue_url(QueueName="orders"))["QueueUrl"]
        number = 0
        while True:
            numbers = range(number, number + EACH)
            for start in range(0, EACH, 10):
                entries = [
                    {"Id": str(n), "MessageBody": json.dumps({"number": n})} for n in numbers[start : start + 10]
                ]
                await sqs.send_message_batch(QueueUrl=url, Entries=entries)
            records = [{"Data": json.dumps({"number": n}), "PartitionKey": f"visitor-{n % 7}"} for n in numbers]
            await kinesis.put_records(StreamName="clicks", Records=records)
            number += EACH
            await asyncio.sleep(1)  # so often it sends


def _client(service: str):
    return get_session().create_client(service)


if __name__ == "__main__":
    what = {"make": make, "feed": feed}.get(sys.argv[-1])
    if what is None:
        sys.exit(f"{__doc__}")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(what())
