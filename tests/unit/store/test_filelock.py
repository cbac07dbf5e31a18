"""The lock on a state file: one holder, known by its number, gone with it."""

import os
from pathlib import Path

import pytest

from poller.store.filelock import FileLock, Held


def test_one_holder(tmp_path: Path) -> None:
    """Also within one process; the file stays and is no lock by being there."""
    place = tmp_path / "x.lock"
    lock = FileLock(place)
    for _ in range(2):
        with pytest.raises(Held) as caught:
            FileLock(place)
        assert caught.value.pid == str(os.getpid())
    lock.close()
    lock.close()
    assert place.exists()
    FileLock(place).close()


def test_what_a_longer_number_left_is_gone(tmp_path: Path) -> None:
    place = tmp_path / "x.lock"
    place.write_text("99999999999999\n")
    lock = FileLock(place)
    assert place.read_text() == f"{os.getpid()}\n"
    lock.close()


@pytest.mark.parametrize("text", ["", "somebody", "\x00\xff"])
def test_a_holder_that_did_not_say_who(tmp_path: Path, text: str) -> None:
    place = tmp_path / "x.lock"
    lock = FileLock(place)
    place.write_text(text)
    with pytest.raises(Held) as caught:
        FileLock(place)
    assert caught.value.pid == ""
    lock.close()


def test_where_none_can_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        FileLock(tmp_path / "x" / "y.lock")
