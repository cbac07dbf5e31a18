"""The contract suite's view of a server: queues with names of their own, boto3; and our own clients."""

import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
import pytest_asyncio

from poller.aws.clients import AwsClients
from tests.contract.sqs_deviations import DEVIATIONS, NOT_RUN
from tests.servers.clients import sqs_client

SERVERS = {"embedded": "embedded_aws", "ministack": "ministack", "moto": "moto_server", "roto": "roto_server"}
GENEROUS = 15.0  # seconds; far above what a healthy server takes, below the 20 s of a poll that nothing wakes


class Queue:
    """One queue of the server, by the calls that the tests make most."""

    def __init__(self, client: Any, url: str) -> None:
        self.client = client
        self.url = url

    def send(self, body: str, **fields: Any) -> dict[str, Any]:
        return self.client.send_message(QueueUrl=self.url, MessageBody=body, **fields)

    def send_all(self, bodies: list[str], group: str | None = None) -> None:
        for body in bodies:
            self.send(body, **({"MessageGroupId": group, "MessageDeduplicationId": body} if group else {}))

    def receive(self, maximum: int = 10, wait: int = 0, **fields: Any) -> list[dict[str, Any]]:
        fields = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]} | fields
        answer = self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=maximum, WaitTimeSeconds=wait, **fields
        )
        return answer.get("Messages", [])

    def receive_until(self, count: int, **fields: Any) -> list[dict[str, Any]]:
        """Receives until so many are there: standard queues may give them piecemeal."""
        deadline, found = time.monotonic() + GENEROUS, []
        while len(found) < count and time.monotonic() < deadline:
            found += self.receive(wait=1, **fields)
        assert len(found) == count
        return found

    def delete(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def give_back(self, *messages: dict[str, Any], after: int = 0) -> None:
        for message in messages:
            self.client.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=after
            )

    def attributes(self, *names: str) -> dict[str, str]:
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=list(names) or ["All"])
        return answer.get("Attributes", {})

    @property
    def arn(self) -> str:
        return self.attributes("QueueArn")["QueueArn"]


class Sqs:
    """The server, with queues that no other test shares."""

    def __init__(self, name: str, url: str, client: Any) -> None:
        self.name = name
        self.url = url
        self.client = client
        self._pool = ThreadPoolExecutor(16)

    def queue(self, *, fifo: bool = False, name: str | None = None, **attributes: Any) -> Queue:
        """A new queue with these attributes; it goes with its server, at the end of the run."""
        name = name or f"q-{uuid.uuid4().hex[:16]}" + (".fifo" if fifo else "")
        given = {key: str(value) for key, value in attributes.items()} | ({"FifoQueue": "true"} if fifo else {})
        url = self.client.create_queue(QueueName=name, Attributes=given)["QueueUrl"]
        return Queue(self.client, url)

    def aside(self, do: Callable[[], Any]) -> "Future[Any]":
        """Runs in another thread."""
        return self._pool.submit(do)

    def polling(self, queue: Queue, **fields: Any) -> "Future[list[dict[str, Any]]]":
        """A 20 s long poll that is on its way when this returns."""
        client, sent = sqs_client(self.url), Event()

        def note(**_: Any) -> None:
            sent.set()

        client.meta.events.register("before-send.sqs.ReceiveMessage", note)
        future = self.aside(lambda: Queue(client, queue.url).receive(wait=20, **fields))
        assert sent.wait(GENEROUS)
        future.add_done_callback(lambda _: client.close())
        return future

    def close(self) -> None:
        self._pool.shutdown()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """What a server is known to do wrong fails in a line: a traceback costs more than the test, and nobody reads
    it. `--runxfail` shows it.
    """
    try:
        return (yield)
    except (Exception, pytest.fail.Exception) as error:
        if pyfuncitem.config.option.runxfail or pyfuncitem.get_closest_marker("xfail") is None:
            raise
        pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)


@pytest.fixture(scope="session")
def _shared_clients() -> Iterator[Callable[[str], Any]]:
    """The client of a URL: one serves all tests, which look at servers and not at it."""
    made: dict[str, Any] = {}

    def client(url: str) -> Any:
        if url not in made:
            made[url] = sqs_client(url)
        return made[url]

    yield client
    for each in made.values():
        each.close()


@pytest.fixture(params=SERVERS)
def sqs(request: pytest.FixtureRequest, _shared_clients: Callable[[str], Any]) -> Iterator[Sqs]:
    """Each server in turn; what it is known to do wrong is expected to fail."""
    name = request.param
    test, case = request.node.originalname, request.node.callspec.id.removeprefix(name).strip("-")
    key = (name, f"{test}[{case}]" if case else test)
    if key in NOT_RUN:
        pytest.xfail(f"{name}: {DEVIATIONS[key]}")
    if key in DEVIATIONS:
        request.node.add_marker(pytest.mark.xfail(reason=f"{name}: {DEVIATIONS[key]}", strict=True))
    url = request.getfixturevalue(SERVERS[name])
    server = Sqs(name, url, _shared_clients(url))
    yield server
    server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws_clients() -> AsyncIterator[Callable[[str], AwsClients]]:
    """Our own clients for a URL, with one region: made once, for sessions of botocore cost more than most tests.

    A module that uses them runs in one event loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
    """
    made: dict[str, AwsClients] = {}
    async with contextlib.AsyncExitStack() as stack:

        def clients(url: str) -> AwsClients:
            if url not in made:
                made[url] = AwsClients(endpoint_url=url, region="us-east-1")
                stack.push_async_exit(made[url])
            return made[url]

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_CONFIG_FILE", os.devnull)
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            yield clients
