"""How a child process comes into the world, and in which words it is told that it cannot."""

import errno
import subprocess
from collections.abc import Sequence
from typing import Final

from poller.errors import ConfigurationError, HandlerError
from poller.handlers.child_pipes import Pipes

_NO_SUCH_PROGRAM: Final = {
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELOOP, errno.EISDIR
}  # fmt: skip


def spawn(command: Sequence[str], named: str, *, apart: bool) -> "tuple[subprocess.Popen[bytes], Pipes]":
    """Runs the command with its pipes tied to us; `apart` is as in Child.start.

    Raises ConfigurationError when there is no such program, HandlerError when the system has no room for it now;
    `named` is what the sentence calls it.
    """
    try:
        pipes = Pipes()
    except OSError as error:
        raise HandlerError(f"{named} cannot be started now: {error.strerror}") from error
    try:
        process = _popen(command, pipes, apart=apart)
    except (OSError, ValueError) as error:
        pipes.abandon()
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if isinstance(error, ValueError) or error.errno in _NO_SUCH_PROGRAM:
            raise ConfigurationError(f"{named}: {command[0]!r} cannot be started: {text}.") from error
        raise HandlerError(f"{named} cannot be started now: {text}") from error
    pipes.tie(process.pid)
    return process, pipes


def _popen(command: Sequence[str], pipes: Pipes, *, apart: bool) -> "subprocess.Popen[bytes]":
    """By spawning (vfork and exec), which is safe beside threads. Raises OSError, or ValueError for a command that
    no system takes.
    """
    if apart:
        ends = (pipes.unread, pipes.child_answers, pipes.child_lifeline)
        return subprocess.Popen(  # noqa: S603 - our own program
            [*command, *map(str, ends)],
            stdin=subprocess.DEVNULL,
            stdout=pipes.child_output,
            stderr=pipes.child_output,
            pass_fds=ends,
            start_new_session=True,
        )
    return subprocess.Popen(  # noqa: S603 - the user's own command, and no shell
        command,
        stdin=pipes.unread,
        stdout=pipes.child_answers,
        stderr=pipes.child_output,
        pass_fds=(pipes.child_lifeline,),
        start_new_session=True,
    )
