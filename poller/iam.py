"""The least-privilege IAM policy of a configuration (IAM-1 to IAM-6): `poller iam`.

It allows the calls that a run makes, which the adapters in aws/ decide, on the resources that the configuration
names, and nothing else. What no configuration tells is left to the owner: the keys of encrypted queues, streams,
topics and buckets (kms:Decrypt, kms:GenerateDataKey), and the other account's own policy where a source or a
destination is another account's (IAM-7).
"""

from collections.abc import Iterable
from typing import assert_never

from poller.core.mapping import DestinationArn, DestinationKind, EventSourceMapping
from poller.core.mapping_targets import LambdaTarget, parse_target
from poller.core.model import JsonObject, SourceKind

# Sid -> what is called, in the order of the policy. A batch call needs the permission of the single one.
_ACTIONS = {
    "ReadQueues": (
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
    ),
    "ReadKinesisStreams": (
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
        "kinesis:GetShardIterator",
        "kinesis:GetRecords",
    ),
    "ReadDynamoDbStreams": ("dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"),
    "InvokeFunctions": ("lambda:InvokeFunction",),
    "SendFailuresToQueues": ("sqs:SendMessage", "sqs:GetQueueUrl"),
    "SendFailuresToTopics": ("sns:Publish",),
    "PutFailuresIntoBuckets": ("s3:PutObject",),
}


def make_policy(mappings: Iterable[EventSourceMapping]) -> JsonObject:
    """The policy document, the same for the same mappings in any order; those that are not enabled count too."""
    resources: dict[str, set[str]] = {sid: set() for sid in _ACTIONS}
    for mapping in mappings:
        resources[_reading(mapping.source)].add(mapping.arn.text)
        # an emulator, which EndpointUrl names, asks for no permission
        if isinstance(parse_target(mapping.function_name), LambdaTarget) and mapping.handler.endpoint_url is None:
            resources["InvokeFunctions"].add(mapping.function_arn)
        if mapping.stream is not None and mapping.stream.destination is not None:
            sid, resource = _sending(mapping.stream.destination)
            resources[sid].add(resource)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": sorted(resources[sid])}
            for sid, actions in _ACTIONS.items()
            if resources[sid]
        ],
    }


def _reading(source: SourceKind) -> str:
    match source:
        case SourceKind.SQS:
            return "ReadQueues"
        case SourceKind.KINESIS:
            return "ReadKinesisStreams"
        case SourceKind.DYNAMODB:
            return "ReadDynamoDbStreams"
        case _:
            assert_never(source)


def _sending(destination: DestinationArn) -> tuple[str, str]:
    """A bucket is not listed and not looked for: it is enough that objects may be put (IAM-5)."""
    match destination.kind:
        case DestinationKind.SQS:
            return "SendFailuresToQueues", destination.text
        case DestinationKind.SNS:
            return "SendFailuresToTopics", destination.text
        case DestinationKind.S3:
            return "PutFailuresIntoBuckets", f"{destination.text}/*"
        case _:
            assert_never(destination.kind)
