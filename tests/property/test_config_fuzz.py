"""Whatever stands in a file: a Configuration or one readable line for each problem, and nothing else."""

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from poller.core.mapping import (
    EventSourceMapping,
    Invalid,
    PollerSettings,
    StreamSettings,
    parse_mapping,
)
from poller.core.mapping_conflicts import find_conflicts
from poller.core.mapping_rules import FIELDS
from poller.core.model import SourceKind
from poller.core.records import PositionKind
from tests.property.fuzz_config import QUEUE, STREAM, attempt, check, check_file

TABLE = "arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/2026-01-01T00:00:00.000"
SOURCES = [QUEUE, f"{QUEUE}.fifo", STREAM, TABLE]
POSITIONS = ["LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"]
WORDS = [
    *FIELDS, "Settings", "EventSourceMappings", "Region", "State", "Metrics", "Listen", "Logging", "Level",
    "OnFailure", "OnSuccess", "Destination", "Filters", "Pattern", "Initial", "Max", "RetryDelay",
    "TimeoutInSeconds", "Concurrency", "MaximumConcurrency",
    "<<",
]  # fmt: skip
TEXTS = [
    *SOURCES, *POSITIONS, f"{STREAM}/consumer/c:1", "arn:aws:s3:::b", "arn:aws:s3:", "2026-01-31T12:00:00Z",
    "2026-02-30T12:00:00+99:99", "python:a:b", "my-function", "process:a:b", "exec:./a -b 'c", "https://h/x?y",
    "arn:aws:lambda:eu-west-1:123456789012:function:f:1", "memory:", "sqlite:x", "127.0.0.1:1", "${A}",
    "${B:-7}", "${", "ReportBatchItemFailures", "eu-west-1", "", "\ud83d", "http://h:1",
]  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-2, max_value=1_001)
    | st.floats()
    | st.sampled_from(TEXTS)
    | st.text(max_size=20)
)
keys = st.sampled_from(WORDS) | st.text(max_size=10)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
mappings = st.fixed_dictionaries(
    {"EventSourceArn": st.sampled_from(SOURCES) | values},
    optional={name: values for name in FIELDS if name != "EventSourceArn"},
)
# Values that mostly pass by themselves, so that the rules across fields are what decides.
likely = st.fixed_dictionaries(
    {
        "EventSourceArn": st.sampled_from([QUEUE, f"{QUEUE}2", f"{QUEUE}.fifo"]),
        "FunctionName": st.sampled_from(["python:a:b", "process:a:b", "exec:./a", "https://h", "f", "f:1"]),
    },
    optional={
        "Name": st.sampled_from(["orders", "orders-2", "x"]),
        "Enabled": st.booleans(),
        "BatchSize": st.integers(1, 12) | st.none(),
        "MaximumBatchingWindowInSeconds": st.integers(0, 2) | st.none(),
        "ScalingConfig": st.sampled_from([{}, {"MaximumConcurrency": 2}]),
        "ProvisionedPollerConfig": st.dictionaries(
            st.sampled_from(["MinimumPollers", "MaximumPollers"]), st.integers(2, 4) | st.none()
        ),
        "Handler": st.fixed_dictionaries(
            {},
            optional={
                "TimeoutInSeconds": st.integers(1, 900) | st.floats(1, 900),
                "EndpointUrl": st.just("http://h:1"),
                "RecycleAfter": st.integers(1, 9),
            },
        ),
        "Poller": st.fixed_dictionaries(
            {},
            optional={"RetryDelay": st.fixed_dictionaries({"Initial": st.floats(0, 9), "Max": st.integers(5, 9)})},
        ),
    },
)
likely_streams = st.fixed_dictionaries(
    {
        "EventSourceArn": st.sampled_from([STREAM, f"{STREAM}2", TABLE]),
        "FunctionName": st.sampled_from(["python:a:b", "process:a:b", "exec:./a", "https://h", "f", "f:1"]),
        "StartingPosition": st.sampled_from(POSITIONS),
    },
    optional={
        "Name": st.sampled_from(["clicks", "t", "x"]),
        "BatchSize": st.integers(1, 10_000) | st.none(),
        "MaximumBatchingWindowInSeconds": st.integers(0, 300),
        "StartingPositionTimestamp": st.integers(0, 10**10)
        | st.floats(0, 10**10)
        | st.datetimes(timezones=st.timezones() | st.none()).map(str),
        "ParallelizationFactor": st.integers(1, 10),
        "BisectBatchOnFunctionError": st.booleans(),
        "MaximumRetryAttempts": st.integers(-1, 3),
        "MaximumRecordAgeInSeconds": st.sampled_from([-1, 60, 604_800]),
        "TumblingWindowInSeconds": st.integers(0, 3),
        "DestinationConfig": st.sampled_from([{}, {"OnFailure": {"Destination": "arn:aws:s3:::bucket"}}]),
        "FilterCriteria": st.sampled_from([{}, {"Filters": []}, {"Filters": [{"Pattern": {"eventName": ["x"]}}]}]),
    },
)
files = st.fixed_dictionaries(
    {"EventSourceMappings": st.lists(mappings | likely | likely_streams, max_size=3)},
    optional={"Settings": values},
)
# Pieces of YAML in any order reach further into the reader than letters do.
pieces = st.lists(
    st.sampled_from(
        ["\n", "  ", "- ", ": ", "? ", "{", "}", "[", "]", ", ", "&a ", "*a", "<<: ", "!!int ", "!x ", "|\n", "'",
         '"', "#", "%YAML 1.1\n", "---\n", "\t", "\\", "${A}", "${", "$${", "\\UFFFFFFFF", "1:60", "0x", "~",
         "\0", "é"]
    )
    | st.sampled_from(WORDS)
    | st.sampled_from(TEXTS),
    max_size=40,
).map("".join)  # fmt: skip


