"""Asking a daemon for its status, and what is no answer."""

import io
import json
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from poller import cli
from poller.errors import ConfigurationError
from poller.statusfetch import StatusUnavailable, fetch
from tests.unit.test_statusview import mapping


@pytest.fixture
def daemon():
    """A server that answers whatever the test wants."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            status, body = server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answering)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url_of(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_the_status_is_fetched_whatever_proxy_the_environment_names(daemon, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    daemon.answer = 200, json.dumps({"mappings": [mapping()]}).encode()

    assert fetch(url_of(daemon) + "/")["mappings"][0]["name"] == "orders"
    assert daemon.asked == ["/v1/mappings"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_another_encoding_shows_it_all_the_same(daemon, monkeypatch, encoding):
    error = {"message": "ValueError: “no” " + "x" * 300, "at": "2026-01-02T03:04:05.000Z"}
    daemon.answer = 200, json.dumps({"mappings": [mapping(last_error=error)]}).encode()
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["poller", "status", "--url", url_of(daemon)])

    cli.main()

    out.flush()
    assert b"orders: ValueError: \\u201cno\\u201d xxx" in out.buffer.getvalue()


def test_no_daemon_is_one_sentence():
    with socket.socket() as bound:  # nobody listens, and nobody else can have the port
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(StatusUnavailable) as caught:
            fetch(f"http://127.0.0.1:{port}")

    assert str(caught.value).startswith(f"no poller answers at http://127.0.0.1:{port} (")
    assert "poller run" in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, b"There is nothing here.\nmore"), r"answered 404 \(There is nothing here\.\)"),
        ((404, b"\x1b[2J"), r"answered 404 \( \[2J\)"),
        ((500, b""), r"answered 500 \(Internal Server Error\)"),
        ((200, b"<html>"), "did not answer with a status"),
        ((200, b"[]"), "did not answer with a status"),
        ((200, b'{"mappings": 1}'), "did not answer with a status"),
        ((200, b'{"mappings": [1]}'), "did not answer with a status"),
        ((200, b"[" * 100_000), "did not answer with a status"),
    ],
)
def test_something_else_at_the_address_is_one_sentence(daemon, answer, said):
    daemon.answer = answer

    with pytest.raises(StatusUnavailable, match=said):
        fetch(url_of(daemon))


@pytest.mark.parametrize("status", [200, 401, 502])
def test_an_answer_that_breaks_off_is_one_sentence(status):
    """`poller top` goes on asking for as long as it hears sentences."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(b"HTTP/1.1 %d Some\r\nContent-Length: 99\r\n\r\ngone" % status)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # with a reset

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(StatusUnavailable):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_what_is_no_http_at_all_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(StatusUnavailable):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize("url", ["127.0.0.1:9465", "ftp://x", "http://", "http://[::1", "file:///etc/passwd"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ConfigurationError, match="--url"):
        fetch(url)
