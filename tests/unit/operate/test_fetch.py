"""Records of a failure document's range, read again."""

from random import Random
from typing import Any

import pytest

from poller.core.failed_batch import FailedBatch
from poller.core.model import SourceKind, SourceProblem
from poller.errors import SourceError
from poller.operate.fetch import fetch_range
from tests.unit.runtime.stream_rig import ARN, StreamInMemory, stream_mapping


def failed(first: str, last: str) -> FailedBatch:
    return FailedBatch(SourceKind.KINESIS, ARN, "f", "shard-00", first, last, 3, "", {})


async def fetched(stream: StreamInMemory, first: str, last: str) -> list[str]:
    read: Any = await fetch_range(stream, failed(first, last), stream_mapping(), Random(1))
    return [record.sequence for record in read]


@pytest.mark.parametrize("method", ["iterator", "records"])
async def test_of_a_range_whose_beginning_is_gone_the_rest_is_read(method: str) -> None:
    """STR-25: DynamoDB refuses a position whose records are trimmed, and --whole-range takes what is left."""
    stream = StreamInMemory()
    stream.put("shard-00", *"abcd")
    numbers = [record["SequenceNumber"] for record in stream.shards["shard-00"].records]
    stream.failing[method] = [SourceError(SourceProblem.TRIMMED, "gone")]
    assert await fetched(stream, str(int(numbers[0]) - 1), numbers[2]) == numbers[:3]


async def test_an_iterator_that_is_too_old_goes_on_where_it_was() -> None:
    """STR-24, STR-23: and what throttles for a moment is asked again."""
    stream = StreamInMemory()
    stream.put("shard-00", *"abc")
    numbers = [record["SequenceNumber"] for record in stream.shards["shard-00"].records]
    stream.failing["records"] = [
        SourceError(problem, "later") for problem in (SourceProblem.EXPIRED, SourceProblem.THROTTLED)
    ]
    assert await fetched(stream, numbers[0], numbers[2]) == numbers


async def test_what_is_gone_altogether_is_no_record_and_ends() -> None:
    """STR-25: trimmed, or with its shard or stream."""
    stream = StreamInMemory()
    stream.failing["iterator"] = [SourceError(SourceProblem.TRIMMED, "gone")] * 2
    assert await fetched(stream, "1", "2") == []
    stream.failing["iterator"] = [SourceError(SourceProblem.MISSING, "gone")]
    assert await fetched(stream, "1", "2") == []
    stream.failing["iterator"] = [SourceError(SourceProblem.DENIED, "no")]
    with pytest.raises(SourceError):
        await fetched(stream, "1", "2")
