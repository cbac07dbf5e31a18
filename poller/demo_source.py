"""What the demo's four sources have in common: a queue for what is given up, how they are fed, and that nothing of
them stays behind.
"""

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar

from poller.aws.clients import AwsClients
from poller.core.model import JsonObject
from poller.demo_work import Ledger, Work

REGION = "us-east-1"
TIMEOUT = 2  # seconds that a handler may take
STATUS_DEADLINE = 120.0  # AWS itself needs half a minute for a stream
STATUS_EVERY = 0.5


class Source(ABC):
    """One source, its `dead_url` (the queue of dead letters, or of failure documents) and its ledger.

    `mapping` is its name, `noun` what it is, `keys` what order is kept by, in a word; `share` is its part of all
    the records, `chunk` how many go out in one call. `given_up` is how many messages were seen in the dead queue
    last, while the demo runs.
    """

    mapping: ClassVar[str]
    noun: ClassVar[str]
    keys: ClassVar[str] = ""
    share: ClassVar[int]
    chunk: ClassVar[int]

    def __init__(self, prefix: str, clients: AwsClients) -> None:
        self.ledger = Ledger(self.mapping, self.keys)
        self.arn = ""
        self.dead_url = ""
        self.feeding = True
        self.given_up = 0
        self.name = f"{prefix}-{self.mapping}"
        self.clients = clients
        self._made: list[tuple[Callable[..., Any], dict[str, str]]] = []

    @abstractmethod
    async def create(self) -> None:
        """Makes the source and its dead queue; raises what the SDK does when the AWS has no such things."""

    @abstractmethod
    def works(self, count: int) -> Iterator[Work]:
        """So many records to send."""

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """The mapping, in the words of CreateEventSourceMapping."""

    @abstractmethod
    def handler(self) -> Callable[[Any, Any], Any]:
        """The handler, which fails with what should fail and enters the rest in the ledger."""

    @abstractmethod
    async def send(self, works: list[Work]) -> None:
        """Sends them in one call; enters in the ledger what was accepted."""

    @abstractmethod
    async def found(self, body: JsonObject) -> set[int]:
        """The numbers of the records that this message of the dead queue stands for."""

    async def reshard(self) -> str:
        """Changes the shards, and tells how. Called in the middle, on the embedded AWS."""
        return ""

    async def feed(self, count: int, seconds: float, *, tell: Callable[[str], None] | None) -> None:
        """Sends `count` records over at least `seconds`; with `tell` it changes the shards in the middle."""
        works = self.works(count)
        calls = -(-count // self.chunk)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for call in range(calls):
            if tell is not None and call == calls // 2 and (text := await self.reshard()):
                tell(text)
            await self.send(list(islice(works, self.chunk)))
            await asyncio.sleep(max(0.0, begin + seconds * (call + 1) / calls - loop.time()))
        self.feeding = False

    async def count_given_up(self) -> None:
        """Looks how many messages the dead queue has, about."""
        sqs = await self.sdk("sqs")
        name = "ApproximateNumberOfMessages"
        told = await sqs.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=[name])
        self.given_up = int(told["Attributes"][name])

    async def read_dead(self) -> None:
        """Empties the dead queue into the ledger."""
        sqs = await self.sdk("sqs")
        empty = 0
        while empty < 2:
            wait = 1 if self.ledger.lost else 0
            answer = await sqs.receive_message(
                QueueUrl=self.dead_url, MaxNumberOfMessages=10, WaitTimeSeconds=wait
            )
            messages = answer.get("Messages", [])
            empty = 0 if messages else empty + 1
            for message in messages:
                self.ledger.given_up |= await self.found(json.loads(message["Body"]))
                await sqs.delete_message(QueueUrl=self.dead_url, ReceiptHandle=message["ReceiptHandle"])

    async def delete(self) -> None:
        """Deletes all that was made."""
        for operation, arguments in reversed(self._made):
            with contextlib.suppress(Exception):  # what stays behind harms nobody, and the run is over
                await operation(**arguments)

    # --- for the sources ---

    async def sdk(self, service: str) -> Any:
        """The client of the service."""
        return await self.clients.client(service, REGION)

    def made(self, delete: Callable[..., Any], **arguments: str) -> None:
        """Has this called at the end."""
        self._made.append((delete, arguments))

    async def make_queue(self, name: str, attributes: dict[str, str]) -> tuple[str, str]:
        """A new queue: its URL and its ARN."""
        sqs = await self.sdk("sqs")
        url = (await sqs.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]
        self.made(sqs.delete_queue, QueueUrl=url)
        told = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, str(told["Attributes"]["QueueArn"])


async def active(describe: Callable[[], Any], status: Callable[[JsonObject], str]) -> JsonObject:
    """What `describe` tells once `status` of it is ACTIVE. Raises TimeoutError."""
    async with asyncio.timeout(STATUS_DEADLINE):
        while True:
            told: JsonObject = await describe()
            if status(told) == "ACTIVE":
                return told
            await asyncio.sleep(STATUS_EVERY)
