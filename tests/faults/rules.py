"""What can go wrong on the way to a server, as data: the faults, and the rules that say which request meets which.

Nothing here touches a socket (proxy.py does), and no clock decides: the same plan gives the nth request of an
operation the same fate, whatever the other operations do meanwhile.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

ANY: Final = "*"


@dataclass(frozen=True)
class Delay:
    """The request is passed on at once, its answer comes so many seconds late."""

    seconds: float = 0.3


@dataclass(frozen=True)
class Reset:
    """The connection is reset (TCP RST): before the request was passed on, or `after` the server has answered."""

    after: bool = False


@dataclass(frozen=True)
class BlackHole:
    """No answer, on a connection that stays open until the client ends it; `after`: the request was passed on."""

    after: bool = False


@dataclass(frozen=True)
class Truncated:
    """The request was passed on; of its answer the head and the first half of the body arrive, then the end."""


@dataclass(frozen=True)
class Garbage:
    """The request was passed on; what comes back is not HTTP."""


@dataclass(frozen=True)
class Mangled:
    """The request was passed on; what comes back is well-framed HTTP, status 200, and no JSON."""


@dataclass(frozen=True)
class Throttle:
    """Not passed on: the service's own word for too many requests."""


@dataclass(frozen=True)
class Broken:
    """Not passed on: 500 or 503, in the service's form."""

    status: int = 500


@dataclass(frozen=True)
class Expired:
    """Not passed on: the credentials are no longer valid."""


@dataclass(frozen=True)
class Refused:
    """Not passed on: this error of the service, with status 400."""

    code: str
    message: str


@dataclass(frozen=True)
class Slow:
    """The request was passed on; its answer comes in so many pieces, with a pause before each."""

    pieces: int = 8
    pause: float = 0.05


@dataclass(frozen=True)
class HangUp:
    """The answer is whole and promises to keep the connection, which then ends: it was idle for too long."""


Fault: TypeAlias = (
    Delay
    | Reset
    | BlackHole
    | Truncated
    | Garbage
    | Mangled
    | Throttle
    | Broken
    | Expired
    | Refused
    | Slow
    | HangUp
)


def name_of(fault: Fault) -> str:
    """How it is counted: `Reset`, `Reset after`, `Broken 503`."""
    words = [type(fault).__name__]
    match fault:
        case Reset(after=True) | BlackHole(after=True):
            words.append("after")
        case Broken(status=status):
            words.append(str(status))
        case _:
            pass
    return " ".join(words)


@dataclass(frozen=True)
class Rule:
    """Which requests meet a fault.

    `share` of those to `operations` ("sqs.ReceiveMessage", "sqs.*", ANY), and with `first` only among the first so
    many of each operation.
    """

    fault: Fault
    share: float = 1.0
    operations: tuple[str, ...] = (ANY,)
    first: int | None = None

    def covers(self, operation: str, nth: int) -> bool:
        """Whether the nth request (from 1) of this operation is one of those that may meet it."""
        if self.first is not None and nth > self.first:
            return False
        service = operation.partition(".")[0]
        return any(name in {ANY, operation, f"{service}.*"} for name in self.operations)


@dataclass(frozen=True)
class Plan:
    """Rules in their order: each takes its share of one throw, so a request meets one fault at most."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0

    def fault_of(self, operation: str, nth: int) -> Fault | None:
        """What the nth request (from 1) of this operation meets; None: it passes unharmed."""
        throw = random.Random(f"{self.seed} {operation} {nth}").random()
        for rule in self.rules:
            if rule.covers(operation, nth):
                if throw < rule.share:
                    return rule.fault
                throw -= rule.share
        return None


def mix(share: float, faults: Iterable[Fault], *operations: str) -> tuple[Rule, ...]:
    """A rule for each fault: together they take `share` of the requests, each the same part."""
    each = tuple(faults)
    return tuple(Rule(fault, share / len(each), operations or (ANY,)) for fault in each)
