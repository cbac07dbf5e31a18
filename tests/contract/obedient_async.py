"""obedient.py's function as a coroutine function, for targets that run it in an event loop."""

import asyncio
from typing import Any

from tests.contract.obedient import STEP, all_there, at_once, come, end, mark


async def obey_async(event: dict[str, Any], context: Any = None) -> Any:
    """As a coroutine function."""
    match event["do"]:
        case "hang":
            mark(event)
            try:
                await asyncio.Event().wait()
            finally:
                end(event)
            return None
        case "meet":
            until = come(event)
            while not all_there(event, until):  # noqa: ASYNC110 - calls in other processes set no event
                await asyncio.sleep(STEP)
            return event["count"]
        case _:
            return at_once(event, context)
