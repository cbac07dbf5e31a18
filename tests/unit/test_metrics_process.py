"""The numbers of the process are those of prometheus_client, which reads them from many more places."""

import gc
import os
import resource
from pathlib import Path

import prometheus_client
import pytest

from poller import metrics_process
from poller.metrics_process import ProcessCollector


def shown(collector):
    return {family.name: family for family in collector.collect()}


def values(collector):
    return {name: family.samples[0].value for name, family in shown(collector).items()}


def test_the_process_is_shown_as_the_library_shows_it():
    theirs = prometheus_client.ProcessCollector(registry=None)
    gc.collect()  # what an earlier test left behind is not closed in between
    before, ours, after = values(theirs), values(ProcessCollector()), values(theirs)

    assert [(each.name, each.type, each.documentation) for each in ProcessCollector().collect()] == [
        (each.name, each.type, each.documentation) for each in theirs.collect()
    ]
    assert before["process_cpu_seconds"] <= ours["process_cpu_seconds"] <= after["process_cpu_seconds"]
    assert before["process_open_fds"] - ours["process_open_fds"] in {0, 1}, "theirs is that of the listing"
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert ours[name] == before[name]
    for name in ("process_virtual_memory_bytes", "process_resident_memory_bytes"):
        assert ours[name] == pytest.approx(before[name], rel=0.2)


def test_files_that_are_open_are_counted():
    collector = ProcessCollector()
    gc.collect()  # what an earlier test left behind is not closed in between
    before = values(collector)["process_open_fds"]
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    after = values(collector)["process_open_fds"]
    for file in opened:
        os.close(file)

    assert after - before == 50
    assert values(collector)["process_open_fds"] == before


def test_files_are_counted_where_the_system_does_not_count_them(monkeypatch):
    """Before Linux 6.2 the folder of them has no size, as that of the threads has none to this day."""
    threads = Path("/proc/self/task")
    assert threads.stat().st_size == 0
    monkeypatch.setattr(metrics_process, "_FILES", threads)

    assert values(ProcessCollector())["process_open_fds"] == len(list(threads.iterdir()))


@pytest.mark.parametrize("missing", ["_STAT", "_FILES"])
def test_what_cannot_be_read_is_not_shown(monkeypatch, tmp_path, missing):
    """As when no more files can be opened: the other metrics are shown all the same."""
    collector = ProcessCollector()
    monkeypatch.setattr(metrics_process, missing, tmp_path / "none")

    assert values(collector) == {}


def test_the_files_are_not_listed_where_the_system_counts_them(monkeypatch, tmp_path):
    """Each of them would give the interpreter away. Since Linux 6.2 their number is the size of their folder."""
    counted = tmp_path / "fd"
    counted.write_bytes(b"1234567")
    monkeypatch.setattr(metrics_process, "_FILES", counted)
    monkeypatch.delattr(Path, "iterdir")

    assert values(ProcessCollector())["process_open_fds"] == 7


@pytest.mark.parametrize(("limit", "value"), [(7, 7), (resource.RLIM_INFINITY, float("inf"))])
def test_the_limit_of_open_files_is_the_one_that_holds(monkeypatch, limit, value):
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit, 9))

    assert values(ProcessCollector())["process_max_fds"] == value
