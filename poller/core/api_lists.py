"""ListEventSourceMappings: which mappings a list is of, and how it is cut into pages (API-13)."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from poller.core.api_answers import Refused, refused
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_arns import parse_source_arn
from poller.core.mapping_names import MAPPING_UUID
from poller.core.mapping_shapes import FieldProblem, quote
from poller.core.mapping_targets import LambdaTarget, lambda_arn, parse_target

MOST: Final = 100
"""Mappings on a page, whatever MaxItems says."""


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, and what asks for the rest: None at the end."""

    mappings: tuple[EventSourceMapping, ...]
    marker: str | None


def page(query: Mapping[str, str], mappings: Iterable[EventSourceMapping]) -> Page | Refused:
    """What a query's EventSourceArn, FunctionName, Marker and MaxItems ask for; an empty one asks for nothing.

    By UUID, so that a mapping that is made or deleted meanwhile moves no other one to another page.
    """
    most = _most(query.get("MaxItems", ""))
    after = _read_marker(query.get("Marker", ""))
    if isinstance(most, Refused):
        return most
    if isinstance(after, Refused):
        return after
    source, function = query.get("EventSourceArn", ""), query.get("FunctionName", "")
    wanted = sorted(
        (
            mapping
            for mapping in mappings
            if mapping.uuid > after
            and source in {"", mapping.arn.text}
            and (not function or _calls(mapping, function))
        ),
        key=lambda mapping: mapping.uuid,
    )
    rest = len(wanted) > most
    return Page(tuple(wanted[:most]), _marker(wanted[most - 1].uuid) if rest else None)


def _calls(mapping: EventSourceMapping, function: str) -> bool:
    """By any of a Lambda function's names, with its qualifier (CFG-52, CFG-53), or by a target's own words."""
    if function in {mapping.function_name, mapping.function_arn}:
        return True
    target, source = parse_target(function), parse_source_arn(mapping.arn.text)
    if not isinstance(target, LambdaTarget) or isinstance(source, FieldProblem):
        return False
    return lambda_arn(target, source) == mapping.function_arn


def _most(text: str) -> int | Refused:
    if not text:
        return MOST
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        return refused("SerializationException", f"MaxItems: {quote(text)} is not a whole number.")
    number = int(text)
    if not 1 <= number <= 10_000:
        limit = "greater than or equal to 1" if number < 1 else "less than or equal to 10000"
        return refused(
            "ValidationException",
            f"1 validation error detected: Value '{number}' at 'maxItems' failed to satisfy constraint:"
            f" Member must have value {limit}",
        )
    return min(number, MOST)


def _marker(uuid: str) -> str:
    return base64.urlsafe_b64encode(uuid.encode()).decode()


def _read_marker(text: str) -> str | Refused:
    """The UUID behind which the page begins; an empty one for the first page."""
    if not text:
        return ""
    try:
        uuid = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        uuid = ""
    if MAPPING_UUID.fullmatch(uuid) is None:
        return refused("InvalidParameterValueException", f"{quote(text)} is not a Marker that a list has given.")
    return uuid
