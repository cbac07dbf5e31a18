"""Ctrl-C while a command is not at work yet, or only reads and prints: a line and an exit code, at any moment.

Python's own answer is an exception wherever it happens to be. In the middle of an import that is a traceback for
the user, or it is lost in a place that takes no exceptions. Few imports: this is in force before all the others.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

EXIT_CODE: Final = 130
"""What shells say of a program that Ctrl-C has ended."""

TEXT: Final = "poller: interrupted"


def end_at_once() -> None:
    """From now on Ctrl-C ends the process where it stands; where it is ignored (nohup, a shell's `&`) it stays."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def raised() -> Iterator[None]:
    """In the block Ctrl-C is KeyboardInterrupt, for work that has something to clean up. What the block itself
    sets stays; only the main thread may enter it.
    """
    ours = signal.getsignal(signal.SIGINT) is _end
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    try:
        os.write(2, f"{TEXT}\n".encode())
    finally:
        os._exit(EXIT_CODE)  # not sys.exit: whatever runs may catch that, as it may KeyboardInterrupt
