"""The yardstick: aiobotocore receiving ten and deleting ten in a loop, with no work at all in between.

`python bare_loop.py URL MESSAGES [QUEUE]` prints messages and CPU seconds as JSON; start-up is not counted.
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


async def main(url: str, messages: int, name: str = "bench") -> None:
    done = 0

    async with get_session().create_client("sqs", region_name="us-east-1", endpoint_url=url) as sqs:
        queue = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]

        async def loop() -> None:
            nonlocal done
            while done < messages:
                answer = await sqs.receive_message(
                    QueueUrl=queue,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=1,
                    MessageAttributeNames=["All"],
                    MessageSystemAttributeNames=["All"],
                )
                received = answer.get("Messages", [])
                if not received:
                    return
                entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(received)]
                await sqs.delete_message_batch(QueueUrl=queue, Entries=entries)
                done += len(received)

        before = cpu()
        await asyncio.gather(*(loop() for _ in range(LOOPS)))
        print(json.dumps({"done": done, "cpu": cpu() - before}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
