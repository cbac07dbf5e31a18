"""poller.yaml as a JSON Schema (draft 2020-12), which an editor completes and marks by: `poller schema`.

Made from what validates the file, the table of core/mapping_rules.py and the models of config_shape.py, so that a
field can be neither forgotten nor told otherwise. Rules between fields are not in it: `poller check` knows those.
"""

from typing import Any

from poller.config_shape import MAPPINGS, FileShape
from poller.core.mapping_rules import FIELDS, REQUIRED
from poller.core.mapping_schema import Schema, fillable, optional
from poller.core.model import SourceKind

_MAPPING = "EventSourceMapping"


def make_schema() -> Schema:
    """The schema of the whole file; each call makes its own."""
    model = FileShape.model_json_schema()
    settings = _plain(model["properties"]["Settings"], model["$defs"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "poller.yaml",
        "type": "object",
        "additionalProperties": False,
        "required": model["required"],
        "properties": {
            "Settings": optional(settings),
            MAPPINGS: {"type": "array", "items": {"$ref": f"#/$defs/{_MAPPING}"}},
        },
        "$defs": {_MAPPING: _mapping()},
    }


def _plain(schema: Schema, models: dict[str, Any]) -> Schema:
    """A field of pydantic's schema in the form of this house: models where they are used, all of them fillable."""
    if "$ref" in schema:
        schema = models[schema["$ref"].rpartition("/")[2]] | {"default": schema.get("default")}
    if "anyOf" in schema and {"type": "null"} in schema["anyOf"]:
        schema = schema["anyOf"][0]
    told = {key: value for key, value in schema.items() if key != "title" and (key, value) != ("default", None)}
    if "properties" in told:
        told.pop("default", None)
        told["properties"] = {name: optional(_plain(inner, models)) for name, inner in told["properties"].items()}
    return told


def _mapping() -> Schema:
    """Every field that some source takes; for each source, those that it does not, and those that it must have."""
    properties = {name: _field(name, REQUIRED[None]) for name, field in FIELDS.items() if field.sources}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(REQUIRED[None]),
        "properties": properties,
        "allOf": [_of_source(source) for source in SourceKind],
    }


def _field(name: str, required: tuple[str, ...]) -> Schema:
    schema = FIELDS[name].shape.schema
    return fillable(schema) if name in required else optional(schema)


def _of_source(source: SourceKind) -> Schema:
    """What the ARN alone decides, which has our own word for the source in it. One that a variable is to fill in
    may be any source's.
    """
    arn = {"type": "string", "pattern": f"^arn:[^:]*:{source.value}:"}
    foreign = {
        name: {"type": "null"} for name, field in FIELDS.items() if field.sources and source not in field.sources
    }
    must = {name: _field(name, REQUIRED[source]) for name in REQUIRED[source] if name not in REQUIRED[None]}
    then: Schema = {"required": list(REQUIRED[source]), "properties": foreign | must}
    return {"if": {"properties": {"EventSourceArn": arn}, "required": ["EventSourceArn"]}, "then": then}
