"""The wire client against scripted answers: what it sends, what it makes of answers, what it tries again."""

import asyncio
import gc
import json
import weakref
from email.utils import formatdate

import orjson
import pytest

from poller.aws import wire
from poller.aws.clients import AwsClients
from poller.aws.credentials import CredentialSource
from poller.aws.http1 import HttpClient
from poller.aws.sigv4 import Credentials
from poller.aws.wire import WireClient
from poller.core.model import SourceProblem
from poller.errors import SourceError

FIRST = Credentials("AKIDONE", "one", None)
SECOND = Credentials("AKIDTWO", "two", "token")


class Session:
    """Stands for aiobotocore's: hands out what it was told to."""

    def __init__(self, found):
        self.found = found

    async def get_credentials(self):
        return self

    async def get_frozen_credentials(self):
        return self.found


class Wired:
    """A wire client, and what it told its observer."""

    def __init__(self, url, clock, found=(FIRST,), service="sqs"):
        self.sessions = 0
        self.seen = []

        def make_session():
            self.sessions += 1
            return Session(found[min(self.sessions, len(found)) - 1])

        self.http = HttpClient(url)
        self.client = WireClient(
            service,
            "eu-west-1",
            endpoint=url,
            http=self.http,
            credentials=CredentialSource(make_session),
            clock=clock,
            observe=lambda *told: self.seen.append(told),
        )

    async def call(self, operation="ReceiveMessage", body=None, deadline=30.0, attempts=1):
        return await self.client.call(operation, body or {}, deadline=deadline, attempts=attempts)

    @property
    def outcomes(self):
        return [outcome for _, _, outcome, _ in self.seen]


@pytest.fixture
async def wired(clock):
    made = []

    def make(server, **options):
        made.append(Wired(server.url, clock, **options))
        return made[-1]

    yield make
    for one in made:
        await one.http.close()


def answers(*several):
    """Answers the first request with the first of them and so on; the last one for ever."""
    told = []

    async def script(line, number):
        while True:
            await line.request()
            told.append(None)
            status, body, extra = several[min(len(told), len(several)) - 1]
            await line.answer(body if isinstance(body, bytes) else json.dumps(body).encode(), status, extra)

    return script


def ok(body, extra=""):
    return ("200 OK", body, extra)


def refusal(code, message="", status="400 Bad Request", extra=""):
    return (status, {"__type": f"com.amazonaws.sqs#{code}", "message": message}, extra)


def headers_of(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:-2]
    return dict(line.split(": ", 1) for line in lines)


async def test_a_call_as_it_goes_over_the_wire(serve, wired):
    server = await serve(answers(ok({"Messages": []})))
    one = wired(server, found=(SECOND,))
    answer = await one.call("ReceiveMessage", {"QueueUrl": "ü"})
    assert (answer.data, answer.size) == ({"Messages": []}, len(b'{"Messages": []}'))
    head, body = server.requests[0]
    sent = headers_of(head)
    assert json.loads(body) == {"QueueUrl": "ü"}
    assert sent["X-Amz-Target"] == "AmazonSQS.ReceiveMessage"
    assert sent["Content-Type"] == "application/x-amz-json-1.0"
    assert sent["X-Amz-Date"] == "20231114T221320Z"
    assert sent["X-Amz-Security-Token"] == "token"
    assert "Credential=AKIDTWO/20231114/eu-west-1/sqs/aws4_request" in sent["Authorization"]
    [(service, operation, outcome, seconds)] = one.seen
    assert (service, operation, outcome) == ("sqs", "ReceiveMessage", "success")
    assert 0 <= seconds < 30


@pytest.mark.parametrize(
    ("service", "target", "content_type", "name"),
    [
        ("kinesis", "Kinesis_20131202.X", "application/x-amz-json-1.1", "kinesis"),
        ("dynamodb", "DynamoDB_20120810.X", "application/x-amz-json-1.0", "dynamodb"),
        ("dynamodbstreams", "DynamoDBStreams_20120810.X", "application/x-amz-json-1.0", "dynamodb"),
    ],
)
async def test_each_service_has_its_protocol(serve, wired, service, target, content_type, name):
    server = await serve(answers(ok({})))
    await wired(server, service=service).call("X")
    sent = headers_of(server.requests[0][0])
    assert (sent["X-Amz-Target"], sent["Content-Type"]) == (target, content_type)
    assert f"/eu-west-1/{name}/aws4_request" in sent["Authorization"]


