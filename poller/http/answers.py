"""What every listener has in common: readable answers to wrong requests, and no traceback to anybody.

The guard against DNS rebinding stands here too: a web page may make a browser call 127.0.0.1 under the page's own
host name, so what listens on the loopback answers to the loopback's names only.
"""

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import orjson
from aiohttp import web

from poller.core.model import JsonObject
from poller.http.listener import ON_LOOPBACK

_log = logging.getLogger("poller")

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^:\[\]@]*))(?::[0-9]*)?")
_LONGEST_NAME = 140  # characters of a name that are said again


class NoSuchMapping(Exception):  # noqa: N818 - named for what is so
    """A path names a mapping that is not there."""


Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def text(body: str, status: int = 200) -> web.Response:
    """A plain text answer that nobody caches."""
    return web.Response(text=body, status=status, headers={"Cache-Control": "no-store"})


def json(body: JsonObject, status: int = 200) -> web.Response:
    """A JSON answer that nobody caches and no browser takes for anything else."""
    return web.Response(
        body=orjson.dumps(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


@web.middleware
async def readable_errors(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Turns what went wrong into one line of text: whose fault it is, and what would be right."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = text(f"{request.method} is not allowed here; use {allowed}.\n", error.status)
        answer.headers["Allow"] = allowed
        return answer
    except web.HTTPNotFound as error:
        all_paths = {resource.canonical for resource in request.app.router.resources()}
        # those that answer to what nobody should ask are no place to go to
        paths = sorted(path for path in all_paths if path == "/" or not path.endswith(("/", "}{path}")))
        return text(f"There is nothing here; this listener has {', '.join(paths)}.\n", error.status)
    except NoSuchMapping as error:
        name = str(error)
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
        return json({"message": f"There is no mapping named {shown!r}; /v1/mappings has those there are."}, 404)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets one line and the log the rest
        _log.exception("a request failed: this is a bug in poller", extra={"action": "request_failed"})
        return text(f"poller failed to answer ({type(error).__name__}): a bug of ours, see its log.\n", 500)


@web.middleware
async def own_host_only(request: web.Request, handler: Answer) -> web.StreamResponse:
    """On a loopback address, refuses requests that were meant for another host name."""
    if request.app[ON_LOOPBACK] and not _is_loopback(request.headers.get("Host", "")):
        return text("This listener answers to 127.0.0.1, [::1] and localhost only.\n", 403)
    return await handler(request)


def _is_loopback(host_header: str) -> bool:
    match = _HOST.fullmatch(host_header.strip().lower())
    if match is None:
        return False
    host = match["v6"] or match["name"]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
