"""Whole files: what becomes of templates of different shapes and of a listing, of files that are none, and of the
command.
"""

import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from poller import cli
from poller.check import check_file
from poller.cli import commands
from poller.errors import ConfigurationError
from poller.importer.file import import_listing, import_template, save
from tests.unit.importer.meaning import ARN, HERE, PLACE, listing, mapping, meaning, template

BATCHES = ["ReportBatchItemFailures"]
SMALL = """\
Resources:
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: "arn:aws:sqs:eu-west-1:123456789012:q", FunctionName: f, BatchSize: 7}
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_goes_to_standard_output_is_a_file_whatever_encoding_a_terminal_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    pattern = json.dumps({"body": {"city": ["Besançon", "Łódź"]}}, ensure_ascii=False)
    listed = tmp_path / "listing.json"
    found = {
        "UUID": "11111111-1111-4111-8111-111111111111",
        "EventSourceArn": ARN("sqs", "orders"),
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:shop",
        "FilterCriteria": {"Filters": [{"Pattern": pattern}]},
    }
    listed.write_text(json.dumps({"EventSourceMappings": [found]}))
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding))
    monkeypatch.setattr(sys, "argv", ["poller", "import", "aws", str(listed)])
    cli.main()
    (shown,) = yaml.safe_load(written.getvalue())["EventSourceMappings"]
    assert json.loads(shown["FilterCriteria"]["Filters"][0]["Pattern"]) == json.loads(pattern)


def test_a_sam_template_with_filters_and_destinations() -> None:
    """Queues with filters, a table's stream with a failure destination; SAM's defaults are AWS's (CFG-4)."""
    orders = HERE / "orders.sam.yaml"
    imported = import_template(orders, PLACE, sam=True, local=False)
    assert meaning(imported.text) == [
        mapping(
            Name="OrdersFunctionOrders",
            EventSourceArn=ARN("sqs", "orders"),
            FunctionName="shop-orders",
            BatchSize=100,
            MaximumBatchingWindowInSeconds=5,
            FunctionResponseTypes=BATCHES,
            ScalingConfig={"MaximumConcurrency": 50},
            FilterCriteria={
                "Filters": [
                    {"Pattern": {"body": {"type": ["order"], "total": [{"numeric": [">", 0]}]}}},
                    {"Pattern": {"body": {"note": ["costs ${5}"]}}},
                ]
            },
            Handler={"TimeoutInSeconds": 30},
        ),
        mapping(
            Name="OrdersFunctionInvoices",
            EventSourceArn=ARN("sqs", "invoices.fifo"),
            FunctionName="shop-orders",
            BatchSize=10,
            Enabled=False,
            Handler={"TimeoutInSeconds": 30},
        ),
        mapping(
            Name="ChangesFunctionChanges",
            EventSourceArn=ARN("dynamodb", "table/orders/stream/2026-01-01T00:00:00.000"),
            FunctionName="shop-changes",
            StartingPosition="TRIM_HORIZON",
            BatchSize=25,
            MaximumRetryAttempts=0,
            MaximumRecordAgeInSeconds=3600,
            BisectBatchOnFunctionError=True,
            DestinationConfig={"OnFailure": {"Destination": ARN("sns", "lost-changes")}},
            FilterCriteria={"Filters": [{"Pattern": {"eventName": ["INSERT", "MODIFY"]}}]},
            Handler={"TimeoutInSeconds": 3},
        ),
    ]
    assert imported.lines == (
        f"{orders}:72: OrdersFunction.Web: not taken: nothing is polled for events of type 'Api'.",
    )
    assert imported.complete


def test_secrets_of_a_template_are_not_copied() -> None:
    """The environment of a function and the defaults of secret parameters stay where they are."""
    for name, local in (("orders.sam.yaml", False), ("orders.sam.yaml", True), ("nested.sam.yaml", False)):
        imported = import_template(HERE / name, {}, sam=True, local=local)
        told = "\n".join((imported.text, *imported.lines))
        assert "not-for-everyone" not in told
        assert "swordfish" not in told


