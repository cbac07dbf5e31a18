"""What a call of the embedded AWS is, whatever the service: its answers, its refusals, and who gives them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from poller.clock import Clock
from poller.core.model import Instant, JsonObject
from poller.testing.faults import Drop, FailEntries, Faults, Hang, Refuse, Throttle


@dataclass
class AwsError(Exception):
    """A refused request. `name` is the type without its name space; `status` the HTTP status."""

    name: str
    message: str
    status: int = 400

    def __post_init__(self) -> None:
        super().__init__(self.message)

    @property
    def type(self) -> str:
        """`__type` of the JSON body."""
        return self.name

    @property
    def query_code(self) -> str | None:
        """What `x-amzn-query-error` carries; None for a service that never spoke the query protocol."""
        return None

    @property
    def sender_fault(self) -> bool:
        """Whether repeating the same request is pointless."""
        return self.status < 500


@dataclass(frozen=True, slots=True)
class Dropped:
    """No answer: the connection is to be closed."""


Answer: TypeAlias = JsonObject | AwsError | Dropped
# Status, headers and body, of a service that does not speak AWS JSON.
RestAnswer: TypeAlias = tuple[int, dict[str, str], bytes]
Reply: TypeAlias = Callable[[Answer], None]
Cancel: TypeAlias = Callable[[], None]


class Waiting(Protocol):
    """A call that is answered later."""

    def cancel(self) -> None:
        """The caller is gone: as if the call had never been sent."""
        ...


class Service(Protocol):
    """One AWS service in AWS JSON, used from one event loop only."""

    def call(self, operation: str, request: JsonObject, reply: Reply) -> Waiting | None:
        """Does the operation and calls `reply` exactly once, now or, for what is returned, later.

        A call that meets the fault `hang` is never answered.
        """
        ...


class Machine(Protocol):
    """A service as a pure state machine."""

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject:
        """Does one operation at that moment. Raises AwsError for whatever the service refuses."""
        ...


class MachineService:
    """A state machine whose calls never wait, on a clock, with faults on the way in and every call counted.

    `throttle` is the service's own word for too many requests. A name of `faults` may be that of the operation, or
    have the service before it, `kinesis:GetRecords`, where two services have an operation of that name.
    """

    def __init__(self, name: str, clock: Clock, machine: Machine, faults: Faults, throttle: AwsError) -> None:
        self.name = name
        self.clock = clock
        self.machine = machine
        self.faults = faults
        self.throttle = throttle
        self.calls: Counter[str] = Counter()

    def call(self, operation: str, request: JsonObject, reply: Reply) -> None:
        """See Service; it is always answered now."""
        self.calls[operation] += 1
        match self.faults.take(operation, self.name):
            case None:
                reply(self.do(operation, request))
            case Throttle():
                reply(self.throttle)
            case Refuse(code, message, status):
                reply(AwsError(code, message, status))
            case Drop(after):
                if after:
                    self.do(operation, request)
                reply(Dropped())
            case Hang():
                pass
            case FailEntries():
                raise ValueError(f"{operation} of {self.name} is no batch of SQS: it has no entries that can fail")

    def do(self, operation: str, request: JsonObject) -> JsonObject | AwsError:
        """The same past faults and counters."""
        try:
            return self.machine.apply(self.clock.now(), operation, request)
        except AwsError as error:
            return error
