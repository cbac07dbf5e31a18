"""The embedded AWS: queues, streams, tables, topics, buckets and functions with the real semantics, for tests, the
demo and the benchmark.

In process, for a handler or a loop under test, with a clock that the test moves:

    clock = ManualClock()
    queue = FakeQueue("orders.fifo", clock=clock, attributes={"VisibilityTimeout": "30"})
    queue.send("first", MessageGroupId="a")
    messages, _ = await queue.receive(maximum=10, wait=0, visibility_timeout=None, deadline=5)
    clock.advance(31)                                   # it is visible again

Over HTTP, for any SDK, in this event loop:

    async with EmbeddedAws() as aws:
        client = boto3.client("sqs", endpoint_url=aws.url, ...)     # in a thread, or aiobotocore
        aws.faults.throttle("ReceiveMessage", times=3)
        assert aws.service.calls["DeleteMessageBatch"] == 1
        assert aws.kinesis_service.calls["GetRecords"] == 4
        aws.kinesis.empty_pages = 3                     # and other things that AWS does when it likes
        aws.functions.add("orders", lambda event: {"batchItemFailures": []})        # what Invoke calls

or in a process of its own: `python -m poller.testing --port 4566`, or `async with separate_process() as url`.
"""

from poller.testing.clock import ManualClock
from poller.testing.functions import FunctionFailed, TooManyRequests
from poller.testing.process import separate_process
from poller.testing.server import EmbeddedAws
from poller.testing.source import FakeQueue

__all__ = ["EmbeddedAws", "FakeQueue", "FunctionFailed", "ManualClock", "TooManyRequests", "separate_process"]
