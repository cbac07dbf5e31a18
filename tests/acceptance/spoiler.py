"""An HTTP server that passes calls on to an AWS and spoils some of its answers on the way back: what comes is HTTP
still, but no answer of that service any more. What AWS has done, it has done.
"""

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Spoil = Callable[[Any], bytes]
"""What comes instead of this answer."""

_PASSED = ("Content-Type", "Date", "x-amzn-query-error", "x-amzn-RequestId")


class Spoiler(ThreadingHTTPServer):
    """`spoils` are for successful answers to requests of an operation that name a victim: one after another, each
    after `every` - 1 that come as they are, and again from the first. `spoilt` counts them.
    """

    daemon_threads = True

    def __init__(self, url: str, victims: Sequence[str], spoils: dict[str, Sequence[Spoil]], every: int) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.spoilt: Counter[str] = Counter()
        self._behind = urlsplit(url).netloc
        self._victims = victims
        self._spoils = spoils
        self._every = every
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def exchange(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """One call: asked of the AWS behind, and perhaps spoilt."""
        connection = http.client.HTTPConnection(self._behind, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            status, said = answer.status, answer.read()
            told = {name: answer.headers[name] for name in _PASSED if name in answer.headers}
        operation = headers.get("X-Amz-Target", "").rpartition(".")[2]
        spoil = self._next(operation) if status == 200 and self._concerns(operation, body) else None
        return status, told, said if spoil is None else spoil(json.loads(said))

    def handle_error(self, request: object, client_address: object) -> None:
        """The client may go whenever it likes."""

    def _concerns(self, operation: str, body: bytes) -> bool:
        return operation in self._spoils and any(victim.encode() in body for victim in self._victims)

    def _next(self, operation: str) -> Spoil | None:
        spoils = self._spoils[operation]
        with self._lock:
            seen = self._seen[operation]
            self._seen[operation] += 1
            turn, rest = divmod(seen, self._every)
            if rest < self._every - 1:
                return None
            self.spoilt[operation] += 1
        return spoils[turn % len(spoils)]


class _Call(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Spoiler)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        status, told, said = server.exchange(self.path, headers, body)
        self.send_response_only(status)
        for name, value in {**told, "Content-Length": str(len(said))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
        """Nothing is told."""


@contextlib.contextmanager
def spoiling(
    url: str, victims: Sequence[str], spoils: dict[str, Sequence[Spoil]], every: int = 2
) -> Iterator[Spoiler]:
    """Gone with the block."""
    server = Spoiler(url, victims, spoils, every)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
