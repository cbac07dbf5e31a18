"""What a filter costs beside the bare parsing of a body: `python -m tests.bench.filters` prints the ratios.

Goals: two fields at most five times, and ten filters less than three times one.
"""

import json
import timeit
from collections.abc import Callable
from time import process_time
from typing import Any

import orjson

from poller.core.filter import make_filter
from poller.core.model import SourceKind

ROUNDS = 20_000
BODY: dict[str, Any] = {
    "type": "order",
    "id": "o-123456",
    "customer": {"tier": "gold", "id": 77, "name": "Ann Example"},
    "amount": 129.5,
    "items": [{"sku": "a1", "count": 2}, {"sku": "b2", "count": 1}],
    **{f"k{n}": f"v{n}" for n in range(20)},
}
BODY["note"] = "x" * (512 - len(json.dumps(BODY)) - len(', "note": ""'))
TEXT = json.dumps(BODY)
TWO = {"type": ["order"], "amount": [{"numeric": [">", 100]}]}
CASES: dict[str, list[dict[str, Any]]] = {
    "two fields, passes": [TWO],
    "two fields, first fails": [{**TWO, "type": ["invoice"]}],
    "two fields, one nested": [{"type": ["order"], "customer": {"tier": [{"prefix": "g"}]}}],
    "two fields of an array's objects": [{"items": {"sku": ["b2"], "count": [1]}}],
    "wildcard and anything-but": [{"id": [{"wildcard": "o-*6"}], "type": [{"anything-but": ["invoice"]}]}],
    "another field than the body": [],
    "ten filters of the same two fields": [{**TWO, "amount": [{"numeric": [">", 1_000 + n]}]} for n in range(10)],
    "ten filters of two fields each": [{f"k{n}": [f"v{n}"], f"k{n + 10}": [{"prefix": "w"}]} for n in range(10)],
    "one of these ten": [{"k0": ["v0"], "k10": [{"prefix": "w"}]}],
}


def microseconds(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, timer=process_time, number=ROUNDS, repeat=7)) / ROUNDS * 1e6


def main() -> None:
    assert len(TEXT) == 512
    record = {"messageId": "m1", "body": TEXT}
    bare = microseconds(lambda: orjson.loads(TEXT))
    print(f"{'orjson.loads of 512 bytes':40} {bare:6.2f} us   1.0")
    taken = {}
    for name, patterns in CASES.items():
        bodies = [{"body": pattern} for pattern in patterns] or [{"messageId": ["m1"]}]
        passes = make_filter([json.dumps(pattern) for pattern in bodies], SourceKind.SQS).passes_message
        taken[name] = microseconds(lambda passes=passes: passes(record))
        print(f"{name:40} {taken[name]:6.2f} us {taken[name] / bare:5.1f}")
    print(
        f"ten filters beside one: {taken['ten filters of two fields each'] / taken['one of these ten']:.1f} times"
    )


if __name__ == "__main__":
    main()
