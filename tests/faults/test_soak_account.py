"""The soak's verdict can be wrong in no direction: what is off is told, and what is well is not."""

import dataclasses
import os
import random
import socket
import subprocess
import sys
from collections import Counter

import pytest

from tests.acceptance import daemon
from tests.faults.soak_account import account, bugs
from tests.faults.soak_lives import Life, Sample, still_there, trend, trends
from tests.faults.soak_report import tell
from tests.faults.sources import Record, out_of_order

SENT = {
    n: Record(n, f"k{n % 2}", kind)
    for n, kind in enumerate(["ok", "ok", "skip", "poison", "flaky", "ok", "ok", "poison"])
}
WELL = ["k0 0", "k1 1", "k0 4", "k1 5", "k0 6", "k1 1"]


def test_all_is_well() -> None:
    one = account("pay", SENT, WELL, {3}, {7}, set())
    assert one.fine
    assert (one.sent, one.handled, one.filtered, one.dead, one.documents) == (8, 5, 1, 1, 1)
    assert (one.lost, one.duplicates) == ((), 1)


@pytest.mark.parametrize(
    ("notes", "dead", "told", "lost", "wrong"),
    [
        (WELL[:4], {3, 7}, set(), (6,), ()),
        (WELL, {3}, set(), (7,), ()),
        ([*WELL, "k0 2"], {3, 7}, set(), (), ("the filter keeps them back",)),
        ([*WELL, "k1 3"], {7}, set(), (), ("they always fail",)),
        ([*WELL, "k1 99"], {3, 7}, set(), (), ("nobody sent them",)),
        (WELL, {3, 7, 5}, set(), (), ("though they succeed",)),
        (WELL, {3, 7}, {2}, (), ("given up, though the filter",)),
    ],
)
def test_what_is_off_is_told(
    notes: list[str], dead: set[int], told: set[int], lost: tuple[int, ...], wrong: tuple[str, ...]
) -> None:
    one = account("orders", SENT, notes, dead, told, set())
    assert one.lost == lost
    assert len(one.wrong) == len(wrong)
    assert all(word in said for word, said in zip(wrong, one.wrong, strict=True))
    assert not one.fine


def test_order_is_that_of_first_successes() -> None:
    """GEN-2, STR-40: a second delivery of what was done may come at any time."""
    assert out_of_order(["a 1", "b 1", "a 2", "a 1", "a 3", "b 2"]) == []
    assert out_of_order(["a 1", "a 3", "b 1", "a 2", "a 4"]) == ["a"]
    shuffled = ["k0 4", "k0 0", "k1 1", "k1 5", "k0 6"]
    assert account("pay", SENT, shuffled, {3, 7}, set(), set()).out_of_order == ("k0",)
    assert account("orders", SENT, shuffled, {3, 7}, set(), set()).fine, "a standard queue promises no order"


def test_a_leak_is_told_from_noise() -> None:
    chance = random.Random(1)
    flat = [(float(at), 70 + chance.random() * 3) for at in range(200)]
    assert trend(flat, 4.0).flat
    assert not trend([(at, figure + at * 0.05) for at, figure in flat], 4.0).flat
    step = [(at, figure + (8 if at > 100 else 0)) for at, figure in flat]
    assert trend(step, 4.0).rise > 4.0


def test_words_of_the_log_that_must_not_be() -> None:
    lines = [
        {"action": "batch_failed", "level": "warning"},
        {"action": "shard_crashed", "level": "error"},
        {"level": "error", "event": "Task exception was never retrieved"},
        {"level": "info", "event": "from a library"},
    ]
    assert bugs(lines) == {"shard_crashed": 1, "Task exception was never retrieved": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_life_is_seen_with_its_children() -> None:
    """A child that lives on is told from one that has ended and was not waited for."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        seen = Life(os.getpid())
        with socket.socket():
            seen.look()
        seen.look()
        assert child.pid in seen.children
        assert child.pid in still_there(seen.children)
        child.kill()
        daemon.wait_for(lambda: not still_there({child.pid}), "the end of the child")
    one, other = seen.samples
    assert (one.sockets - other.sockets, one.files - other.files) == (1, 0)
    assert one.rss > 5
    assert one.threads >= 1


def life(end: str, grows: int = 0) -> Life:
    samples = [Sample(float(at), 70.0, 20 + at * grows, 30, 7) for at in range(100)]
    return Life(1, 0.0, samples, end)


def test_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    good = {"orders": account("orders", SENT, WELL, {3, 7}, set(), set())}
    lives = [life("kill -9"), life("SIGTERM")]
    steady = trends(lives[-1], [40] * 100)
    faults = Counter({("Reset", "sqs.ReceiveMessage"): 50})

    def verdict(found=good, lives=lives, steady=steady, problems=(), kills=1) -> int:
        return tell(found, lives, steady, faults, list(problems), kills=(kills, 1.0), wanted_faults=50)

    assert verdict() == 0
    assert "all well: 8 sent, 0 lost" in capsys.readouterr().out
    lost = {"orders": account("orders", SENT, WELL[1:], {3, 7}, set(), set())}
    assert verdict(found=lost) == 1
    assert "1 lost: (0,)" in capsys.readouterr().out
    assert verdict(found={"orders": dataclasses.replace(good["orders"], dead=1)}) == 1
    assert "the sum is not what was sent" in capsys.readouterr().out
    assert verdict(lives=[life("kill -9", grows=1), life("SIGTERM")]) == 1
    assert verdict(steady=trends(life("SIGTERM", grows=1), [40] * 100)) == 1
    assert verdict(steady=trends(lives[-1], list(range(100)))) == 1
    assert verdict(problems=["exit code 3"]) == 1
    assert verdict(kills=0) == 1
    faults.clear()
    assert verdict() == 1
