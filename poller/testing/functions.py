"""Lambda, as far as an event source mapping needs it: functions that answer Invoke.

A test registers Python callables, which run in the event loop. What AWS does and this does not: code that is
uploaded, execution environments, asynchronous invocations, timeouts, limits of concurrency. Throttles and outages
are planted as faults.
"""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson

from poller.core.model import Instant, JsonObject
from poller.testing.calls import AwsError

LIMIT: Final = 6_291_556
"""Bytes that an event and a response may have."""

_REFERENCE: Final = re.compile(
    r"(?:arn:[^:]+:lambda:)?(?:[a-z]+(?:-[a-z]+)+-\d:)?(?:\d{12}:)?(?:function:)?"
    r"([A-Za-z0-9-_]+)(?::(\$LATEST|[A-Za-z0-9-_]+))?"
)


class FunctionFailed(Exception):  # noqa: N818 - it tells what is so, as Lambda's header does
    """Raised by a registered function: the answer is this payload with X-Amz-Function-Error `kind`."""

    def __init__(self, payload: bytes, kind: str = "Unhandled") -> None:
        super().__init__(kind)
        self.payload = payload
        self.kind = kind


class TooManyRequests(AwsError):  # noqa: N818 - named as AWS does
    """A throttled caller, who is told to wait for so many seconds; a registered function may raise it, too."""

    def __init__(
        self, retry_after: int = 2, reason: str = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.", 429)
        self.retry_after = retry_after
        self.reason = reason


Callee: TypeAlias = Callable[[bytes], bytes | Awaitable[bytes]]


@dataclass(slots=True)
class Function:
    """A registered function: `aliases` are the versions behind its aliases, `timeout` is in seconds."""

    name: str
    call: Callee
    aliases: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 3


class Functions:
    """Every function of one account and region, to be looked at and changed directly."""

    def __init__(self, *, region: str = "us-east-1", account: str = "000000000000") -> None:
        self.region = region
        self.account = account
        self.functions: dict[str, Function] = {}
        self.running: set[asyncio.Task[JsonObject]] = set()
        self._operations = {"Invoke": self._invoke, "GetFunctionConfiguration": self._configuration}

    def add(
        self,
        name: str,
        function: Callable[[Any], Any],
        *,
        aliases: Mapping[str, str] | None = None,
        timeout: int = 3,
    ) -> None:
        """Registers `function(event)`, sync or async, which returns the response; what it raises is an unhandled
        error.
        """
        self.add_raw(name, _called(function), aliases=aliases, timeout=timeout)

    def add_raw(
        self, name: str, function: Callee, *, aliases: Mapping[str, str] | None = None, timeout: int = 3
    ) -> None:
        """Registers `function(payload)`, sync or async, which returns the payload of the response or raises
        FunctionFailed.
        """
        self.functions[name] = Function(name, function, aliases or {}, timeout)

    def remove(self, name: str) -> None:
        """Deletes a function."""
        del self.functions[name]

    def arn(self, name: str) -> str:
        """The unqualified ARN of a function of this name."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{name}"

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject:
        """Does one operation; raises AwsError for whatever Lambda refuses. The answer of an Invoke is a task under
        `Running`, which goes on when nobody waits for it any more: so do functions at AWS.
        """
        if (do := self._operations.get(operation)) is None:
            raise AwsError("UnknownOperationException", f"The embedded Lambda does not know {operation}.", 404)
        return do(request)

    def _invoke(self, request: JsonObject) -> JsonObject:
        function, version = self._find(request)
        payload: bytes = request["Payload"]
        if len(payload) > LIMIT:
            text = f"Request must be smaller than {LIMIT} bytes for the InvokeFunction operation"
            raise AwsError("RequestTooLargeException", text, 413)
        if request.get("InvocationType", "RequestResponse") != "RequestResponse":
            raise AwsError("InvalidParameterValueException", "The embedded Lambda invokes synchronously only.")
        if payload and not _is_json(payload):
            raise AwsError("InvalidRequestContentException", "Could not parse request body into json")
        task = asyncio.get_running_loop().create_task(_run(function, version, payload or b"{}"))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return {"Running": task}

    async def close(self) -> None:
        """Cancels what still runs."""
        for task in (running := tuple(self.running)):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _configuration(self, request: JsonObject) -> JsonObject:
        function, version = self._find(request)
        return {
            "FunctionName": function.name,
            "FunctionArn": self.arn(function.name),
            "Timeout": function.timeout,
            "Version": version,
            "State": "Active",
            "LastUpdateStatus": "Successful",
        }

    def _find(self, request: JsonObject) -> tuple[Function, str]:
        """The function and its version that a name, a partial or a full ARN and a qualifier mean."""
        match = _REFERENCE.fullmatch(str(request["FunctionName"]))
        name, qualifier = match.groups() if match else (str(request["FunctionName"]), None)
        qualifier = request.get("Qualifier") or qualifier
        function = self.functions.get(name)
        version = "$LATEST"
        if function is not None and qualifier not in {None, "$LATEST"}:
            known = set(function.aliases.values())
            version = function.aliases.get(qualifier, qualifier if qualifier in known else "")
        if function is None or not version:
            arn = self.arn(name) + (f":{qualifier}" if qualifier else "")
            raise AwsError("ResourceNotFoundException", f"Function not found: {arn}", 404)
        return function, version


async def _run(function: Function, version: str, payload: bytes) -> JsonObject:
    answer: JsonObject = {"ExecutedVersion": version}
    try:
        result = function.call(payload)
        answer["Payload"] = await result if inspect.isawaitable(result) else result
    except FunctionFailed as failed:
        answer |= {"Payload": failed.payload, "FunctionError": failed.kind}
    if len(answer["Payload"]) > LIMIT:
        text = f"Response payload size exceeded maximum allowed payload size ({LIMIT} bytes)."
        told = {"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}
        answer |= {"Payload": orjson.dumps(told), "FunctionError": "Unhandled"}
    return answer


def _called(function: Callable[[Any], Any]) -> Callee:
    async def call(payload: bytes) -> bytes:
        try:
            result = function(orjson.loads(payload))
            return orjson.dumps(await result if inspect.isawaitable(result) else result)
        except (FunctionFailed, AwsError):
            raise
        except Exception as error:
            told = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []}
            raise FunctionFailed(orjson.dumps(told)) from error

    return call


def _is_json(payload: bytes) -> bool:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return True
