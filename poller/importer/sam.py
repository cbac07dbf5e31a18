"""The events of AWS::Serverless::Function that are event source mappings, as SAM makes them.

Properties: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-sqs.html,
...-kinesis.html and ...-dynamodb.html. The mapping is called as the resource that SAM makes of it: function and
event, so that a template and its transformed one give the same names.
"""

from collections.abc import Iterator

from poller.core.mapping_shapes import Path, quote
from poller.core.model import SourceKind
from poller.importer.mapping import Draft, Note
from poller.importer.resources import properties_of
from poller.importer.template import Template, as_map
from poller.importer.values import Value, joined
from poller.yamltext import Document

_EVENTS = {
    "SQS": (SourceKind.SQS, "Queue"),
    "Kinesis": (SourceKind.KINESIS, "Stream"),
    "DynamoDB": (SourceKind.DYNAMODB, "Stream"),
}
_OTHER_SOURCES = ("MSK", "SelfManagedKafka", "MQ", "DocumentDB")


def events_of(template: Template, document: Document, function: str) -> Iterator[Draft | Note]:
    """A draft for each mapping among a function's events, a note for each event that is none."""
    base: Path = ("Resources", function, "Properties", "Events")
    events = properties_of(template, function).get("Events")
    if events is None:
        return
    if not isinstance(events, dict):
        yield Note(document.line(base), f"{function}.Events", f"not taken: {quote(events)} is not a map of events")
        return
    for event, declared in events.items():
        path = (*base, event)
        kind = as_map(declared).get("Type")
        if not isinstance(kind, str) or kind not in _EVENTS:
            yield _refusal(document.line(path), f"{function}.{event}", kind)
            continue
        fields = template.resolve(as_map(declared).get("Properties", {}))
        if not isinstance(fields, dict):
            yield Note(document.line(path), f"{function}.{event}", "not taken: its Properties come from elsewhere")
            continue
        yield _draft(template, document, function, event, fields)


def _refusal(line: int, where: str, kind: object) -> Note:
    if kind in _OTHER_SOURCES:
        return Note(line, where, f"not taken: {kind} is a source that this poller does not read")
    sentence = f"not taken: nothing is polled for events of type {quote(kind)}"
    return Note(line, where, sentence, complete=isinstance(kind, str))


def _draft(template: Template, document: Document, function: str, event: str, fields: dict[str, Value]) -> Draft:
    path: Path = ("Resources", function, "Properties", "Events", event)
    kind, source = _EVENTS[str(as_map(as_map(properties_of(template, function)["Events"])[event])["Type"])]
    lines = {name: document.line((*path, "Properties", name)) for name in fields}
    for ours, theirs in (("EventSourceArn", source), ("KMSKeyArn", "KmsKeyArn")):
        if theirs in fields:
            fields[ours] = fields.pop(theirs)
            lines[ours] = lines.pop(theirs)
    failure = as_map(as_map(fields.get("DestinationConfig")).get("OnFailure"))
    failure.pop("Type", None)  # only says which policy SAM shall write
    fields["FunctionName"] = _target(template, function)
    return Draft(f"{function}{event}", document.line(path), fields, lines, (), kind, function)


def _target(template: Template, function: str) -> Value:
    """With AutoPublishAlias SAM maps the alias."""
    alias = template.text(properties_of(template, function).get("AutoPublishAlias"))
    name = template.attribute(function, "")
    return joined([name, ":", alias]) if alias else name
