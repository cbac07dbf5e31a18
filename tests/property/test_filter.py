"""The filters agree with a matcher that tries everything, and nothing makes them or their compiler raise."""

import json
from base64 import b64encode
from collections import Counter
from random import Random
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from poller.core.filter import make_filter
from poller.core.filter_alternatives import PatternProblem
from poller.core.filter_pattern import parse_pattern, pattern_text
from poller.core.mapping import SourceArn
from poller.core.model import SourceKind
from poller.core.records import Record
from tests.property import fuzz_filters, naive_filter
from tests.unit.core.filter_table import TABLE

ARN = SourceArn("arn:aws:kinesis:eu-west-1:123456789012:stream/s", "aws", "eu-west-1", "123456789012", "s")
SHARD = "shardId-000000000000"

# Few names and values, so that patterns and records meet.
TEXTS = st.sampled_from(["", "x", "X", "xy", "yx", "x*y", "10.0.0.1", "::1", "1", "true", "ß", "SS"])
NUMBERS = st.sampled_from(
    [0, 1, -1, 1.0, 1.5, 300, 300.0, 10**15, 10**15 + 1, 5_000_000_000, 5_000_000_001, 0.1, 0.3]
)
PLAIN = TEXTS | NUMBERS | st.booleans() | st.none()
NAMES = st.sampled_from(["a", "b", "c", "a.b", "b.c", "a.b.c", "$or", "prefix"])


