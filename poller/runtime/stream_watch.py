"""Where what happens in the shards of a mapping is told: the place for telemetry, which counts and logs it.

The one here counts nothing; it only writes the lines without which nobody would know that a shard stands still.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from poller.core.cleanup import Lost
from poller.core.model import Instant
from poller.core.records import Shard
from poller.core.stream_messages import StreamCommand, StreamEvent
from poller.errors import PollerError
from poller.metrics_stats import MappingStats, RestartReason
from poller.telling import Teller, one_line

MOST_SHARDS: Final = 5  # named in one line

Tell: TypeAlias = Callable[[str, Any, Instant], None]
"""Called with the shard's id, the event or command, and the time."""


class StreamWatch:
    """Watches the shards of one mapping. A driver looks up each event (before its machine sees it) and each
    command (in order) in `words` and calls what it finds, from the event loop's thread; a word that is not there
    is nothing to tell. It calls `invoked` right before it feeds an Invoked.
    """

    def __init__(self, stats: MappingStats, logger: logging.Logger | None = None) -> None:
        self.words: Final[dict[type[StreamEvent | StreamCommand], Tell]] = {}
        self._stats = stats
        self._teller = Teller(stats.name, logger or logging.getLogger("poller"))

    def invoked(self, shard_id: str, seconds: float) -> None:
        """The function ran for `seconds`; the Settled that follows says with what outcome."""

    def shard_started(self, shard_id: str, now: Instant) -> None:
        """The shard is being read, for the first time or again."""

    def shard_stopped(self, shard_id: str, now: Instant) -> None:
        """The shard is not read any more, for whatever reason."""

    def shard_ended(self, shard_id: str, children: tuple[Shard, ...], now: Instant) -> None:
        """Every record of the shard is resolved, and its row says so (STR-2)."""
        del now
        names = ", ".join([child.id for child in children]) or "no other"
        text = f"shard {shard_id} has ended and is done; it is followed by {names}"
        self._teller.tell(logging.INFO, "shard_ended", text, shard=shard_id)

    def shard_crashed(self, shard_id: str, error: BaseException, seconds: float, now: Instant) -> None:
        """A shard's driver ended with an error of ours; it is started again in `seconds`."""
        del now
        self._stats.worker_restarts[RestartReason.CRASH] += 1
        what = one_line(f"{type(error).__name__}: {error}")
        text = f"the driver of shard {shard_id} ended: {what}; it is started again in {seconds:.1f} s"
        self._teller.tell(logging.ERROR, "shard_crashed", text, exc_info=error, shard=shard_id)

    def lease_lost(self, shard_id: str, now: Instant) -> None:
        """Somebody else has written the shard's row: nothing of it is delivered or written any more."""
        del now
        text = f"the row of shard {shard_id} was changed by somebody else; reading stops until the next discovery"
        self._teller.tell(logging.WARNING, "lease_lost", text, shard=shard_id)

    def shards_lost(self, lost: Sequence[Lost], now: Instant) -> None:
        """Shards are gone with what was not read of them, or are others under the same ids."""
        del now
        for remade in (True, False):
            some = [one.lease for one in lost if one.remade is remade]
            if not some:
                continue
            what = "belong to a stream that was deleted and made anew: they are read from their start"
            if not remade:
                what = "are not listed any more: what was not read of them is lost"
            named = ", ".join([f"{lease.key} (at {lease.checkpoint})" for lease in some[:MOST_SHARDS]])
            text = f"{len(some)} shards {what}: {named}{', ...' if len(some) > MOST_SHARDS else ''}"
            self._teller.tell(logging.ERROR, "shards_lost", text, shards=len(some), remade=remade)

    def shard_failed(self, shard_id: str, error: PollerError, now: Instant) -> None:
        """What has to be done about a shard (its row taken, its end written) cannot be done yet."""
        text = f"shard {shard_id}: {one_line(str(error))}; it is tried again"
        self._teller.failure("shard_failed", type(error).__name__, text, now, shard=shard_id)

    def discovery_failed(self, error: PollerError, now: Instant) -> None:
        """The shards could not be listed, or the rows not be brought up to date; it is tried again."""
        text = f"cannot look for new shards: {one_line(str(error))}"
        self._teller.failure("discovery_failed", type(error).__name__, text, now)

    def cut_off(self, count: int) -> None:
        """The stop deadline passed with so many records in the hands of handlers: they will be delivered again."""
        text = f"cut off at the stop deadline: {count} records that handlers still had are delivered again"
        self._teller.tell(logging.WARNING, "cut_off", text, events=count)
