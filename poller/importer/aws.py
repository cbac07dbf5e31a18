"""Event source mappings as Lambda tells them: ListEventSourceMappings and GetEventSourceMapping, JSON or YAML.

Fields: https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from collections import Counter
from typing import cast

from poller.core.mapping_shapes import Path, quote
from poller.errors import ConfigurationError
from poller.importer.mapping import Draft, Note
from poller.importer.values import Value, blank
from poller.yamltext import Document

_LIST = "EventSourceMappings"
_TOLD_ONLY = {  # about the mapping on AWS, not what it shall do
    "UUID", "EventSourceMappingArn", "LastModified", "LastProcessingResult", "State", "StateTransitionReason",
}  # fmt: skip
_DEFAULTS: dict[str, object] = {  # as AWS writes that a field is not set, or set to what it is anyhow
    "BisectBatchOnFunctionError": False,
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}


def read_listing(document: Document) -> tuple[list[Draft], list[Note]]:
    """A draft for each mapping of an answer, and what of the answer was not taken.

    Raises ConfigurationError if the values are no such answer.
    """
    values = document.value
    base: Path = ()
    if isinstance(values, list):
        mappings, listed = values, True
    elif isinstance(values, dict) and isinstance(values.get(_LIST), list):
        mappings, base, listed = cast("list[object]", values[_LIST]), (_LIST,), True
    elif isinstance(values, dict) and ("UUID" in values or "EventSourceArn" in values):
        mappings, listed = [values], False
    else:
        raise ConfigurationError(
            f"this holds no {_LIST}: it shall be the output of `aws lambda list-event-source-mappings`"
        )
    notes = []
    if isinstance(values, dict) and listed:
        notes = [
            Note(document.line((name,)), name, "the list goes on behind this one: import the rest of it as well")
            for name in ("NextMarker", "NextToken")
            if values.get(name)
        ]
    names = _names(mappings)
    drafts = []
    for index, fields in enumerate(mappings):
        path: Path = (*base, index) if listed else ()
        if not isinstance(fields, dict):
            notes.append(Note(document.line(path), f"[{index}]", f"not taken: {quote(fields)} is not a mapping"))
            continue
        draft = _draft(document, path, fields, names[index], listed=listed)
        if fields.get("State") == "Deleting":
            notes.append(draft.note((), "not written: it is being deleted", complete=True))
            continue
        drafts.append(draft)
    return drafts, notes


def _names(mappings: list[object]) -> list[str]:
    """The name of each: those of its source and its function, and where several have them the UUID's beginning.

    Positions of streams are kept under the name, so it depends neither on the order, which AWS does not promise,
    nor on other mappings as far as that can be.
    """
    names = [f"{_last(fields, 'EventSourceArn')}-{_last(fields, 'FunctionArn')}" for fields in mappings]
    uuids = [str(fields.get("UUID"))[:8] if isinstance(fields, dict) else "" for fields in mappings]
    times = Counter(names)
    return [name if times[name] == 1 else f"{name}-{uuid}" for name, uuid in zip(names, uuids, strict=True)]


def _last(fields: object, name: str) -> str:
    """The name in an ARN: of the queue, stream, table or function."""
    arn = fields.get(name) if isinstance(fields, dict) else None
    parts = arn.split(":", 5) if isinstance(arn, str) else []
    if len(parts) < 6:
        return "mapping"
    names = parts[5].removeprefix("function:").replace(":", "-").split("/")
    return names[1] if len(names) > 1 else names[0]


def _draft(document: Document, path: Path, given: dict[str, object], name: str, *, listed: bool) -> Draft:
    fields = {
        key: cast("Value", value)
        for key, value in given.items()
        if key not in _TOLD_ONLY and not _default(key, value) and key != "FilterCriteriaError"
    }
    lines = {key: document.line((*path, key)) for key in given}
    if "FunctionArn" in fields:
        fields["FunctionName"] = fields.pop("FunctionArn")
        lines["FunctionName"] = lines["FunctionArn"]
    if given.get("State") in ("Disabled", "Disabling"):
        fields["Enabled"] = False
    hidden = _hidden_filters(given, listed=listed)
    if hidden:
        fields["FilterCriteria"] = {"Filters": [{"Pattern": blank(hidden)}]}
    return Draft(name, document.line(path), fields, lines)


def _default(name: str, value: object) -> bool:
    """Whether the field says nothing; FilterCriteria and DestinationConfig may be maps with nothing in them."""
    if value is None or value in ([], {}, ""):
        return True
    if isinstance(value, dict) and all(_default("", member) for member in value.values()):
        return True
    return name in _DEFAULTS and value == _DEFAULTS[name] and type(value) is type(_DEFAULTS[name])


def _hidden_filters(given: dict[str, object], *, listed: bool) -> str:
    """CFG-62: why filters that the mapping has, or may have, are not in the answer."""
    if given.get("FilterCriteria"):
        return ""
    if given.get("FilterCriteriaError"):
        return "its filters are encrypted, and whoever asked may not decrypt them"
    if given.get("KMSKeyArn") and listed:
        return "its filters are encrypted, and left out of lists: get-event-source-mapping tells them"
    return ""