def one_key(name: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return value.map(lambda given: {name: given})


def one_or_more(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return value | st.lists(value, min_size=1, max_size=3)


WILDCARDS = st.sampled_from(["", "*", "x*", "*x", "x*y", "*x*", "x\\*y", "*1*"])
CIDRS = st.sampled_from(["10.0.0.0/24", "0.0.0.0/0", "::/64", "10.0.0.1/32"])
BOUNDS = NUMBERS.filter(lambda number: abs(number) <= 5_000_000_000)
RANGES = st.tuples(st.sampled_from(["=", "<", "<=", ">", ">="]), BOUNDS) | st.tuples(
    st.sampled_from([">", ">="]), BOUNDS, st.sampled_from(["<", "<="]), BOUNDS
)
FOLDED = one_key("equals-ignore-case", TEXTS)
OPERATORS = st.one_of(
    one_key("exists", st.booleans()),
    one_key("prefix", TEXTS | FOLDED),
    one_key("suffix", TEXTS | FOLDED),
    one_key("equals-ignore-case", TEXTS),
    one_key("wildcard", WILDCARDS),
    one_key("numeric", RANGES.map(list)),
    one_key("cidr", CIDRS),
    one_key("anything-but", one_or_more(TEXTS) | one_or_more(NUMBERS)),
    one_key("anything-but", st.one_of(*(one_key(n, one_or_more(TEXTS)) for n in ("prefix", "suffix")))),
    one_key("anything-but", one_key("equals-ignore-case", one_or_more(TEXTS))),
    one_key("anything-but", one_key("wildcard", one_or_more(WILDCARDS))),
)
LISTS = st.lists(PLAIN | OPERATORS, min_size=1, max_size=3)
FIELDS = st.sampled_from(["a", "b", "c", "a.b", "b.c"])


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields = st.dictionaries(FIELDS, LISTS | inner, min_size=1, max_size=3)
    choice = one_key("$or", st.lists(inner, min_size=2, max_size=3))
    return fields | choice | st.builds(lambda one, other: {**one, **other}, fields, choice)


PATTERNS = st.recursive(st.dictionaries(FIELDS, LISTS, min_size=1, max_size=2), _objects, max_leaves=5)
EVENTS = st.dictionaries(
    NAMES,
    st.recursive(
        PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
    ),
    max_size=4,
)


def kept(patterns: list[Any]) -> list[Any]:
    """Those that are valid: bounds may be the wrong way round, prefixes empty."""
    return [pattern for pattern in patterns if not isinstance(parse_pattern(pattern), PatternProblem)]


def texts(patterns: list[Any]) -> list[str]:
    return [pattern_text(pattern) for pattern in patterns]


def contested(node: Any) -> bool:
    """Whether a field is there twice by a dotted name, once of them with objects in an array: then which belong
    together is nobody's decision (FLT-26 speaks of whole paths).
    """
    if isinstance(node, list):
        return any(contested(member) for member in node)
    if not isinstance(node, dict):
        return False
    steps = [(key.split("."), value) for key, value in node.items()]
    for first, value in steps:
        for second, other in steps:
            shorter = min(len(first), len(second))
            if first is not second and first[:shorter] == second[:shorter] and (_arrays(value) or _arrays(other)):
                return True
    return any(contested(value) for value in node.values())


def _arrays(node: Any) -> bool:
    if isinstance(node, dict):
        return any(_arrays(value) for value in node.values())
    return isinstance(node, list) and bool(node)


@settings(max_examples=3 * settings.default.max_examples)
@given(st.lists(PATTERNS, max_size=3), EVENTS)
@example([{"a": {"b": [1], "c": [2]}}], {"a": [{"b": 1, "c": 9}, {"b": 8, "c": 2}]})
@example([{"a": {"b": [{"exists": False}], "c": [2]}}], {"a": [{"b": 1}, {"c": 2}]})
@example([{"a": {"b": [1], "c": [2]}}], {"a": {"b": 1}, "a.c": 2})
@example([{"a": [1], "$or": [{"a": [2]}, {"b": [3]}]}], {"a": [1, 2]})
def test_a_record_passes_where_trying_everything_says_so(patterns: list[Any], event: dict[str, Any]) -> None:
    """FLT-1, FLT-2, FLT-21, FLT-23, FLT-25, FLT-26."""
    patterns = kept(patterns)
    assume(not contested(event))
    record = Record("1", 0, 0, 0.0, 0, event)
    before = json.dumps(event)
    passed = make_filter(texts(patterns), SourceKind.DYNAMODB).passes_record(record, ARN, SHARD)
    assert passed == naive_filter.passes(patterns, event)
    assert json.dumps(event) == before


BODIES = EVENTS.map(json.dumps) | TEXTS | PLAIN.map(json.dumps) | st.lists(EVENTS, max_size=2).map(json.dumps)
IDS = st.sampled_from([["m1"], ["m2"], [{"prefix": "m"}]])
BODY_PATTERNS = st.recursive(
    st.builds(lambda p: {"body": p}, PATTERNS | LISTS) | st.builds(lambda ids: {"messageId": ids}, IDS),
    lambda inner: (
        st.builds(lambda one, two: {"$or": [one, two]}, inner, inner)
        | st.builds(lambda one, two: {**one, **two}, inner, inner)
    ),
    max_leaves=3,
)


@settings(max_examples=2 * settings.default.max_examples)
@given(st.lists(BODY_PATTERNS, max_size=2), BODIES)
@example([{"$or": [{"body": ["x"]}, {"body": {"a": [1]}}]}], "x")
@example([{"body": {"a": [{"exists": False}]}}], "[]")
@example([{"body": [""]}], "")
def test_the_matrix_of_bodies(patterns: list[Any], body: str) -> None:
    """FLT-34, FLT-35, and with the same patterns for data FLT-31, FLT-36."""
    patterns = kept(patterns)
    assume(not contested(naive_filter.parsed(body)))
    record = {"messageId": "m1", "body": body}
    assert make_filter(texts(patterns), SourceKind.SQS).passes_message(record) == naive_filter.passes_message(
        patterns, record
    )
    data = b64encode(body.encode("utf-8", "surrogatepass")).decode()
    wire = {"SequenceNumber": "1", "PartitionKey": "m1", "Data": data, "ApproximateArrivalTimestamp": 1.0}
    renamed = json.loads(json.dumps(patterns).replace('"body"', '"data"').replace('"messageId"', '"partitionKey"'))
    passed = make_filter(texts(renamed), SourceKind.KINESIS).passes_record(
        Record("1", 0, 0, 1.0, 0, wire), ARN, SHARD
    )
    assert passed == naive_filter.passes_data(renamed, {"partitionKey": "m1", "data": data})


def test_the_naive_matcher_knows_the_truth_table() -> None:
    """FLT-2: it must be right itself to be worth anything."""
    rows = [row for row in TABLE if not isinstance(row.pattern, str)]
    assert [row for row in rows if naive_filter.matches(row.pattern, row.record) != row.expected] == []


def test_nothing_makes_the_compiler_or_a_filter_raise() -> None:
    """FLT-3, FLT-6: patterns made of rubble; `python -m tests.property.fuzz_filters 60` goes on for a minute."""
    counts = Counter[str]()
    for seed in range(400):
        fuzz_filters.attempt(Random(seed), counts)
    assert counts["pattern"] > 50
    assert counts["problem"] > 50
    assert counts["passed"] > 50
    assert counts["kept away"] > 50
