"""The handlers of the benchmark."""

import os
import sys
import time
from pathlib import Path

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


_tenth = int(os.environ.get("ESM_BENCH_TENTH", "0"))
_handled = [0]


def _point():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    os.write(_file, f"{time.monotonic()} {time.process_time()} {pages * os.sysconf('SC_PAGESIZE')}\n".encode())


async def tenths(event, context):
    """Writes clock, CPU seconds and memory at the first message, and whenever another tenth was handled."""
    before = _handled[0]
    if not before:
        _point()
    _handled[0] += len(event["Records"])
    if before // _tenth != _handled[0] // _tenth:
        _point()


async def switching(event, context):
    """The same, and metrics are off in every second of these spans (untold.py)."""
    before = _handled[0]
    await tenths(event, context)
    if before // _tenth != _handled[0] // _tenth:
        sys.modules["__main__"].switch((_handled[0] // _tenth) % 2 == 0)
