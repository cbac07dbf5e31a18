"""Servers that others wrote, each in an environment of its own under `.servers/`, for the tests to run against:
how each is installed and started. keeper.py keeps them while the tests run. `python -m tests.servers.harness`
installs all that can be had here.

Installing happens once, however many workers and suites ask at the same time. A server that cannot be had
because there is no package index, or no Node for one that needs it, is `ServerMissing`; every other failure is a
failure.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
READY_DEADLINE = 60.0
START_ATTEMPTS = 5  # a free port may be taken between being found and being used
# What pip and npm say when they found no index, or one that does not answer or has not got the package.
_NO_INDEX = (
    *("No matching distribution", "Connection", "NewConnectionError", "Temporary failure", "Read timed out"),
    *("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "E404", "ENOTCACHED"),
)


class ServerMissing(Exception):  # noqa: N818 - it tells what is so, not what went wrong
    """The server could not be installed for want of a package index; the text tells what pip said."""


@dataclass(frozen=True)
class Server:
    """How a server starts; `{home}` (where it is installed), `{here}` (this folder) and `{port}` are filled in.

    `folder` is where it runs, a temporary one unless given. It is ready once it answers the operation `probe`.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    probe: str = "AmazonSQS.ListQueues"

    @property
    def pinned(self) -> Path:
        """What is installed, with a hash of each package: requirements of pip or a package-lock of npm."""
        lock = HERE / f"{self.name}.package-lock.json"
        return lock if lock.exists() else HERE / f"{self.name}.txt"


_KINESIS = "Kinesis_20131202.ListStreams"
# Limits of readers are for tests of their own: here they would only slow down the others.
EMBEDDED = Server("embedded", (sys.executable, "-m", "poller.testing", "--port", "{port}", "--no-read-limits"))
MINISTACK = Server(
    "ministack",
    ("{home}/bin/ministack",),
    {"BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1", "GATEWAY_PORT": "{port}"},
)
MOTO = Server("moto", ("{home}/bin/moto_server", "-H", "127.0.0.1", "-p", "{port}"))
ROTO = Server("roto", ("{home}/bin/roto-server", "--host", "127.0.0.1", "--port", "{port}", "--ephemeral"))
_NODE = ("node", "-r", "{here}/loopback.cjs")
_QUICK = "5ms"  # for what takes seconds at AWS
KINESIS_LOCAL = Server(
    "kinesis-local",
    (*_NODE, "main.js"),
    {
        "KINESIS_MOCK_PLAIN_PORT": "{port}",
        "KINESIS_MOCK_TLS_PORT": "0",
        "LOG_LEVEL": "ERROR",
        "SHARD_LIMIT": "5000",
        "CREATE_STREAM_DURATION": _QUICK,
        "DELETE_STREAM_DURATION": _QUICK,
        "SPLIT_SHARD_DURATION": _QUICK,
        "MERGE_SHARDS_DURATION": _QUICK,
        "UPDATE_SHARD_COUNT_DURATION": _QUICK,
    },
    folder="{home}/node_modules/kinesis-local",
    probe=_KINESIS,
)
KINESALITE = Server(
    "kinesalite",
    (*_NODE, "{home}/node_modules/kinesalite/cli.js", "--port", "{port}", "--shardLimit", "5000",
     "--createStreamMs", "5", "--updateStreamMs", "5", "--deleteStreamMs", "5"),
    probe=_KINESIS,
)  # fmt: skip
# AWS's own, in a package of AWS's. Its licence (LICENSE.txt beside the jar) is for those who have an AWS account
# and allows no redistribution: it is fetched where it is used. It listens everywhere, but for Loopback.java.
_JAR = "{home}/node_modules/amplify-dynamodb-simulator/emulator/DynamoDBLocal"
DYNAMODB_LOCAL = Server(
    "dynamodb-local",
    (
        *("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"),
        *(f"-Djava.library.path={_JAR}_lib", "-cp", f"{_JAR}.jar:{_JAR}_lib/*", "{here}/Loopback.java"),
        *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", "{port}"),
    ),
    probe="DynamoDB_20120810.ListTables",
)

