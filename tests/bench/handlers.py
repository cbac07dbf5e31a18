"""The handlers of the benchmark."""

import os
import time

OUT = os.environ.get("ESM_BENCH_OUT")
_file = os.open(OUT, os.O_WRONLY | os.O_APPEND) if OUT else None


async def noop(event, context):
    """Does nothing, successfully."""


async def stamp(event, context):
    """Writes how long ago each message was sent; its body is the time."""
    now = time.time()
    for record in event["Records"]:
        os.write(_file, f"{now - float(record['body'])}\n".encode())


async def first_shard_fails(event, context):
    """Fails for ever for one shard, and does nothing for all others."""
    if event["Records"][0]["eventID"].startswith("shardId-000000000000:"):
        raise ValueError("this shard fails for ever")
