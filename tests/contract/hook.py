"""A web service as users write one for `http://…`, with obedient.py's function behind it."""

import contextlib
import json
import time
from collections.abc import AsyncIterator

from aiohttp import web

from tests.contract.obedient_async import obey_async


class _Context:
    """A Lambda context out of the request's headers, as a receiver may make one."""

    def __init__(self, request: web.Request) -> None:
        self.aws_request_id = request.headers["Lambda-Runtime-Aws-Request-Id"]
        self._deadline = int(request.headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        return self._deadline - int(time.time() * 1000)


async def _hook(request: web.Request) -> web.Response:
    event = await request.json()
    if event["do"] == "throttle":
        return web.Response(status=429, headers={"Retry-After": str(event["retry_after"])})
    try:
        value = await obey_async(event, _Context(request))
    except ValueError as error:
        return web.json_response({"errorType": "ValueError", "errorMessage": str(error)}, status=422)
    if isinstance(value, bytes):
        return web.Response(body=value)
    return web.Response(text=json.dumps(value, separators=(",", ":")), content_type="application/json")


@contextlib.asynccontextmanager
async def serve_hook() -> AsyncIterator[str]:
    """Its URL, while it runs."""
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/hook", _hook)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()
