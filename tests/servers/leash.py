"""python leash.py COMMAND...: runs COMMAND and ends it as soon as standard input does.

The tests hold the other end of that pipe: however they end, kill -9 included, no server is left behind.
Nothing but the standard library, so that any interpreter can run it.
"""

import signal
import subprocess
import sys
import threading


def main() -> int:
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def end(*_: object) -> None:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()

    def hold() -> None:
        sys.stdin.buffer.read()
        end()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then close the pipe
    threading.Thread(target=hold, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
