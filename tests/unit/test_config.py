"""poller.yaml as a whole: what a good one gives, and each wrong field by file, line, path and words."""

import os
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from poller.config import Configuration, Rejected, load, parse, place, read, sentence
from poller.core.mapping import PollerSettings, RetryDelay
from poller.core.records import Position, PositionKind
from poller.errors import ConfigurationError
from poller.settings import Settings, State

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
GOOD = f"""\
Settings:
  Region: eu-west-1
  AccountId: "123456789012"
  State: sqlite:poller.db
  ShutdownTimeoutInSeconds: 20
  EndpointUrl: http://127.0.0.1:4566
  Metrics: {{Listen: "127.0.0.1:9000", Histograms: off, MaxShards: 16}}
  ControlApi: {{Listen: ""}}
  Logging:
    Level: debug
    Format: json
EventSourceMappings:
  - Name: orders
    EventSourceArn: {QUEUE}
    FunctionName: python:shop.orders:handler
    BatchSize: 100
    MaximumBatchingWindowInSeconds: 5
    FunctionResponseTypes: [ReportBatchItemFailures]
    ScalingConfig: {{MaximumConcurrency: 50}}
    Handler: {{TimeoutInSeconds: 30, Concurrency: 50}}
    Poller: {{Heartbeat: true, RetryDelay: {{Initial: 1, Max: 60}}}}
  - EventSourceArn: {QUEUE}.fifo
    FunctionName: python:shop.orders:handler
"""
TOP = "EventSourceMappings:\n"
ONE = f"  - EventSourceArn: {QUEUE}\n    FunctionName: python:shop.orders:handler\n"
SMALL = TOP + ONE


def lines(text: str, **environment: str) -> list[str]:
    """The problems as `poller run` would print them."""
    result = parse(text, "poller.yaml", environment)
    assert isinstance(result, Rejected), result
    return [f"{place(result.file, p.line, p.column)}: {sentence(p)}" for p in result.problems]


def good(text: str, **environment: str) -> Configuration:
    result = parse(text, "poller.yaml", environment)
    assert isinstance(result, Configuration), result
    return result


def test_a_good_file(tmp_path: Path) -> None:
    """CFG-1, CFG-2: everything that stands in it arrives."""
    file = tmp_path / "poller.yaml"
    file.write_text(GOOD)
    configuration = load(file, {})
    assert configuration.settings == Settings(
        region="eu-west-1",
        account_id="123456789012",
        endpoint_url="http://127.0.0.1:4566",
        state=State("sqlite", "poller.db"),
        shutdown_timeout=20.0,
        metrics_listen="127.0.0.1:9000",
        histograms=False,
        max_shards=16,
        control_listen="",
        log_level="DEBUG",
        log_format="json",
    )
    orders, fifo = configuration.mappings
    assert (orders.name, orders.batch_size, orders.window, orders.maximum_concurrency) == ("orders", 100, 5.0, 50)
    assert orders.poller == PollerSettings(heartbeat=True, retry_delay=RetryDelay(1.0, 60.0))
    assert (fifo.name, fifo.batch_size) == ("orders.fifo", 10)
    assert (configuration.file, configuration.lines) == (str(file), (13, 22))


@pytest.mark.parametrize(
    "nothing", ["", "Settings:\n", "Settings: {}\n", "Settings: {Region: , Logging: {Level: }}\n"]
)
def test_settings_are_optional(nothing: str) -> None:
    assert good(nothing + SMALL).settings == Settings()


def test_json_is_yaml() -> None:
    import json  # noqa: PLC0415 - only here

    as_json = json.dumps(yaml.safe_load(GOOD), indent="\t")
    assert good(as_json) == good(GOOD)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "poller.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load(file, {}) == good(SMALL)


