"""Faults that a test plants: what the next calls of an operation meet instead of the service.

    aws.faults.throttle("ReceiveMessage", times=3)
    aws.faults.drop("DeleteMessageBatch", after=True)        # done, but the answer is lost
    aws.faults.fail_entries("DeleteMessageBatch", [0, 4])
    aws.faults.hang("ReceiveMessage", times=None)            # for ever, until clear()

`operation` may be ANY, and the service may stand before it ("kinesis:GetRecords"). Faults of an operation are met
in the order in which they were planted. Each service tells them in its own words.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Nothing is done; the answer is what the service says to a caller who asks too often."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing is done; this error is the answer."""

    code: str
    message: str
    status: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection closes without an answer, before or `after` the work was done."""

    after: bool


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing is done and no answer ever comes: a black hole."""


@dataclass(frozen=True, slots=True)
class FailEntries:
    """These entries of a batch (by place, from 0) are refused, the others done."""

    places: frozenset[int]
    code: str
    sender_fault: bool


Fault: TypeAlias = Throttle | Refuse | Drop | Hang | FailEntries


@dataclass(slots=True)
class _Planted:
    operation: str
    fault: Fault
    left: int | None


class Faults:
    """The planted faults. `times` is how many calls meet one; None means every call until `clear`."""

    def __init__(self) -> None:
        self._planted: deque[_Planted] = deque()

    def throttle(self, operation: str = ANY, times: int | None = 1) -> None:
        """Answers as the service does to a caller who asks too often."""
        self._plant(operation, Throttle(), times)

    def fail(
        self,
        operation: str = ANY,
        times: int | None = 1,
        *,
        status: int = 500,
        code: str = "InternalFailure",
        message: str = "A failure planted by a test.",
    ) -> None:
        """Answers with this HTTP status and error code."""
        self._plant(operation, Refuse(code, message, status), times)

    def drop(self, operation: str = ANY, times: int | None = 1, *, after: bool = False) -> None:
        """Closes the connection instead of answering, before or after the work was done."""
        self._plant(operation, Drop(after), times)

    def hang(self, operation: str = ANY, times: int | None = 1) -> None:
        """Never answers."""
        self._plant(operation, Hang(), times)

    def fail_entries(
        self,
        operation: str,
        places: Iterable[int],
        times: int | None = 1,
        *,
        code: str = "InternalError",
        sender_fault: bool = False,
    ) -> None:
        """Refuses the entries at these places of a batch call of SQS."""
        self._plant(operation, FailEntries(frozenset(places), code, sender_fault), times)

    def clear(self) -> None:
        """All well again. Calls that hang go on hanging: their client has to give up."""
        self._planted.clear()

    def take(self, operation: str, service: str) -> Fault | None:
        """The fault that this call meets, if any."""
        for planted in self._planted:
            if planted.operation in {operation, ANY, f"{service}:{operation}"}:
                if planted.left is not None:
                    planted.left -= 1
                    if planted.left == 0:
                        self._planted.remove(planted)
                return planted.fault
        return None

    def _plant(self, operation: str, fault: Fault, times: int | None) -> None:
        if times is None or times > 0:
            self._planted.append(_Planted(operation, fault, times))
