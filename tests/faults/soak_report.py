"""What the soak prints at its end, and its verdict."""

import statistics
from collections import Counter

from tests.faults.soak_account import Account
from tests.faults.soak_lives import Life, Trend

SHORT = 90.0  # seconds of a life whose figures are told and not judged: they have not settled
MOST_MORE = 60  # sockets or files that a life may have at its end beyond those of its beginning


def tell(
    found: dict[str, Account],
    lives: list[Life],
    steady: dict[str, Trend],
    faults: Counter[tuple[str, str]],
    problems: list[str],
    *,
    kills: tuple[int, float],
    wanted_faults: float,
) -> int:
    """Prints all of it; 1 if anything is off."""
    problems = [*problems, *_records(found)]
    print()
    _faults(faults)
    problems += _lives(lives)
    problems += _steady(lives[-1], steady)
    if kills[0] < kills[1]:
        problems.append(f"only {kills[0]} kills")
    if sum(faults.values()) < wanted_faults:
        problems.append(f"only {sum(faults.values())} faults, {wanted_faults:g} were wanted")
    for problem in problems:
        print(f"WRONG: {problem}")
    sent, lost = sum(one.sent for one in found.values()), sum(len(one.lost) for one in found.values())
    verdict = "WRONG" if problems else "all well"
    print(f"{verdict}: {sent} sent, {lost} lost, {kills[0]} kills, {sum(faults.values())} faults")
    return 1 if problems else 0


def _records(found: dict[str, Account]) -> list[str]:
    names = ("sent", "handled", "filtered", "DLQ", "documents", "logged", "lost", "twice", "out of order")
    print("\n" + "source".ljust(8) + "".join(name.rjust(13) for name in names))
    problems = []
    for name, one in found.items():
        figures = (
            *(one.sent, one.handled, one.filtered, one.dead, one.documents, one.logged),
            *(len(one.lost), one.duplicates, len(one.out_of_order)),
        )
        print(name.ljust(8) + "".join(str(figure).rjust(13) for figure in figures))
        problems += [f"{name}: {what}" for what in one.wrong]
        if one.lost:
            problems.append(f"{name}: {len(one.lost)} lost: {one.lost[:20]}")
        if one.out_of_order:
            problems.append(f"{name}: out of order: {one.out_of_order[:20]}")
        if one.sent != one.handled + one.filtered + one.dead + one.documents + one.logged + len(one.lost):
            problems.append(f"{name}: the sum is not what was sent")
    return problems


def _faults(faults: Counter[tuple[str, str]]) -> None:
    kinds: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    for (kind, operation), count in faults.items():
        kinds[kind] += count
        operations[operation] += count
    for counted in (kinds, operations):
        print(", ".join(f"{name} {count}" for name, count in counted.most_common()))
    print()


def _lives(lives: list[Life]) -> list[str]:
    """Each life from its first look after a second to its last."""
    print("life  seconds  end         RSS MiB        sockets    files    threads   SIGHUPs")
    problems = []
    for number, life in enumerate(lives, 1):
        seen = [sample for sample in life.samples if sample.at > 1.0] or life.samples
        if not seen:
            print(f"{number:4} {'':8}  {life.end}, before anyone looked")
            continue
        first, last = seen[0], seen[-1]
        print(
            f"{number:4}  {life.seconds:7.1f}  {life.end:9} {first.rss:6.1f} {last.rss:6.1f}"
            f"   {first.sockets:5} {last.sockets:5}   {first.files:3} {last.files:3}"
            f"   {first.threads:4} {last.threads:4}   {life.hangups:5}"
        )
        problems += [
            f"life {number}: {what} from {getattr(first, what)} to {getattr(last, what)}"
            for what in ("sockets", "files")
            if getattr(last, what) - getattr(first, what) > MOST_MORE
        ]
    return problems


def _steady(life: Life, steady: dict[str, Trend]) -> list[str]:
    minutes = sum(one.at for one in life.samples[-1:]) / 60
    print(f"\nthe last life, {minutes:.1f} min, after its warm-up (a straight line through all looks):")
    problems = []
    for name, one in steady.items():
        print(f"  {name:12} {one.first:7.1f} -> {one.last:7.1f}   rise {one.rise:+6.1f}   noise {one.noise:5.1f}")
        if not one.flat and life.seconds >= SHORT:
            problems.append(f"{name} grew by {one.rise:.1f} in the last life")
    half = life.warm()
    print(f"  RSS median {statistics.median(one.rss for one in half):.1f} MiB\n")
    return problems
