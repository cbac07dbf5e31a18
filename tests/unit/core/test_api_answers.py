"""What the control API says to what it refuses: one answer, AWS's text where there is one."""

import pytest

from poller.core.api_answers import Refused, in_use, not_found, refused, refused_fields
from poller.core.mapping_shapes import FieldProblem

AWS = "1 validation error detected: Value '0' at 'timeout' failed to satisfy constraint: Member must be 1"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InvalidParameterValueException", 400),
        ("ValidationException", 400),
        ("SerializationException", 400),
        ("ResourceInUseException", 400),
        ("ResourceNotFoundException", 404),
        ("ResourceConflictException", 409),
        ("ServiceException", 503),
    ],
)
def test_each_code_has_its_status(code: str, status: int) -> None:
    """API-5, API-6, CFG-51: clients act on the number."""
    assert refused(code, "text") == Refused(code, status, "text")


def test_what_is_not_there_and_what_is_busy() -> None:
    """API-5, API-6."""
    assert (not_found().code, not_found().status) == ("ResourceNotFoundException", 404)
    assert (in_use().code, in_use().status) == ("ResourceInUseException", 400)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        # AWS's own text is left as it is
        (FieldProblem(("BatchSize",), "ValidationException", AWS, "allowed: 1"), AWS),
        (FieldProblem(("Handler", "TimeoutInSeconds"), "ValidationException", AWS, "allowed: 1"), AWS),
        (FieldProblem(("Tags", "Name"), "InvalidParameterValueException", "no", "allowed: x"), "no"),
        # of ours: the place, and what is allowed
        (
            FieldProblem(("Handler", "X"), "InvalidParameterValueException", "no", "allowed: x"),
            "Handler.X: no; allowed: x.",
        ),
        (FieldProblem(("BatchSize",), "SerializationException", "no", "allowed: x"), "BatchSize: no; allowed: x."),
        (FieldProblem((), "SerializationException", "no", "allowed: x"), "no"),
    ],
)
def test_the_text_is_that_of_the_service_where_it_has_one(problem: FieldProblem, message: str) -> None:
    """CFG-33, CFG-36, CFG-39: programs look for it."""
    assert refused_fields((problem,)).message == message


def test_what_cannot_be_read_is_told_first() -> None:
    """Then what is out of range, and then what does not fit."""
    problems = [
        FieldProblem(("A",), "InvalidParameterValueException", "third", ""),
        FieldProblem(("B",), "ValidationException", "second", ""),
        FieldProblem(("C",), "SerializationException", "first", ""),
    ]
    told = []
    while problems:
        told.append(refused_fields(tuple(problems)).code)
        problems.pop()
    assert told == ["SerializationException", "ValidationException", "InvalidParameterValueException"]
