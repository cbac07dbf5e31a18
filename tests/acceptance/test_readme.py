"""What the README shows is run: its shell example, its Python, its configuration, its table of commands."""

import ast
import asyncio
import contextlib
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from poller.cli import commands
from poller.config import Configuration, parse
from poller.core.filter import make_filter
from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import SourceKind
from poller.core.records import Record
from poller.handlers.signature import signature
from poller.testing import EmbeddedAws
from tests.acceptance import daemon
from tests.servers import clients

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BASH = "/bin/bash"
LISTENERS = 'Settings: {Metrics: {Listen: "127.0.0.1:0"}, ControlApi: {Listen: "127.0.0.1:0"}}'


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port that nobody else gets meanwhile, and that the embedded AWS can still listen on."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, f"the README's example no longer has {old!r}"
        text = text.replace(old, new)
    return text


@pytest.mark.skipif(not Path(BASH).exists(), reason="the example is for a shell")
def test_the_pasted_example_does_what_the_readme_says(tmp_path: Path) -> None:
    """GEN-5, SQS-21, PBR-10: three messages are handled, "bad" twice; only ports, folders and waits are ours."""
    example = blocks("sh")[0]
    assert not re.search(r"\s#", example), "zsh takes a comment in pasted text for arguments"
    with free_port() as port:
        script = replaced(
            example,
            (". .venv/bin/activate", f'export PATH="{Path(sys.executable).parent}:$PATH"'),
            ("/tmp/try-poller", str(tmp_path)),
            ("4566", str(port)),
            ("sleep 2\n", f"until (: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.1; done\n"),
            ("EventSourceMappings:\n", f"{LISTENERS}\nEventSourceMappings:\n"),
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
    lines = printed.splitlines()
    assert f"http://127.0.0.1:{port}" in lines
    assert "poller.yaml: 1 mapping; file, handlers and sources are fine" in lines
    handled = [line for line in lines if line.startswith("order: ")]
    assert sorted(handled) == ["order: bad", "order: bad", "order: better", "order: good"]
    assert "stopped, nothing left in hand" in errors


@pytest.mark.parametrize("row", re.findall(r"^\| `poller (.*?)` \|", README, re.MULTILINE))
def test_the_table_of_commands_has_exactly_their_options(row: str) -> None:
    name, *_ = row.split()
    shown = set(re.findall(r"(?<=[\[ ])-{1,2}[a-z][a-z-]*", row))
    options = {
        word
        for parameter in commands.commands[name].params
        for word in (*parameter.opts, *parameter.secondary_opts)
        if word.startswith("-")  # an argument has a name, too
    }
    assert shown <= options
    # -c stands for --config
    assert options - shown <= ({"--config"} if "-c" in shown else set())


def test_the_table_of_commands_has_all_commands() -> None:
    assert set(re.findall(r"^\| `poller (\w+)", README, re.MULTILINE)) == set(commands.commands)


def test_the_configuration_shown_is_valid() -> None:
    """CFG-1, CFG-4, CFG-5, CFG-15, CFG-17: and means what its comments say."""
    streams, _, queues = blocks("yaml")
    configuration = parse(queues, "README.md", {})
    assert isinstance(configuration, Configuration), configuration
    (mapping,) = configuration.mappings
    assert (mapping.batch_size, mapping.window) == (100, 5)
    configuration = parse(streams, "README.md", {})
    assert isinstance(configuration, Configuration), configuration
    clicks, changes = configuration.mappings
    assert (clicks.source, changes.source) == (SourceKind.KINESIS, SourceKind.DYNAMODB)
    assert clicks.stream is not None
    assert (clicks.stream.lanes, clicks.stream.retries, clicks.stream.bisect) == (4, 3, True)


def test_the_filters_shown_let_pass_what_the_text_says() -> None:
    """FLT-1, FLT-2, FLT-12, FLT-14, FLT-17, FLT-18, FLT-33."""
    filters = yaml.safe_load(textwrap.dedent(blocks("yaml")[1]))
    arn = "arn:aws:sqs:eu-west-1:123456789012:q"
    mapping = parse_mapping({"EventSourceArn": arn, "FunctionName": "python:a:b", **filters})
    assert isinstance(mapping, EventSourceMapping), mapping
    criteria = make_filter(mapping.filters, mapping.source)

    def passes(body: object) -> bool:
        return criteria.passes_message({"body": json.dumps(body)})

    assert passes({"type": "order", "total": 100})
    assert not passes({"type": "order", "total": 99.5})
    assert not passes({"type": "order", "total": 100, "coupon": "X"})
    assert passes({"customer": {"country": "NO", "mail": "a@example.com"}})
    assert not passes({"customer": {"country": "AQ", "mail": "a@example.com"}})
    (shown,) = re.findall(r"^`(\{dynamodb: .*\})`", README, re.MULTILINE)
    shipped = make_filter([json.dumps(yaml.safe_load(shown))], SourceKind.DYNAMODB)
    for status, expected in (("shipped", True), ("open", False)):
        record = Record("1", 0, 0, 0.0, 0, {"dynamodb": {"NewImage": {"status": {"S": status}}}})
        assert shipped.passes_record(record, mapping.arn, "shardId-1") is expected


def test_the_receiver_shown_takes_our_signature_and_no_other() -> None:
    """INV-9: as handlers/signature.py makes it."""
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    now, body = int(time.time()), b'{"Records":[]}'
    assert names["verify"](b"key", signature(b"key", now, body), body)
    assert not names["verify"](b"kez", signature(b"key", now, body), body)
    assert not names["verify"](b"key", signature(b"key", now, body), body + b" ")
    assert not names["verify"](b"key", signature(b"key", now - 400, body), body)


def test_the_function_of_one_record_shown_reports_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """PBR-10: the record without an id, and no other."""
    names: dict[str, Any] = {}
    exec(blocks("python")[1], names)
    records = [
        {"messageId": f"m{n}", "eventSource": "aws:sqs", "body": body}
        for n, body in enumerate(['{"id": 1}', "{}", '{"id": 2}'])
    ]
    assert names["handler"]({"Records": records}, None) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert capsys.readouterr().out == "1\n2\n"


async def test_the_python_shown_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GEN-5, API-8: `poller.run` until cancelled, then `Poller` with three mappings, resumed and drained."""
    _, _, text = blocks("python")
    one, several = text.split("# several, inside an application\n")
    done: list[tuple[str, str]] = []
    enough = asyncio.Event()
    async with EmbeddedAws(region="eu-west-1", account="123456789012") as aws:
        for name, value in daemon.environment(aws.url).items():
            monkeypatch.setenv(name, value)
        client = clients.sqs_client(aws.url)

        def fill(letter: str) -> None:
            for queue in ("orders", "payments.fifo"):
                url = daemon.make_queue(client, queue)["url"]
                groups = ["g"] * 3 if queue.endswith(".fifo") else None
                daemon.send(client, url, [f"{letter}{n}" for n in range(3)], groups)

        def noting(name: str, answer: Any) -> Any:
            def note(event: dict[str, Any]) -> Any:
                done.extend((name, record["body"]) for record in event["Records"])
                if len(done) == 3:
                    enough.set()
                return answer

            return note

        aws.kinesis_service.do("CreateStream", {"StreamName": "clicks", "ShardCount": 1})
        await asyncio.to_thread(fill, "a")
        names: dict[str, Any] = {"my_registry": CollectorRegistry(), "on_order": noting("orders", None)}
        names["on_payment"] = noting("payments", {"batchItemFailures": []})
        one = replaced(one, ("(event, context): ...", "(event, context): on_order(event)"))
        several = replaced(several, ('return {"batchItemFailures": []}', "return on_payment(event)"))
        several = replaced(several, ("sqlite:poller.db", f"sqlite:{tmp_path}/poller.db"))

        all_three = asyncio.ensure_future(enough.wait())
        first = asyncio.ensure_future(_run(one, names))
        async with asyncio.timeout(daemon.DEADLINE):
            await asyncio.wait({first, all_three}, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        all_three.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        assert sorted(done) == [("orders", f"a{n}") for n in range(3)]

        async with asyncio.timeout(daemon.DEADLINE):
            await _run(several, names)
        assert done[3:] == [("payments", f"a{n}") for n in range(3)]
        assert aws.kinesis_service.calls["GetRecords"], "the stream was not read"
        await asyncio.to_thread(client.close)


async def _run(text: str, names: dict[str, Any]) -> None:
    """Statements with `await` at the top, as in a notebook."""
    code = compile(text, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result
