"""The real aws command, many times in one process: its start is most of what a command costs.

Run by the Python of its own environment. Each line that comes in is a JSON list of arguments; each that goes out
is `{"code", "out", "err"}`. What the arguments do is done by the entry point of the command itself.
"""

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver


def main() -> None:
    """Until nothing comes in any more."""
    driver = create_clidriver()
    for line in sys.stdin:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = driver.main(json.loads(line))
        print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), flush=True)


if __name__ == "__main__":
    main()
