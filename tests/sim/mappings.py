"""What a run is about, drawn from its seed: its mappings, and their queues and streams, made."""

import json
from random import Random

from poller.core.mapping import Invalid, parse_mapping
from poller.core.model import JsonObject, SourceKind
from poller.testing.sqs import redrive_policy
from tests.sim.aws import Aws
from tests.sim.sources import Source

ACCOUNT = "us-east-1:000000000000"
FUNCTION = f"arn:aws:lambda:{ACCOUNT}:function:f"
PATTERNS = {
    SourceKind.SQS: {"body": {"keep": [True]}},
    SourceKind.KINESIS: {"data": {"keep": [True]}},
    SourceKind.DYNAMODB: {"dynamodb": {"NewImage": {"keep": {"BOOL": [True]}}}},
}


def any_source(random: Random, aws: Aws, place: int) -> Source:
    """A mapping of any kind, and its source, made."""
    while True:
        fields = _queue(random, place) if random.random() < 0.4 else _stream(random, aws, place)
        mapping = parse_mapping(fields)
        if not isinstance(mapping, Invalid):
            break
    source = Source(mapping, aws, random, python=random.random() < 0.3, big=random.random() < 0.04)
    if mapping.source is SourceKind.SQS:
        _make_queue(source, random)
    return source


def _common(random: Random, arn: str, kind: SourceKind) -> JsonObject:
    filtered = {"Filters": [{"Pattern": json.dumps(PATTERNS[kind])}]}
    return {
        "EventSourceArn": arn,
        "FunctionName": FUNCTION,
        "FunctionResponseTypes": random.choice([[], ["ReportBatchItemFailures"]]),
        "FilterCriteria": filtered if random.random() < 0.3 else {},
        "Handler": {"TimeoutInSeconds": 5, "Concurrency": random.choice([1, 2, 8])},
    }


def _queue(random: Random, place: int) -> JsonObject:
    fifo = random.random() < 0.5
    window = 0 if fifo else random.choice([0, 0, 2, 5])
    fields = _common(random, f"arn:aws:sqs:{ACCOUNT}:q{place}{'.fifo' if fifo else ''}", SourceKind.SQS)
    sizes = [1, 1, 2, 4] if fifo else [1, 2, 4, 10]
    fields |= {"BatchSize": random.choice(sizes), "MaximumBatchingWindowInSeconds": window}
    fields["Poller"] = {"Heartbeat": random.random() < 0.3}
    if random.random() < 0.3:
        fields["Poller"]["RetryDelay"] = {"Initial": 1, "Max": 8}
    if random.random() < 0.3:
        fields["ScalingConfig"] = {"MaximumConcurrency": random.choice([2, 3])}
    return fields


def _make_queue(source: Source, random: Random) -> None:
    name, fifo = source.mapping.arn.name, source.mapping.arn.fifo
    attributes = {"VisibilityTimeout": str(random.choice([3 if source.mapping.poller.heartbeat else 5, 5, 6, 20]))}
    more = {"FifoQueue": "true"} if fifo else {}
    if random.random() < 0.5:
        source.redrives = True
        dead = f"dead-{name}"
        source.aws.now("sqs", "CreateQueue", {"QueueName": dead, "Attributes": more})
        arn = f"arn:aws:sqs:{ACCOUNT}:{dead}"
        attributes["RedrivePolicy"] = redrive_policy(arn, random.choice([3, 5]))
    source.aws.now("sqs", "CreateQueue", {"QueueName": name, "Attributes": attributes | more})


def _stream(random: Random, aws: Aws, place: int) -> JsonObject:
    name = f"s{place}-{random.getrandbits(20)}"
    if random.random() < 0.6:
        kind, arn = SourceKind.KINESIS, f"arn:aws:kinesis:{ACCOUNT}:stream/{name}"
        aws.now("kinesis", "CreateStream", {"StreamName": name, "ShardCount": random.choice([1, 2])})
    else:
        kind, arn = SourceKind.DYNAMODB, _make_table(aws, name)
    fields = _common(random, arn, kind)
    tumbling = random.random() < 0.15
    fields |= {
        "StartingPosition": random.choice(["TRIM_HORIZON", "TRIM_HORIZON", "LATEST"]),
        "BatchSize": random.choice([1, 2, 3, 5, 100]),
        "MaximumBatchingWindowInSeconds": random.choice([0, 0, 1, 5]),
        "ParallelizationFactor": 1 if tumbling else random.choice([1, 1, 2, 4]),
        "BisectBatchOnFunctionError": random.random() < 0.5,
        "MaximumRetryAttempts": random.choice([-1, 0, 0, 1, 3]),
        "MaximumRecordAgeInSeconds": random.choice([-1, 60]),
        "TumblingWindowInSeconds": random.choice([10, 30]) if tumbling else 0,
        "DestinationConfig": {"OnFailure": {"Destination": _destination(random, aws)}},
    }
    if kind is SourceKind.KINESIS and random.random() < 0.15:
        fields |= {
            "StartingPosition": "AT_TIMESTAMP",
            "StartingPositionTimestamp": aws.clock.now().wall // 1 - 43_200.0,
        }
    return fields


def _make_table(aws: Aws, name: str) -> str:
    request = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    }
    return str(aws.now("dynamodb", "CreateTable", request)["TableDescription"]["LatestStreamArn"])


def _destination(random: Random, aws: Aws) -> str:
    if random.random() < 0.5:
        aws.now("sqs", "CreateQueue", {"QueueName": "failed"})
        return f"arn:aws:sqs:{ACCOUNT}:failed"
    return random.choice(["", "", f"arn:aws:sns:{ACCOUNT}:failed", "arn:aws:s3:::failed"])


class Sources:
    """All of a run."""

    def __init__(self, random: Random, aws: Aws) -> None:
        self.all = [any_source(random, aws, place) for place in range(random.choice([1, 1, 2]))]
        self._by_queue = {one.mapping.arn.name: one for one in self.all}
        self.by_uuid = {one.mapping.uuid: one for one in self.all}

    def of_queue(self, request: JsonObject) -> Source | None:
        """The source whose queue the request names."""
        return self._by_queue.get(str(request.get("QueueUrl", "")).rpartition("/")[2])

    def appear_again(self, request: JsonObject) -> None:
        if (source := self.of_queue(request)) is not None:
            source.show_again()
