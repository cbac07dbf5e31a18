"""`python -m tests.planted.mutants [FILE...]`: mutation testing of poller/core, file by file.

FILE is the name of a file of the core, as `settle`; without any, those that decide most. Each mutant (what they
are is in cosmic_mutations.py) runs against the file's own tests first; what they let pass, against all unit tests
of the core that reach the file. Printed are the shares of each file and every mutant that survives; survivors.py
has those that were judged to be no other behaviour. Ends with 1 if another one survives. What was found is kept in
measured.txt, unless only a sample was tried; with --again what survived the last time is tried, and nothing else.
"""

import argparse
import difflib
import json
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.planted import measured as table
from tests.planted.bug import ROOT
from tests.planted.forks import Nest, Outcome, load_libraries
from tests.planted.reach import reaching
from tests.planted.survivors import JUDGED, LINES

CORE: Final = ROOT / "poller" / "core"
TESTS: Final = ROOT / "tests" / "unit" / "core"
HERE: Final = Path(__file__).parent
HOME: Final = ROOT / ".servers" / "cosmic-ray"
LEFT: Final = HOME / "survived"

DECIDING: Final = (
    *("settle", "stream_settle", "checkpoint", "response", "lanes", "batcher", "tumbling", "shards"),
    *("filter", "filter_leaf", "filter_match", "filter_operators", "filter_pattern", "filter_alternatives"),
)

ALSO: Final = {
    "batcher": ("test_lane_buffer.py", "test_replay.py"),
    "filter_leaf": ("test_filter.py",),
    "filter_match": ("test_filter.py",),
    "filter_operators": ("test_filter.py",),
    "filter_alternatives": ("test_filter.py", "test_filter_pattern.py"),
    "filter_pattern": ("test_filter.py",),
    "mapping": ("test_queue_rules.py", "test_stream_rules.py", "test_mapping_rules.py", "test_mapping_filters.py"),
    "mapping_conflicts": ("test_mapping.py",),
    "mapping_names": ("test_mapping.py", "test_mapping_targets.py"),
    "mapping_rules": ("test_mapping.py", "test_queue_rules.py", "test_stream_rules.py"),
    "mapping_schema": ("test_mapping.py", "test_mapping_rules.py"),
    "mapping_shapes": ("test_mapping.py", "test_mapping_rules.py", "test_mapping_targets.py"),
    "mapping_streams": ("test_mapping.py", "test_mapping_rules.py", "test_stream_rules.py"),
    "budget": ("test_queue_consumer_polling.py", "test_stream_consumer_reading.py"),
    "permits": ("test_queue_consumer_polling.py", "test_queue_consumer_ending.py"),
    "queue_batches": ("test_queue_consumer_invoking.py", "test_queue_consumer_fifo.py"),
    "releases": ("test_queue_consumer_ending.py", "test_queue_consumer_deleting.py"),
    "response": ("test_stream_response.py",),
    "stream_batches": (
        "test_stream_consumer_failing.py",
        "test_stream_consumer_expired.py",
        "test_stream_consumer_windows.py",
    ),
    "stream_forming": (
        "test_stream_consumer_saving.py",
        "test_stream_consumer_expired.py",
        "test_stream_consumer_windows.py",
    ),
    "stream_guards": ("test_stream_consumer_saving.py",),
    "stream_held": ("test_stream_consumer_saving.py", "test_stream_consumer_reading.py"),
    "stream_intake": ("test_stream_consumer_filtering.py", "test_stream_consumer_reading.py"),
    "wire_text": ("test_payload.py", "test_stream_payload.py"),
    "records": ("test_leases.py", "test_stream_reading.py", "test_stream_consumer_saving.py"),
    "model": ("test_queue_consumer_invoking.py", "test_response.py"),
    "stream_lane": ("test_stream_consumer_saving.py", "test_stream_consumer_failing.py"),
}
"""What tests a file beside its own test_<name>*.py."""

AT_IMPORT: Final = frozenset({"mapping_schema", "mapping_shapes"})
"""What others make of these while they are imported stays as it is, unless they are imported anew."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed line: `was` and `now` are without indentation, and as `named` calls them."""

    operator: str
    line: int
    source: str
    was: str
    now: str


@dataclass(slots=True)
class Count:
    """The mutants of one file."""

    file: str
    own: int = 0
    others: int = 0
    in_time: int = 0
    unusable: int = 0
    judged: int = 0
    survived: int = 0

    @property
    def killed(self) -> int:
        return self.own + self.others + self.in_time

    def told(self) -> str:
        all_of_them = self.killed + self.judged + self.survived
        share = 100 * self.killed / all_of_them if all_of_them else 100.0
        return (
            f"{self.file:22}{all_of_them:6}{self.own:7}{self.others:8}{self.in_time:6}{self.judged:8}"
            f"{self.survived:10}{share:8.1f} %{self.unusable:6}"
        )


_COLUMNS: Final = (
    ("own", 7),
    ("others", 8),
    ("time", 6),
    ("judged", 8),
    ("survived", 10),
    ("killed", 10),
    ("void", 6),
)
HEAD: Final = f"{'file':22}{'all':>6}" + "".join(f"{name:>{width}}" for name, width in _COLUMNS)


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.planted.mutants", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="of poller/core; those that decide most")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("--sample", type=int, metavar="N", help="no more than N of a file, drawn by its name")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    chosen = parser.parse_args(arguments)
    install()
    load_libraries()
    started = time.monotonic()
    names = [name.removesuffix(".py") for name in chosen.files or DECIDING]
    counts = [measured(name, chosen.jobs, chosen.sample, again=chosen.again) for name in names]
    total = Count("all")
    for count in counts:
        for field in ("own", "others", "in_time", "unusable", "judged", "survived"):
            setattr(total, field, getattr(total, field) + getattr(count, field))
    print("", HEAD, *(count.told() for count in counts), total.told(), sep="\n")
    print(f"\n{time.monotonic() - started:.0f} s; void: cannot be imported, and counted nowhere")
    print(f"not measured as they are now: {' '.join(table.outdated(table.read(), CORE)) or 'none'}")
    return 1 if total.survived else 0


