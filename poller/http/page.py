"""The status page at `/`, one file without anything to load, and the two buttons on it: pause and resume."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from aiohttp import web

from poller.core.api_answers import Answer, Done
from poller.http import answers
from poller.http.status import HeldOnes, find_mapping, none_held
from poller.metrics import Metrics

PAGE_PATHS: Final = ("/",)
"""What needs no key: the page shows nothing until it has asked /v1/mappings, with the token that it asks for."""

Turn = Callable[[str, str], Awaitable[Answer]]
"""Pauses or resumes ("pause", "resume") the mapping of that UUID; called in the loop of the listener."""


def add_page_routes(app: web.Application, metrics: Metrics, turn: Turn | None, held: HeldOnes = none_held) -> None:
    """The page; without `turn` nothing can be changed through it."""
    page = files("poller.http").joinpath("status.html").read_bytes()
    headers = _headers(page.decode())

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)

    app.router.add_get("/", show)
    if turn is None:
        return

    def turning(what: str, turn: Turn) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            seen = find_mapping(metrics, request, held)
            if not seen.begun:
                why = f"{seen.stats.name} does not run, and only the API that it was made through changes that:"
                return answers.json({"message": f"{why} {seen.held}"}, 409)
            told = await turn(what, seen.stats.mapping.uuid)
            if isinstance(told, Done):
                return answers.json(told.body, told.status)
            return answers.json({"message": told.message}, told.status)

        return answer

    app.router.add_post("/v1/mappings/{name}/pause", turning("pause", turn))
    app.router.add_post("/v1/mappings/{name}/resume", turning("resume", turn))


def _headers(page: str) -> dict[str, str]:
    """A browser runs and draws what is in the file, calls this listener, and does nothing else."""
    policy = (
        "default-src 'none'",
        f"script-src {_hashes(page, 'script')}",
        f"style-src {_hashes(page, 'style')}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _hashes(page: str, tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found
    )
