"""The README's example of tumbling windows is run as it is pasted: a sum for each key and window."""

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance import daemon
from tests.acceptance.test_readme import BASH, LISTENERS, free_port, replaced

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
WINDOW = 2
# What the stream has, as the embedded AWS tells it at the end: every record's key, amount and arrival.
DUMP = """\
python - <<'PY'
import boto3, json
kinesis = boto3.client("kinesis")
shard = {"StreamName": "amounts", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
page = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**shard)["ShardIterator"])
for one in page["Records"]:
    arrived = one["ApproximateArrivalTimestamp"].timestamp()
    print("record:", json.dumps([one["PartitionKey"], int(one["Data"]), arrived]))
PY
"""


def example() -> str:
    """The shell block under the heading."""
    section = re.search(r"^## Tumbling windows\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    assert section is not None, "the README has no section on tumbling windows"
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    return str(block)


@pytest.mark.skipif(not Path(BASH).exists(), reason="the example is for a shell")
def test_the_pasted_example_adds_up_each_window(tmp_path: Path) -> None:
    """TMB-1, TMB-2, TMB-3, TMB-8: only ports, folders and waits are ours; the open window stays open."""
    assert not re.search(r"\s#", example()), "zsh takes a comment in pasted text for arguments"
    with free_port() as port:
        script = replaced(
            example(),
            (". .venv/bin/activate", f'export PATH="{Path(sys.executable).parent}:$PATH"'),
            ("/tmp/try-windows", str(tmp_path)),
            ("4566", str(port)),
            ("sleep 2\n", f"until (: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.1; done\n"),
            (
                'Settings: {State: "sqlite:sums.db"}',
                LISTENERS.replace("{Metrics", '{State: "sqlite:sums.db", Metrics'),
            ),
            ("kill %1\n", f"{DUMP}kill %1\n"),
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        process = subprocess.Popen(
            [BASH, "-c", script],
            cwd=tmp_path,
            env=clean | {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, errors = process.communicate(timeout=daemon.DEADLINE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    expected: dict[int, Counter[str]] = defaultdict(Counter)
    for line in re.findall(r"^record: (.*)$", printed, re.MULTILINE):
        key, amount, arrived = json.loads(line)
        expected[int(arrived // WINDOW) * WINDOW][key] += amount
    assert len(expected) >= 2
    last = max(expected)
    told = re.findall(r"^(\S+Z) (\S+Z) (\{.*\})$", printed, re.MULTILINE)
    sums = {epoch(start): ast.literal_eval(shown) for start, _, shown in told}
    assert all(epoch(end) - epoch(start) == WINDOW for start, end, _ in told)
    assert sums == {start: dict(amounts) for start, amounts in expected.items() if start != last}
    assert len(told) == len(sums), "a window was closed twice"
    assert list(sums) == sorted(sums), "in the order of time"


def epoch(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
