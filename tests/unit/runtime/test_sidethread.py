"""A second event loop that goes on while the main one stands still."""

import asyncio
import logging
import threading

import pytest

from poller.runtime.sidethread import SideThread


@pytest.fixture
async def side():
    thread = SideThread()
    thread.start()
    yield thread
    await thread.close()


async def test_runs_elsewhere_and_gives_back_the_result(side: SideThread):
    async def work() -> int:
        return threading.get_ident()

    assert await side.run(work()) != threading.get_ident()


async def test_an_exception_reaches_whoever_awaits(side: SideThread):
    async def work() -> None:
        raise LookupError("there")

    with pytest.raises(LookupError, match="there"):
        await side.run(work())


async def test_goes_on_while_the_main_loop_stands_still(side: SideThread):
    went_on = threading.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        went_on.set()

    side.spawn(work())
    assert went_on.wait(60)  # this blocks the main loop


async def test_a_failure_of_what_nobody_awaits_is_logged(side: SideThread, caplog: pytest.LogCaptureFixture):
    async def work() -> None:
        raise LookupError("unseen")

    async def settled() -> None:
        while side._tasks:  # noqa: ASYNC110 - ends when the failure has been told
            await asyncio.sleep(0.001)

    side.spawn(work())
    await side.run(settled())
    (record,) = [record for record in caplog.records if record.name == "poller"]
    assert (record.levelno, record.action) == (logging.ERROR, "side_task_failed")
    assert "unseen" in caplog.text


async def test_close_cancels_what_runs_and_ends_the_thread():
    side = SideThread()
    side.start()
    cancelled = threading.Event()
    begun = threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    side.spawn(work())
    assert begun.wait(60)
    await side.close()
    assert cancelled.is_set()
    side._thread.join(60)
    assert not side._thread.is_alive()
    await side.close()


async def test_it_never_keeps_the_process_from_ending(side: SideThread):
    assert side._thread.daemon
