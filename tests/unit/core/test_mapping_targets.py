"""What FunctionName may be, form by form, what each comes to, and what may stand beside it in `Handler`."""

from typing import Any

import pytest

from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.mapping_conflicts import find_conflicts
from poller.core.mapping_shapes import FieldProblem
from poller.core.mapping_targets import (
    ExecTarget,
    HttpTarget,
    LambdaTarget,
    ProcessTarget,
    PythonTarget,
    Target,
    parse_target,
    told,
)

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
CLICKS = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/clicks"
FULL = "arn:aws:lambda:us-east-1:999999999999:function:shop"


def parsed(target: Any, source: str = QUEUE, **fields: Any) -> EventSourceMapping | Invalid:
    start = {"StartingPosition": "LATEST"} if source == CLICKS else {}
    return parse_mapping({"EventSourceArn": source, "FunctionName": target} | start | fields)


def valid(target: str, source: str = QUEUE, **fields: Any) -> EventSourceMapping:
    mapping = parsed(target, source, **fields)
    assert isinstance(mapping, EventSourceMapping), mapping
    return mapping


def only_problem(target: Any, **fields: Any) -> FieldProblem:
    refused = parsed(target, **fields)
    assert isinstance(refused, Invalid), refused
    (problem,) = refused.problems
    assert problem.sentence.isprintable()
    return problem


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("python:a:b", PythonTarget("a:b")),
        ("python:a.b_1.c:D.e", PythonTarget("a.b_1.c:D.e")),
        ("python:module:f.<locals>.g", PythonTarget("module:f.<locals>.g")),
        ("python:m:<lambda>", PythonTarget("m:<lambda>")),
        ("process:shop.orders:handler", ProcessTarget("shop.orders:handler")),
        ("exec:./handler --fast 'a b'", ExecTarget("./handler --fast 'a b'")),
        ("exec: node handler.js", ExecTarget(" node handler.js")),
        ("http://127.0.0.1:8080", HttpTarget("http://127.0.0.1:8080")),
        ("http://[::1]:80/", HttpTarget("http://[::1]:80/")),
        ("http://10.0.0.1/", HttpTarget("http://10.0.0.1/")),
        ("http://my_host./", HttpTarget("http://my_host./")),
        ("http://हिन्दी.example/", HttpTarget("http://हिन्दी.example/")),
        ("https://hooks.example.com/x?team=a&b=%20", HttpTarget("https://hooks.example.com/x?team=a&b=%20")),
        ("orders", LambdaTarget("orders", "orders")),
        ("function:orders", LambdaTarget("function:orders", "orders")),
        ("orders:live", LambdaTarget("orders:live", "orders", "live")),
        ("orders:$LATEST", LambdaTarget("orders:$LATEST", "orders", "$LATEST")),
        (
            "123456789012:function:o:1",
            LambdaTarget("123456789012:function:o:1", "o", "1", account="123456789012"),
        ),
        (FULL, LambdaTarget(FULL, "shop", "", "aws", "us-east-1", "999999999999")),
        (
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:shop:PROD",
            LambdaTarget(
                "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:shop:PROD",
                "shop",
                "PROD",
                "aws-us-gov",
                "us-gov-west-1",
                "123456789012",
            ),
        ),
        ("o" * 256, LambdaTarget("o" * 256, "o" * 256)),
        (f"exec:{'x' * 4_091}", ExecTarget("x" * 4_091)),
    ],
)
def test_targets(written: str, target: Target) -> None:
    """CFG-2: every form, with what is behind it as it was written."""
    assert parse_target(written) == target
    mapping = valid(written)
    assert mapping.function_name == written
    assert len(written) <= 4_096


