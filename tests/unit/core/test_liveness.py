"""When a mapping is stuck, and when it only looks so."""

from dataclasses import replace

import pytest

from poller.core.liveness import INVOCATION_GRACE, POLL_DEADLINE, SHARD_DEADLINE, LivenessFacts, stuck
from poller.core.model import MappingState

HEALTHY = LivenessFacts(
    state=MappingState.ENABLED,
    finished=False,
    polling=True,
    waiting_since=100.0,
    last_problem=None,
    invoking_since=None,
    invocation_timeout=30.0,
    crashed=None,
)


def test_a_mapping_that_polled_within_its_deadline_is_alive():
    assert stuck(HEALTHY, 100.0 + POLL_DEADLINE) is None


def test_a_mapping_without_a_successful_poll_is_stuck_and_tells_the_last_problem():
    facts = replace(HEALTHY, last_problem="unreachable: connection refused")

    reason = stuck(facts, 147.0)

    assert reason == "no successful ReceiveMessage for 47 s: unreachable: connection refused"


def test_a_source_may_be_silent_for_three_quarters_of_a_minute():
    """SQS-1: two long polls, and a little for the way."""
    assert stuck(HEALTHY, 145.0) is None
    assert stuck(HEALTHY, 145.1) is not None


def test_what_is_within_its_time_is_not_stuck():
    assert stuck(replace(HEALTHY, polling=False, invoking_since=100.0), 101.0) is None
    assert stuck(replace(HEALTHY, polling=False, silent=("shardId-1", 100.0)), 101.0) is None


def test_a_silent_source_is_told_too():
    assert stuck(HEALTHY, 146.0) == "no successful ReceiveMessage for 46 s: no answer and no error"


def test_a_mapping_with_every_slot_busy_is_not_stuck():
    assert stuck(replace(HEALTHY, polling=False), 100_000.0) is None


@pytest.mark.parametrize("state", [MappingState.CREATING, MappingState.ENABLING])
def test_a_mapping_that_never_begins_to_poll_is_stuck(state):
    facts = replace(HEALTHY, state=state, polling=False, last_problem="denied: no sqs:GetQueueAttributes")

    assert stuck(facts, 146.0) == "no successful ReceiveMessage for 46 s: denied: no sqs:GetQueueAttributes"


def test_an_invocation_far_over_its_timeout_is_stuck():
    facts = replace(HEALTHY, polling=False, invoking_since=100.0)
    deadline = 100.0 + 30.0 + INVOCATION_GRACE

    assert stuck(facts, deadline) is None
    assert stuck(facts, deadline + 1) == "an invocation has been running for 61 s, its timeout is 30 s"


@pytest.mark.parametrize("polling", [True, False])
def test_a_dead_driver_is_stuck_at_once(polling: bool):
    """Whatever it was at when it ended."""
    facts = replace(HEALTHY, polling=polling, crashed="KeyError: 7")
    assert stuck(facts, 100.0) == "its driver ended: KeyError: 7"


@pytest.mark.parametrize("state", [MappingState.DISABLING, MappingState.DISABLED, MappingState.DELETING])
def test_a_mapping_that_was_switched_off_is_never_stuck(state):
    facts = replace(HEALTHY, state=state, invoking_since=0.0, crashed="KeyError: 7")

    assert stuck(facts, 1_000_000.0) is None


def test_a_finished_mapping_is_never_stuck():
    assert stuck(replace(HEALTHY, finished=True, invoking_since=0.0), 1_000_000.0) is None


STREAM = replace(HEALTHY, operation="GetRecords")


def test_a_stream_none_of_whose_shards_is_read_is_stuck():
    """API-16: a source that is denied must not look alive for ever."""
    facts = replace(STREAM, last_problem="denied: no kinesis:GetRecords")

    assert stuck(facts, 100.0 + POLL_DEADLINE) is None
    assert stuck(facts, 147.0) == "no successful GetRecords for 47 s: denied: no kinesis:GetRecords"


def test_an_invocation_that_hangs_is_told_with_its_shard():
    facts = replace(STREAM, polling=False, invoking_since=100.0, invoking_shard="shard-7")

    assert stuck(facts, 161.0) == ("an invocation has been running for 61 s (shard shard-7), its timeout is 30 s")


def test_one_shard_that_nobody_reads_any_more_is_told_while_the_others_go_on():
    """STR-1: each shard is read independently, so the others' progress says nothing of it."""
    facts = replace(STREAM, silent=("shard-7", 100.0), waiting_since=100.0 + SHARD_DEADLINE)

    assert stuck(facts, 100.0 + SHARD_DEADLINE) is None
    assert stuck(facts, 101.0 + SHARD_DEADLINE) == "shard shard-7 should be read and was not heard of for 301 s"
