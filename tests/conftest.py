"""Fixtures for every test that needs AWS on this machine; each server starts once a session (and xdist worker).

The fixtures named after servers are URLs; `sqs_client` makes boto3 clients for them.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import harness


def _url_of(server: harness.Server) -> Iterator[str]:
    try:
        harness.install(server)
    except harness.ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"SERVER MISSING, and in CI it must be there: {missing}")
        pytest.skip(f"SERVER MISSING, nothing was tested against it: {missing}")
    with harness.running(server) as url:
        yield url


@pytest.fixture(scope="session")
def embedded_aws() -> Iterator[str]:
    """The embedded AWS in a process of its own."""
    yield from _url_of(harness.EMBEDDED)


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    yield from _url_of(harness.MINISTACK)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    yield from _url_of(harness.MOTO)


@pytest.fixture(scope="session")
def roto_server() -> Iterator[str]:
    yield from _url_of(harness.ROTO)


@pytest.fixture(scope="session")
def kinesis_local() -> Iterator[str]:
    yield from _url_of(harness.KINESIS_LOCAL)


@pytest.fixture(scope="session")
def kinesalite() -> Iterator[str]:
    yield from _url_of(harness.KINESALITE)


@pytest.fixture
def sqs_client() -> Iterator[Callable[..., Any]]:
    """`sqs_client(url)`: a boto3 client with dummy credentials, closed after the test."""
    made: list[Any] = []

    def make(url: str, **config: Any) -> Any:
        made.append(harness.sqs_client(url, **config))
        return made[-1]

    yield make
    for client in made:
        client.close()
