"""The routes of Lambda's API: what of a request reaches Control, on which loop, and what comes back."""

import asyncio
import threading
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest

from poller.core.api_answers import Done, not_found, refused
from poller.errors import StoreError
from poller.http.address import Address
from poller.http.control_api import MainLoop
from poller.http.control_app import Changes, control_app
from poller.http.guard import LONGEST_BODY
from poller.http.listener import start_listener
from poller.metrics import Metrics

UUID = "0f1e2d3c-0000-4000-8000-000000000000"
ARN = f"arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:{UUID}"
ONE = "/2015-03-31/event-source-mappings/" + UUID
ALL = "/2015-03-31/event-source-mappings"
TAGS = "/2017-03-31/tags/"
DEADLINE = 60.0


class Recording:
    """A Control that remembers what it was asked, and in which thread."""

    def __init__(self, answer=Done(202, {"UUID": UUID}), failure=None):  # noqa: B008 - it is frozen
        self.asked = []
        self.threads = set()
        self._answer, self._failure = answer, failure

    def _do(self, *what):
        self.asked.append(what)
        self.threads.add(threading.get_ident())
        if self._failure is not None:
            raise self._failure
        return self._answer

    async def create(self, fields):
        return self._do("create", fields)

    async def update(self, uuid, fields):
        return self._do("update", uuid, fields)

    async def delete(self, uuid):
        return self._do("delete", uuid)

    async def tag(self, arn, tags):
        return self._do("tag", arn, tags)

    async def untag(self, arn, keys):
        return self._do("untag", arn, list(keys))

    def get(self, uuid):
        return self._do("get", uuid)

    def list(self, query):
        return self._do("list", dict(query))

    def list_tags(self, arn):
        return self._do("list_tags", arn)

    def held(self):
        return {}


@asynccontextmanager
async def served(control, deadline=DEADLINE, loop=None):
    """The whole listener in front of a Control whose loop is this one, unless another is given."""
    main = MainLoop(loop or asyncio.get_running_loop(), deadline)
    app = control_app(Metrics(), Changes(control, main))
    running = await start_listener(app, Address("127.0.0.1", 0), "Settings.ControlApi.Listen")
    try:
        yield f"http://127.0.0.1:{running.address.port}"
    finally:
        await running.close()


async def ask(url, method="GET", body=None, **headers):
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.request(method, aiohttp.client.URL(url, encoded=True), data=data, headers=told) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", ALL, {"BatchSize": 1}, ("create", {"BatchSize": 1})),
        ("POST", f"{ALL}/", {}, ("create", {})),
        ("POST", f"{ALL}/", None, ("create", {})),
        ("GET", ALL, None, ("list", {})),
        (
            "GET",
            f"{ALL}/?EventSourceArn=arn%3Aaws%3Asqs%3A%3A%3Aa+b&MaxItems=7&Marker=",
            None,
            ("list", {"EventSourceArn": "arn:aws:sqs:::a b", "MaxItems": "7", "Marker": ""}),
        ),
        ("GET", ONE, None, ("get", UUID)),
        ("PUT", ONE, {"Enabled": False}, ("update", UUID, {"Enabled": False})),
        ("DELETE", ONE, None, ("delete", UUID)),
        ("GET", TAGS + ARN, None, ("list_tags", ARN)),
        ("GET", TAGS + ARN.replace(":", "%3A"), None, ("list_tags", ARN)),
        ("GET", TAGS + ARN.replace(":", "%3a") + "%2Fx%25", None, ("list_tags", ARN + "/x%")),
        ("POST", TAGS + ARN, {"Tags": {"a": "b"}}, ("tag", ARN, {"a": "b"})),
        ("POST", TAGS + ARN, {}, ("tag", ARN, None)),
        ("DELETE", TAGS + ARN + "?tagKeys=a&tagKeys=b%20c&other=x", None, ("untag", ARN, ["a", "b c"])),
        ("DELETE", TAGS + ARN, None, ("untag", ARN, [])),
    ],
)
async def test_each_route_is_an_operation(method, path, body, expected):
    """API-1: with its status, as JSON, with an id that no other answer has."""
    control = Recording()
    async with served(control) as url:
        status, text, headers = await ask(url + path, method, body)
        again = await ask(url + path, method, body)
    assert control.asked == [expected] * 2
    assert (status, orjson.loads(text), headers["Content-Type"]) == (202, {"UUID": UUID}, "application/json")
    assert len({headers["x-amzn-RequestId"], again[2]["x-amzn-RequestId"]}) == 2
    assert "x-amzn-ErrorType" not in headers


async def test_an_answer_without_content_has_none():
    async with served(Recording(Done(204, {}))) as url:
        assert (await ask(url + TAGS + ARN, "POST", {"Tags": {}}))[:2] == (204, b"")


