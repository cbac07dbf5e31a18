"""What the contract suite of the targets needs to know of each: how it is set up, and what it can and cannot tell.

To add a target: write a class like PythonKit whose `serving` starts a handler behind which obedient.py's `obey` is
called with the event (for a server: in a thread, translated into the target's own kind of answer; `raise` is its
way to say "function error", `text` is sent as it is), and put an object of it into KITS. Where the target may say
that it has no room, have it do so for {"do": "throttle", "retry_after": seconds}. Everything that `serving` starts
ends with its block. Behaviours that only this target has belong into tests/unit.
"""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from poller.core.mapping import EventSourceMapping, HandlerSettings, SourceArn
from poller.core.model import SourceKind
from poller.handlers.targets import make_handler
from poller.ports import Handler, Invocation
from tests.contract.hook import serve_hook
from tests.contract.lambda_kits import EmulatorKit, LambdaKit

SPEAKER = Path(__file__).with_name("speaker.py")


class Kit(Protocol):
    """One target. `name` is the test's id; `throttles`: it can say that it has no room; `tells_errors`: type and
    message of the function's error are known; `takes_bytes`: a response that is not JSON is passed on, for the
    core to judge, instead of being a function error; `has_context`: `obey` gets a Lambda context.
    """

    name: str
    throttles: bool
    tells_errors: bool
    takes_bytes: bool
    has_context: bool

    def serving(
        self, folder: Path, *, timeout: float = 60.0, concurrency: int = 2
    ) -> AbstractAsyncContextManager[Handler]:
        """A handler that is started, and what stands behind it; it is closed with the block, if not before."""
        ...

    def unreachable(self, folder: Path) -> AbstractAsyncContextManager[Handler]:
        """A started handler whose target cannot be reached now."""
        ...

    def has_ended(self, mark: Path) -> bool:
        """Whether the call that hung, and whose process wrote `mark`, is over for its target."""
        ...


def make_mapping(function_name: str, timeout: float = 60.0, concurrency: int = 2) -> EventSourceMapping:
    """A mapping with this FunctionName."""
    return EventSourceMapping(
        uuid="0b7c1a52-0000-4000-8000-000000000001",
        name="orders",
        source=SourceKind.SQS,
        arn=SourceArn("arn:aws:sqs:eu-west-1:123456789012:orders", "aws", "eu-west-1", "123456789012", "orders"),
        function_name=function_name,
        function_arn="arn:aws:lambda:eu-west-1:123456789012:function:orders",
        handler=HandlerSettings(timeout=timeout, concurrency=concurrency),
    )


@contextlib.asynccontextmanager
async def started(mapping: EventSourceMapping) -> AsyncIterator[Handler]:
    """The mapping's handler for the length of a block."""
    handler = make_handler(mapping)
    await handler.start()
    try:
        yield handler
    finally:
        await handler.close()


class PythonKit:
    """`python:` with a coroutine function. (One that blocks cannot be ended, only abandoned: test_python.py.)"""

    name = "python"
    throttles = False
    tells_errors = True
    takes_bytes = True
    has_context = True

    def serving(
        self, folder: Path, *, timeout: float = 60.0, concurrency: int = 2
    ) -> AbstractAsyncContextManager[Handler]:
        return started(make_mapping("python:tests.contract.obedient_async:obey_async", timeout, concurrency))

    @contextlib.asynccontextmanager
    async def unreachable(self, folder: Path) -> AsyncIterator[Handler]:
        """Only threads can be lacking: a handler that is closed gives no more of them."""
        async with started(make_mapping("python:tests.contract.obedient:obey")) as handler:
            await handler.close()
            yield handler

    def has_ended(self, mark: Path) -> bool:
        return Path(f"{mark}.ended").exists()


class ProcessKit:
    """`process:`, with the function that blocks: it is ended with its worker."""

    name = "process"
    throttles = False
    tells_errors = True
    takes_bytes = True
    has_context = True

    def serving(
        self, folder: Path, *, timeout: float = 60.0, concurrency: int = 2
    ) -> AbstractAsyncContextManager[Handler]:
        return started(make_mapping("process:tests.contract.obedient:obey", timeout, concurrency))

    @contextlib.asynccontextmanager
    async def unreachable(self, folder: Path) -> AsyncIterator[Handler]:
        """The module is gone when a worker is needed."""
        module = folder / "gone_with_its_module.py"
        module.write_text("import os\ndef handler(event, context):\n    os._exit(0)\n")
        sys.path.insert(0, str(folder))
        try:
            handler = make_handler(make_mapping("process:gone_with_its_module:handler"))
        finally:
            sys.path.remove(str(folder))
        await handler.start()
        try:
            await handler.invoke(Invocation({}, "request-0", time.monotonic() + 60))
            module.unlink()
            yield handler
        finally:
            await handler.close()

    def has_ended(self, mark: Path) -> bool:
        return process_is_gone(mark)


class ExecKit:
    """`exec:`, with a program that is kept as long as it keeps to the protocol."""

    name = "exec"
    throttles = False
    tells_errors = True
    takes_bytes = False
    has_context = False

    def serving(
        self, folder: Path, *, timeout: float = 60.0, concurrency: int = 2
    ) -> AbstractAsyncContextManager[Handler]:
        command = shlex.join([sys.executable, str(SPEAKER)])
        return started(make_mapping(f"exec:{command}", timeout, concurrency))

    def unreachable(self, folder: Path) -> AbstractAsyncContextManager[Handler]:
        """A program that ends before it has read anything."""
        return started(make_mapping("exec:false"))

    def has_ended(self, mark: Path) -> bool:
        return process_is_gone(mark)


class HttpKit:
    """`http://…`; what a status says of an error is all that is known of it."""

    name = "http"
    throttles = True
    tells_errors = False
    takes_bytes = True
    has_context = True

    @contextlib.asynccontextmanager
    async def serving(
        self, folder: Path, *, timeout: float = 60.0, concurrency: int = 2
    ) -> AsyncIterator[Handler]:
        async with serve_hook() as url, started(make_mapping(url, timeout, concurrency)) as handler:
            yield handler

    @contextlib.asynccontextmanager
    async def unreachable(self, folder: Path) -> AsyncIterator[Handler]:
        async with serve_hook() as url:
            pass
        async with started(make_mapping(url)) as handler:
            yield handler

    def has_ended(self, mark: Path) -> bool:
        return Path(f"{mark}.ended").exists()


def process_is_gone(mark: Path) -> bool:
    """For targets whose calls run in processes that are killed."""
    try:
        os.kill(int(mark.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


KITS: tuple[Kit, ...] = (PythonKit(), ProcessKit(), ExecKit(), HttpKit(), LambdaKit(), EmulatorKit())
