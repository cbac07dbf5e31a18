"""A function in a container that has Lambda's Runtime Interface Emulator: `Handler.EndpointUrl`.

The emulator is no AWS: it has one path whatever the function is called, takes requests that nobody signed, and its
answers say less (lambda_answers.py). So there is no SDK in the way, and no credentials are needed.
"""

from io import BytesIO
from typing import Final

import aiohttp

from poller.aws import errors
from poller.aws.lambda_answers import MOST_BYTES, Answer, from_emulator, read_up_to
from poller.core.mapping import EventSourceMapping
from poller.core.model import InvocationResult, NotInvoked
from poller.core.payload import serialise
from poller.core.trace_headers import format_xray
from poller.errors import ConfigurationError
from poller.ports import Invocation

PATH: Final = "/2015-03-31/functions/function/invocations"
"""The emulator knows its function by this name; newer ones by its own as well."""

CONNECT_TIMEOUT: Final = 5.0

XRAY_HEADER: Final = "X-Amzn-Trace-Id"
"""The trace of a caller; Lambda gives it to the function as _X_AMZN_TRACE_ID."""


class EmulatorHandler:
    """One mapping's emulator, at the URL `endpoint`."""

    def __init__(self, mapping: EventSourceMapping, endpoint: str) -> None:
        self._name = mapping.name
        self._endpoint = endpoint.rstrip("/")
        self._concurrency = mapping.handler.concurrency
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Raises ConfigurationError for the URL of the call itself, which is the one in the emulator's manual."""
        if self._endpoint.endswith("/invocations"):
            address = self._endpoint.partition("/2015-03-31/")[0]
            raise ConfigurationError(
                f"Mapping {self._name!r}: Handler.EndpointUrl is the address of the emulator without the path of"
                f" the call: write {address}"
            )
        # The dispatcher keeps the time of a call. A function may be silent as long as it likes.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """See ports.Handler."""
        if self._session is None:
            return NotInvoked("the handler has been closed")
        try:
            call = self._session.post(
                self._endpoint + PATH,
                data=BytesIO(serialise(invocation.event)),  # it warns of many bytes in one piece
                headers={"Content-Type": "application/json"} | xray_header(invocation),
                allow_redirects=False,
            )
            async with call as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                read = await read_up_to(response.content, MOST_BYTES)
                result = from_emulator(Answer(response.status, headers, read))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = errors.clean(str(error)) or type(error).__name__
            result = NotInvoked(f"the call broke off ({said}); check Handler.EndpointUrl and the container")
        if isinstance(result, NotInvoked):
            return NotInvoked(f"The emulator at {self._endpoint} did not invoke the function: {result.message}.")
        return result

    async def close(self) -> None:
        """See ports.Handler."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def xray_header(invocation: Invocation) -> dict[str, str]:
    """The header that tells Lambda of our span, if there is one."""
    return {} if invocation.trace is None else {XRAY_HEADER: format_xray(invocation.trace)}
