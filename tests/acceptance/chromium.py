"""Debian's Chromium without a window, driven over the DevTools protocol: as much of it as the tests of the page
need.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

DEADLINE = 90.0  # generous: a machine may have others to serve
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LONGEST = 64 << 20  # bytes of a message: a screenshot is one
# each window would draw the suggestions of an address line that nobody sees, in two renderers of their own
_WITHOUT = "OptimizationHints,MediaRouter,Translate,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup"
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--disable-default-apps", "--disable-extensions", "--no-proxy-server", "--hide-scrollbars", "--mute-audio"),
    f"--disable-features={_WITHOUT}",
)
KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "End": (35, ""),
    "Home": (36, ""),
    "ArrowRight": (39, ""),
    "ArrowLeft": (37, ""),
}


def find_chromium() -> str | None:
    """Its path, where it is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page. `console` has what it complained of, `requests` the URLs that it asked for."""

    def __init__(self, browser: "Browser", session: str, context: str) -> None:
        self._browser = browser
        self.session = session
        self.context = context
        self.console: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, in this page."""
        return await self._browser.call(method, self.session, **parameters)

    async def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Loads the URL in a window of this size (CSS pixels)."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    async def resize(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, expression: str, wanted: Callable[[Any], object] = bool) -> Any:
        """Waits until the expression has a value that is wanted, and returns it."""
        found = None
        try:
            async with asyncio.timeout(DEADLINE):
                while not wanted(found := await self.evaluate(expression)):  # noqa: ASYNC110 - a browser tells when asked
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"waited {DEADLINE:g} s in vain for {expression}, which is {found!r}") from None
        return found

    async def press(self, key: str) -> None:
        """A key goes down and up, as from a keyboard."""
        code, text = KEYS[key]
        down = {"key": key, "windowsVirtualKeyCode": code, "code": key if key != " " else "Space"}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **down)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **down)

    async def screenshot(self) -> bytes:
        """What is seen, as PNG."""
        shown = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shown["data"])


class Browser:
    """A running Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message if session is None else message | {"sessionId": session})
        async with asyncio.timeout(DEADLINE):
            return await self._waiting[number]

    @contextlib.asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """A page with a storage of its own, closed after the block."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        made = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        tab = Tab(self, attached["sessionId"], context)
        self._tabs[tab.session] = tab
        try:
            yield tab
        finally:
            await self.call("Target.disposeBrowserContext", browserContextId=context)

    async def listen(self) -> None:
        """Until the connection ends."""
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                waiting = self._waiting.pop(told["id"])
                if "error" in told:
                    waiting.set_exception(AssertionError(told["error"]))
                elif not waiting.done():
                    waiting.set_result(told["result"])
            elif (tab := self._tabs.get(told.get("sessionId", ""))) is not None:
                _note(tab, told["method"], told["params"])


def _note(tab: Tab, method: str, told: dict[str, Any]) -> None:
    if method == "Network.requestWillBeSent":
        tab.requests.append(told["request"]["url"])
    elif method == "Runtime.exceptionThrown":
        tab.console.append(str(told["exceptionDetails"]))
    elif method == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
        tab.console.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
    elif method == "Runtime.consoleAPICalled":
        tab.console.append(str(told["args"]))


@contextlib.asynccontextmanager
async def chromium(program: str) -> AsyncIterator[Browser]:
    """A Chromium with nothing of anybody's in it, surely gone after the block, with all that it started."""
    with tempfile.TemporaryDirectory(prefix="esm-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(program, *_QUIET, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "HOME": profile, "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
        )
        try:
            assert process.stderr is not None
            url, heard = "", []
            async with asyncio.timeout(DEADLINE):
                while not url:
                    line = (await process.stderr.readline()).decode(errors="replace")
                    assert line, f"Chromium ended: {heard}"
                    heard.append(line)
                    _, found, url = line.strip().partition("DevTools listening on ")
                    url = url if found else ""
            drained = asyncio.create_task(_drain(process.stderr))
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url, max_msg_size=_LONGEST) as socket,
            ):
                browser = Browser(socket)
                listening = asyncio.create_task(browser.listen())
                try:
                    yield browser
                finally:
                    listening.cancel()
                    drained.cancel()
                    await asyncio.gather(listening, drained, return_exceptions=True)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass
