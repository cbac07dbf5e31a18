"""The yardstick for streams: aiobotocore reading 500 records at a time in a loop, with no work at all in between.

`python bare_kinesis_loop.py URL RECORDS` prints records and CPU seconds as JSON; start-up is not counted.
"""

import asyncio
import json
import resource
import sys

from aiobotocore.session import get_session

LOOPS = 4


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def main(url: str, records: int) -> None:
    done = 0

    async with get_session().create_client("kinesis", region_name="us-east-1", endpoint_url=url) as kinesis:

        async def loop(number: int) -> None:
            nonlocal done
            told = await kinesis.get_shard_iterator(
                StreamName="bench", ShardId=f"shardId-{number:012d}", ShardIteratorType="TRIM_HORIZON"
            )
            iterator = told["ShardIterator"]
            while done < records:
                answer = await kinesis.get_records(ShardIterator=iterator, Limit=10_000)
                if not answer["Records"]:
                    return
                iterator = answer["NextShardIterator"]
                done += len(answer["Records"])

        before = cpu()
        await asyncio.gather(*(loop(number) for number in range(LOOPS)))
        print(json.dumps({"records": done, "cpu": cpu() - before}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
