"""Clients that measure themselves and print JSON: the bare loops of this folder, and peers that others wrote.

Peers are installed from their package registries into environments of their own under `.servers`.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.compare import NotAvailable
from tests.bench.daemon import ENV, HERE, ROOT
from tests.servers import harness

NODE_HOME = ROOT / ".servers" / "bench-node"
DEADLINE = 120


@dataclass(frozen=True)
class _Peers(harness.Server):
    @property
    def pinned(self) -> Path:
        return HERE / "peers.txt"


def rate(command: list[str], **environment: str) -> float:
    """What the client did for each CPU second. It prints {"done": ..., "cpu": ...}; start-up is not counted."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=ENV | environment, timeout=DEADLINE
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    told = json.loads(done.stdout)
    return float(told["done"] / told["cpu"])


def _peer(command: list[str], **environment: str) -> float:
    """A peer that breaks is not our failure. Raises NotAvailable."""
    try:
        return rate(command, **environment)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        raise NotAvailable(f"it failed: {str(error).strip().splitlines()[-1]}") from error


def bare(script: str, *arguments: object, **environment: str) -> float:
    """A loop of this folder, under our own Python."""
    return rate([sys.executable, str(HERE / script), *map(str, arguments)], **environment)


def python_peer(script: str, *arguments: object) -> float:
    """A peer in Python, under that of its environment. Raises NotAvailable."""
    try:
        home = harness.install(_Peers("bench-peers", ()))
    except harness.ServerMissing as missing:
        raise NotAvailable(str(missing)) from missing
    return _peer([str(home / "bin" / "python"), str(HERE / script), *map(str, arguments)], PYTHONPATH="")


def node_peer(*arguments: object) -> float:
    """sqs-consumer under Node. Raises NotAvailable."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotAvailable("no Node.js on this machine")
    modules = NODE_HOME / "node_modules" / "sqs-consumer"
    NODE_HOME.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "consumer.mjs"):
        shutil.copy(HERE / "node" / name, NODE_HOME / name)
    if not modules.exists():
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(command, check=False, cwd=NODE_HOME, capture_output=True, env=os.environ)
        if done.returncode != 0:
            raise NotAvailable("the npm registry did not give it")
    return _peer([node, "--no-warnings", str(NODE_HOME / "consumer.mjs"), *map(str, arguments)])
