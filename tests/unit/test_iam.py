"""`poller iam`: what a policy says, and that a run asks AWS for exactly that."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from poller import cli
from poller.cli import commands
from poller.config import Configuration, parse
from poller.core import pace
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.mapping_targets import LambdaTarget, parse_target
from poller.core.model import JsonObject, SourceKind
from poller.iam import make_policy
from poller.service import Service
from poller.testing import EmbeddedAws, FakeQueue
from poller.testing.calls import Answer, Reply
from tests.unit.runtime.rig import until

PLACE = "us-east-1:000000000000"
QUEUE = f"arn:aws:sqs:{PLACE}:orders"
STREAM = f"arn:aws:kinesis:{PLACE}:stream/clicks"
TABLE = f"arn:aws:dynamodb:{PLACE}:table/t/stream/2026-01-01T00:00:00.000"
READ_QUEUES = [
    "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
]  # fmt: skip
READ_STREAMS = [
    "kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords",
]  # fmt: skip


def mapping(arn: str, function: str = "python:a:b", destination: str = "", **fields: Any) -> EventSourceMapping:
    if ":sqs:" not in arn:
        fields |= {"StartingPosition": "LATEST", "DestinationConfig": {"OnFailure": {"Destination": destination}}}
    parsed = parse_mapping({"EventSourceArn": arn, "FunctionName": function} | fields)
    assert not isinstance(parsed, Invalid), parsed
    return parsed


def statement(sid: str, actions: list[str], *resources: str) -> JsonObject:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(resources)}


# --- what it says ---


def test_one_queue() -> None:
    """IAM-1: the whole document; a handler of the user's own needs nothing."""
    assert make_policy([mapping(QUEUE)]) == {
        "Version": "2012-10-17",
        "Statement": [statement("ReadQueues", READ_QUEUES, QUEUE)],
    }


def test_everything_at_once() -> None:
    """IAM-1, IAM-2, IAM-4, IAM-5, IAM-6: a statement for each kind, whatever the order of the file; what is named
    twice is there once.
    """
    topic, bucket, failed = f"arn:aws:sns:{PLACE}:t", "arn:aws:s3:::failed", f"{QUEUE}-failed"
    mappings = [
        mapping(TABLE, destination=bucket),
        mapping(f"{STREAM}2", "shop:live", destination=topic),
        mapping(STREAM, "arn:aws:lambda:eu-west-1:123456789012:function:shop:$LATEST", destination=failed),
        mapping(STREAM, "https://h", destination=failed, Name="twice", Enabled=False),
        mapping(f"{QUEUE}.fifo", "999999999999:function:shop"),
        mapping(QUEUE, "exec:./a"),
    ]
    policy = make_policy(mappings)
    assert policy["Statement"] == [
        statement("ReadQueues", READ_QUEUES, QUEUE, f"{QUEUE}.fifo"),
        statement("ReadKinesisStreams", READ_STREAMS, STREAM, f"{STREAM}2"),
        statement(
            "ReadDynamoDbStreams",
            ["dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"],
            TABLE,
        ),
        statement(
            "InvokeFunctions",
            ["lambda:InvokeFunction"],
            "arn:aws:lambda:eu-west-1:123456789012:function:shop:$LATEST",
            "arn:aws:lambda:us-east-1:000000000000:function:shop:live",
            "arn:aws:lambda:us-east-1:999999999999:function:shop",
        ),
        statement("SendFailuresToQueues", ["sqs:SendMessage", "sqs:GetQueueUrl"], failed),
        statement("SendFailuresToTopics", ["sns:Publish"], topic),
        statement("PutFailuresIntoBuckets", ["s3:PutObject"], f"{bucket}/*"),
    ]
    assert json.dumps(make_policy(reversed(mappings))) == json.dumps(policy)
    assert all(one["Sid"].isalnum() for one in policy["Statement"])


def test_the_partition_of_the_source() -> None:
    """IAM-6: a bare name is a function beside the source."""
    policy = make_policy([mapping("arn:aws-cn:sqs:cn-north-1:123456789012:q", "shop")])
    assert [one["Resource"] for one in policy["Statement"]] == [
        ["arn:aws-cn:sqs:cn-north-1:123456789012:q"],
        ["arn:aws-cn:lambda:cn-north-1:123456789012:function:shop"],
    ]


