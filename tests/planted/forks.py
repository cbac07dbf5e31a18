"""Mutants run in forks of a process that has all libraries loaded: a mutant costs its tests, and little more.
Those that change functions only cost less still: warm.py.

No file is changed: the changed module is brought by the import system, in the fork alone.
"""

import contextlib
import enum
import importlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import TypeVar

import hypothesis
import pytest

from tests.planted.warm import LOADED, OTHERWISE, try_all

T = TypeVar("T")
LEAST = 300.0
"""Seconds for the tests of a mutant: a loop without an end is noticed, a slow machine is not taken for one."""


class Outcome(enum.Enum):
    """What became of a mutant. `UNUSABLE`: it is no module any more, which proves nothing about the tests."""

    KILLED = enum.auto()
    SURVIVED = enum.auto()
    TIMED_OUT = enum.auto()
    UNUSABLE = enum.auto()


class Nest:
    """Tries mutants of one module."""

    def __init__(self, module: str, path: Path, root: Path) -> None:
        self._module = module
        self._path = path
        self._root = root

    def tried(
        self, mutants: Sequence[tuple[T, str]], tests: Sequence[str], jobs: int, *, warm: bool = True
    ) -> Iterator[tuple[T, Outcome]]:
        """Each mutant (what it is known by, and its source) with its outcome. The unchanged module must pass.
        `warm` is whether those that change functions only may be tried without loading anything anew.
        """
        if not mutants:
            return
        if not warm:
            yield from self._anew(mutants, tests, jobs)
            return
        others = []
        for number, status in self._warm([source for _, source in mutants], tests, jobs):
            if status == OTHERWISE:
                others.append(mutants[number])
            else:
                yield mutants[number][0], _outcome(status)
        yield from self._anew(others, tests, jobs)

    def _warm(self, sources: Sequence[str], tests: Sequence[str], jobs: int) -> Iterator[tuple[int, int]]:
        """Those that change functions only (warm.py); the others with OTHERWISE."""
        told, tell = os.pipe()
        process = os.fork()
        if not process:
            status = 99
            try:
                os.close(told)
                os.setsid()
                os.chdir(self._root)
                _settle_hypothesis()
                status = try_all(self._module, self._path, sources, tests, jobs, tell)
            finally:
                os._exit(status)
        os.close(tell)
        try:
            with os.fdopen(told, encoding="ascii") as lines:
                for line in lines:
                    number, status = line.split()
                    yield int(number), int(status)
        finally:
            _, ended = os.waitpid(process, 0)
        if ended:
            raise RuntimeError(f"{self._module} is not changed, and its tests fail: pytest ended with {ended}")

    def _anew(
        self, mutants: Sequence[tuple[T, str]], tests: Sequence[str], jobs: int
    ) -> Iterator[tuple[T, Outcome]]:
        """Those for which the module has to be loaded anew."""
        waiting = list(reversed(mutants))
        running: dict[int, tuple[T, float]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    known_by, changed = waiting.pop()
                    running[self._fork(changed, tests)] = known_by, time.monotonic() + LEAST
                for process, (known_by, deadline) in list(running.items()):
                    done, status = os.waitpid(process, os.WNOHANG)
                    if done:
                        del running[process]
                        yield known_by, _outcome(os.waitstatus_to_exitcode(status))
                    elif time.monotonic() > deadline:
                        self._end(process)
                        del running[process]
                        yield known_by, Outcome.TIMED_OUT
                time.sleep(0.01)
        finally:
            for process in running:
                self._end(process)

    def _fork(self, source: str, tests: Sequence[str]) -> int:
        process = os.fork()
        if process:
            return process
        status = 99
        try:
            os.setsid()
            status = self._run(source, tests)
        finally:
            os._exit(status)

    def _run(self, source: str, tests: Sequence[str]) -> int:
        """In the fork."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.chdir(self._root)
        _settle_hypothesis()
        try:
            code = compile(source, str(self._path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return 98
        sys.meta_path.insert(0, _Finder(self._module, self._path, code))
        try:
            importlib.import_module(self._module)
        except BaseException:  # noqa: BLE001 - whatever it is, there is no module
            return 98
        options = ["-x", "-q", "-p", "no:xdist", "-W", LOADED, "--tb=no"]
        return int(pytest.main([*options, *tests]))

    def _end(self, process: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _settle_hypothesis() -> None:
    """What fails needs not be made small, nor be remembered for others."""
    hypothesis.settings.register_profile(
        "mutants",
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("mutants")


def _outcome(status: int) -> Outcome:
    match status:
        case 0:
            return Outcome.SURVIVED
        case 98:
            return Outcome.UNUSABLE
        case killed if killed < 0:
            return Outcome.TIMED_OUT
        case _:
            return Outcome.KILLED


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self._code


class _Finder:
    """Brings the one changed module."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self._module = module
        self._path = path
        self._code = code

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As importlib asks."""
        del path, target
        if name != self._module:
            return None
        loader = _Loader(name, str(self._path), self._code)
        return importlib.util.spec_from_file_location(name, str(self._path), loader=loader)


def load_libraries() -> None:
    """What tests import of others; nothing of ours, which each fork has to import itself."""
    for name in (
        "botocore.loaders",
        "boto3",
        "orjson",
        "aiohttp",
        "httptools",
        "pydantic",
        "yaml",
        "_pytest.assertion",
    ):
        importlib.import_module(name)
    ours = [name for name in sys.modules if name.split(".")[0] == "poller"]
    assert not ours, f"loaded before the forks: {ours}"
