"""From send to handler start on an idle queue with window 0, and the same for a bare long poll on that server."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.daemon import DEADLINE, ENV, HERE, daemon
from tests.bench.embedded import embedded_queue
from tests.bench.rows import Row, Work, at_most, row

SAMPLES = 300
PAUSE = 0.02  # so that the queue is idle again


def poller(url: str, sqs, queue: str, samples: int) -> list[float]:
    """Milliseconds, ascending."""
    with tempfile.NamedTemporaryFile("r", prefix="esm-bench-") as out:
        environment = {"ESM_BENCH_OUT": out.name}
        with daemon(url, "sqs:bench", "stamp", environment, BatchSize=10) as running:
            running.reaches("esm_pollers", 1)
            for _ in range(samples):
                sqs.send_message(QueueUrl=queue, MessageBody=repr(time.time()))
                time.sleep(PAUSE)
            deadline = time.monotonic() + DEADLINE
            while len(lines := Path(out.name).read_text().split()) < samples:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"only {len(lines)} of {samples} messages were handled")
                time.sleep(0.1)
    return sorted(1e3 * float(line) for line in lines)


def bare(url: str, samples: int) -> list[float]:
    command = [sys.executable, str(HERE / "bare_latency.py"), url, str(samples)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENV, timeout=DEADLINE)
    return sorted(1e3 * float(each) for each in json.loads(done.stdout))


def measure(work: Work) -> list[Row]:
    samples = work.count(SAMPLES)
    with embedded_queue() as (url, sqs, queue):
        ours, theirs = poller(url, sqs, queue, samples), bare(url, samples)
    rows = []
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        mine, server = ours[int(len(ours) * part)], theirs[int(len(theirs) * part)]
        rows.append(row(f"a bare boto3 long poll: {name}", server, "ms"))
        rows.append(row(f"poller run: {name}", mine, "ms"))
    goal = at_most(20, "p99 under 20 ms above the server's own")
    return [*rows, row("poller run above the server's own: p99", mine - server, "ms", goal=goal)]
