"""The lives of the daemon under the soak: what each held in hand, from outside, and whether that grew."""

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

WARM_UP = 0.3  # of a life: caches fill, pools and workers come
NOISE_MIB = 4.0  # of memory, whatever else the figures say
NOISE_COUNT = 6.0  # of descriptors, threads and tasks: pools breathe


class Sample(NamedTuple):
    """One look at the process: seconds since its start, MiB, and how many it has of each."""

    at: float
    rss: float
    sockets: int
    files: int
    threads: int


@dataclass
class Life:
    """One life of the daemon, looked at while it lasts."""

    pid: int
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    end: str = ""
    hangups: int = 0
    buffered: list[tuple[float, float]] = field(default_factory=list)
    """By second, the messages and records in hand: memory follows them."""
    children: set[int] = field(default_factory=set)

    def look(self) -> None:
        """A sample, if it is still there."""
        proc = Path(f"/proc/{self.pid}")
        with contextlib.suppress(OSError, KeyError):
            lines = (line.split(":", 1) for line in (proc / "status").read_text().splitlines())
            status = {key: value.split()[0] for key, value in lines if value.strip()}
            kinds = [_target(entry) for entry in (proc / "fd").iterdir()]
            sockets = sum(kind.startswith("socket:") for kind in kinds)
            self.samples.append(
                Sample(
                    time.monotonic() - self.began,
                    int(status["VmRSS"]) / 1024,
                    sockets,
                    len(kinds) - sockets,
                    int(status["Threads"]),
                )
            )
            self.children |= _children(proc)

    @property
    def seconds(self) -> float:
        return self.samples[-1].at if self.samples else 0.0

    def warm(self) -> list[Sample]:
        """What was seen after the warm-up."""
        return [sample for sample in self.samples if sample.at >= WARM_UP * self.seconds]


class Trend(NamedTuple):
    """How a figure went in a life after its warm-up: its line's rise from end to end, and how far it strays."""

    first: float
    last: float
    rise: float
    noise: float

    @property
    def flat(self) -> bool:
        """Whether it rose no more than it strays anyway."""
        return self.rise <= self.noise


def trend(points: list[tuple[float, float]], least: float) -> Trend:
    """By (second, figure), a straight line through them; `least` is what counts as noise at any rate."""
    times, figures = zip(*points, strict=True)
    line = statistics.linear_regression(times, figures)
    strays = [figure - line.slope * at - line.intercept for at, figure in points]
    noise = max(least, 3 * statistics.pstdev(strays))
    return Trend(figures[0], figures[-1], line.slope * (times[-1] - times[0]), noise)


def trends(life: Life, tasks: list[int]) -> dict[str, Trend]:
    """Of memory, descriptors, threads and tasks; `tasks` were told by a handler, one a second."""
    warm = life.warm()
    of: dict[str, tuple[Callable[[Sample], float], float]] = {
        "RSS in MiB": (lambda one: one.rss, NOISE_MIB),
        "sockets": (lambda one: one.sockets, NOISE_COUNT),
        "files": (lambda one: one.files, NOISE_COUNT),
        "threads": (lambda one: one.threads, NOISE_COUNT),
    }
    found = {name: trend([(one.at, get(one)) for one in warm], least) for name, (get, least) in of.items()}
    late = tasks[int(len(tasks) * WARM_UP) :]
    if held := [(at, count) for at, count in life.buffered if at >= WARM_UP * life.seconds]:
        found["in hand"] = trend(held, float("inf"))  # told, not judged: what blocks a lane for a while piles up
    found["tasks"] = trend([(float(at), float(count)) for at, count in enumerate(late)], 3 * NOISE_COUNT)
    return found


def still_there(pids: set[int]) -> set[int]:
    """Those that have not ended (a zombie has)."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def _children(proc: Path) -> set[int]:
    return {int(pid) for task in (proc / "task").iterdir() for pid in (task / "children").read_text().split()}


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)  # noqa: PTH115 - the target is no path
    except OSError:
        return ""
