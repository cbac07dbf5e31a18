"""The data plane's client: AWS JSON over http1, signed, with a deadline on every call and errors made ours.

One WireClient speaks to one service in one region. Operations are the service's names, bodies its JSON.
"""

import asyncio
import json
import random
from collections.abc import Callable
from email.utils import mktime_tz, parsedate_tz
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import orjson

from poller.aws import errors
from poller.aws.credentials import CredentialSource
from poller.aws.http1 import HttpClient, HttpError, HttpResponse
from poller.aws.sigv4 import Credentials, Signer
from poller.clock import Clock
from poller.core.fact import fact
from poller.core.model import JsonObject, SourceProblem
from poller.errors import SourceError
from poller.version import __version__


class Protocol(NamedTuple):
    """How a service is spoken to: the prefix of X-Amz-Target, the AWS JSON version, the name it signs under."""

    target: str
    json_version: str
    signing_name: str


PROTOCOLS = {
    "sqs": Protocol("AmazonSQS", "1.0", "sqs"),
    "kinesis": Protocol("Kinesis_20131202", "1.1", "kinesis"),
    "dynamodb": Protocol("DynamoDB_20120810", "1.0", "dynamodb"),
    "dynamodbstreams": Protocol("DynamoDBStreams_20120810", "1.0", "dynamodb"),
}

# Told once for each exchange: service, operation, "success" or a SourceProblem, seconds.
Observer: TypeAlias = Callable[[str, str, str, float], None]

RETRYABLE = frozenset({SourceProblem.THROTTLED, SourceProblem.SERVER, SourceProblem.UNREACHABLE})
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
# Below this a refused signature is not the clock's doing: AWS allows five minutes, Date has whole seconds.
SKEW_SECONDS = 30.0


@fact
class WireAnswer:
    """The answer's JSON object, the bytes it took on the wire, and its headers."""

    data: JsonObject
    size: int
    headers: dict[bytes, bytes]

    def told_at(self) -> float | None:
        """The service's own time by the Date header, whole epoch seconds; None without a readable one."""
        return _seconds(next((value for name, value in self.headers.items() if name.lower() == b"date"), b""))


