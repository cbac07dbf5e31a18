"""The function behind every target of test_target_contract.py: it does what its event says.

Few imports, and of the standard library only: it also runs in processes of its own, and asyncio would be half of
what such a process costs. obedient_async.py is the same as a coroutine function. An event is {"do": order, ...}:

return      returns event["value"]
raise       raises ValueError(event["message"])
text        returns event["text"] as the response itself, which need not be JSON
large       returns text that makes a response of event["bytes"] bytes
measure     returns how many characters event["text"] has, and its SHA-256 as UTF-8
context     returns the request's id, and whether 0 to event["most"] milliseconds are left
hang        writes its process id to event["mark"] and never returns; obey_async writes <mark>.ended at its end
meet        waits until event["count"] calls are in this place, event["mark"], and returns the count
"""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

MEETING = 60.0  # seconds; who comes alone gives up here
STEP = 0.005


def obey(event: dict[str, Any], context: Any = None) -> Any:
    """As a plain function."""
    match event["do"]:
        case "hang":
            mark(event)
            while True:
                time.sleep(STEP)
        case "meet":
            until = come(event)
            while not all_there(event, until):
                time.sleep(STEP)
            return event["count"]
        case _:
            return at_once(event, context)


def at_once(event: dict[str, Any], context: Any) -> Any:
    match event["do"]:
        case "return":
            return event["value"]
        case "raise":
            raise ValueError(event["message"])
        case "text":
            return event["text"].encode()  # bytes are passed on as they are
        case "large":
            return "x" * (event["bytes"] - 2)
        case "measure":
            digest = hashlib.sha256(event["text"].encode()).hexdigest()
            return {"characters": len(event["text"]), "sha256": digest}
        case "context":
            left = context.get_remaining_time_in_millis()
            return {"request": context.aws_request_id, "in_time": 0 < left <= event["most"]}
        case order:
            raise AssertionError(f"no such order: {order}")


def mark(event: dict[str, Any]) -> None:
    file = Path(event["mark"])
    written = file.with_suffix(".writing")
    written.write_text(str(os.getpid()))
    written.rename(file)


def end(event: dict[str, Any]) -> None:
    Path(f"{event['mark']}.ended").touch()


def come(event: dict[str, Any]) -> float:
    folder = Path(event["mark"])
    folder.mkdir(exist_ok=True)
    (folder / os.urandom(16).hex()).touch()
    return time.monotonic() + MEETING


def all_there(event: dict[str, Any], until: float) -> bool:
    if time.monotonic() > until:
        raise AssertionError(f"there never were {event['count']} calls at once")
    return len(list(Path(event["mark"]).iterdir())) >= event["count"]
