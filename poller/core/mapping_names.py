"""Names in a mapping: the target, the URL, our own name for it; what is wrong with each. ARNs: mapping_arns.py.

Here text is taken apart and judged, nothing is looked up: whether the module exists is not known.
"""

import re
from hashlib import sha256
from keyword import iskeyword
from urllib.parse import urlsplit
from uuid import UUID

from poller.core.mapping_arns import SourceParts
from poller.core.mapping_shapes import FieldProblem, Path, quote, violation, wrong_type

# The service's own pattern for FunctionName, which takes most single words.
_LAMBDA = re.compile(
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_PYTHON = "python:module:attribute"


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


def function_arn(arn: SourceParts, name: str) -> str:
    """The ARN that the handler's context shows: the mapping's name, in the characters and length of Lambda's."""
    function = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:64]
    return f"arn:{arn.partition}:lambda:{arn.region}:{arn.account}:function:{function}"


def mapping_uuid(name: str, source: str, function_name: str) -> str:
    """API-2: 36 lower-case characters in the shape of version 4; the same after every restart, unlike AWS's.

    A part that is empty does not count: the mapping stays the same whatever it is.
    """
    digest = sha256(f"{name}\0{source}\0{function_name}".encode("utf-8", "surrogatepass")).digest()
    return str(UUID(bytes=digest[:16], version=4))
