"""A program for `exec:`: reads events line by line, has `obey` called with each, and writes a line for each."""

import json
import sys

from obedient import obey  # the folder of this file comes first on the path of a program


def main() -> None:
    for line in sys.stdin.buffer:
        try:
            response = obey(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever it is, the event has failed
            response = {"errorType": type(error).__name__, "errorMessage": str(error)}
        written = response if isinstance(response, bytes) else json.dumps(response, separators=(",", ":")).encode()
        sys.stdout.buffer.write(written + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
