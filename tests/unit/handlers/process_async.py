"""Functions for workers that need an event loop or processes: they take longer to import."""

import asyncio
import multiprocessing
import os
import subprocess
import time

from tests.unit.handlers.process_functions import show


async def show_async(event, context):
    """As show, in an event loop; `loop` is the same for all calls."""
    await asyncio.sleep(0)
    return show(event, context) | {"loop": id(asyncio.get_running_loop())}


def show_later(event, context):
    return show_async(event, context)


async def leave_a_task(event, context):
    """What goes on in the background is frozen between two calls, as on Lambda."""
    leave_a_task.tasks.append(asyncio.create_task(asyncio.sleep(600)))


leave_a_task.tasks = []


def fail_by(event, context):
    kinds = {
        "KeyboardInterrupt": KeyboardInterrupt,
        "CancelledError": asyncio.CancelledError,
        "GeneratorExit": GeneratorExit,
    }
    raise kinds[event["kind"]]


async def fail_by_async(event, context):
    fail_by(event, context)


def fork(event, context):
    """A process of its own, by fork, that prints and ends; and one that lives on."""
    child = multiprocessing.get_context("fork").Process(target=print, args=("forked",))
    child.start()
    child.join()
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    return child.exitcode


def return_twice(event, context):
    if os.fork() == 0:
        return "the fork"
    os.wait()
    return "the worker"


def show_pipes(event, context):
    """The pipes that a program of the function's has been given, beside its standard input and output."""
    script = "for end in /proc/self/fd/*; do readlink $end; done | grep -c pipe:"
    return subprocess.run(
        ["sh", "-c", script], close_fds=False, stdout=subprocess.PIPE, check=False
    ).stdout.decode()


def stop_child(event, context):
    """Whether a child process of the function's ends by SIGTERM, as everywhere."""
    child = subprocess.Popen(["sleep", "600"])
    child.terminate()
    return child.wait()


def offspring(event, context):
    return subprocess.Popen(["sleep", "600"]).pid


def hang_with_offspring(event, context):
    print(offspring(event, context), flush=True)
    time.sleep(600)
