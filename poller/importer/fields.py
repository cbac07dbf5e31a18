"""Values of fields as an import meets them: texts that are numbers, blanks for lists and maps, and samples."""

import re
from collections.abc import Mapping

from poller.core.mapping_shapes import Path
from poller.core.model import SourceKind
from poller.importer.values import Text, Value

_WHOLE = {
    "BatchSize", "MaximumBatchingWindowInSeconds", "ParallelizationFactor", "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts", "TumblingWindowInSeconds", "MaximumConcurrency", "MinimumPollers", "MaximumPollers",
}  # fmt: skip
NUMBERS = _WHOLE | {"StartingPositionTimestamp", "TimeoutInSeconds"}
FLAGS = {"Enabled", "BisectBatchOnFunctionError"}
_SAMPLES: Mapping[str | int, object] = {  # legal wherever the field is, beside any other fields
    **dict.fromkeys(NUMBERS, 1),
    **dict.fromkeys(FLAGS, False),
    "MaximumRecordAgeInSeconds": 60,
    "MaximumConcurrency": 2,
    "MinimumPollers": 2,
    "MaximumPollers": 200,
    "TumblingWindowInSeconds": 0,
    "FunctionName": "function",
    "StartingPosition": "LATEST",
    "Destination": "arn:aws:sqs:us-east-1:000000000000:failed",
    "Pattern": '{"eventName":["x"]}',
    "FunctionResponseTypes": "ReportBatchItemFailures",
    "Metrics": "EventCount",
    "KMSKeyArn": "",
}
_SOURCES = {
    SourceKind.SQS: "arn:aws:sqs:us-east-1:000000000000:queue",
    SourceKind.KINESIS: "arn:aws:kinesis:us-east-1:000000000000:stream/stream",
    SourceKind.DYNAMODB: "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000",
}


def shaped(name: str, value: Value) -> Value:
    """A text that stands for a list or a map, put where the text in it would stand: a variable holds only text."""
    if isinstance(value, Text):
        shapes: dict[str, Value] = {
            "FilterCriteria": {"Filters": [{"Pattern": value}]},
            "DestinationConfig": {"OnFailure": {"Destination": value}},
            "ScalingConfig": {"MaximumConcurrency": value},
            "FunctionResponseTypes": [value],
        }
        return shapes.get(name, value)
    if not isinstance(value, dict):
        return value
    filters, failure = value.get("Filters"), value.get("OnFailure")
    if name == "FilterCriteria" and isinstance(filters, Text | list):
        return value | {
            "Filters": [_filter(member) for member in (filters if isinstance(filters, list) else [filters])]
        }
    if name == "DestinationConfig" and isinstance(failure, Text):
        return value | {"OnFailure": {"Destination": failure}}
    return value


def _filter(value: Value) -> Value:
    """A pattern's line breaks are between its words, never in them: JSON has none in a text."""
    if isinstance(value, Text):
        return {"Pattern": value}
    pattern = value.get("Pattern") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(pattern, str):
        return value | {"Pattern": re.sub(r"[ \t\r]*\n\s*", " ", pattern).strip()}
    return value


def typed(name: str, value: Value) -> Value:
    """Numbers and flags that a template may write as texts, as CloudFormation takes them."""
    match value:
        case dict():
            return {key: typed(key, member) for key, member in value.items()}
        case str() if name in _WHOLE and re.fullmatch(r"-?[0-9]{1,18}", value):
            return int(value)
        case str() if name in NUMBERS and re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,9})?", value):
            return float(value) if "." in value else int(value)
        case str() if name in FLAGS and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        case float() if name in NUMBERS and value.is_integer():
            return int(value)
        case _:
            return value


def sampled(fields: dict[str, Value], kind: SourceKind | None) -> tuple[dict[str, object], list[Path]]:
    """The fields with something legal in the place of each text with blanks, and the paths of those places.

    `kind` is the kind of the source, if it is known: only streams have a StartingPosition.
    """
    likely = SourceKind.KINESIS if "StartingPosition" in fields else SourceKind.SQS
    blanks: list[Path] = []

    def sample(value: Value, path: Path) -> object:
        match value:
            case dict():
                return {key: sample(member, (*path, key)) for key, member in value.items()}
            case list():
                return [sample(member, (*path, index)) for index, member in enumerate(value)]
            case Text():
                blanks.append(path)
                if path == ("EventSourceArn",):
                    return value.sample or _SOURCES[kind or likely]
                name = next(part for part in reversed(path) if isinstance(part, str))
                return _SAMPLES.get(name, value.sample) if value.whole else value.sample
            case _:
                return value

    return {name: sample(value, (name,)) for name, value in fields.items()}, blanks