@pytest.mark.parametrize(
    ("body", "data"),
    [(b"", {}), (b'{"Body": "cut \\ud83d"}', {"Body": "cut \ud83d"})],
    ids=["empty", "lone surrogate"],
)
async def test_bodies_that_must_be_understood(serve, wired, body, data):
    server = await serve(answers(ok(body)))
    assert (await wired(server).call()).data == data


async def test_a_lone_surrogate_can_be_sent(serve, wired):
    server = await serve(answers(ok({})))
    await wired(server).call(body={"MessageBody": "\ud83d"})
    assert json.loads(server.requests[0][1]) == {"MessageBody": "\ud83d"}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":'])
async def test_a_success_that_is_not_a_json_object_is_the_services_error(serve, wired, body):
    server = await serve(answers(ok(body)))
    one = wired(server)
    with pytest.raises(SourceError, match="not its JSON") as caught:
        await one.call()
    assert caught.value.problem is SourceProblem.SERVER
    assert one.outcomes == [SourceProblem.SERVER]


# --- what is tried again ---


@pytest.mark.parametrize(
    "failing",
    [refusal("ThrottlingException"), ("500 x", b"", ""), ("503 x", b"<html>", "")],
    ids=["throttle", "500", "503"],
)
async def test_passing_trouble_is_tried_again(serve, wired, failing):
    server = await serve(answers(failing, failing, ok({"a": 1})))
    one = wired(server)
    assert (await one.call(attempts=3)).data == {"a": 1}
    assert len(one.seen) == 3
    assert one.outcomes[-1] == "success"


async def test_a_lost_connection_is_tried_again(serve, wired):
    async def script(line, number):
        await line.request()
        if number == 2:
            await line.answer(b'{"a": 1}')

    server = await serve(script)
    one = wired(server)
    assert (await one.call(attempts=2)).data == {"a": 1}
    assert one.outcomes == [SourceProblem.UNREACHABLE, "success"]


async def test_attempts_are_counted(serve, wired):
    server = await serve(answers(refusal("RequestThrottled")))
    with pytest.raises(SourceError) as caught:
        await wired(server).call(attempts=3)
    assert caught.value.problem is SourceProblem.THROTTLED
    assert len(server.requests) == 3


def errors_alive() -> int:
    return sum(isinstance(each, SourceError) for each in gc.get_objects())


@pytest.mark.parametrize("attempts", [1, 3])
async def test_an_error_that_was_seen_to_is_gone(serve, wired, attempts):
    """Promise 3: memory does not grow until the cyclic collector comes, which the daemon lets come seldom."""
    server = await serve(answers(refusal("RequestThrottled")))
    one = wired(server)
    gc.collect()
    gc.disable()
    before = errors_alive()
    try:
        with pytest.raises(SourceError) as caught:
            await one.call(attempts=attempts)
        error = weakref.ref(caught.value)
        del caught
        assert error() is None
        assert errors_alive() == before, "the errors of earlier attempts"
    finally:
        gc.enable()


async def test_one_attempt_is_one_attempt(serve, wired):
    server = await serve(answers(refusal("RequestThrottled")))
    with pytest.raises(SourceError):
        await wired(server).call(attempts=1)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", ["QueueDoesNotExist", "AccessDenied", "InvalidParameterValue"])
async def test_what_will_not_pass_is_not_tried_again(serve, wired, code):
    server = await serve(answers(refusal(code)))
    with pytest.raises(SourceError) as caught:
        await wired(server).call(attempts=5)
    assert caught.value.code == code
    assert len(server.requests) == 1


async def test_retries_end_with_the_deadline(serve, wired, monkeypatch):
    pauses = iter([0, 0, 0, 61])  # the last one leaves no room for another attempt
    monkeypatch.setattr(wire.random, "uniform", lambda least, most: next(pauses))
    server = await serve(answers(refusal("Throttling")))
    with pytest.raises(SourceError) as caught:
        await wired(server).call(attempts=100_000, deadline=60)
    assert caught.value.problem is SourceProblem.THROTTLED
    assert len(server.requests) == 4


async def test_a_service_that_hangs_ends_at_the_deadline(serve, wired):
    async def script(line, number):
        await line.request()
        await line.gone()

    server = await serve(script)
    one = wired(server)
    with pytest.raises(SourceError, match=r"sqs at 127.0.0.1:\d+ did not answer ReceiveMessage in time") as caught:
        await one.call(deadline=1, attempts=3)
    assert caught.value.problem is SourceProblem.UNREACHABLE


