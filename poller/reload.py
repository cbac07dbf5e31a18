"""SIGHUP: the configuration is read again, and the mappings that differ are stopped and started anew.

A reload does what a restart with the new file would do, and only to those mappings: positions of streams stay in
the state store, also those of a mapping that the file no longer has. A file that is broken changes nothing, and
neither does one that has what a mapping of the control API is already: that is nothing to a reload, and goes on.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from types import FrameType

from poller import logs
from poller.check import check_start
from poller.clock import Clock, SystemClock
from poller.config import Configuration, load
from poller.control import Control
from poller.core.mapping_changes import Changes, find_changes
from poller.errors import ConfigurationError, PollerError
from poller.metrics_stats import CallOutcome
from poller.notify import Notify
from poller.service import Service, try_handler
from poller.settings import Settings, environment

_log = logging.getLogger("poller")

_LOGGING = frozenset({"log_level", "log_format"})
_NAMES = {
    "region": "Region",
    "account_id": "AccountId",
    "endpoint_url": "EndpointUrl",
    "state": "State",
    "shutdown_timeout": "ShutdownTimeoutInSeconds",
    "metrics_listen": "Metrics.Listen",
    "histograms": "Metrics.Histograms",
    "max_shards": "Metrics.MaxShards",
    "control_listen": "ControlApi.Listen",
    "control_token_variable": "ControlApi.TokenVariable",
    "control_keys_variable": "ControlApi.AccessKeysVariable",
}


class Reload:
    """Reads the file of `configuration` again each time that SIGHUP came, and brings the service up to it."""

    def __init__(
        self,
        configuration: Configuration,
        service: Service,
        notify: Notify,
        control: Control,
        clock: Clock | None = None,
    ) -> None:
        self.wanted = asyncio.Event()
        self._file = configuration.file
        self._settings = configuration.settings
        self._service = service
        self._notify = notify
        self._control = control
        self._clock = clock or SystemClock()

    @asynccontextmanager
    async def installed(self) -> AsyncIterator[None]:
        """Takes over the signal; like Stop, not by the event loop, which a handler may block."""
        self._loop = asyncio.get_running_loop()
        signal.signal(signal.SIGHUP, self._signalled)
        try:
            yield
        finally:
            # A handler of ours would fail without the loop, and Python puts back the default at its own end: one
            # SIGHUP too late would turn a clean stop into a failure.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def refuse(self) -> None:
        """For a run that takes no other configuration: says so each time, for ever."""
        while await self.wanted.wait():
            self.wanted.clear()
            self._refused(["a run with --drain keeps the one that it has"])

    async def serve(self) -> None:
        """Reloads each time, for ever. Cancelled in the middle, mappings that were to change may be gone."""
        while await self.wanted.wait():
            self.wanted.clear()
            self._notify.reloading()
            try:
                await self._run()
            except PollerError as error:
                self._refused(str(error).splitlines())
            except Exception:  # noqa: BLE001 - the mappings that run must not end with it
                self._service.metrics.process.config_reloads[CallOutcome.ERROR] += 1
                _log.exception("a reload failed through a bug in poller", extra={"action": "reload_bug"})
            self._notify.ready()

    async def _run(self) -> None:
        new = load(self._file, environment())
        elsewhere = self._control.uuids
        running = [one.mapping for one in self._service.coordinators.values()]
        changes = find_changes([one for one in running if one.uuid not in elsewhere], new.mappings)
        async with self._control.room_for(new.mappings):
            await self._look(new, changes)
            self._apply(new.settings)
            await self._service.change(changes)
        self._service.metrics.process.config_reloads[CallOutcome.SUCCESS] += 1
        _log.info(
            f"configuration reloaded: {_told(changes)}",
            extra={
                "action": "config_reloaded",
                "stopped": [mapping.name for mapping in changes.stop],
                "started": [mapping.name for mapping in changes.start],
            },
        )

    def _refused(self, reasons: list[str]) -> None:
        self._service.metrics.process.config_reloads[CallOutcome.ERROR] += 1
        for reason in reasons:
            text = f"configuration not reloaded, the old one goes on: {reason}"
            _log.error(text, extra={"action": "config_refused"})

    async def _look(self, new: Configuration, changes: Changes) -> None:
        """What a start would refuse is refused now, while the old mappings run. Raises ConfigurationError."""
        findings = check_start(new, self._clock.now().wall)
        if errors := [finding.text for finding in findings if finding.level == "error"]:
            raise ConfigurationError("\n".join(errors))
        for mapping in changes.start:
            await try_handler(mapping)
        for finding in findings:
            _log.warning(finding.text, extra={"action": "advice"})

    def _apply(self, new: Settings) -> None:
        """How much is logged changes at once; all else in Settings is the process's until it ends."""
        old = self._settings
        changed = {one.name for one in fields(Settings) if getattr(old, one.name) != getattr(new, one.name)}
        if changed & _LOGGING:
            logs.configure(new.log_level, new.log_format, sys.stderr)
            self._settings = replace(old, log_level=new.log_level, log_format=new.log_format)
        if waiting := [f"Settings.{_NAMES[name]}" for name in _NAMES if name in changed]:
            text = f"{', '.join(waiting)}: takes effect at the next start only"
            _log.warning(text, extra={"action": "config_needs_restart"})

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._loop.call_soon_threadsafe(self.wanted.set)


def _told(changes: Changes) -> str:
    if not changes:
        return "nothing differs"
    stop, start = ([mapping.name for mapping in part] for part in (changes.stop, changes.start))
    parts = {
        "changed": [name for name in start if name in stop],
        "added": [name for name in start if name not in stop],
        "removed": [name for name in stop if name not in start],
    }
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)
