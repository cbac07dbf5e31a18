"""A row under KCL's names: what it looks like, that it comes back, and which items are no rows."""

import json
from typing import Any

import pytest

from poller.core.lease_items import from_item, lease_from, to_item
from poller.core.leases import Lease

FULL = Lease(
    key="shardId-000000000001",
    checkpoint="9" * 129,
    owner="host:1:né",
    counter=12,
    sub_sequence=3,
    switches=2,
    parents=("shardId-b", "shardId-a"),
    children=("shardId-c",),
    hash_start="0",
    hash_end="340282366920938463463374607431768211455",
    tenure="t",
    start=1700000000.123456,
    progress='{"heads":[]}',
    ended_at=1700000001.0,
    starting="495",
)


def test_the_names_are_those_of_kcl() -> None:
    """Also that parents are a set of strings under a singular name, and that ours have a prefix."""
    assert to_item(FULL) == {
        "leaseKey": {"S": "shardId-000000000001"},
        "leaseOwner": {"S": "host:1:né"},
        "leaseCounter": {"N": "12"},
        "checkpoint": {"S": "9" * 129},
        "checkpointSubSequenceNumber": {"N": "3"},
        "ownerSwitchesSinceCheckpoint": {"N": "2"},
        "parentShardId": {"SS": ["shardId-b", "shardId-a"]},
        "childShardIds": {"SS": ["shardId-c"]},
        "startingHashKey": {"S": "0"},
        "endingHashKey": {"S": "340282366920938463463374607431768211455"},
        "esm_tenure": {"S": "t"},
        "esm_start": {"N": "1700000000.123456"},
        "esm_progress": {"S": '{"heads":[]}'},
        "esm_ended": {"N": "1700000001.0"},
        "esm_starting": {"S": "495"},
    }


def test_what_is_empty_is_left_out_and_zeros_are_not() -> None:
    """KCL never writes empty texts and sets, and always its counters."""
    assert to_item(Lease("s", "TRIM_HORIZON")) == {
        "leaseKey": {"S": "s"},
        "leaseCounter": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
    }


@pytest.mark.parametrize("lease", [FULL, Lease("s", "LATEST", start=0.0)])
def test_a_row_comes_back(lease: Lease) -> None:
    assert from_item(json.loads(json.dumps(to_item(lease)))) == lease


def test_rows_that_kcl_wrote() -> None:
    """Of version 1 (no hash range) and of 3.5 (its own attributes beside)."""
    old = {
        "leaseKey": {"S": "shardId-1"},
        "leaseOwner": {"S": "worker"},
        "leaseCounter": {"N": "7"},
        "checkpoint": {"S": "495"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "parentShardId": {"SS": ["shardId-0"]},
    }
    lease = Lease("shardId-1", "495", "worker", 7, parents=("shardId-0",))
    assert from_item(old) == lease
    assert from_item(old | {"entityType": {"S": "LEASE"}, "throughputKBps": {"N": "1.5"}}) == lease


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"leaseKey": None}, "it has no leaseKey"),
        ({"leaseKey": {"S": ""}}, "it has no leaseKey"),
        ({"checkpoint": None}, "it has no checkpoint"),
        ({"leaseCounter": None}, "it has no leaseCounter"),
        ({"leaseCounter": {"N": "x"}}, "its leaseCounter is no number"),
        ({"leaseCounter": {"N": "1.5"}}, "its leaseCounter is no number"),
        ({"leaseCounter": {"S": "1"}}, "its leaseCounter is not of the type N"),
        ({"leaseCounter": {"N": None}}, "its leaseCounter is no number"),
        ({"parentShardId": {"L": []}}, "its parentShardId is not of the type SS"),
        ({"parentShardId": {"SS": "shardId-0"}}, "its parentShardId is no SS"),
        ({"parentShardId": {"SS": [1]}}, "its parentShardId is no SS"),
        ({"esm_start": {"N": "nan"}}, "its esm_start is no N"),
        ({"checkpoint": {"S": 5}}, "its checkpoint is no S"),
        ({"entityType": {"S": "LEADER"}}, "none of a shard's"),
    ],
)
def test_what_is_no_row(change: dict[str, Any], words: str) -> None:
    """A sentence, never a row with something made up."""
    item = {name: value for name, value in (to_item(FULL) | change).items() if value is not None}
    with pytest.raises(ValueError) as caught:
        from_item(item)
    assert words in str(caught.value)


def test_plain_values() -> None:
    """Integers where a time is meant are fine; None is not there."""
    values = {"leaseKey": "s", "checkpoint": "LATEST", "leaseCounter": 0, "leaseOwner": None, "esm_start": 5}
    assert lease_from(values) == Lease("s", "LATEST", start=5)
