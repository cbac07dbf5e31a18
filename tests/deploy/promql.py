"""PromQL as far as our alert rules use it, evaluated on series that a test wrote. No part of the product.

It works on the trees of promql_ast.py and does what Prometheus does with them; test_alerts.py holds it to the real
promtool on the same cases. What no rule needs is refused, not guessed.
"""

import itertools
import json
import math
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.servers import harness

PARSER = harness.Server("promql", ())
LOOKBACK = 300.0  # seconds for which a sample stands for its series

Labels: TypeAlias = frozenset[tuple[str, str]]
Tree: TypeAlias = dict[str, Any]
Sample: TypeAlias = tuple[float, float | None]  # seconds and a value, None for a series that has ended
Vector: TypeAlias = dict[Labels, float]

NAME = "__name__"
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a),
}
_COMPARISON: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def parse_all(texts: Iterable[str]) -> dict[str, Tree]:
    """The tree of each expression. Raises harness.ServerMissing, or ValueError for what is no PromQL."""
    home = harness.install(PARSER)
    program = Path(__file__).with_name("promql_ast.py")
    wanted = sorted(set(texts))
    done = subprocess.run(
        [str(home / "bin" / "python"), str(program)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    trees: list[Tree] = json.loads(done.stdout)
    for text, tree in zip(wanted, trees, strict=True):
        if "error" in tree:
            raise ValueError(f"{text!r}: {tree['error']}")
    return dict(zip(wanted, trees, strict=True))


def selectors(tree: Tree) -> list[Tree]:
    """Every selector in it."""
    if tree["is"] == "selector":
        return [tree]
    inside = [
        tree.get("left"),
        tree.get("right"),
        tree.get("of"),
        tree.get("parameter"),
        *tree.get("arguments", ()),
    ]
    return [one for part in inside if part is not None for one in selectors(part)]


class Storage:
    """Series by their labels, `__name__` among them; samples ascend in time."""

    def __init__(self) -> None:
        self.series: dict[Labels, list[Sample]] = {}

    def add(self, labels: Mapping[str, str], samples: Iterable[Sample]) -> None:
        self.series.setdefault(frozenset(labels.items()), []).extend(samples)

    def _selected(self, tree: Tree) -> Iterable[tuple[Labels, list[Sample]]]:
        for labels, samples in self.series.items():
            told = dict(labels)
            if told[NAME] == tree["name"] and all(_matches(told.get(m[0], ""), m) for m in tree["matchers"]):
                yield labels, samples

    def instant(self, tree: Tree, now: float) -> Vector:
        found: Vector = {}
        for labels, samples in self._selected(tree):
            recent = [value for at, value in samples if now - LOOKBACK <= at <= now]
            if recent and recent[-1] is not None:
                found[labels] = recent[-1]
        return found

    def ranges(self, tree: Tree, now: float) -> dict[Labels, list[tuple[float, float]]]:
        start = now - tree["range"]
        return {
            labels: [(at, value) for at, value in samples if start <= at <= now and value is not None]
            for labels, samples in self._selected(tree)
        }


def evaluate(tree: Tree, storage: Storage, now: float) -> Vector | float:
    """The value of an expression at a moment, in seconds: a vector or a scalar."""
    match tree["is"]:
        case "number":
            return float(tree["value"])
        case "selector":
            return storage.instant(tree, now)
        case "call":
            return _call(tree, storage, now)
        case "aggregate":
            return _aggregate(tree, _vector(evaluate(tree["of"], storage, now)))
        case "binary":
            left, right = (evaluate(tree[side], storage, now) for side in ("left", "right"))
            return _binary(tree, left, right)
    raise NotImplementedError(tree["is"])


def _matches(value: str, matcher: Sequence[str]) -> bool:
    _, sign, wanted = matcher
    equal = re.fullmatch(wanted, value) is not None if "~" in sign else value == wanted
    return equal is not sign.startswith("!")


def _vector(value: Vector | float) -> Vector:
    assert isinstance(value, dict), "a vector is wanted here"
    return value


def _without_name(labels: Labels) -> Labels:
    return frozenset(pair for pair in labels if pair[0] != NAME)


def _call(tree: Tree, storage: Storage, now: float) -> Vector | float:
    arguments = tree["arguments"]
    match tree["function"]:
        case "time":
            return now
        case "histogram_quantile":
            return _quantiles(arguments[0]["value"], _vector(evaluate(arguments[1], storage, now)))
    over = {
        "rate": lambda samples, seconds: _increase(samples, seconds, now) / seconds,
        "increase": lambda samples, seconds: _increase(samples, seconds, now),
        "deriv": lambda samples, _: _slope(samples),
        "avg_over_time": lambda samples, _: sum(value for _, value in samples) / len(samples),
        "last_over_time": lambda samples, _: samples[-1][1],
        "changes": lambda samples, _: float(sum(a[1] != b[1] for a, b in itertools.pairwise(samples))),
    }.get(tree["function"])
    if over is None:
        raise NotImplementedError(tree["function"])
    least = 2 if tree["function"] in {"rate", "increase", "deriv"} else 1
    seconds = arguments[0]["range"]
    ranges = storage.ranges(arguments[0], now)
    return {_without_name(key): over(some, seconds) for key, some in ranges.items() if len(some) >= least}


def _increase(samples: list[tuple[float, float]], seconds: float, now: float) -> float:
    """How much a counter grew, restarts counted from 0, and stretched to the whole range as Prometheus does it."""
    (first_at, first), (last_at, last) = samples[0], samples[-1]
    grown = last - first
    for (_, before), (_, after) in itertools.pairwise(samples):
        if after < before:
            grown += before
    seen = last_at - first_at
    step = seen / (len(samples) - 1)
    before_first, after_last = first_at - (now - seconds), now - last_at
    if grown > 0 and first >= 0:
        before_first = min(before_first, seen * first / grown)  # it was 0 there
    stretched = seen
    for gap in (before_first, after_last):
        stretched += gap if gap < 1.1 * step else step / 2
    return grown * stretched / seen


def _slope(samples: list[tuple[float, float]]) -> float:
    mean_at = sum(at for at, _ in samples) / len(samples)
    mean = sum(value for _, value in samples) / len(samples)
    variance = sum((at - mean_at) ** 2 for at, _ in samples)
    return sum((at - mean_at) * (value - mean) for at, value in samples) / variance


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        rest = frozenset(pair for pair in _without_name(labels) if pair[0] != "le")
        groups.setdefault(rest, []).append((bound, count))
    return {labels: _quantile(quantile, sorted(group)) for labels, group in groups.items()}


def _quantile(quantile: float, buckets: list[tuple[float, float]]) -> float:
    total = buckets[-1][1]
    if not total or len(buckets) < 2 or buckets[-1][0] != math.inf:
        return math.nan
    rank = quantile * total
    place = next(place for place, (_, count) in enumerate(buckets) if count >= rank)
    if place == len(buckets) - 1:
        return buckets[-2][0]
    low, below = buckets[place - 1] if place else (0.0, 0.0)
    high, count = buckets[place]
    return low + (high - low) * (rank - below) / (count - below)


def _aggregate(tree: Tree, vector: Vector) -> Vector:
    work = {"sum": sum, "max": max, "min": min, "count": len, "avg": lambda some: sum(some) / len(some)}
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        kept = {pair for pair in _without_name(labels) if (pair[0] in tree["labels"]) is tree["by"]}
        groups.setdefault(frozenset(kept), []).append(value)
    return {labels: float(work[tree["operator"]](values)) for labels, values in groups.items()}


def _binary(tree: Tree, left: Vector | float, right: Vector | float) -> Vector | float:
    operator = tree["operator"]
    if operator in {"and", "or", "unless"}:
        return _sets(tree, _vector(left), _vector(right))
    if isinstance(left, float) and isinstance(right, float):
        return _ARITHMETIC[operator](left, right)
    if isinstance(right, float):
        return _each(operator, {key: (value, right) for key, value in _vector(left).items()})
    if isinstance(left, float):
        return _each(operator, {key: (left, value) for key, value in right.items()}, shown=1)
    if tree["group"] not in {"", "OneToOne"}:
        raise NotImplementedError(tree["group"])
    others = {_key(tree, labels): value for labels, value in right.items()}
    assert len(others) == len(right), "several series on the right match one on the left"
    pairs: dict[Labels, tuple[float, float]] = {}
    for labels, value in left.items():
        key = _key(tree, labels)
        if key in others:
            named = labels if operator in _COMPARISON and not tree["on"] else key
            assert named not in pairs, "several series on the left match one on the right"
            pairs[named] = (value, others[key])
    return _each(operator, pairs)


def _each(operator: str, pairs: Mapping[Labels, tuple[float, float]], shown: int = 0) -> Vector:
    if operator in _COMPARISON:
        return {key: pair[shown] for key, pair in pairs.items() if _COMPARISON[operator](*pair)}
    return {_without_name(key): _ARITHMETIC[operator](*pair) for key, pair in pairs.items()}


def _sets(tree: Tree, left: Vector, right: Vector) -> Vector:
    there = {_key(tree, labels) for labels in right}
    match tree["operator"]:
        case "and":
            return {labels: value for labels, value in left.items() if _key(tree, labels) in there}
        case "unless":
            return {labels: value for labels, value in left.items() if _key(tree, labels) not in there}
    mine = {_key(tree, labels) for labels in left}
    return left | {labels: value for labels, value in right.items() if _key(tree, labels) not in mine}


def _key(tree: Tree, labels: Labels) -> Labels:
    return frozenset(pair for pair in _without_name(labels) if (pair[0] in tree["labels"]) is tree["on"])
