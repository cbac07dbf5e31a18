"""The embedded AWS as a process of its own: how it starts, and every way in which it ends."""

import asyncio
import os
import signal
import socket
import sys
from urllib.parse import urlparse

import pytest

from poller.errors import ListenError
from poller.testing import separate_process

COMMAND = (sys.executable, "-m", "poller.testing")
PIPES = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}


async def start(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, **PIPES)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return process, (await process.stdout.readline()).decode().strip()


async def end(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def listens(url: str) -> bool:
    parts = urlparse(url)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_prints_its_url_once_it_listens_and_ends_cleanly(number: signal.Signals) -> None:
    process, url = await start("--port", "0")
    assert await listens(url)
    process.send_signal(number)
    assert await end(process) == (0, "", "")
    assert not await listens(url)


async def test_it_ends_with_its_parent() -> None:
    process, url = await start("--with-parent")
    assert await listens(url)
    assert process.stdin is not None
    process.stdin.close()
    assert await end(process) == (0, "", "")


async def test_without_being_told_it_outlives_its_input() -> None:
    process, url = await start()
    assert process.stdin is not None
    process.stdin.close()
    assert await listens(url)
    process.terminate()
    assert (await end(process))[0] == 0


async def test_a_busy_port_is_one_line_and_no_traceback() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process, line = await start("--port", port)
        code, out, err = await end(process)
        assert (code, line, out) == (1, "", "")
        assert err.startswith(f"poller: cannot listen on 127.0.0.1:{port}: ")
        assert err.count("\n") == 1
        with pytest.raises(ListenError, match=f"^cannot listen on 127.0.0.1:{port}: "):
            async with separate_process(port=int(port)):
                pytest.fail("it listens on a port that is taken")


async def test_it_runs_beside_a_block_and_ends_with_it() -> None:
    async with separate_process() as url:
        assert await listens(url)
    assert not await listens(url)


async def test_it_ends_with_a_block_that_fails() -> None:
    url = ""
    with pytest.raises(ZeroDivisionError):
        async with separate_process() as url:
            raise ZeroDivisionError
    assert not await listens(url)


async def test_it_ends_when_its_owner_is_killed() -> None:
    code = (
        "import asyncio\nfrom poller.testing import separate_process\n"
        "async def main():\n"
        "    async with separate_process() as url:\n"
        "        print(url, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", code, **PIPES)
    assert owner.stdout is not None
    async with asyncio.timeout(60):
        url = (await owner.stdout.readline()).decode().strip()
        assert await listens(url)
        os.kill(owner.pid, signal.SIGKILL)
        await owner.communicate()
        while await listens(url):  # noqa: ASYNC110 - the end of another process is no event of ours
            await asyncio.sleep(0.05)
