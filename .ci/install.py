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
PYTHON_OF_VENV = str(VENV / "bin" / "python")
UV = ".ci/uv.txt"


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
    """Installs them while the block runs; what cannot be had, the tests tell."""
    if "--servers" not in sys.argv:
        yield
        return
    command = [PYTHON_OF_VENV, "-m", "tests.servers.harness"]
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
    pinned = b"".join((ROOT / name).read_bytes() for name in ("requirements.txt", "requirements-dev.txt", UV))
    wanted = hashlib.sha256(pinned + _package() + sys.version.encode())
    with one_at_a_time():
        if STAMP.exists() and STAMP.read_text() == wanted.hexdigest():
            return 0
        print("installing into .venv (once; about half a minute)", flush=True)
        venv.create(VENV, with_pip=True, clear=True, symlinks=os.name != "nt")
        pip = [PYTHON_OF_VENV, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        # Where this fails, packages.py does without.
        subprocess.run(
            [*pip, "--no-input", "--retries=0", "install", "--only-binary=:all:", "--require-hashes", "-r", UV],
            check=False,
            cwd=ROOT,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
        with servers_beside():
            for arguments in (
                ["--require-hashes", "-r", "requirements-dev.txt"],
                ["--no-deps", "--no-build-isolation", "--editable", "."],
            ):
                command = [PYTHON_OF_VENV, ".ci/packages.py", PYTHON_OF_VENV, *arguments]
                if subprocess.run(command, check=False, cwd=ROOT).returncode != 0:
                    sys.exit("could not install; is a package index reachable? (see the lines above)")
        STAMP.write_text(wanted.hexdigest())
    return 0


if __name__ == "__main__":
    sys.exit(main())
