"""The simulator as a program.

    python -m tests.sim.run --seed 7 [--steps 40]     one seed, twice: its trace must be the same
    python -m tests.sim.run --seeds 0-100000 [--jobs 2]
    python -m tests.sim.run                           from a seed of chance on, until stopped

Ends with throughput and a table of what was reached; with 1 when an invariant broke (the seed is then kept in
seeds.txt, which the tests run for ever), or when enough seeds did not reach all that is required.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from tests.sim.reached import ENOUGH, missing, table
from tests.sim.world import STEPS, run

KEPT = Path(__file__).parent / "seeds.txt"
TELL_EVERY = 1_000  # seeds


def kept() -> list[tuple[int, int]]:
    """The seeds that have failed once, with their steps."""
    lines = [line.partition("#")[0].split() for line in KEPT.read_text().splitlines()]
    return [(int(words[0]), int(words[1])) for words in lines if words]


def attempt(job: tuple[int, int]) -> tuple[int, Counter[str], str]:
    """One seed: what it reached, and what broke."""
    seed, steps = job
    try:
        return seed, run(seed, steps).reached, ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return seed, Counter(), f"{type(error).__name__}: {error}"


def results(jobs: Iterable[tuple[int, int]], processes: int) -> Iterator[tuple[int, Counter[str], str]]:
    if processes == 1:
        yield from map(attempt, jobs)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(attempt, jobs, chunksize=20)


def one(seed: int, steps: int) -> int:
    first, again = run(seed, steps), run(seed, steps)
    print(table(first.reached))
    print(f"seed {seed}, {steps} steps: {first.digest}, {first.time:.0f} s of virtual time")
    if first.digest != again.digest:
        print(f"and another trace when it ran again: {again.digest}")
        return 1
    return 0


def many(seeds: Iterable[int], steps: int, processes: int) -> int:
    reached: Counter[str] = Counter()
    done = broken = 0
    began = told_at = time.monotonic()
    with suppress(KeyboardInterrupt):
        for seed, met, problem in results(((seed, steps) for seed in seeds), processes):
            done += 1
            reached += met
            if problem:
                broken += 1
                print(f"seed {seed}: {problem}\n    make sim SEED={seed} STEPS={steps}", flush=True)
                with KEPT.open("a") as file:
                    file.write(f"{seed} {steps}  # {problem[:150]}\n")
            if done % TELL_EVERY == 0:
                now = time.monotonic()
                print(f"{done} seeds, {TELL_EVERY / (now - told_at):.0f} a second, {broken} broken", flush=True)
                told_at = now
    seconds = time.monotonic() - began
    print(table(reached))
    print(f"{done} seeds in {seconds:.0f} s, {done / max(seconds, 0.001):.0f} a second; {broken} broken")
    left = missing(reached) if done >= ENOUGH else []
    if left:
        print(f"never reached: {', '.join(left)}")
    return 1 if broken or left else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.run", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="this one, twice")
    parser.add_argument("--seeds", metavar="A-B", help="from A up to, and without, B")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the storm; %(default)s unless given")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return one(given.seed, given.steps)
    if given.seeds:
        first, _, last = given.seeds.partition("-")
        return many(range(int(first), int(last)), given.steps, given.jobs)
    return many(count(random.randrange(1_000_000_000)), given.steps, given.jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