class WireClient:
    """Calls one service. Belongs to the event loop of its HttpClient, which it does not close."""

    def __init__(
        self,
        service: str,
        region: str,
        *,
        endpoint: str,
        http: HttpClient,
        credentials: CredentialSource,
        clock: Clock,
        observe: Observer | None = None,
    ) -> None:
        self.service = service
        self.host = http.authority
        self.endpoint = endpoint
        self._prefix = PROTOCOLS[service].target + "."
        self._http = http
        self._loop: asyncio.AbstractEventLoop | None = None
        self._credentials = credentials
        self._clock = clock
        self._observe = observe
        self._skew = 0.0
        protocol = PROTOCOLS[service]
        self._signer = Signer(
            protocol.signing_name,
            region,
            http.authority,
            urlsplit(endpoint).path or "/",
            f"application/x-amz-json-{protocol.json_version}",
        )
        self._agent = f"User-Agent: esm-poller/{__version__}\r\n".encode()

    async def call(
        self, operation: str, body: JsonObject | bytes, *, deadline: float, attempts: int = 1
    ) -> WireAnswer:
        """One operation within `deadline` seconds, retries included. Raises SourceError.

        With `attempts` above 1, throttles, 5xx and lost connections are tried again after a jittered pause, while
        the deadline leaves room for it. The operation must be safe to repeat: an answer may have been lost.
        """
        payload = body if isinstance(body, bytes) else _encode(body)
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        tries = 0
        while True:
            try:
                # what nearly every call comes to, without another coroutine around it
                answer = await self._exchange(operation, payload, loop, until, correcting=True)
                if answer is None:  # refused for a clock or credentials that are put right since
                    answer = await self._exchange(operation, payload, loop, until, correcting=False)
                    assert answer is not None
                return answer  # noqa: TRY300 - nothing but an exchange raises SourceError
            except SourceError as error:
                pause = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries, 16)))  # noqa: S311 - jitter
                tries += 1
                if tries >= attempts or error.problem not in RETRYABLE or loop.time() + pause >= until:
                    raise
            # no error is kept beyond here: with the frames that it knows it would stay until the collector comes
            await asyncio.sleep(pause)

    async def _exchange(
        self, operation: str, payload: bytes, loop: asyncio.AbstractEventLoop, until: float, *, correcting: bool
    ) -> WireAnswer | None:
        """None: refused, but its reason is corrected now (only with `correcting`)."""
        started = loop.time()
        outcome = ""
        try:
            now = self._clock.now()
            credentials = self._credentials.held(now.mono)
            if credentials is None:
                credentials = await self._load_credentials(operation, until)
            signed = self._signer.sign(credentials, self._prefix + operation, payload, now.wall + self._skew)
            try:
                response = await self._http.post(
                    self._agent + signed, payload, until - loop.time(), idempotent=True
                )
            except HttpError as error:
                raise errors.unreached(self.service, operation, self.host, error) from error
            if response.status == 200:
                data = self._decode(operation, response.body)
                answer = WireAnswer(data, len(response.body), response.headers)
                outcome = "success"
                return answer
            refusal = errors.read_refusal(response)
            if correcting and (
                self._learn_clock(refusal, response, now.wall)
                or await self._renew_credentials(refusal, operation, credentials, until)
            ):
                outcome = errors.refused(self.service, operation, self.host, refusal).problem
                return None
            raise errors.refused(self.service, operation, self.host, refusal)
        except SourceError as error:
            outcome = error.problem
            raise
        finally:
            if outcome and self._observe is not None:  # a cancelled call has no outcome
                self._observe(self.service, operation, outcome, loop.time() - started)

    def _learn_clock(self, refusal: errors.Refusal, response: HttpResponse, wall: float) -> bool:
        """Takes the service's time for ours from now on, when a refused signature shows that they differ."""
        if refusal.code not in errors.CLOCK_SUSPECTS:
            return False
        told = _seconds(response.header(b"date") or b"")
        if told is None or abs(told - wall - self._skew) < SKEW_SECONDS:
            return False
        self._skew = told - wall
        return True

    async def _renew_credentials(
        self, refusal: errors.Refusal, operation: str, credentials: Credentials, until: float
    ) -> bool:
        """Asks for credentials anew after a word that they expired; True when there are others now."""
        if refusal.code not in errors.EXPIRED_CREDENTIALS:
            return False
        self._credentials.reject(credentials, self._clock.now().mono)
        return await self._load_credentials(operation, until) != credentials

    async def _load_credentials(self, operation: str, until: float) -> Credentials:
        seconds = until - asyncio.get_running_loop().time()
        mono = self._clock.now().mono
        return await self._credentials.load_within(seconds, mono, f"{self.service} {operation}")

    def _decode(self, operation: str, body: bytes) -> JsonObject:
        if not body:
            return {}
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError:
            data = self._decode_leniently(operation, body)
        if not isinstance(data, dict):
            raise errors.unreadable(self.service, operation, self.host, "not an object")
        return data

    def _decode_leniently(self, operation: str, body: bytes) -> Any:
        """Some services let lone surrogates (a cut emoji) through; orjson does not, the standard library does."""
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise errors.unreadable(self.service, operation, self.host, "broken JSON") from error


def _seconds(date: bytes) -> float | None:
    """Epoch seconds of a Date header."""
    try:
        told = parsedate_tz(date.decode("latin-1"))
        return None if told is None else float(mktime_tz(told))
    except (ValueError, OverflowError, TypeError):
        return None


def _encode(body: JsonObject) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a lone surrogate or a number beyond 64 bits
        return json.dumps(body).encode()
