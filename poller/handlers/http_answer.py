"""What an HTTP target's answer says, apart from any connection: which of the four results, when to come again.

Nothing here quotes a body or a query: bodies may hold record data, queries secrets.
"""

import zlib
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from yarl import URL

from poller.core.model import FunctionError, InvocationResult, NotInvoked, Succeeded, Throttled
from poller.handlers.callables import RESPONSE_LIMIT
from poller.telling import one_line

_THROTTLED: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_NOT_REACHED: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}
"""4xx that no function gave: the server that waited in vain for the request, and a proxy on the way."""

_GZIP: Final = zlib.MAX_WBITS + 16


def refused(
    status: int, reason: str | None, headers: Mapping[str, str], url: URL, now: float
) -> InvocationResult | None:
    """The result of an answer that is no success, by its status and headers alone; None for a success (INV-9).

    A 2xx with X-Amz-Function-Error is a function error, as with Lambda (INV-2). No redirect is followed: most make
    a GET of a POST, and all would take records to a place that nobody wrote down. Nothing ran, so it counts as not
    invoked, and the sentence says which URL to write. `now` is epoch seconds.
    """
    said = f"{status} {one_line(reason or '')}".rstrip() + f" from {place(url)}"
    if 200 <= status < 300:
        error = headers.get("X-Amz-Function-Error")
        if error is None:
            return None
        handled = error.strip().lower() == "handled"
        kind = "Handled" if handled else "Unhandled"
        return FunctionError("Http.FunctionError", f"{said} with X-Amz-Function-Error: {kind}", handled=handled)
    if status in _THROTTLED:
        return Throttled(said, seconds_asked(headers.get("Retry-After"), now))
    if 300 <= status < 400:
        target = _redirect(headers.get("Location"), url)
        advice = f"a redirect is not followed; write {target} into FunctionName" if target else "nothing was run"
        return NotInvoked(f"{said}: {advice}")
    if 400 <= status < 500 and status not in _NOT_REACHED:
        return FunctionError(f"Http.{status}", said)
    return NotInvoked(said)


def response(body: bytes, encoding: str | None, url: URL) -> InvocationResult:
    """The result of a 2xx with this body, which is JSON text or nothing (INV-5).

    A body that was compressed although nobody asked for it is inflated, no further than a response may be long.
    What cannot be inflated stays as it came, and means what any text means that is not JSON.
    """
    if encoding is not None and encoding.strip().lower() in {"gzip", "x-gzip"}:
        inflater = zlib.decompressobj(wbits=_GZIP)
        try:
            inflated = inflater.decompress(body, RESPONSE_LIMIT + 1)
        except zlib.error:
            inflated = body
        if inflater.eof or len(inflated) > RESPONSE_LIMIT:
            body = inflated
    if len(body) > RESPONSE_LIMIT:
        return too_large(url)
    return Succeeded(b"null" if not body or body.isspace() else body)


def too_large(url: URL) -> FunctionError:
    """INV-5: a response over 6 MB."""
    text = f"the response of {place(url)} has more than {RESPONSE_LIMIT} bytes"
    return FunctionError("Function.ResponseSizeTooLarge", text)


def place(url: URL) -> str:
    """The host, and the port where there is one: what may be told of an URL."""
    return one_line(url.raw_authority)


def seconds_asked(value: str | None, now: float) -> float | None:
    """Retry-After, which is seconds or a date, as seconds from `now` (epoch seconds); None where it cannot be
    understood. A date that is past asks for nothing.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, IndexError, OverflowError):  # the parser raises what its parts do
        return None
    return max(0.0, moment - now)


def _redirect(location: str | None, url: URL) -> str | None:
    try:
        target = url.join(URL(location)) if location else None
    except ValueError:
        return None
    if target is None or target.host is None:
        return None
    return one_line(str(target.with_user(None).with_query(None).with_fragment(None)))