def test_variables_keep_the_types_of_yaml() -> None:
    text = SMALL + "    BatchSize: ${N:-10}\n    Enabled: ${ON:-true}\n    Name: orders-${STAGE}\n"
    (mapping,) = good(text, STAGE="test").mappings
    assert (mapping.batch_size, mapping.enabled, mapping.name) == (10, True, "orders-test")
    (mapping,) = good(text, STAGE="7", N="3", ON="false").mappings
    assert (mapping.batch_size, mapping.enabled, mapping.name) == (3, False, "orders-7")
    assert good(SMALL + "    BatchSize: ${N:-}\n").mappings[0].batch_size == 10


def test_a_variable_that_is_missing_is_told_once() -> None:
    """Not a second time as a value that is wrong."""
    unset, size = lines(TOP + "  - EventSourceArn: ${ARN}\n    FunctionName: python:a:b\n    BatchSize: 0\n")
    assert unset == (
        "poller.yaml:2: EventSourceMappings[0].EventSourceArn: the environment variable 'ARN' is not set;"
        " set it, or write ${ARN:-default}."
    )
    assert size == (
        "poller.yaml:4: EventSourceMappings[0].BatchSize: 1 validation error detected: Value '0' at 'batchSize'"
        " failed to satisfy constraint: Member must have value greater than or equal to 1;"
        " allowed: a whole number from 1 to 10000."
    )


STREAM = """\
EventSourceMappings:
  - EventSourceArn: arn:aws:kinesis:eu-west-1:123456789012:stream/clicks
    FunctionName: python:shop.clicks:handler
    StartingPosition: {}
"""


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-31T12:00:00Z",
        "'2026-01-31T12:00:00Z'",
        "2026-01-31 14:00:00 +2",
        "1769860800",
        "1_769_860_800",
        "1769860800.0",
        "${WHEN}",
        '"${WHEN}"',
    ],
)
def test_the_time_at_which_a_stream_begins(written: str) -> None:
    """CFG-8: a time of YAML, a text or a number, also from the environment."""
    text = STREAM.format("AT_TIMESTAMP") + f"    StartingPositionTimestamp: {written}\n"
    (mapping,) = good(text, WHEN="2026-01-31T12:00:00Z").mappings
    assert mapping.stream is not None
    assert mapping.stream.position == Position(PositionKind.AT_TIMESTAMP, timestamp=1_769_860_800.0)


def test_a_wrong_start_of_a_stream_is_told_with_its_line() -> None:
    """CFG-33, CFG-34, CFG-8, CFG-49."""
    (line,) = lines(STREAM.format("latest"))
    assert line.startswith("poller.yaml:4: EventSourceMappings[0].StartingPosition: 1 validation error detected:")
    (line,) = lines(STREAM.format(""))
    assert line.startswith("poller.yaml:4: EventSourceMappings[0].StartingPosition: 1 validation error detected:")
    (line,) = lines(STREAM.format("AT_TIMESTAMP"))
    assert line.startswith("poller.yaml:2: EventSourceMappings[0].StartingPositionTimestamp: StartingPosition AT_")
    (line,) = lines(STREAM.format("AT_TIMESTAMP\n    StartingPositionTimestamp: 2026-01-31"))
    assert "StartingPositionTimestamp: '2026-01-31' has no time zone; allowed: seconds since 1970" in line
    (line,) = lines(STREAM.format("LATEST\n    ParallelizationFactor: 2\n    TumblingWindowInSeconds: 9"))
    assert line.startswith("poller.yaml:6: EventSourceMappings[0].TumblingWindowInSeconds: Tumbling")


@pytest.mark.parametrize(
    ("arn", "target", "expected"),
    [
        ("", "python:a:b", "2: EventSourceMappings[0].EventSourceArn: Unrecognized event source."),
        (
            "orders",
            "python:a:b",
            "2: EventSourceMappings[0].EventSourceArn: Unrecognized event source. 'orders' is a",
        ),
        (
            f"{QUEUE}.fifo",
            "",
            "3: EventSourceMappings[0].FunctionName: 1 validation error detected: Value null at",
        ),
        (
            QUEUE,
            "'exec:'",
            "3: EventSourceMappings[0].FunctionName: exec: names no command; write exec: and a command line.",
        ),
    ],
)
def test_a_wrong_source_or_target_is_told_with_its_line(arn: str, target: str, expected: str) -> None:
    """CFG-1, CFG-2, CFG-37."""
    (line,) = lines(f"{TOP}  - EventSourceArn: {arn}\n    FunctionName: {target}\n")
    assert line.startswith(f"poller.yaml:{expected}")