@pytest.mark.parametrize(
    ("answer", "member"),
    [
        (not_found(), "Message"),
        (refused("ResourceInUseException", "later"), "Message"),
        (refused("ServiceException", "broken"), "Message"),
        (refused("InvalidParameterValueException", "no"), "message"),
        (refused("ResourceConflictException", "no"), "message"),
        (refused("ValidationException", "no"), "message"),
    ],
)
async def test_a_refusal_has_the_form_of_awss(answer, member):
    async with served(Recording(answer)) as url:
        status, text, headers = await ask(url + ONE)
    assert (status, headers["x-amzn-ErrorType"]) == (answer.status, answer.code)
    assert orjson.loads(text) == {"Type": "Service" if answer.status == 503 else "User", member: answer.message}


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", {}, None),
        (b"{", {}, (400, "SerializationException")),
        (b"[]", {}, (400, "SerializationException")),
        (b"null", {}, (400, "SerializationException")),
        (b'{"a":' * 100_000, {}, (413, "RequestEntityTooLargeException")),
        (b'{"a":' * 20_000, {}, (400, "SerializationException")),
        (b'{"a": "\\ud800"}', {}, (400, "SerializationException")),
        (b'{"a": NaN}', {}, (400, "SerializationException")),
        (b"\xff", {}, (400, "SerializationException")),
        (b" " * (LONGEST_BODY + 1), {}, (413, "RequestEntityTooLargeException")),
        (b"{}", {"Content_Type": "text/plain"}, (415, "UnsupportedMediaTypeException")),
        (b"{}", {"Content_Type": "application/x-www-form-urlencoded"}, (415, "UnsupportedMediaTypeException")),
        (b"{}", {"Content_Encoding": "gzip"}, (415, "UnsupportedMediaTypeException")),
        (b"{}", {"Content_Type": "application/x-amz-json-1.1"}, None),
        (b"{}", {"Content_Type": "Application/JSON; charset=UTF-8"}, None),
    ],
)  # fmt: skip
async def test_a_body_must_be_an_object_of_json(body, headers, expected):
    control = Recording()
    async with served(control) as url:
        status, text, told = await ask(url + ALL, "POST", body, **{"Content_Type": "application/json"} | headers)
    if expected is None:
        assert (status, control.asked) == (202, [("create", {})])
    else:
        assert (status, told["x-amzn-ErrorType"]) == expected
        assert control.asked == []
        assert orjson.loads(text)["message"]


@pytest.mark.parametrize("query", ["MaxItems=1&MaxItems=2", "Marker=%ff", "&".join(["a=b"] * 300)])
async def test_a_query_of_which_nobody_knows_what_it_means_is_refused(query):
    control = Recording()
    async with served(control) as url:
        status, _, headers = await ask(f"{url}{ALL}?{query}")
    assert (status, headers["x-amzn-ErrorType"], control.asked) == (400, "ValidationException", [])


async def test_other_paths_tell_those_of_people_and_no_patterns():
    async with served(Recording()) as url:
        status, body, _ = await ask(f"{url}/v2")
    text = body.decode()
    assert (status, "{version}" in text) == (404, False)
    assert text.count("/2015-03-31/event-source-mappings,") == 1
    assert "/2017-03-31/tags/{arn}" in text


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/2015-03-31/functions/"), ("PATCH", ONE), ("POST", ONE), ("GET", TAGS), ("DELETE", ALL)],
)
async def test_what_poller_has_not_is_told_in_the_form_of_awss(method, path):
    async with served(Recording()) as url:
        status, text, headers = await ask(url + path, method)
    assert (status, headers["x-amzn-ErrorType"]) == (404, "UnknownOperationException")
    assert "event source mappings" in orjson.loads(text)["message"]


async def test_a_store_that_fails_is_told_and_no_traceback():
    control = Recording(failure=StoreError("poller.db: the disk is full; make room."))
    async with served(control) as url:
        status, text, headers = await ask(url + ALL, "POST", {})
    assert (status, headers["x-amzn-ErrorType"]) == (503, "ServiceException")
    assert orjson.loads(text) == {"Type": "Service", "Message": "poller.db: the disk is full; make room."}


@pytest.fixture
def other_loop():
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_changes_are_made_on_the_main_loop_and_reads_are_not(other_loop):
    control = Recording()
    async with served(control, loop=other_loop) as url:
        await ask(url + ONE)
        assert control.threads == {threading.get_ident()}
        control.threads.clear()
        await ask(url + ONE, "DELETE")
        assert len(control.threads) == 1
        assert control.threads != {threading.get_ident()}


async def test_while_a_handler_blocks_the_loop_reads_are_answered_and_changes_refused(other_loop):
    """A change that was refused so is never made, not even when the loop is free again."""
    control, blocked, free = Recording(), threading.Event(), threading.Event()

    def handler():
        blocked.set()
        free.wait(DEADLINE)

    other_loop.call_soon_threadsafe(handler)
    assert blocked.wait(DEADLINE)
    async with served(control, 0.01, other_loop) as url:
        assert (await ask(url + ONE))[0] == 202
        status, text, headers = await ask(url + ONE, "DELETE")
        assert (status, headers["x-amzn-ErrorType"]) == (503, "ServiceException")
        assert "blocked the event loop" in orjson.loads(text)["Message"]
        assert "nothing was changed" in orjson.loads(text)["Message"]
        free.set()
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), other_loop))
    assert control.asked == [("get", UUID)]


async def test_a_change_that_has_begun_is_not_cut_off(other_loop):
    """It takes longer than the deadline: the answer says so, and it is done to its end."""
    begun, free, done = threading.Event(), asyncio.Event(), threading.Event()

    class Slow(Recording):
        async def delete(self, uuid):
            begun.set()
            await free.wait()
            done.set()

    async with served(Slow(), 0.01, other_loop) as url:
        status, text, _ = await ask(url + ONE, "DELETE")
        assert status == 503
        if begun.is_set():  # else the other thread did not get so far, and was never to begin
            assert "it goes on" in orjson.loads(text)["Message"]
            other_loop.call_soon_threadsafe(free.set)
            assert await asyncio.to_thread(done.wait, DEADLINE)
        else:
            assert "nothing was changed" in orjson.loads(text)["Message"]


async def test_a_loop_that_has_ended_is_told():
    loop = asyncio.new_event_loop()
    loop.close()
    control = Recording()
    async with served(control, loop=loop) as url:
        status, text, _ = await ask(url + ONE, "DELETE")
    assert (status, control.asked) == (503, [])
    assert orjson.loads(text)["Message"] == "poller is stopping: nothing was changed."
