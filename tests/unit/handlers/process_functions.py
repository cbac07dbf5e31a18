"""Functions that tests of `process:` have called in workers; what takes long to import: process_async.py."""

import contextvars
import os
import signal
import sys
import threading
import time
from decimal import Decimal

color = contextvars.ContextVar("color", default="none")
calls = 0


def show(event, context):
    """Returns what a worker is like."""
    global calls  # noqa: PLW0603 - what stays from call to call is the point
    calls += 1
    seen = color.get()
    color.set("red")
    return {
        "pid": os.getpid(),
        "calls": calls,
        "main": threading.current_thread() is threading.main_thread(),
        "color": seen,
    }


def give(event, context):
    return event["value"]


def give_special(event, context):
    return {
        "decimal": {"n": Decimal("1.5")},
        "bytes": b'{"raw":\n 1}',
        "set": {1},
        "nan": float("nan"),
        "surrogate": "\ud800",
    }[event["which"]]


def tell_context(event, context):
    first = context.get_remaining_time_in_millis()
    time.sleep(0.02)
    later = context.get_remaining_time_in_millis()
    return [
        context.aws_request_id,
        context.function_name,
        context.invoked_function_arn,
        0 < later < first <= 30_000,
    ]


def fail(event, context):
    raise ValueError("bad order")


async def fail_async(event, context):
    raise ValueError("bad order")


def end(event, context):
    match event["how"]:
        case "SIGKILL" | "SIGSEGV" | "SIGABRT":
            os.kill(os.getpid(), getattr(signal, event["how"]))
        case "exit":
            sys.exit(3)
        case "_exit":
            os._exit(4)
        case "thread":
            threading.Thread(target=time.sleep, args=(600,)).start()
            sys.exit(5)
        case "os_close":
            os.closerange(3, 100)


async def end_async(event, context):
    end(event, context)


def last_words(event, context):
    print("about to end")
    os.kill(os.getpid(), signal.SIGKILL)


def chatter(event, context):
    print("printed")
    print("to standard error", file=sys.stderr)
    os.write(1, b"written \xff\n")
    os.system("echo by a program")
    print("without an end", end="")
    print('={"batchItemFailures":[]}\n' * 3)
    return "quiet"


def fail_at_length(event, context, depth=0):
    if depth < 400:
        (fail_at_length if depth % 2 else _between)(event, context, depth + 1)
    raise ValueError("x" * 100_000)


def _between(event, context, depth):
    fail_at_length(event, context, depth)


def loaded(event, context):
    return sorted(sys.modules)


def show_trace(event, context):
    return os.environ.get("_X_AMZN_TRACE_ID")
