"""What filters cost: a record's check beside the bare parsing of its body, and the whole daemon with them.

All filters look at the body, and the first nine of the ten do not match it, so that each of them is tried.
"""

import json
import statistics
import timeit
from collections.abc import Callable
from time import process_time
from typing import Any

import orjson

from poller.core.filter import make_filter
from poller.core.model import SourceKind
from tests.bench.canned import ORDER
from tests.bench.rows import Goal, Row, Work, at_most, row
from tests.bench.sections.sqs import UNIT, poller

ROUNDS = 20_000
MESSAGES = 150_000
TEXT = json.dumps(ORDER)
TWO = {"type": ["order"], "amount": [{"numeric": [">", 100]}]}
OTHERS = [{f"k{n}": [f"v{n}"], f"k{n + 10}": [{"prefix": "w"}]} for n in range(10)]
CASES: dict[str, list[dict[str, Any]]] = {
    "two fields, passes": [TWO],
    "two fields, first fails": [{**TWO, "type": ["invoice"]}],
    "two fields, one nested": [{"type": ["order"], "customer": {"tier": [{"prefix": "g"}]}}],
    "two fields of an array's objects": [{"items": {"sku": ["b2"], "count": [1]}}],
    "wildcard and anything-but": [{"id": [{"wildcard": "o-*6"}], "type": [{"anything-but": ["invoice"]}]}],
    "another field than the body": [],
    "ten filters of the same two fields": [{**TWO, "amount": [{"numeric": [">", 1_000 + n]}]} for n in range(10)],
    "one of the ten": OTHERS[:1],
    "ten filters of two fields each": OTHERS,
}
PARSING = "orjson.loads of 512 bytes"
GOALS = {"two fields, passes": at_most(5)}
# None, one, ten: the last of them passes, so that everything is handled and deleted in all three.
WHOLE = {"no filter": [], "one filter": [TWO], "ten filters": [*OTHERS[:9], TWO]}


def microseconds(call: Callable[[], object], rounds: int) -> float:
    return min(timeit.repeat(call, timer=process_time, number=rounds, repeat=7)) / rounds * 1e6


def each(work: Work) -> list[Row]:
    """Microseconds for a record."""
    assert len(TEXT) == 512
    record, rounds = {"messageId": "m1", "body": TEXT}, work.count(ROUNDS)
    unit = "microseconds a record"
    parsing = microseconds(lambda: orjson.loads(TEXT), rounds)
    rows, taken = [row(PARSING, parsing, unit)], {}
    for name, patterns in CASES.items():
        bodies = [{"body": pattern} for pattern in patterns] or [{"messageId": ["m1"]}]
        passes = make_filter([json.dumps(pattern) for pattern in bodies], SourceKind.SQS).passes_message
        taken[name] = microseconds(lambda passes=passes: passes(record), rounds)
        rows.append(row(name, taken[name], unit, PARSING, taken[name] / parsing, GOALS.get(name)))
    one, ten = "one of the ten", "ten filters of two fields each"
    rows.append(row(ten, taken[ten], unit, one, taken[ten] / taken[one], Goal("under 3 times", most=3)))
    return rows


def whole(work: Work) -> list[Row]:
    """Messages per CPU second of the daemon, end to end, in turn."""
    rates: dict[str, list[float]] = {name: [] for name in WHOLE}
    for _ in range(work.rounds(3)):
        for name, patterns in WHOLE.items():
            filters = [{"Pattern": json.dumps({"body": pattern})} for pattern in patterns]
            fields = {"FilterCriteria": {"Filters": filters}} if filters else {}
            rates[name].append(poller(work.count(MESSAGES), "--orders", **fields))
    rows = []
    for name, rate in rates.items():
        ratio = statistics.median(now / none for now, none in zip(rate, rates["no filter"], strict=True))
        against = () if name == "no filter" else ("no filter", ratio)
        rows.append(row(f"end to end, {name}", rate, UNIT, *against))
    return rows


def measure(work: Work) -> list[Row]:
    return whole(work) + each(work)