def measured(name: str, jobs: int, sample: int | None, *, again: bool) -> Count:
    """The mutants of one file, or so many of them, tried. `again`: of a file that has not changed since those that
    survived; no test is taken away, so what was killed then is killed now.
    """
    path = CORE / f"{name}.py"
    blob = table.blob(path)
    own = tests_of(name)
    all_of_them = mutants(path)
    before, left = table.read().get(name), survived(name)
    left_over = [mutant for mutant in all_of_them if (mutant.was, mutant.now) in left]
    if again and before is not None and (before.blob, before.survived) == (blob, len(left_over)):
        all_of_them = left_over
    else:
        before = None
    sampled = sample is not None and sample < len(all_of_them)
    if sampled:
        all_of_them = Random(name).sample(all_of_them, sample)
    count = Count(name)
    suspects = []
    nest = Nest(f"poller.core.{name}", path, ROOT)
    warm = name not in AT_IMPORT
    for mutant, outcome in nest.tried([(one, one.source) for one in all_of_them], own, jobs, warm=warm):
        match outcome:
            case Outcome.KILLED:
                count.own += 1
            case Outcome.TIMED_OUT:
                count.in_time += 1
            case Outcome.UNUSABLE:
                count.unusable += 1
            case Outcome.SURVIVED:
                suspects.append(mutant)
    survivors = []
    unknown = [mutant for mutant in suspects if not judged(name, mutant)]
    count.judged = len(suspects) - len(unknown)
    others = [test for test in reaching(f"poller.core.{name}", TESTS) if test not in own]
    for mutant, outcome in nest.tried([(one, one.source) for one in unknown], others or own, jobs, warm=warm):
        if outcome is not Outcome.SURVIVED:
            count.others += 1
            print(f"only by others: {shown(name, mutant)}", flush=True)
        else:
            survivors.append(mutant)
            print(f"SURVIVED: {shown(name, mutant)}", flush=True)
    count.survived = len(survivors)
    print(count.told(), flush=True)
    if not sampled:
        LEFT.mkdir(exist_ok=True)
        kept = [(mutant.was, mutant.now) for mutant in survivors]
        (LEFT / f"{name}.json").write_text(json.dumps(kept), encoding="utf-8")
        shares = {file: share for file, share in table.read().items() if (CORE / f"{file}.py").exists()}
        killed, known = (before.killed, before.judged) if before is not None else (0, 0)
        share = table.Share(killed + count.killed, known + count.judged, count.survived, blob)
        table.write(shares | {name: share})
    return count


def survived(name: str) -> frozenset[tuple[str, str]]:
    """What each mutant that survived the last time was and became, as far as it is known here."""
    kept = LEFT / f"{name}.json"
    pairs = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    return frozenset((was, now) for was, now in pairs)


def judged(name: str, mutant: Mutant) -> bool:
    return (name, mutant.was, mutant.now) in JUDGED or (name, mutant.was) in LINES


def tests_of(name: str) -> tuple[str, ...]:
    """The tests that are a file's own."""
    found = set(TESTS.glob(f"test_{name}_*.py")) if name.endswith("consumer") else set()
    found |= {TESTS / f"test_{name}.py"} | {TESTS / other for other in ALSO.get(name, ())}
    return tuple(sorted(str(path) for path in found if path.exists())) or reaching(f"poller.core.{name}", TESTS)


def mutants(path: Path) -> list[Mutant]:
    """As cosmic_mutations.py makes them."""
    command = [str(HOME / "bin" / "python"), str(HERE / "cosmic_mutations.py"), str(path)]
    before = path.read_text(encoding="utf-8").splitlines()
    lines = [line.strip() for line in before]
    names = named(lines)
    made = []
    for row in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        told = json.loads(row)
        changes = list(difflib.ndiff(before, told["source"].splitlines()))
        was = " ".join(line[2:].strip() for line in changes if line.startswith("- "))
        now = " ".join(line[2:].strip() for line in changes if line.startswith("+ "))
        if lines.count(was) > 1:
            name = names[told["line"] - 1]
            was, now = name, name.removesuffix(was) + now
        made.append(Mutant(told["operator"], told["line"], told["source"], was, now))
    return made


def named(lines: Sequence[str]) -> list[str]:
    """What each line of a file, without indentation, is called in a judgement: what it says; where the file says
    it more than once, with the name of the function before it (`name | line`), and with a number from 1 where the
    function does (`name 2 | line`).
    """
    function, places = "", []
    for line in lines:
        if line.startswith("def "):
            function = line.removeprefix("def ").partition("(")[0]
        places.append((function, line))
    in_file, in_function = Counter(lines), Counter(places)
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for place in places:
        seen[place] += 1
        function, line = place
        number = f" {seen[place]}" if in_function[place] > 1 else ""
        names.append(line if in_file[line] == 1 else f"{function}{number} | {line}")
    return names


def shown(name: str, mutant: Mutant) -> str:
    return f"{name}.py:{mutant.line} {mutant.operator}\n    - {mutant.was}\n    + {mutant.now}"


def install() -> None:
    """An environment with Cosmic Ray and what its operators import, once."""
    pinned = HERE / "cosmic-ray.txt"
    stamp = HOME / "installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == pinned.read_text(encoding="utf-8"):
        return
    venv.create(HOME, clear=True, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(HOME / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(pinned)], check=True)
    stamp.write_text(pinned.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
