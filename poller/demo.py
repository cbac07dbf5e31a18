"""`poller demo`: a standard and a FIFO queue are fed, with failing records among them; at the end every record
must be accounted for. It runs on the embedded AWS, in a process of its own, or on whatever speaks SQS at a URL.
"""

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from poller.aws.clients import AwsClients
from poller.demo_work import Ledger, Work, fifo_handler, fifo_work, standard_handler, standard_work
from poller.embed import Poller
from poller.errors import PollerError
from poller.testing import separate_process

REGION = "us-east-1"
VISIBILITY = 2  # seconds; short, so that what fails comes back while somebody watches
MAX_RECEIVES = 5
REFRESH = 0.25
LINE_EVERY = 2.0
DRAIN_DEADLINE = 120.0


@dataclass(slots=True)
class _Queue:
    """One queue of the demo: where it is, what goes in, and the ledger."""

    ledger: Ledger
    url: str
    arn: str
    dead_url: str
    work: Iterator[Work]
    count: int
    feeding: bool = True


async def run_demo(records: int, seconds: float, aws: str | None, *, as_json: bool, console: Console) -> int:
    """Feeds `records` records over at least `seconds`; 0 when all are accounted for, else 1.

    Raises PollerError when the AWS at `aws` cannot be used.
    """
    logging.getLogger("poller").addHandler(logging.NullHandler())
    async with contextlib.AsyncExitStack() as stack:
        if aws is None:
            aws = await stack.enter_async_context(separate_process())
            where = f"the embedded AWS at {aws}"
        else:
            where = aws
        clients = await stack.enter_async_context(AwsClients(region=REGION, endpoint_url=aws))
        sqs = await clients.client("sqs", REGION)
        queues = await _set_up(sqs, records)
        stack.push_async_callback(_clean_up, sqs, queues)
        if not as_json:
            console.print(f"{records} records into two queues on {where}; some fail on purpose.", soft_wrap=True)
        try:
            async with Poller(region=REGION, endpoint_url=aws, shutdown_timeout=10) as poller:
                _map(poller, queues)
                async with _shown(queues, poller, None if as_json else console):
                    await asyncio.gather(*(_feed(sqs, queue, seconds) for queue in queues))
                    with contextlib.suppress(TimeoutError):  # the summary tells what is missing
                        async with asyncio.timeout(DRAIN_DEADLINE):
                            await poller.drain()
            await asyncio.gather(*(_read_dead(sqs, queue) for queue in queues))
        except (BotoCoreError, ClientError, OSError) as error:
            raise PollerError(f"{where} failed while the demo ran: {error}") from error
    return _summary([queue.ledger for queue in queues], as_json=as_json, console=console)


async def _set_up(sqs: Any, records: int) -> list[_Queue]:
    run = uuid.uuid4().hex[:8]
    fifo = records // 3
    orders, payments = Ledger("orders"), Ledger("payments.fifo")
    try:
        return [
            await _make(
                sqs, orders, f"poller-demo-{run}-orders", "", standard_work(records - fifo), records - fifo
            ),
            await _make(sqs, payments, f"poller-demo-{run}-payments", ".fifo", fifo_work(fifo), fifo),
        ]
    except Exception as error:
        raise PollerError(f"the demo's queues cannot be created: {error}") from error


async def _make(sqs: Any, ledger: Ledger, name: str, suffix: str, work: Iterator[Work], count: int) -> _Queue:
    fifo = {"FifoQueue": "true"} if suffix else {}
    dead_url = (await sqs.create_queue(QueueName=f"{name}-dlq{suffix}", Attributes=fifo))["QueueUrl"]
    redrive = {"deadLetterTargetArn": await _arn(sqs, dead_url), "maxReceiveCount": MAX_RECEIVES}
    attributes = {**fifo, "VisibilityTimeout": str(VISIBILITY), "RedrivePolicy": json.dumps(redrive)}
    url = (await sqs.create_queue(QueueName=f"{name}{suffix}", Attributes=attributes))["QueueUrl"]
    return _Queue(ledger, url, await _arn(sqs, url), dead_url, work, count)


async def _arn(sqs: Any, url: str) -> str:
    told = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(told["Attributes"]["QueueArn"])


async def _clean_up(sqs: Any, queues: list[_Queue]) -> None:
    for url in [url for queue in queues for url in (queue.url, queue.dead_url)]:
        with contextlib.suppress(Exception):  # a queue that stays behind harms nobody, and the run is over
            await sqs.delete_queue(QueueUrl=url)


def _map(poller: Poller, queues: list[_Queue]) -> None:
    orders, payments = queues
    settings: dict[str, Any] = {
        "BatchSize": 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "Handler": {"TimeoutInSeconds": VISIBILITY, "Concurrency": 10},
    }
    poller.add(orders.arn, standard_handler(orders.ledger), Name=orders.ledger.name, **settings)
    poller.add(payments.arn, fifo_handler(payments.ledger), Name=payments.ledger.name, **settings)


