"""One run: everything that its seed decides, from the mappings to the last word.

    world = World(seed); simulate(world.live(), seed)

A storm, in which processes, AWS, store, functions and clocks misbehave; then calm weather, in which everything
must come to a good end within a bound. The same seed gives the same run, down to the hash of its trace.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from tests.sim.aws import Aws
from tests.sim.disturb import DISTURBANCES
from tests.sim.faults import Weather, any_weather
from tests.sim.invariants import Rules
from tests.sim.loop import simulate
from tests.sim.mappings import Sources
from tests.sim.process import Process, SimClock
from tests.sim.store import Rows
from tests.sim.verdict import end_well

STEPS = 14
LULLS = (0.0, 0.02, 0.5, 2.0, 2.0, 8.0)


class Broken(AssertionError):  # noqa: N818 - it names what was found
    """An invariant does not hold."""


class World:
    """`reached` counts what happened; `time` is seconds of the loop's clock."""

    def __init__(self, seed: int, steps: int = STEPS) -> None:
        self.seed, self.steps = seed, steps
        self.random = Random(seed)
        self.reached: Counter[str] = Counter()
        self.clock = SimClock()
        self.rules = Rules(self)
        self.rows = Rows()
        self.calm_since: float | None = None
        self.weather = any_weather(self.random)
        self.stores_failed = bool(self.weather.store)
        self.lasting = self.random.random() < 0.8
        self.poison = self.random.choice([0.0, 0.0, 0.1, 0.3])
        # attempts that nobody remembers never end
        self.deadly = self.random.choice([0.0, 0.0, 0.0, 0.1]) if self.lasting else 0.0
        self.memory = self.random.choice([1_500, 2_500_000, 256 * 1024 * 1024])
        self.shards_left = 3
        self.process: Process
        self.aws: Aws
        self.sources: Sources
        self.loop: Any
        self._lives = 0
        self._late: set[asyncio.TimerHandle] = set()
        self._hash = hashlib.blake2b(digest_size=12)
        self._events = 0
        self._strike_at: int | None = None
        self._struck = asyncio.Event()

    @property
    def time(self) -> float:
        return self.loop.time()

    @property
    def digest(self) -> str:
        """What tells this run from every other."""
        return self._hash.hexdigest()

    def trace(self, *words: object) -> None:
        """Something has happened."""
        self._hash.update(repr((round(self.time, 6), words)).encode())
        self._events += 1
        if self._events == self._strike_at:
            self.process.dead = True  # at this very instant: nothing that it does from here on has an effect
            self._struck.set()

    def die(self) -> None:
        """The process ends itself, by what one of its functions does."""
        self.process.dead = True
        self.reached["killed by a record"] += 1
        self._struck.set()

    def strike(self) -> None:
        """kill -9 in the middle of something: at one of the next events, whichever it is."""
        self._strike_at = self._events + self.random.randint(1, 40)

    async def pass_time(self, seconds: float) -> None:
        """Or until the process is struck."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._struck.wait()
        if self._struck.is_set():
            self._struck.clear()
            await DISTURBANCES["kill"][0](self)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Something happens to the store, whoever may be alive then."""
        self._late.add(self.loop.call_later(seconds, act))

    async def start(self) -> None:
        """A process begins, and knows what is in the store."""
        self._lives += 1
        self.process = Process(self, self._lives)
        await self.process.begin()

    async def live(self) -> "World":
        self.loop = asyncio.get_running_loop()
        self.aws = Aws(self.random)
        self.sources = Sources(self.random, self.aws)
        for _ in range(self.random.randint(0, 12)):
            self.put()
        for source in self.sources.all:
            for _ in range(self.random.randint(0, 15) if source.mapping.arn.fifo else 0):
                source.put(poison=self.poison)  # a crowd in each group
        await self.start()
        names = list(DISTURBANCES)
        weights = [weight for _, weight in DISTURBANCES.values()]
        for _ in range(self.steps):
            await self.pass_time(self.random.choice(LULLS))
            self.look()
            for _ in range(self.random.choice([0, 1, 1, 3])):
                self.put()
            if self.random.random() < 0.4:
                (name,) = self.random.choices(names, weights)
                self.trace("disturb", name)
                self.reached[name] += 1
                await DISTURBANCES[name][0](self)
                self.look()
        await end_well(self)
        for late in self._late:
            late.cancel()
        self.look()
        return self

    def look(self) -> None:
        """Raises what was found to be broken since the last look."""
        if self.rules.broken:
            raise Broken("; ".join(self.rules.broken[:3]))

    def put(self) -> None:
        self.random.choice(self.sources.all).put(poison=self.poison, deadly=self.deadly)

    def heal(self) -> None:
        """No more trouble; what is poison stays so where somebody gives it up in the end."""
        self.weather = Weather()
        self.rows.down = False
        self._strike_at = None
        for source in self.sources.all:
            if source.bounded:
                continue
            for rec in source.records:
                rec.poison = rec.deadly = False


def run(seed: int, steps: int = STEPS) -> World:
    """One whole run. Raises Broken, or whatever else went wrong, with a note of the seed."""
    world = World(seed, steps)
    try:
        return simulate(world.live(), seed)
    except BaseException as error:
        error.add_note(f"seed {seed}: make sim SEED={seed} STEPS={steps}")
        raise
