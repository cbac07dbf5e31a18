"""From what a user names, a mapping of the file or an ARN, to an EventSourceMapping."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from poller.config import Configuration, load
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.mapping_shapes import dotted
from poller.core.model import SourceKind
from poller.errors import ConfigurationError
from poller.kept import with_kept
from poller.settings import environment

_NOBODY = "python:nobody:calls_this"  # a mapping must name a function; what only looks calls none


def loaded(path: Path) -> Configuration:
    """The file's mappings, and those that the control API has left beside them. Raises ConfigurationError,
    StoreError.
    """
    return with_kept(load(path, environment()))


def mapping_named(configuration: Configuration, name: str) -> EventSourceMapping:
    """The mapping of that Name. Raises ConfigurationError, saying which there are."""
    for mapping in configuration.mappings:
        if mapping.name == name:
            return mapping
    names = [mapping.name for mapping in configuration.mappings]
    meant = get_close_matches(name, names, 1)
    hint = f"did you mean {meant[0]!r}?" if meant else f"there are {', '.join(names) or 'none'}."
    raise ConfigurationError(f"There is no mapping {name!r} in {configuration.file}: {hint}")


def queue_mapping(configuration: Configuration, name: str, instead: str) -> EventSourceMapping:
    """The same for a mapping of a queue; `instead` says what to do with a stream's."""
    mapping = mapping_named(configuration, name)
    if mapping.source is not SourceKind.SQS:
        raise ConfigurationError(f"The mapping {name!r} reads a stream, which has no dead-letter queue: {instead}")
    return mapping


def bare_mapping(arn: str, patterns: Sequence[str] = (), option: str = "SOURCE") -> EventSourceMapping:
    """A source that somebody only looks at: its records as a mapping with these filters would see them.

    `option` is what the user gave the ARN with. Raises ConfigurationError.
    """
    fields: dict[str, object] = {"EventSourceArn": arn, "FunctionName": _NOBODY, "Name": "look"}
    if patterns:
        fields["FilterCriteria"] = {"Filters": [{"Pattern": pattern} for pattern in patterns]}
    if ":sqs:" not in arn:
        fields["StartingPosition"] = "TRIM_HORIZON"
    parsed = parse_mapping(fields)
    if not isinstance(parsed, Invalid):
        return parsed
    told = [
        f"{option if dotted(problem.path) == 'EventSourceArn' else '--filter'}: {problem.sentence}"
        for problem in parsed.problems
    ]
    raise ConfigurationError("\n".join(told))
