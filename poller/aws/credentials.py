"""Credentials of all clients, from aiobotocore's session, which refreshes them before they expire.

The hot path reads an attribute; the session is asked about twice a minute. When the service calls credentials
expired, or loading failed, a new session is made: botocore's keeps what it once read from files.

A load belongs to nobody who waits for it: a source may take longer than a call has (somebody is asked for a code
or a touch), and each call that gave up would start it again, and leave a process behind.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Self

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError

from poller.aws.errors import no_credentials
from poller.aws.sigv4 import Credentials
from poller.clock import Clock
from poller.core.model import SourceProblem
from poller.errors import SourceError

# How long an answer of the session is used without asking it again; it refreshes minutes before expiry.
TRUSTED_SECONDS = 30.0
# How long a failure is repeated to all who ask, so that a hundred mappings do not ask a sick source at once.
FAILURE_SECONDS = 1.0
# The least time between two loads that refused credentials may cause.
RENEWAL_SECONDS = 2.0
# How long one load may take; whoever waits has a deadline of its own.
LOAD_SECONDS = 60.0


class CredentialSource:
    """The credentials of one process. Belongs to one event loop. `mono` is monotonic seconds throughout."""

    def __init__(self, make_session: Callable[[], AioSession]) -> None:
        self._make_session = make_session
        self._session: AioSession | None = None
        self._loading: asyncio.Task[None] | None = None
        self._held: Credentials | None = None
        self._held_until = 0.0
        self._rejected = -inf  # when refused credentials caused a load
        self._failure: SourceError | None = None
        self._failure_until = 0.0

    def held(self, mono: float) -> Credentials | None:
        """The credentials in hand, or None when `load` must be awaited."""
        return self._held if mono < self._held_until else None

    async def load(self, mono: float) -> Credentials:
        """Asks the session, once for all who wait: who is cancelled leaves it to the others, and to the next.

        Raises SourceError(CREDENTIALS), at the latest after LOAD_SECONDS; the next call tries anew.
        """
        if (held := self.held(mono)) is not None:
            return held
        if self._failure is None or mono >= self._failure_until:
            if self._loading is None or self._loading.done():
                self._loading = asyncio.create_task(self._load(mono))
            loading = self._loading
            await asyncio.wait([loading])
            if loading.cancelled():
                raise no_credentials(RuntimeError("nobody wants them any more"))
        if self._failure is not None:
            raise self._failure
        assert self._held is not None
        return self._held

    async def load_within(self, seconds: float, mono: float, purpose: str) -> Credentials:
        """`load`, for a call that cannot wait longer: it fails then, with SourceError(CREDENTIALS) too."""
        try:
            async with asyncio.timeout(seconds):
                return await self.load(mono)
        except TimeoutError as error:
            raise SourceError(
                SourceProblem.CREDENTIALS,
                f"AWS credentials were not there in time for {purpose}. Check their source "
                "(instance or container role, SSO, credential_process).",
            ) from error

    async def close(self) -> None:
        """Ends a load that is under way; whoever waits for it gets the SourceError."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])

    async def _load(self, mono: float) -> None:
        """Notes what came of it; raises nothing, for there may be nobody left who would hear it."""
        try:
            found = await self._ask()
        except SourceError as error:
            self._session = None
            self._failure, self._failure_until = error, mono + FAILURE_SECONDS
        else:
            if found != self._held:  # an equal tuple keeps its identity: signers keep their key by it
                self._held = found
            self._held_until = mono + TRUSTED_SECONDS
            self._failure = None

    def reject(self, refused: Credentials, mono: float) -> None:
        """The service called these expired or unknown: `load` will start from a new session, now and then."""
        if self._held is refused and mono >= self._rejected + RENEWAL_SECONDS:
            self._rejected = mono
            self._held_until = 0.0
            self._session = None

    async def _ask(self) -> Credentials:
        try:
            if self._session is None:
                self._session = self._make_session()
            async with asyncio.timeout(LOAD_SECONDS):
                source = await self._session.get_credentials()
                frozen = None if source is None else await source.get_frozen_credentials()
        except TimeoutError as error:
            late = str(error) or f"their source did not answer within {LOAD_SECONDS:g} s"
            raise no_credentials(TimeoutError(late)) from error
        except (BotoCoreError, ClientError, OSError, ValueError, KeyError, RuntimeError) as error:
            # The chain calls processes, files and services of others; what they break must stay an error state.
            raise no_credentials(error) from error
        except Exception as error:  # nor does it look at what they tell before it takes that apart
            # such an error may quote what came, and that may have been a key
            said = f"what their source told cannot be read ({type(error).__name__})"
            raise no_credentials(ValueError(said)) from error
        if frozen is None:
            raise no_credentials(None)
        found = Credentials(frozen.access_key, frozen.secret_key, frozen.token or None)
        if not (_is_usable(found.access_key) and _is_usable(found.secret_key)) or (
            found.token is not None and not _is_usable(found.token)
        ):
            raise no_credentials(ValueError("a key or token is empty or has spaces or line breaks in it"))
        return found


def _is_usable(part: object) -> bool:
    """Whether it can stand in a header; what a process or a service tells need not even be text."""
    return isinstance(part, str) and part != "" and part.isascii() and part.isprintable() and " " not in part


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
