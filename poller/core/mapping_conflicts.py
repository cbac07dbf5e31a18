"""Which valid mappings cannot live side by side (CFG-51, CFG-52)."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from poller.core.mapping import EventSourceMapping
from poller.core.mapping_shapes import FieldProblem
from poller.core.mapping_targets import function_reference, told
from poller.core.model import SourceKind

Reference: TypeAlias = tuple[str, str]


def find_conflicts(mappings: Sequence[EventSourceMapping]) -> tuple[FieldProblem, ...]:
    """Mappings that cannot live side by side; each path starts with the place of the later one in the list.

    CFG-51, CFG-52: one source with one function reference only once; what the qualifier says is part of it. A name
    only once too: it is how logs and metrics tell mappings apart.
    """
    problems = []
    names: dict[str, int] = {}
    pairs: dict[Reference, int] = {}
    for index, mapping in enumerate(mappings):
        first = names.setdefault(mapping.name, index)
        if first != index:
            text = f"the name {mapping.name!r} is taken by EventSourceMappings[{first}]"
            problems.append(
                FieldProblem((index, "Name"), "ResourceConflictException", text, "give each mapping another Name")
            )
        first = pairs.setdefault(_reference(mapping), index)
        if first != index:
            text = _exists(mapping, mappings[first].uuid)
            advice = f"it is EventSourceMappings[{first}], {mappings[first].name!r}"
            problems.append(FieldProblem((index, "FunctionName"), "ResourceConflictException", text, advice))
    return tuple(problems)


def find_conflict(mapping: EventSourceMapping, others: Iterable[EventSourceMapping]) -> FieldProblem | None:
    """The same of one mapping with those that are there; itself, by its UUID, is none of them."""
    there = [other for other in others if other.uuid != mapping.uuid]
    for other in there:
        if _reference(other) == _reference(mapping):
            return FieldProblem(("FunctionName",), "ResourceConflictException", _exists(mapping, other.uuid))
    for other in there:
        if other.name == mapping.name:
            text = f"the name {mapping.name!r} is taken by the mapping with UUID {other.uuid}"
            return FieldProblem(("Name",), "ResourceConflictException", text, "give each mapping another Name")
    return None


def _reference(mapping: EventSourceMapping) -> Reference:
    return mapping.arn.text, function_reference(mapping.function_name, mapping.function_arn)


def _exists(mapping: EventSourceMapping, uuid: str) -> str:
    arn, function = mapping.arn.text, told(mapping.function_name)
    if mapping.source is SourceKind.SQS:
        which = f'An event source mapping with SQS arn (" {arn} ") and function (" {function} ") already exists.'
    else:
        which = f'The event source arn (" {arn} ") and function (" {function} ") provided mapping already exists.'
    return f"{which} Please update or delete the existing mapping with UUID {uuid}"
