"""Fixtures for every test that needs AWS on this machine; each server starts once a run, when first needed.

The fixtures named after servers are URLs; `sqs_client` makes boto3 clients for them. All workers share the
servers: a test gives what it makes a name that no other test has, and counts on nothing that others may change.
"""

import contextlib
import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.botocore_once import find_out_once
from tests.servers import clients, harness, keeper

# How many examples a property has, unless it says how many times as many; `make properties` tries more. On a
# machine that has others to serve, too, one may take any time.
_EXAMPLES = int(os.environ.get("POLLER_EXAMPLES", "50"))
settings.register_profile(
    "tests", max_examples=_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

# A shell that runs the suite in the background has it ignore Ctrl-C, and nohup the end of the terminal: what the
# tests start would inherit that, and they send both.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

_STARTED = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests live as long as the run: the cyclic collector looks at them neither now nor later. What
    comes after them, models of services and tables of characters, lives on for the most part, and to look at that
    again and again would be a tenth of what the tests cost.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """The first text ever takes hypothesis seconds, for a table of characters that it keeps on the disk: who only
    collects, as `make test` does first, makes it for the workers of later runs.
    """
    if session.config.option.collectonly:
        st.text().validate()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Under xdist: the keeper is the controller's, and each worker is told of it."""
    node.workerinput["keeper"] = _keeper(node.config)


def _keeper(config: pytest.Config) -> str:
    """The way to the keeper of this run, which starts when first asked for and ends with the run."""
    if hasattr(config, "workerinput"):
        return str(config.workerinput["keeper"])
    if _STARTED not in config.stash:
        stack = contextlib.ExitStack()
        config.stash[_STARTED] = stack.enter_context(keeper.kept())
        config.add_cleanup(stack.close)
    return config.stash[_STARTED]


def _url_of(server: harness.Server, config: pytest.Config, *, required: bool = True) -> str:
    try:
        return keeper.url_of(server, _keeper(config))
    except harness.ServerMissing as missing:
        _missing(missing, required=required)


def _missing(missing: harness.ServerMissing, *, required: bool) -> NoReturn:
    if required and os.environ.get("CI"):
        pytest.fail(f"SERVER MISSING, and in CI it must be there: {missing}")
    pytest.skip(f"SERVER MISSING, nothing was tested against it: {missing}")


@pytest.fixture(scope="session")
def aws_cli() -> list[str]:
    """The command line of tests/servers/aws_cli.py."""
    try:
        home = harness.install(harness.AWS_CLI)
    except harness.ServerMissing as missing:
        _missing(missing, required=True)
    return [part.format(home=home, here=harness.HERE) for part in harness.AWS_CLI.command]


@pytest.fixture(scope="session", autouse=True)
def _botocore_looks_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        find_out_once(patch.setattr)
        yield


@pytest.fixture(scope="session")
def embedded_aws(pytestconfig: pytest.Config) -> str:
    """The embedded AWS in a process of its own."""
    return _url_of(harness.EMBEDDED, pytestconfig)


@pytest.fixture(scope="session")
def ministack(pytestconfig: pytest.Config) -> str:
    return _url_of(harness.MINISTACK, pytestconfig)


@pytest.fixture(scope="session")
def moto_server(pytestconfig: pytest.Config) -> str:
    return _url_of(harness.MOTO, pytestconfig)


@pytest.fixture(scope="session")
def roto_server(pytestconfig: pytest.Config) -> str:
    return _url_of(harness.ROTO, pytestconfig)


@pytest.fixture(scope="session")
def kinesis_local(pytestconfig: pytest.Config) -> str:
    return _url_of(harness.KINESIS_LOCAL, pytestconfig)


@pytest.fixture(scope="session")
def kinesalite(pytestconfig: pytest.Config) -> str:
    return _url_of(harness.KINESALITE, pytestconfig)


@pytest.fixture(scope="session")
def dynamodb_local(pytestconfig: pytest.Config) -> str:
    """DynamoDB Local where there is a JDK. Its licence is not for everybody: it may be missing in CI, too."""
    return _url_of(harness.DYNAMODB_LOCAL, pytestconfig, required=False)


@pytest.fixture
def sqs_client() -> Iterator[Callable[..., Any]]:
    """`sqs_client(url)`: a boto3 client with dummy credentials, closed after the test."""
    made: list[Any] = []

    def make(url: str, **config: Any) -> Any:
        made.append(clients.sqs_client(url, **config))
        return made[-1]

    yield make
    for client in made:
        client.close()
