"""How the daemon writes its log: readable lines on a terminal, one JSON object a line otherwise.

Only the daemon calls this. The rest of the package logs through the standard library to the logger "poller", with
its fields in `extra`; a program that embeds us does with those records what it likes.
"""

import io
import json
import logging
import sys
from typing import Any, Literal, TextIO, TypeAlias

import orjson
import structlog
from structlog.typing import EventDict, Processor

from poller.errors import ConfigurationError, PollerError
from poller.tracing import current_ids

Format: TypeAlias = Literal["auto", "text", "json"]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("auto", "text", "json")

# At DEBUG these write requests and answers, and so the bodies of messages.
_TALKATIVE = ("aiobotocore", "aiohttp", "asyncio", "botocore", "boto3", "urllib3")
_FIRST = ("timestamp", "level", "event", "action", "mapping")
MOST_TEXT = 32_768
"""Characters of one field of a line."""


def configure(level: str = "INFO", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Sets up the root logger of the process; a second call replaces the first.

    `form` auto is text on a terminal and JSON elsewhere. `stream` is standard error unless given. Raises
    ConfigurationError for a level or format that does not exist.
    """
    stream = sys.stderr if stream is None else stream
    if level.upper() not in LEVELS:
        raise ConfigurationError(f"Settings.Logging.Level: {level!r} is not a level; use {', '.join(LEVELS)}.")
    if form not in FORMATS:
        raise ConfigurationError(f"Settings.Logging.Format: {form!r} is not a format; use {', '.join(FORMATS)}.")
    terminal = stream.isatty()
    handler = logging.StreamHandler(stream)
    readable = form == "text" or (form == "auto" and terminal)
    handler.setFormatter(_text_formatter(colours=terminal) if readable else _json_formatter())
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if isinstance(known.formatter, _Formatter)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Told apart from others' formatters, so that `configure` replaces its own handler only."""


def _text_formatter(*, colours: bool) -> _Formatter:
    console = structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, exception_formatter=_plain_traceback)
    return _Formatter(
        foreign_pre_chain=[*_shared(), _bounded, _for_reading],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, console],
    )


def _json_formatter() -> _Formatter:
    return _Formatter(
        foreign_pre_chain=[*_shared(), structlog.processors.format_exc_info, _bounded, _stable_order],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _as_json],
    )


def _shared() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _without_leftovers,
        _with_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _no_traceback_for_users,
    ]


def _without_leftovers(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Takes out what another handler's formatter left on the record: it looks like a field, and is not."""
    event.pop("message", None)
    event.pop("asctime", None)
    return event


def _with_trace(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """The span in which the line was written: lines are made in the thread and the context that write them."""
    if (ids := current_ids()) is not None:
        event["trace_id"], event["span_id"] = ids
    return event


def _no_traceback_for_users(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """An error whose text tells what to do needs no traceback; it is told in the line itself."""
    failure = event.get("exc_info")
    if isinstance(failure, tuple):
        failure = failure[1]
    if isinstance(failure, PollerError):
        del event["exc_info"]
        event["error"] = str(failure)
    return event


def _for_reading(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Leaves out what the sentence says already (and words for programs); no text may pretend to be a line."""
    for known in ("mapping", "action", "untold", "trace_id", "span_id"):
        event.pop(known, None)
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = "".join(char if char.isprintable() else " " for char in value)
    event["timestamp"] = str(event["timestamp"])[11:23]
    return event


def _stable_order(_logger: Any, _method: str, event: EventDict) -> EventDict:
    first = {key: event[key] for key in _FIRST if key in event}
    return {**first, **event}


def _bounded(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A traceback ends with the error's own text, which may be as long as the record that it quotes."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MOST_TEXT:
            event[key] = _cut(value)
    return event


def _cut(text: str) -> str:
    head, tail = MOST_TEXT * 3 // 4, MOST_TEXT // 4
    return text if len(text) <= MOST_TEXT else f"{text[:head]} [...] {text[-tail:]}"


def _plain_traceback(out: TextIO, failure: Any) -> None:
    whole = io.StringIO()
    structlog.dev.plain_traceback(whole, failure)
    out.write(_cut(whole.getvalue()))


def _as_json(_logger: Any, _method: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # half an emoji, as a traceback may quote it, is no text that can be written
        text = json.dumps(event, default=repr, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace").decode()
