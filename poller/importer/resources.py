"""What CloudFormation's Ref and Fn::GetAtt give for a resource, as far as the template tells: names and ARNs.

Names and ARNs follow from the names that a template gives. A name that CloudFormation chooses, and the ARN of a
table's stream, are known only once the stack is there.

Return values: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

from typing import NamedTuple

from poller.importer.template import Template, as_map
from poller.importer.values import Text, blank, joined

_SAMPLE = "us-east-1:000000000000"
_SAMPLES = {
    "AWS::SQS::Queue": f"arn:aws:sqs:{_SAMPLE}:queue",
    "AWS::Kinesis::Stream": f"arn:aws:kinesis:{_SAMPLE}:stream/stream",
    "AWS::SNS::Topic": f"arn:aws:sns:{_SAMPLE}:topic",
    "AWS::S3::Bucket": "arn:aws:s3:::bucket",
}


class _Kind(NamedTuple):
    """How resources of a type are named: the property with the name, the service, what stands before the name in
    the ARN, the attribute with the ARN, and whether Ref gives the name.
    """

    name: str
    service: str
    before: str = ""
    arn: str = "Arn"
    ref: bool = True


_KINDS = {
    "AWS::SQS::Queue": _Kind("QueueName", "sqs", ref=False),
    "AWS::Kinesis::Stream": _Kind("Name", "kinesis", "stream/"),
    "AWS::DynamoDB::Table": _Kind("TableName", "dynamodb", "table/"),
    "AWS::DynamoDB::GlobalTable": _Kind("TableName", "dynamodb", "table/"),
    "AWS::SNS::Topic": _Kind("TopicName", "sns", arn="TopicArn", ref=False),
    "AWS::S3::Bucket": _Kind("BucketName", "s3"),
    "AWS::Lambda::Function": _Kind("FunctionName", "lambda", "function:"),
    "AWS::Serverless::Function": _Kind("FunctionName", "lambda", "function:"),
}


def properties_of(template: Template, resource: str) -> dict[str, object]:
    """A resource's properties, for a function of SAM on top of what all functions of the template share."""
    declared = as_map(template.resources.get(resource))
    properties = as_map(declared.get("Properties"))
    if declared.get("Type") == "AWS::Serverless::Function":
        return as_map(template.globals.get("Function")) | properties
    return properties


def attribute(template: Template, resource: str, name: str) -> str | Text:
    """What Fn::GetAtt gives for a resource of the template, or Ref, where `name` is empty."""
    kind = str(as_map(template.resources[resource]).get("Type"))
    properties = properties_of(template, resource)
    match kind, name:
        case "AWS::SQS::Queue", "":
            return blank(f"Ref {resource} is the URL of a queue, and what is needed is its ARN", f"{resource}_Arn")
        case "AWS::SNS::Topic", "":
            name = "TopicArn"
        case (("AWS::DynamoDB::Table" | "AWS::DynamoDB::GlobalTable"), "StreamArn"):
            why = f"the ARN of a table's stream has a time in it: it is the LatestStreamArn of {resource}"
            sample = f"arn:aws:dynamodb:{_SAMPLE}:table/table/stream/2026-01-01T00:00:00.000"
            return blank(why, f"{resource}_StreamArn", sample)
        case "AWS::Lambda::Alias", ("" | "AliasArn"):
            return joined(
                [template.text(properties.get("FunctionName")), ":", template.text(properties.get("Name"))]
            )
        case "AWS::Serverless::Function", "Alias" if "AutoPublishAlias" in properties:
            return joined([template.attribute(resource, ""), ":", template.text(properties["AutoPublishAlias"])])
        case "AWS::Kinesis::StreamConsumer", ("" | "ConsumerARN"):
            name_ = template.text(properties.get("ConsumerName"))
            return joined([template.text(properties.get("StreamARN")), "/consumer/", name_, ":0"])
        case _:
            pass
    shape = _KINDS.get(kind)
    if shape is not None and (name in {shape.arn, shape.name} or (shape.ref and not name)):
        return _named(template, resource, kind, name)
    function = f"Fn::GetAtt {resource}.{name}" if name else f"Ref {resource}"
    return blank(f"{function} is known only once the stack is there", f"{resource}_{name}" if name else resource)


def _named(template: Template, resource: str, kind: str, name: str) -> str | Text:
    """The name or the ARN of a resource that may have been given a name."""
    shape = _KINDS[kind]
    properties = properties_of(template, resource)
    given = properties.get(shape.name)
    known = "" if given is None else template.text(given)
    if known == "":
        function = f"Fn::GetAtt {resource}.{name}" if name else f"Ref {resource}"
        why = f"{function} is chosen by CloudFormation, because {resource} has no {shape.name}"
        fifo = ".fifo" if str(properties.get("FifoQueue")).lower() == "true" else ""
        sample = _SAMPLES.get(kind, "") + fifo if name == shape.arn else ""
        return blank(why, f"{resource}_{name or 'Name'}", sample)
    if name != shape.arn:
        return known
    place: list[str | Text] = [":", template.text({"Ref": "AWS::Region"}), ":"]
    account = template.text({"Ref": "AWS::AccountId"})
    where = [":", ":", ":"] if shape.service == "s3" else [*place, account, ":"]
    return joined(
        ["arn:", template.text({"Ref": "AWS::Partition"}), f":{shape.service}", *where, shape.before, known]
    )
