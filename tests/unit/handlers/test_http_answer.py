"""What an answer says: one of four results, and when to come again (INV)."""

import gzip
import time
import tracemalloc
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from poller.core.model import FunctionError, NotInvoked, Succeeded, Throttled
from poller.handlers.callables import RESPONSE_LIMIT
from poller.handlers.http_answer import place, refused, response, seconds_asked
from tests.unit.handlers.http_server import bomb

NOW = 1_700_000_000.0
HOOK = URL("https://hooks.example.com:8443/t/secret-path?token=secret-token")


def judged(status: int, reason: str | None = "Reason", **headers: str):
    return refused(status, reason, {name.replace("_", "-"): value for name, value in headers.items()}, HOOK, NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_2xx_is_a_success(status: int) -> None:
    """INV-9: whichever of them."""
    assert judged(status) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 499])
def test_4xx_is_a_function_error(status: int) -> None:
    """INV-9, INV-2: the target took the request and said no."""
    said = f"{status} Reason from hooks.example.com:8443"
    assert judged(status) == FunctionError(f"Http.{status}", said)


@pytest.mark.parametrize("status", [429, 503])
def test_a_target_without_room(status: int) -> None:
    """INV-4: throttled, with the pause that it asks for if any."""
    said = f"{status} Reason from hooks.example.com:8443"
    assert judged(status) == Throttled(said, None)
    assert judged(status, Retry_After="7") == Throttled(said, 7.0)
    assert judged(status, Retry_After="soon") == Throttled(said, None)


@pytest.mark.parametrize("status", [101, 407, 408, 500, 501, 502, 504, 511, 599, 600, 999])
def test_what_is_no_answer_of_a_function(status: int) -> None:
    """INV-4, INV-9: the server, or a proxy before it, did not get as far as a function."""
    assert judged(status) == NotInvoked(f"{status} Reason from hooks.example.com:8443")


def test_the_reason_is_told_in_one_short_line() -> None:
    """What comes from outside cannot break a log."""
    assert judged(500, None) == NotInvoked("500 from hooks.example.com:8443")
    broken = judged(500, "a\x1b[31m\x00\n" + "x" * 9_000)
    assert isinstance(broken, NotInvoked)
    assert broken.message.isprintable()
    assert len(broken.message) < 400


@pytest.mark.parametrize(
    ("value", "kind", "handled"),
    [
        ("Handled", "Handled", True),
        (" handled ", "Handled", True),
        ("Unhandled", "Unhandled", False),
        ("", "Unhandled", False),
        ("what\x07ever", "Unhandled", False),
    ],
)
@pytest.mark.parametrize("status", [200, 204])
def test_a_function_error_that_is_told_in_a_header(status: int, value: str, kind: str, handled: bool) -> None:
    """INV-2: as Lambda tells it, the status is that of a success."""
    said = f"{status} Reason from hooks.example.com:8443 with X-Amz-Function-Error: {kind}"
    assert judged(status, X_Amz_Function_Error=value) == FunctionError("Http.FunctionError", said, handled=handled)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://other.example.com/new", "https://other.example.com/new"),
        ("https://me:pass@other.example.com/new?token=x#y", "https://other.example.com/new"),
        ("/new?a=b", "https://hooks.example.com:8443/new"),
        ("//other.example.com/new", "https://other.example.com/new"),
    ],
)
def test_a_redirect_is_told_and_not_followed(status: int, location: str, told: str) -> None:
    """INV-9: nothing ran; the sentence says what to write, without what may be a secret."""
    assert judged(status, Location=location) == NotInvoked(
        f"{status} Reason from hooks.example.com:8443: a redirect is not followed; write {told} into FunctionName"
    )


@pytest.mark.parametrize("location", ["", "http://[", "http://a:b:c/", "mailto:me", "http://x\x00y:99999999/"])
def test_a_redirect_to_nowhere(location: str) -> None:
    """INV-9: still not invoked, whatever the header says."""
    result = judged(302, Location=location)
    assert isinstance(result, NotInvoked)
    assert result.message.startswith("302 Reason from hooks.example.com:8443")
    assert result.message.isprintable()


def test_nothing_but_the_host_is_told_of_an_url() -> None:
    """A path or query may be the secret that lets one in."""
    assert place(HOOK) == "hooks.example.com:8443"
    assert place(URL("http://hooks.example.com/t/x?y")) == "hooks.example.com"
    assert place(URL("http://[::1]:8000/t")) == "[::1]:8000"


# --- Retry-After ---


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, float("inf")),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("1e3", None),
        ("soon", None),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW + 90), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799.0 - NOW),
        ("Wed, 99 Foo 2023 99:99:99 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """INV-4: seconds or a date; what cannot be understood is ignored."""
    assert seconds_asked(value, NOW) == seconds


def test_retry_after_does_not_depend_on_where_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-4: a date without a zone is UTC, as HTTP has no other."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert seconds_asked("Tue, 14 Nov 2023 22:14:50", NOW) == 90.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,9} [A-Z][a-z]{2} \d{1,20} \d+:\d+:\d+ ([A-Z]+|[+-]\d+)"))
def test_retry_after_may_be_anything(value: str) -> None:
    """INV-4: no text makes it fail, or ask for less than nothing."""
    seconds = seconds_asked(value, NOW)
    assert seconds is None or seconds >= 0


# --- the response ---


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n"])
@pytest.mark.parametrize("encoding", [None, "identity", "gzip"])
def test_no_body_is_null(body: bytes, encoding: str | None) -> None:
    """INV-9: a target that has nothing to say has nothing to complain about."""
    assert response(body, encoding, HOOK) == Succeeded(b"null")


def test_the_body_is_the_response() -> None:
    """INV-9: byte for byte, whatever it is."""
    assert response(b'{"batchItemFailures": []} ', None, HOOK) == Succeeded(b'{"batchItemFailures": []} ')
    assert response(b"OK", "br", HOOK) == Succeeded(b"OK")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
def test_a_body_that_was_compressed_unasked(encoding: str) -> None:
    """INV-9: some servers do; what cannot be inflated is not JSON, which the core judges."""
    packed = gzip.compress(b'{"a":1}')
    assert response(packed, encoding, HOOK) == Succeeded(b'{"a":1}')
    for broken in (packed[:-4], b"not gzip", packed[:12]):
        assert response(broken, encoding, HOOK) == Succeeded(broken)


def test_the_limit_is_met_to_the_byte() -> None:
    """INV-5: 6 MB and not one more, compressed or not."""
    most = b"1" * RESPONSE_LIMIT
    assert response(most, None, HOOK) == Succeeded(most)
    assert response(gzip.compress(most, 1), "gzip", HOOK) == Succeeded(most)
    for body, encoding in ((most + b"1", None), (gzip.compress(most + b"1", 1), "gzip")):
        result = response(body, encoding, HOOK)
        assert isinstance(result, FunctionError)
        assert result.error_type == "Function.ResponseSizeTooLarge"
        assert result.message == "the response of hooks.example.com:8443 has more than 6291456 bytes"


def test_a_bomb_is_not_inflated() -> None:
    """INV-5: a megabyte that stands for a gigabyte takes no more memory than the longest response."""
    body = bomb(1024)
    assert len(body) < RESPONSE_LIMIT
    tracemalloc.start()
    try:
        result = response(body, "gzip", HOOK)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(result, FunctionError)
    assert result.error_type == "Function.ResponseSizeTooLarge"
    assert peak < 3 * RESPONSE_LIMIT
