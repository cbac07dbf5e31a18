"""What a child process is asked: sent into its pipe, and how much of it the process has taken out again."""

import asyncio
import os
from typing import Final

from poller.handlers.child_pipes import waiting

END: Final = len(b"}\n")
"""Bytes without which no request is complete, be it read as a line or as JSON."""


class Requests:
    """The pipe of the requests. Both of its ends are ours to close; the process has the reading one too."""

    def __init__(self, requests: int, reading: int) -> None:
        self._end = requests
        self._reading = reading
        self._open = [requests, reading]
        self._loop = asyncio.get_running_loop()
        self._unsent = memoryview(b"")
        self._asked = self._written = 0  # bytes of all requests, and those of them that the pipe took
        self._read_in_all = 0  # at the end

    @property
    def taken(self) -> bool:
        """Whether the process has read all that was sent so far."""
        return not self._unsent and self._read() == self._written

    @property
    def unread(self) -> bool:
        """Whether it has not read the last request to its end. The line break need not be read by a program that
        sees the end of a JSON object.
        """
        return self._read() < self._asked - 1

    def begin(self, size: int) -> None:
        """A request of so many bytes will be sent, in one piece or several."""
        self._asked += size
        self._unsent = memoryview(b"")

    def send(self, data: bytes) -> None:
        """A piece of it, when the one before is gone. Nothing is sent to a process that has ended."""
        self._unsent = memoryview(data)
        self._write()

    def close(self) -> None:
        """The process finds the end of its input behind what it has not read yet.

        Called again it goes on: a second Ctrl-C is an exception between any two steps. What is about to be closed
        is forgotten first, because the number of what is closed may be another's already.
        """
        if self._end >= 0:
            self._read_in_all = self._read()
            self._loop.remove_writer(self._end)
            self._end = -1
        while self._open:
            os.close(self._open.pop(0))

    def _write(self) -> None:
        """As much as the pipe takes now, the rest when it has room again."""
        if self._end < 0:
            return
        try:
            while self._unsent:
                count = os.write(self._end, self._unsent)
                self._written += count
                self._unsent = self._unsent[count:]
        except BlockingIOError:
            self._loop.add_writer(self._end, self._write)
        else:
            self._loop.remove_writer(self._end)

    def _read(self) -> int:
        """Bytes of all requests that the process took out of the pipe."""
        return self._read_in_all if self._end < 0 else self._written - waiting(self._reading)
