"""Ctrl-C before a command is at work."""

import signal
import subprocess
import sys
from pathlib import Path

from poller import interrupt

# Each child starts `poller` anew and gets its signal when it begins its nth import: no moment depends on speed.
PROGRAM = """
import os, runpy, signal, sys

class Interrupting:
    left = None

    def find_spec(self, name, path=None, target=None):
        if name == "poller.cli":
            self.left = self.after
        if self.left is not None:
            if not self.left:
                os.kill(os.getpid(), signal.SIGINT)
            self.left -= 1

sys.argv[1:], moments = sys.argv[1:2], sys.argv[2:]
for moment in moments:
    child = os.fork()
    if not child:
        Interrupting.after = int(moment)
        sys.meta_path.insert(0, Interrupting())
        try:
            runpy.run_module("poller", run_name="__main__", alter_sys=True)
        finally:
            print("not interrupted", flush=True)
            os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def interrupted(folder: Path, *arguments: str, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    (folder / "poller.yaml").write_text("EventSourceMappings: [{EventSourceArn: 1, FunctionName: 2}]")
    start = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{PROGRAM}" if ignored else PROGRAM
    command = [sys.executable, "-c", start, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)


def test_ctrl_c_while_the_imports_run_is_a_line_and_an_exit_code(tmp_path: Path) -> None:
    """Those of the command line, and those that a command makes by itself."""
    moments = ["0", "1", "20", "60", "150", "300", "400"]
    done = interrupted(tmp_path, "check", *moments)
    assert done.stdout.split() == ["130"] * len(moments)
    assert done.stderr.splitlines() == ["poller: interrupted"] * len(moments)


def test_where_it_is_ignored_it_stays_ignored(tmp_path: Path) -> None:
    """`nohup poller run &`."""
    done = interrupted(tmp_path, "--version", "20", ignored=True)
    assert done.stderr == ""
    assert done.stdout.split("\n")[1:] == ["not interrupted", "0", ""]


def test_where_there_is_something_to_clean_up_it_is_an_exception() -> None:
    """And only there; a handler that the work has set stays."""
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt.end_at_once()
        ours = signal.getsignal(signal.SIGINT)
        with interrupt.raised():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is ours
        with interrupt.raised():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
