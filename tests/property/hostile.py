"""What no service should send and a bug, a stand-in or an enemy may: values for fields of any kind, and what they
may cost. Everything here can come out of JSON text; nothing here knows what it is given to.
"""

import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

MEGABYTE = 1024 * 1024


def deep(levels: int, inner: Any = None) -> Any:
    """Lists in lists."""
    value = inner
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


def deep_text(levels: int) -> str:
    """The JSON text of as many lists in each other, which no reader of JSON takes when they are too many."""
    return "[" * levels + "]" * levels


TEXTS = (
    "",
    "\0",
    "\x00\x1f\x7f\r\n",
    "\ud800",
    "a\udfff\ud800b",
    "\ufeff{}",
    "NaN",
    "-Infinity",
    "1e999999",
    "9" * 200,
    "9" * 1_000,
    "9" * 5_000,
    "-1",
    "\u0663\u0664",  # digits to Python, not to anybody else
    deep_text(10_000),
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    "x" * 70_000,
    "\U0001f600" * 300,
)
ODD = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**400,
    10**1_000,
    1.5,
    -0.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    5e-324,
    1.7e308,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"a": 1},
    {"": {"": ""}},
    {"\ud800": "\ud800"},
    list(range(2_000)),
    {str(number): number for number in range(2_000)},
    deep(150),
    deep(260),
    deep(800),
    *TEXTS,
)
DEEPEST = deep(1_000)
"""What the reader of answers takes, and no writer of JSON."""

odd = st.sampled_from(ODD)
"""One of them, and the same ones again and again: hypothesis shrinks towards the tame end."""


def objects(fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with these fields, of which any may be missing, or odd."""
    return st.fixed_dictionaries({}, optional={name: st.just(value) | odd for name, value in fields.items()})


def one_odd_field(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The object as it should be, but for one field: each of them missing, and each with each odd value."""
    for name in fields:
        yield {other: value for other, value in fields.items() if other != name}
        yield from ({**fields, name: value} for value in ODD)


def as_sent(value: Any) -> bytes:
    """The JSON that has it, as Python's own writer spells it: NaN, lone surrogates and all."""
    return json.dumps(value).encode()


@contextmanager
def costing_at_most(megabytes: float, seconds: float) -> Iterator[None]:
    """No more memory than this at any moment, and no more CPU time of ours."""
    tracemalloc.start()
    try:
        before, started = tracemalloc.get_traced_memory()[0], time.thread_time()
        tracemalloc.reset_peak()
        yield
        spent, peak = time.thread_time() - started, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak <= megabytes * MEGABYTE, f"{peak / MEGABYTE:.1f} MB at its peak"
    assert spent <= seconds, f"{spent:.2f} s of CPU"
