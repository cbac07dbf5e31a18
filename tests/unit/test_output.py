"""Standard output and error that take everything, for handlers that print."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poller.output import forgiving


class Stream:
    """A standard stream into a pipe, whose reader may go."""

    def __init__(self, *, unbuffered: bool = False, errors: str = "backslashreplace") -> None:
        self.reader, self.writer = os.pipe()
        raw = io.FileIO(self.writer, "w", closefd=False)
        buffer = raw if unbuffered else io.BufferedWriter(raw)
        self.text = io.TextIOWrapper(buffer, "utf-8", errors, write_through=unbuffered)

    def leave(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stream]]:
    made: list[Stream] = []

    def make(**how: Any) -> Stream:
        made.append(Stream(**how))
        monkeypatch.setattr(sys, "stdout", made[-1].text)
        return made[-1]

    yield make
    for stream in made:
        stream.close()


@pytest.mark.parametrize("unbuffered", [False, True])
def test_whoever_prints_does_not_notice_that_nobody_reads(
    stdout: Callable[..., Stream], caplog: pytest.LogCaptureFixture, unbuffered: bool
) -> None:
    stream = stdout(unbuffered=unbuffered)
    with forgiving():
        print("seen: é\udc80", flush=True)
        assert os.read(stream.reader, 100) == b"seen: \xc3\xa9\\udc80\n"
        stream.leave()
        for _ in range(3):
            print("not seen", flush=True)
        os.write(stream.writer, b"what does not go through Python either")
    assert [getattr(record, "action", None) for record in caplog.records] == ["output_lost"]


def test_what_the_encoding_does_not_have_is_printed_all_the_same(stdout: Callable[..., Stream]) -> None:
    """Half of an emoji in a record is no reason to fail its batch; a worker process prints it, too."""
    stream = stdout(errors="strict")
    with forgiving():
        print("seen: é\ud83d", flush=True)
    assert os.read(stream.reader, 100) == b"seen: \xc3\xa9\\ud83d\n"


def test_what_is_not_flushed_is_written_at_the_end(stdout: Callable[..., Stream]) -> None:
    stream = stdout()
    with forgiving():
        print("seen")
    assert sys.stdout is stream.text
    assert os.read(stream.reader, 100) == b"seen\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_disk_may_have_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the file stays what is written to."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with forgiving():
            print("not seen", flush=True)
            assert os.path.samestat(os.fstat(sys.stdout.fileno()), Path("/dev/full").stat())


def test_other_troubles_are_told(stdout: Callable[..., Stream]) -> None:
    stream = stdout(unbuffered=True)
    with forgiving():
        os.close(stream.writer)
        stream.writer = -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            print("not seen", flush=True)


def test_streams_of_somebody_else_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    with forgiving():
        assert sys.stdout is own