def check_stream(mapping: EventSourceMapping, stream: StreamSettings) -> None:
    """CFG-4 to CFG-14, CFG-35, CFG-49: what the rest of the program takes for granted."""
    at = stream.position.kind is PositionKind.AT_TIMESTAMP
    assert mapping.source is SourceKind.KINESIS or (mapping.source is SourceKind.DYNAMODB and not at)
    assert 0 <= stream.position.timestamp < 253_402_300_800
    assert at or stream.position.timestamp == 0
    assert stream.lanes in range(1, 11 if stream.tumbling_window == 0 else 2)
    assert stream.retries is None or 0 <= stream.retries <= 10_000
    assert stream.maximum_age is None or 60 <= stream.maximum_age <= 604_800
    assert 0 <= stream.tumbling_window <= 900
    assert mapping.poller == PollerSettings()
    assert (mapping.maximum_concurrency, mapping.provisioned) == (None, None)


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"EventSourceMappings:\n- {}\n")
@example(b"\xef\xbb\xbf")
def test_any_bytes(tmp_path_factory: Any, data: bytes) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(data)
    check_file(file)


def test_files_made_of_rubble(tmp_path: Path) -> None:
    """CFG-1, CFG-2: `python -m tests.property.fuzz_config 60` goes on for a minute."""
    counts = Counter[str]()
    for seed in range(150):
        attempt(Random(seed), tmp_path / "poller.yaml", counts)
    assert counts["taken"] > 10
    assert counts["refused"] > 50


@given(st.text(max_size=200) | pieces)
@example("- &a [*a]")
@example("a: !!float _")
@example("a: !!int '0b'")
@example("{<<: [*a, &a {}]}")
@example("a: 0o7:59")
@example("a: 1:" + "9" * 5_000)
def test_any_text(text: str) -> None:
    check(text)


@given(
    files
    | st.fixed_dictionaries({"EventSourceMappings": st.lists(likely | likely_streams, min_size=1, max_size=3)})
    | values
)
def test_any_structure(value: Any) -> None:
    """As JSON, and as YAML in PyYAML's own writing, with its aliases."""
    check(json.dumps(value))
    check(yaml.safe_dump(value, allow_unicode=True))


@given(likely | likely_streams | mappings | st.dictionaries(keys, values, max_size=6))
def test_any_fields(fields: dict[str, Any]) -> None:
    """The library's way in: what is accepted keeps the rules between its fields, whatever they were."""
    parsed = parse_mapping(fields)
    if isinstance(parsed, Invalid):
        assert parsed.problems
        assert all(problem.sentence.isprintable() for problem in parsed.problems)
        return
    assert isinstance(parsed, EventSourceMapping)
    assert 1 <= parsed.batch_size <= (10 if parsed.arn.fifo and parsed.stream is None else 10_000)
    if parsed.stream is None:
        assert parsed.batch_size <= 10 or parsed.window >= 1
        assert parsed.window == 0 or not parsed.arn.fifo
    else:
        check_stream(parsed, parsed.stream)
    assert parsed.maximum_concurrency is None or parsed.provisioned is None
    assert parsed.provisioned is None or parsed.provisioned.minimum <= parsed.provisioned.maximum
    assert 1 <= parsed.handler.timeout <= 900
    delay = parsed.poller.retry_delay
    assert delay is None or 0 <= delay.initial <= delay.maximum <= 43_200
    assert parse_mapping(fields) == parsed
    assert find_conflicts([parsed]) == ()