def test_fields_that_are_not_there_are_told_at_their_mapping() -> None:
    """CFG-1, CFG-2."""
    found = lines(f"{TOP}\n  - Name: x\n\n  - Name: y\n")
    assert [line.split(" ")[:2] for line in found] == [
        ["poller.yaml:3:", "EventSourceMappings[0].EventSourceArn:"],
        ["poller.yaml:3:", "EventSourceMappings[0].FunctionName:"],
        ["poller.yaml:5:", "EventSourceMappings[1].EventSourceArn:"],
        ["poller.yaml:5:", "EventSourceMappings[1].FunctionName:"],
    ]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("Region: [a]", "Region: a list is not text; allowed: text, in quotes."),
        ("Region: europe", "Region: 'europe' is not a region; allowed: a name such as eu-west-1."),
        ("AccountId: 123456789012", "AccountId: 123456789012 is not text; allowed: text, in quotes."),
        ("AccountId: '12'", "AccountId: '12' is not an account; allowed: 12 digits, in quotes."),
        (
            "State: dynamodb:t",
            "State: dynamodb: is for fleets of pollers, which are not part of this version; allowed",
        ),
        ("State: redis", "State: 'redis' is not a place for state; allowed: memory: or sqlite:<path>."),
        (
            "ShutdownTimeoutInSeconds: 0",
            "ShutdownTimeoutInSeconds: 0 is out of range; allowed: a number of seconds",
        ),
        ("ShutdownTimeoutInSeconds: 3601", "ShutdownTimeoutInSeconds: 3601 is out of range; allowed: a number of"),
        ("ShutdownTimeoutInSeconds: .nan", "ShutdownTimeoutInSeconds: nan is out of range; allowed: a number of"),
        ("ShutdownTimeoutInSeconds: '25'", "ShutdownTimeoutInSeconds: '25' is not a number; allowed: a number of"),
        ("ShutdownTimeoutInSeconds: yes", "ShutdownTimeoutInSeconds: true is not a number; allowed: a number of"),
        (
            "EndpointUrl: localhost:4566",
            "EndpointUrl: this is not the URL of an endpoint; allowed: http:// or https://",
        ),
        ("EndpointUrl: http://a:hunter2@h", "EndpointUrl: the URL holds a user name or password"),
        ("Metrics: 9464", "Metrics: 9464 is not a map; allowed: a map of Listen, Histograms, MaxShards."),
        ("Metrics: {Listen: 9464}", "Metrics.Listen: 9464 is not text; allowed: text, in quotes."),
        (
            "Metrics: {Listen: localhost}",
            "Metrics.Listen: 'localhost' is not an address to listen on; write host:port",
        ),
        (
            "Metrics: {Port: 1}",
            "Metrics.Port: 'Port' is not a field of this version; known here: Histograms, Listen, MaxShards.",
        ),
        (
            "Metrics: {Histograms: 'off'}",
            "Metrics.Histograms: 'off' is neither true nor false; allowed: true or false",
        ),
        (
            "Metrics: {MaxShards: '64'}",
            "Metrics.MaxShards: '64' is not a whole number; allowed: a whole number from",
        ),
        (
            "Metrics: {MaxShards: -1}",
            "Metrics.MaxShards: -1 is out of range; allowed: a whole number from 0 to 10000.",
        ),
        ("ControlApi: {Listen: 'h:65536'}", "ControlApi.Listen: 'h:65536' is not an address to listen on"),
        ("ControlApi: {Listen: ':9465'}", "ControlApi: Listen :9465 can be reached from other machines, and"),
        ("ControlApi: {Listen: '0.0.0.0:9465', TokenVariable: }", "ControlApi: Listen 0.0.0.0:9465 can be"),
        ("ControlApi: {TokenVariable: 'hunter2!'}", "ControlApi.TokenVariable: this is not the name of an"),
        ("ControlApi: {AccessKeysVariable: 'a:hunter2'}", "ControlApi.AccessKeysVariable: this is not the name"),
        ("Logging: {Level: loud}", "Logging.Level: 'loud' is none of the words for this; allowed: DEBUG, INFO"),
        (
            "Logging: {Format: xml}",
            "Logging.Format: 'xml' is none of the words for this; allowed: auto, text, json.",
        ),
        ("Logging: [INFO]", "Logging: a list is not a map; allowed: a map of Level, Format."),
        ("Regoin: x", "Regoin: 'Regoin' is not a field of this version; did you mean Region?"),
        ("AccessKeyId: x", "AccessKeyId: 'AccessKeyId' is not a field of this version;"),
    ],
)
def test_every_wrong_setting_is_told_with_its_line(setting: str, words: str) -> None:
    (line,) = lines(f"Settings:\n  # why\n  {setting}\n{SMALL}")
    assert line.startswith(f"poller.yaml:3: Settings.{words}")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "keys", ["TokenVariable: A", "AccessKeysVariable: B", "TokenVariable: A, AccessKeysVariable: B"]
)
def test_with_keys_the_control_api_may_listen_anywhere(keys: str) -> None:
    settings = f"Settings: {{ControlApi: {{Listen: ':9465', {keys}}}}}\n"
    result = parse(settings + SMALL, "poller.yaml", {})
    assert isinstance(result, Configuration)
    assert (result.settings.control_token_variable, result.settings.control_keys_variable) == (
        "A" if "Token" in keys else None,
        "B" if "Access" in keys else None,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": there is nothing in it; it must hold EventSourceMappings."),
        ("# nothing\n", ": there is nothing in it; it must hold EventSourceMappings."),
        ("hello", ":1: this is 'hello'; a configuration is a map with Settings and EventSourceMappings."),
        ("- 1", ":1: this is a list; a configuration is a map with Settings and EventSourceMappings."),
        ("!x {}", ":1: the tag '!x' is not allowed."),
        (
            "Settings: {}",
            ":1: EventSourceMappings: there is no mapping; write at least one under EventSourceMappings.",
        ),
        (
            "Settings: {ControlApi: {Listen: ''}}\nEventSourceMappings: []",
            ":2: EventSourceMappings: there is no mapping; write at least one under",
        ),
        (
            "EventSourceMappings: {a: 1}",
            ":1: EventSourceMappings: a map is not a list; allowed: a list of mappings",
        ),
        (
            "EventSourceMappings: [7, ]",
            ":1: EventSourceMappings[0]: 7 is not a map; allowed: a map of EventSourceArn",
        ),
        (f"Settings: 5\n{SMALL}", ":1: Settings: 5 is not a map; allowed: a map of Region, AccountId, State,"),
        (
            f"Setings: {{}}\n{SMALL}",
            ":1: Setings: 'Setings' is not a field of this version; did you mean Settings?",
        ),
        ("a: [1", ":1:6: this is not YAML: while parsing a flow sequence, expected ',' or ']', but got"),
    ],
)
def test_what_is_no_configuration(text: str, expected: str) -> None:
    (line,) = lines(text)
    assert line.startswith(f"poller.yaml{expected}")
    assert line.isprintable()


