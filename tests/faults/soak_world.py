"""What the soak runs: four sources on an embedded AWS, their handlers of three kinds, failure queues, and the
configuration, which changes with every SIGHUP.
"""

import contextlib
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams
from tests.faults.sources import READ, Source, queue_source, stream_source, table_source

HANDLERS = (
    READ
    + '''
import asyncio, gc, random, time

NAMES = ("orders", "pay", "clicks", "stock")
OUT = {name: opened(f"{name}.txt") for name in NAMES}
TASKS = opened("tasks.txt")
_told = 0.0


def calm():
    return (HERE / "calm").exists()


def place(record):
    """How a failed record is named."""
    for part, key in (("kinesis", "sequenceNumber"), ("dynamodb", "SequenceNumber")):
        if part in record:
            return record[part][key]
    return record["messageId"]


def settle(name, records):
    """Notes what succeeded, reports the rest: of a stream all behind a failure, of FIFO all of its group."""
    if not calm() and random.random() < 0.02:
        raise RuntimeError("now and then")
    done, failed, stopped = [], [], set()
    for record in records:
        one = read(record)
        lane = {"orders": one["n"], "pay": one["key"]}.get(name)
        bad = one["kind"] == "poison" or (one["kind"] == "flaky" and not calm() and random.random() < 0.5)
        if bad or lane in stopped:
            stopped.add(lane)
            failed.append(record)
        else:
            done.append(record)
    note(OUT[name], done)
    return {"batchItemFailures": [{"itemIdentifier": place(record)} for record in failed]}


async def orders(event, context):
    """Tells now and then how many tasks the daemon has, and has it collect what nobody holds any more.

    The daemon collects seldom, and each fault leaves errors that hold each other: without this, memory would tell
    how long ago that was, and no leak.
    """
    global _told
    await asyncio.sleep(random.random() * 0.02)
    if time.monotonic() - _told > 1.0:
        _told = time.monotonic()
        gc.collect()
        os.write(TASKS, f"{os.getpid()} {len(asyncio.all_tasks())}\\n".encode())
    return settle("orders", event["Records"])


def pay(event, context):
    time.sleep(random.random() * 0.02)
    return settle("pay", event["Records"])


def clicks(event, context):
    return settle("clicks", event["Records"])


async def stock(event, context):
    return settle("stock", event["Records"])
'''
)
KINDS = ("ok", "skip", "poison", "flaky")
SHARDS = 6
PATIENT = 1000  # receives before a queue gives a message up: never, until the end
REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


@dataclass(frozen=True)
class World:
    """All that the soak has set up, by source: `queues` with their dead-letter queues, `documents` go to these."""

    folder: Path
    sqs: Any
    stream: streams.Stream
    sources: dict[str, Source]
    queues: dict[str, dict[str, str]]
    documents: dict[str, dict[str, str]]

    def configure(self, hook: str, variant: int = 0) -> None:
        """poller.yaml; variants differ in what a reload may change."""
        again = {
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 2,  # each one longer: a backlog of blocked lanes would look like a leak
            "BatchSize": 20 + variant % 5,
        }
        targets = {"orders": "python:handlers:orders", "pay": "process:handlers:pay", "clicks": hook}
        more: dict[str, dict[str, Any]] = {
            "orders": {"BatchSize": 5 + variant % 3},
            "pay": {"BatchSize": 5},
            "clicks": {**again, "ParallelizationFactor": 2},
            "stock": {**again, "ParallelizationFactor": 1 + variant % 2},
        }
        for name, queue in self.documents.items():
            more[name]["DestinationConfig"] = streams.to_queue(queue["arn"])
        daemon.write(
            self.folder,
            *(
                source.mapping(
                    targets.get(name, f"python:handlers:{name}"),
                    FilterCriteria=source.pattern([{"anything-but": "skip"}]),
                    Handler={"TimeoutInSeconds": 4, "Concurrency": 4},  # pools are full before memory is judged
                    **REPORTS,
                    **more[name],
                )
                for name, source in self.sources.items()
            ),
            handlers=HANDLERS,
            State="sqlite:state.db",
        )

    def notes(self, name: str) -> list[str]:
        """What the handlers of this source have noted."""
        return daemon.written(self.folder / f"{name}.txt")

    def give_up_quickly(self) -> None:
        """From now on a queue gives a message up after three receives."""
        for queue in self.queues.values():
            policy = {"deadLetterTargetArn": daemon.arn_of(self.sqs, queue["dead"]), "maxReceiveCount": 3}
            self.sqs.set_queue_attributes(QueueUrl=queue["url"], Attributes={"RedrivePolicy": json.dumps(policy)})


def make_world(folder: Path, client: Callable[[str], Any]) -> World:
    """On the server that `client(service)` speaks to."""
    sqs, prefix = client("sqs"), daemon.own("soak")
    queues = {
        name: daemon.make_queue(sqs, prefix + tail, visibility=6, dead=PATIENT)
        for name, tail in (("orders", "-orders"), ("pay", "-pay.fifo"))
    }
    stream = streams.Stream(client("kinesis"), f"{prefix}-clicks", SHARDS)
    sources = [
        *(queue_source(sqs, queue, name) for name, queue in queues.items()),
        stream_source(stream, "clicks"),
        table_source(client("dynamodb"), f"{prefix}-stock", "stock"),
    ]
    documents = {name: daemon.make_queue(sqs, f"{prefix}-{name}-failed") for name in ("clicks", "stock")}
    return World(folder, sqs, stream, {source.name: source for source in sources}, queues, documents)


@contextlib.contextmanager
def hook(folder: Path) -> Iterator[str]:
    """The web service behind the mapping of `clicks`: its URL. The handlers must be in the folder."""
    spec = importlib.util.spec_from_file_location("soak_hook", folder / "handlers.py")
    assert spec is not None
    assert spec.loader is not None
    handlers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handlers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["content-length"])))
            try:
                status, said = 200, handlers.clicks(event, None)
            except RuntimeError as error:
                status, said = 422, {"errorMessage": str(error)}
            body = json.dumps(said).encode()
            with contextlib.suppress(OSError):  # nobody may be there to hear it any more
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A connection that was cut is what this is about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="hook")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/clicks"
        finally:
            server.shutdown()
            thread.join()
