"""The machine of a shard in a small world with faults: what must hold at every step, for many seeds.

A failure names its seed; the same seed gives the same run. What is asserted stands in stream_world.py.
"""

from collections import Counter
from random import Random

import pytest

from poller.core.messages import Request
from poller.core.records import PositionKind
from tests.property.stream_world import World, any_mapping, faults_of

SEEDS = 400
CHUNK = 50

REACHED: Counter[str] = Counter()


def disturb(world: World, *, trims: bool) -> None:
    """Something that the outside may do at any moment."""
    random = world.random
    match random.randint(0, 11):
        case 0 | 1:
            world.crash(power=random.random() < 0.3)
        case 2:
            world.request(Request.PAUSE)
        case 3 | 4:
            world.request(Request.RESUME)
        case 5:
            world.request(random.choice([Request.STOP, Request.ABANDON]))
        case 6 if trims:
            world.trim(random.randint(1, 3))
        case 7:
            world.mono += random.choice([1.0, 70.0])
        case 8 if world.finished is not None:
            world.machine.release()
            world.start()
        case _:
            for _ in range(random.randint(0, 5)):
                world.put(f"k{random.randint(1, 5)}", poison=random.random() < 0.05)


def lived(seed: int, *, trims: bool = True, **fields: object) -> World:
    """A world after a life of trouble, which has come to its end."""
    random = Random(seed)
    world = World(random, any_mapping(random, **fields), faults_of(random))
    for _ in range(random.randint(5, 60)):
        world.put(f"k{random.randint(1, 5)}", poison=random.random() < 0.05)
    if random.random() < 0.3 and not fields:
        world.source.killers.add(random.choice(world.source.records)[0])
    for _ in range(random.randint(20, 150)):
        if random.random() < 0.06:
            disturb(world, trims=trims)
        world.step()
    world.heal()
    position = world.ends()
    if world.source.records and world.source.trimmed < len(world.source.records):
        assert position.kind is PositionKind.AFTER
        assert int(position.sequence) == world.source.records[-1][0]
    return world


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_record_is_lost_or_overtaken(first: int) -> None:
    """STR-1, STR-30, STR-40, STR-42, ERR-33, GEN-2: whatever fails, and whenever the process ends, each record is
    resolved, those of a key in order, and no saved position passes one that is not.
    """
    marks: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        try:
            world = lived(seed)
            marks += world.marks
            marks["killed"] += sum(world.kills.values())
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    # a run that did not meet these proved little
    wanted = {
        "success", "partial", "error", "timeout", "throttled", "invalid_response", "bisect", "crash",
        "power failure", "RetryAttemptsExhausted", "RecordAgeExceeded", "expired", "fetch failed", "trim",
        "killed",
    }  # fmt: skip
    assert wanted <= set(marks), f"never reached: {wanted - set(marks)}"


@pytest.mark.parametrize("first", range(1_000, 1_100, CHUNK))
def test_a_tumbling_window_counts_each_record_once(first: int) -> None:
    """TMB-1, TMB-3, TMB-8, TMB-12: state and position are one write, so that no restart counts a record twice or
    forgets one; only what was given up is missing.
    """
    for seed in range(first, first + CHUNK):
        world = lived(
            seed,
            trims=False,
            TumblingWindowInSeconds=30,
            ParallelizationFactor=1,
            MaximumRecordAgeInSeconds=-1,
            MaximumRetryAttempts=-1,
        )
        assert sum(world.finals.values()) == len(world.source.records), f"seed {seed}"
