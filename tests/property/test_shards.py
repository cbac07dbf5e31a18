"""The shard graph under every order of resharding, trimming, looking, reading and dying."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from poller.core.records import Position, PositionKind
from tests.property.shard_world import STALE, Died, Stream, Worker

RANDOM = settings(max_examples=2 * settings.default.max_examples, stateful_step_count=40)
LAGS = st.sampled_from([0.0, 0.0, STALE / 2, STALE])
RARELY = st.sampled_from([False, False, False, True])
WRITES = st.sampled_from([-1, -1, -1, 1, 2, 3, 4, 5])  # dies after so many, if not -1


class Lineages(RuleBasedStateMachine):
    """What is asserted at each step stands in shard_world.py."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream(1, dynamodb=False)
        self.worker = Worker(self.stream, Position(PositionKind.TRIM_HORIZON))
        self.made_anew = False

    @initialize(
        count=st.integers(1, 3),
        dynamodb=st.booleans(),
        kind=st.sampled_from([PositionKind.TRIM_HORIZON, PositionKind.LATEST, PositionKind.AT_TIMESTAMP]),
        ago=st.sampled_from([-30.0, 0.0, 30.0]),
        data=st.data(),
    )
    def begin(self, count: int, dynamodb: bool, kind: PositionKind, ago: float, data: st.DataObject) -> None:
        """A stream with a past, which a mapping is then made for."""
        if kind is PositionKind.AT_TIMESTAMP:
            dynamodb = False  # it has none
        self.stream = Stream(count, dynamodb=dynamodb)
        began = self.stream.clock
        self.worker = Worker(self.stream, Position(PositionKind.TRIM_HORIZON))
        for step in data.draw(
            st.lists(st.sampled_from([self.write, self.split, self.roll, self.merge]), max_size=6)
        ):
            self.stream.clock += 8.0
            _any_arguments(step, data)
        if kind is PositionKind.AT_TIMESTAMP:
            start = Position(kind, timestamp=min(began + 30.0 + ago, self.stream.clock))
        else:
            start = Position(kind)
        self.worker = Worker(self.stream, start)

    @rule(count=st.integers(1, 6))
    def write(self, count: int) -> None:
        for shard in self.stream.open():
            for _ in range(count):
                self.stream.write(shard)

    @rule(which=st.integers(0, 9), child=LAGS, end=LAGS)
    def split(self, which: int, child: float, end: float) -> None:
        self._reshard(which, 1, 2, (child, end))

    @rule(which=st.integers(0, 9), child=LAGS, end=LAGS)
    def roll(self, which: int, child: float, end: float) -> None:
        self._reshard(which, 1, 1, (child, end))

    @rule(which=st.integers(0, 9))
    def merge(self, which: int) -> None:
        if not self.stream.dynamodb:
            self._reshard(which, 2, 1, (0.0, 0.0))

    @rule(seconds=st.sampled_from([0.3, 1.0, 7.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.stream.clock += seconds

    @rule(really=RARELY)
    def trim(self, really: bool) -> None:
        if really:
            self.stream.trim()

    @rule(full=st.booleans(), writes=WRITES)
    def look(self, full: bool, writes: int) -> None:
        with suppress(Died):
            self.worker.look(full=full or not self.stream.dynamodb or self.made_anew, writes=writes)
            self.made_anew = False

    @precondition(lambda self: self.worker.ready and not self.made_anew)
    @rule(which=st.integers(0, 9), limit=st.integers(1, 5), writes=WRITES)
    def read(self, which: int, limit: int, writes: int) -> None:
        if keys := self.worker.readable():
            with suppress(Died):
                self.worker.read(keys[which % len(keys)], limit, writes)

    @precondition(lambda self: self.worker.ready and not self.made_anew)
    @rule(rounds=st.integers(1, 3), limit=st.sampled_from([1, 3, 10]))
    def read_all(self, rounds: int, limit: int) -> None:
        for _ in range(rounds):
            for key in self.worker.readable():
                self.worker.read(key, limit)

    @precondition(lambda self: self.worker.ready and not self.made_anew)
    @rule(writes=WRITES)
    def clean(self, writes: int) -> None:
        """Three days go by."""
        self.stream.clock += 72 * 3600.0
        with suppress(Died):
            self.worker.clean(writes)

    @precondition(lambda self: not self.stream.dynamodb and self.worker.store)
    @rule(count=st.integers(1, 4), really=RARELY)
    def make_anew(self, count: int, really: bool) -> None:
        """Deleted and made again under its name: the iterators of the old one fail, so it is looked at first."""
        if really:
            self.stream.make_anew(count)
            self.made_anew = True

    def teardown(self) -> None:
        self.worker.finish()

    def _reshard(self, which: int, parents: int, children: int, lags: tuple[float, float]) -> None:
        shards = self.stream.open()
        if len(shards) >= parents:
            chosen = [shards[(which + number) % len(shards)] for number in range(parents)]
            self.stream.reshard(chosen, children, lags)


def _any_arguments(step: Callable[..., None], data: st.DataObject) -> None:
    arguments: dict[str, Any] = {}
    match step.__name__:
        case "write":
            arguments = {"count": data.draw(st.integers(1, 6))}
        case "merge":
            arguments = {"which": data.draw(st.integers(0, 9))}
        case "split" | "roll":
            arguments = {"which": data.draw(st.integers(0, 9)), "child": data.draw(LAGS), "end": data.draw(LAGS)}
    step(**arguments)


def test_every_owed_record_is_read_once_and_parents_before_children() -> None:
    """STR-1, STR-2, STR-3, STR-6, STR-7, STR-10, STR-11, STR-12, STR-13, STR-14, STR-28: a worker that may die
    after each write reads what its starting position owes, nothing twice, nothing from before it.
    """
    run_state_machine_as_test(Lineages, settings=RANDOM)


def test_a_merged_child_waits_for_a_parent_that_was_born_since_the_last_look() -> None:
    """STR-2, STR-3: what was never listed is not what was trimmed."""
    stream = Stream(3, dynamodb=False)
    worker = Worker(stream, Position(PositionKind.TRIM_HORIZON))
    worker.look()
    first, second, third = stream.open()
    stream.reshard([first, second], 1, (0.0, 0.0))
    [third, fourth] = stream.open()
    stream.reshard([fourth], 1, (0.0, 0.0))
    [third, fifth] = stream.open()
    stream.write(fifth)
    stream.reshard([third, fifth], 1, (0.0, 0.0))
    [sixth] = stream.open()
    stream.write(sixth)
    while sum(worker.read(key, 10) for key in worker.readable()):
        pass  # the sixth is begun when the third ends, and the fourth and fifth have no rows yet
    worker.finish()
