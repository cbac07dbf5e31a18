"""FunctionName -> the handler that calls it: the one table of target forms."""

from poller.clock import Clock
from poller.core.mapping import EventSourceMapping
from poller.errors import ConfigurationError
from poller.handlers.exec import ExecHandler
from poller.handlers.http import HttpHandler
from poller.handlers.process import ProcessHandler
from poller.handlers.python import PythonHandler, Target
from poller.ports import Handler

__all__ = ["Target", "make_handler"]


def make_handler(mapping: EventSourceMapping, target: Target | None = None, clock: Clock | None = None) -> Handler:
    """The handler of a mapping; `target` is the callable itself, where the program has it and FunctionName only
    describes it.

    Nothing is imported or connected yet: `start` does that. Raises ConfigurationError for a form of FunctionName
    that this version cannot call.
    """
    if target is not None:
        return PythonHandler(target, mapping, clock)
    form, _, rest = mapping.function_name.partition(":")
    if form == "python":
        return PythonHandler(rest, mapping, clock)
    if form == "process":
        return ProcessHandler(rest, mapping, clock)
    if form == "exec":
        return ExecHandler(rest, mapping, clock)
    if form in {"http", "https"}:
        return HttpHandler(mapping.function_name, mapping, clock)
    raise ConfigurationError(
        f"Mapping {mapping.name!r}: this version cannot call FunctionName {mapping.function_name!r};"
        " what it can call is python:package.module:attribute."
    )
