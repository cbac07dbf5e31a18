"""The target that FunctionName names: its form taken apart and judged, and what may stand beside which form.

Here text is read, nothing is looked up: whether the module, the command or the function exists is not known.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import TypeAlias, assert_never

from poller.core.mapping_arns import SourceParts
from poller.core.mapping_names import url_problem
from poller.core.mapping_shapes import FieldProblem, Path, invalid, quote, violation, wrong_type

# The service's own pattern for FunctionName, which takes most single words. Its newest form has dots in names too:
# not here, because what looks so is a python: target without its python:, and no function can be named so.
_LAMBDA = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*)?:lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?",
    re.ASCII,
)
_LONGEST_LAMBDA = 256
_LONGEST = 4_096  # ours, for the forms that AWS does not have: a URL or a command line has room in it
# The same as schemas tell it, where what a name may be is not looked at.
TARGET_PATTERNS = (
    r"(?:python|process):[^:\s]+:[^:\s]+",
    r"exec:.*\S.*",
    r"https?://[^\s#]+",
    f"(?!(?:python|process|exec|https?):){_LAMBDA.pattern}",
)
_NAMELESS = {"<locals>", "<lambda>"}
_FORMS = (
    "python:module:attribute, process:module:attribute, exec:command line, an http:// or https:// URL,"
    " or the name or ARN of a Lambda function"
)


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """`python:package.module:attribute`, a callable in this process; `reference` is without the form."""

    reference: str


@dataclass(frozen=True, slots=True)
class ProcessTarget:
    """`process:package.module:attribute`, the same in worker processes; `reference` is without the form."""

    reference: str


@dataclass(frozen=True, slots=True)
class ExecTarget:
    """`exec:command line`, a child process; `command` is the line without the form, and never empty."""

    command: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The line as a POSIX shell takes it apart, without what else a shell does; the program first."""
        return tuple(shlex.split(self.command))


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """`http://…` or `https://…`: the whole URL, with its query if it has one, without user, password, fragment."""

    url: str


@dataclass(frozen=True, slots=True)
class LambdaTarget:
    """A Lambda function: `reference` as it was written, and its parts, empty where they were left out.

    `qualifier` is a version, an alias or $LATEST. Which function a reference without region and account means
    depends on the source: `lambda_arn`.
    """

    reference: str
    name: str
    qualifier: str = ""
    partition: str = ""
    region: str = ""
    account: str = ""


Target: TypeAlias = PythonTarget | ProcessTarget | ExecTarget | HttpTarget | LambdaTarget


def parse_target(value: object, path: Path = ("FunctionName",)) -> Target | FieldProblem:
    """CFG-2: the target that a FunctionName means, or what is wrong with it.

    What stands in an EventSourceMapping is always a target. A word with a form's colon behind it is that form: a
    Lambda function named `python` is reached by its ARN.
    """
    if value is None:
        return violation(path, None, "Member must not be null.", f"write {_FORMS}")
    if not isinstance(value, str):
        return wrong_type(path, value, "text", _FORMS)
    if len(value) > _LONGEST:
        limit = f"Member must have length less than or equal to {_LONGEST}"
        return violation(path, told(value), limit, f"write {_FORMS}")
    if not value.isprintable():  # messages and the failure documents repeat it
        return invalid(path, "this holds a line break or another control character", "write it on one line")
    form, colon, rest = value.partition(":")
    match form if colon else "":
        case "python":
            return PythonTarget(rest) if _is_python(rest, nameless=True) else _not_of(path, value)
        case "process":
            return ProcessTarget(rest) if _is_python(rest, nameless=False) else _not_of(path, value)
        case "exec":
            wrong = _command_problem(rest)
            return invalid(path, wrong, "write exec: and a command line") if wrong else ExecTarget(rest)
        case "http" | "https":
            wrong = url_problem(value, query=True)
            return FieldProblem(path, "InvalidParameterValueException", wrong) if wrong else HttpTarget(value)
        case _:
            return _lambda(value, path)


