"""Installs pinned packages, hashes checked, into the environment of an interpreter:

    .venv/bin/python .ci/packages.py PYTHON ARGUMENTS-OF-INSTALL...

uv does it in a tenth of the time that pip takes, from the index that pip is set to. Where there is no uv for the
machine, or it does not get what it wants (pip knows more of what an index may ask for: keyrings, client
certificates), pip does it, and has the last word on what is wrong.

Nothing but the standard library here.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
UV = Path(sys.executable).with_name("uv")
# The sections of pip's settings, the one that wins last; and what uv reads in their place.
SECTIONS = ("global", "install", ":env:")
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def settings(told: str) -> dict[str, str]:
    """uv's environment for what `pip config list` told."""
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # to pip no index comes before another, either
    for section in SECTIONS:
        for option, variable in SETTINGS.items():
            start = f"{section}.{option}="
            for line in told.splitlines():
                if line.startswith(start):
                    words = str(ast.literal_eval(line.removeprefix(start))).split()
                    found[variable] = ("," if option == "find-links" else " ").join(words)
    return found


def main(python: str, *arguments: str) -> int:
    if UV.exists():
        told = subprocess.run([*PIP, "config", "list"], check=False, capture_output=True, text=True).stdout
        command = [UV, "pip", "install", "--python", python, *arguments]
        if (
            subprocess.run(command, check=False, capture_output=True, env=os.environ | settings(told)).returncode
            == 0
        ):
            return 0
    return subprocess.run([*PIP, "--python", python, "install", "--quiet", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
