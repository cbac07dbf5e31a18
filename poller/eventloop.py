"""The fastest event loop that this platform has: uvloop's on CPython for Linux and macOS, else asyncio's own."""

import asyncio


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop factory for asyncio.Runner."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
