"""Names in a mapping: the source's ARN, the target, the URL, our own name for it; what is wrong with each.

Here text is taken apart and judged, nothing is looked up: whether the queue or the module exists is not known.
"""

import re
from hashlib import sha256
from keyword import iskeyword
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from poller.core.mapping_shapes import FieldProblem, Path, quote, violation, wrong_type

REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}")
ACCOUNT = re.compile(r"\d{12}")
_PARTITION = re.compile(r"aws(-[a-z0-9]+)*")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_QUEUE_URL = re.compile(
    r"https?://(?:(?:sqs\.)?(?P<region>[a-z0-9-]+)\.)?.*?/(?P<account>\d{12})/(?P<name>[^/?#]+)"
)
# The service's own pattern for FunctionName, which takes most single words.
_LAMBDA = re.compile(
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_ARN_FORM = "arn:aws:sqs:<region>:<account>:<queue>"
_PYTHON = "python:module:attribute"
_PARTS = 6  # fields of an ARN of a queue


class QueueArn(NamedTuple):
    """The parts of a queue's ARN."""

    partition: str
    region: str
    account: str
    name: str


def parse_queue_arn(value: object, path: Path = ("EventSourceArn",)) -> QueueArn | FieldProblem:
    """CFG-1, CFG-37: the parts, or a sentence about what was written instead of a queue's ARN."""
    if value is None:
        return _unrecognised(path, f"EventSourceArn is missing: write the queue's ARN, {_ARN_FORM}")
    if not isinstance(value, str):
        return wrong_type(path, value, "text", f"the ARN of a queue, {_ARN_FORM}")
    if len(value) > 10_000:
        return violation(path, value, "Member must have length less than or equal to 10000", f"write {_ARN_FORM}")
    parts = value.split(":")
    if parts[0] != "arn":
        return _unrecognised(path, _not_an_arn(value))
    service = parts[2] if len(parts) > 2 else ""
    if service != "sqs":
        return _other_service(path, value, service)
    if len(parts) != _PARTS:
        return _unrecognised(path, f"{quote(value)} has {len(parts)} parts instead of 6: write {_ARN_FORM}")
    arn = QueueArn(parts[1], *parts[3:])
    for pattern, part, what in (
        (_PARTITION, arn.partition, "a partition, such as aws or aws-cn"),
        (REGION, arn.region, "a region, such as eu-west-1"),
        (ACCOUNT, arn.account, "an account, which has 12 digits"),
        (
            _QUEUE,
            arn.name,
            "a queue name: up to 80 letters, digits, - and _, with .fifo at the end of a FIFO queue's",
        ),
    ):
        if pattern.fullmatch(part) is None:
            return _unrecognised(path, f"in {quote(value)}, {quote(part)} is not {what}")
    return arn


def _unrecognised(path: Path, advice: str) -> FieldProblem:
    return FieldProblem(path, "InvalidParameterValueException", "Unrecognized event source.", advice)


def _not_an_arn(value: str) -> str:
    url = _QUEUE_URL.fullmatch(value)
    if url is not None:
        region = url["region"] if url["region"] and REGION.fullmatch(url["region"]) else "<region>"
        name = url["name"] if _QUEUE.fullmatch(url["name"]) else "<queue>"
        return f"this is the URL of a queue; write its ARN, arn:aws:sqs:{region}:{url['account']}:{name}"
    if value.startswith(("http://", "https://")):
        return f"this is a URL; write the queue's ARN, {_ARN_FORM}"
    if value and _QUEUE.fullmatch(value):
        return f"{quote(value)} is a name; write the queue's whole ARN, {_ARN_FORM}"
    return f"{quote(value)} is not an ARN; write {_ARN_FORM}"


def _other_service(path: Path, value: str, service: str) -> FieldProblem:
    if service == "kinesis":
        return _later(path, "Kinesis streams are not part of this version yet")
    if service == "dynamodb" and "/stream/" in value:
        return _later(path, "DynamoDB streams are not part of this version yet")
    if service == "dynamodb":
        advice = "this is the ARN of a table: a mapping reads its stream, whose ARN goes on with /stream/<time>, "
        return _unrecognised(path, advice + "and DynamoDB streams are not part of this version yet")
    if not service:
        return _unrecognised(path, f"{quote(value)} is not a whole ARN; write {_ARN_FORM}")
    return _unrecognised(path, f"this is an ARN of {quote(service)}; this version reads queues, {_ARN_FORM}")


def _later(path: Path, message: str) -> FieldProblem:
    return FieldProblem(
        path, "InvalidParameterValueException", message, f"allowed: the ARN of a queue, {_ARN_FORM}"
    )


def target_problem(value: object, path: Path = ("FunctionName",)) -> FieldProblem | None:
    """CFG-2: what is wrong with the target; None for `python:module:attribute`, the one form that runs so far."""
    if value is None:
        return violation(path, None, "Member must not be null.", f"write {_PYTHON}")
    if not isinstance(value, str):
        return wrong_type(path, value, "text", _PYTHON)
    form, colon, rest = value.partition(":")
    if colon and form == "python":
        return None if _is_python(rest) else _bad_target(path, f"{quote(value)} is not of the form {_PYTHON}")
    if colon and form in {"process", "exec"}:
        return _not_yet(path, f"{form}:")
    if colon and form in {"http", "https"}:
        return _not_yet(path, "http: and https:")
    if _LAMBDA.fullmatch(value):
        if len(value) > 256:
            limit = "Member must have length less than or equal to 256"
            return violation(path, value, limit, f"use {_PYTHON}")
        return _not_yet(path, "Lambda function")
    return _bad_target(path, f"{quote(value)} names no target")


def _is_python(rest: str) -> bool:
    """`package.module:attribute`. Python's own words for nameless places pass: a program that hands us such a
    function has it already, and for everybody else the import tells.
    """
    module, colon, attribute = rest.partition(":")
    named = [part for part in attribute.split(".") if part not in {"<locals>", "<lambda>"}]
    return bool(colon) and all(
        part.isidentifier() and not iskeyword(part) for part in (*module.split("."), *named)
    )


def _not_yet(path: Path, form: str) -> FieldProblem:
    return _bad_target(path, f"{form} targets are not part of this version", f"use {_PYTHON}")


def _bad_target(
    path: Path, message: str, advice: str = f"write {_PYTHON}, such as python:shop.orders:handler"
) -> FieldProblem:
    return FieldProblem(path, "InvalidParameterValueException", message, advice)


def url_problem(value: str) -> str | None:
    """What is wrong with an endpoint's URL. What it holds is not repeated: it may be a password."""
    wanted = "allowed: http:// or https:// with a host and, if need be, a port and a path"
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port  # the port is checked when it is read
    except ValueError:
        return f"this is not a URL; {wanted}"
    if url.username is not None or url.password is not None:
        return f"the URL holds a user name or password, which have no place in a configuration; {wanted}"
    if url.scheme not in {"http", "https"} or not host or not value.isprintable() or " " in value:
        return f"this is not the URL of an endpoint; {wanted}"
    if url.query or url.fragment:
        return f"the URL of an endpoint has neither query nor fragment; {wanted}"
    return None


def function_arn(arn: QueueArn, name: str) -> str:
    """The ARN that the handler's context shows: the mapping's name, in the characters and length of Lambda's."""
    function = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:64]
    return f"arn:{arn.partition}:lambda:{arn.region}:{arn.account}:function:{function}"


def mapping_uuid(name: str, source: str, function_name: str) -> str:
    """API-2: 36 lower-case characters in the shape of version 4; the same after every restart, unlike AWS's."""
    digest = sha256(f"{name}\0{source}\0{function_name}".encode("utf-8", "surrogatepass")).digest()
    return str(UUID(bytes=digest[:16], version=4))
