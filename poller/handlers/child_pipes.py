"""The four pipes between us and a child process: requests, answers, what it prints, and the lifeline.

The lifeline is never written to. We hold its end, so it closes when we die, however we do.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import termios
from io import FileIO
from typing import Final

_CAN_KILL: Final = hasattr(fcntl, "F_SETSIG")
"""Whether the system lets us choose the signal that comes with the lifeline's end (Linux)."""


class Pipes:
    """Our ends, and those of the child until it has them.

    `unread` is the end from which the child reads: we hold it too, to see how much of a request it has taken.
    `answers` and `output` are to be lent to the event loop.
    """

    def __init__(self) -> None:
        """Raises OSError when there are no more descriptors."""
        with contextlib.ExitStack() as made:

            def pipe() -> tuple[int, int]:
                ends = os.pipe()
                for end in ends:
                    made.callback(os.close, end)
                return ends

            self.unread, self.requests = pipe()
            self.answers, self.child_answers = pipe()
            self.output, self.child_output = pipe()
            self.child_lifeline, self.lifeline = pipe()
            os.set_blocking(self.requests, False)
            self._not_lent = [self.answers, self.output]
            made.pop_all()

    def lend(self, end: int) -> FileIO:
        """For `connect_read_pipe` of the running event loop, which is the one to close it from now on, also when
        that fails or is cancelled. asyncio closes the object; uvloop the descriptor, and then the object, too: by
        then the number may be that of another thread's connection, so this object closes nothing there.
        """
        self._not_lent.remove(end)
        by_object = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
        return FileIO(end, closefd=by_object)

    def close_not_lent(self) -> None:
        """What no event loop was given."""
        while self._not_lent:
            os.close(self._not_lent.pop())

    def tie(self, pid: int) -> None:
        """Called once the child has its ends. The kernel kills it and its whole process group as soon as the
        lifeline closes: also a program that knows nothing of us, or is in the middle of something. Where the
        system cannot do that, the child has to see for itself that its input has ended.
        """
        if _CAN_KILL:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.child_lifeline, fcntl.F_SETOWN, -pid)
                fcntl.fcntl(self.child_lifeline, fcntl.F_SETSIG, signal.SIGKILL)
                flags = fcntl.fcntl(self.child_lifeline, fcntl.F_GETFL)
                fcntl.fcntl(self.child_lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
        for end in (self.child_answers, self.child_output, self.child_lifeline):
            os.close(end)

    def abandon(self) -> None:
        """Closes everything, for a child that never was."""
        self.close_not_lent()
        for end in (self.child_answers, self.child_output, self.child_lifeline):
            os.close(end)
        for end in (self.requests, self.unread, self.lifeline):
            os.close(end)


def waiting(end: int) -> int:
    """Bytes in a pipe that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(end, termios.FIONREAD, bytes(4)), sys.byteorder)