def test_an_emulator_asks_for_no_permission() -> None:
    """IAM-6: what runs beside us is no function of AWS."""
    policy = make_policy([mapping(QUEUE, "shop", Handler={"EndpointUrl": "http://127.0.0.1:9000"})])
    assert [one["Sid"] for one in policy["Statement"]] == ["ReadQueues"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 with the policy on standard output, 2 with sentences on standard error."""
    file = tmp_path / "poller.yaml"
    file.write_text(f"EventSourceMappings:\n- EventSourceArn: {QUEUE}\n  FunctionName: python:a:b\n")
    result = CliRunner().invoke(commands, ["iam", "-c", str(file)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == make_policy([mapping(QUEUE)])
    file.write_text("EventSourceMappings: 7\n")
    monkeypatch.setattr("sys.argv", ["poller", "iam", "-c", str(file)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.startswith(f"poller: {file}:1: EventSourceMappings: 7 is not")) == (
        "",
        True,
    )


# --- what a run asks for ---


# A call whose action has another name: batches need the permission of the single call.
ACTIONS = {
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "lambda:Invoke": "lambda:InvokeFunction",
}


class Recorder:
    """Stands before the embedded AWS's services and notes each call as an action on a resource."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.calls: set[tuple[str, str]] = set()
        self._streams: dict[str, str] = {}
        services = {
            "sqs": aws.service,
            "kinesis": aws.kinesis_service,
            "dynamodb": aws.dynamodb_streams_service,
            "sns": aws.rest.sns_service,
            "s3": aws.rest.s3_service,
            "lambda": aws.rest.lambda_service,
        }
        for name, service in services.items():
            # on the object itself: the server and its REST services hold it under several names
            service.call = self._noted(name, service.call)  # type: ignore[method-assign]

    def _noted(self, service: str, call: Callable[[str, JsonObject, Reply], Any]) -> Callable[..., Any]:
        def noted(operation: str, request: JsonObject, reply: Reply) -> Any:
            resource = self._resource(service, operation, request)
            action = f"{service}:{operation}"
            self.calls.add((ACTIONS.get(action, action), resource))

            def answered(answer: Answer) -> None:
                if isinstance(answer, dict):
                    self._remember(resource, answer)
                reply(answer)

            return call(operation, request, answered)

        return noted

    def _remember(self, resource: str, answer: JsonObject) -> None:
        """A token and an iterator stand for the stream, and IAM looks into them."""
        for name in ("ShardIterator", "NextShardIterator", "NextToken"):
            if answer.get(name):
                self._streams[answer[name]] = resource

    def _resource(self, service: str, operation: str, request: JsonObject) -> str:
        match service:
            case "sqs":
                return f"arn:aws:sqs:{PLACE}:{request.get('QueueName') or request['QueueUrl'].rpartition('/')[2]}"
            case "sns":
                return str(request["TopicArn"])
            case "s3":
                return f"arn:aws:s3:::{request['Bucket']}" + ("/*" if "Key" in request else "")
            case "lambda":
                target = parse_target(request["FunctionName"])
                assert isinstance(target, LambdaTarget)
                qualifier = target.qualifier or request.get("Qualifier")
                return f"arn:aws:lambda:{PLACE}:function:{target.name}" + (f":{qualifier}" if qualifier else "")
            case _:
                named = request.get("StreamARN") or request.get("StreamArn")
                return named or self._streams[request.get("ShardIterator") or request["NextToken"]]


def granted(policy: JsonObject) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for one in policy["Statement"]
        for action in one["Action"]
        for resource in one["Resource"]
    }


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dummy credentials; shards are read all the time."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        monkeypatch.setitem(pace._IDLE, kind, 0.02)


def make_world(aws: EmbeddedAws) -> tuple[str, dict[str, FakeQueue]]:
    """Queues, streams, a table, a topic and a bucket; the table's stream's ARN."""

    def do(machine: Any, operation: str, **request: Any) -> Any:
        return machine.apply(aws.service.clock.now(), operation, request)

    queues = {name: FakeQueue(name, service=aws.service) for name in ("orders", "orders.fifo", "calls", "failed")}
    for name in ("clicks", "views"):
        do(aws.kinesis, "CreateStream", StreamName=name, ShardCount=1)
        do(aws.kinesis, "PutRecord", StreamName=name, Data="YQ==", PartitionKey="a")
    made = do(
        aws.dynamodb,
        "CreateTable",
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    do(aws.dynamodb, "PutItem", TableName="orders", Item={"id": {"S": "a"}})
    do(aws.sns, "CreateTopic", Name="failed")
    do(aws.s3, "CreateBucket", Bucket="failed", Region="us-east-1")
    return made["TableDescription"]["LatestStreamArn"], queues


async def test_a_run_asks_for_what_the_policy_grants_and_for_nothing_else() -> None:
    """IAM-1, IAM-2, IAM-4, IAM-5, IAM-6: every source and every destination, with batches that succeed, fail and
    come back; each action is used on each resource, none is used without being granted.
    """
    async with EmbeddedAws() as aws:
        aws.kinesis.limits = False
        table, queues = make_world(aws)
        failed = ["arn:aws:s3:::failed", f"arn:aws:sqs:{PLACE}:failed", f"arn:aws:sns:{PLACE}:failed"]
        streams = [table, STREAM, f"arn:aws:kinesis:{PLACE}:stream/views"]
        back = {"FunctionName": "python:a:b", "Poller": {"RetryDelay": {"Initial": 0, "Max": 0}}}
        once = {"FunctionName": "python:a:b", "StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 0}
        mappings = [
            {"EventSourceArn": QUEUE} | back,
            {"EventSourceArn": f"{QUEUE}.fifo"} | back,
            {"EventSourceArn": f"arn:aws:sqs:{PLACE}:calls"} | back | {"FunctionName": "shop:live"},
            *(
                {"EventSourceArn": arn, "DestinationConfig": {"OnFailure": {"Destination": destination}}} | once
                for arn, destination in zip(streams, failed, strict=True)
            ),
        ]
        configuration = parse(json.dumps({"EventSourceMappings": mappings}), "poller.yaml", {})
        assert isinstance(configuration, Configuration), configuration
        policy = granted(make_policy(configuration.mappings))
        recorder = Recorder(aws)
        seen: set[str] = set()

        async def handler(event: Any, context: Any = None) -> None:
            """A message fails once, a record always."""
            (record,) = event["Records"]
            key = record.get("messageId")
            if key is None or key not in seen:
                seen.add(key)
                raise ValueError("no")

        aws.functions.add("shop", handler, aliases={"live": "1"})
        for name in ("orders", "orders.fifo", "calls"):
            queues[name].send("a", **({"MessageGroupId": "g"} if name.endswith(".fifo") else {}))
        async with Service(region="us-east-1", endpoint_url=aws.url, shutdown_timeout=2.5) as service:
            for one in configuration.mappings:
                service.add(one, None if one.function_name == "shop:live" else handler)
            with contextlib.suppress(TimeoutError):  # the comparison below tells more
                await until(lambda: recorder.calls >= policy, "the last call")
        assert recorder.calls == policy
