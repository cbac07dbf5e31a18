"""What Kinesis tells of streams and shards: descriptions, ListShards with its filters and pages."""

import base64
import binascii
from typing import Final

import orjson

from poller.core.model import Instant, JsonObject
from poller.testing.calls import AwsError
from poller.testing.kinesis_errors import invalid, number, text
from poller.testing.kinesis_reads import show_range
from poller.testing.kinesis_shard import Shard
from poller.testing.kinesis_stream import Stream

LARGEST_PAGE: Final = 1_000
_TOKEN_SECONDS: Final = 300.0
_BESIDE_A_TOKEN: Final = (
    "StreamName",
    "StreamARN",
    "StreamCreationTimestamp",
    "ExclusiveStartShardId",
    "ShardFilter",
)


def describe(stream: Stream) -> JsonObject:
    """What all descriptions have in common."""
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": stream.mode},
        "StreamCreationTimestamp": stream.created.wall,
    }


def describe_in_full(stream: Stream) -> JsonObject:
    """What DescribeStream and DescribeStreamSummary have in common."""
    return describe(stream) | {
        "RetentionPeriodHours": round(stream.retention / 3600),
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }


def show_shard(stream: Stream, shard: Shard) -> JsonObject:
    """A shard in a list."""
    numbers = {"StartingSequenceNumber": stream.numbering.text(shard.opened, shard.index)}
    if shard.closed is not None:
        numbers["EndingSequenceNumber"] = stream.numbering.text(shard.closed, shard.index)
    shown: JsonObject = {"ShardId": shard.id, "HashKeyRange": show_range(shard), "SequenceNumberRange": numbers}
    for name, parent in zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False):
        shown[name] = parent
    return shown


def describe_stream(stream: Stream, request: JsonObject) -> JsonObject:
    """DescribeStream: a hundred shards a page unless told otherwise."""
    limit = number(request, "Limit", 1, 10_000, 100)
    after = request.get("ExclusiveStartShardId") or ""
    shards = [shard for shard in stream.shards.values() if shard.id > after]
    told = describe_in_full(stream)
    told["Shards"] = [show_shard(stream, shard) for shard in shards[:limit]]
    told["HasMoreShards"] = len(shards) > limit
    return {"StreamDescription": told}


def describe_summary(stream: Stream) -> JsonObject:
    """DescribeStreamSummary."""
    counts = {"OpenShardCount": len(stream.open_shards), "ConsumerCount": 0}
    return {"StreamDescriptionSummary": describe_in_full(stream) | counts}


class Token:
    """Where a listing goes on: a page is found again by its token alone."""

    def __init__(self, text: str) -> None:
        """Raises AwsError for what is none."""
        try:
            fields = orjson.loads(base64.b64decode(text, validate=True))
            self.stream, self.mark, self.after, self.filter, self.told = fields
        except (binascii.Error, ValueError, TypeError):
            raise invalid("NextToken is invalid.") from None


def check_token(request: JsonObject) -> Token:
    """The token of a request that has one; with it the request may tell nothing about the stream."""
    beside = [name for name in _BESIDE_A_TOKEN if request.get(name) is not None]
    if beside:
        raise invalid(f"NextToken and {beside[0]} cannot be provided together.")
    return Token(request["NextToken"])


def list_shards(now: Instant, stream: Stream, request: JsonObject, token: Token | None) -> JsonObject:
    """ListShards, a page of at most 1,000."""
    most = min(LARGEST_PAGE, number(request, "MaxResults", 1, 10_000, LARGEST_PAGE))
    if token is not None:
        if now.mono - token.told > _TOKEN_SECONDS or token.mark != stream.numbering.mark:
            raise AwsError("ExpiredNextTokenException", "The NextToken is older than 300 seconds.")
        after, wanted = token.after, token.filter
    else:
        after, wanted = request.get("ExclusiveStartShardId") or "", request.get("ShardFilter") or {}
    shards = [shard for shard in _filtered(now, stream, wanted) if shard.id > after]
    page = shards[:most]
    answer: JsonObject = {"Shards": [show_shard(stream, shard) for shard in page]}
    if len(page) < len(shards):
        following = [stream.name, stream.numbering.mark, page[-1].id, wanted, now.mono]
        answer["NextToken"] = base64.b64encode(orjson.dumps(following)).decode()
    return answer


def _filtered(now: Instant, stream: Stream, wanted: JsonObject) -> list[Shard]:
    """The shards that a ShardFilter lets through, oldest first."""
    shards = list(stream.shards.values())
    match text(wanted, "Type") if wanted else "FROM_TRIM_HORIZON":
        case "FROM_TRIM_HORIZON":
            return shards
        case "AFTER_SHARD_ID":
            after = text(wanted, "ShardId")
            return [shard for shard in shards if shard.id > after]
        case "AT_LATEST":
            return [shard for shard in shards if shard.closed_at is None]
        case "AT_TRIM_HORIZON":
            horizon = stream.horizon(now)
            return [shard for shard in shards if not shard.parents or shard.opened_at.mono <= horizon]
        case "AT_TIMESTAMP":
            wall = _timestamp(wanted)
            return [shard for shard in shards if shard.opened_at.wall <= wall and _lives_at(shard, wall)]
        case "FROM_TIMESTAMP":
            wall = _timestamp(wanted)
            return [shard for shard in shards if _lives_at(shard, wall)]
        case other:
            raise invalid(f"ShardFilter has no type {other}.")


def _lives_at(shard: Shard, wall: float) -> bool:
    return shard.closed_at is None or shard.closed_at.wall >= wall


def _timestamp(wanted: JsonObject) -> float:
    wall = wanted.get("Timestamp")
    if not isinstance(wall, (int, float)):
        raise invalid("ShardFilter needs a Timestamp.")
    return float(wall)