async def test_a_cancelled_call_has_no_outcome(serve, wired, until):
    async def script(line, number):
        await line.request()
        await line.gone()

    server = await serve(script)
    one = wired(server)
    call = asyncio.ensure_future(one.call())
    await until(lambda: len(server.requests) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert one.seen == []


# --- clock and credentials put right ---


@pytest.mark.parametrize("skew", [3600, -86400 * 30])
async def test_a_wrong_clock_is_learnt_from_the_date_header(serve, wired, clock, skew):
    date = f"Date: {formatdate(clock.wall + skew, usegmt=True)}\r\n"
    server = await serve(
        answers(refusal("InvalidSignatureException", "Signature expired: x", extra=date), ok({"a": 1}))
    )
    one = wired(server)
    assert (await one.call()).data == {"a": 1}
    clock.wall += 5
    await one.call()
    dates = [headers_of(head)["X-Amz-Date"] for head, _ in server.requests]
    right = {3600: ["20231114T231320Z", "20231114T231325Z"], -86400 * 30: ["20231015T221320Z", "20231015T221325Z"]}
    assert dates == ["20231114T221320Z", *right[skew]]


@pytest.mark.parametrize("date", ["", "Date: rubbish\r\n", "Date: Mon, 99 Jan 9999999 00:00:00 GMT\r\n"])
async def test_a_wrong_secret_is_not_taken_for_a_wrong_clock(serve, wired, clock, date):
    date = date or f"Date: {formatdate(clock.wall + 5, usegmt=True)}\r\n"
    server = await serve(answers(refusal("InvalidSignatureException", "does not match", extra=date)))
    with pytest.raises(SourceError) as caught:
        await wired(server).call()
    assert caught.value.problem is SourceProblem.CREDENTIALS
    assert len(server.requests) == 1


async def test_the_clock_is_put_right_once_a_call(serve, wired, clock):
    several = [
        refusal("RequestTimeTooSkewed", extra=f"Date: {formatdate(clock.wall + 9999 * k, usegmt=True)}\r\n")
        for k in range(1, 9)
    ]
    server = await serve(answers(*several))
    with pytest.raises(SourceError, match="clock"):
        await wired(server).call()
    assert len(server.requests) == 2


async def test_expired_credentials_are_asked_for_anew(serve, wired, clock):
    server = await serve(answers(ok({}), refusal("ExpiredTokenException"), ok({"a": 1})))
    one = wired(server, found=(FIRST, SECOND))
    await one.call()
    clock.mono += 10
    assert (await one.call()).data == {"a": 1}
    assert [b"AKIDTWO" in head for head, _ in server.requests] == [False, False, True]
    assert one.outcomes == ["success", SourceProblem.CREDENTIALS, "success"]


async def test_credentials_that_stay_refused_do_not_cost_a_second_exchange(serve, wired, clock):
    server = await serve(answers(refusal("InvalidClientTokenId", "The security token is invalid.")))
    one = wired(server)
    for calls in (1, 2, 3):
        clock.mono += 10
        with pytest.raises(SourceError) as caught:
            await one.call()
        assert caught.value.problem is SourceProblem.CREDENTIALS
        assert len(server.requests) == calls


async def test_without_credentials_nothing_is_sent(serve, wired):
    server = await serve(answers(ok({})))
    one = wired(server, found=(None,))
    with pytest.raises(SourceError, match="No AWS credentials were found") as caught:
        await one.call(attempts=3)
    assert caught.value.problem is SourceProblem.CREDENTIALS
    assert not server.requests


async def test_credentials_that_never_come_end_with_the_deadline(serve, clock):
    class Hanging(Session):
        async def get_frozen_credentials(self):
            await asyncio.Event().wait()

    server = await serve(answers(ok({})))
    http = HttpClient(server.url)
    source = CredentialSource(lambda: Hanging(None))
    wire = WireClient("sqs", "r", endpoint=server.url, http=http, credentials=source, clock=clock)
    with pytest.raises(SourceError, match="credentials were not there in time"):
        await wire.call("ReceiveMessage", {}, deadline=0.1)
    await source.close()
    await http.close()


async def test_the_whole_way_with_the_sessions_own_credentials(serve):
    server = await serve(answers(ok({"a": 1})))
    async with AwsClients(endpoint_url=server.url) as clients:
        answer = await clients.wire("sqs", "eu-west-1").call("X", orjson.dumps({}), deadline=30.0)
    assert answer.data == {"a": 1}
    assert b"Credential=AKIDTEST/" in server.requests[0][0]
