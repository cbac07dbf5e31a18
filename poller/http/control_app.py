"""The control listener put together: the guard, the live status, the page, Lambda's API."""

from dataclasses import dataclass

from aiohttp import web

from poller.control import Control
from poller.core.api_answers import Answer
from poller.http import answers
from poller.http.control_api import MainLoop, add_control_api
from poller.http.guard import LONGEST_BODY, make_guard
from poller.http.keys import Keys
from poller.http.page import PAGE_PATHS, add_page_routes
from poller.http.status import add_status_routes, none_held
from poller.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Changes:
    """Through what mappings are changed, and on which loop."""

    control: Control
    main: MainLoop

    async def turn(self, what: str, uuid: str) -> Answer:
        """Pauses or resumes a mapping."""
        change = self.control.pause if what == "pause" else self.control.resume
        return await self.main.run(lambda: change(uuid))


def control_app(metrics: Metrics, changes: Changes | None = None, keys: Keys = Keys()) -> web.Application:  # noqa: B008 - it is frozen
    """The application for Settings.ControlApi.Listen; without `changes` it only tells."""
    guard = make_guard(keys, metrics.clock, PAGE_PATHS)
    app = web.Application(middlewares=[answers.readable_errors, guard], client_max_size=LONGEST_BODY)
    held = none_held if changes is None else changes.control.held
    add_status_routes(app, metrics, writable=changes is not None, held=held)
    add_page_routes(app, metrics, None if changes is None else changes.turn, held)
    if changes is not None:
        add_control_api(app, changes.control, changes.main)
    return app
