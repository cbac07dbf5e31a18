"""Mutants that change functions only are tried in forks of a pytest that has collected its tests already: what is
left of the cost of a mutant is the tests up to the first that fails.
"""

import contextlib
import importlib
import os
import resource
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.planted.swap import Swap, swaps

LEAST, FACTOR = 5.0, 6.0
"""CPU seconds for the tests of a mutant, and how many times what the unchanged module takes."""

PATIENCE: Final = 300.0
"""Seconds for one that waits for ever."""

LOADED: Final = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
"""Of libraries that were loaded before pytest was."""

OTHERWISE: Final = -1000
"""The status of a mutant that has to be loaded as a module."""


class Tries:
    """A plugin of pytest: runs the collected tests once for each source, and tells `number status` to `tell`."""

    def __init__(self, module: str, path: Path, sources: Sequence[str], jobs: int, tell: int) -> None:
        self._module, self._path, self._sources = module, path, sources
        self._jobs, self._tell = jobs, tell

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own."""
        if session.testsfailed or not session.items:
            raise session.Interrupted("the tests could not be collected")
        module = importlib.import_module(self._module)
        before = self._path.read_text(encoding="utf-8")
        began = os.times()
        process = self._fork(session, [], None)
        _, status = os.waitpid(process, 0)
        if status:
            raise session.Failed(f"{self._module} is not changed, and its tests fail")
        took = sum(now - then for now, then in zip(os.times()[2:4], began[2:4], strict=True))
        waiting: list[tuple[int, list[Swap]]] = []
        for number, source in enumerate(self._sources):
            found = swaps(module, before, source, str(self._path))
            if found:
                waiting.append((number, found))
            else:
                self._say(number, OTHERWISE)
        running: dict[int, tuple[int, float]] = {}
        waiting.reverse()
        while waiting or running:
            while waiting and len(running) < self._jobs:
                number, found = waiting.pop()
                process = self._fork(session, found, LEAST + FACTOR * took)
                running[process] = number, time.monotonic() + PATIENCE
            for process, (number, deadline) in list(running.items()):
                done, status = os.waitpid(process, os.WNOHANG)
                if not done and time.monotonic() > deadline:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process, signal.SIGKILL)
                    done, status = os.waitpid(process, 0)
                if done:
                    del running[process]
                    self._say(number, os.waitstatus_to_exitcode(status))
            time.sleep(0.002)
        return True

    def _say(self, number: int, status: int) -> None:
        os.write(self._tell, f"{number} {status}\n".encode())

    def _fork(self, session: pytest.Session, changes: list[Swap], seconds: float | None) -> int:
        process = os.fork()
        if process:
            return process
        status = 1
        try:
            os.setsid()
            if seconds is not None:
                resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
            for function, code in changes:
                function.__code__ = code
            status = _run(session)
        finally:
            os._exit(status)


def _run(session: pytest.Session) -> int:
    items = session.items
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def try_all(module: str, path: Path, sources: Sequence[str], tests: Sequence[str], jobs: int, tell: int) -> int:
    """In a process of its own that nothing else is expected of. The exit code of pytest."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    options = ["-x", "-q", "-s", "-p", "no:xdist", "-p", "no:cacheprovider", "-W", LOADED, "--tb=no"]
    return int(pytest.main([*options, *tests], plugins=[Tries(module, path, sources, jobs, tell)]))
