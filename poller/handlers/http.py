"""The targets `http://…` and `https://…`: the event of a batch is POSTed, and the answer says what became of it.

2xx                                     succeeded, the body is the response
429, 503                                throttled, Retry-After counts
other 4xx                               function error
408, 407, 3xx, other 5xx, no answer     not invoked
"""

import asyncio
import io
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from poller.clock import Clock, SystemClock
from poller.core.mapping import EventSourceMapping
from poller.core.model import InvocationResult, NotInvoked
from poller.core.payload import serialise
from poller.core.trace_headers import trace_fields
from poller.errors import ConfigurationError
from poller.handlers import signature
from poller.handlers.callables import RESPONSE_LIMIT
from poller.handlers.http_answer import place, refused, response, too_large
from poller.ports import Invocation
from poller.settings import environment
from poller.telling import one_line
from poller.version import __version__

CONNECT_SECONDS: Final = 10.0
"""For name, connection, proxy and TLS together. An answer may take until the invocation's deadline."""

IDLE_SECONDS: Final = 4.0
"""How long an idle connection is kept: below the 5 s after which common servers close theirs. A request that meets
such a close gets no answer, and whether it was run is not known."""

HEADER_BYTES: Final = 64 * 1024

_AT_ONCE: Final = 1024 * 1024
"""Bytes of a body that are written in one piece; the loop does other things between the pieces of a longer one."""

_STALE: Final = 3
"""Connections that are tried when one after the other turns out to be unusable before anything was sent."""


class _NothingSent(aiohttp.ClientConnectionError):
    """The connection cannot be used, and the request has not touched it."""


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """aiohttp would take what came on an idle connection for the answer to the next request, and a batch that
        never ran for done.
        """
        protocol = conn.protocol
        if protocol is None or protocol.should_close or not protocol.is_connected():
            raise _NothingSent
        conn.add_callback(partial(_drop_unsent, protocol.transport))
        return await super().send(conn)


def _drop_unsent(transport: asyncio.Transport | None) -> None:
    """A call that is over sends no more of its event: closed in order, a connection stays open, with all that is
    unsent, until the target reads that or goes away.
    """
    if transport is not None and transport.get_write_buffer_size():
        transport.abort()


class HttpHandler:
    """One mapping's URL, and its connections: kept alive, not more than the mapping has calls at once.

    A proxy of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) is used as by curl, and authorities
    in SSL_CERT_FILE or SSL_CERT_DIR are trusted. Cookies are not kept, redirects not followed, and nothing that
    was sent is sent again behind the mapping's back (INV-3).
    """

    def __init__(self, url: str, mapping: EventSourceMapping, clock: Clock | None = None) -> None:
        """`url` is the whole FunctionName."""
        self._text = url
        self._mapping = mapping
        self._clock = clock or SystemClock()
        self._secret: bytes | None = None
        self._proxy: URL | None = None
        self._url: URL
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """See ports.Handler. Connects to nothing yet: a target that is down now may be up when there is work."""
        name, settings = self._mapping.name, self._mapping.handler
        self._url = _parse(self._text, name)
        self._proxy = _proxy_for(self._url, name)
        if settings.hmac_secret_variable is not None:
            self._secret = signature.read_secret(settings.hmac_secret_variable, name, environment())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.concurrency, keepalive_timeout=IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",  # answers are short, and never longer than they seem
                "User-Agent": f"esm-poller/{__version__}",
                "Esm-Mapping": name,
                "Lambda-Runtime-Invoked-Function-Arn": self._mapping.function_arn,
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            request_class=_Request,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
        )

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """See ports.Handler. A loss after the request was sent counts as not invoked (INV-4), as GEN-2 allows."""
        session = self._session
        if session is None or session.closed:
            return NotInvoked("the handler is closed")
        body = serialise(invocation.event)
        try:
            for _ in range(_STALE - 1):
                with suppress(_NothingSent):
                    return await self._post(session, body, invocation)
            return await self._post(session, body, invocation)
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError, ValueError) as error:
            return NotInvoked(f"{_why(error)}: {place(self._url)}")

    async def close(self) -> None:
        """See ports.Handler."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, session: aiohttp.ClientSession, body: bytes, invocation: Invocation) -> InvocationResult:
        request = session.post(
            self._url,
            data=body if len(body) <= _AT_ONCE else io.BytesIO(body),
            headers=self._headers(body, invocation),
            proxy=self._proxy,
            allow_redirects=False,
        )
        async with request as answer:
            result = refused(answer.status, answer.reason, answer.headers, self._url, self._clock.now().wall)
            if result is not None:
                return result  # its body is of no use; a connection on which it has not come already is closed
            read = await _read(answer)
            if read is None:
                return too_large(self._url)  # what is left unread closes the connection
            return response(read, answer.headers.get("Content-Encoding"), self._url)

    def _headers(self, body: bytes, invocation: Invocation) -> Mapping[str, str]:
        """The names are those of Lambda's runtime API and of W3C Trace Context, the deadline is in milliseconds of
        the epoch.
        """
        now = self._clock.now()
        headers = {} if invocation.trace is None else trace_fields(invocation.trace)
        headers |= {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((now.wall + invocation.deadline - now.mono) * 1000)),
        }
        if self._secret is not None:
            headers[signature.HEADER] = signature.signature(self._secret, int(now.wall), body)
        return headers


async def _read(answer: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None as soon as it is known to be too long: the rest is not read (INV-5)."""
    if (answer.content_length or 0) > RESPONSE_LIMIT:
        return None
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > RESPONSE_LIMIT:
            return None
    return bytes(body)


