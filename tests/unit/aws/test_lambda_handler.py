"""Lambda functions on the embedded AWS, and on servers whose every byte the test decides: what a call comes to."""

import asyncio
import json
import socket
from dataclasses import replace

import pytest

from poller.aws import lambda_handler
from poller.aws.clients import AwsClients
from poller.aws.lambda_answers import MOST_BYTES
from poller.aws.lambda_emulator import EmulatorHandler
from poller.aws.lambda_handler import LambdaHandler, make_lambda_handler
from poller.core.mapping import EventSourceMapping, HandlerSettings, parse_mapping
from poller.core.model import FunctionError, Instant, NotInvoked, Succeeded, Throttled
from poller.core.trace_headers import TraceContext
from poller.ports import Invocation
from poller.testing import EmbeddedAws, FunctionFailed, TooManyRequests

QUEUE = "arn:aws:sqs:eu-west-1:000000000000:orders"
EVENT = {"Records": [{"body": "ä \N{GRINNING FACE}"}]}
CALL = Invocation(EVENT, "request-1", 1e9)


def make_mapping(function="orders", **handler) -> EventSourceMapping:
    found = parse_mapping({"EventSourceArn": QUEUE, "FunctionName": function})
    assert isinstance(found, EventSourceMapping), found
    return replace(found, handler=HandlerSettings(**({"timeout": 30.0, "concurrency": 2} | handler)))


@pytest.fixture
async def aws():
    async with EmbeddedAws(region="eu-west-1") as aws:
        yield aws


@pytest.fixture
async def clients(aws):
    seen = []
    async with AwsClients(endpoint_url=aws.url, observe=lambda *call: seen.append(call[:3])) as clients:
        clients.seen = seen
        yield clients


@pytest.fixture
async def opened():
    """Makes a started handler of a mapping and clients."""
    made = []

    async def opened(clients, mapping=None):
        handler = LambdaHandler(mapping or make_mapping(), clients)
        made.append(handler)
        await handler.start()
        return handler

    yield opened
    for handler in made:
        await handler.close()


async def test_inv_1_the_event_goes_to_the_function_and_its_response_comes_back(aws, clients, opened):
    """INV-1, INV-2: synchronously, byte for byte; the call is counted."""
    payloads = []

    def function(payload):
        payloads.append(payload)
        return b'{"batchItemFailures": [ ]}'

    aws.functions.add_raw("orders", function)
    assert await (await opened(clients)).invoke(CALL) == Succeeded(b'{"batchItemFailures": [ ]}')
    assert payloads == [json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()]
    assert clients.seen == [("lambda", "Invoke", "success")]


async def test_the_exact_reference_is_invoked(aws, clients, opened):
    """INV-1, INV-8, CFG-53: with its qualifier, and the version that ran is known."""
    aws.functions.add("orders", lambda event: None, aliases={"live": "7"})
    for reference, version in {
        "orders": "$LATEST",
        "orders:$LATEST": "$LATEST",
        "orders:live": "7",
        "orders:7": "7",
        "000000000000:function:orders:live": "7",
        "arn:aws:lambda:eu-west-1:000000000000:function:orders:live": "7",
    }.items():
        result = await (await opened(clients, make_mapping(reference))).invoke(CALL)
        assert result == Succeeded(b"null", version), reference


@pytest.mark.parametrize(
    ("reference", "region"),
    [("orders", "eu-west-1"), ("arn:aws:lambda:ap-south-1:000000000000:function:orders", "ap-south-1")],
)
async def test_the_region_is_that_of_the_functions_arn(serve, opened, reference, region):
    """CFG-53: of the source where the reference names none; the process's own region does not matter."""

    async def script(line, number):
        await line.request()
        await line.answer(b"null")

    server = await serve(script)
    async with AwsClients(region="us-west-2", endpoint_url=server.url) as clients:
        assert await (await opened(clients, make_mapping(reference))).invoke(CALL) == Succeeded(b"null")
    assert f"/{region}/lambda/aws4_request".encode() in server.requests[0][0]


def failing(payload, kind="Unhandled"):
    def function(_):
        raise FunctionFailed(payload, kind)

    return function


