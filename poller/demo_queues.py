"""The demo's two queues, and the handlers on them."""

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from poller.aws.clients import AwsClients
from poller.core.model import JsonObject
from poller.demo_source import TIMEOUT, Source
from poller.demo_work import Ledger, Work, fifo_work, standard_work

VISIBILITY = 2  # seconds; short, so that what fails comes back while somebody watches
MAX_RECEIVES = 4
GROUPS = 20


class Queue(Source):
    """The standard queue, whose handler is async."""

    mapping = "orders"
    noun = "a queue"
    share = 40
    chunk = 10
    suffix: ClassVar[str] = ""
    attributes: ClassVar[dict[str, str]] = {}

    def __init__(self, prefix: str, clients: AwsClients) -> None:
        super().__init__(prefix, clients)
        self.url = ""

    async def create(self) -> None:
        """See Source."""
        name = self.name.removesuffix(self.suffix)
        self.dead_url, dead_arn = await self.make_queue(f"{name}-dlq{self.suffix}", self.attributes)
        redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": MAX_RECEIVES})
        times = {"VisibilityTimeout": str(VISIBILITY), "RedrivePolicy": redrive}
        self.url, self.arn = await self.make_queue(f"{name}{self.suffix}", self.attributes | times)

    def works(self, count: int) -> Iterator[Work]:
        """See Source."""
        return standard_work(count)

    def fields(self) -> dict[str, Any]:
        """See Source."""
        return {
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "Handler": {"TimeoutInSeconds": min(TIMEOUT, VISIBILITY), "Concurrency": 10},
        }

    def handler(self) -> Callable[[Any, Any], Any]:
        """See Source."""
        return standard_handler(self.ledger)

    async def send(self, works: list[Work]) -> None:
        """See Source."""
        sqs = await self.sdk("sqs")
        answer = await sqs.send_message_batch(QueueUrl=self.url, Entries=[_entry(work) for work in works])
        refused = {int(entry["Id"]) for entry in answer.get("Failed", [])}
        self.ledger.sent |= {work.number: work.key for work in works if work.number not in refused}

    async def found(self, body: JsonObject) -> set[int]:
        """A dead letter is the message itself."""
        return {int(body["number"])}


class FifoQueue(Queue):
    """The FIFO queue, whose handler is a plain function."""

    mapping = "payments.fifo"
    noun = "a FIFO queue"
    keys = "group"
    share = 20
    suffix = ".fifo"
    attributes: ClassVar[dict[str, str]] = {"FifoQueue": "true"}

    def works(self, count: int) -> Iterator[Work]:
        """See Source."""
        return fifo_work(count, GROUPS)

    def handler(self) -> Callable[[Any, Any], Any]:
        """See Source."""
        return fifo_handler(self.ledger)


def _entry(work: Work) -> dict[str, str]:
    body = json.dumps({"number": work.number, "kind": work.kind})
    entry = {"Id": str(work.number), "MessageBody": body}
    if work.key is not None:
        entry |= {"MessageGroupId": work.key, "MessageDeduplicationId": str(work.number)}
    return entry


class DemoCrashError(Exception):
    """What the demo's handlers raise, on purpose."""


def standard_handler(ledger: Ledger) -> Callable[[Any, Any], Any]:
    """An async handler with partial batch responses, which now and then raises instead."""

    async def orders(event: JsonObject, context: object) -> JsonObject:
        del context
        works = [(json.loads(record["body"]), record["messageId"]) for record in event["Records"]]
        failed = {name: work["kind"] for work, name in works if ledger.fails(work["number"], work["kind"])}
        if "crash" in failed.values():
            ledger.failures += len(works)
            raise DemoCrashError("raised on purpose, so the whole batch comes back")
        ledger.failures += len(failed)
        for work, name in works:
            if name not in failed:
                ledger.done(work["number"], None)
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    return orders


def fifo_handler(ledger: Ledger) -> Callable[[Any, Any], Any]:
    """A plain function (it runs in a thread) that stops a group at its first failure, so that order is kept."""

    def payments(event: JsonObject, context: object) -> JsonObject:
        del context
        failed: list[str] = []
        failed_groups: set[str] = set()
        for record in event["Records"]:
            work = json.loads(record["body"])
            group = record["attributes"]["MessageGroupId"]
            if group in failed_groups or ledger.fails(work["number"], work["kind"]):
                failed_groups.add(group)
                failed.append(record["messageId"])
            else:
                ledger.done(work["number"], group)
        ledger.failures += len(failed)
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    return payments
