"""How messages leave a queue's machine: given back, left alone after a failure, or gone; and who is told of it.

Each ChangeVisibility begins here, as each delete does in deletes.py. That they leave, and why, is decided by those
who call; how long a failed message stays away is settle.py's question.
"""

from collections.abc import Sequence

from poller.core.held import Held
from poller.core.mapping import EventSourceMapping
from poller.core.messages import ChangeVisibility, Command, LetGo, ReleaseReason
from poller.core.model import Message
from poller.core.settle import retry_seconds

ENTRIES = 10  # SQS: entries of one batch call


class Releases:
    """Takes messages out of `held`. `under_way` is how many visibility changes have not been answered."""

    def __init__(self, mapping: EventSourceMapping, held: Held, commands: list[Command]) -> None:
        """`commands` is where the machine gathers its orders."""
        self._policy = mapping.poller.retry_delay
        self._heartbeat = mapping.poller.heartbeat
        self._held = held
        self._commands = commands
        self.under_way = 0

    def give_back(self, messages: tuple[Message, ...], reason: ReleaseReason) -> None:
        """Visible again at once, in the order in which they came: a group comes back as a whole."""
        current = self._held.newest(messages)
        self._change(current, (0,) * len(current), reason)
        self.forget(current)

    def let_go(self, failed: tuple[Message, ...], *, ran: bool) -> None:
        """SQS-21: failed messages are left alone, or, with Poller.RetryDelay, told when to come back.

        Those that never ran are left alone (SQS-23): they had their wait, and the target may have asked for more.
        """
        if self._policy is not None and ran:
            current = self._held.newest(failed)
            self._change(current, retry_seconds(current, self._policy), ReleaseReason.FAILED)
        self.forget(failed)

    def forget(self, messages: Sequence[Message]) -> None:
        """They are no longer ours, and their receipts need not be kept alive."""
        self._held.forget(messages)
        if self._heartbeat and messages:
            self._commands.append(LetGo(tuple([message.id for message in messages])))

    def _change(self, messages: tuple[Message, ...], seconds: tuple[int, ...], reason: ReleaseReason) -> None:
        for start in range(0, len(messages), ENTRIES):
            part = slice(start, start + ENTRIES)
            self.under_way += 1
            self._commands.append(ChangeVisibility(messages[part], seconds[part], reason))
