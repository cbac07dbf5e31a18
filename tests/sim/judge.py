"""What the rules of a run have in common: the calls that run, what is known of each lane, what may be passed."""

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from poller.core.leases import Lease
from poller.core.mapping import EventSourceMapping
from tests.sim.sources import Rec, Source

if TYPE_CHECKING:
    from tests.sim.process import Process
    from tests.sim.world import World


@dataclass(eq=False)
class Call:
    """A batch that is with the function. `place` is what may have one batch at a time: shard and lane."""

    source: Source
    recs: list[Rec]
    place: tuple[str, int] | None
    final: bool
    request_id: str = ""
    window: tuple[Source, str | None, int] | None = None
    count: int = 0
    """What the state of its window said when it began."""
    changes: int = 0
    """How often its settings had changed when it began: an attempt counts against those it was made under."""


@dataclass(eq=False)
class Place:
    """What is known of one lane of a shard in the present process: the batch that failed last, and a second half
    that has to come after the first.
    """

    failed: list[Rec] = field(default_factory=list)
    halve: bool = False
    second: list[Rec] = field(default_factory=list)
    free_since: float = 0.0
    given_up: float = -inf
    """When a record of `failed`, or one whose document had to be sent, was given up last."""


class Judge:
    """Collects what is broken, because the runtime mends what is raised in it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.broken: list[str] = []
        self.running: list[Call] = []
        self.kills = self.power_failures = self.cut_offs = 0
        self.lanes_changed = False
        self.removing: set[str] = set()
        """UUIDs of mappings that are being removed."""
        self._answers: dict[str, list[str]] = {}
        self._seen: dict[str, list[str]] = {}
        self._places: dict[tuple[Source, tuple[str, int] | None], Place] = {}
        self._receipts: dict[str, tuple[Rec, float]] = {}
        self._errors: Counter[tuple[Any, ...]] = Counter()
        self._ends_then: dict[tuple[Any, ...], tuple[int, int, int]] = {}
        self._asking: dict[tuple[Process, Source], list[int]] = {}
        self._sums: dict[tuple[Source, str | None, int], Any] = {}
        self._full_until: dict[Source, float] = {}
        self._documents: dict[str, list[Rec]] = {}
        self._announced: set[tuple[Process, Rec]] = set()
        self._late_rows: set[tuple[str, str]] = set()
        self.unreleased: list[Lease] = []
        """Rows that a mapping could not give back when it ended in a process that went on."""
        self._half_begun: set[tuple[Process, str, str]] = set()

    def check(self, condition: object, what: str) -> None:
        if not condition:
            self.broken.append(f"{self._world.time:.3f}: {what}")

    def may_be_passed(self, source: Source, rec: Rec) -> bool:
        """Resolved, or given up where nobody is told: without a destination nobody can see it from outside."""
        if not rec.owed or rec.passable:
            return True
        stream = source.mapping.stream
        return stream is not None and stream.destination is None and self.exhausted(source.mapping, rec)

    def exhausted(self, mapping: EventSourceMapping, rec: Rec) -> bool:
        stream = mapping.stream
        assert stream is not None
        if self.too_old(mapping, rec):
            return True
        tries = (rec.alone if stream.bisect else rec.begun) + rec.announced
        busy = any(rec in call.recs for call in self.running)
        return stream.retries is not None and tries - busy > stream.retries

    def too_old(self, mapping: EventSourceMapping, rec: Rec) -> bool:
        assert mapping.stream is not None
        limit = mapping.stream.maximum_age
        wall = self._world.aws.clock.now().wall + self._world.clock.furthest
        return limit is not None and wall - rec.at.wall >= limit - 1.0


def names_of(recs: list[Rec]) -> list[str]:
    return [rec.name for rec in recs]
