"""A thousand worker crashes in a row, through the real `poller run` on the embedded SQS.

Each message kills its worker when it comes for the first time, and is written down when it comes again. Prints
what became of the messages, and the daemon's processes, descriptors and memory before and after; ends with 1 if a
message is missing or anything has grown. `python -m tests.bench.crashes [crashes]`
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from poller.testing.process import separate_process
from tests.acceptance import daemon
from tests.servers.clients import sqs_client

CONCURRENCY = 4
DESCRIPTORS = 5  # of each worker
HANDLERS = """
import os
from pathlib import Path

def crash_once(event, context):
    for record in event["Records"]:
        if record["attributes"]["ApproximateReceiveCount"] == "1":
            os.kill(os.getpid(), 9)
        with open("done.txt", "a") as done:
            done.write(record["body"] + "\\n")
"""


def usage(pid: int) -> dict[str, float]:
    """Child processes with zombies, descriptors, and megabytes of the daemon."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    children = [
        child for task in (process / "task").iterdir() for child in (task / "children").read_text().split()
    ]
    return {
        "processes": len(children),
        "threads": int(status["Threads"]),
        "descriptors": len(list((process / "fd").iterdir())),
        "memory": round(int(status["VmRSS"].split()[0]) / 1024, 1),
    }


def settled(pid: int) -> dict[str, float]:
    """As usage, once it stands still: what is dying takes a moment."""
    last: dict[str, float] = {}
    while (now := usage(pid)) != last:
        last = now
        time.sleep(0.5)
    return now


async def main(crashes: int) -> int:
    with tempfile.TemporaryDirectory(prefix="esm-crashes-") as name:
        folder = Path(name)
        async with separate_process() as url:
            client = sqs_client(url)
            queue = daemon.make_queue(client, "crashes", visibility=10)
            mapping = {
                "Name": "crashes",
                "EventSourceArn": queue["arn"],
                "FunctionName": "process:handlers:crash_once",
                "BatchSize": 1,
                "Handler": {"TimeoutInSeconds": 10, "Concurrency": CONCURRENCY},
            }
            daemon.write(folder, mapping, handlers=HANDLERS)
            with daemon.running(folder, daemon.environment(url)) as running:
                running.ready()
                pid = running.process.pid
                await asyncio.to_thread(work, client, queue["url"], folder, 0, crashes // 2)
                before, begun = settled(pid), time.monotonic()
                await asyncio.to_thread(work, client, queue["url"], folder, crashes // 2, crashes)
                seconds, after = time.monotonic() - begun, settled(pid)
                failed = running.metric("esm_invocations_total", outcome="error")
                running.signal(15)
                code = running.wait()
            client.close()
        done = daemon.written(folder / "done.txt")
    missing = crashes - len(set(done))
    print(f"{crashes} messages, {failed:g} crashes, {missing} missing, {len(done)} done, exit code {code}")
    print(
        f"{(crashes - crashes // 2) / seconds:.1f} crashes a second, each with a new worker and a second delivery"
    )
    print(f"before {before}\nafter  {after}")
    workers = after["processes"] - before["processes"]
    grown = (
        after["processes"] > CONCURRENCY
        or after["threads"] > before["threads"]
        or after["descriptors"] > before["descriptors"] + workers * DESCRIPTORS
        or after["memory"] > before["memory"] + 5
    )
    return int(missing > 0 or grown or failed < crashes or code != 0)


def work(client: object, url: str, folder: Path, first: int, last: int) -> None:
    """Sends these messages and waits until each is written down and the queue empty."""
    daemon.send(client, url, [str(number) for number in range(first, last)])
    wanted = {str(number) for number in range(last)}
    daemon.wait_for(lambda: wanted <= set(daemon.written(folder / "done.txt")), "every message", deadline=900)
    daemon.wait_for(lambda: daemon.empty(client, url), "an empty queue", deadline=60)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)))
