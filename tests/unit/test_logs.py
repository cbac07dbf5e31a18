"""What the daemon's log looks like, to people and to programs."""

import io
import json
import logging

import pytest
from opentelemetry import trace

from poller import logs
from poller.errors import ConfigurationError, ListenError


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def restored_logging():
    """`configure` is for the process; the tests of this file give back what they found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs._TALKATIVE}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


log = logging.getLogger("poller")


def json_lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_have_stable_keys_first_and_every_extra():
    stream = io.StringIO()
    logs.configure(stream=stream)

    log.warning("orders: %s", "no", extra={"mapping": "orders", "batch": 7, "action": "batch_failed", "odd": {1}})

    (line,) = json_lines(stream)
    assert list(line)[:5] == ["timestamp", "level", "event", "action", "mapping"]
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    assert len(timestamp) == len("2026-01-01T00:00:00.000000Z")
    assert line == {
        "level": "warning",
        "event": "orders: no",
        "action": "batch_failed",
        "mapping": "orders",
        "batch": 7,
        "odd": "{1}",
    }


def test_a_bug_has_its_traceback_in_one_field():
    stream = io.StringIO()
    logs.configure(stream=stream)

    try:
        {}["x"]
    except KeyError:
        log.exception("orders: its driver ended")

    (line,) = json_lines(stream)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("KeyError: 'x'")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_made_for_people_has_no_traceback(form):
    stream = io.StringIO()
    logs.configure(form=form, stream=stream)

    log.error("not started", exc_info=ListenError("cannot listen on 127.0.0.1:9464"))

    written = stream.getvalue()
    assert len(written.splitlines()) == 1
    assert "Traceback" not in written
    assert "cannot listen on 127.0.0.1:9464" in written


def test_a_terminal_gets_coloured_lines_and_a_pipe_json():
    terminal, pipe = Terminal(), io.StringIO()

    logs.configure(stream=terminal)
    log.info("orders: Enabled", extra={"action": "state_changed", "mapping": "orders", "number": 3})
    logs.configure(stream=pipe)
    log.info("orders: Enabled")

    assert "\x1b[" in terminal.getvalue()
    assert terminal.getvalue().count("orders") == 1
    assert "number" in terminal.getvalue()
    assert "state_changed" not in terminal.getvalue(), "words for programs"
    assert json_lines(pipe)[0]["event"] == "orders: Enabled"


def test_text_in_a_file_has_no_colours_and_no_line_breaks_from_outside():
    stream = io.StringIO()
    logs.configure(form="text", stream=stream)

    log.info("orders: a\nfaked line\x1b[31m", extra={"detail": "b\nc"})

    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_what_another_handler_left_on_a_record_is_no_field():
    stream = io.StringIO()
    other = logging.StreamHandler(io.StringIO())
    other.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger().addHandler(other)
    logs.configure(stream=stream)

    log.warning("once")

    assert set(json_lines(stream)[0]) == {"timestamp", "level", "event"}


def test_a_second_call_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    logs.configure(stream=first)
    logs.configure("WARNING", stream=second)

    log.info("quiet")
    log.warning("loud")

    assert first.getvalue() == ""
    assert [line["event"] for line in json_lines(second)] == ["loud"]


def test_debug_does_not_let_libraries_write_bodies():
    stream = io.StringIO()
    logs.configure("debug", stream=stream)

    logging.getLogger("botocore.parsers").debug("Response body: secret")
    log.debug("ours")

    assert [line["event"] for line in json_lines(stream)] == ["ours"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"level": "LOUD"}, "Settings.Logging.Level: 'LOUD'"), ({"form": "xml"}, "Settings.Logging.Format: 'xml'")],
)
def test_unknown_levels_and_formats_are_refused(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        logs.configure(**arguments)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_written_in_a_span_has_its_ids_for_programs(form):
    """Whoever writes it, the handler's own libraries too; people on a terminal need not see them."""
    stream = io.StringIO()
    logs.configure(form=form, stream=stream)
    span = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, is_remote=False))

    with trace.use_span(span):
        logging.getLogger("shop").warning("inside")
    log.warning("outside")

    if form == "text":
        assert "abc" not in stream.getvalue()
        return
    inside, outside = json_lines(stream)
    assert (inside["trace_id"], inside["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert "trace_id" not in outside