def test_a_sam_template_with_globals_and_intrinsics() -> None:
    """Parameters, a map, conditions and what all functions share; a condition that does not hold leaves out."""
    clicks = {
        "Name": "ClicksFunctionClicks",
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": "2026-01-01T00:00:00Z",
        "Handler": {"TimeoutInSeconds": 90},
    }
    dev = import_template(HERE / "clicks.sam.yaml", PLACE, sam=True, local=False)
    assert meaning(dev.text) == [
        mapping(
            **clicks,
            EventSourceArn=ARN("kinesis", "stream/dev-clicks"),
            FunctionName="dev-clicks:live",
            BatchSize=500,
            ParallelizationFactor=1,
            MaximumRetryAttempts=1,
            DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::dev-clicks-failed"}},
        ),
        mapping(
            Name="TrialFunctionClicks",
            EventSourceArn=ARN("kinesis", "stream/dev-clicks"),
            FunctionName="trial",
            StartingPosition="LATEST",
            TumblingWindowInSeconds=60,
            Handler={"TimeoutInSeconds": 10},
        ),
    ]
    assert (dev.lines, dev.complete) == ((), True)
    given = {**PLACE, "Stage": "prod", "BatchSize": "42", "AWS::Region": "cn-north-1"}
    prod = import_template(HERE / "clicks.sam.yaml", given, sam=True, local=False)
    assert meaning(prod.text) == [
        mapping(
            **clicks,
            EventSourceArn="arn:aws-cn:kinesis:cn-north-1:123456789012:stream/prod-clicks",
            FunctionName="prod-clicks:live",
            BatchSize=42,
            MaximumBatchingWindowInSeconds=10,
            ParallelizationFactor=4,
            MaximumRetryAttempts=10,
            BisectBatchOnFunctionError=True,
            DestinationConfig={"OnFailure": {"Destination": "arn:aws-cn:s3:::prod-clicks-failed"}},
        )
    ]
    assert [line.partition("yaml:")[2] for line in prod.lines] == [
        "74: TrialFunctionClicks: not written: the condition 'IsTest' does not hold."
    ]
    assert prod.complete


def test_a_sam_template_with_nested_parameters_and_blanks() -> None:
    """What the template does not tell becomes a variable; with the variables set the file means the template."""
    imported = import_template(HERE / "nested.sam.yaml", {}, sam=True, local=False)
    set_ = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCOUNT_ID": "123456789012",
        "TEMPLATE_STAGE": "prod",
        "AUDIT_QUEUE_ARN": ARN("sqs", "audit"),
    }
    bills = {"FunctionName": "acme-prod-billing-bills", "Handler": {"TimeoutInSeconds": 60}}
    expected = [
        mapping(
            Name="BillsFunctionBills",
            EventSourceArn=ARN("sqs", "acme-billing-prod-bills"),
            FilterCriteria={"Filters": [{"Pattern": {"body": {"stage": ["prod"], "text": ["${literal}"]}}}]},
            **bills,
        ),
        mapping(
            Name="BillsFunctionSecond",
            EventSourceArn=ARN("sqs", "second"),
            ScalingConfig={"MaximumConcurrency": 5},
            **bills,
        ),
        mapping(Name="BillsFunctionAudit", EventSourceArn=ARN("sqs", "audit"), **bills),
        mapping(Name="PlainMapping", EventSourceArn=ARN("sqs", "first"), **bills),
    ]
    assert meaning(imported.text, **set_) == expected
    assert [line.partition("yaml:")[2].partition(": ")[2] for line in imported.lines] == [
        (
            "BillsFunctionBills.EventSourceArn: set the environment variable AWS_REGION:"
            " AWS::Region is not in the template: --parameter AWS::Region=VALUE."
        ),
        (
            "BillsFunctionBills.EventSourceArn: set the environment variable AWS_ACCOUNT_ID:"
            " AWS::AccountId is not in the template: --parameter AWS::AccountId=VALUE."
        ),
        (
            "BillsFunctionBills.FilterCriteria: set the environment variable TEMPLATE_STAGE:"
            " parameter Stage has no default: --parameter Stage=VALUE."
        ),
        (
            "BillsFunctionAudit.EventSourceArn: set the environment variable AUDIT_QUEUE_ARN:"
            " parameter AuditQueueArn is read from Systems Manager when the stack is deployed."
        ),
        (
            "PlainMapping: it is not known whether the condition 'Audited' holds:"
            " parameter Stage has no default: --parameter Stage=VALUE."
        ),
        "NeverMapping: not written: the condition 'Never' does not hold.",
    ]
    assert not imported.complete
    given = {**PLACE, "Stage": "prod", "AuditQueueArn": ARN("sqs", "audit")}
    known = import_template(HERE / "nested.sam.yaml", given, sam=True, local=False)
    assert meaning(known.text) == expected
    assert known.complete


