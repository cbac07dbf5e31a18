"""What SQS refuses, in AWS's words: the modelled type, the older query code, the sentence."""

from typing import Final

from poller.testing.calls import AwsError

_MODELLED: Final = "com.amazonaws.sqs#"
_GENERAL: Final = "com.amazon.coral.service#"
_LEGACY: Final = "AWS.SimpleQueueService."

# Type in the JSON body -> code of the query protocol, which x-amzn-query-error carries and boto3 shows.
# Source: the SQS API model (its awsQueryError traits).
_QUERY_CODES: Final = {
    "BatchEntryIdsNotDistinct": _LEGACY + "BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": _LEGACY + "BatchRequestTooLong",
    "EmptyBatchRequest": _LEGACY + "EmptyBatchRequest",
    "InvalidBatchEntryId": _LEGACY + "InvalidBatchEntryId",
    "MessageNotInflight": _LEGACY + "MessageNotInflight",
    "PurgeQueueInProgress": _LEGACY + "PurgeQueueInProgress",
    "QueueDoesNotExist": _LEGACY + "NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "TooManyEntriesInBatchRequest": _LEGACY + "TooManyEntriesInBatchRequest",
    "UnsupportedOperation": _LEGACY + "UnsupportedOperation",
    "InvalidParameterValueException": "InvalidParameterValue",
    "MissingRequiredParameterException": "MissingParameter",
}
_UNMODELLED: Final = frozenset(
    {"InvalidParameterValueException", "MissingRequiredParameterException", "UnknownOperationException"}
)


class SqsError(AwsError):
    """A request that SQS refused."""

    @property
    def type(self) -> str:
        """`__type` of the JSON body."""
        return (_GENERAL if self.name in _UNMODELLED else _MODELLED) + self.name

    @property
    def code(self) -> str:
        """The code that clients of the query protocol knew, which boto3 puts into `Error.Code`."""
        return _QUERY_CODES.get(self.name, self.name)

    @property
    def query_code(self) -> str:
        """The same with the side that is to blame."""
        return f"{self.code};{'Sender' if self.sender_fault else 'Receiver'}"


def no_such_queue() -> SqsError:
    """The queue was never there, or is no more."""
    return SqsError("QueueDoesNotExist", "The specified queue does not exist.")


def invalid(message: str) -> SqsError:
    """A parameter has a value that the operation does not take."""
    return SqsError("InvalidParameterValueException", message)


def invalid_value(value: object, parameter: str, reason: str) -> SqsError:
    """The same in SQS's usual form."""
    return invalid(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def missing(parameter: str) -> SqsError:
    """A parameter that must be there is not."""
    return SqsError("MissingRequiredParameterException", f"The request must contain the parameter {parameter}.")


def bad_receipt(handle: object) -> SqsError:
    """The receipt handle was not made by this queue."""
    return SqsError(
        "ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.'
    )


def expired_receipt(handle: str) -> SqsError:
    """FIFO only: the message became visible again, so its handle no longer speaks for it."""
    return invalid_value(handle, "ReceiptHandle", "The receipt handle has expired.")
