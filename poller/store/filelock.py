"""One process at a time: an advisory lock on a file that is made for it and stays.

It ends with the process, however that ends. The file holds the process's number, for the message to whoever comes
second; it is never removed, because two could then lock two files of one name.
"""

import fcntl
import os
import weakref
from contextlib import suppress
from pathlib import Path

_held: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


class Held(Exception):  # noqa: N818 - named for what has happened
    """Somebody has the lock; `pid` is who, where that is known."""

    def __init__(self, pid: str) -> None:
        super().__init__(pid)
        self.pid = pid


class FileLock:
    """Taken when it is made, raising Held or OSError; given back by `close`."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            self.close()
            raise Held(pid if pid.isdigit() else "") from None
        except OSError:
            self.close()
            raise
        with suppress(OSError):  # on a full disk it is only less telling
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        _held.add(self)

    def close(self) -> None:
        """Gives the lock back. May be called again."""
        _held.discard(self)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _forked() -> None:
    """A child that a handler forks would keep the lock after this process was killed: nobody could start again."""
    for lock in list(_held):
        lock.close()


os.register_at_fork(after_in_child=_forked)
