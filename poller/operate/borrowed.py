"""Messages taken from a queue for a while, and given back: by whoever looks at a queue or tries what is in it.

SQS shows a message to nobody without a receive: that hides it from the queue's consumers, and raises its receive
count for good. What is still held at the end is made visible at once; after a `kill -9` it comes back by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from tenacity import retry, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from poller.core.model import JsonObject, SourceProblem
from poller.errors import SourceError
from poller.ports import QueueSource

T = TypeVar("T")
Tell = Callable[[str], None]

WAIT: Final = 1
"""Seconds of a long poll. Even the shortest asks all of SQS's servers, so an empty answer means an empty queue."""

TEN: Final = 10  # the most that one call takes
_DEADLINE: Final = 10.0  # seconds of a receive, its wait included
_LONGEST: Final = 43_200  # seconds: SQS hides nothing for more than 12 hours
_PASSING: Final = frozenset({SourceProblem.THROTTLED, SourceProblem.SERVER, SourceProblem.UNREACHABLE})
_TRIES: Final = 4


class Borrowed:
    """What we hold of one queue. Each message is told once, however often the queue brings it."""

    def __init__(self, queue: QueueSource, visibility: int) -> None:
        """Messages are hidden from others for `visibility` seconds at first, for longer when that is too short."""
        self._queue = queue
        self.visibility = visibility
        self._receipts: dict[str, str] = {}
        self._seen: set[str] = set()

    async def take(self, maximum: int = TEN) -> list[JsonObject]:
        """At most ten messages in wire form that were not told before; none when there are no more.

        A receive under way is waited for even when this is cancelled: SQS may have handed out its messages.
        Known ones come back when their time is over, maybe before those that nobody has seen, so they are hidden
        for longer then: only a queue that shows nothing else for long has nothing else. Raises SourceError.
        """
        known = 0
        while wires := await undisturbed(self._receive(min(maximum, TEN))):
            fresh = {wire["MessageId"]: wire for wire in wires if wire["MessageId"] not in self._seen}
            self._seen.update(fresh)
            if fresh or known > 2 * len(self._seen):
                return list(fresh.values())
            if not known:
                self.visibility = min(2 * self.visibility, _LONGEST)
            known += len(wires)
        return []

    @retry(
        retry=retry_if_exception(lambda error: isinstance(error, SourceError) and error.problem in _PASSING),
        stop=stop_after_attempt(_TRIES),
        wait=wait_random_exponential(multiplier=0.2, max=3),
        reraise=True,
    )
    async def _receive(self, maximum: int) -> list[JsonObject]:
        wires, _ = await self._queue.receive(maximum, WAIT, self.visibility, _DEADLINE)
        usable = [wire for wire in wires if _usable(wire)]
        self._receipts |= {wire["MessageId"]: wire["ReceiptHandle"] for wire in usable}
        return usable

    def leave(self, identifier: str) -> None:
        """This one shall not be told, as if it had been already."""
        self._seen.add(identifier)

    async def hold(self, identifier: str, seconds: int) -> None:
        """Keeps a message for so many more seconds. Raises SourceError when that cannot be: it is ours no
        longer.
        """
        refused = await self._queue.change_visibility([self._receipts[identifier]], [seconds])
        if refused:
            raise lost(f"{refused[0].code}: {refused[0].message}")

    async def delete(self, identifiers: Sequence[str]) -> dict[str, str]:
        """Deletes at most ten of them with the newest receipts; what was refused, and why. Raises SourceError."""
        refused = await self._queue.delete([self._receipts[one] for one in identifiers])
        told = {identifiers[one.index]: f"{one.code}: {one.message}" for one in refused}
        for one in identifiers:
            if one not in told:
                del self._receipts[one]
        return told

    async def give_back(self) -> int:
        """Makes all that is held visible at once; the number of those that will come back by themselves only.

        Raises SourceError when that is not allowed.
        """
        held, late = list(self._receipts.values()), 0
        self._receipts.clear()
        for start in range(0, len(held), TEN):
            some = held[start : start + TEN]
            late += len(await self._queue.change_visibility(some, [0] * len(some)))
        return late


@asynccontextmanager
async def borrowing(queue: QueueSource, visibility: int, tell: Tell) -> AsyncIterator[Borrowed]:
    """Gives back, however the block ends. `tell` hears what could not be given back."""
    borrowed = Borrowed(queue, visibility)
    try:
        yield borrowed
    finally:
        await undisturbed(_end(borrowed, tell))


async def _end(borrowed: Borrowed, tell: Tell) -> None:
    try:
        late = await borrowed.give_back()
        why = "their receipts are too old"
    except SourceError as error:  # sqs:ChangeMessageVisibility: a mapping does without that permission (IAM-1)
        late, why = -1, str(error)
    if late:
        count = "Messages" if late < 0 else f"{late} message{'s' * (late != 1)}"
        tell(
            f"{count} could not be given back at once, and will be visible again within {borrowed.visibility} s:"
            f" {why}"
        )


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Awaits it to its end even when cancelled, and is cancelled then: each call in it has a deadline."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # has been looked at
        raise


def lost(why: str) -> SourceError:
    """The receipt of a message is no good any more."""
    return SourceError(SourceProblem.EXPIRED, f"it is out of our hands, and will be handled once more ({why})")


def _usable(wire: object) -> bool:
    """As for a mapping: what has no id or no receipt can neither be named nor given back."""
    named = ("MessageId", "ReceiptHandle")
    return isinstance(wire, dict) and all(isinstance(wire.get(key), str) and wire[key] for key in named)
