"""The functions of a template: their timeouts, and with --local their code in the poller's process."""

from pathlib import Path

import pytest

from poller.importer.file import Imported
from tests.unit.importer.meaning import ARN, meaning, template

QUEUES = "arn:aws:sqs:eu-west-1:123456789012:"


def function(name: str, rest: str, *, event: str = "E", queue: str = "q") -> str:
    """A function of SAM with a queue."""
    return (
        f"  {name}:\n    Type: AWS::Serverless::Function\n    Properties:\n      FunctionName: {name.lower()}\n"
        f"      {rest}\n      Events: {{{event}: {{Type: SQS, Properties: {{Queue: '{QUEUES}{queue}'}}}}}}\n"
    )


def imported(tmp_path: Path, *functions: str, local: bool = True, sam: bool = True) -> Imported:
    return template(tmp_path / "t.yaml", f"Resources:\n{''.join(functions)}", local=local, sam=sam)


def told(result: Imported) -> list[str]:
    return [line.partition("t.yaml:")[2].partition(": ")[2] for line in result.lines]


@pytest.mark.parametrize(
    ("handler", "target"),
    [
        ("app.lambda_handler", "python:app:lambda_handler"),
        ("src.orders.app.handler", "python:src.orders.app:handler"),
        ("src/orders/app.handler", "python:src.orders.app:handler"),
        ("./app.handler", "python:app:handler"),
    ],
)
def test_python_code_is_called_in_the_process(handler: str, target: str, tmp_path: Path) -> None:
    result = imported(
        tmp_path,
        function("F", f"{{}}\n      Handler: {handler}\n      Runtime: python3.12").replace(
            "{}\n", "CodeUri: src\n"
        ),
    )
    assert [mapping.function_name for mapping in meaning(result.text)] == [target]
    assert "# The code of F is in CodeUri 'src': start poller there, or set PYTHONPATH to it.\n" in result.text
    assert result.complete


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("Runtime: nodejs22.x", "its Runtime is 'nodejs22.x', not Python"),
        ("PackageType: Image", "its Runtime is null, not Python"),
        ("{Runtime: python3.12, Handler: app, X: 1}", "its Handler 'app' is not module.attribute"),
        ("{Runtime: python3.12, Handler: a-b.c, X: 1}", "its Handler 'a-b.c' is not module.attribute"),
        ("{Runtime: python3.12, Handler: a.b, InlineCode: x}", "its code is inside the template"),
        ("{Runtime: python3.12, Handler: !Ref X, X: 1}",
         "its Handler is not known: Ref X names nothing in this template"),
    ],
)  # fmt: skip
def test_other_code_stays_a_function_on_lambda(rest: str, why: str, tmp_path: Path) -> None:
    lines = "\n      ".join(part.strip() for part in rest.strip("{}").split(", "))
    result = imported(tmp_path, function("F", lines))
    assert [mapping.function_name for mapping in meaning(result.text)] == ["f"]
    assert told(result) == [f"FE.FunctionName: stays a function on Lambda: {why}."]
    assert not result.complete


def test_modules_of_one_name_in_several_folders_stay_on_lambda(tmp_path: Path) -> None:
    """A process has one `app`: one function's messages would be handled, and deleted, by the code of the other."""
    python = "Runtime: python3.12\n      Handler: app.{}\n      CodeUri: {}"
    result = imported(
        tmp_path,
        function("F", python.format("one", "src/f"), queue="f"),
        function("G", python.format("two", "src/g"), queue="g"),
        function("H", "Runtime: python3.12\n      Handler: other.handler\n      CodeUri: src/h", queue="h"),
    )
    assert [mapping.function_name for mapping in meaning(result.text)] == ["f", "g", "python:other:handler"]
    assert told(result) == [
        f"{name}E.FunctionName: stays a function on Lambda:"
        " several functions have a module app of their own, in other folders."
        for name in ("F", "G")
    ]
    same = imported(
        tmp_path,
        function("F", python.format("one", "src"), queue="f"),
        function("G", python.format("two", "src"), queue="g"),
    )
    assert [mapping.function_name for mapping in meaning(same.text)] == ["python:app:one", "python:app:two"]


def test_the_names_of_a_functions_variables_are_told(tmp_path: Path) -> None:
    rest = "Runtime: python3.12\n      Handler: a.b\n      Environment: {Variables: {TABLE: t, KEY: k}}"
    result = imported(tmp_path, function("F", rest))
    assert told(result) == ["F: its code expects environment variables, which are not copied: KEY, TABLE."]
    assert result.complete


@pytest.mark.parametrize(
    "named",
    [
        "!Ref F", "!GetAtt F.Arn", "!Sub '${F}'", "!Sub '${F.Arn}:live'", "!Join [':', [!GetAtt F.Arn, live]]",
        "!Ref Live", "worker", "worker:7", "arn:aws:lambda:eu-west-1:123456789012:function:worker:live",
        "!Sub 'arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:worker'",
    ],
)  # fmt: skip
def test_the_timeout_of_a_function_is_found_however_it_is_named(named: str, tmp_path: Path) -> None:
    """INV-3: the call must be given as long as the function may run."""
    text = f"""
Resources:
  Other: {{Type: "AWS::Lambda::Function", Properties: {{FunctionName: other}}}}
  F: {{Type: "AWS::Lambda::Function", Properties: {{FunctionName: worker, Timeout: "600"}}}}
  Live: {{Type: "AWS::Lambda::Alias", Properties: {{FunctionName: !Ref F, Name: live}}}}
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{EventSourceArn: "{QUEUES}q", FunctionName: {named}}}
"""
    result = template(tmp_path / "t.yaml", text, sam=False)
    assert [mapping.handler.timeout for mapping in meaning(result.text)] == [600]
    assert result.lines == ()


def test_a_timeout_that_is_not_told_is_lambdas_own_or_asked_for(tmp_path: Path) -> None:
    """A function of the template without one has 3 seconds; of one elsewhere nothing is known."""
    result = imported(tmp_path, function("F", "Runtime: java21"), local=False)
    assert [mapping.handler.timeout for mapping in meaning(result.text)] == [3]
    assert result.lines == ()
    elsewhere = f"""
Resources:
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{EventSourceArn: "{QUEUES}q", FunctionName: "{ARN("lambda", "function:x")}"}}
"""
    result = template(tmp_path / "t.yaml", elsewhere)
    assert "how long the functions of M may run is not told here" in result.lines[0]
    assert "# How long a function may run is not told" in result.text
    assert result.complete


def test_a_function_without_a_name_is_found_through_its_alias(tmp_path: Path) -> None:
    text = f"""
Resources:
  F: {{Type: "AWS::Lambda::Function", Properties: {{Timeout: 600}}}}
  Live: {{Type: "AWS::Lambda::Alias", Properties: {{FunctionName: !Ref F, Name: live}}}}
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{EventSourceArn: "{QUEUES}q", FunctionName: !Ref Live}}
"""
    result = template(tmp_path / "t.yaml", text, sam=False)
    [mapping] = meaning(result.text, F_NAME="shop-F-1X2Y")
    assert (mapping.function_name, mapping.handler.timeout) == ("shop-F-1X2Y:live", 600)
