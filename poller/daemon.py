"""`poller run`: the service with what only a daemon has: log, signals, listeners, a live table, an exit code."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from types import FrameType

from aiohttp import web
from rich.console import Console
from rich.constrain import Constrain
from rich.live import Live

from poller import logs
from poller.check import check_start
from poller.clock import SystemClock
from poller.config import Configuration
from poller.control import Control
from poller.errors import ConfigurationError, PollerError, StopDeadlinePassed
from poller.http.address import parse_address
from poller.http.control_api import MainLoop
from poller.http.control_app import Changes, control_app
from poller.http.health import health_app
from poller.http.keys import read_keys
from poller.http.listener import Running, start_listener
from poller.http.status import mappings_status
from poller.metrics import Shown
from poller.notify import START_PATIENCE, Notify, make_notify
from poller.reload import Reload
from poller.service import Service
from poller.settings import environment
from poller.statusview import table

REFRESH_PER_SECOND = 2.0
DRAINING = "The daemon drains its sources and ends (poller run --drain): it takes no changes."
SAME_WISH = 0.5  # seconds; `timeout` and runners that pass signals on tell one wish twice

# Thousands of records are in hand at once, hardly any of them in a cycle: with Python's own thresholds the cyclic
# collector takes a third of the time that streams take.
COLLECT_AFTER = (100_000, 20, 50)

_log = logging.getLogger("poller")


class Stop:
    """The wish to stop: SIGTERM or Ctrl-C once; a second one, not at the same moment, ends the process where
    it stands.

    The signals are taken between two instructions of whatever runs, not by the event loop: a handler may block it.
    """

    def __init__(self, timeout: float, console: Console) -> None:
        self.wanted = asyncio.Event()
        self._timeout = timeout
        self._console = console
        self._first: float | None = None

    def install(self) -> None:
        """Takes over both signals."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del frame
        name = signal.Signals(number).name
        now = time.monotonic()
        if self._first is None:
            self._first = now
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so does the process
                self._loop.call_soon_threadsafe(self._begin, name)
            return
        if now - self._first < SAME_WISH:
            return
        try:
            self._console.show_cursor()  # the live table has hidden it
            text = f"{name} again: ending at once; what handlers hold is delivered again"
            _log.warning(text, extra={"action": "ending_at_once"})
            for handler in logging.getLogger().handlers:
                handler.flush()
        finally:
            # nothing that still runs can be waited for: not threads, not executors, not atexit
            os._exit(StopDeadlinePassed.exit_code)

    def _begin(self, name: str) -> None:
        self.wanted.set()
        text = (
            f"{name}: stopping, at most {self._timeout:g} s: nothing new is received, running handlers finish, the"
            f" rest is given back; {name} again ends at once"
        )
        _log.info(text, extra={"action": "stopping"})


async def run_daemon(configuration: Configuration, *, drain: bool, console: Console) -> None:
    """Runs until told to stop (or, draining, until every source is empty).

    Raises PollerError: a listener's address is taken, no mapping can be used, or the stop deadline passed with
    work still running (StopDeadlinePassed).
    """
    settings = configuration.settings
    findings = check_start(configuration, SystemClock().now().wall)
    if errors := [finding.text for finding in findings if finding.level == "error"]:
        raise ConfigurationError("\n".join(errors))
    keys = read_keys(settings, environment())
    stop = Stop(settings.shutdown_timeout, console)
    stop.install()
    service = Service(
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        state=settings.state,
        shutdown_timeout=settings.shutdown_timeout,
        shown=Shown(settings.histograms, settings.max_shards),
    )
    notify = make_notify(environment(), service.metrics)
    control = Control(service, account=settings.account_id, read_only=DRAINING if drain else "")
    reload = Reload(configuration, service, notify, control)
    async with reload.installed(), _shown(service, control, console), service:
        logs.configure(settings.log_level, settings.log_format, sys.stderr)
        await _listen(
            service, health_app(service.metrics), settings.metrics_listen, "Settings.Metrics.Listen", "/metrics"
        )
        pages = control_app(service.metrics, Changes(control, MainLoop(asyncio.get_running_loop())), keys)
        await _listen(service, pages, settings.control_listen, "Settings.ControlApi.Listen", "/")
        for finding in findings:
            _log.warning(finding.text, extra={"action": "advice"})
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        for mapping in configuration.mappings:
            service.add(mapping)
        await control.start()
        service.metrics.process.started = True
        service.side.spawn(notify.run())
        try:
            await _work(service, stop, reload, notify, control, drain=drain, waits=bool(settings.control_listen))
        finally:
            await control.close()
        notify.stopping(settings.shutdown_timeout)
        abandoned = await service.stop()
    if abandoned:
        raise StopDeadlinePassed(
            f"the stop deadline passed: {abandoned} messages or records were abandoned and are delivered again"
        )
    _log.info("stopped, nothing left in hand", extra={"action": "stopped"})


async def _work(
    service: Service, stop: Stop, reload: Reload, notify: Notify, control: Control, *, drain: bool, waits: bool
) -> None:
    """Until a stop is wanted or nothing is left to do, unless it `waits` for mappings that are yet to be made;
    raises the problem that makes going on pointless.
    """
    wanted = asyncio.create_task(stop.wanted.wait())
    first = asyncio.create_task(service.first_problem(control.uuids))
    try:
        look = {wanted, first}
        if not (await asyncio.wait(look, timeout=START_PATIENCE, return_when=asyncio.FIRST_COMPLETED))[0]:
            notify.ready()
            await asyncio.wait(look, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            return
        if (problem := first.result()) is not None:
            raise problem
        notify.ready()
        work = asyncio.create_task(_done(service, drain=drain, waits=waits))
        reloads = asyncio.create_task(reload.refuse() if drain else reload.serve())
        await asyncio.wait({wanted, work}, return_when=asyncio.FIRST_COMPLETED)
        reloads.cancel()
        if work.done():
            work.result()
        else:
            work.cancel()
    finally:
        wanted.cancel()
        first.cancel()


async def _done(service: Service, *, drain: bool, waits: bool) -> None:
    if drain:
        await service.drain()
    elif waits:
        await asyncio.Event().wait()  # the control API may bring the next mapping at any time
    else:
        await service.wait()


async def _listen(service: Service, app: web.Application, address: str, setting: str, path: str) -> None:
    """Serves in the side thread, so that a handler that blocks the loop blocks no health check."""
    if not address:
        return
    running = await service.side.run(start_listener(app, parse_address(address, setting), setting))
    service.at_end(lambda: service.side.run(_closed(running)))
    _log.info(f"listening on http://{running.address}{path}", extra={"action": "listening"})


async def _closed(running: Running) -> None:
    await running.close()


@contextlib.asynccontextmanager
async def _shown(service: Service, control: Control, console: Console) -> AsyncIterator[None]:
    """A live table while the block runs, on a terminal only; log lines scroll above it."""
    if not console.is_terminal:
        yield
        return
    with Live(
        # the terminal writes ^C behind the last line: were that full, the table would be a line higher than known
        get_renderable=lambda: Constrain(
            table(mappings_status(service.metrics, held=control.held)), max(1, console.width - len("^C") - 1)
        ),
        console=console,
        refresh_per_second=REFRESH_PER_SECOND,
        transient=True,
        # what handlers print goes through the table only where both go to the same screen
        redirect_stdout=sys.stdout.isatty(),
    ):
        yield


def failure_text(error: PollerError) -> str:
    """An error for standard error: one readable line for each problem."""
    return "\n".join(f"poller: {line}" for line in str(error).splitlines())
