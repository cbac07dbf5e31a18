"""Everything that goes wrong between a worker and AWS: drawn for each call from the seed, counted by name.

What AWS itself does is in poller/testing; here are the network, overload, and answers that are none. Faults of the
store are in store.py, those of functions in functions.py, what happens to whole processes in disturb.py.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from random import Random

THROTTLES = {
    "sqs": ("RequestThrottled", 400),
    "kinesis": ("ProvisionedThroughputExceededException", 400),
    "dynamodbstreams": ("LimitExceededException", 400),
    "sns": ("ThrottledException", 400),
    "s3": ("SlowDown", 503),
}
BATCHES = {"DeleteMessageBatch", "ChangeMessageVisibilityBatch"}
GARBAGE = (b"", b"null", b"[]", b"<html>502</html>", b'{"Records": 7}', b'{"Messages": {}}', b"{", b"{}")
LATE = (0.5, 4.0, 12.0)  # seconds


class Fate(StrEnum):
    """What becomes of one call; the value is the name under which it is counted."""

    DONE = "done"
    THROTTLED = "throttle"
    SERVER = "server error"
    CREDENTIALS = "credentials expired"
    NO_CONNECTION = "no connection"
    RESET_BEFORE = "reset before the effect"
    RESET_AFTER = "reset after the effect"
    LOST_REPLY = "lost reply"
    BLACK_HOLE = "black hole"
    TRUNCATED_BODY = "truncated body"
    MALFORMED = "malformed response"
    LATE = "late response"
    PARTIAL = "partial batch failure"
    SHORT_PAGE = "truncated page"
    EXPIRED = "expired iterator"
    DUPLICATE = "duplicate receive"


_ANY = (
    Fate.THROTTLED, Fate.THROTTLED, Fate.SERVER, Fate.CREDENTIALS, Fate.NO_CONNECTION, Fate.RESET_BEFORE,
    Fate.RESET_AFTER, Fate.RESET_AFTER, Fate.LOST_REPLY, Fate.BLACK_HOLE, Fate.TRUNCATED_BODY, Fate.MALFORMED,
    Fate.LATE,
)  # fmt: skip
_PAGES = {"GetRecords", "ListShards", "DescribeStream"}


@dataclass
class Weather:
    """How likely what is; all of it is switched off at the end of a run."""

    wire: float = 0.0
    batch: float = 0.0
    page: float = 0.0
    iterator: float = 0.0
    duplicate: float = 0.0
    destination: float = 0.0
    store: float = 0.0
    error: float = 0.0
    throttle: float = 0.0
    partial: float = 0.0
    nonsense: float = 0.0
    slow: float = 0.0


def any_weather(random: Random) -> Weather:
    """A storm of some kinds and calm in the others."""

    def some(most: float) -> float:
        return random.choice([0.0, most / 4, most])

    return Weather(
        wire=some(0.25),
        batch=some(0.3),
        page=some(0.5),
        iterator=some(0.1),
        duplicate=some(0.2),
        destination=random.choice([0.0, 0.3, 1.0]),
        store=some(0.25),
        error=some(0.4),
        throttle=some(0.4),
        partial=some(0.5),
        nonsense=some(0.2),
        slow=some(0.4),
    )


def fate_of(service: str, operation: str, weather: Weather, random: Random, reached: Counter[str]) -> Fate:
    """What becomes of this call."""
    fate = Fate.DONE
    if operation in {"SendMessage", "Publish", "PutObject"} and random.random() < weather.destination:
        fate = random.choice((*_ANY, Fate.SERVER, Fate.SERVER))
        reached["destination down"] += 1
    elif random.random() < weather.wire:
        fate = random.choice(_ANY)
    elif operation in BATCHES and random.random() < weather.batch:
        fate = Fate.PARTIAL
    elif operation in _PAGES and random.random() < weather.page:
        fate = Fate.SHORT_PAGE
    elif operation == "GetRecords" and random.random() < weather.iterator:
        fate = Fate.EXPIRED
    elif operation == "ReceiveMessage" and random.random() < weather.duplicate:
        fate = Fate.DUPLICATE
    if fate is not Fate.DONE:
        reached[fate] += 1
    return fate
