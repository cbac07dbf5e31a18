"""The very end of the daemon's process, when nothing is left to do: it is waited for, but not for ever.

A thread that a handler has left behind (`asyncio.to_thread`, a pool of its own), or an exporter of traces that
cannot reach its collector, would keep the process until whoever stops it kills it; then a clean stop looks like a
failure.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from poller.errors import PollerError

EXIT_WITHIN: Final = 10.0
"""Seconds for what libraries do at the end of the interpreter, such as flushing; notify.STOP_MARGIN has room."""

T = TypeVar("T")
_log = logging.getLogger("poller")


async def ending_soon(work: Coroutine[Any, Any, T], within: float = EXIT_WITHIN) -> T:
    """The work itself. When it is over the process ends within so many seconds, with the exit code that its
    outcome means, whatever then stands in the way: event loop, threads, atexit.
    """
    failure: BaseException | None = None
    try:
        return await work
    except BaseException as error:
        failure = error
        raise
    finally:
        threading.Thread(target=_end, args=(within, failure), name="esm-ending", daemon=True).start()


def _end(within: float, failure: BaseException | None) -> None:
    time.sleep(within)  # a daemon thread: a process that ends by itself does not wait for it
    try:
        ours = (threading.main_thread(), threading.current_thread())
        names = sorted({thread.name for thread in threading.enumerate() if thread not in ours})
        text = f"the process has not ended by itself in {within:g} s and is ended now; threads: {', '.join(names)}"
        _log.warning(text, exc_info=failure, extra={"action": "exit_forced", "threads": names})
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(_exit_code(failure))


def _exit_code(failure: BaseException | None) -> int:
    if failure is None:
        return 0
    return failure.exit_code if isinstance(failure, PollerError) else 1
