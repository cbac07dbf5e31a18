"""Patterns and records made of rubble: neither the compiler of patterns nor a filter may raise, whatever comes.

`python -m tests.property.fuzz_filters SECONDS [SEED]` goes on for so long and prints what it met; a failure prints
the seed with which it comes again.
"""

import json
import sys
import time
from base64 import b64encode
from collections import Counter
from random import Random
from typing import Any

from poller.core.filter import make_filter
from poller.core.filter_alternatives import PatternProblem
from poller.core.filter_pattern import parse_pattern, pattern_text
from poller.core.mapping import Invalid, SourceArn, parse_mapping
from poller.core.model import SourceKind
from poller.core.records import Record
from tests.unit.core.filter_table import INVALID, TABLE

ARN = SourceArn("arn:aws:sqs:eu-west-1:123456789012:q", "aws", "eu-west-1", "123456789012", "q")
SEEDS: list[Any] = [row.pattern for row in TABLE] + [row[1] for row in INVALID]
RUBBLE: list[Any] = [
    "", "x", "\ud800", "a*b", "**", "10.0.0.0/24", "::/0", 0, -1, 1.5, 10**400, -(10**1_000), 1e308,
    float("nan"), float("inf"), True, False, None, [], {}, [[]], {"": []}, b"x", object(), {1: [2]}, {None: []},
    (1,), 2**63, "é" * 50,
]  # fmt: skip
WORDS = [
    "a", "b", "a.b", "$or", "body", "data", "dynamodb", "exists", "prefix", "suffix", "numeric", "anything-but",
    "cidr", "equals-ignore-case", "wildcard", ">", "<=", "=", "messageId",
]  # fmt: skip


def attempt(random: Random, counts: Counter[str]) -> None:
    """One pattern through everything that reads patterns, and if it is one, records through its filter."""
    pattern: Any = random.choice([_changed, _grown])(random)
    given = _text(random, pattern) if random.random() < 0.4 else pattern
    parsed = parse_pattern(given)
    fields = {
        "EventSourceArn": ARN.text,
        "FunctionName": "python:a:b",
        "FilterCriteria": {"Filters": [{"Pattern": given}]},
    }
    mapping = parse_mapping(fields)
    if isinstance(mapping, Invalid):
        assert all(problem.sentence for problem in mapping.problems)
    if isinstance(parsed, PatternProblem):
        counts["problem"] += 1
        assert isinstance(mapping, Invalid), given
        return
    try:
        text = pattern_text(given)
    except ValueError:
        return
    counts["pattern"] += 1
    for _ in range(3):
        record = _record(random)
        for source in SourceKind:
            passes = make_filter([text], source)
            if source is SourceKind.SQS:
                passed = passes.passes_message({"messageId": "m1", "body": _body(random, record)})
            else:
                passed = passes.passes_record(Record("1", 0, 0, 1.0, 0, _wire(random, record)), ARN, "shard")
            counts["passed" if passed else "kept away"] += 1


def _changed(random: Random) -> Any:
    """A pattern of the table, with some of its values replaced, copied or taken out."""
    pattern = random.choice(SEEDS)
    if isinstance(pattern, str):
        try:
            pattern = json.loads(pattern)
        except ValueError:
            return pattern
    if random.random() < 0.3:
        pattern = {random.choice(["body", "data", "dynamodb"]): pattern}
    return _damaged(random, pattern, 1.2)


def _damaged(random: Random, node: Any, odds: float) -> Any:
    if random.random() < odds / 20:
        return random.choice([random.choice(RUBBLE), random.choice(SEEDS), [node], {random.choice(WORDS): node}])
    if isinstance(node, dict):
        return {_key(random, key): _damaged(random, value, odds) for key, value in node.items()}
    if isinstance(node, list):
        changed = [_damaged(random, value, odds) for value in node]
        return changed + changed[:1] if random.random() < 0.05 else changed
    return node


def _key(random: Random, key: Any) -> Any:
    return random.choice(WORDS) if random.random() < 0.05 else key


def _grown(random: Random, depth: int = 0) -> Any:
    kind = random.random()
    if depth > random.choice([2, 3, 6, 120]) or kind < 0.15:
        return random.choice(RUBBLE)
    if kind < 0.55:
        return {random.choice(WORDS): _grown(random, depth + 1) for _ in range(random.choice([1, 1, 2]))}
    return [_grown(random, depth + 1) for _ in range(random.choice([0, 1, 1, 2]))]


def _text(random: Random, pattern: Any) -> str:
    """JSON text of it, often broken."""
    try:
        text = json.dumps(pattern)
    except (TypeError, ValueError):
        text = str(pattern)[:5_000]
    for _ in range(random.choice([0, 0, 1, 3])):
        at = random.randrange(len(text) + 1)
        text = (
            text[:at]
            + random.choice(
                ['"', "{", "[", "]", "}", ",", ":", "\\", "\0", "\ud800", "1e999", "NaN", "é", "[" * 2_000, ""]
            )
            + text[at + random.choice([0, 1, 5]) :]
        )
    return text


def _record(random: Random) -> dict[str, Any]:
    record = random.choice(TABLE).record
    changed = _damaged(random, record, 2)
    return changed if isinstance(changed, dict) else {"a": changed}


def _body(random: Random, record: Any) -> str:
    return _text(random, record)


def _wire(random: Random, record: Any) -> dict[str, Any]:
    data = b64encode(_text(random, record).encode("utf-8", "surrogatepass")).decode()
    return {**record, "dynamodb": record, "PartitionKey": "k", "Data": random.choice([data, data[1:], 5, None])}


def main(seconds: float, seed: int) -> None:
    counts = Counter[str]()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seed += 1
        try:
            attempt(Random(seed), counts)
        except BaseException:
            print(f"seed {seed}", file=sys.stderr)
            raise
    print(dict(counts))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
