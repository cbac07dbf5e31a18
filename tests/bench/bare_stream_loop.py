"""The yardstick for streams: aiobotocore reading 500 records at a time in a loop, with no work at all in between.

`python bare_stream_loop.py kinesis|dynamodbstreams URL RECORDS` prints records and CPU seconds as JSON; start-up
is not counted.
"""

import asyncio
import json
import resource
import sys

from aiobotocore.session import get_session

LOOPS = 4
STREAM = {
    "kinesis": {"StreamName": "bench"},
    "dynamodbstreams": {"StreamArn": "arn:aws:dynamodb:us-east-1:000000000000:table/bench/stream/bench"},
}
SHARD = {"kinesis": "shardId-{:012d}", "dynamodbstreams": "shardId-{:020d}-bench"}
MOST = {"kinesis": 10_000, "dynamodbstreams": 1_000}


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def main(service: str, url: str, records: int) -> None:
    done = 0

    async with get_session().create_client(service, region_name="us-east-1", endpoint_url=url) as stream:

        async def loop(number: int) -> None:
            nonlocal done
            told = await stream.get_shard_iterator(
                **STREAM[service], ShardId=SHARD[service].format(number), ShardIteratorType="TRIM_HORIZON"
            )
            iterator = told["ShardIterator"]
            while done < records:
                answer = await stream.get_records(ShardIterator=iterator, Limit=MOST[service])
                if not answer["Records"]:
                    return
                iterator = answer["NextShardIterator"]
                done += len(answer["Records"])

        before = cpu()
        await asyncio.gather(*(loop(number) for number in range(LOOPS)))
        print(json.dumps({"done": done, "cpu": cpu() - before}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