def test_a_command_line_is_taken_apart_as_a_shell_does() -> None:
    """CFG-2: quotes hold words together, and nothing is expanded."""
    target = parse_target('exec:python -u "my handler.py" --x=\'a b\' $HOME "" #1')
    assert isinstance(target, ExecTarget)
    assert target.arguments == ("python", "-u", "my handler.py", "--x=a b", "$HOME", "", "#1")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "'' names no target; write python:module:attribute, process:"),
        ("shop.orders:handler", "names no target; write python:module:attribute"),
        ("python:handler", "is not of the form python:module:attribute; such as python:shop.orders:handler."),
        ("python:", "is not of the form"),
        ("python::handler", "is not of the form"),
        ("python:shop.orders:", "is not of the form"),
        ("python:shop..orders:handler", "is not of the form"),
        ("python:shop.orders:handler()", "is not of the form"),
        ("python:shop orders:handler", "is not of the form"),
        ("python:shop.class:handler", "is not of the form"),
        ("python:shop:handler:1", "is not of the form"),
        ("process:handler", "is not of the form process:module:attribute; such as process:shop.orders:handler."),
        ("process:m:f.<locals>.g", "is not of the form process:module:attribute"),
        ("process:m:<lambda>", "is not of the form process:module:attribute"),
        ("exec:", "exec: names no command; write exec: and a command line."),
        ("exec:  ", "exec: names no command"),
        ("exec:'' x", "exec: names no command"),
        ("exec:sh -c 'x", "the command line of exec: cannot be taken apart: no closing quotation"),
        ("exec:a\nb", "holds a line break or another control character; write it on one line."),
        ("exec:a\0b", "holds a line break or another control character"),
        ("https://a\x1b", "holds a line break or another control character"),
        ("https://h/x?key=hunter2\n", "holds a line break or another control character"),
        (f"https://h/?key=hunter2{'x' * 4_096}", "Member must have length less than or equal to 4096"),
        ("python:\ud83d:b", "holds a line break or another control character"),
        ("http:x", "this is not the URL of an endpoint; allowed: http:// or https:// with a host"),
        ("http://", "this is not the URL of an endpoint"),
        ("http://h:99999", "this is not a URL"),
        ("http://[::1", "this is not a URL"),
        ("http://a..b", "this is not the URL of an endpoint"),
        ("http://h\\x/y", "this is not the URL of an endpoint"),
        ("http://a%20b/", "this is not the URL of an endpoint"),
        ("http://*/", "this is not the URL of an endpoint"),
        (f"http://{'a' * 64}.example", "this is not the URL of an endpoint"),
        ("http://999.1.1.1/", "this is not the URL of an endpoint"),
        ("https://h/a b", "this is not the URL of an endpoint"),
        ("https://me:hunter2@h/", "the URL holds a user name or password"),
        ("https://hunter2@h/", "the URL holds a user name or password"),
        ("https://h/x#there", "the URL of a target has no fragment"),
        ("ftp://h/x", "names no target"),
        ("orders:live:1", "names no target"),
        ("arn:aws:lambda:eu-west-1:123456789012:layer:orders:1", "names no target"),
        (f"{QUEUE}:x", "names no target"),
        ("arn:aws:lambda:europe:123456789012:function:orders", "names no target"),
        ("o" * 257, "Member must have length less than or equal to 256"),
        (f"exec:{'x' * 4_092}", "Member must have length less than or equal to 4096"),
        (None, "Value null at 'functionName' failed to satisfy constraint: Member must not be null."),
        (7, "7 is not text"),
        (["python:a:b"], "a list is not text"),
    ],
)
def test_what_is_no_target(target: Any, words: str) -> None:
    """CFG-2: each form is told apart, and what to write instead is said; a password is not repeated."""
    problem = only_problem(target)
    assert problem.path == ("FunctionName",)
    assert words in problem.detail
    assert "hunter2" not in problem.detail
    assert len(problem.detail) < 500


@pytest.mark.parametrize(
    ("written", "source", "arn"),
    [
        ("shop", QUEUE, "arn:aws:lambda:eu-west-1:123456789012:function:shop"),
        ("shop", CLICKS, "arn:aws-cn:lambda:cn-north-1:123456789012:function:shop"),
        ("function:shop", QUEUE, "arn:aws:lambda:eu-west-1:123456789012:function:shop"),
        ("shop:1", QUEUE, "arn:aws:lambda:eu-west-1:123456789012:function:shop:1"),
        ("shop:live", CLICKS, "arn:aws-cn:lambda:cn-north-1:123456789012:function:shop:live"),
        ("shop:$LATEST", QUEUE, "arn:aws:lambda:eu-west-1:123456789012:function:shop:$LATEST"),
        ("999999999999:function:shop:1", QUEUE, "arn:aws:lambda:eu-west-1:999999999999:function:shop:1"),
        (FULL, QUEUE, FULL),
        (f"{FULL}:PROD", CLICKS, f"{FULL}:PROD"),
        ("arn:aws:lambda:us-east-1:999999999999:shop", QUEUE, FULL),
    ],
)
def test_the_arn_of_a_function(written: str, source: str, arn: str) -> None:
    """CFG-53: what was left out is the source's, and a qualifier is neither dropped nor made up."""
    assert valid(written, source, Name="another").function_arn == arn


@pytest.mark.parametrize("target", ["python:a:b", "process:a:b", "exec:./a", "https://h/a"])
def test_a_target_that_is_no_function_has_an_arn_for_the_context(target: str) -> None:
    """INV-1 needs an ARN in the context: the mapping's name, 64 characters of Lambda's alphabet."""
    prefix = "arn:aws:lambda:eu-west-1:123456789012:function:"
    assert valid(target, f"{QUEUE}.fifo").function_arn == f"{prefix}orders-fifo"
    assert valid(target, Name="n.m" * 40).function_arn == prefix + ("n-m" * 40)[:64]


