"""What Kinesis refuses, in AWS's words, and the checks of a request's types."""

from typing import Final

from poller.core.model import JsonObject
from poller.testing.calls import AwsError

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "EnforceConsumerDeletion": (bool,),
    "Limit": (int,),
    "MaxResults": (int,),
    "Records": (list,),
    "RetentionPeriodHours": (int,),
    "ShardCount": (int,),
    "ShardFilter": (dict,),
    "StreamCreationTimestamp": (int, float),
    "StreamModeDetails": (dict,),
    "Tags": (dict,),
    "TargetShardCount": (int,),
    "Timestamp": (int, float),
}  # every other field is a string


def throttled() -> AwsError:
    """More calls or bytes than a shard allows. A new one each time: an error that is raised again and again keeps
    the frames of all those times alive.
    """
    return AwsError(
        "ProvisionedThroughputExceededException",
        "Rate exceeded for shard in stream. Slow down, or add shards or consumers with a throughput of their own.",
    )


def invalid(message: str) -> AwsError:
    """A parameter has a value that the operation does not take."""
    return AwsError("InvalidArgumentException", message)


def missing(parameter: str) -> AwsError:
    """A parameter that must be there is not; AWS says it in the words of its validator."""
    name = parameter[:1].lower() + parameter[1:]
    problem = f"Value null at '{name}' failed to satisfy constraint: Member must not be null"
    return AwsError("ValidationException", f"1 validation error detected: {problem}")


def no_such_stream(name: str, account: str) -> AwsError:
    """The stream was never there, or is no more."""
    return AwsError("ResourceNotFoundException", f"Stream {name} under account {account} not found.")


def no_such_shard(shard_id: str, stream: str, account: str) -> AwsError:
    """The shard was never there, or its retention ended after it had been closed."""
    text = f"Shard {shard_id} in stream {stream} under account {account} does not exist"
    return AwsError("ResourceNotFoundException", text)


def foreign_number(number: str, shard_id: str, stream: str, account: str) -> AwsError:
    """A sequence number that another shard gave, or another stream of this name."""
    return invalid(
        f"StartingSequenceNumber {number} used in GetShardIterator on shard {shard_id} in stream {stream} under "
        f"account {account} is invalid because it did not come from this stream."
    )


def check_types(request: JsonObject) -> None:
    """Refuses, as AWS's deserialiser does, a field of the wrong JSON type; the rest may then rely on them."""
    for name, value in request.items():
        wanted = _TYPES.get(name, (str,))
        if value is not None and type(value) not in wanted:
            raise AwsError("SerializationException", f"{name} has the wrong type.")


def text(request: JsonObject, name: str) -> str:
    """A text that must be there."""
    value = request.get(name)
    if not value:
        raise missing(name)
    return str(value)


def number(request: JsonObject, name: str, low: int, high: int, otherwise: int | None = None) -> int:
    """A whole number in a range; without `otherwise` it must be there."""
    value = request.get(name)
    if value is None:
        if otherwise is None:
            raise missing(name)
        return otherwise
    if not low <= value <= high:
        raise invalid(f"{name} must be between {low} and {high}, it was {value}.")
    return int(value)
