"""Answers in the form that Lambda's REST API has, so that SDKs make of a refusal the exception it is."""

import uuid
from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp import web

from poller.core.api_answers import Answer, Done, Refused
from poller.core.model import JsonObject

# Of Lambda's errors some have a `Message` and some a `message`.
_CAPITAL: Final = frozenset({"ResourceNotFoundException", "ResourceInUseException", "ServiceException"})
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def written(answer: Answer, headers: Mapping[str, str] | None = None) -> web.Response:
    """Status, `x-amzn-RequestId`, `x-amzn-ErrorType` and body; a 204 has none (API-1)."""
    told = {**_HEADERS, **(headers or {}), "x-amzn-RequestId": str(uuid.uuid4())}
    match answer:
        case Done(status=204):
            return web.Response(status=204, headers=told)
        case Done(status, body):
            return _json(body, status, told)
        case Refused(code, status, message):
            body = {
                "Type": "User" if status < 500 else "Service",
                "Message" if code in _CAPITAL else "message": message,
            }
            return _json(body, status, {**told, "x-amzn-ErrorType": code})


def _json(body: JsonObject, status: int, headers: Mapping[str, str]) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")
