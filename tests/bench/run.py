"""`make bench`: the figures of the README, as a table and as JSON.

Throughput is messages per CPU second of the client process alone, against one canned endpoint, in one run: on a
shared machine only the ratios mean anything. Each client runs REPEATS times, in turn; medians are shown.
Latency and idle figures are those of the real `poller run` on the embedded AWS in a process of its own.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from tests.bench.daemon import ENV, HERE, daemon, endpoint

ROOT = HERE.parents[1]
NODE_HOME = ROOT / ".servers" / "bench-node"
REPEATS = 5
MESSAGES = {"poller": 400_000, "bare": 30_000, "node": 60_000}


def poller_throughput() -> dict[str, float]:
    """Receive, event, async handler in process, delete: everything between the first and the last scrape."""
    wanted = MESSAGES["poller"]
    with (
        endpoint(str(HERE / "canned.py"), "--messages", str(wanted)) as url,
        daemon(url, "sqs:bench", "noop", BatchSize=10) as running,
    ):
        first: dict[str, float] = {}
        while True:
            now = running.metrics()
            done = now["esm_deleted_events_total"]
            if not first and done >= wanted * 0.1:
                first = now
            if first and done >= wanted * 0.9:
                break
            time.sleep(1.0)  # a scrape costs the daemon some milliseconds
        messages = now["esm_deleted_events_total"] - first["esm_deleted_events_total"]
        cpu = now["process_cpu_seconds_total"] - first["process_cpu_seconds_total"]
        return {"messages": messages, "cpu": cpu, "rss_mb": now["process_resident_memory_bytes"] / 1e6}


def client_throughput(command: list[str], messages: int) -> dict[str, float]:
    """A client that measures itself and prints JSON."""
    with endpoint(str(HERE / "canned.py"), "--messages", str(messages + 1_000)) as url:
        done = subprocess.run(
            [*command, url, str(messages)], check=False, capture_output=True, text=True, env=ENV, timeout=300
        )
        if done.returncode != 0:
            raise SystemExit(f"{command[-1]} failed:\n{done.stderr}")
        return dict(json.loads(done.stdout))


def node_command() -> list[str] | str:
    """sqs-consumer, installed from the npm registry; or why it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "no Node.js on this machine"
    if not (NODE_HOME / "node_modules" / "sqs-consumer").exists():
        NODE_HOME.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "consumer.mjs"):
            shutil.copy(HERE / "node" / name, NODE_HOME / name)
        done = subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"],
            check=False,
            cwd=NODE_HOME,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            return "the npm registry did not give it"
    return [node, "--no-warnings", str(NODE_HOME / "consumer.mjs")]


def throughput(console: Console, repeats: int) -> dict[str, Any]:
    """Rounds of all clients in turn, so that a slow spell of the machine meets all of them."""
    clients: dict[str, Any] = {
        "poller run (whole product)": poller_throughput,
        "bare aiobotocore loop": lambda: client_throughput(
            [sys.executable, str(HERE / "bare_loop.py")], MESSAGES["bare"]
        ),
    }
    node = node_command()
    if isinstance(node, str):
        console.print(f"sqs-consumer is missing here: {node}")
    else:
        clients["sqs-consumer, empty handler"] = lambda: client_throughput(node, MESSAGES["node"])
    rates: dict[str, list[float]] = {name: [] for name in clients}
    ratios: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(repeats):
        for name, run in clients.items():
            result = run()
            rates[name].append(result["messages"] / result["cpu"])
        ours = rates["poller run (whole product)"][-1]
        for name in clients:
            ratios[name].append(ours / rates[name][-1])
    table = Table(title="SQS standard, 512-byte bodies, receive 10 + delete 10", title_justify="left")
    for heading in ("client", "messages per CPU second", "poller is so many times faster"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    for name in clients:
        ratio = statistics.median(ratios[name])
        table.add_row(name, f"{statistics.median(rates[name]):,.0f}", f"{ratio:.1f}")
    console.print(table)
    return {name: {"rates": rates[name], "ratio": statistics.median(ratios[name])} for name in clients}


def latency(console: Console, samples: int) -> dict[str, float]:
    """Send to handler start on an idle queue, and the same for a bare long poll on the same server."""
    with endpoint("-m", "poller.testing", "--port", "0", "--with-parent") as url:
        sqs = boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        queue = sqs.create_queue(QueueName="bench")["QueueUrl"]
        with tempfile.NamedTemporaryFile("r", prefix="esm-bench-") as out:
            ENV["ESM_BENCH_OUT"] = out.name
            with daemon(url, "sqs:bench", "stamp", BatchSize=10) as running:
                while not running.metrics().get("esm_pollers"):
                    time.sleep(0.1)
                for _ in range(samples):
                    sqs.send_message(QueueUrl=queue, MessageBody=repr(time.time()))
                    time.sleep(0.02)
                while len(lines := Path(out.name).read_text().split()) < samples:
                    time.sleep(0.1)
            del ENV["ESM_BENCH_OUT"]
        ours = sorted(float(line) for line in lines)
        bare_run = subprocess.run(
            [sys.executable, str(HERE / "bare_latency.py"), url, str(samples)],
            check=True,
            capture_output=True,
            text=True,
            env=ENV,
        )
        bare = sorted(json.loads(bare_run.stdout))
    figures = {
        "p50_ms": 1e3 * ours[len(ours) // 2],
        "p99_ms": 1e3 * ours[int(len(ours) * 0.99)],
        "server_p50_ms": 1e3 * bare[len(bare) // 2],
        "server_p99_ms": 1e3 * bare[int(len(bare) * 0.99)],
    }
    table = Table(title="Send to handler start, idle queue, window 0", title_justify="left")
    for heading in ("", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("poller run", f"{figures['p50_ms']:.1f}", f"{figures['p99_ms']:.1f}")
    table.add_row("a bare long poll", f"{figures['server_p50_ms']:.1f}", f"{figures['server_p99_ms']:.1f}")
    console.print(table)
    return figures


def idle(console: Console, seconds: float) -> dict[str, float]:
    """The daemon with one mapping on an empty queue: memory, CPU, receives."""
    with endpoint("-m", "poller.testing", "--port", "0", "--with-parent") as url:
        sqs = boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        sqs.create_queue(QueueName="bench")
        with daemon(url, "sqs:bench", "noop", BatchSize=10) as running:
            while not running.metrics().get("esm_pollers"):
                time.sleep(0.1)
            time.sleep(2)
            before, begin = running.metrics(), time.monotonic()
            time.sleep(seconds)
            after, lasted = running.metrics(), time.monotonic() - begin
    figures = {
        "rss_mb": after["process_resident_memory_bytes"] / 1e6,
        "cpu_percent": 100 * (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]) / lasted,
        "receives_in_flight": after["esm_pollers"],
    }
    table = Table(title="Idle daemon, one mapping", title_justify="left")
    for heading in ("memory MB", "CPU %", "receives in flight"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{figures['rss_mb']:.0f}", f"{figures['cpu_percent']:.2f}", f"{figures['receives_in_flight']:.0f}"
    )
    console.print(table)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    console = Console()
    console.print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    )
    figures = {
        "throughput": throughput(console, options.repeats),
        "latency": latency(console, 300),
        "idle": idle(console, 20.0),
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
