"""Lambda's own protocol: which operation a method and a path mean, the forms of answers and refusals."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from poller.core.model import JsonObject
from poller.testing.calls import AwsError, RestAnswer
from poller.testing.functions import TooManyRequests

PREFIX: Final = "/2015-03-31/functions/"

_PATH: Final = re.compile(re.escape(PREFIX) + r"([^/]+)/(invocations|configuration)")
_OPERATIONS: Final = {("POST", "invocations"): "Invoke", ("GET", "configuration"): "GetFunctionConfiguration"}
_JSON: Final = {"Content-Type": "application/json"}


def read_request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[str, JsonObject]:
    """The operation and its fields. Raises AwsError."""
    parts = urlsplit(url)
    match = _PATH.fullmatch(parts.path)
    operation = _OPERATIONS.get((method, match[2])) if match else None
    if match is None or operation is None:
        raise AwsError(
            "UnknownOperationException", f"The embedded Lambda has nothing for {method} {parts.path}.", 404
        )
    request: JsonObject = {"FunctionName": unquote(match[1])}
    if qualifier := parse_qs(parts.query).get("Qualifier"):
        request["Qualifier"] = qualifier[0]
    if operation == "Invoke":
        request |= {
            "Payload": body,
            "InvocationType": headers.get("x-amz-invocation-type", "RequestResponse"),
        }
    return operation, request


def write_configuration(answer: JsonObject) -> RestAnswer:
    """Status, headers and body of a GetFunctionConfiguration."""
    return 200, _JSON, orjson.dumps(answer)


async def written(running: asyncio.Task[JsonObject]) -> RestAnswer:
    """The same of an Invoke, once its function is done."""
    try:
        answer = await asyncio.shield(running)
    except AwsError as error:
        return write_error(error)
    headers = _JSON | {"X-Amz-Executed-Version": answer["ExecutedVersion"]}
    if "FunctionError" in answer:
        headers["X-Amz-Function-Error"] = answer["FunctionError"]
    return 200, headers, answer["Payload"]


def write_error(error: AwsError) -> RestAnswer:
    """The same of a refusal; Lambda is not of one mind about the case of `message`."""
    told: JsonObject = {"Type": "User" if error.sender_fault else "Service"}
    headers = _JSON | {"x-amzn-ErrorType": error.name}
    if isinstance(error, TooManyRequests):
        told |= {"Reason": error.reason, "message": error.message}
        headers["Retry-After"] = str(error.retry_after)
    else:
        told["Message"] = error.message
    return error.status, headers, orjson.dumps(told)
