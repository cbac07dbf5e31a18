"""Clients and streams for the tests of the real process."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance import forked
from tests.acceptance import stream_daemon as streams


@pytest.fixture(scope="session", autouse=True)
def _parent_of_daemons() -> Iterator[None]:
    with forked.parent_at_hand():
        yield


@pytest.fixture
def aws_client() -> Iterator[Callable[[str, str], Any]]:
    """`aws_client(service, url)`: a boto3 client, closed after the test."""
    made: list[Any] = []

    def make(service: str, url: str) -> Any:
        made.append(streams.client(service, url))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def new_stream(aws_client: Callable[[str, str], Any]) -> Callable[..., streams.Stream]:
    """`new_stream(url, shards=1)`: a stream that no other test has."""

    def make(url: str, shards: int = 1) -> streams.Stream:
        return streams.Stream(aws_client("kinesis", url), f"s-{uuid.uuid4().hex[:12]}", shards)

    return make
