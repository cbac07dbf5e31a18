"""The pool of threads for functions that block."""

import asyncio
import threading

import pytest

from poller.errors import HandlerError
from poller.handlers.threads import HandlerThreads


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def alive(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


async def test_hands_over_what_was_returned_and_what_was_raised():
    pool = HandlerThreads("esm:a", 1)
    error = StopIteration(3)

    def fail():
        raise error

    assert await pool.run(lambda: 5) == (None, 5)
    assert await pool.run(fail) == (error, None)
    pool.close()


async def test_threads_are_daemons_and_are_used_again():
    pool = HandlerThreads("esm:b", 4)
    seen = {(await pool.run(threading.current_thread))[1] for _ in range(20)}
    assert len(seen) == 1
    (thread,) = seen
    assert thread.daemon
    pool.close()
    await until(lambda: not thread.is_alive())


async def test_no_more_than_its_size_run_at_once():
    pool = HandlerThreads("esm:c", 3)
    running, most, lock = 0, 0, threading.Lock()
    gate = threading.Event()

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait()
        with lock:
            running -= 1

    calls = [asyncio.create_task(pool.run(work)) for _ in range(9)]
    await until(lambda: running == 3)
    gate.set()
    await asyncio.gather(*calls)
    assert most == 3
    pool.close()


async def test_an_abandoned_call_is_replaced_dropped_and_its_thread_given_up_later():
    pool = HandlerThreads("esm:d", 1)
    release, begun = threading.Event(), threading.Event()

    def hang():
        begun.set()
        release.wait()
        return "too late"

    task = asyncio.create_task(pool.run(hang))
    waiting = None
    await until(begun.is_set)
    waiting = asyncio.create_task(pool.run(lambda: "waited"))
    await asyncio.sleep(0)
    task.cancel()
    assert await waiting == (None, "waited")  # another thread took the place, for the call in the queue too
    assert pool.abandoned == 1
    assert alive("esm:d") == 2
    release.set()
    await until(lambda: pool.abandoned == 0 and alive("esm:d") == 1)
    assert await pool.run(lambda: 1) == (None, 1)
    with pytest.raises(asyncio.CancelledError):
        await task
    pool.close()
    await until(lambda: alive("esm:d") == 0)


async def test_a_call_cancelled_before_it_began_never_runs():
    pool = HandlerThreads("esm:e", 1)
    release, begun, ran = threading.Event(), threading.Event(), threading.Event()

    def hang():
        begun.set()
        release.wait()

    first = asyncio.create_task(pool.run(hang))
    await until(begun.is_set)
    second = asyncio.create_task(pool.run(ran.set))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    release.set()
    await first
    await until(lambda: pool.abandoned == 0)
    assert not ran.is_set()
    pool.close()


async def test_a_system_without_threads_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    pool = HandlerThreads("esm:f", 1)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(HandlerError, match="no further thread"):
            await pool.run(lambda: 1)
    assert await pool.run(lambda: 1) == (None, 1)
    pool.close()


async def test_after_close_nothing_runs():
    pool = HandlerThreads("esm:g", 1)
    pool.close()
    with pytest.raises(HandlerError, match="closed"):
        await pool.run(lambda: 1)


def test_a_function_that_outlives_its_loop_troubles_nobody():
    pool = HandlerThreads("esm:h", 1)
    release, begun = threading.Event(), threading.Event()

    def hang():
        begun.set()
        release.wait()

    async def main():
        task = asyncio.create_task(pool.run(hang))
        await until(begun.is_set)
        task.cancel()

    asyncio.run(main())
    release.set()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "esm:h"]
    thread.join(30)
    assert not thread.is_alive()
