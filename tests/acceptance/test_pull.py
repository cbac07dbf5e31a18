"""What a mapping asks of AWS and when, and mappings beside each other: the library on an embedded AWS."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import poller
from poller.testing import EmbeddedAws, FakeQueue

DEADLINE = 60.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition that sets no event."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)


def bodies(event: dict[str, Any]) -> list[str]:
    return [record["body"] for record in event["Records"]]


async def test_we_pull_and_wait_for_the_answer() -> None:
    """GEN-1, GEN-5: nothing is set up at the source, and nothing is deleted before the function has answered."""
    called, answer = asyncio.Event(), asyncio.Event()

    async def handler(event: dict[str, Any], context: object) -> None:
        called.set()
        await answer.wait()

    async with EmbeddedAws() as aws:
        queue = FakeQueue("orders", service=aws.service)
        queue.send("one")
        async with poller.Poller(endpoint_url=aws.url, shutdown_timeout=3) as running:
            running.add(queue.queue.arn, handler)
            async with asyncio.timeout(DEADLINE):
                await called.wait()
            asked = dict(aws.service.calls)
            assert "DeleteMessageBatch" not in asked
            assert queue.bodies() == ["one"]
            answer.set()
            await until(lambda: not queue.bodies())
        assert set(aws.service.calls) <= {
            "GetQueueUrl",
            "GetQueueAttributes",
            "ReceiveMessage",
            "DeleteMessageBatch",
        }


async def test_mappings_stand_beside_each_other() -> None:
    """GEN-4: two functions on one queue, and one function on two queues; pausing one mapping stops no other."""
    seen: dict[str, list[str]] = {"f": [], "g": []}

    async def f(event: dict[str, Any], context: object) -> None:
        seen["f"] += bodies(event)

    async def g(event: dict[str, Any], context: object) -> None:
        seen["g"] += bodies(event)

    async with EmbeddedAws() as aws:
        shared, own = FakeQueue("shared", service=aws.service), FakeQueue("own", service=aws.service)
        async with poller.Poller(endpoint_url=aws.url, shutdown_timeout=3) as running:
            first = running.add(shared.queue.arn, f, Name="shared-f")
            running.add(shared.queue.arn, g, Name="shared-g")
            running.add(own.queue.arn, f, Name="own-f")
            await running.pause(first.uuid)
            for number in range(20):
                shared.send(f"shared {number}")
                own.send(f"own {number}")
            await until(lambda: len(seen["f"]) + len(seen["g"]) == 40)
            assert sorted(seen["g"]) == sorted(f"shared {number}" for number in range(20))
            assert sorted(seen["f"]) == sorted(f"own {number}" for number in range(20))
            await running.resume(first.uuid)
            for number in range(20, 60):
                shared.send(f"shared {number}")
            await until(lambda: len(seen["f"]) + len(seen["g"]) == 80)
        assert not shared.bodies()
        assert not own.bodies()
    every = seen["f"] + seen["g"]
    assert sorted(every) == sorted([f"shared {n}" for n in range(60)] + [f"own {n}" for n in range(20)])
