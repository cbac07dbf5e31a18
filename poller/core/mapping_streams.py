"""What only a mapping of a stream has: the shape of its fields, what their values mean, the rules across them.

Ranges are CFG-7 to CFG-14; the rules are CFG-33 to CFG-35, CFG-48 to CFG-50 and CFG-56.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone

from poller.core.mapping_arns import DESTINATION_PATTERNS, destinations_allowed, parse_destination_arn
from poller.core.mapping_schema import matching, one_of
from poller.core.mapping_shapes import (
    FieldProblem,
    Path,
    Shape,
    block,
    invalid,
    quote,
    violation,
    whole,
    whole_in,
    wrong_type,
)
from poller.core.model import SourceKind

_POSITIONS = ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")
_LATEST_TIME = 253_402_300_799  # the end of the year 9999; epoch milliseconds are beyond it
_TIME = re.compile(  # of YAML and of ISO 8601, as far as they agree
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"[ \t]*(?:(?P<utc>[Zz])|(?P<sign>[+-])(?P<hours>[0-9]{1,2}):?(?P<minutes>[0-9]{2})?)?)?"
)
_AGE = whole(-1, 604_800)
_TIMES = "seconds since 1970, or a time with its zone, such as 2026-01-31T12:00:00Z or 2026-01-31T14:00:00+02:00"


def _starting_position(value: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-7, CFG-33, CFG-34."""
    if value is None:
        yield violation(path, None, "Member must not be null.", f"write one of {', '.join(_POSITIONS)}")
    elif value not in _POSITIONS:
        limit = f"Member must satisfy enum value set: [{', '.join(_POSITIONS)}]"
        yield violation(path, value, limit, f"allowed: {', '.join(_POSITIONS)}")


def _starting_timestamp(value: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-8, but for the future: what time it is now is not known here (`mapping_advice.future_start`)."""
    read = epoch_seconds(value)
    if isinstance(read, str):
        yield invalid(path, read, f"allowed: {_TIMES}")


def epoch_seconds(value: object) -> float | str:
    """A point in time in seconds since 1970, or what is wrong with it.

    A number, ISO 8601 or YAML text, or a datetime. *Decision*: a time without a zone is refused: ISO 8601 and
    AWS's tools take it for local time, YAML for UTC, and a start that is hours too late loses records.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= _LATEST_TIME:  # said this way round, NaN is outside too
            return float(value)
        if _LATEST_TIME < value <= _LATEST_TIME * 1_000:
            return f"{quote(value)} looks like milliseconds"
        return f"{quote(value)} is no time since 1970"
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            return "this datetime has no time zone; give it a tzinfo"
        moment = value
    elif isinstance(value, str):
        match = _TIME.fullmatch(value)
        if match is None:
            return f"{quote(value)} is not a time"
        if match["utc"] is None and match["sign"] is None:
            return f"{quote(value)} has no time zone"
        try:
            moment = _moment(match)
        except ValueError:
            return f"{quote(value)} is not a time of the calendar"
    else:
        return f"{quote(value)} is not a time"
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return seconds if seconds >= 0 else f"{quote(value)} is no time since 1970"


def _moment(match: re.Match[str]) -> datetime:
    """Raises ValueError for the 31st of June and the like."""
    year, month, day, hour, minute, second = (int(match[number] or 0) for number in range(1, 7))
    micros = int((match[7] or "0").ljust(6, "0")[:6])
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    zone = timezone(-offset if match["sign"] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)


def _record_age(value: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-11, CFG-48: for ever, or from a minute to a week."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 60:
        limit = "Member must have value greater than or equal to 60"
        yield violation(path, value, limit, "allowed: -1 for no limit, or a whole number from 60 to 604800")
    else:
        yield from _AGE.check(value, path)


def _destination(value: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-9, CFG-50, DST-1; empty text is no destination."""
    if not isinstance(value, str):
        yield wrong_type(path, value, "text", destinations_allowed())
    elif len(value) > 350:
        limit = "Member must have length less than or equal to 350"
        yield violation(path, value, limit, f"allowed: {destinations_allowed()}")
    elif value:
        wrong = parse_destination_arn(value)
        if isinstance(wrong, str):
            yield invalid(path, wrong, f"allowed: {destinations_allowed()}")


def _on_success(_: object, path: Path) -> Iterator[FieldProblem]:
    """CFG-10, CFG-39: in the service's words, which name the map around it."""
    yield invalid(
        path,
        "Unsupported DestinationConfig parameter for given event source mapping type.",
        "leave OnSuccess out, a stream has OnFailure only",
    )


starting_position = Shape(_starting_position, one_of(*_POSITIONS))
starting_timestamp = Shape(
    _starting_timestamp,
    matching(_TIME.pattern) | {"type": ["number", "string"], "minimum": 0, "maximum": _LATEST_TIME},
)
record_age = Shape(_record_age, _AGE.schema | {"anyOf": [{"const": -1}, {"minimum": 60}]})
destination_config = block(
    {"OnFailure": block({"Destination": Shape(_destination, matching("", *DESTINATION_PATTERNS))})},
    refused={"OnSuccess": _on_success},
)


def stream_problems(fields: Mapping[str, object], kind: SourceKind) -> Iterator[FieldProblem]:
    """The rules across fields of a stream; fields that are wrong by themselves are passed over."""
    yield from _position_problems(fields, kind)
    if whole_in(fields, "TumblingWindowInSeconds", 0) <= 0:
        return
    if whole_in(fields, "ParallelizationFactor", 1) > 1:
        yield invalid(
            ("TumblingWindowInSeconds",),
            "TumblingWindowInSeconds cannot be combined with a ParallelizationFactor above 1",
            "leave one of them out",
        )
    criteria = fields.get("FilterCriteria")
    if isinstance(criteria, Mapping) and criteria.get("Filters"):
        yield invalid(
            ("TumblingWindowInSeconds",),
            "TumblingWindowInSeconds cannot be combined with FilterCriteria",
            "leave one of them out",
        )


def _position_problems(fields: Mapping[str, object], kind: SourceKind) -> Iterator[FieldProblem]:
    """CFG-8, CFG-35."""
    position, time = fields.get("StartingPosition"), fields.get("StartingPositionTimestamp")
    if position == "AT_TIMESTAMP" and kind is SourceKind.DYNAMODB:
        message = f"Unsupported starting position for arn type: {fields['EventSourceArn']}"
        yield invalid(("StartingPosition",), message, "allowed: LATEST or TRIM_HORIZON")
    elif position == "AT_TIMESTAMP" and time is None:
        message = "StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp"
        yield invalid(("StartingPositionTimestamp",), message, f"allowed: {_TIMES}")
    elif kind is SourceKind.KINESIS and position in ("LATEST", "TRIM_HORIZON") and time is not None:
        message = f"StartingPositionTimestamp is for StartingPosition AT_TIMESTAMP, not for {position}"
        yield invalid(("StartingPositionTimestamp",), message, "leave one of them out")
