"""Configuration files made of rubble: whatever stands in one, it is a configuration or a list of readable lines.

`python -m tests.property.fuzz_config SECONDS [SEED]` goes on for so long and prints what it met; a failure prints
the seed with which it comes again.
"""

import re
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from jsonschema import Draft202012Validator

from poller.config import Configuration, load, parse
from poller.core.filter import make_filter
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_rules import FIELDS
from poller.core.mapping_shapes import FieldProblem
from poller.core.mapping_targets import parse_target
from poller.errors import ConfigurationError
from poller.iam import make_policy
from poller.schema import make_schema
from poller.yamltext import Document, read_yaml

ENVIRONMENT = {"A": "10", "EMPTY": ""}
VALID = Draft202012Validator(make_schema())
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
EVERYTHING = f"""\
Settings: {{Region: eu-west-1, State: "memory:", Metrics: {{Listen: 127.0.0.1:1}}, Logging: {{Level: INFO}}}}
EventSourceMappings:
  - &queue
    EventSourceArn: {QUEUE}
    FunctionName: process:shop.orders:handler
    BatchSize: 100
    MaximumBatchingWindowInSeconds: ${{A}}
    FilterCriteria: {{Filters: [{{Pattern: {{body: {{n: [{{numeric: [">", 1]}}], b: [{{prefix: x}}]}}}}}}]}}
    ScalingConfig: {{MaximumConcurrency: 2}}
    Handler: {{TimeoutInSeconds: 1.5, Concurrency: 4, RecycleAfter: 10}}
    Poller: {{Heartbeat: true, RetryDelay: {{Initial: 1, Max: 60}}}}
  - <<: *queue
    Name: again
    FunctionName: arn:aws:lambda:eu-west-1:123456789012:function:shop:live
    Handler: {{EndpointUrl: http://127.0.0.1:9000}}
  - EventSourceArn: {STREAM}
    FunctionName: https://hooks.example.com/x?y=1
    Handler: {{HmacSecretVariable: KEY}}
    StartingPosition: AT_TIMESTAMP
    StartingPositionTimestamp: 2026-01-31T12:00:00+02:00
    DestinationConfig: {{OnFailure: {{Destination: "arn:aws:s3:::failed"}}}}
    FilterCriteria: {{Filters: [{{Pattern: '{{"data": {{"a": [{{"prefix": "x"}}]}}}}'}}]}}
    MaximumRecordAgeInSeconds: 60
    Tags: {{a: b}}
"""
README = Path(__file__).resolve().parents[2] / "README.md"
FILES = [
    EVERYTHING,
    *re.findall(r"^```yaml\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE),
]
RUBBLE = [
    b"", b"\n", b"  ", b"- ", b": ", b"? ", b"{", b"}", b"[", b"]", b", ", b"&a ", b"*a", b"*queue", b"<<: ",
    b"!!int ", b"!x ", b"!!binary ", b"|\n", b">-\n", b"'", b'"', b"#", b"%YAML 1.1\n", b"---\n", b"\t", b"\\",
    b"${A}", b"${", b"$${", b"${EMPTY}", b"${X:-", b"\\UFFFFFFFF", b"1:60", b"0x", b"~", b"null", b"\0",
    b"\xc3\xa9", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"1e999", b".nan", b"-.inf", b"9" * 5_000,
    b"[" * 2_000, b"{a: " * 150, b"exec:'", b"http://[::1", b"python:a:b", b"2026-99-99T99:99",
    b'{"$or": []}', b"- {}\n",
]  # fmt: skip


def check(text: str) -> bool:
    """Whether it is a configuration; what each of the two must be like is asserted."""
    result = parse(text, "poller.yaml", ENVIRONMENT)
    if isinstance(result, Configuration):
        check_configuration(result, text)
        return True
    assert result.problems
    for problem in result.problems:
        assert problem.sentence.isprintable()
        assert problem.line is None or 1 <= problem.line <= text.count("\n") + 2
    return False


def check_configuration(configuration: Configuration, text: str) -> None:
    """What the rest of the program takes for granted, and that an editor would not mark the file."""
    mappings = configuration.mappings
    assert mappings or configuration.settings.control_listen, "nothing to do, and nobody can say what"
    assert len(configuration.lines) == len(mappings) == len({mapping.uuid for mapping in mappings})
    assert len({mapping.name for mapping in mappings}) == len(mappings)
    for mapping in mappings:
        assert not isinstance(parse_target(mapping.function_name), FieldProblem)
        make_filter(mapping.filters, mapping.source)
    assert make_policy(mappings)["Statement"] or not mappings
    document = read_yaml(text, ENVIRONMENT)
    assert isinstance(document, Document)
    assert [error.message for error in VALID.iter_errors(_without_nulls(document.value))] == []


def check_file(file: Path) -> bool:
    """The same for a file, through the words that `poller run` would end with."""
    try:
        configuration = load(file, ENVIRONMENT)
    except ConfigurationError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.startswith(str(file)) and line.isprintable() for line in lines)
        return False
    assert all(isinstance(mapping, EventSourceMapping) for mapping in configuration.mappings)
    return True


def _without_nulls(value: object) -> object:
    """A null is as good as nothing, but for a schema that does not know the field at all."""
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    return [_without_nulls(member) for member in value] if isinstance(value, list) else value


def damaged(random: Random) -> bytes:
    """A good file with some bytes cut out, put in or moved."""
    data = random.choice(FILES).encode()
    for _ in range(random.choice([0, 1, 1, 2, 3, 8])):
        at = random.randrange(len(data) + 1)
        gone = random.choice([0, 0, 1, 2, 10, 100])
        put = random.choice(
            [
                random.choice(RUBBLE),
                random.choice(list(FIELDS)).encode(),
                bytes(random.randrange(256) for _ in range(random.choice([1, 2, 8]))),
                data[(start := random.randrange(len(data) + 1)) : start + random.choice([1, 10, 100])],
            ]
        )
        data = data[:at] + put + data[at + gone :]
    return data


def attempt(random: Random, file: Path, counts: Counter[str]) -> None:
    """One file, as bytes, and as text if it is any."""
    data = damaged(random)
    file.write_bytes(data)
    counts["taken" if check_file(file) else "refused"] += 1
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        counts["no text"] += 1
    else:
        check(text)


def main(seconds: float, seed: int, file: Path) -> None:
    """Seeds one after the other until the time is over."""
    counts = Counter[str]()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seed += 1
        try:
            attempt(Random(seed), file, counts)
        except BaseException:
            print(f"seed {seed}", file=sys.stderr)
            raise
    print(dict(counts))


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, Path(folder) / "poller.yaml")