# No server: the real aws command. aws_cli.py runs it.
AWS_CLI = Server("awscli", ("{home}/bin/python", "{here}/aws_cli.py"))


# No server: programs that check files.
DEPLOY_TOOLS = Server("deploy-tools", ())

SERVERS: dict[str, Server] = {
    server.name: server for server in (EMBEDDED, MINISTACK, MOTO, ROTO, KINESIS_LOCAL, KINESALITE, DYNAMODB_LOCAL)
}


def install(server: Server) -> Path:
    """The folder of the server's environment, made on first use from its pinned, hashed requirements."""
    if server is EMBEDDED:
        return ROOT
    if server is DYNAMODB_LOCAL:
        _check_for_jdk()
    home = ROOT / ".servers" / server.name
    home.parent.mkdir(exist_ok=True)
    wanted = hashlib.sha256(server.pinned.read_bytes() + sys.version.encode()).hexdigest()
    stamp = home / "installed"
    with (home.parent / f"{server.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            _install_from_npm(server, home) if server.pinned.suffix == ".json" else _install_from_pip(server, home)
            stamp.write_text(wanted)
    return home


def _install_from_pip(server: Server, home: Path) -> None:
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(home)], server)
    install = [sys.executable, str(ROOT / ".ci" / "packages.py"), str(home / "bin" / "python")]
    _run([*install, "--no-deps", "--require-hashes", "-r", str(server.pinned)], server)


def _install_from_npm(server: Server, home: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise ServerMissing(f"{server.name} needs Node and npm, which are not on this machine")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    shutil.copy(server.pinned, home / "package-lock.json")
    wanted = json.loads(server.pinned.read_text())["packages"][""]
    (home / "package.json").write_text(json.dumps(wanted))
    _run(["npm", "ci", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund"], server)


def _check_for_jdk() -> None:
    java = shutil.which("java")
    modules = "" if java is None else subprocess.check_output([java, "--list-modules"], text=True)
    if "jdk.compiler" not in modules:
        raise ServerMissing("dynamodb-local needs a JDK (java with its compiler), which is not on this machine")


def _run(command: list[str], server: Server) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    told = [line for line in said.splitlines() if any(word in line for word in _NO_INDEX)]
    if told:
        raise ServerMissing(f"{server.name} could not be installed: {told[-1]}")
    raise RuntimeError(f"installing {server.name} failed:\n{said}")


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port that the system gives to nobody else while the block lasts, and on which the server may yet listen.

    Were it only found and let go, another worker's server could get it first, answer the question whether ours
    is ready, and be tested in its place. A bound socket that does not listen keeps it; with SO_REUSEADDR on both
    sides Linux lets the server bind it as well, other systems do not.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        if sys.platform != "linux":
            holder.close()
        yield port


def start(server: Server, home: Path, port: int, folder: Path) -> "subprocess.Popen[bytes]":
    values = {"home": str(home), "here": str(HERE), "port": str(port)}
    command = [part.format(**values) for part in server.command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    environment |= {name: value.format(**values) for name, value in server.environment.items()}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder if server.folder is None else server.folder.format(**values),
            env=environment,
            start_new_session=True,  # Ctrl-C is for the tests
        )


def ready(server: Server, process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Waits until it answers; False when the process ended first (its port was taken meanwhile)."""
    headers = {
        "X-Amz-Target": server.probe,
        "X-Amz-Date": "20250101T000000Z",
        "Content-Type": "application/x-amz-json-1.1" if server.probe == _KINESIS else "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/sqs/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", b"{}", headers)
    deadline = time.monotonic() + READY_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        with contextlib.suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(request, timeout=5):
            return process.poll() is None
        time.sleep(0.05)
    raise RuntimeError(f"no answer on port {port} within {READY_DEADLINE:g} s")


if __name__ == "__main__":
    for lists in (HERE.glob("*.txt"), HERE.glob("*.package-lock.json")):
        for name in sorted(file.name.removesuffix(".txt").removesuffix(".package-lock.json") for file in lists):
            with contextlib.suppress(ServerMissing):
                install(SERVERS.get(name, Server(name, ())))
