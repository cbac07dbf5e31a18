"""What can be wrong with a state file, in sentences that say what to do."""

import errno
import re
import sqlite3
from pathlib import Path

from poller.errors import StoreError

RESTORE = "restore it from a copy, or move it away to begin again at each mapping's StartingPosition"
_OCTAL = re.compile(r"\\([0-7]{3})")  # how the kernel writes a space
_NETWORK = frozenset({
    "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "ncpfs", "nfs", "nfs4",
    "smb3", "smbfs",
})  # fmt: skip


def explained(name: str, error: sqlite3.Error | OSError) -> StoreError:
    """What went wrong with the file, in a sentence with what to do."""
    if isinstance(error, OSError):
        return _explained_os(name, error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            problem = "cannot be written: its disk is full; make room there"
        case sqlite3.SQLITE_IOERR:
            problem = (
                "cannot be read or written: input/output error; look whether its disk is full or failing,"
                " or a limit on file sizes is reached"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            problem = "is locked by another program, a SQLite shell or a backup perhaps; end that"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            problem = "may not be written; it needs write permission on the file and on its directory"
        case sqlite3.SQLITE_CANTOPEN:
            problem = "cannot be opened; it needs permission for the file and for its directory"
        case sqlite3.SQLITE_NOTADB:
            problem = f"is no SQLite database; {RESTORE}"
        case sqlite3.SQLITE_CORRUPT:
            problem = f"is damaged ({error}); {RESTORE}"
        case _:
            problem = f"cannot be used: {error}"
    return StoreError(f"The state file {name} {problem}.")


def _explained_os(name: str, error: OSError) -> StoreError:
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            problem = "may not be written; it needs write permission on the file and on its directory"
        case errno.ENOSPC | errno.EDQUOT:
            problem = "cannot be written: its disk is full; make room there"
        case _:
            problem = f"cannot be used: {error.strerror or error}"
    return StoreError(f"The state file {name} {problem}.")


def mounts() -> str:
    """What is mounted where, as the kernel tells; empty where it does not."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux: then nobody looks
        return ""


def network_file_system(directory: Path, mounts: str) -> str | None:
    """The kind of network file system that the directory is on, by the text of /proc/self/mountinfo; else None."""
    place, kind = "", ""
    for line in mounts.splitlines():
        before, _, behind = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not behind:
            continue
        mount = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        deeper = len(mount) >= len(place)  # of two on one place, the later one is what shows
        if deeper and directory.is_relative_to(mount):
            place, kind = mount, behind.split(" ")[0]
    return kind if kind in _NETWORK else None
