"""The rules of what a process may have in its hands: permits before polls, bytes, and what windows carry on.

- a receive asks only for what free slots can run
- who holds something does not read into a full budget
- the state of a tumbling window counts every record of it that was done, once
"""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from poller.core.model import JsonObject
from tests.sim.judge import Call, Judge
from tests.sim.sources import Source

if TYPE_CHECKING:
    from tests.sim.process import Process

MOMENT = 0.5  # seconds from the order of a read to its call, in which others may have taken what was free


class Sums:
    """One window of a shard: how many of its records were done, up to each sequence number."""

    def __init__(self) -> None:
        self._sequences: list[int] = []
        self._counts: list[int] = []

    def before(self, sequence: int) -> int:
        """What a batch that begins there is to be told."""
        place = bisect_left(self._sequences, sequence)
        return self._counts[place - 1] if place else 0

    @property
    def all(self) -> int:
        return self._counts[-1] if self._counts else 0

    @property
    def ever(self) -> set[int]:
        return {0, *self._counts}

    def again_from(self, sequence: int) -> None:
        """What is from there on is done again."""
        place = bisect_left(self._sequences, sequence)
        del self._sequences[place:], self._counts[place:]

    def reach(self, sequence: int, count: int) -> None:
        self._sequences.append(sequence)
        self._counts.append(count)


class Limits(Judge):
    """Told by SimHttp and by the rules of batches."""

    def permitted(self, process: "Process", source: Source, request: JsonObject) -> None:
        """SQS-2: what is asked for, with all that came and does not run yet, fits into the slots."""
        gauges: Any = process.coordinators[source.mapping.name].gauges()
        asking = self._asking[process, source]
        most = min(source.mapping.maximum_concurrency or 1_000, source.mapping.handler.concurrency)
        if source.mapping.arn.fifo:
            taken = len(asking) + gauges.in_flight_batches
            self.check(taken <= most, f"{taken} receives and batches, and there are {most} slots")
        else:
            taken = gauges.buffered + gauges.in_flight_messages + sum(asking)
            room = most * source.mapping.batch_size
            self.check(taken <= room, f"{taken} messages are asked for or in hand, and there is room for {room}")

    @contextmanager
    def asking(self, process: "Process", source: Source, request: JsonObject) -> Iterator[None]:
        """A receive is under way."""
        asking, asked = self._asking.setdefault((process, source), []), int(request["MaxNumberOfMessages"])
        asking.append(asked)
        try:
            yield
        finally:
            asking.remove(asked)

    def within_budget(self, process: "Process", source: Source, shard: str | None) -> None:
        """SQS-2, STR-27: `shard` is None for a queue."""
        since = process.budget.full_since
        if since is None or self._world.time - since < MOMENT:
            return
        self._world.reached["full budget"] += 1
        coordinator: Any = process.coordinators[source.mapping.name]
        if shard is None:
            since = coordinator.gauges().oldest_pending_since
            held = since is not None and self._world.time - since > MOMENT
            self.check(not held, f"{source.mapping.name} holds messages and receives into a full budget")
        elif (
            process.number == 1 and not source.changes
        ):  # else it may have to form a batch anew, whatever it takes
            held = coordinator._shards.gauges()[shard].buffered_bytes
            self.check(not held, f"{shard} holds {held} bytes and reads into a full budget")

    def window_begins(self, process: "Process", source: Source, call: Call, told: Any) -> None:
        """TMB-2, TMB-3: `told` is the WindowCall of the batch that begins."""
        shard = call.place and call.place[0]
        key = (source, shard, told.start)
        sums = self._sums.setdefault(key, Sums())
        count = told.state.get("count", 0)
        call.window, call.count = key, count
        # what a dead process had done and not written is not done again where it is trimmed or too old meanwhile,
        # or where what was interrupted counts as tried often enough
        stream = source.mapping.stream
        given_up = stream is not None and stream.retries is not None and process.number > 1
        gone = given_up or any(
            rec.trimmed or self.too_old(source.mapping, rec) for rec in source.by_shard.get(str(shard), ())
        )
        excused = gone and count in sums.ever
        if call.final:
            right = count == sums.all or excused
            self.check(right, f"the window of {shard} ends with {count}, and {sums.all} were done")
            return
        first = call.recs[0].sequence
        wanted = sums.before(first)
        right = count == wanted or excused
        self.check(right, f"{call.recs[0].name} begins with {count}, and {wanted} were done before it")
        sums.again_from(first)

    def window_ends(self, call: Call, done: int) -> None:
        """The function was heard: `done` records of the batch count from now on."""
        if call.window is not None and not call.final and done:
            self._sums[call.window].reach(call.recs[done - 1].sequence, call.count + done)
