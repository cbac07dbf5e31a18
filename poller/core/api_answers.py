"""What the control API answers, without HTTP: done with a body, or refused with AWS's code, status and text.

Which code has which status is said here and nowhere else (the errors of Lambda's API, CFG-34 to CFG-51, API-5,
API-6).
"""

from dataclasses import dataclass
from typing import TypeAlias

from poller.core.mapping_shapes import FieldProblem, Path
from poller.core.model import JsonObject

_OURS = frozenset({"Name", "Handler", "Poller"})
_STATUS = {
    "InvalidParameterValueException": 400,
    "ValidationException": 400,
    "SerializationException": 400,
    "ResourceInUseException": 400,
    "ResourceNotFoundException": 404,
    "ResourceConflictException": 409,
    "ServiceException": 503,  # AWS's own says 500: 503 tells clients the same, that another try may work
}
_IN_MODEL = "validation error detected"


@dataclass(frozen=True, slots=True)
class Done:
    """It is done, or will be: `status` of HTTP, and the body of the answer."""

    status: int
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing has changed. `code` is AWS's name of the error (x-amzn-ErrorType), `status` its number of HTTP."""

    code: str
    status: int
    message: str


Answer: TypeAlias = Done | Refused


def refused(code: str, message: str) -> Refused:
    """With the status that goes with the code."""
    return Refused(code, _STATUS[code], message)


def not_found() -> Refused:
    """API-5."""
    return refused("ResourceNotFoundException", "The resource you requested does not exist.")


def in_use() -> Refused:
    """API-6."""
    return refused("ResourceInUseException", "Cannot update the event source mapping because it is in use.")


def refused_fields(problems: tuple[FieldProblem, ...]) -> Refused:
    """One answer for fields that are wrong, as the service gives one: what cannot be read comes before what is
    out of range, and that before what does not fit its source or the other fields.
    """
    problem = min(problems, key=lambda one: _ORDER.index(one.code) if one.code in _ORDER else len(_ORDER))
    return refused(problem.code, _text(problem))


_ORDER = ("SerializationException", "ValidationException")


def _text(problem: FieldProblem) -> str:
    """AWS's text as it is where it has one, because programs look for it; of our own, the place and the advice."""
    if problem.path and _is_ours(problem.path, problem):
        return problem.sentence
    return problem.message


def _is_ours(path: Path, problem: FieldProblem) -> bool:
    if _IN_MODEL in problem.message:
        return False
    return path[0] in _OURS or problem.code in _ORDER