def test_a_template_of_cloudformation_in_json() -> None:
    """Aliases, values written as texts, a consumer, and a source that is none of ours (CFG-37, KIN-5)."""
    imported = import_template(HERE / "stack.json", PLACE, sam=False, local=False)
    stream = ARN("dynamodb", "table/jobs/stream/2026-01-01T00:00:00.000")
    assert meaning(imported.text, TABLE_STREAM_ARN=stream) == [
        mapping(
            Name="JobsMapping",
            EventSourceArn=ARN("sqs", "jobs.fifo"),
            FunctionName="worker:live",
            BatchSize=5,
            FunctionResponseTypes=BATCHES,
            KMSKeyArn="arn:aws:kms:eu-west-1:123456789012:key/1",
            Tags={"team": "jobs"},
            Handler={"TimeoutInSeconds": 120},
        ),
        mapping(
            Name="TableMapping",
            EventSourceArn=stream,
            FunctionName=ARN("lambda", "function:worker"),
            StartingPosition="LATEST",
            Handler={"TimeoutInSeconds": 120},
        ),
        mapping(
            Name="MeasuresMapping",
            EventSourceArn=ARN("kinesis", "stream/measures"),
            FunctionName=ARN("lambda", "function:elsewhere:3"),
            StartingPosition="TRIM_HORIZON",
            ParallelizationFactor=2,
        ),
    ]
    told = [line.partition(".json:")[2] for line in imported.lines]
    assert told[:3] == [
        (
            "45: TableMapping.EventSourceArn: set the environment variable TABLE_STREAM_ARN:"
            " the ARN of a table's stream has a time in it: it is the LatestStreamArn of Table."
        ),
        (
            "48: TableMapping.LoggingConfig: not taken: Unsupported LoggingConfig parameter for given event source"
            " mapping type."
        ),
        (
            "54: MeasuresMapping.EventSourceArn: enhanced fan-out is not part of this version:"
            " the consumer's stream is written."
        ),
    ]
    assert told[3].startswith(
        "63: KafkaMapping.EventSourceArn: the mapping is not written: Unrecognized event source."
    )
    assert "the functions of MeasuresMapping may run" in imported.lines[4]
    assert not imported.complete