def test_all_problems_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = f"""\
    Settings:
      Region: europe
      Region: eu-west-1
    Extra: 1
    EventSourceMappings:
      - EventSourceArn: {QUEUE}
        FunctionName: shop.handler
        BatchSize: ${{SIZE}}
        MaximumBatchingWindowInSeconds: -1
    """
    found = lines(dedent(text))
    assert [line.split(" ", maxsplit=1)[0] for line in found] == [f"poller.yaml:{n}:" for n in (3, 4, 7, 8, 9)]


def test_the_same_mapping_twice() -> None:
    """CFG-51: told at the second, with the place of the first."""
    (line,) = lines(SMALL + ONE)
    assert line.startswith(
        "poller.yaml:5: EventSourceMappings[1].FunctionName: An event source mapping with SQS arn"
    )
    assert line.endswith("it is EventSourceMappings[0], 'orders'.")


def test_names_that_are_given_go_before_names_that_are_derived() -> None:
    """Wherever they stand."""
    other = ONE.replace(":handler", ":other")
    configuration = good(f"{SMALL}{other}    Name: orders\n")
    assert [mapping.name for mapping in configuration.mappings] == ["orders-2", "orders"]
    (line,) = lines(f"{SMALL}    Name: x\n{other}    Name: x\n")
    assert line.startswith("poller.yaml:7: EventSourceMappings[1].Name: the name 'x' is taken")


