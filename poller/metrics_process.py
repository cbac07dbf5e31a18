"""What the system knows of this process: the process_* metrics of prometheus_client, in a few system calls.

Around each system call a thread gives the interpreter away, and an event loop at full load keeps it for 5 ms.
prometheus_client makes one for each open file: with 400 connections a scrape spent most of its time there.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

_STAT: Final = Path("/proc/self/stat")
_FILES: Final = Path("/proc/self/fd")


class ProcessCollector:
    """For a registry; it shows nothing where /proc tells nothing."""

    def __init__(self) -> None:
        try:
            told = Path("/proc/stat").read_bytes().partition(b"\nbtime ")[2].split()
        except OSError:
            told = []
        self._booted = float(told[0]) if told else None

    def collect(self) -> Iterator[Metric]:
        """Reads them."""
        if self._booted is None:
            return
        try:
            # proc_pid_stat(5): the fields from the third on, as the second is a name that may hold anything
            fields = _read(_STAT).rpartition(b")")[2].split()
            files = _FILES.stat().st_size or len(list(_FILES.iterdir()))  # the size is there since Linux 6.2
        except OSError:
            return
        user, system, started = (int(fields[number - 3]) / os.sysconf("SC_CLK_TCK") for number in (14, 15, 22))
        virtual, resident = int(fields[23 - 3]), int(fields[24 - 3]) * resource.getpagesize()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory size in bytes.", virtual)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory size in bytes.", resident)
        yield GaugeMetricFamily(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self._booted + started,
        )
        yield CounterMetricFamily(
            "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", user + system
        )
        yield GaugeMetricFamily("process_open_fds", "Number of open file descriptors.", files)
        yield GaugeMetricFamily(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            float("inf") if most == resource.RLIM_INFINITY else most,
        )


def _read(path: Path) -> bytes:
    """The first page of a file, in three calls; `open` makes three times as many."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)
