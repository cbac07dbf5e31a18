"""The daemon's standard output and error, to which handlers print: what cannot be written there is dropped.

Else a `print` would raise in the handler, and batches would fail and end in dead-letter queues because whoever
watched (`poller run | head`, a closed terminal, a full disk behind a redirection) has gone away. What the encoding
does not have is escaped, for the same reason.
"""

import errno
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

LOST: Final = (errno.EPIPE, errno.EIO)
"""Whoever read it is gone, and does not come back."""

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""There may be room again later."""


class _Forgiving(io.FileIO):
    """A descriptor that takes everything."""

    told: Callable[[str], None] | None = None
    instead_of: object = None

    def write(self, data: object) -> int:
        """As FileIO, but for what the system does not take."""
        try:
            return super().write(data)  # type: ignore[arg-type]  # a buffer, which 3.11 has no name for
        except OSError as error:
            if error.errno not in (*LOST, *FULL):
                raise
            if error.errno in LOST:
                nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
            told, self.told = self.told, None
            if told is not None:
                told(error.strerror or type(error).__name__)
            return len(memoryview(data).cast("B"))  # type: ignore[arg-type]  # as above


@contextmanager
def forgiving() -> Iterator[None]:
    """In the block both streams take everything; what is no file of the process's own is left alone."""
    before = sys.stdout, sys.stderr
    sys.stdout = _forgiving(sys.stdout, _tell_lost)
    sys.stderr = _forgiving(sys.stderr, None)  # where the line would go that tells of it
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _forgiving(stream: TextIO, told: Callable[[str], None] | None) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(stream.buffer, io.BufferedWriter | io.FileIO):
        return stream
    stream.flush()
    raw = _Forgiving(stream.fileno(), "w", closefd=False)
    raw.told = told
    raw.instead_of = stream  # which may close the descriptor when it goes
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if isinstance(stream.buffer, io.BufferedWriter) else raw,
        encoding=stream.encoding,
        errors="backslashreplace",  # what the encoding does not have, half an emoji for one, is no failure either
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _tell_lost(why: str) -> None:
    text = f"what handlers print cannot be written any more and is dropped: {why}"
    logging.getLogger("poller").warning(text, extra={"action": "output_lost"})
