"""`poller replay`: what was given up is done again.

For each failure document the records are fetched from the stream, or taken from the payload that S3 has; the
mapping's handler gets the event that it would get from the daemon, and what it answers is judged by the same
ladder (core/stream_settle.py). The document goes when all of its records are done, never before.
"""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from poller.clock import SystemClock
from poller.core.failed_batch import FailedBatch, read_failure
from poller.core.filter import make_filter
from poller.core.mapping import EventSourceMapping
from poller.core.model import JsonObject
from poller.core.records import Record
from poller.core.replay import (
    Unclaimed,
    batch_of,
    batches_of,
    choose_mapping,
    event_of,
    find_records,
    once,
    payload_records,
    shortened,
)
from poller.core.stream_settle import Ack, Rest, settle_stream
from poller.errors import PollerError, SourceError
from poller.operate.borrowed import undisturbed
from poller.operate.calling import Call, opened_handler, told
from poller.operate.failures import Document, FailurePlace
from poller.operate.fetch import fetch_range
from poller.sources import Sources

MARGIN: Final = 120  # seconds beyond the handler's timeout for which a document is ours: fetching takes its time
_MOST_HELD: Final = 43_200  # SQS: 12 hours
Fate = Literal["done", "partly done", "left", "would replay"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one document: records done and left of it, and why any are left; `taker` is the mapping that
    would have handled it if it had been asked for.
    """

    name: str
    fate: Fate
    mapping: str | None
    failed: FailedBatch | None
    done: int
    left: int
    detail: str = ""
    taker: str = ""

    def to_json(self) -> JsonObject:
        """A line of `--json`."""
        failed = self.failed
        return {
            "document": self.name,
            "fate": self.fate,
            "mapping": self.mapping,
            "shard": failed and failed.shard_id,
            "first": failed and failed.first,
            "last": failed and failed.last,
            "condition": failed and failed.condition,
            "done": self.done,
            "left": self.left,
            "detail": self.detail or None,
        }


def seconds_held(mapping: EventSourceMapping) -> int:
    """For how long a document's message is hidden from others while its records are handled."""
    return min(math.ceil(mapping.handler.timeout) + MARGIN, _MOST_HELD)


class Replay:
    """One run over one place. `mappings` are those that there are, `name` the one that is meant, if the user
    says.
    """

    def __init__(
        self,
        sources: Sources,
        mappings: Sequence[EventSourceMapping],
        stack: AsyncExitStack,
        *,
        name: str | None,
        dry: bool,
        keep: bool,
        whole: bool,
    ) -> None:
        """Handlers that it opens are closed with the stack. `whole`: see core/replay.py."""
        self._sources = sources
        self._mappings = mappings
        self._name = name
        self._stack = stack
        self._dry = dry
        self._keep = keep
        self._whole = whole
        self._random = Random()  # noqa: S311 - jitter, not a secret
        self._clock = SystemClock()
        self._calls: dict[str, Call] = {}

    async def run(self, place: FailurePlace) -> AsyncIterator[Replayed]:
        """What became of each document, one after the other. Raises PollerError when the place cannot be read, or
        a handler cannot be had.
        """
        async for document in place.documents():
            yield await self._document(document)

    async def _document(self, document: Document) -> Replayed:
        value = document.value
        failed = str(value) if isinstance(value, SourceError) else read_failure(value)
        if isinstance(failed, str):
            return Replayed(document.name, "left", None, None, 0, 0, failed)
        mapping = choose_mapping(self._mappings, failed, self._name)
        if isinstance(mapping, Unclaimed):
            return Replayed(document.name, "left", None, failed, 0, failed.count, mapping.why, taker=mapping.taker)
        try:
            records, problem = await self._records(failed, mapping)
        except PollerError as error:
            return Replayed(document.name, "left", mapping.name, failed, 0, failed.count, str(error))
        final = failed.event is not None and not failed.count
        if problem and not (self._whole and records):
            return Replayed(document.name, "left", mapping.name, failed, 0, failed.count, problem)
        if self._dry:
            return Replayed(document.name, "would replay", mapping.name, failed, 0, len(records), problem)
        if not records and not final:
            return Replayed(
                document.name, "left", mapping.name, failed, 0, failed.count, "there is no record in it"
            )
        return await self._handle(document, failed, mapping, records, problem)

    async def _records(self, failed: FailedBatch, mapping: EventSourceMapping) -> tuple[tuple[Record, ...], str]:
        """Those that are to be handled, and in which way they are not all of the document's."""
        if failed.event is not None:
            records = payload_records(failed)
            return ((), records) if isinstance(records, str) else (records, "")
        assert mapping.stream is not None, "streams only"
        if mapping.stream.tumbling_window or not failed.count:
            return (), (
                "it belongs to a tumbling window, and only the payload in a bucket has the window's state: the"
                " records alone would be another event"
            )
        read = await fetch_range(self._sources.stream(mapping), failed, mapping, self._random)
        wanted = make_filter(mapping.filters, mapping.source)

        def passes(record: Record) -> bool:
            return wanted.passes_record(record, mapping.arn, failed.shard_id)

        found = find_records(read, failed, mapping, passes, whole=self._whole)
        return found.records, found.problem

    async def _handle(
        self,
        document: Document,
        failed: FailedBatch,
        mapping: EventSourceMapping,
        records: tuple[Record, ...],
        problem: str,
    ) -> Replayed:
        call = await self._call(mapping)
        left, why = records, ""
        try:
            left, why = await self._invoked(document, failed, mapping, records, call)
            if why and left == records:
                fate: Fate = "left"
            else:
                fate = await undisturbed(self._settled(document, failed, left, complete=not problem))
        except PollerError as error:
            fate, why = "left", "; ".join(filter(None, (why, f"the document stays: {error}")))
        detail = "; ".join(filter(None, (why, problem)))
        return Replayed(document.name, fate, mapping.name, failed, len(records) - len(left), len(left), detail)

    async def _invoked(
        self,
        document: Document,
        failed: FailedBatch,
        mapping: EventSourceMapping,
        records: tuple[Record, ...],
        call: Call,
    ) -> tuple[tuple[Record, ...], str]:
        """The records that are left, and why; without a reason all went well, also for a window's end, which has
        no records. What a partial response leaves is tried once more by itself, as long as it gets shorter
        (PBR-22).
        """
        batches = batches_of(failed, mapping, records)
        for number, batch in enumerate(batches):
            rest = batch
            while True:
                await document.hold(seconds_held(mapping))
                called = await call(event_of(failed, mapping, rest))
                now = self._clock.now().wall
                verdict = settle_stream(batch_of(failed, rest), called.result, once(mapping), now, self._random)
                match verdict.dispositions:
                    case (Ack(),):
                        break
                    case (Ack(), Rest(remaining)):
                        rest = remaining
                    case _:
                        left = rest + tuple(record for later in batches[number + 1 :] for record in later)
                        return left, verdict.detail or told(called.result)
        return (), ""

    async def _settled(
        self,
        document: Document,
        failed: FailedBatch,
        left: tuple[Record, ...],
        *,
        complete: bool,
    ) -> Fate:
        """`complete`: the records were all that the document tells of. Of others it goes on telling."""
        if not complete:
            return "partly done"
        if not left:
            if not self._keep:
                await document.done()
            return "done"
        if not self._keep:
            await document.shorten(shortened(failed, left))
        return "partly done"

    async def _call(self, mapping: EventSourceMapping) -> Call:
        if mapping.uuid not in self._calls:
            opened = opened_handler(mapping, self._sources)
            self._calls[mapping.uuid] = await self._stack.enter_async_context(opened)
        return self._calls[mapping.uuid]
