"""Where failure documents are read from, and what becomes of each: a queue, a bucket, a file.

A document goes away only when its records are done; what is left of it stays, or takes its place.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final, Protocol

from poller.core.model import JsonObject, SourceProblem
from poller.core.payload import serialise
from poller.errors import SourceError
from poller.operate.borrowed import Borrowed, lost
from poller.ports import FailureBucket, SendingQueue

_GONE: Final = "NoSuchKey"  # whoever removed it meanwhile has replayed it
_OF_THE_OBJECT: Final = frozenset({SourceProblem.DENIED, SourceProblem.REFUSED})  # another key, an archive


class Document(Protocol):
    """One document in its place. Every method raises errors.SourceError."""

    name: str
    value: object
    """What stands there; the SourceError if it alone cannot be read."""

    async def hold(self, seconds: int) -> None:
        """Nobody else shall work on it for so long."""
        ...

    async def done(self) -> None:
        """All of its records are done: it goes away."""
        ...

    async def shorten(self, document: JsonObject) -> bool:
        """Some are done: this one of the others takes its place. False where it stays as it is."""
        ...


class FailurePlace(Protocol):
    """A place of documents."""

    total: int | None
    """How many there are, roughly, where somebody knows."""

    def documents(self) -> AsyncIterator[Document]:
        """Each of them once; one that is not done stays and is not told again."""
        ...


class QueuePlace:
    """The queue of an on-failure destination, or one that a topic delivers to."""

    def __init__(self, queue: SendingQueue, borrowed: Borrowed, total: int) -> None:
        self.total: int | None = total
        self._queue = queue
        self._borrowed = borrowed

    async def documents(self) -> AsyncIterator[Document]:
        """One at a time: what is not in hand shall not be hidden from others."""
        while wires := await self._borrowed.take(1):
            for wire in wires:
                yield _Queued(self._queue, self._borrowed, wire)


class _Queued:
    def __init__(self, queue: SendingQueue, borrowed: Borrowed, wire: JsonObject) -> None:
        self.name = str(wire["MessageId"])
        self.value: object = wire.get("Body")
        self._queue = queue
        self._borrowed = borrowed

    async def hold(self, seconds: int) -> None:
        await self._borrowed.hold(self.name, seconds)

    async def done(self) -> None:
        refused = await self._borrowed.delete([self.name])
        if refused:
            raise lost(refused[self.name])

    async def shorten(self, document: JsonObject) -> bool:
        """The new one first: whatever happens in between, what is left is told of."""
        self._borrowed.leave(await self._queue.send({"MessageBody": serialise(document).decode()}))
        await self.done()
        return True


class BucketPlace:
    """The bucket of an on-failure destination (DST-11)."""

    total: int | None = None

    def __init__(self, bucket: FailureBucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    async def documents(self) -> AsyncIterator[Document]:
        """In the order of keys, which in a shard is that of time."""
        after = ""
        while keys := await self._bucket.keys(self._prefix, after):
            for key in keys:
                try:
                    body: object = await self._bucket.get(key)
                except SourceError as error:
                    if error.code == _GONE:
                        continue
                    if error.problem not in _OF_THE_OBJECT:
                        raise
                    body = error
                yield _Stored(self._bucket, key, body)
            after = keys[-1]


class _Stored:
    def __init__(self, bucket: FailureBucket, key: str, body: object) -> None:
        self.name = key
        self.value = body
        self._bucket = bucket

    async def hold(self, seconds: int) -> None:
        """An object cannot be hidden."""

    async def done(self) -> None:
        await self._bucket.delete(self.name)

    async def shorten(self, document: JsonObject) -> bool:
        """In the same place, in one step."""
        await self._bucket.put(self.name, serialise(document))
        return True


class FilePlace:
    """A file, which stays as it is."""

    def __init__(self, name: str, values: Iterable[object]) -> None:
        self._all = [_Written(f"{name}#{number}", value) for number, value in enumerate(values, start=1)]
        self.total: int | None = len(self._all)

    async def documents(self) -> AsyncIterator[Document]:
        """As they stand in it."""
        for one in self._all:
            yield one


class _Written:
    def __init__(self, name: str, value: object) -> None:
        self.name = name
        self.value = value

    async def hold(self, seconds: int) -> None:
        """Nobody else has it."""

    async def done(self) -> None:
        """Whoever has the file knows what is done from what was told."""

    async def shorten(self, document: JsonObject) -> bool:
        return False