async def _feed(sqs: Any, queue: _Queue, seconds: float) -> None:
    calls = -(-queue.count // 10)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for call in range(calls):
        entries = []
        for work in islice(queue.work, 10):
            entry = {"Id": str(work.number), "MessageBody": work.body}
            if work.group is not None:
                entry |= {"MessageGroupId": work.group, "MessageDeduplicationId": str(work.number)}
            entries.append(entry)
            queue.ledger.sent[work.number] = work.group
        answer = await sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)
        for refused in answer.get("Failed", []):
            del queue.ledger.sent[int(refused["Id"])]
        await asyncio.sleep(max(0.0, begin + seconds * (call + 1) / calls - loop.time()))
    queue.feeding = False


async def _read_dead(sqs: Any, queue: _Queue) -> None:
    empty = 0
    while empty < 2:
        answer = await sqs.receive_message(QueueUrl=queue.dead_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        empty = 0 if messages else empty + 1
        for message in messages:
            queue.ledger.dead.add(json.loads(message["Body"])["number"])
            await sqs.delete_message(QueueUrl=queue.dead_url, ReceiptHandle=message["ReceiptHandle"])


@contextlib.asynccontextmanager
async def _shown(queues: list[_Queue], poller: Poller, console: Console | None) -> AsyncIterator[None]:
    """Shows what happens while the block runs: a live table on a terminal, a line now and then elsewhere."""
    if console is None:
        yield
        return
    if console.is_terminal:
        with Live(get_renderable=lambda: _live(queues, poller), console=console, refresh_per_second=1 / REFRESH):
            yield
        return

    async def lines() -> None:
        while True:
            await asyncio.sleep(LINE_EVERY)
            for queue in queues:
                ledger = queue.ledger
                console.print(
                    f"{ledger.name}: {len(ledger.sent)} sent, {len(ledger.succeeded)} succeeded, "
                    f"{ledger.failures} failed attempts"
                )

    task = asyncio.create_task(lines())
    try:
        yield
    finally:
        task.cancel()


def _live(queues: list[_Queue], poller: Poller) -> Table:
    waiting = any(queue.ledger.sent and not queue.feeding for queue in queues)
    note = (
        f"what fails comes back every {VISIBILITY} s; after {MAX_RECEIVES} times it goes to the dead-letter queue"
    )
    table = Table(
        title="poller demo", title_justify="left", caption=note if waiting else None, caption_justify="left"
    )
    table.add_column("mapping")
    for name in ("sent", "succeeded", "failed attempts", "in flight"):
        table.add_column(name, justify="right")
    in_flight = {mapping.name: mapping.in_flight for mapping in poller.mappings()}
    for queue in queues:
        ledger = queue.ledger
        table.add_row(
            ledger.name,
            str(len(ledger.sent)),
            str(len(ledger.succeeded)),
            str(ledger.failures),
            str(in_flight.get(ledger.name, 0)),
        )
    return table


def _summary(ledgers: list[Ledger], *, as_json: bool, console: Console) -> int:
    accounted = all(ledger.accounted for ledger in ledgers)
    if as_json:
        rows = [
            {
                "mapping": ledger.name,
                "sent": len(ledger.sent),
                "succeeded": len(ledger.succeeded),
                "dead_letters": len(ledger.dead),
                "failed_attempts": ledger.failures,
                "delivered_again": ledger.again,
                "lost": len(ledger.lost),
                "out_of_order": ledger.overtaken,
            }
            for ledger in ledgers
        ]
        console.print_json(json.dumps({"accounted": accounted, "mappings": rows}))
        return 0 if accounted else 1
    table = Table(title="every record accounted for" if accounted else "NOT accounted for", title_justify="left")
    table.add_column("mapping")
    for name in ("sent", "=", "succeeded", "+", "in the DLQ", "lost", "order"):
        table.add_column(name, justify="right")
    for ledger in ledgers:
        table.add_row(
            ledger.name,
            str(len(ledger.sent)),
            "=",
            str(len(ledger.succeeded.keys() - ledger.dead)),
            "+",
            str(len(ledger.dead)),
            str(len(ledger.lost)),
            "no promise"
            if not ledger.last_in_group
            else f"{ledger.overtaken} overtaken"
            if ledger.overtaken
            else "kept",
        )
    attempts = sum(ledger.failures for ledger in ledgers)
    again = sum(ledger.again for ledger in ledgers)
    note = Text(
        f"{attempts} attempts failed on purpose and came back; {again} records were delivered again after success."
    )
    console.print(Group(table, note))
    return 0 if accounted else 1