def _parse(text: str, name: str) -> URL:
    """Whatever is wrong was told when the configuration was read; a program may bring a mapping of its own."""
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host or url.user is not None or url.password is not None:
        raise ConfigurationError(
            f"Mapping {name!r}: FunctionName is not a URL that can be called: it must be http:// or https:// with"
            " a host, and without user and password, which have no place in a configuration."
        )
    return url


def _proxy_for(url: URL, name: str) -> URL | None:
    """aiohttp's own way (trust_env) would read ~/.netrc too, and ask two threads at each request."""
    proxies = getproxies_environment()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in {"http", "https"} or not proxy.host:
        raise ConfigurationError(
            f"Mapping {name!r}: the proxy that the environment names for {url.scheme}:// cannot be used: it must"
            " be http:// or https:// with a host; NO_PROXY names the hosts that need none."
        )
    return proxy


def _why(error: Exception) -> str:
    """One reason for people. The errors' own texts are not told where they may quote what came."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            certificate = error.certificate_error
            told = certificate.verify_message if isinstance(certificate, ssl.SSLCertVerificationError) else ""
            return f"unreachable, its certificate is not accepted ({told or 'no reason given'})"
        case aiohttp.ClientHttpProxyError():
            return f"unreachable, the proxy answered {error.status}"
        case aiohttp.ClientProxyConnectionError():
            return f"unreachable, no connection to the proxy ({_short(error.os_error)})"
        case aiohttp.ClientConnectorError():
            return f"unreachable, no connection ({_short(error.os_error)})"
        case aiohttp.ConnectionTimeoutError():
            return f"unreachable, no connection within {CONNECT_SECONDS:g} s"
        case _NothingSent():
            return "unreachable, the connection speaks before it is asked"
        case aiohttp.ClientPayloadError():
            return "the answer broke off or is not HTTP; the batch may have been run"
        case aiohttp.ClientResponseError() | aiohttp.http.HttpProcessingError():
            return "the answer is not HTTP; the batch may have been run"
        case aiohttp.ClientConnectionError() | OSError():
            return "the connection ended before the answer; the batch may have been run"
        case _:
            return f"the request could not be made ({type(error).__name__})"


def _short(error: OSError) -> str:
    return one_line(error.strerror or str(error) or type(error).__name__)
