"""Memory of the daemon with one mapping: at rest, and after work. The yardstick is a Python with nothing but
aiobotocore's SQS client.
"""

import subprocess
import sys

from tests.bench.daemon import ENV, RSS, daemon
from tests.bench.embedded import embedded_queue
from tests.bench.rows import Row, Work, at_most, row
from tests.bench.sections import kinesis, sqs

CLIENT = """
import asyncio
from aiobotocore.session import get_session

async def main():
    async with get_session().create_client("sqs", region_name="us-east-1"):
        lines = open("/proc/self/status").read().splitlines()
        print(next(line.split()[1] for line in lines if line.startswith("VmRSS")))

asyncio.run(main())
"""


def client() -> float:
    done = subprocess.run([sys.executable, "-c", CLIENT], check=True, capture_output=True, text=True, env=ENV)
    return int(done.stdout) * 1024 / 1e6


def queue(work: Work) -> float:
    with embedded_queue() as (url, _, _), daemon(url, "sqs:bench", "noop", BatchSize=10) as running:
        running.reaches("esm_pollers", 1)
        return running.over(work.seconds(5))["now_" + RSS] / 1e6


def stream(work: Work) -> float:
    with kinesis.canned(1, 0) as url, daemon(url, kinesis.STREAM, "noop", **kinesis.FIELDS) as running:
        running.reaches("esm_polls_total", 2)
        return running.over(work.seconds(5))["now_" + RSS] / 1e6


def worked_queue(messages: int) -> float:
    with sqs.canned(messages) as url, daemon(url, "sqs:bench", "noop", BatchSize=10) as running:
        return running.reaches("esm_deleted_events_total", messages)[RSS] / 1e6


def worked_stream(records: int) -> float:
    with (
        kinesis.canned(kinesis.SHARDS, records) as url,
        daemon(url, kinesis.STREAM, "noop", **kinesis.FIELDS) as running,
    ):
        return running.reaches("esm_invoked_events_total", records)[RSS] / 1e6


def measure(work: Work) -> list[Row]:
    messages, records = work.count(200_000), work.count(1_000_000)
    return [
        row("a Python with an SQS client of aiobotocore", client(), "MB"),
        row("poller run, one queue, idle", queue(work), "MB", goal=at_most(80, "under 80 MB")),
        row("poller run, one stream of a shard, idle", stream(work), "MB", goal=at_most(80, "under 80 MB")),
        row(f"poller run after {messages:,} messages", worked_queue(messages), "MB"),
        row(f"poller run after {records:,} records of {kinesis.SHARDS} shards", worked_stream(records), "MB"),
    ]