def test_one_anchor_for_what_mappings_share() -> None:
    text = f"""\
    EventSourceMappings:
      - &first
        EventSourceArn: {QUEUE}
        FunctionName: python:a:b
        BatchSize: 3
      - <<: *first
        FunctionName: python:a:c
    """
    assert [mapping.batch_size for mapping in good(dedent(text)).mappings] == [3, 3]


# --- files ---


def failure(file: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """One sentence each."""
    missing = tmp_path / "missing.yaml"
    assert failure(missing) == f"{missing}: there is no such file; name the configuration with -c."
    assert failure(tmp_path) == f"{tmp_path}: this is a directory; name the file in it."
    assert (
        failure(str(missing / "x")) == f"{missing / 'x'}: there is no such file; name the configuration with -c."
    )
    under_a_file = tmp_path / "file"
    under_a_file.write_text("x")
    assert failure(under_a_file / "x").startswith(f"{under_a_file / 'x'}: it cannot be read: Not a directory")
    assert failure("a\0b") == "'a\\x00b': it cannot be read: embedded null byte."
    assert failure("n" * 300).endswith(": it cannot be read: File name too long.")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """root may read everything, so the refusal is the operating system's by proxy."""
    file = tmp_path / "poller.yaml"
    file.write_text(SMALL)
    file.chmod(0)
    if os.access(file, os.R_OK):

        def denied(*_: Any, **__: Any) -> Any:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
    assert failure(file) == f"{file}: it cannot be read: Permission denied."


def test_files_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "poller.yaml"
    file.write_bytes(b"Settings: {}\nName: \xff\xfe\n")
    assert failure(file) == f"{file}:2: this is not UTF-8 text; save the file as UTF-8."
    file.write_bytes(SMALL.encode("utf-16"))
    assert failure(file) == f"{file}:1: this is not UTF-8 text; save the file as UTF-8."
    file.write_bytes(b"\x00" * 10)
    assert failure(file) == f"{file}:1:1: character '\\x00' is not allowed in YAML."
    file.write_bytes(b" " * 1_048_577)
    assert failure(file) == f"{file}: it is larger than 1048576 bytes, too large for a configuration."


def test_every_problem_is_one_line_of_the_error(tmp_path: Path) -> None:
    file = tmp_path / "poller.yaml"
    file.write_text(SMALL + "    BatchSize: 0\n    Enabled: 3\n")
    text = failure(file)
    assert [line.split(": ")[0] for line in text.splitlines()] == [f"{file}:4", f"{file}:5"]
    rejected = read(file, {})
    assert isinstance(rejected, Rejected)
    assert [problem.path[-1] for problem in rejected.problems] == ["BatchSize", "Enabled"]


def test_a_file_needs_no_mapping_where_the_control_api_can_make_them() -> None:
    """The daemon waits for the first."""
    result = parse("EventSourceMappings: []", "poller.yaml", {})
    assert isinstance(result, Configuration)
    assert result.mappings == ()
