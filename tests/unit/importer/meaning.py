"""What a written poller.yaml means, and the templates that the tests of `poller import` read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poller.config import Configuration, parse
from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.importer.file import Imported, import_listing, import_template

HERE = Path(__file__).parent
PLACE = {"AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012"}
ARN = "arn:aws:{}:eu-west-1:123456789012:{}".format


def meaning(text: str, **environment: str) -> list[EventSourceMapping]:
    """The mappings of the file, as `poller check` reads them."""
    result = parse(text, "poller.yaml", environment)
    assert isinstance(result, Configuration), (result, text)
    return list(result.mappings)


def mapping(**fields: Any) -> EventSourceMapping:
    """A mapping made by hand."""
    made = parse_mapping(fields)
    assert isinstance(made, EventSourceMapping), made
    return made


def template(
    path: Path, text: str, given: Mapping[str, str] = PLACE, *, sam: bool = True, local: bool = False
) -> Imported:
    """The import of a template that a test writes itself, into `path`."""
    path.write_text(text, encoding="utf-8")
    return import_template(path, given, sam=sam, local=local)


def listing(path: Path, text: str) -> Imported:
    """The same for an answer of AWS."""
    path.write_text(text, encoding="utf-8")
    return import_listing(path)
