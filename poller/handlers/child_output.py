"""What a child process prints, passed on line by line with the mapping's name."""

import asyncio
import logging
from typing import Final

from poller.telling import Teller

MOST_LINE: Final = 8_192
"""Bytes of one line of the log; what a child prints without a line break is cut there."""


class OutputLines(asyncio.Protocol):
    """The reading end of a pipe. `ended` is set when nobody can write to it any more."""

    def __init__(self, teller: Teller, pid: int) -> None:
        self._teller = teller
        self._pid = pid
        self._rest = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Whole lines are told at once; bytes that are not UTF-8 are replaced."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._tell(line)
        while len(rest) >= MOST_LINE:
            self._tell_one(rest[:MOST_LINE])
            rest = rest[MOST_LINE:]
        self._rest = rest

    def connection_lost(self, exc: Exception | None) -> None:
        """The last line may have no end: a crash often leaves one."""
        self._tell(self._rest)
        self._rest = b""
        self.ended.set()

    def _tell(self, line: bytes) -> None:
        for start in range(0, len(line), MOST_LINE):
            self._tell_one(line[start : start + MOST_LINE])

    def _tell_one(self, piece: bytes) -> None:
        text = piece.decode("utf-8", "replace").rstrip()
        if text:
            self._teller.tell(logging.INFO, "handler_output", text, pid=self._pid)
