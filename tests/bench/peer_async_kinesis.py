"""A peer: the consumer of async-kinesis, iterated over with no work at all in between; positions in memory.

`python peer_async_kinesis.py URL RECORDS` prints records and CPU seconds as JSON; start-up is not counted.
"""

import json
import os
import sys
import time

import uvloop
from kinesis import Consumer
from kinesis.processors import Processor


class Raw(Processor):
    """Gives a record's data as it is."""

    def parse(self, data: bytes):
        yield data


async def main(url: str, records: int) -> None:
    consumer = Consumer(
        "bench",
        endpoint_url=url,
        region_name="us-east-1",
        processor=Raw(),
        use_list_shards=True,
        shard_fetch_rate=100,  # else one read a second
        record_limit=500,
        idle_timeout=30.0,  # it takes long to begin with a hundred shards
    )
    async with consumer:
        done, before = 0, time.process_time()
        async for _ in consumer:
            done += 1
            if done == records:
                break
        print(json.dumps({"done": done, "cpu": time.process_time() - before}), flush=True)
        os._exit(0 if done == records else 1)  # what it has read ahead does not matter


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
