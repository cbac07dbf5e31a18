"""The HTTP session of the SDK's clients, which goes nowhere else than it was told to.

aiobotocore lets aiohttp follow redirects, and a POST becomes a GET by that: a proxy that wants a log-in first
would answer for Lambda, with a success. botocore, whose rules these clients have, follows none; the redirects that
S3 has are read by its handlers.
"""

from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession


class StayingSession(AIOHTTPSession):  # type: ignore[misc] # the SDK has no types
    """For AioConfig's http_session_cls."""

    async def _get_session(self, proxy_url: str | None) -> "_Staying":
        return _Staying(await super()._get_session(proxy_url))


class _Staying:
    """Of aiohttp's session what the SDK asks for."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, url: Any, **options: Any) -> aiohttp.ClientResponse:
        return await self._session.request(method, url, allow_redirects=False, **options)
