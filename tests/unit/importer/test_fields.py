"""Samples that stand for what is not known, while the rest of a mapping is judged."""

import pytest

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.mapping_rules import FIELDS
from poller.core.model import SourceKind
from poller.importer.fields import sampled
from poller.importer.values import MOST_TEXT, Text, Value, blank, joined


@pytest.mark.parametrize(
    ("fields", "told", "kind"),
    [
        ({}, None, SourceKind.SQS),
        ({"StartingPosition": "LATEST"}, None, SourceKind.KINESIS),
        ({"StartingPosition": "LATEST"}, SourceKind.DYNAMODB, SourceKind.DYNAMODB),
    ],
)
def test_an_unknown_source_is_judged_by_its_fields(
    fields: dict[str, Value], told: SourceKind | None, kind: SourceKind
) -> None:
    """Only streams have a StartingPosition (CFG-7)."""
    values, blanks = sampled({"EventSourceArn": blank("?"), "FunctionName": "f", **fields}, told)
    parsed = parse_mapping(values)
    assert isinstance(parsed, EventSourceMapping), parsed
    assert (parsed.source, blanks) == (kind, [("EventSourceArn",)])


@pytest.mark.parametrize("kind", list(SourceKind))
def test_every_field_of_a_source_may_be_unknown(kind: SourceKind) -> None:
    """A mapping of blanks alone breaks no rule across fields, so that no rule speaks of what nobody wrote."""
    skipped = {"Name", "Handler", "Poller", "ProvisionedPollerConfig", "MetricsConfig", "Tags"}
    skipped |= {"StartingPositionTimestamp", "DestinationConfig", "ScalingConfig", "FilterCriteria"}
    fields: dict[str, Value] = {
        name: blank("?") for name, field in FIELDS.items() if kind in field.sources and name not in skipped
    }
    fields["FunctionResponseTypes"] = [blank("?")]
    values, blanks = sampled(fields, kind)
    parsed = parse_mapping(values)
    assert isinstance(parsed, EventSourceMapping), parsed
    assert len(blanks) == len(fields)


def test_texts_have_an_end() -> None:
    assert joined(["x" * MOST_TEXT]) == "x" * MOST_TEXT
    long = joined(["x" * MOST_TEXT, "y"])
    assert isinstance(long, Text)
    assert long.blanks[0].why == "it is longer than 10000 characters"