@pytest.mark.parametrize(
    ("field", "value", "takes"),
    [
        ("EndpointUrl", "http://127.0.0.1:9000", {"shop", FULL}),
        ("HmacSecretVariable", "HOOK_SECRET", {"http://h", "https://h/a"}),
        ("RecycleAfter", 1_000, {"process:a:b"}),
    ],
)
@pytest.mark.parametrize(
    "target", ["python:a:b", "process:a:b", "exec:./a", "http://h", "https://h/a", "shop", FULL]
)
def test_settings_that_only_some_targets_have(target: str, field: str, value: Any, takes: set[str]) -> None:
    """CFG-2: a setting without effect is refused, on queues and on streams."""
    for source in (QUEUE, CLICKS):
        answer = parsed(target, source, Handler={field: value})
        if target in takes:
            assert isinstance(answer, EventSourceMapping), answer
            assert value in {
                answer.handler.endpoint_url,
                answer.handler.hmac_secret_variable,
                answer.handler.recycle_after,
            }
        else:
            assert isinstance(answer, Invalid)
            assert [problem.path for problem in answer.problems] == [("Handler", field)]
            assert answer.problems[0].message.startswith(f"{field} is for ")
            assert answer.problems[0].code == "InvalidParameterValueException"
        assert isinstance(parsed(target, source, Handler={field: None}), EventSourceMapping)


def test_a_wrong_target_is_told_once() -> None:
    """CFG-2: what may stand beside it is asked when it is known."""
    assert only_problem("python:x", Handler={"RecycleAfter": 5}).path == ("FunctionName",)


@pytest.mark.parametrize("value", ["hunter2-", "hunter2 ", 7, "", "x" * 129])
def test_the_name_of_a_secret_may_be_the_secret(value: Any) -> None:
    """CFG-2: what `${HOOK_SECRET}` came to is not repeated."""
    problem = only_problem("https://h", Handler={"HmacSecretVariable": value})
    assert problem.path == ("Handler", "HmacSecretVariable")
    assert "this is not the name of an environment variable" in problem.detail
    assert "hunter2" not in problem.detail


@pytest.mark.parametrize("reference", ["python:a:b", "process:a:b", "exec:./a?b", "https://h/a", "shop:1", FULL])
def test_what_is_told_of_a_target(reference: str) -> None:
    """CFG-2: the query of a URL may hold a secret."""
    assert told(reference) == reference
    assert told("https://h/a?key=hunter2") == "https://h/a"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://x", "not the URL of an endpoint"),
        ("http://", "not the URL of an endpoint"),
        ("http://h:99999", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://h?x=1", "neither query nor fragment"),
        ("http://h#x", "neither query nor fragment"),
        ("http://me:hunter2@h", "user name or password"),
        (5, "not text"),
    ],
)
def test_the_endpoint_of_a_function(url: Any, words: str) -> None:
    """CFG-2: a password in it is not repeated."""
    problem = only_problem("shop", Handler={"EndpointUrl": url})
    assert problem.path == ("Handler", "EndpointUrl")
    assert words in problem.detail
    assert "hunter2" not in problem.detail


@pytest.mark.parametrize(
    ("target", "at_once"),
    [("python:a:b", 1_000), ("https://h", 1_000), ("shop", 1_000), ("process:a:b", 10), ("exec:./a", 10)],
)
def test_calls_at_once(target: str, at_once: int) -> None:
    """STR-41: a lane of a stream has a call of its own, but not a process of its own; a queue has ten."""
    assert valid(target, CLICKS).handler.concurrency == at_once
    assert valid(target, QUEUE).handler.concurrency == 10
    assert valid(target, CLICKS, Handler={"Concurrency": 40}).handler.concurrency == 40


def test_one_function_has_several_references() -> None:
    """CFG-52: by name, version, alias and $LATEST it may be on one source at the same time."""
    references = ["shop", "shop:$LATEST", "shop:1", "shop:live", "shopping", FULL, "999999999999:function:shop"]
    for source in (QUEUE, CLICKS):
        assert find_conflicts([valid(one, source, Name=f"n{i}") for i, one in enumerate(references)]) == ()


@pytest.mark.parametrize(
    "again",
    ["function:shop", "123456789012:function:shop", "arn:aws:lambda:eu-west-1:123456789012:function:shop"],
)
def test_one_reference_in_other_words(again: str) -> None:
    """CFG-51, CFG-53: what counts is the ARN that the words come to."""
    first = valid("shop", Name="a")
    (problem,) = find_conflicts([first, valid("shop:1", Name="b"), valid(again, Name="c")])
    assert (problem.path, problem.code) == ((2, "FunctionName"), "ResourceConflictException")
    assert first.uuid in problem.message
    assert f'and function (" {again} ") already exists.' in problem.message


def test_positions_stay_when_a_function_is_named_in_other_words() -> None:
    """STR-31: without a Name a stream is known by its function, which is the same by name and by ARN."""
    uuids = {
        valid(one, CLICKS).uuid
        for one in ("shop", "function:shop", "arn:aws-cn:lambda:cn-north-1:123456789012:function:shop")
    }
    assert len(uuids) == 1
    assert valid("shop:1", CLICKS).uuid not in uuids
