"""Who may ask the control listener for what: Host and Origin, keys, the size of a body and the time it takes.

Without keys the listener is on the loopback (config_shape.py refuses anything else), where a web page is the one
to fear: it can make a browser send requests to 127.0.0.1. It cannot read the answers, unless its own name is made
to point there (rebinding): so the Host must be one of the loopback's. And what it sends says where it comes from:
so nothing changes for a page that is not ours. With keys, who has one may come under any name, as through a proxy.
"""

import asyncio
import hmac
from collections.abc import Collection
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from poller.clock import Clock
from poller.core.api_answers import Refused
from poller.core.sigv4 import ALGORITHM, SignedRequest, check_signature
from poller.http import answers, aws_form
from poller.http.keys import Keys

LONGEST_BODY: Final = 262_144  # bytes; the largest that can mean something is a quarter of it
BODY_DEADLINE: Final = 30.0  # seconds for a body to arrive

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
_PORTS: Final = {"http": ":80", "https": ":443"}


def is_aws(request: web.Request) -> bool:
    """Whether it is a request to Lambda's API, whose paths begin with a date, and wants answers in its form."""
    return request.path.startswith("/20")


def refuse(request: web.Request, refused: Refused) -> web.Response:
    """In the form that who asks understands."""
    if is_aws(request):
        return aws_form.written(refused)
    return answers.text(f"{refused.message.removesuffix('.')}.\n", refused.status)


async def read_body(request: web.Request) -> bytes | Refused:
    """The whole body; the same when asked again."""
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        text = f"The body of a request may have {LONGEST_BODY} bytes here, no more."
        return Refused("RequestEntityTooLargeException", 413, text)
    except TimeoutError:
        return Refused(
            "RequestTimeoutException", 408, f"The body did not arrive within {BODY_DEADLINE:g} seconds."
        )
    except (HttpProcessingError, web.RequestPayloadError, ConnectionError):  # the last: nobody will hear it
        return Refused("SerializationException", 400, "The body is not what its headers say.")


def make_guard(keys: Keys, clock: Clock, open_paths: Collection[str] = ()) -> Middleware:
    """The middleware before every route. `open_paths` need no key: pages that tell nothing by themselves."""

    @web.middleware
    async def guard(request: web.Request, handler: answers.Answer) -> web.StreamResponse:
        if (refused := _malformed(request) or _cross_site(request)) is not None:
            return refuse(request, refused)
        if not keys.wanted:
            return await answers.own_host_only(request, handler)
        if not (request.path in open_paths and request.method in _READS):
            refused = await _without_key(request, keys, clock)
            if refused is not None:
                answer = refuse(request, refused)
                if not is_aws(request) and refused.status == 401:
                    answer.headers["WWW-Authenticate"] = 'Bearer realm="poller"'
                return answer
        return await handler(request)

    return guard


def _malformed(request: web.Request) -> Refused | None:
    """Requests of which two readers could see different ones."""
    target = request.raw_path
    if not target.startswith("/") or "#" in target:
        return Refused("ValidationException", 400, "The target of a request must be a path, begun with a slash.")
    for name in ("Host", "Authorization", "Content-Type", "Origin", "X-Amz-Date"):
        if len(request.headers.getall(name, [])) > 1:
            return Refused("ValidationException", 400, f"The header {name} may be there once only.")
    return None


def _cross_site(request: web.Request) -> Refused | None:
    if request.method in _READS:
        return None
    headers = request.headers
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if (site is None or site.lower() in _OWN_SITES) and (
        origin is None or _authority(origin) == headers.get("Host", "").strip().lower()
    ):
        return None
    return Refused("AccessDeniedException", 403, "Pages of another origin may change nothing here.")


def _authority(origin: str) -> str:
    """What a browser sends as Host to that origin."""
    try:
        parts = urlsplit(origin.strip().lower())
    except ValueError:
        return "\0"  # is no Host
    return parts.netloc.removesuffix(_PORTS.get(parts.scheme, "\0")) or "\0"


async def _without_key(request: web.Request, keys: Keys, clock: Clock) -> Refused | None:
    """None when the request has a key."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if keys.token is not None and scheme.lower() == "bearer":
        if _same(given.strip(), keys.token):
            return None
        code = "UnrecognizedClientException"
        return _forbidden(request, code, "The bearer token is not the one of Settings.ControlApi.TokenVariable.")
    if not keys.secrets or scheme != ALGORITHM:
        code = "MissingAuthenticationTokenException"
        return _forbidden(request, code, f"A key is wanted: {_ways(keys)}.")
    body = await read_body(request)
    if isinstance(body, Refused):
        return body
    signed = SignedRequest(request.method, request.raw_path, tuple(request.headers.items()), body)
    return check_signature(signed, keys.secrets, "lambda", clock.now().wall)


def _forbidden(request: web.Request, code: str, message: str) -> Refused:
    return Refused(code, 403 if is_aws(request) else 401, message)


def _ways(keys: Keys) -> str:
    ways = []
    if keys.token is not None:
        ways.append("Authorization: Bearer <token>")
    if keys.secrets:
        ways.append("a signature of Signature Version 4 for the service lambda")
    return ", or ".join(ways)


def _same(given: str, kept: str) -> bool:
    """In a time that tells nothing of either, their lengths included."""
    one, other = (sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, kept))
    return hmac.compare_digest(one, other)
