"""The embedded AWS in a process of its own, with one queue."""

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3

from tests.bench.daemon import endpoint


@contextlib.contextmanager
def embedded_queue() -> Iterator[tuple[str, Any, str]]:
    """Its URL, a client, and the URL of the queue `bench`."""
    with endpoint("-m", "poller.testing", "--port", "0", "--with-parent") as url:
        sqs = boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        with contextlib.closing(sqs):
            yield url, sqs, sqs.create_queue(QueueName="bench")["QueueUrl"]