FUNCTION_ERRORS = [
    (b'{"errorType":"KeyError","errorMessage":"id"}', "Unhandled", FunctionError("KeyError", "id")),
    (b'{"errorType":"E","errorMessage":"m"}', "Handled", FunctionError("E", "m", handled=True)),
    (
        b'{"errorMessage":"2026-01-01T00:00:00Z 6f1c Task timed out after 3.00 seconds"}',
        "Unhandled",
        FunctionError(
            "Sandbox.Timedout", "2026-01-01T00:00:00Z 6f1c Task timed out after 3.00 seconds", timed_out=True
        ),
    ),
    (
        b'{"errorType":"MyError","errorMessage":"Task timed out after 3.00 seconds"}',
        "Unhandled",
        FunctionError("MyError", "Task timed out after 3.00 seconds"),
    ),
    (b"", "Unhandled", FunctionError("Unhandled", "")),
    (b'"words"', "Unhandled", FunctionError("Unhandled", "words")),
    (b"[1]", "Handled", FunctionError("Handled", "", handled=True)),
    (b"\xff not json", "Unhandled", FunctionError("Unhandled", "\N{REPLACEMENT CHARACTER} not json")),
    (b'{"errorType":7,"errorMessage":["m"]}', "Unhandled", FunctionError("Unhandled", "")),
]


async def test_inv_2_a_function_error_is_one_whatever_its_payload(aws, clients, opened):
    """INV-2: status 200 with X-Amz-Function-Error; to AWS the call was a success."""
    handler = await opened(clients)
    for payload, kind, expected in FUNCTION_ERRORS:
        aws.functions.add_raw("orders", failing(payload, kind))
        assert await handler.invoke(CALL) == expected
    assert set(clients.seen) == {("lambda", "Invoke", "success")}


async def test_what_a_function_says_of_its_error_is_cut(aws, clients, opened):
    text = "x" * 100_000
    aws.functions.add_raw("orders", failing(json.dumps({"errorType": text, "errorMessage": text}).encode()))
    result = await (await opened(clients)).invoke(CALL)
    assert isinstance(result, FunctionError)
    assert len(result.message) == len(result.error_type) == 1024


async def test_inv_5_lambdas_own_word_for_a_response_that_is_too_large(aws, clients, opened):
    """INV-5."""
    aws.functions.add_raw("orders", lambda payload: b"x" * 7_000_000)
    result = await (await opened(clients)).invoke(CALL)
    assert isinstance(result, FunctionError)
    assert result.error_type == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize("extra", [0, 1, 30_000_000])
async def test_inv_5_a_response_is_read_up_to_the_limit(serve, opened, extra):
    """INV-5: whoever answers; more is not read, and the connection is given up."""
    length = MOST_BYTES + extra

    async def script(line, number):
        while True:
            await line.request()
            await line.answer(b"x" * length if len(server.requests) == 1 else b"null")

    server = await serve(script)
    async with AwsClients(endpoint_url=server.url) as clients:
        handler = await opened(clients)
        result = await handler.invoke(CALL)
        assert isinstance(result, FunctionError if extra else Succeeded)
        if extra:
            assert result.error_type == "Function.ResponseSizeTooLarge"
        assert await handler.invoke(CALL) == Succeeded(b"null")
    assert server.connections == (2 if extra > 1 else 1)


async def test_inv_4_throttled_with_the_pause_that_lambda_names(aws, clients, opened):
    """INV-4: whatever the reason, and not asked again by itself (INV-3)."""
    aws.functions.add("orders", lambda event: None)
    aws.faults.throttle("Invoke")
    handler = await opened(clients)
    result = await handler.invoke(CALL)
    assert isinstance(result, Throttled)
    assert result.retry_after == 2.0
    assert result.message == (
        "orders was not invoked (ReservedFunctionConcurrentInvocationLimitExceeded): lambda Invoke at the AWS"
        " endpoint was throttled (TooManyRequestsException: Rate Exceeded). It is asked again more slowly."
    )
    assert aws.rest.lambda_service.calls["Invoke"] == 1
    assert await handler.invoke(CALL) == Succeeded(b"null")
    assert [outcome for _, _, outcome in clients.seen] == ["throttled", "success"]


REFUSALS = [
    (500, "ServiceException"),
    (502, "EC2ThrottledException"),
    (502, "ENILimitReachedException"),
    (502, "KMSAccessDeniedException"),
    (502, "KMSDisabledException"),
    (502, "EC2AccessDeniedException"),
    (502, "ResourceNotReadyException"),
    (503, "ServiceUnavailableException"),
    (504, "GatewayTimeout"),
    (408, "SnapStartTimeoutException"),
    (408, "EFSMountTimeoutException"),
    (410, "EFSIOException"),
    (409, "ResourceConflictException"),
    (409, "SnapStartNotReadyException"),
    (404, "ResourceNotFoundException"),
    (403, "AccessDeniedException"),
    (403, "ExpiredTokenException"),
    (403, "InvalidSignatureException"),
    (402, "ServiceQuotaExceededException"),
    (400, "InvalidParameterValueException"),
    (400, "RecursiveInvocationException"),
    (415, "UnsupportedMediaTypeException"),
]