def told(reference: str) -> str:
    """A FunctionName as messages, metrics and the status may show it: a URL without its query, which may hold a
    secret.
    """
    return reference.partition("?")[0] if reference.startswith(("http://", "https://")) else reference


def _is_python(reference: str, *, nameless: bool) -> bool:
    """`package.module:attribute`. Python's own words for nameless places pass for a target in this process: a
    program that hands us such a function has it already, and for everybody else the import tells.
    """
    module, colon, attribute = reference.partition(":")
    named = [part for part in attribute.split(".") if not (nameless and part in _NAMELESS)]
    return bool(colon) and all(
        part.isidentifier() and not iskeyword(part) for part in (*module.split("."), *named)
    )


def _not_of(path: Path, value: str) -> FieldProblem:
    form = value.partition(":")[0]
    wanted = f"{form}:module:attribute"
    return invalid(path, f"{quote(value)} is not of the form {wanted}", f"such as {form}:shop.orders:handler")


def _command_problem(command: str) -> str | None:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        return f"the command line of exec: cannot be taken apart: {str(error).lower()}"
    return None if arguments and arguments[0] else "exec: names no command"


def _lambda(value: str, path: Path) -> Target | FieldProblem:
    match = _LAMBDA.fullmatch(value)
    if match is None:
        return invalid(path, f"{quote(value)} names no target", f"write {_FORMS}")
    if len(value) > _LONGEST_LAMBDA:
        limit = f"Member must have length less than or equal to {_LONGEST_LAMBDA}"
        return violation(path, value, limit, f"write {_FORMS}")
    parts = {name: part or "" for name, part in match.groupdict().items()}
    return LambdaTarget(value, **parts)


def lambda_arn(target: LambdaTarget, source: SourceParts) -> str:
    """CFG-53: the function's ARN, with the qualifier if one was written and never another.

    What was left out is the source's, which a mapping's function shares on AWS (GEN-6).
    """
    place = (
        target.partition or source.partition,
        target.region or source.region,
        target.account or source.account,
    )
    partition, region, account = place
    qualifier = f":{target.qualifier}" if target.qualifier else ""
    return f"arn:{partition}:lambda:{region}:{account}:function:{target.name}{qualifier}"


def function_arn(target: Target, source: SourceParts, name: str) -> str:
    """The ARN that contexts and failure documents show: a Lambda function's own (CFG-53), for the other forms the
    mapping's `name` in the characters and length of Lambda's.
    """
    match target:
        case LambdaTarget():
            return lambda_arn(target, source)
        case PythonTarget() | ProcessTarget() | ExecTarget() | HttpTarget():
            function = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:64]
            return f"arn:{source.partition}:lambda:{source.region}:{source.account}:function:{function}"
        case _:
            assert_never(target)


def function_reference(written: str, arn: str) -> str:
    """CFG-52: the same for the same target: the ARN of a Lambda function (CFG-53), else what was written."""
    return arn if isinstance(parse_target(written), LambdaTarget) else written


def handler_problems(fields: Mapping[str, object]) -> Iterator[FieldProblem]:
    """Fields of `Handler` that only some targets have: on another they would do nothing, and are refused."""
    target, handler = parse_target(fields.get("FunctionName")), fields.get("Handler")
    if isinstance(target, FieldProblem) or not isinstance(handler, Mapping):
        return
    for name, (form, what) in _ONLY_FOR.items():
        if handler.get(name) is not None and not isinstance(target, form):
            message = f"{name} is for {what}, and FunctionName names another target"
            yield invalid(("Handler", name), message, "leave it out")


_ONLY_FOR: Mapping[str, tuple[type, str]] = {
    "EndpointUrl": (LambdaTarget, "Lambda functions"),
    "HmacSecretVariable": (HttpTarget, "http:// and https:// targets"),
    "RecycleAfter": (ProcessTarget, "process: targets"),
}
