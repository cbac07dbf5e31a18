"""One server of each kind for a whole run of the tests: whichever worker needs it first has it started.

The keeper is a process of the one that the user started (under xdist the controller): when that one ends, however
it ends, kill -9 included, the keeper's standard input does, and with it every server. Whoever writes the name of a
server into its socket reads one line of JSON: `{"url": ...}`, `{"missing": ...}` (it cannot be had here) or
`{"failed": ...}`. It is there in every run, so it imports nothing but the standard library.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.servers import harness

STOP_DEADLINE = 5.0


@contextlib.contextmanager
def kept() -> Iterator[str]:
    """A keeper while the block runs: the path of its socket."""
    with tempfile.TemporaryDirectory(prefix="esm-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = f"{folder}/keeper"
        listener.bind(path)
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.keeper", str(listener.fileno()), folder],
            cwd=harness.ROOT,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # neither Ctrl-C nor a kill of the whole group ends it before its servers
        )
        try:
            yield path
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def url_of(server: harness.Server, keeper: str) -> str:
    """The server's URL, once it is ready. Raises harness.ServerMissing."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(keeper)
        connection.sendall(server.name.encode() + b"\n")
        with connection.makefile("rb") as answers:
            answer = json.loads(answers.readline() or b'{"failed": "the keeper has ended"}')
    if "missing" in answer:
        raise harness.ServerMissing(answer["missing"])
    if "failed" in answer:
        raise RuntimeError(answer["failed"])
    return str(answer["url"])


class Keeper:
    """Starts servers and ends them; `folder` is for their logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: dict[str, dict[str, str]] = {}
        self._one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._started: list[subprocess.Popen[bytes]] = []
        self._starting = threading.Lock()

    def serve(self, connection: socket.socket) -> None:
        """One question; it may take as long as an installation."""
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
            name = stream.readline().decode().strip()
            stream.write(json.dumps(self._answer(name)).encode() + b"\n")

    def _answer(self, name: str) -> dict[str, str]:
        with self._one_at_a_time[name]:
            if name not in self._answers:
                try:
                    self._answers[name] = {"url": self._start(harness.SERVERS[name])}
                except harness.ServerMissing as missing:
                    self._answers[name] = {"missing": str(missing)}
                except Exception as error:  # noqa: BLE001 - whoever asked hears of it, and may ask again
                    return {"failed": f"{type(error).__name__}: {error}"}
            return self._answers[name]

    def _start(self, server: harness.Server) -> str:
        home = harness.install(server)
        folder = self._folder / server.name
        folder.mkdir(exist_ok=True)
        for _ in range(harness.START_ATTEMPTS):
            with harness.free_port() as port:
                with self._starting:
                    process = harness.start(server, home, port, folder)
                    self._started.append(process)
                if harness.ready(server, process, port):
                    return f"http://127.0.0.1:{port}"
        log = (folder / "log").read_text(errors="replace")
        raise RuntimeError(
            f"{server.name} ended {harness.START_ATTEMPTS} times before it was ready; the last time:\n{log}"
        )

    def end(self) -> None:
        """Ends them all, and lets nothing start after that."""
        self._starting.acquire()
        for process in self._started:
            process.terminate()
        for process in self._started:
            try:
                process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listen(listener: socket.socket, keeper: Keeper) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=keeper.serve, args=[connection], daemon=True).start()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    listener, folder = socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])
    keeper = Keeper(folder)
    threading.Thread(target=_listen, args=[listener, keeper], daemon=True).start()
    try:
        sys.stdin.buffer.read()
    finally:
        keeper.end()
        shutil.rmtree(folder, ignore_errors=True)  # whoever made it may have been killed
        os._exit(0)  # a thread may wait for an installation, which nobody asks for any more


if __name__ == "__main__":
    main()
