"""What a Create or an Update makes of its fields: a mapping and what is kept of it, or a refusal; and what has to
be done so that a mapping that runs becomes another.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from poller.core.api_answers import Refused, refused, refused_fields
from poller.core.fact import Word
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.model import JsonObject, MappingState, SourceKind
from poller.core.wire_text import nested_too_deeply

_LONGEST_NAME: Final = 128
_FIXED: Final = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")
_CLEARABLE: Final = frozenset({
    "DestinationConfig", "FilterCriteria", "FunctionResponseTypes", "Handler", "KMSKeyArn", "MetricsConfig",
    "Poller", "ProvisionedPollerConfig", "ScalingConfig",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """A mapping as the API keeps it: `fields`, in AWS's names and as they were given, make `mapping`."""

    fields: JsonObject
    mapping: EventSourceMapping


def drafted(fields: object, uuid: str, taken: Collection[str] = ()) -> Draft | Refused:
    """The mapping that a Create asks for. `taken` are names that others have: where none is given it gets one that
    is free, and keeps that.
    """
    given = _plain(fields)
    if isinstance(given, Refused):
        return given
    draft = _parsed({name: value for name, value in given.items() if value is not None}, uuid, taken)
    if isinstance(draft, Refused):
        return draft
    name = draft.mapping.name
    return renamed(draft, name if len(name) <= _LONGEST_NAME else own_name(name, uuid))


def renamed(draft: Draft, name: str) -> Draft:
    """The same under another name, which is a label and no more."""
    return Draft({**draft.fields, "Name": name}, replace(draft.mapping, name=name))


def own_name(name: str, uuid: str) -> str:
    """A name like this one that no other mapping has."""
    return f"{name[: _LONGEST_NAME - 9]}-{uuid[:8]}"


def restored(fields: JsonObject, uuid: str) -> Draft | Refused:
    """The draft that was kept so; refused where this version of the rules has no such mapping any more."""
    return _parsed(fields, uuid)


def redrafted(old: Draft, fields: object) -> Draft | Refused:
    """CFG-55: what an Update makes of it. null leaves a field alone, and an empty value clears it where the API
    allows; all else is as in a Create, so that a mapping after any updates is one that could have been created.

    What an Update cannot change may be repeated. *Decision*: another value is refused; AWS's own does not look
    at it, and whoever wrote it meant something.
    """
    given = _plain(fields)
    if isinstance(given, Refused):
        return given
    merged, cleared = dict(old.fields), []
    for name, value in given.items():
        if value is None:
            continue
        if name in _FIXED or name == "Tags":
            if value != old.fields.get(name):
                advice = "use TagResource" if name == "Tags" else "delete the mapping and create another"
                return refused("ValidationException", f"{name} cannot be changed by an update: {advice}.")
        else:
            merged[name] = value
            if name in _CLEARABLE and _nothing(value):
                cleared.append(name)
    draft = _parsed(merged, old.mapping.uuid)
    if isinstance(draft, Refused) or not cleared:
        return draft
    # only what a Create takes for nothing clears: a misspelt member must not cost a mapping its destination
    return _parsed({name: value for name, value in merged.items() if name not in cleared}, old.mapping.uuid)


def retagged(old: Draft, tags: Mapping[str, object], without: Collection[str] = ()) -> Draft | Refused:
    """CFG-24: with these tags too, and without those."""
    wanted = {**old.fields.get("Tags", {}), **tags}
    given = _plain({**old.fields, "Tags": {key: value for key, value in wanted.items() if key not in without}})
    return given if isinstance(given, Refused) else _parsed(given, old.mapping.uuid)


def _parsed(fields: JsonObject, uuid: str, taken: Collection[str] = ()) -> Draft | Refused:
    mapping = parse_mapping(fields, taken)
    if isinstance(mapping, Invalid):
        return refused_fields(mapping.problems)
    return Draft(fields, replace(mapping, uuid=uuid))


def _plain(fields: object) -> JsonObject | Refused:
    """A copy that can be kept and told as JSON: whatever a client sends, nothing fails over it later."""
    if not isinstance(fields, Mapping):
        return refused("SerializationException", "The body of the request is not a JSON object.")
    if nested_too_deeply(fields):
        return refused("SerializationException", "The body of the request is nested too deeply.")
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
        text.encode()  # half of a character outside of the basic plane is no text
        plain: JsonObject = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return refused("SerializationException", "The body of the request holds what cannot be kept as JSON.")
    return plain


def _nothing(value: Any) -> bool:
    """Empty, or a block of which every member is: `{}`, `[]`, `""`, `{"OnFailure": {"Destination": ""}}`."""
    if isinstance(value, dict):
        return all(_nothing(member) for member in value.values())
    return value is None or value in ("", [])


class Step(Word):
    """What has to be done with a mapping that runs."""

    NOTHING = "nothing"
    PAUSE = "pause"
    RESUME = "resume"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a mapping becomes another; `state` is told while that is under way (API-3)."""

    step: Step
    state: MappingState


def plan(old: EventSourceMapping, new: EventSourceMapping) -> Plan:
    """API-3, API-7: settings that something runs by need it to be replaced; switching on and off does not."""
    told_only = replace(new, enabled=old.enabled, tags=old.tags, kms_key=old.kms_key, metrics=old.metrics)
    if told_only != old:
        return Plan(Step.REPLACE, _on_the_way(old, new))
    if old.enabled == new.enabled:
        return Plan(Step.NOTHING, _on_the_way(old, new))
    return Plan(Step.RESUME if new.enabled else Step.PAUSE, _on_the_way(old, new))


def first_state(mapping: EventSourceMapping) -> MappingState:
    """API-3: that of a mapping just created."""
    queue_at_rest = mapping.source is SourceKind.SQS and not mapping.enabled
    return MappingState.DISABLED if queue_at_rest else MappingState.CREATING


def _on_the_way(old: EventSourceMapping, new: EventSourceMapping) -> MappingState:
    if old.enabled != new.enabled:
        return MappingState.ENABLING if new.enabled else MappingState.DISABLING
    if not new.enabled and new.source is SourceKind.SQS:
        return MappingState.DISABLED
    return MappingState.UPDATING
