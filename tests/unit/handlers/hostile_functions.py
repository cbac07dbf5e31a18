"""What functions raise and return that no function should; called by name, here and in workers."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Refuses:
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class RefusingError(Exception):
    """Nor can this."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Text(str):
    """Not exactly text."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Bytes(bytes):
    """Not exactly bytes."""


class Fields(dict):  # type: ignore[type-arg]
    """Not exactly a dict."""

    def items(self) -> Any:
        raise SystemExit("no items")


class Values(list):  # type: ignore[type-arg]
    """Not exactly a list."""

    def __iter__(self) -> Iterator[Any]:
        raise KeyboardInterrupt


class Nameless(type):
    """Its classes do not tell their names."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class NamelessError(Exception, metaclass=Nameless):
    """Such a class."""


def deep(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


def cycle() -> Any:
    inner: list[Any] = []
    inner.append(inner)
    return {"batchItemFailures": inner}


def chain(length: int) -> BaseException:
    error: BaseException | None = None
    for number in range(length):
        following = ValueError(str(number))
        following.__cause__, error = error, following
    assert error is not None
    return error


def group(depth: int) -> Exception:
    error: Exception = ValueError("\ud800")
    for _ in range(depth):
        error = ExceptionGroup("g", [error])
    return error


RAISED = {
    "half an emoji": lambda: ValueError("\ud83d of a record"),
    "half an emoji as the key that is missing": lambda: KeyError("\ud83d"),
    "no text": RefusingError,
    "no name": NamelessError,
    "much text": lambda: OverflowError("x" * 3_000_000),
    "a long name": type("N" * 100_000, (Exception,), {}),
    "control characters": lambda: ValueError("a\0b\nc\r\x1b[31m\u2028"),
    "a long chain": lambda: chain(1_500),
    "a deep group": lambda: group(300),
    "a wide group": lambda: ExceptionGroup("g", [ValueError("\ud800")] * 1_000),
    "no memory": MemoryError,
    "a stop": StopIteration,
    "an interrupt": KeyboardInterrupt,
}
NO_JSON = {
    "a set": lambda: {1},
    "a cycle": cycle,
    "ten thousand levels": lambda: deep(10_000),
    "bytes that are no bytes": lambda: Bytes(b"null"),
    "items that end the process": lambda: {"a": Fields(a=1)},
    "an iterator that interrupts": lambda: [Values([1])],
    "what cannot be shown": Refuses,
    "a key that cannot be shown": lambda: {Refuses(): 1},
    "a generator": lambda: iter(()),
    "a number that Python does not write": lambda: 10**5_000,
    "bytes within": lambda: {"a": b"x"},
}
JSON = {
    "NaN": (lambda: math.nan, b"NaN"),
    "a thousand digits": (lambda: int("9" * 1_000), b"9" * 1_000),
    "half an emoji": (lambda: "\ud83d", b'"\\ud83d"'),
    "text that is no text": (lambda: Text("x"), b'"x"'),
    "binary bytes": (lambda: b"\xff\x00\n\n", b"\xff\x00\n\n"),
    "no bytes": (lambda: b"", b""),
    "keys of other kinds": (lambda: {1: 1, None: 2, False: 3}, b'{"1":1,"null":2,"false":3}'),
    "six megabytes": (lambda: b"1" * (6 * 1024 * 1024), b"1" * (6 * 1024 * 1024)),
}


def function(event: Any, context: Any) -> Any:
    """What the event names."""
    match event:
        case {"raised": name}:
            raise RAISED[name]()  # noqa: RSE102 - a class, or what makes an error
        case {"returned": name}:
            return NO_JSON[name]()
        case {"json": name}:
            return JSON[name][0]()
        case {"written": text}:  # to every descriptor that it has: one of them is that of the answers
            for descriptor in Path("/proc/self/fd").iterdir():
                try:
                    os.write(int(descriptor.name), text.encode("latin-1"))
                except OSError:
                    continue
            time.sleep(600)  # an answer of our own would be a second one
    return event


async def later(event: Any, context: Any) -> Any:
    """The same of a coroutine function."""
    return function(event, context)
