"""What tests of processes ask the system."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

GENEROUS = 30.0


def alive(pid: int) -> bool:
    """Whether the process runs: neither gone nor a zombie that nobody has buried yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def known(pid: int) -> bool:
    """Whether the system has the process in its table, if only as a zombie."""
    return Path(f"/proc/{pid}").exists()


def descriptors() -> set[str]:
    """The numbers of our open descriptors."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


async def until(condition: Callable[[], bool], what: str) -> None:
    """Lets the event loop run until the condition holds."""
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.005)
