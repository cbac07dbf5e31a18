"""Each fault does to the bytes what it says, is counted, and hits the requests that the seed says."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from tests.faults import rules
from tests.faults.proxy import Proxy, in_front_of
from tests.faults.refusals import refusal
from tests.faults.rules import Fault, Plan, Rule, mix

BODY = json.dumps({"Messages": [], "Padding": "x" * 200}).encode()
DEADLINE = 60.0


class Server(NamedTuple):
    """A server that answers everything with BODY, and what it was asked."""

    url: str
    asked: list[str]


@pytest.fixture
def server() -> Iterator[Server]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(self.headers["x-amz-target"])
            self.send_response(200)
            if asked[-1].endswith("Chunked"):
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for piece in (BODY[:7], BODY[7:]):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.send_header("content-length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=[0.02])
        thread.start()
        yield Server(f"http://127.0.0.1:{listening.server_port}", asked)
        listening.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with in_front_of(server.url) as proxy:
        yield proxy


@contextlib.contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE) as connection:
        yield connection


def ask(connection: socket.socket, target: str = "AmazonSQS.ReceiveMessage") -> None:
    connection.sendall(f"POST / HTTP/1.1\r\nX-Amz-Target: {target}\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def rest(connection: socket.socket) -> bytes:
    """All until the end, or until the reset, which is told by a last word."""
    got = b""
    try:
        while data := connection.recv(65536):
            got += data
    except ConnectionResetError:
        got += b"RST"
    return got


def whole(connection: socket.socket) -> tuple[int, bytes]:
    """One answer: its status and its body."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += connection.recv(65536)
    assert len(body) == length
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("fault", "arrives", "passed_on"),
    [
        (rules.Reset(), b"RST", False),
        (rules.Reset(after=True), b"RST", True),
        (rules.Truncated(), BODY[: len(BODY) // 2], True),
        (rules.Garbage(), bytes(range(255, 127, -1)) * 4, True),
        (rules.HangUp(), BODY, True),
    ],
    ids=rules.name_of,
)
def test_faults_that_end_the_connection(
    fault: Fault, arrives: bytes, passed_on: bool, proxy: Proxy, server: Server
) -> None:
    proxy.be(Rule(fault))
    with connected(proxy) as connection:
        ask(connection)
        got = rest(connection)
    if isinstance(fault, rules.Truncated | rules.HangUp):
        head, _, got = got.partition(b"\r\n\r\n")
        assert f"content-length: {len(BODY)}".encode() in head
        assert b"close" not in head
    assert got == arrives
    assert len(server.asked) == passed_on
    assert proxy.faults == {(rules.name_of(fault), "sqs.ReceiveMessage"): 1}
    assert proxy.met(fault) == 1


@pytest.mark.parametrize("fault", [rules.Delay(0.2), rules.Slow(5, 0.02)], ids=rules.name_of)
def test_faults_that_take_their_time(fault: Fault, proxy: Proxy, server: Server) -> None:
    proxy.be(Rule(fault))
    with connected(proxy) as connection:
        connection.settimeout(0.01)
        ask(connection)
        with pytest.raises(TimeoutError):
            connection.recv(65536)
        connection.settimeout(DEADLINE)
        assert whole(connection) == (200, BODY)
        ask(connection)
        assert whole(connection) == (200, BODY), "the connection lives on"
    assert proxy.met(fault) == 2


def test_a_slow_answer_comes_in_pieces(proxy: Proxy) -> None:
    proxy.be(Rule(rules.Slow(5, 0.05)))
    with connected(proxy) as connection:
        ask(connection)
        assert len(connection.recv(65536)) < len(BODY) / 2


@pytest.mark.parametrize("fault", [rules.BlackHole(), rules.BlackHole(after=True)], ids=rules.name_of)
def test_a_black_hole_holds_the_connection(fault: Fault, proxy: Proxy, server: Server) -> None:
    """Until it is told to do something else: then it is cut."""
    proxy.be(Rule(fault))
    with connected(proxy) as connection:
        connection.settimeout(0.1)
        ask(connection)
        with pytest.raises(TimeoutError):
            connection.recv(65536)
        assert proxy.clients == 1
        connection.settimeout(DEADLINE)
        proxy.be()
        assert rest(connection) in {b"", b"RST"}
    assert len(server.asked) == (fault == rules.BlackHole(after=True))
    with connected(proxy) as connection:
        ask(connection)
        assert whole(connection) == (200, BODY)
    assert proxy.passed == {"sqs.ReceiveMessage": 1}


@pytest.mark.parametrize(
    ("fault", "target", "status", "kind"),
    [
        (rules.Throttle(), "AmazonSQS.ReceiveMessage", 403, "RequestThrottled"),
        (rules.Throttle(), "Kinesis_20131202.GetRecords", 400, "ProvisionedThroughputExceededException"),
        (rules.Throttle(), "DynamoDBStreams_20120810.GetRecords", 400, "LimitExceededException"),
        (rules.Throttle(), "DynamoDB_20120810.PutItem", 400, "ThrottlingException"),
        (rules.Expired(), "AmazonSQS.DeleteMessageBatch", 403, "ExpiredToken"),
        (rules.Expired(), "Kinesis_20131202.GetRecords", 400, "ExpiredTokenException"),
        (rules.Broken(), "AmazonSQS.ReceiveMessage", 500, "InternalFailure"),
        (rules.Broken(503), "Kinesis_20131202.GetRecords", 503, "ServiceUnavailable"),
        (rules.Refused("Nonsense", "no"), "AmazonSQS.ReceiveMessage", 400, "Nonsense"),
    ],
)
def test_refusals_are_the_service_s_own(
    fault: Fault, target: str, status: int, kind: str, proxy: Proxy, server: Server
) -> None:
    proxy.be(Rule(fault))
    with connected(proxy) as connection:
        ask(connection, target)
        answered, body = whole(connection)
        assert (answered, json.loads(body)["__type"].rpartition("#")[2]) == (status, kind)
        ask(connection, target)
        assert whole(connection)[0] == status, "the connection lives on"
    assert server.asked == []


def test_a_throttled_target_says_when_to_come_again() -> None:
    assert b"429 Too Many Requests" in refusal("http", rules.Throttle())
    assert b"Retry-After: 0" in refusal("http", rules.Throttle())


def test_a_mangled_answer_is_no_json_and_keeps_the_connection(proxy: Proxy, server: Server) -> None:
    proxy.be(Rule(rules.Mangled(), first=1))
    with connected(proxy) as connection:
        ask(connection)
        status, body = whole(connection)
        with pytest.raises(ValueError, match=r"."):
            json.loads(body)
        ask(connection)
        assert whole(connection) == (status, BODY) == (200, BODY)
    assert len(server.asked) == 2


def test_chunks_arrive_as_one_body(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        for _ in range(2):
            ask(connection, "AmazonSQS.Chunked")
            assert whole(connection) == (200, BODY)


def test_away_is_nobody_listening_and_back_is_the_same_port(proxy: Proxy) -> None:
    port = proxy.port
    proxy.be(away=True)
    with pytest.raises(ConnectionRefusedError), connected(proxy):
        pass
    proxy.be()
    assert proxy.port == port
    with connected(proxy) as connection:
        ask(connection)
        assert whole(connection) == (200, BODY)


def test_the_same_seed_means_the_same_fate() -> None:
    """Whatever the other operations do; shares are kept, and each fault has its part."""
    plan = Plan(mix(0.3, [rules.Reset(), rules.Throttle(), rules.Slow()], "sqs.*"), seed=7)
    fates = [plan.fault_of("sqs.ReceiveMessage", nth) for nth in range(1, 3001)]
    assert fates == [Plan(plan.rules, 7).fault_of("sqs.ReceiveMessage", nth) for nth in range(1, 3001)]
    assert fates != [Plan(plan.rules, 8).fault_of("sqs.ReceiveMessage", nth) for nth in range(1, 3001)]
    for rule in plan.rules:
        assert 240 < fates.count(rule.fault) < 360
    assert not any(plan.fault_of("kinesis.GetRecords", nth) for nth in range(1, 3001))


def test_the_first_requests_of_each_operation() -> None:
    plan = Plan((Rule(rules.Reset(), first=2, operations=("sqs.DeleteMessageBatch", "kinesis.*")),))
    for operation in ("sqs.DeleteMessageBatch", "kinesis.GetRecords", "kinesis.ListShards"):
        assert [plan.fault_of(operation, nth) for nth in (1, 2, 3)] == [rules.Reset(), rules.Reset(), None]
    assert plan.fault_of("sqs.ReceiveMessage", 1) is None