async def test_inv_6_what_did_not_get_to_the_function_was_not_invoked(aws, clients, opened):
    """INV-4, INV-6, API-16: and it is asked once only (INV-3); the next call is tried as if nothing had been."""
    aws.functions.add("orders", lambda event: None)
    handler = await opened(clients)
    for status, code in REFUSALS:
        aws.rest.lambda_service.calls.clear()
        aws.faults.fail("Invoke", status=status, code=code)
        result = await handler.invoke(CALL)
        assert isinstance(result, NotInvoked), code
        assert result.message.startswith("orders was not invoked: lambda Invoke at the AWS endpoint ")
        assert code in result.message
        assert aws.rest.lambda_service.calls["Invoke"] == 1
        assert await handler.invoke(CALL) == Succeeded(b"null")


async def test_api_11_a_function_that_is_missing_is_waited_for(aws, clients, opened):
    """API-11, SUR-16: nothing is asked at the start; a function that comes (back) is invoked."""
    handler = await opened(clients)
    assert not aws.rest.lambda_service.calls
    assert await handler.invoke(CALL) == NotInvoked(
        "orders was not invoked: lambda Invoke at the AWS endpoint found nothing there (ResourceNotFoundException:"
        " Function not found: arn:aws:lambda:eu-west-1:000000000000:function:orders). Check name, account and"
        " region."
    )
    aws.functions.add("orders", lambda event: 1)
    assert await handler.invoke(CALL) == Succeeded(b"1")
    aws.functions.remove("orders")
    assert isinstance(await handler.invoke(CALL), NotInvoked)


async def test_api_16_the_permission_that_is_lacking_is_named(aws, clients, opened):
    """API-16, IAM-6."""
    aws.faults.fail("Invoke", status=403, code="AccessDeniedException")
    result = await (await opened(clients)).invoke(CALL)
    assert isinstance(result, NotInvoked)
    assert "Allow lambda:InvokeFunction to these credentials" in result.message


async def test_err_8_an_event_that_lambda_never_takes_comes_to_an_end(aws, clients, opened):
    """ERR-8: it spends the budget, or it would be sent for ever."""
    handler = await opened(clients)
    for code, status in {
        "RequestTooLargeException": 413,
        "InvalidRequestContentException": 400,
        "Odd": 413,
    }.items():
        aws.faults.fail("Invoke", status=status, code=code)
        result = await handler.invoke(CALL)
        assert isinstance(result, FunctionError), code
        assert result.error_type == code


async def test_err_8_what_lambda_itself_says_of_an_event_that_is_too_large(aws, clients, opened):
    """ERR-8."""
    aws.functions.add("orders", lambda event: None)
    call = Invocation({"Records": ["x" * 6_291_556]}, "r", 1e9)
    result = await (await opened(clients)).invoke(call)
    assert isinstance(result, FunctionError)
    assert "Request must be smaller than" in result.message


