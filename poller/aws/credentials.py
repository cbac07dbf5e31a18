"""Credentials of all clients, from aiobotocore's session, which refreshes them before they expire.

The hot path reads an attribute; the session is asked about twice a minute. When the service calls credentials
expired, or loading failed, a new session is made: botocore's keeps what it once read from files.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError

from poller.aws.errors import no_credentials
from poller.aws.sigv4 import Credentials
from poller.clock import Clock
from poller.errors import SourceError

# How long an answer of the session is used without asking it again; it refreshes minutes before expiry.
TRUSTED_SECONDS = 30.0
# How long a failure is repeated to all who ask, so that a hundred mappings do not ask a sick source at once.
FAILURE_SECONDS = 1.0
# The least time between two loads that refused credentials may cause.
RENEWAL_SECONDS = 2.0


class CredentialSource:
    """The credentials of one process. Belongs to one event loop. `mono` is monotonic seconds throughout."""

    def __init__(self, make_session: Callable[[], AioSession]) -> None:
        self._make_session = make_session
        self._session: AioSession | None = None
        self._lock = asyncio.Lock()
        self._held: Credentials | None = None
        self._held_until = 0.0
        self._failure: SourceError | None = None
        self._failure_until = 0.0

    def held(self, mono: float) -> Credentials | None:
        """The credentials in hand, or None when `load` must be awaited."""
        return self._held if mono < self._held_until else None

    async def load(self, mono: float) -> Credentials:
        """Asks the session, once for all who wait. Raises SourceError(CREDENTIALS); the next call tries anew."""
        async with self._lock:
            held = self.held(mono)
            if held is not None:
                return held
            if self._failure is not None and mono < self._failure_until:
                raise self._failure
            try:
                found = await self._ask()
            except SourceError as error:
                self._session = None
                self._failure, self._failure_until = error, mono + FAILURE_SECONDS
                raise
            known = self._held
            if known is None or found != known:  # an equal tuple keeps its identity: signers keep their key by it
                known = self._held = found
            self._held_until = mono + TRUSTED_SECONDS
            self._failure = None
            return known

    def reject(self, refused: Credentials, mono: float) -> None:
        """The service called these expired or unknown: `load` will start from a new session, now and then."""
        if self._held is refused and mono >= self._held_until - TRUSTED_SECONDS + RENEWAL_SECONDS:
            self._held_until = 0.0
            self._session = None

    async def _ask(self) -> Credentials:
        try:
            if self._session is None:
                self._session = self._make_session()
            source = await self._session.get_credentials()
            frozen = None if source is None else await source.get_frozen_credentials()
        except (BotoCoreError, ClientError, OSError, ValueError, KeyError, RuntimeError) as error:
            # The chain calls processes, files and services of others; what they break must stay an error state.
            raise no_credentials(error) from error
        if frozen is None:
            raise no_credentials(None)
        found = Credentials(frozen.access_key, frozen.secret_key, frozen.token or None)
        for part in found:
            if part is not None and not (part and part.isascii() and part.isprintable() and " " not in part):
                raise no_credentials(ValueError("a key or token is empty or has spaces or line breaks in it"))
        return found


class SharedCredentials(AioCredentials):  # type: ignore[misc] # the SDK has no types
    """The same for an SDK client: the "credential_provider" of its session, and what that provides."""

    def __init__(self, source: CredentialSource, clock: Clock) -> None:
        super().__init__("", "")
        self._source = source
        self._clock = clock

    async def load_credentials(self) -> Self:
        """Asked when a client is made; nothing is looked for yet."""
        return self

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Asked for each call. Raises SourceError(CREDENTIALS)."""
        mono = self._clock.now().mono
        found = self._source.held(mono) or await self._source.load(mono)
        return ReadOnlyCredentials(found.access_key, found.secret_key, found.token, None)
