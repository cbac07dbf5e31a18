"""The routes of Lambda's REST API that are about event source mappings: a request in, an operation of Control, an
answer in AWS's form.

The listener has a thread of its own. What only reads is answered here; what changes something is done on the main
event loop, which a handler may block: then the answer says so, instead of coming never.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from poller.control import Control
from poller.core.api_answers import Answer, Refused, refused
from poller.errors import PollerError
from poller.http import aws_form
from poller.http.guard import read_body

MAPPINGS: Final = "/2015-03-31/event-source-mappings"
TAGS: Final = "/2017-03-31/tags"
CHANGE_DEADLINE: Final = 10.0  # seconds; SDKs wait for sixty and then try again

_MOST_PARAMETERS: Final = 200  # more than the tags that a mapping may have
_JSON: Final = ("application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1")

_log = logging.getLogger("poller")

Operation: TypeAlias = Callable[[web.Request], Awaitable[Answer]]
Change: TypeAlias = Callable[[], Coroutine[Any, Any, Answer]]


@dataclass(frozen=True, slots=True)
class MainLoop:
    """The loop on which mappings are changed, seen from the thread of the listener."""

    loop: asyncio.AbstractEventLoop
    deadline: float = CHANGE_DEADLINE  # seconds

    async def run(self, change: Change) -> Answer:
        """The answer of the change, or after the deadline what is known: it has not begun, and then it never
        will, or it is under way.
        """
        claim = threading.Lock()  # whoever takes it decides whether the change is made

        async def begun() -> Answer | None:
            return await _told(change) if claim.acquire(blocking=False) else None

        work = begun()
        try:
            running = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:  # the loop is closed
            work.close()
            return refused("ServiceException", "poller is stopping: nothing was changed.")
        # shielded: what has begun is not cut off halfway because somebody does not wait for its end
        waiting = asyncio.shield(asyncio.wrap_future(running))
        try:
            answer = await asyncio.wait_for(waiting, self.deadline)
        except TimeoutError:
            if claim.acquire(blocking=False):
                return refused(
                    "ServiceException",
                    f"A handler has blocked the event loop for {self.deadline:g} seconds: nothing was changed; try"
                    " again (and have that handler run in a thread or in a process of its own).",
                )
            return refused(
                "ServiceException",
                f"The change has begun and was not done within {self.deadline:g} seconds; it goes on: see later"
                " what has become of it.",
            )
        assert answer is not None, "only the deadline takes the claim away"
        return answer


async def _told(change: Change) -> Answer:
    try:
        return await change()
    except PollerError as error:
        _log.warning(f"a request to the control API failed: {error}", extra={"action": "control_api_failed"})
        return refused("ServiceException", str(error))


def add_control_api(app: web.Application, control: Control, main: MainLoop) -> None:
    """Adds the routes: API-1 and what API-13 says of lists."""
    api = _Api(control, main)
    for path in (MAPPINGS, f"{MAPPINGS}/"):
        app.router.add_post(path, _route(api.create))
        app.router.add_get(path, _route(api.list))
    app.router.add_get(f"{MAPPINGS}/{{uuid}}", _route(api.get))
    app.router.add_put(f"{MAPPINGS}/{{uuid}}", _route(api.update))
    app.router.add_delete(f"{MAPPINGS}/{{uuid}}", _route(api.delete))
    app.router.add_get(f"{TAGS}/{{arn:.+}}", _route(api.list_tags))
    app.router.add_post(f"{TAGS}/{{arn:.+}}", _route(api.tag))
    app.router.add_delete(f"{TAGS}/{{arn:.+}}", _route(api.untag))
    app.router.add_route("*", "/{version:20[0-9]{2}-[0-9]{2}-[0-9]{2}}{path:.*}", _route(_unknown))


class _Api:
    """What each route does."""

    def __init__(self, control: Control, main: MainLoop) -> None:
        self._control = control
        self._main = main

    async def create(self, request: web.Request) -> Answer:
        fields = await _read_json(request)
        if isinstance(fields, Refused):
            return fields
        return await self._main.run(lambda: self._control.create(fields))

    async def list(self, request: web.Request) -> Answer:
        query = _query(request)
        if isinstance(query, Refused):
            return query
        if twice := sorted(name for name, values in query.items() if len(values) > 1):
            return refused("ValidationException", f"The query has {_shown(twice[0])} twice; it may be there once.")
        return self._control.list({name: values[0] for name, values in query.items()})

    async def get(self, request: web.Request) -> Answer:
        return self._control.get(request.match_info["uuid"])

    async def update(self, request: web.Request) -> Answer:
        uuid = request.match_info["uuid"]
        fields = await _read_json(request)
        if isinstance(fields, Refused):
            return fields
        return await self._main.run(lambda: self._control.update(uuid, fields))

    async def delete(self, request: web.Request) -> Answer:
        uuid = request.match_info["uuid"]
        return await self._main.run(lambda: self._control.delete(uuid))

    async def list_tags(self, request: web.Request) -> Answer:
        return self._control.list_tags(request.match_info["arn"])

    async def tag(self, request: web.Request) -> Answer:
        arn = request.match_info["arn"]
        fields = await _read_json(request)
        if isinstance(fields, Refused):
            return fields
        tags = fields.get("Tags")
        return await self._main.run(lambda: self._control.tag(arn, tags))

    async def untag(self, request: web.Request) -> Answer:
        arn = request.match_info["arn"]
        query = _query(request)
        if isinstance(query, Refused):
            return query
        keys = query.get("tagKeys", [])
        return await self._main.run(lambda: self._control.untag(arn, keys))


def _route(operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        return aws_form.written(await operation(request))

    return handler


async def _unknown(request: web.Request) -> Answer:
    text = (
        f"poller has the operations on event source mappings and on their tags, and nothing for {request.method}"
    )
    return Refused("UnknownOperationException", 404, f"{text} here.")


async def _read_json(request: web.Request) -> dict[str, Any] | Refused:
    """The object that a body must be; none is an empty one. Members of it are Control's to judge."""
    if "Content-Type" in request.headers and request.content_type not in _JSON:
        return Refused(
            "UnsupportedMediaTypeException", 415, "The body must be JSON: Content-Type application/json."
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return Refused("UnsupportedMediaTypeException", 415, "The body must not be compressed.")
    body = await read_body(request)
    if isinstance(body, Refused):
        return body
    if not body:
        return {}
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        return refused("SerializationException", f"The body is not JSON that can be read: {error.msg} ({place}).")
    if not isinstance(fields, dict):
        return refused("SerializationException", "The body must be a JSON object.")
    return fields


def _query(request: web.Request) -> Mapping[str, list[str]] | Refused:
    """The parameters, whatever was encoded in them; what is no text is not one."""
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(
            request.raw_path.partition("?")[2],
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        text = f"The query must be UTF-8, percent-encoded, of at most {_MOST_PARAMETERS} parameters."
        return refused("ValidationException", text)
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _shown(name: str) -> str:
    return repr(name if len(name) <= 40 else f"{name[:40]}...")
