"""A peer: the broker of taskiq-aio-sqs listening, and acknowledging each message as it does, with no task run.

`python peer_taskiq.py URL MESSAGES` prints messages and CPU seconds as JSON; start-up is not counted.
"""

import asyncio
import json
import os
import sys
import time

import uvloop
from taskiq_aio_sqs import SQSBroker

ACKNOWLEDGERS = 4


async def main(url: str, messages: int) -> None:
    broker = SQSBroker(
        "bench",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        max_number_of_messages=10,
        wait_time_seconds=1,
    )
    await broker.startup()
    listening = broker.listen()
    handed: asyncio.Queue = asyncio.Queue(100)
    done = 0

    async def acknowledge() -> None:
        nonlocal done
        while True:
            message = await handed.get()
            await message.ack()
            done += 1
            handed.task_done()

    async with asyncio.TaskGroup() as group:
        for _ in range(ACKNOWLEDGERS):
            group.create_task(acknowledge())
        before = time.process_time()
        given = 0
        async for message in listening:
            await handed.put(message)
            given += 1
            if given == messages:
                break
        await handed.join()
        print(json.dumps({"done": done, "cpu": time.process_time() - before}), flush=True)
        os._exit(0)  # it reads on, and ends with an error when it is stopped then


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
