"""Installs pinned packages, hashes checked, into the environment of an interpreter:

    .venv/bin/python .ci/packages.py PYTHON ARGUMENTS-OF-INSTALL...

uv does it in a tenth of the time that pip takes, from the index that pip is set to. Where there is no uv for the
machine, it does not get what it wants, or pip is set to something of which uv would not know (a proxy, a client's
certificate), pip does it, and has the last word on what is wrong.

Nothing but the standard library here.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
UV = Path(sys.executable).with_name("uv")
PATIENCE = 180  # seconds, then pip may try
# The sections of pip's settings, the one that wins last; what uv reads in their place; and what it can do without.
SECTIONS = ("global", "install", ":env:")
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
NEEDLESS = (
    *("config-file", "disable-pip-version-check", "no-cache-dir", "no-color", "no-input", "progress-bar"),
    *("quiet", "retries", "root-user-action", "verbose"),
)


def settings(told: str) -> dict[str, str] | None:
    """uv's environment for what `pip config list` told; None if something is in it that uv would not heed."""
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # to pip no index comes before another, either
    for section in SECTIONS:
        for line in told.splitlines():
            if line.startswith(f"{section}."):
                option, _, value = line.removeprefix(f"{section}.").partition("=")
                if option in NEEDLESS:
                    continue
                if option not in SETTINGS:
                    return None
                words = str(ast.literal_eval(value)).split()
                found[SETTINGS[option]] = ("," if option == "find-links" else " ").join(words)
    return found


def by_uv(python: str, arguments: list[str]) -> bool:
    """Whether uv has installed them. It heeds no settings of its own, which may lead elsewhere; nor its cache, of
    which it believes that nobody has written to what it once checked.
    """
    # PIP_QUIET would have pip tell nothing of its settings.
    listing = subprocess.run(
        [*PIP, "-v", "config", "list"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PIP_QUIET": "0"},
    )
    told = settings(listing.stdout)
    if listing.returncode != 0 or told is None:
        return False
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    command = [UV, "pip", "install", "--no-cache", "--no-config", "--python", python, *arguments]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, env=kept | told, stdin=subprocess.DEVNULL, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main(python: str, *arguments: str) -> int:
    if by_uv(python, [*arguments]):
        return 0
    return subprocess.run([*PIP, "--python", python, "install", "--quiet", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
