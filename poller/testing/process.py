"""The embedded AWS as a process of its own: `python -m poller.testing`, and how another program starts that."""

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence

from poller.errors import ListenError
from poller.eventloop import new_event_loop
from poller.testing.server import EmbeddedAws

_START_DEADLINE = 30.0
_STOP_DEADLINE = 10.0


def tell_url(url: str) -> None:
    """Prints the URL on one line."""
    print(url, flush=True)  # noqa: T201 - this is a command


def main(arguments: Sequence[str] | None = None, listening: Callable[[str], None] = tell_url) -> int:
    """Serves until SIGTERM or SIGINT; `listening` is called with its URL once it does. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m poller.testing", description="AWS on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    parser.add_argument(
        "--no-read-limits", action="store_true", help="give streams to readers as fast as they ask"
    )
    options = parser.parse_args(arguments)
    # A backlog of 100,000 messages is 100,000 objects that are no garbage: look through them less often.
    gc.set_threshold(50_000, 20, 100)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(options, listening))
    except ListenError as error:
        print(f"poller: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return error.exit_code
    return 0


async def _serve(options: argparse.Namespace, listening: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with EmbeddedAws(host=options.host, port=options.port) as aws:
        aws.kinesis.limits = not options.no_read_limits
        if options.with_parent:
            await loop.connect_read_pipe(lambda: _EndOfInput(stop), sys.stdin)
        listening(aws.url)
        await stop.wait()


class _EndOfInput(asyncio.Protocol):
    """The parent holds the other end: however it dies, this one comes to its end."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop.set()


@contextlib.asynccontextmanager
async def separate_process(port: int = 0, *, read_limits: bool = True) -> AsyncIterator[str]:
    """Runs the embedded AWS beside this process and yields its URL; it ends with the block, or with us.

    Without `read_limits` streams are read as fast as somebody asks, which no real one allows: for benchmarks.
    Raises errors.ListenError when it cannot listen there or does not come up.
    """
    limits = () if read_limits else ("--no-read-limits",)
    command = (sys.executable, "-m", "poller.testing", "--port", str(port), "--with-parent", *limits)
    pipe = asyncio.subprocess.PIPE
    # A session of its own: Ctrl-C is for us, who then stop it last.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_START_DEADLINE):
            url = (await process.stdout.readline()).decode().strip()
            if not url:
                last = (await process.stderr.read()).decode().strip().splitlines()[-1:]
                text = last[0].removeprefix("poller: ") if last else "the embedded AWS ended at once"
                raise ListenError(text)
        yield url
    except TimeoutError as error:
        raise ListenError("the embedded AWS did not start within 30 s") from error
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_DEADLINE):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
