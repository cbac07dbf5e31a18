"""The soak: `make soak [SECONDS=600]`. The real daemon and four kinds of sources under faults, kills, reloads.

For six tenths of the time it is killed (kill -9) and started again, then one life lasts to the end; all the while
somebody writes, and faults hit what it asks of AWS and of its HTTP target. Then the faults end, and the rest is
drained. Every record must be accounted for, keys in order, memory and descriptors flat: else the exit code is 1.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance import daemon, forked
from tests.acceptance import stream_daemon as streams
from tests.faults import rules, soak_report
from tests.faults.proxy import Proxy, in_front_of
from tests.faults.rules import mix
from tests.faults.soak_account import accounts, bugs
from tests.faults.soak_feed import Feeder
from tests.faults.soak_lives import Life, still_there, trends
from tests.faults.soak_world import HANDLERS, World, hook, make_world
from tests.servers import harness, keeper

KILLS_A_MINUTE = 3.4
WANTED_KILLS, WANTED_FAULTS = 3.0, 1000.0  # a minute, at least
RESTLESS = 0.6  # of the time: lives that end with kill -9
HANGUP_EVERY = 12.0  # seconds between two SIGHUPs, on average
LOOK_EVERY = 0.5
CALM = 16.0  # seconds from the end of the faults to SIGTERM: longer than any call may last that met a black hole
DRAIN_DEADLINE = 600.0
STANDSTILL = 90.0  # seconds: whatever is left comes back after its visibility timeout, a few seconds
BROKEN = (
    *(rules.Reset(), rules.Reset(after=True), rules.HangUp(), rules.Truncated(), rules.Garbage()),
    *(rules.Broken(500), rules.Broken(503), rules.Throttle(), rules.Delay(0.3), rules.Slow(5, 0.05)),
)
FAULTS = (
    # so often that some documents fail in all their tries, and are told in the log instead (DST-30)
    *mix(0.7, (rules.Throttle(), rules.Broken(503)), "sqs.SendMessage"),
    *mix(0.4, (*BROKEN, rules.Mangled(), rules.Expired())),
    *mix(0.01, (rules.BlackHole(), rules.BlackHole(after=True), rules.Delay(15.0))),
)
TARGET_FAULTS = (*mix(0.3, BROKEN), *mix(0.01, (rules.BlackHole(), rules.BlackHole(after=True))))


@dataclass
class Soak:
    """The run: what it works on, and what it has seen."""

    world: World
    environment: dict[str, str]
    hook: str
    chance: random.Random
    lives: list[Life] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(life.end == "kill -9" for life in self.lives)

    def live(self, seconds: float, end: str, told: Callable[[], None]) -> None:
        """One life of the daemon: for so long, with reloads, then `kill -9` or SIGTERM."""
        with daemon.running(self.world.folder, self.environment) as running:
            life = Life(running.process.pid)
            self.lives.append(life)
            until = time.monotonic() + seconds
            hangup = time.monotonic() + self.chance.expovariate(1 / HANGUP_EVERY)
            while (now := time.monotonic()) < until:
                time.sleep(min(LOOK_EVERY, until - now))
                if running.process.poll() is not None:
                    life.end = f"ended by itself with {running.process.returncode}"
                    self.problems.append(f"the daemon {life.end}:\n{running.output()[-3000:]}")
                    return
                life.look()
                told()
                if end == "SIGTERM" and len(life.samples) % 10 == 0:
                    life.buffered.append((life.seconds, running.metric("esm_buffered_events")))
                if now > hangup and "/metrics" in running.output()[:4000]:  # until then SIGHUP would end it
                    hangup = now + self.chance.expovariate(1 / HANGUP_EVERY)
                    life.hangups += 1
                    self.world.configure(self.hook, self.chance.randrange(1000))
                    running.signal(signal.SIGHUP)
            life.end = end
            if end == "SIGTERM":
                self.stop(running)
            else:
                os.kill(running.process.pid, signal.SIGKILL)  # it alone: what it has started must see to itself
                running.wait()
            with contextlib.suppress(AssertionError):
                daemon.wait_for(lambda: not still_there(life.children), "the end of its children")
            if left := still_there(life.children):
                self.problems.append(f"{len(left)} processes live on after {end}")

    def stop(self, running: daemon.Daemon) -> None:
        running.signal(signal.SIGTERM)
        if (code := running.wait()) != 0:
            self.problems.append(f"exit code {code} after SIGTERM:\n{running.output()[-3000:]}")

    def drain(self, healthy: dict[str, set[int]]) -> None:
        """Everything that can succeed does; then the queues give up the rest; then nothing is left anywhere."""
        (self.world.folder / "calm").touch()
        self.world.configure(self.hook)

        def missing() -> int:
            return sum(
                len(numbers - {int(line.split()[1]) for line in self.world.notes(name)})
                for name, numbers in healthy.items()
            )

        with daemon.running(self.world.folder, self.environment) as running:
            least, patience = missing(), time.monotonic() + STANDSTILL
            while least and time.monotonic() < patience:
                time.sleep(LOOK_EVERY)
                if (now := missing()) < least:
                    least, patience = now, time.monotonic() + STANDSTILL
            if least:
                self.problems.append(f"{least} messages were not handled, and nothing moved for {STANDSTILL:g} s")
            self.stop(running)
        self.world.give_up_quickly()
        with daemon.running(self.world.folder, self.environment, "--drain") as running:
            if (code := running.wait(DRAIN_DEADLINE)) != 0:
                self.problems.append(f"exit code {code} of the drain:\n{running.output()[-3000:]}")
        for name, queue in self.world.queues.items():
            if not daemon.empty(self.world.sqs, queue["url"]):
                self.problems.append(f"the queue of {name} is not empty")


def log_of(folder: Path) -> list[dict[str, Any]]:
    """All lines of all lives, but those that a kill has cut; what the interpreter itself said is an error, too."""
    lines = []
    for line in (folder / "daemon.log").read_text(errors="replace").splitlines():
        if line.startswith(("Traceback", "Exception ignored", "Fatal", "Task ")):
            lines.append({"level": "error", "event": line})
        with contextlib.suppress(ValueError, TypeError):
            lines.append(dict(json.loads(line)))
    return lines


def run(seconds: float, seed: int, folder: Path) -> int:
    """Returns the exit code."""
    made: list[Any] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(forked.parent_at_hand())
        url = keeper.url_of(harness.EMBEDDED, stack.enter_context(keeper.kept()))

        def client(service: str) -> Any:
            made.append(stack.enter_context(contextlib.closing(streams.client(service, url))))
            return made[-1]

        world = make_world(folder, client)
        (folder / "handlers.py").write_text(HANDLERS)
        aws = stack.enter_context(in_front_of(url))
        target = stack.enter_context(in_front_of(stack.enter_context(hook(folder))))
        soak = Soak(world, daemon.environment(aws.url), target.url, random.Random(f"soak {seed}"))
        world.configure(soak.hook)
        aws.be(*FAULTS, seed=seed)
        target.be(*TARGET_FAULTS, seed=seed)
        feeder = Feeder(world, url, seed)
        feeder.start()
        try:
            steady_tasks = _live_through(soak, feeder, (aws, target), seconds)
        finally:
            feeder.stop()
        sent = {name: dict(records) for name, records in feeder.sent.items()}
        healthy = {
            name: {n for n, one in sent[name].items() if one.kind in {"ok", "flaky"}} for name in world.queues
        }
        began = time.monotonic()
        soak.drain(healthy)
        print(f"drained in {time.monotonic() - began:.0f} s", flush=True)
        log = log_of(folder)
        found = accounts(world, sent, log, client("dynamodbstreams"))
        soak.problems += [f"the log says {action!r} {count} times" for action, count in bugs(log).items()]
        reloads = sum(line.get("action") == "config_reloaded" for line in log)
        if not reloads:
            soak.problems.append("no SIGHUP had an effect")
        print(f"reloaded {reloads} times, resharded {feeder.reshardings} times (roll, and split or merge)")
        return soak_report.tell(
            found,
            soak.lives,
            trends(soak.lives[-1], steady_tasks),
            aws.faults + target.faults,
            soak.problems,
            kills=(soak.kills, WANTED_KILLS * seconds / 60),
            wanted_faults=WANTED_FAULTS * seconds / 60,
        )


def _live_through(soak: Soak, feeder: Feeder, proxies: tuple[Proxy, Proxy], seconds: float) -> list[int]:
    """All lives but those of the drain; the tasks that the last one had, second by second."""
    began = last_told = time.monotonic()

    def tell() -> None:
        nonlocal last_told
        if feeder.error is not None:
            raise feeder.error
        if time.monotonic() - last_told > 15.0:
            last_told = time.monotonic()
            faults = sum(sum(proxy.faults.values()) for proxy in proxies)
            sent = sum(len(records) for records in feeder.sent.values())
            print(f"{last_told - began:4.0f} s  {sent} sent  {faults} faults  {soak.kills} kills", flush=True)

    kills = max(2, round(KILLS_A_MINUTE * seconds / 60))
    while (done := soak.kills) < kills:
        left = seconds * RESTLESS - (time.monotonic() - began)
        average = max(0.5, left / (kills - done))
        throw = soak.chance.random()  # a few are killed while they start
        soak.live(throw if throw < 0.15 else soak.chance.uniform(0.5, 1.7) * average, "kill -9", tell)
        if len(soak.problems) > 5:
            break
    steady = seconds * (1 - RESTLESS)

    def calm_at_the_end() -> None:
        """SIGTERM comes when nothing hangs any more, so that there is no reason to abandon work."""
        tell()
        if time.monotonic() - soak.lives[-1].began > steady:
            for proxy in proxies:
                proxy.be(cut=False)

    soak.live(steady + CALM, "SIGTERM", calm_at_the_end)
    lines = daemon.written(soak.world.folder / "tasks.txt")
    return [int(line.split()[1]) for line in lines if int(line.split()[0]) == soak.lives[-1].pid]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--seconds", type=float, default=600.0, help="of work under faults (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=None, help="which faults come when (default: any)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends, too
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    print(f"the soak, {options.seconds:g} s, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return run(options.seconds, seed, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
