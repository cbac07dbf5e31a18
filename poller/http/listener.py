"""Where we listen: sockets, and the running application on one."""

import errno
import gc
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from poller.errors import ListenError
from poller.http.address import Address

ON_LOOPBACK: web.AppKey[bool] = web.AppKey("on_loopback", bool)
"""Set by `start_listener` before the application answers: whether only this machine can reach it."""

_TIDY_EVERY = 64  # requests
_TIDY_ALL_EVERY = 32 * _TIDY_EVERY

Handle: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Make: TypeAlias = Callable[..., web.BaseRequest]

_CLOSE_SECONDS = 2.0
_IDLE_SECONDS = 75.0  # without a whole request: longer than between two scrapes; nobody keeps a socket for ever


class _Log(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp says of requests that reached no application."""

    def exception(self, msg: object, *args: object, exc_info: object = True, **more: Any) -> None:
        """Bytes that are no HTTP were answered 400. They are no fault of ours to tell, and may hold a key."""
        if not isinstance(exc_info, HttpProcessingError):
            text = f"a connection failed: this is a bug in poller ({msg})"
            self.logger.error(text, *args, exc_info=exc_info, extra={"action": "request_failed"})  # type: ignore[arg-type]  # as it came


@dataclass(frozen=True, slots=True)
class Running:
    """A listener at work; `address` has the real port."""

    address: Address
    close: Callable[[], Awaitable[None]]


async def start_listener(app: web.Application, address: Address, setting: str) -> Running:
    """Serves the application until `close` is called, in the running event loop.

    Raises ListenError, one sentence that names `setting`, when the address cannot be had.
    """
    try:
        bound = _bind(address)
    except OSError as error:
        raise ListenError(_refusal(address, setting, error)) from None
    app[ON_LOOPBACK] = address.loopback
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_CLOSE_SECONDS,
        keepalive_timeout=_IDLE_SECONDS,
        lingering_time=_CLOSE_SECONDS,
        logger=_Log(logging.getLogger("poller")),
        auto_decompress=False,  # a kilobyte could become a gigabyte, and nobody compresses what is sent here
    )
    try:
        await runner.setup()
        assert runner.server is not None
        runner.server.request_handler = _outermost(runner.server.request_handler)
        runner.server.request_factory = _tidying(runner.server.request_factory)
        await web.SockSite(runner, bound).start()
    except BaseException:
        bound.close()
        await runner.cleanup()
        raise
    return Running(Address(address.host, bound.getsockname()[1]), runner.cleanup)


def _outermost(handle: Handle) -> Handle:
    """What must be so for every request, also for those that no route and so no middleware sees."""

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        # aiohttp repeats an expectation that it does not know, and fails if that is no text
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return web.Response(status=417, text="The one expectation that is met here is 100-continue.\n")
        return await handle(request)

    return checked


def _tidying(make_request: Make) -> Make:
    """A connection is a circle of objects that holds what came over it, a quarter of a megabyte if somebody likes.
    The collector counts objects, not bytes, and the daemon has it come seldom: so it is called here.
    """
    made = itertools.count(1)

    def make(*parts: Any) -> web.BaseRequest:
        number = next(made)
        if number % _TIDY_EVERY == 0:
            # what was at work when the younger were looked through has become one of the old, few as they are
            gc.collect(2 if number % _TIDY_ALL_EVERY == 0 else 1)
        return make_request(*parts)

    return make


def _bind(address: Address) -> socket.socket:
    if not address.host:
        return _bind_everywhere(address.port)
    family, *_, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server((str(where[0]), int(where[1])), family=family)


def _bind_everywhere(port: int) -> socket.socket:
    # one socket for both families, so that port 0 is one port
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            # a kernel may know IPv6 and yet have none switched on
    return socket.create_server(("", port))


def _refusal(address: Address, setting: str, error: OSError) -> str:
    what = f"cannot listen on {address}"
    if isinstance(error, socket.gaierror):
        return (
            f"{setting}: {what}: {address.host!r} is not a host that this machine knows; write an address of it."
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"{setting}: {what}: another process has the port (perhaps another poller); end it,"
            f' or give {setting} another port, or "" to switch it off.'
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{setting}: {what}: {address.host} is not an address of this machine; write 127.0.0.1 or one that is."
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{setting}: {what}: not allowed to; ports below 1024 are reserved, so write a higher one."
    return f"{setting}: {what}: {error.strerror or error}; write another address."
