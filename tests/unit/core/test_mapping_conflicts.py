"""Which mappings cannot live side by side, one by one as the control API asks (CFG-51, CFG-52)."""

from dataclasses import replace

import pytest

from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.mapping_conflicts import find_conflict

LOW, MIDDLE, HIGH = (f"{digit * 8}-2222-4333-8444-555555555555" for digit in "159")


def mapping(name: str, source: str, function: str, uuid: str) -> EventSourceMapping:
    fields = {
        "Name": name,
        "EventSourceArn": f"arn:aws:sqs:eu-west-1:123456789012:{source}",
        "FunctionName": f"python:shop:{function}",
    }
    parsed = parse_mapping(fields)
    assert isinstance(parsed, EventSourceMapping), parsed
    return replace(parsed, uuid=uuid)


@pytest.mark.parametrize("uuid", [LOW, HIGH])
@pytest.mark.parametrize("near", ["a", "z"])
def test_one_source_with_one_function_only_once(uuid: str, near: str) -> None:
    """CFG-51, CFG-52: whichever has the lower UUID, and whatever others are there."""
    new = mapping("new", "m", "m", MIDDLE)
    others = [mapping("b", "m", near, LOW[:-1] + "0"), mapping("c", near, "m", HIGH[:-1] + "0")]
    assert find_conflict(new, others) is None
    found = find_conflict(new, [*others, mapping("old", "m", "m", uuid)])
    assert found is not None
    assert (found.path, found.code) == (("FunctionName",), "ResourceConflictException")
    assert f"existing mapping with UUID {uuid}" in found.message


@pytest.mark.parametrize("uuid", [LOW, HIGH])
def test_a_name_only_once(uuid: str) -> None:
    """CFG-51: it is how logs and metrics tell mappings apart."""
    new = mapping("m", "new", "new", MIDDLE)
    others = [mapping("a", "b", "b", LOW[:-1] + "0"), mapping("z", "c", "c", HIGH[:-1] + "0")]
    assert find_conflict(new, others) is None
    found = find_conflict(new, [*others, mapping("m", "d", "d", uuid)])
    assert found is not None
    assert (found.path, found.code) == (("Name",), "ResourceConflictException")
    assert uuid in found.message


def test_a_mapping_is_in_nobodys_way_twice() -> None:
    """CFG-55: not in its own when it is changed, either."""
    old = mapping("m", "m", "m", MIDDLE)
    assert find_conflict(replace(old, batch_size=5), [old]) is None
    assert find_conflict(old, []) is None
