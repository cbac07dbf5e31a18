"""The event source mappings of a CloudFormation template, those of SAM's functions among them.

Properties:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
"""

from collections.abc import Iterator
from dataclasses import replace

from poller.core.mapping_shapes import Path, quote
from poller.importer.functions import function_behind, functions_by_name, timeout_of, with_local_code
from poller.importer.mapping import Draft, Note
from poller.importer.sam import events_of
from poller.importer.template import Template, as_map
from poller.importer.values import Text, Value
from poller.yamltext import Document

_STACKS = ("AWS::CloudFormation::Stack", "AWS::Serverless::Application")


def read_template(
    template: Template, document: Document, *, sam: bool, local: bool
) -> tuple[list[Draft], list[Note]]:
    """All mappings of a template, and what of it was not taken. `sam`: functions of SAM are read too; `local`:
    Python functions are called in the poller's process, not on Lambda.
    """
    drafts: list[Draft] = []
    notes: list[Note] = []
    by_name = functions_by_name(template)
    for resource, declared in template.resources.items():
        for found in _found(template, document, resource, as_map(declared), by_name, sam=sam):
            if isinstance(found, Note):
                notes.append(found)
                continue
            conditional = _under_condition(template, found, as_map(declared).get("Condition"), notes)
            if conditional is not None:
                drafts.append(conditional)
    for index, draft in enumerate(drafts):
        if draft.function is not None:
            drafts[index] = replace(draft, timeout=timeout_of(template, draft.function))
    if local:
        with_local_code(template, drafts, notes)
    return drafts, notes


def _found(
    template: Template,
    document: Document,
    resource: str,
    declared: dict[str, object],
    by_name: dict[str, str],
    *,
    sam: bool,
) -> Iterator[Draft | Note]:
    line = document.line(("Resources", resource))
    kind = declared.get("Type")
    if kind == "AWS::Lambda::EventSourceMapping":
        yield _mapping(template, document, resource, declared, by_name)
    elif kind == "AWS::Serverless::Function" and sam:
        yield from events_of(template, document, resource)
    elif kind == "AWS::Serverless::Function":
        yield Note(line, resource, "not taken: this is a function of SAM, which `poller import sam` reads")
    elif kind in _STACKS:
        yield Note(line, resource, "not taken: this is a stack of its own; import its template by itself")
    elif resource.startswith("Fn::"):
        yield Note(line, "Resources", f"not taken: {quote(resource)} makes resources when the stack is deployed")


def _mapping(
    template: Template, document: Document, resource: str, declared: dict[str, object], by_name: dict[str, str]
) -> Draft | Note:
    path: Path = ("Resources", resource)
    properties = declared.get("Properties")
    fields = template.resolve(properties)
    if not isinstance(fields, dict):
        return Note(document.line(path), resource, "not taken: its Properties are no map that could be read")
    lines = {name: document.line((*path, "Properties", name)) for name in fields}
    if "KmsKeyArn" in fields:
        fields["KMSKeyArn"] = fields.pop("KmsKeyArn")
        lines["KMSKeyArn"] = lines.pop("KmsKeyArn")
    if "Tags" in fields:
        fields["Tags"] = _tags(fields["Tags"])
    function = function_behind(template, as_map(properties).get("FunctionName"), by_name)
    return Draft(resource, document.line(path), fields, lines, function=function)


def _tags(value: Value) -> Value:
    """CloudFormation lists keys and values, the API has a map of them."""
    if not isinstance(value, list):
        return value
    tags: dict[str, Value] = {}
    for tag in value:
        if not isinstance(tag, dict) or not isinstance(tag.get("Key"), str):
            return value
        tags[str(tag["Key"])] = tag.get("Value")
    return tags


def _under_condition(template: Template, draft: Draft, name: object, notes: list[Note]) -> Draft | None:
    """None for a mapping that is not made because its condition does not hold."""
    if name is None:
        return draft
    holds = template.condition(name)
    if isinstance(holds, Text):
        why = holds.blanks[0].why
        notes.append(draft.note((), f"it is not known whether the condition {quote(name)} holds: {why}"))
        comment = f"Only if the condition {quote(name)} holds: {why}."
        return replace(draft, comments=(*draft.comments, comment))
    if not holds:
        sentence = f"not written: the condition {quote(name)} does not hold"
        notes.append(draft.note((), sentence, complete=True))
        return None
    return draft