BROKEN = {
    "refused before": lambda aws: aws.faults.drop("Invoke"),
    "answer lost": lambda aws: aws.faults.drop("Invoke", after=True),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_inv_4_a_connection_that_is_lost(aws, clients, opened, fault):
    """INV-4: it may have run, and runs again; one call is made, not two (INV-3)."""
    ran = []
    aws.functions.add("orders", lambda event: ran.append(1))
    BROKEN[fault](aws)
    handler = await opened(clients)
    assert isinstance(await handler.invoke(CALL), NotInvoked)
    assert aws.rest.lambda_service.calls["Invoke"] == 1
    assert [outcome for _, _, outcome in clients.seen] == ["unreachable"]
    assert await handler.invoke(CALL) == Succeeded(b"null")


PAGE = b"Content-Type: text/html\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>"
HALF = {
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnull",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nnull",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no HTTP": b"220 mail.example.com ESMTP\r\n",
    "another status": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "a page": b"HTTP/1.1 200 OK\r\n" + PAGE,
    "an error page": b"HTTP/1.1 403 Forbidden\r\n" + PAGE,
    "an error without words": b"HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "an error in a list": b"HTTP/1.1 400 Oh\r\nConnection: close\r\nContent-Length: 3\r\n\r\n[1]",
}


async def test_inv_4_answers_that_are_none(serve, opened):
    """INV-4: what is not Lambda's whole answer confirms nothing, and is not asked for again by itself."""
    answers = list(HALF.values())

    async def script(line, number):
        await line.request()
        await line.send(answers[number - 1])

    server = await serve(script)
    async with AwsClients(endpoint_url=server.url) as clients:
        handler = await opened(clients)
        for asked, name in enumerate(HALF, start=1):
            result = await handler.invoke(CALL)
            assert isinstance(result, NotInvoked), name
            assert result.message
            assert server.connections == asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_inv_4_a_redirected_call_is_no_invocation(serve, opened, status):
    """INV-2, INV-4: a proxy that wants a log-in first, an endpoint of plain http: the SDK follows wherever it is
    sent, and what answers there is no function.
    """

    async def script(line, number):
        while True:
            head, _ = await line.request()
            if b"/invocations" in head:
                await line.answer(b"", f"{status} Elsewhere", "Location: /login\r\n")
            else:
                await line.answer(b"welcome", extra="Content-Type: text/plain\r\n")

    server = await serve(script)
    async with AwsClients(endpoint_url=server.url) as clients:
        result = await (await opened(clients)).invoke(CALL)
    assert isinstance(result, NotInvoked)
    assert str(status) in result.message
    assert len(server.requests) == 1


async def test_inv_4_nobody_there(opened):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        async with AwsClients(endpoint_url=f"http://127.0.0.1:{holder.getsockname()[1]}") as clients:
            result = await (await opened(clients)).invoke(CALL)
    assert isinstance(result, NotInvoked)
    assert "lambda cannot be reached for Invoke" in result.message


async def test_missing_credentials_are_told_and_found_once_they_are_there(aws, opened, monkeypatch):
    """INV-6: an error state that recovers, never an end."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    aws.functions.add("orders", lambda event: None)
    async with AwsClients(endpoint_url=aws.url, clock=(clock := Clock())) as clients:
        handler = await opened(clients)
        result = await handler.invoke(CALL)
        assert isinstance(result, NotInvoked)
        assert "No AWS credentials were found" in result.message
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLATER")
        clock.mono += 60
        assert await handler.invoke(CALL) == Succeeded(b"null")


async def test_credentials_that_do_not_come_are_no_attempt(aws, opened, monkeypatch):
    """INV-6, ERR-1: the function has not seen the event. Were they waited for until the end of the call, its time
    limit would count as a failure of the function.
    """

    class Hanging:
        async def get_credentials(self):
            await asyncio.Event().wait()

    async with AwsClients(endpoint_url=aws.url) as clients:
        monkeypatch.setattr(clients._credentials, "_make_session", Hanging)
        handler = await opened(clients, make_mapping(timeout=0.1))
        async with asyncio.timeout(30):
            result = await handler.invoke(CALL)
    assert isinstance(result, NotInvoked)
    assert "credentials were not there in time for lambda Invoke" in result.message


async def test_credentials_called_expired_are_read_anew(aws, opened, monkeypatch, aws_files):
    """INV-6: a file that was rewritten since is read again, by the client that is in use."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = aws_files / "credentials"
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\n"
    file.write_text(text.format("AKIDOLD"))
    used = []
    aws.functions.add("orders", lambda event: None)
    async with AwsClients(endpoint_url=aws.url, clock=(clock := Clock())) as clients:
        handler = await opened(clients)
        handler._client.meta.events.register(
            "before-send.lambda", lambda request, **_: used.append(str(request.headers["Authorization"]))
        )
        assert await handler.invoke(CALL) == Succeeded(b"null")
        file.write_text(text.format("AKIDNEW"))
        clock.mono += 5
        aws.faults.fail("Invoke", status=403, code="ExpiredTokenException")
        assert isinstance(await handler.invoke(CALL), NotInvoked)
        assert await handler.invoke(CALL) == Succeeded(b"null")
    assert ["AKIDNEW" in authorization for authorization in used] == [False, False, True]


class Clock:
    mono = 1000.0

    def now(self):
        return Instant(1_700_000_000.0, self.mono)


async def test_a_profile_that_does_not_exist_is_told_by_the_calls(aws, opened):
    """INV-6: the start does not fail: the file may be written later."""
    async with AwsClients(endpoint_url=aws.url, profile="nobody") as clients:
        result = await (await opened(clients)).invoke(CALL)
    assert isinstance(result, NotInvoked)
    assert "nobody" in result.message


async def test_connections_are_used_again_and_are_as_many_as_calls(aws, clients, opened):
    """INV-3: Handler.Concurrency calls run side by side, none waits for a connection."""
    meeting, there = asyncio.Event(), 0

    async def function(event):
        nonlocal there
        there += 1
        if there == 12:
            meeting.set()
        await meeting.wait()

    aws.functions.add("orders", function)
    handler = await opened(clients, make_mapping(concurrency=12))
    async with asyncio.timeout(30):
        assert await asyncio.gather(*(handler.invoke(CALL) for _ in range(12))) == [Succeeded(b"null")] * 12
    assert len(aws.connections) == 12
    for _ in range(5):
        await handler.invoke(CALL)
    assert len(aws.connections) == 12


async def test_inv_3_the_client_waits_longer_than_any_function(aws, clients, opened, monkeypatch):
    """INV-3: and has no retries; its connections are probed while the function is silent."""
    made, make = [], lambda_handler._keepalive_socket
    monkeypatch.setattr(lambda_handler, "_keepalive_socket", lambda address: made.append(1) or make(address))
    handler = await opened(clients, make_mapping(timeout=900.0))
    config = handler._client.meta.config
    assert config.read_timeout > 900
    assert config.retries["total_max_attempts"] == 1
    await handler.invoke(CALL)
    assert made == [1]
    with make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as one:
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 350


async def test_inv_3_a_call_that_is_cancelled_leaves_its_connection(aws, clients, opened, until):
    """INV-3: what the dispatcher does at the deadline; the function may go on, as at AWS."""
    begun, ended = asyncio.Event(), []

    async def function(event):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    aws.functions.add("orders", function)
    handler = await opened(clients, make_mapping(concurrency=1))
    task = asyncio.create_task(handler.invoke(CALL))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not aws.connections)
    assert not ended
    assert clients.seen == []
    aws.functions.add("orders", lambda event: None)
    assert await handler.invoke(CALL) == Succeeded(b"null")


