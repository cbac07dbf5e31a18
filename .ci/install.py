"""Makes `.venv` from requirements-dev.txt (hashes checked), once; safe when two runs start at the same time. With
`--servers` what the tests run against is installed beside it, else when a test first needs it.

Nothing but the standard library here: this runs on a machine that has only Python and make.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed"


@contextlib.contextmanager
def one_at_a_time():
    """A second `make` in the same checkout waits here until the first one has installed."""
    with (ROOT / ".venv.lock").open("w") as lock:
        try:
            import fcntl
        except ImportError:  # not a POSIX system: no second run is guarded against
            yield
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _package() -> bytes:
    """What pyproject.toml says of the package: settings of tools ask for no new .venv."""
    import tomllib  # only from 3.11 on, which is asked for first

    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return repr((told["project"], told["build-system"], told["tool"]["hatch"])).encode()


@contextlib.contextmanager
def servers_beside():
    """Installs them while the block runs, on the core that pip leaves idle; what cannot be had, the tests tell."""
    if "--servers" not in sys.argv:
        yield
        return
    command = [str(VENV / "bin" / "python"), "-m", "tests.servers.harness"]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        try:
            yield
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def main() -> int:
    if sys.version_info < (3, 11):
        print(f"esm-poller needs Python 3.11 or later; this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    pinned = b"".join((ROOT / name).read_bytes() for name in ("requirements.txt", "requirements-dev.txt"))
    wanted = hashlib.sha256(pinned + _package() + sys.version.encode())
    with one_at_a_time():
        if STAMP.exists() and STAMP.read_text() == wanted.hexdigest():
            return 0
        print("installing into .venv (once; about a minute)", flush=True)
        venv.create(VENV, with_pip=True, clear=True, symlinks=os.name != "nt")
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        with servers_beside():
            for arguments in (
                ["install", "--require-hashes", "-r", str(ROOT / "requirements-dev.txt")],
                ["install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
            ):
                if subprocess.run(pip + arguments, check=False, cwd=ROOT).returncode != 0:
                    sys.exit("could not install; is a package index reachable? (see the lines above)")
        STAMP.write_text(wanted.hexdigest())
    return 0


if __name__ == "__main__":
    sys.exit(main())
