"""What DynamoDB and its streams refuse, in AWS's words."""

from typing import Final

from poller.testing.calls import AwsError

_MODELLED: Final = "com.amazonaws.dynamodb.v20120810#"
_VALIDATION: Final = "com.amazon.coral.validate#"
_GENERAL: Final = "com.amazon.coral.service#"
_NAME_SPACES: Final = {"ValidationException": _VALIDATION, "UnknownOperationException": _GENERAL,
                       "SerializationException": _GENERAL}  # fmt: skip


class DynamoDbError(AwsError):
    """A request that DynamoDB or its streams refused."""

    @property
    def type(self) -> str:
        """`__type` of the JSON body."""
        return _NAME_SPACES.get(self.name, _MODELLED) + self.name


TABLE_THROTTLE: Final = DynamoDbError(
    "ProvisionedThroughputExceededException",
    "The level of configured provisioned throughput for the table was exceeded.",
)
STREAM_THROTTLE: Final = DynamoDbError("LimitExceededException", "Too many readers of this shard; slow down.")


def invalid(message: str) -> DynamoDbError:
    """The request is wrong in itself."""
    return DynamoDbError("ValidationException", message)


def invalid_value(message: str) -> DynamoDbError:
    """The same in the form that DynamoDB has for values."""
    return invalid(f"One or more parameter values were invalid: {message}")


def not_done_here(what: str) -> DynamoDbError:
    """DynamoDB has it, the embedded one has not: said aloud, because to ignore it would be to pretend."""
    return invalid(f"The embedded DynamoDB does not do this: {what}.")


def not_found(message: str) -> DynamoDbError:
    """A table, stream or shard that is not there."""
    return DynamoDbError("ResourceNotFoundException", f"Requested resource not found: {message}")


def wrong_type(field: str) -> DynamoDbError:
    """A field of the wrong JSON type, as AWS's deserialiser refuses it."""
    return DynamoDbError("SerializationException", f"{field} has the wrong type.")


def condition_failed() -> DynamoDbError:
    """The item is not as the request wants it to be."""
    return DynamoDbError("ConditionalCheckFailedException", "The conditional request failed")