async def test_a_closed_handler_opens_nothing(aws, clients, opened):
    aws.functions.add("orders", lambda event: None)
    handler = await opened(clients)
    await handler.invoke(CALL)
    await handler.close()
    await handler.close()
    result = await handler.invoke(CALL)
    assert isinstance(result, NotInvoked)
    assert "closed" in result.message


async def test_a_function_that_throttles_by_itself_names_its_pause(aws, clients, opened):
    """INV-4."""

    def function(event):
        raise TooManyRequests(retry_after=9, reason="CallerRateLimitExceeded")

    aws.functions.add("orders", function)
    result = await (await opened(clients)).invoke(CALL)
    assert isinstance(result, Throttled)
    assert result.retry_after == 9.0
    assert "CallerRateLimitExceeded" in result.message


async def test_a_pause_that_cannot_be_read_is_none(serve, opened):
    texts = ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-1", "nan", ""]

    async def script(line, number):
        while True:
            await line.request()
            text = texts[len(server.requests) - 1]
            await line.answer(b'{"Reason":"R"}', "429 Too Many Requests", f"Retry-After: {text}\r\n")

    server = await serve(script)
    async with AwsClients(endpoint_url=server.url) as clients:
        handler = await opened(clients)
        for text in texts:
            result = await handler.invoke(CALL)
            assert isinstance(result, Throttled), text
            assert result.retry_after is None


async def test_which_handler_a_mapping_has(clients):
    assert isinstance(make_lambda_handler(make_mapping(), clients), LambdaHandler)
    emulated = make_mapping(endpoint_url="http://127.0.0.1:9000")
    assert isinstance(make_lambda_handler(emulated, clients), EmulatorHandler)


async def test_the_trace_is_told_to_lambda(serve, opened):
    """X-Ray's header, which is not signed; calls that run at once each have their own."""

    async def script(line, number):
        while True:
            await line.request()
            await line.answer(b"null")

    server = await serve(script)
    traces = [TraceContext(f"{number:032x}", "00f067aa0ba902b7", sampled=True) for number in (1, 2)]
    calls = [replace(CALL, request_id=one.trace_id, trace=one) for one in traces]
    async with AwsClients(endpoint_url=server.url) as clients:
        handler = await opened(clients)
        await asyncio.gather(*(asyncio.create_task(handler.invoke(call)) for call in (*calls, CALL)))
    heads = [head.decode().lower() for head, _ in server.requests]
    found = [[line for line in head.splitlines() if line.startswith("x-amzn-trace-id")] for head in heads]
    sent = [
        f"x-amzn-trace-id: root=1-00000000-{number:024x};parent=00f067aa0ba902b7;sampled=1" for number in (1, 2)
    ]
    assert sorted(found) == [[], [sent[0]], [sent[1]]]
    assert not any("trace" in line for head in heads for line in head.splitlines() if "signedheaders" in line)
