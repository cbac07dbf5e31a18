"""The wire client's engine against servers that break off, say too much, too little, twice or something else.

Answers of arbitrary fragments are test_wire_fuzz.py's; the program for a long run is fuzz_wire.py.
"""

import asyncio
import gzip
import tracemalloc
from collections.abc import Iterable

import pytest

from poller.aws.http1 import MAX_HEADER_BYTES, BadResponse, Disconnected, HttpError, HttpResponse
from tests.property.fuzz_wire import ANSWERS, LINES, MISSED, OK, TAKEN, attempt, exchange, serving
from tests.property.hostile import MEGABYTE

SEEDS = 300
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def exchanged(*answers: Iterable[bytes], most: int = MEGABYTE) -> list[HttpResponse | HttpError]:
    """What became of each, in order."""

    async def all_of_them() -> list[HttpResponse | HttpError]:
        async with serving() as server:
            return [await exchange(server, list(parts), most) for parts in answers]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize(("answer", "status", "body"), ANSWERS.values(), ids=ANSWERS)
def test_cut_anywhere_it_is_no_answer(answer: bytes, status: int, body: bytes) -> None:
    """GEN-2: half a receive or half a list of what was deleted never passes for a whole one."""
    *cut, whole = exchanged(*([answer[:end]] for end in range(len(answer) + 1)))
    assert all(isinstance(error, Disconnected) for error in cut)
    assert isinstance(whole, HttpResponse)
    assert (whole.status, whole.body) == (status, body)


@pytest.mark.parametrize(("answer", "status", "body"), ANSWERS.values(), ids=ANSWERS)
def test_however_it_comes_it_is_the_same(answer: bytes, status: int, body: bytes) -> None:
    """Byte by byte, in two pieces, and with another answer right behind it."""
    single = [answer[place : place + 1] for place in range(len(answer))]
    halves = ([answer[:place], answer[place:]] for place in range(0, len(answer), 7))
    for came in exchanged(single, *halves, [answer + answer], [answer, answer], [answer + b"\0"], [answer + OK]):
        assert isinstance(came, HttpResponse)
        assert (came.status, came.body) == (status, body)


@pytest.mark.parametrize("line", [line for line in LINES if line.endswith(b"\r\n")])
def test_every_odd_line_in_every_place(line: bytes) -> None:
    """It is an answer or none; `exchange` says what must hold of the ones after it."""
    answer, _, _ = ANSWERS["extensions and trailers"]
    places = [place for place in range(len(answer) + 1) if place == 0 or answer[:place].endswith(b"\r\n")]
    exchanged(*([answer[:place] + line + answer[place:]] for place in places))


FLOODS = {
    "headers": [OK, *[b"A: " + b"b" * 1_000 + b"\r\n"] * 2_000],
    "one header": [OK + b"A: ", *[b"b" * 10_000] * 200],
    "a reason": [b"HTTP/1.1 200 ", *[b"b" * 10_000] * 200],
    "interim answers": [b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000] * 100,
    "a body without end": [OK + b"\r\n", *[b"b" * 10_000] * 200],
    "chunks without end": [CHUNKED, *[b"2710\r\n" + b"b" * 10_000 + b"\r\n"] * 200],
    "small chunks without end": [CHUNKED, *[b"2\r\nxy\r\n" * 1_000] * 200],
    "an extension without end": [CHUNKED + b"1;", *[b"b" * 10_000] * 200],
    "trailers without end": [CHUNKED + b"0\r\n", *[b"A: " + b"b" * 1_000 + b"\r\n"] * 2_000],
    "a length of a terabyte": [OK + b"Content-Length: 1099511627776\r\n\r\n", *[b"b" * 10_000] * 200],
}


@pytest.mark.parametrize("parts", FLOODS.values(), ids=FLOODS)
def test_what_never_ends_is_ended(parts: list[bytes]) -> None:
    """No more of it is kept than an answer, or its head, may have."""
    tracemalloc.start()
    try:
        [came] = exchanged(parts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(came, BadResponse)
    # a piece of two bytes costs Python thirty-five, and a place in a list
    assert peak < 12 * (MEGABYTE + MAX_HEADER_BYTES)


@pytest.mark.parametrize("parts", [FLOODS["headers"], FLOODS["one header"], FLOODS["interim answers"]])
def test_a_head_has_a_limit_of_its_own(parts: list[bytes]) -> None:
    """However long a body may be."""
    [came] = exchanged(parts, most=100 * MEGABYTE)
    assert isinstance(came, BadResponse)


@pytest.mark.parametrize(
    "behind", [b"\0", b"\r\n\r\nx", OK, ANSWERS["chunks"][0], b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_what_comes_with_an_answer_is_not_the_next_one(behind: bytes) -> None:
    """The server goes on as if nothing had happened: that connection is not used again."""

    async def both() -> None:
        async with serving() as server:
            server.stays = True
            for answer, status, body in ANSWERS.values():
                came = await exchange(server, [answer + behind])
                assert isinstance(came, HttpResponse)
                assert (came.status, came.body) == (status, body)

    asyncio.run(both())


def test_nothing_is_inflated() -> None:
    """We ask for no encoding, so a bomb is what it is on the wire."""
    bomb = gzip.compress(bytes(50 * MEGABYTE), 1)
    answer = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    [came] = exchanged([answer])
    assert isinstance(came, HttpResponse)
    assert came.body == bomb


def test_rubble() -> None:
    """The seeds that are tried each time; fuzz_wire.py has as many as one likes."""

    async def seeds() -> set[str]:
        async with serving() as server:
            return {await attempt(server, seed) for seed in range(SEEDS)}

    met = asyncio.run(seeds())
    assert TAKEN in met
    assert {f"{MISSED}: BadResponse", f"{MISSED}: Disconnected"} <= met
