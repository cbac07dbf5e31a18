"""The world of the simulation: virtual time, chance, faults, and the order of things.

Besides at facts it calls a machine at its own `deadline()` only, so a deadline that is missing shows as a world
that stands still.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Protocol

from poller.core.budget import ByteBudget
from poller.core.mapping import EventSourceMapping, HandlerSettings, PollerSettings, RetryDelay, SourceArn
from poller.core.messages import Event, Tick
from poller.core.model import SourceKind


class Ticked(Protocol):
    """What the world needs of a worker."""

    armed: float | None

    def feed(self, event: Event) -> None: ...


@dataclass
class Faults:
    """How likely what is, for each call; all of it is switched off at the end of a run."""

    receive: float = 0.0
    receive_lost: float = 0.0
    delete: float = 0.0
    delete_lost: float = 0.0
    change: float = 0.0
    describe: float = 0.0
    throttle: float = 0.0
    error: float = 0.0
    partial: float = 0.0
    nonsense: float = 0.0
    slow: float = 0.0  # handlers that outlive the visibility timeout


def any_mapping(random: Random) -> EventSourceMapping:
    fifo = random.random() < 0.5
    name = "q.fifo" if fifo else "q"
    window = 0 if fifo or random.random() < 0.6 else random.choice([1, 2, 5])
    return EventSourceMapping(
        uuid="u",
        name=name,
        source=SourceKind.SQS,
        arn=SourceArn(f"arn:aws:sqs:eu-west-1:1:{name}", "aws", "eu-west-1", "1", name),
        function_name="python:a:b",
        function_arn="a",
        batch_size=random.choice([1, 2, 3, 4, 7, 10] if window == 0 else [1, 4, 10, 25, 100]),
        window=float(window),
        report_batch_item_failures=random.random() < 0.6,
        maximum_concurrency=random.choice([None, 2, 3]),
        handler=HandlerSettings(timeout=5.0, concurrency=random.choice([1, 2, 3, 8])),
        poller=PollerSettings(
            heartbeat=random.random() < 0.3,
            retry_delay=RetryDelay(1.0, 4.0) if random.random() < 0.3 else None,
        ),
    )


class World:
    """Time, chance and the order of things."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.marks: Counter[str] = Counter()
        self.down = False
        self.faults = Faults()
        self.budget = ByteBudget(self.random.choice([20_000, 4_000_000, 256_000_000]))
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.workers: list[Ticked] = []

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), act))

    def chance(self, fault: str) -> bool:
        likely = getattr(self.faults, fault)
        return bool(likely) and self.random.random() < likely

    def latency(self) -> float:
        """Shorter than the margin that the machine keeps, so that leases can be checked against the queue's."""
        return self.random.uniform(0.001, 0.05)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Lets time pass; True as soon as `until` holds."""
        end = self.now + seconds
        steps = 0
        while not until():
            steps += 1
            assert steps < 200_000, "too many steps"
            due = [worker.armed for worker in self.workers if worker.armed is not None]
            tick = min(due, default=end)
            fact = self._agenda[0][0] if self._agenda else end
            if min(tick, fact) >= end:
                self.now = end
                return until()
            if fact <= tick:
                self.now, _, act = heapq.heappop(self._agenda)
                act()
            else:
                self.now = tick
                for worker in self.workers:
                    if worker.armed is not None and worker.armed <= tick:
                        worker.feed(Tick())
        return True
