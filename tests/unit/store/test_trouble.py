"""Sentences about files, and which file systems are somebody else's machine."""

import errno
import sqlite3
from pathlib import Path

import pytest

from poller.store.trouble import explained, mounts, network_file_system

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:40 / /mnt/share rw,relatime shared:5 - nfs4 server:/x rw,vers=4.2
31 30 0:41 / /mnt/share/local rw - xfs /dev/vdb rw
32 22 0:42 / /mnt/two\\040words\\134 rw - cifs //server/x rw
33 22 0:43 / /home/é rw - fuse.sshfs user@host:/ rw
34 22 0:44 / /twice rw - nfs server:/y rw
35 22 0:45 / /twice rw - tmpfs tmpfs rw
nonsense
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/", None),
        ("/srv", None),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/a/b", "nfs4"),
        ("/mnt/shared", None),
        ("/mnt/share/local/a", None),
        ("/mnt/two words\\/a", "cifs"),
        ("/home/é/state", "fuse.sshfs"),
        ("/twice/a", None),
    ],
)
def test_the_file_system_of_a_directory(directory: str, kind: str | None) -> None:
    """The deepest mount counts, of two on one place the later, with names as the kernel writes them."""
    assert network_file_system(Path(directory), MOUNTS) == kind


def test_the_one_here_is_none(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, mounts()) is None


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("its words")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (of_sqlite(sqlite3.SQLITE_FULL), "cannot be written: its disk is full; make room there"),
        (of_sqlite(sqlite3.SQLITE_IOERR_WRITE), "input/output error"),
        (of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), "is locked by another program"),
        (of_sqlite(sqlite3.SQLITE_READONLY_DIRECTORY), "may not be written"),
        (of_sqlite(sqlite3.SQLITE_CANTOPEN_ISDIR), "cannot be opened"),
        (of_sqlite(sqlite3.SQLITE_CORRUPT_VTAB), "is damaged (its words)"),
        (of_sqlite(sqlite3.SQLITE_NOTADB), "is no SQLite database"),
        (sqlite3.ProgrammingError("its words"), "cannot be used: its words"),
        (OSError(errno.EDQUOT, "x"), "its disk is full"),
        (OSError(errno.EROFS, "x"), "may not be written"),
        (OSError(errno.EMFILE, "Too many open files"), "cannot be used: Too many open files"),
    ],
)
def test_one_sentence_for_each(error: sqlite3.Error | OSError, words: str) -> None:
    text = str(explained("a.db", error))
    assert text.startswith("The state file a.db ")
    assert words in text
    assert text.endswith(".")
