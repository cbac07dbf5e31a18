"""The control API of the real process as its clients see it: boto3, the aws command, what Terraform does, and
requests of which none is right.

Every answer that boto3 gets is held to botocore's own model of Lambda, as it came over the wire.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams
from tests.property.fuzz_listeners import listening, look_at, open_files
from tests.property.http_rubble import rubble, speak, wrong

HANDLERS = """
import pathlib, time

HERE = pathlib.Path(__file__).parent


def work(event, context):
    (HERE / "begun").touch()
    while not (HERE / "go").exists():
        time.sleep(0.02)


def other(event, context):
    pass
"""
ACCESS, SECRET, TOKEN = "AKIDOFATEST", "a-secret-of-a-test/+=", "0123456789abcdef0123"
NOBODY = "00000000-0000-4000-8000-000000000000"
QUEUE_FIELDS = {
    *("BatchSize", "EventSourceArn", "EventSourceMappingArn", "FunctionArn", "FunctionResponseTypes"),
    *("LastModified", "MaximumBatchingWindowInSeconds", "State", "StateTransitionReason", "UUID"),
}
STREAM_FIELDS = QUEUE_FIELDS | {
    *("BisectBatchOnFunctionError", "DestinationConfig", "LastProcessingResult", "MaximumRecordAgeInSeconds"),
    *("MaximumRetryAttempts", "ParallelizationFactor", "StartingPosition", "TumblingWindowInSeconds"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file without mappings, whose control listener wants keys."""
    control = {"Listen": "127.0.0.1:0", "AccessKeysVariable": "KEYS", "TokenVariable": "TOKEN"}
    streams.write(tmp_path, handlers=HANDLERS, ControlApi=control)
    return tmp_path


@pytest.fixture
def running(folder: Path, embedded_aws: str) -> Iterator[daemon.Daemon]:
    env = daemon.environment(embedded_aws, KEYS=f"OTHER:{SECRET} {ACCESS}:{SECRET}", TOKEN=TOKEN)
    with daemon.running(folder, env) as running:
        yield running.ready()


def client(running: daemon.Daemon, secret: str = SECRET, access: str = ACCESS) -> Any:
    """boto3's client of Lambda, whose answers are judged as they come."""
    made = boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{listening(running)[1]}",
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
    )
    made.meta.events.register("before-parse.lambda", judge)
    return made


def judge(operation_model: Any, response_dict: Any, **_: Any) -> None:
    """The status is the operation's, and the body is what its output shape says, no more and no other."""
    status, body = response_dict["status_code"], response_dict["body"]
    assert response_dict["headers"]["x-amzn-RequestId"]
    if status >= 300:
        assert response_dict["headers"]["x-amzn-ErrorType"]
        assert json.loads(body)["Type"] == "User", body
        return
    assert status == operation_model.http["responseCode"]
    if operation_model.output_shape is None:
        assert body == b""
        return
    told = json.loads(body)
    assert operation_model.output_shape.members.keys() >= told.keys()
    report = ParamValidator().validate(told, operation_model.output_shape)
    assert not report.has_errors(), report.generate_report()
    fitting(told, operation_model.output_shape)


def fitting(value: Any, shape: Any) -> None:
    """What botocore's validator leaves to the service: patterns, words, greatest lengths and numbers."""
    match shape.type_name:
        case "structure":
            for name, inner in value.items():
                fitting(inner, shape.members[name])
        case "list":
            for inner in value:
                fitting(inner, shape.member)
        case "string":
            assert "pattern" not in shape.metadata or re.fullmatch(shape.metadata["pattern"], value), value
            assert "enum" not in shape.metadata or value in shape.metadata["enum"], value
            assert len(value) <= shape.metadata.get("max", len(value))
        case "timestamp":
            assert type(value) in {int, float}  # seconds, as the protocol has them, and no text
        case "integer":
            assert shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value)


def state(told: Any, uuid: str, seen: list[str], wanted: str) -> Any:
    """Waits until Get tells this state; what it says. Every state on the way is noted."""

    def there() -> Any:
        found = told.get_event_source_mapping(UUID=uuid)
        seen.append(found["State"])
        return found if found["State"] == wanted else None

    return daemon.wait_for(there, f"the state {wanted}")


def gone(told: Any, uuid: str) -> bool:
    try:
        seen = told.get_event_source_mapping(UUID=uuid)["State"]
    except told.exceptions.ResourceNotFoundException:
        return True
    assert seen == "Deleting"
    return False


