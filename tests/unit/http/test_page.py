"""The status page as it is served: what a browser lets it do, and its two buttons. What it looks like and does is
seen in tests/acceptance/test_page.py.
"""

import base64
import hashlib
import re

import aiohttp
import pytest
from aiohttp import web

from poller.control_book import Held
from poller.core.api_answers import Done, in_use
from poller.core.mapping import EventSourceMapping, SourceArn
from poller.core.model import SourceKind
from poller.http import answers
from poller.http.address import Address
from poller.http.listener import start_listener
from poller.http.page import add_page_routes
from poller.http.status import add_status_routes
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES

NAME = "orders of <b>/1"


def make_metrics():
    metrics = Metrics()
    metrics.add(make_mapping("u-1", NAME), lambda: NO_GAUGES)
    return metrics


def make_mapping(uuid, name):
    arn = SourceArn("arn:aws:sqs:eu-west-1:123456789012:o", "aws", "eu-west-1", "123456789012", "o")
    return EventSourceMapping(uuid, name, SourceKind.SQS, arn, "python:shop:handler", "arn:aws:lambda:::shop")


def held():
    return {"u-held": Held(make_mapping("u-held", NAME), "it is taken.")}


@pytest.fixture
async def session(request):
    """A client of a listener whose mappings can be turned, unless a test says otherwise; `turned` is what was."""
    turned = []

    async def turn(what, uuid):
        turned.append((what, uuid))
        return Done(202, {"State": "Disabling"}) if what == "pause" else in_use()

    metrics, writable = make_metrics(), getattr(request, "param", True)
    app = web.Application(middlewares=[answers.readable_errors])
    add_status_routes(app, metrics, writable=writable, held=held)
    add_page_routes(app, metrics, turn if writable else None, held)
    running = await start_listener(app, Address("127.0.0.1", 0), "Settings.ControlApi.Listen")
    async with aiohttp.ClientSession(f"http://{running.address}") as session:
        session.turned = turned
        yield session
    await running.close()


async def test_a_browser_runs_what_is_in_the_file_and_loads_nothing(session):
    async with session.get("/") as answer:
        page = await answer.text()
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))

    assert answer.content_type == "text/html"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'", f"the browser would refuse the page's own {tag}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_is_one_file_without_html_made_of_data(session):
    """What the server tells may be anything, so nothing of it is ever parsed."""
    async with session.get("/") as answer:
        page = await answer.text()

    assert not re.findall(r"\b(?:src|href)=[\"']?(?!data:,)[^\"'>]", page)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", page)
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|\bstyle=|\bon[a-z]+=\"", page
    )


async def test_a_mapping_is_paused_and_what_was_said_comes_back(session):
    async with session.post("/v1/mappings/u-1/pause") as answer:
        assert (answer.status, await answer.json()) == (202, {"State": "Disabling"})
    async with session.post("/v1/mappings/orders%20of%20%3Cb%3E%2F1/resume") as answer:
        assert answer.status == 400
        assert (await answer.json())["message"].startswith("Cannot update the event source mapping")
    async with session.post("/v1/mappings/other/pause") as answer:
        assert answer.status == 404
    async with session.get("/v1/mappings/u-1/pause") as answer:
        assert answer.status == 405
    async with session.get("/v1/mappings") as answer:
        assert (await answer.json())["writable"] is True

    assert session.turned == [("pause", "u-1"), ("resume", "u-1")]


async def test_what_does_not_run_is_neither_paused_nor_resumed(session):
    """API-3: the status has it, so that it is not there would be a lie."""
    async with session.post("/v1/mappings/u-held/resume") as answer:
        assert answer.status == 409
        assert (await answer.json())["message"].endswith("changes that: it is taken.")
    assert session.turned == []


@pytest.mark.parametrize("session", [False], indirect=True)
async def test_where_nothing_may_be_changed_there_is_nothing_that_changes(session):
    async with session.post("/v1/mappings/u-1/pause") as answer:
        assert answer.status == 404
    async with session.get("/v1/mappings") as answer:
        assert (await answer.json())["writable"] is False