def test_the_answer_of_list_event_source_mappings() -> None:
    """What AWS writes for a field that is not set is left out; hidden filters are not lost (CFG-62)."""
    imported = import_listing(HERE / "listing.json")
    assert meaning(imported.text, SECRETS_FIFO_SECRETS_FILTER_CRITERIA='{"body": ["x"]}') == [
        mapping(
            Name="orders-shop-orders",
            EventSourceArn=ARN("sqs", "orders"),
            FunctionName=ARN("lambda", "function:shop-orders"),
            FunctionResponseTypes=BATCHES,
            ScalingConfig={"MaximumConcurrency": 20},
            FilterCriteria={"Filters": [{"Pattern": {"body": {"type": ["order"]}}}]},
        ),
        mapping(
            Name="clicks-clicks-live",
            EventSourceArn=ARN("kinesis", "stream/clicks"),
            FunctionName=ARN("lambda", "function:clicks:live"),
            StartingPosition="AT_TIMESTAMP",
            StartingPositionTimestamp="2026-01-01T00:00:00Z",
        ),
        mapping(
            Name="clicks-archive",
            EventSourceArn=ARN("kinesis", "stream/clicks"),
            FunctionName=ARN("lambda", "function:archive"),
            Enabled=False,
            StartingPosition="TRIM_HORIZON",
            BatchSize=50,
            MaximumBatchingWindowInSeconds=5,
            ParallelizationFactor=10,
            DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::clicks-failed"}},
            MaximumRecordAgeInSeconds=3600,
            BisectBatchOnFunctionError=True,
            MaximumRetryAttempts=0,
            FunctionResponseTypes=BATCHES,
        ),
        mapping(
            Name="secrets.fifo-secrets",
            EventSourceArn=ARN("sqs", "secrets.fifo"),
            FunctionName=ARN("lambda", "function:secrets"),
            FilterCriteria={"Filters": [{"Pattern": '{"body": ["x"]}'}]},
            KMSKeyArn="arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ),
    ]
    assert "Attempts: -1" not in imported.text
    told = [line.partition(".json:")[2] for line in imported.lines]
    assert told[0] == "58: orders-changes: not written: it is being deleted."
    assert told[1].startswith(
        "82: shop-shop-orders.EventSourceArn: the mapping is not written: Unrecognized event"
    )
    assert told[2].startswith(
        "90: secrets.fifo-secrets.FilterCriteria: set the environment variable SECRETS_FIFO_"
    )
    assert not imported.complete


def test_the_same_answer_as_yaml(tmp_path: Path) -> None:
    """`aws --output yaml` gives the same file."""
    values = json.loads((HERE / "listing.json").read_text())
    as_yaml = listing(tmp_path / "listing.json", yaml.safe_dump(values))
    filled = {"SECRETS_FIFO_SECRETS_FILTER_CRITERIA": '{"body": ["x"]}'}
    as_json = import_listing(HERE / "listing.json")
    assert meaning(as_yaml.text, **filled) == meaning(as_json.text, **filled)


def test_what_is_written_passes_the_check_of_the_file(tmp_path: Path) -> None:
    imported = import_template(HERE / "orders.sam.yaml", PLACE, sam=True, local=True)
    save(imported.text, tmp_path / "poller.yaml", force=False)
    report = check_file(tmp_path / "poller.yaml", {})
    assert (report.findings, report.exit_code) == ((), 0)


def test_a_blank_that_is_not_set_keeps_the_file_from_running(tmp_path: Path) -> None:
    """A mapping never runs without a filter or source that nobody filled in."""
    imported = import_listing(HERE / "listing.json")
    save(imported.text, tmp_path / "poller.yaml", force=False)
    report = check_file(tmp_path / "poller.yaml", {})
    assert report.exit_code == 2
    assert [finding.line for finding in report.findings] == [
        imported.text[: imported.text.index("${")].count("\n") + 1
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no template"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"Resources: [", "not YAML"),
        (b"Resources: {a: 1, a: 2}", "twice"),
        (b"Resources: 5", "no map of Resources"),
        (b"Resources:\n  A: !!python/object:os.system {}\n", "tag"),
        (b"[\n" * 5_000, "nested"),
        (b"[" * 300 + b"]" * 300, "nested"),
        (b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n".encode() for i in range(9)
        ), "more than 100000 values"),
        (b"x" * 1_048_577, "larger than"),
        (b"Resources: &r {A: *r}", "nested"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_template_is_told_in_words(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=says) as caught:
        import_template(path, {}, sam=True, local=False)
    assert all(line.isprintable() and len(line) < 500 for line in str(caught.value).splitlines())
    with pytest.raises(ConfigurationError):
        import_listing(path)


def test_a_file_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: it cannot be read: No such file"):
        import_listing(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigurationError, match="it cannot be read: Is a directory"):
        import_listing(tmp_path)


def test_resources_that_double_each_other_end(tmp_path: Path) -> None:
    """Sixty queues whose names are twice that of the next would fill any memory; a circle would never end."""
    names = "".join(
        f'  Q{i}: {{Type: "AWS::SQS::Queue", Properties: {{QueueName: !Sub "${{Q{i + 1}.QueueName}}'
        f'${{Q{i + 1}.QueueName}}"}}}}\n'
        for i in range(60)
    )
    circle = '  A: {Type: "AWS::SQS::Queue", Properties: {QueueName: !GetAtt A.QueueName}}\n'
    source = "EventSourceArn: !GetAtt {}.Arn, FunctionName: f"
    mappings = "".join(
        f'  M{name}: {{Type: "AWS::Lambda::EventSourceMapping", Properties: {{{source.format(name)}}}}}\n'
        for name in ("Q0", "Q55", "A")
    )
    last = '  Q60: {Type: "AWS::SQS::Queue", Properties: {QueueName: abc}}\n'
    imported = template(tmp_path / "t.yaml", f"Resources:\n{names}{last}{circle}{mappings}")
    assert len(imported.text) < 10_000
    assert any("too many unknown parts" in line for line in imported.lines)
    assert any("A depends on itself" in line for line in imported.lines)


def test_the_command_writes_to_standard_output_and_tells_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(SMALL)
    result = _command("cloudformation", str(path))
    assert (result.exit_code, meaning(result.stdout)[0].batch_size) == (0, 7)
    assert result.stderr.startswith(f"{path}: how long the functions of M may run")
    result = _command("cloudformation", str(HERE / "nested.sam.yaml"), "--parameter", "Stage=x")
    assert result.exit_code == 1
    assert meaning(result.stdout, BILLS_FUNCTION="f")
    assert "BillsFunction: not taken: this is a function of SAM, which `poller import sam` reads." in result.stderr


def test_the_command_replaces_no_file_unless_told(tmp_path: Path) -> None:
    template_, output = tmp_path / "t.yaml", tmp_path / "poller.yaml"
    template_.write_text(SMALL)
    output.write_text("mine")
    result = _command("cloudformation", str(template_), "-o", str(output))
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == f"{output}: this file exists; --force replaces it"
    assert output.read_text() == "mine"
    result = _command("cloudformation", str(template_), "-o", str(output), "--force")
    assert (result.exit_code, result.stdout) == (0, "")
    assert meaning(output.read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["poller.yaml", "t.yaml"]
    with pytest.raises(ConfigurationError, match="it cannot be written: No such file"):
        save("", tmp_path / "none" / "poller.yaml", force=True)


def test_wrong_arguments_are_told_in_words(tmp_path: Path) -> None:
    result = _command("sam", str(HERE / "nested.sam.yaml"), "--parameter", "Stage")
    assert (result.exit_code, "'Stage': write NAME=VALUE" in result.stderr) == (2, True)
    result = _command("sam", str(HERE / "nested.sam.yaml"), "--parameter", "stage=x")
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).endswith(
        "--parameter: 'stage' is not a parameter of this version; did you mean Stage?"
    )


def test_a_file_without_a_mapping_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("Resources: {}")
    result = _command("sam", str(tmp_path / "t.yaml"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        result.stderr == f"{tmp_path / 't.yaml'}: there is no event source mapping in it that could be written.\n"
    )


def _command(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["import", *arguments])