def without(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_the_calls_of_terraform_come_to_what_it_waits_for(
    running: daemon.Daemon, embedded_aws: str, sqs_client: Any, new_stream: Any
) -> None:
    """API-1, API-2, CFG-60, CFG-61: its aws_lambda_event_source_mapping creates, waits, reads, looks at tags,
    updates, waits, deletes and waits, for a queue and for a stream; after an update nothing is Creating again.
    """
    queue = daemon.make_queue(sqs_client(embedded_aws), daemon.own("terraform"))
    stream = new_stream(embedded_aws)
    with closing(client(running)) as told:
        for arn, more, fields in (
            (queue["arn"], {"ScalingConfig": {"MaximumConcurrency": 5}}, QUEUE_FIELDS),
            (stream.arn, {"StartingPosition": "TRIM_HORIZON", "ParallelizationFactor": 2}, STREAM_FIELDS),
        ):
            made = told.create_event_source_mapping(
                EventSourceArn=arn,
                FunctionName="python:handlers:other",
                Tags={"team": "orders", "a b": "ü/"},
                **more,
            )
            uuid, seen = made["UUID"], []
            assert made["State"] == "Creating"
            found = without(state(told, uuid, seen, "Enabled"))
            assert set(seen) <= {"Creating", "Enabled"}
            assert found.keys() - {"ScalingConfig"} == fields
            own = found["EventSourceMappingArn"]
            assert own == f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{uuid}"
            assert told.list_tags(Resource=own)["Tags"] == {"team": "orders", "a b": "ü/"}
            told.tag_resource(Resource=own, Tags={"team": "payments"})
            told.untag_resource(Resource=own, TagKeys=["a b"])
            assert told.list_tags(Resource=own)["Tags"] == {"team": "payments"}

            filters = {"Filters": [{"Pattern": '{"body": {"a": [1]}}'}]}
            told.update_event_source_mapping(UUID=uuid, BatchSize=7, FilterCriteria=filters, Enabled=False)
            seen.clear()
            changed = without(state(told, uuid, seen, "Disabled"))
            assert set(seen) <= {"Disabling", "Updating", "Disabled"}
            assert (changed["BatchSize"], changed["FilterCriteria"]) == (7, filters)
            assert (changed["FunctionArn"], changed["EventSourceMappingArn"]) == (found["FunctionArn"], own)
            empty = {"ScalingConfig": {}} if "ScalingConfig" in found else {}
            told.update_event_source_mapping(UUID=uuid, FilterCriteria={}, Enabled=True, **empty)
            seen.clear()
            assert state(told, uuid, seen, "Enabled").keys().isdisjoint({"FilterCriteria", "ScalingConfig"})
            assert set(seen) <= {"Enabling", "Updating", "Enabled"}
            assert told.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
            daemon.wait_for(lambda uuid=uuid: gone(told, uuid), "ResourceNotFoundException")
    assert "Traceback" not in running.output()


def test_every_error_comes_as_its_exception(
    running: daemon.Daemon, folder: Path, embedded_aws: str, sqs_client: Any
) -> None:
    """API-5, API-6, API-13, CFG-51, and a key that is none: boto3 raises what its model names."""
    sqs = sqs_client(embedded_aws)
    queues = [daemon.make_queue(sqs, daemon.own(f"errors{number}")) for number in range(2)]
    with closing(client(running)) as told:
        fail = told.exceptions
        arn = f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{NOBODY}"
        for ask in (
            lambda: told.get_event_source_mapping(UUID=NOBODY),
            lambda: told.update_event_source_mapping(UUID=NOBODY, BatchSize=1),
            lambda: told.delete_event_source_mapping(UUID=NOBODY),
            lambda: told.list_tags(Resource=arn),
            lambda: told.tag_resource(Resource=arn, Tags={"a": "b"}),
            lambda: told.untag_resource(Resource=arn, TagKeys=["a"]),
        ):
            with pytest.raises(fail.ResourceNotFoundException):
                ask()
        fields = {"EventSourceArn": queues[0]["arn"], "FunctionName": "python:handlers:work"}
        with pytest.raises(fail.InvalidParameterValueException, match="StartingPosition is not valid for SQS"):
            told.create_event_source_mapping(**fields, StartingPosition="LATEST")
        with pytest.raises(fail.InvalidParameterValueException):
            told.create_event_source_mapping(**fields | {"FunctionName": "python:handlers:nothing"})
        uuid = told.create_event_source_mapping(**fields)["UUID"]
        with pytest.raises(fail.ResourceConflictException, match=f"already exists.*{uuid}"):
            told.create_event_source_mapping(**fields)
        state(told, uuid, [], "Enabled")
        daemon.send(sqs, queues[0]["url"], ["held"])
        daemon.wait_for((folder / "begun").exists, "the handler to begin")
        assert told.update_event_source_mapping(UUID=uuid, BatchSize=2)["State"] == "Updating"
        for ask in (
            lambda: told.update_event_source_mapping(UUID=uuid, BatchSize=3),
            lambda: told.delete_event_source_mapping(UUID=uuid),
        ):
            with pytest.raises(fail.ResourceInUseException):
                ask()
        (folder / "go").touch()
        assert state(told, uuid, [], "Enabled")["BatchSize"] == 2

        other = told.create_event_source_mapping(**fields | {"EventSourceArn": queues[1]["arn"]})["UUID"]
        pages = told.get_paginator("list_event_source_mappings").paginate(PaginationConfig={"PageSize": 1})
        assert [[one["UUID"] for one in page["EventSourceMappings"]] for page in pages] in (
            [[uuid], [other]],
            [[other], [uuid]],
        )
        (one,) = told.list_event_source_mappings(EventSourceArn=queues[1]["arn"])["EventSourceMappings"]
        assert one["UUID"] == other
    for access, secret, code in (
        ("AKIDOFNOBODY", SECRET, "UnrecognizedClientException"),
        (ACCESS, "not-the-secret-of-the-test", "InvalidSignatureException"),
    ):
        with closing(client(running, secret, access)) as told:
            with pytest.raises(ClientError) as caught:
                told.delete_event_source_mapping(UUID=uuid)
            assert caught.value.response["Error"]["Code"] == code
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_aws_command_manages_mappings(
    running: daemon.Daemon, embedded_aws: str, sqs_client: Any, aws_cli: list[str]
) -> None:
    """API-1: the real aws-cli, as people type it."""
    queue = daemon.make_queue(sqs_client(embedded_aws), daemon.own("cli"))
    env = daemon.environment(
        AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1"
    )
    url = f"http://127.0.0.1:{listening(running)[1]}"
    with subprocess.Popen(aws_cli, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def aws(*arguments: str) -> Any:
            asked = ["--endpoint-url", url, "--output", "json", "lambda", *arguments]
            print(json.dumps(asked), file=process.stdin, flush=True)
            answer = json.loads(process.stdout.readline())
            return json.loads(answer["out"] or "null") if answer["code"] == 0 else answer["err"]

        made = aws(
            "create-event-source-mapping", "--event-source-arn", queue["arn"], "--function-name",
            "python:handlers:other", "--batch-size", "5", "--tags", "team=orders", "--no-enabled",
        )  # fmt: skip
        uuid, arn = made["UUID"], made["EventSourceMappingArn"]
        assert (made["State"], made["BatchSize"]) == ("Disabled", 5)
        assert aws("get-event-source-mapping", "--uuid", uuid) == made
        assert aws("list-event-source-mappings", "--max-items", "1")["EventSourceMappings"] == [made]
        scaling = ("--scaling-config", "MaximumConcurrency=3")
        assert aws("update-event-source-mapping", "--uuid", uuid, *scaling)["ScalingConfig"] == {
            "MaximumConcurrency": 3
        }
        assert aws("tag-resource", "--resource", arn, "--tags", "a=b") is None
        assert aws("untag-resource", "--resource", arn, "--tag-keys", "team") is None
        assert aws("list-tags", "--resource", arn) == {"Tags": {"a": "b"}}
        assert aws("delete-event-source-mapping", "--uuid", uuid)["State"] == "Deleting"
        daemon.wait_for(
            lambda: "ResourceNotFoundException" in aws("get-event-source-mapping", "--uuid", uuid), "404"
        )
        process.stdin.close()


def test_no_request_of_any_shape_makes_a_listener_fail(running: daemon.Daemon) -> None:
    """Nor leaves a traceback in the log, or a connection open. property/fuzz_listeners.py goes on for longer."""
    ports = listening(running)
    files = open_files(running.process.pid)

    @settings(max_examples=60, database=None, suppress_health_check=list(HealthCheck))
    @given(rubble())
    def everywhere(data: bytes) -> None:
        for port in ports:
            assert not wrong(speak(port, data))

    everywhere()
    look_at(running, files, 8)
