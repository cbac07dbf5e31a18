"""FunctionName -> the handler that calls it: the one table of target forms."""

from collections.abc import Callable
from typing import TypeAlias, assert_never

from poller.clock import Clock
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_shapes import FieldProblem
from poller.core.mapping_targets import (
    ExecTarget,
    HttpTarget,
    LambdaTarget,
    ProcessTarget,
    PythonTarget,
    parse_target,
)
from poller.errors import ConfigurationError
from poller.handlers.exec import ExecHandler
from poller.handlers.http import HttpHandler
from poller.handlers.process import ProcessHandler
from poller.handlers.python import PythonHandler, Target
from poller.ports import Handler

__all__ = ["MakeLambda", "Target", "make_handler"]

MakeLambda: TypeAlias = Callable[[EventSourceMapping], Handler]


def make_handler(
    mapping: EventSourceMapping,
    target: Target | None = None,
    clock: Clock | None = None,
    make_lambda: MakeLambda | None = None,
) -> Handler:
    """The handler of a mapping; `target` is the callable itself, where the program has it and FunctionName only
    describes it. `make_lambda` makes the one of a Lambda function: handlers know no AWS.

    Nothing is imported, started or connected yet: `start` does that. Raises ConfigurationError for a FunctionName
    that names no target, which no valid mapping has, and for a Lambda function where there is no AWS.
    """
    if target is not None:
        return PythonHandler(target, mapping, clock)
    match parse_target(mapping.function_name):
        case PythonTarget(reference):
            return PythonHandler(reference, mapping, clock)
        case ProcessTarget(reference):
            return ProcessHandler(reference, mapping, clock)
        case ExecTarget(command):
            return ExecHandler(command, mapping, clock)
        case HttpTarget(url):
            return HttpHandler(url, mapping, clock)
        case LambdaTarget(reference):
            if make_lambda is None:
                raise ConfigurationError(f"Mapping {mapping.name!r}: {reference} cannot be invoked without AWS.")
            return make_lambda(mapping)
        case FieldProblem() as problem:
            raise ConfigurationError(f"Mapping {mapping.name!r}: {problem.sentence}")
        case unknown:
            assert_never(unknown)
