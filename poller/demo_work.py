"""What the demo does its work on: records that succeed, fail once, crash their handler once or fail for ever, and
the ledger in which every record has to turn up.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

FLAKY_EVERY = 19  # fails the first time
CRASH_EVERY = 190  # its handler raises the first time, and the whole batch fails with it
POISON_EVERY = 97  # always fails: the queue moves it to the dead-letter queue
STREAM_CRASH_EVERY = 120
STREAM_POISON = 6  # of a stream, whatever its length: each holds its lane up until it is given up


@dataclass(frozen=True, slots=True)
class Work:
    """One record to send; records of one `key` (message group, partition key, item) are to succeed in order."""

    number: int
    kind: str
    key: str | None = None


def standard_work(count: int) -> Iterator[Work]:
    """`count` records for the standard queue, with trouble sprinkled over them."""
    for number in range(1, count + 1):
        if number % POISON_EVERY == 0:
            kind = "poison"
        elif number % CRASH_EVERY == 0:
            kind = "crash"
        else:
            kind = _flaky_or_ok(number)
        yield Work(number, kind)


def fifo_work(count: int, keys: int) -> Iterator[Work]:
    """`count` records in groups; the last of every fourth group is poison, so that nobody waits behind it."""
    for number in range(1, count + 1):
        poison = number > count - keys and number % keys % 4 == 0
        yield Work(number, "poison" if poison else _flaky_or_ok(number), f"group-{number % keys}")


def stream_work(count: int, keys: int, key: str) -> Iterator[Work]:
    """`count` records in the order of their keys; a few are poison, far from each other."""
    apart = max(10, count // STREAM_POISON) | 1  # odd, so that they have different keys
    for number in range(1, count + 1):
        if number % apart == apart // 2:
            kind = "poison"
        elif number % STREAM_CRASH_EVERY == 0:
            kind = "crash"
        else:
            kind = _flaky_or_ok(number)
        yield Work(number, kind, f"{key}-{number % keys}")


def _flaky_or_ok(number: int) -> str:
    return "flaky" if number % FLAKY_EVERY == 0 else "ok"


@dataclass(slots=True)
class Ledger:
    """What became of the records of one source, by number.

    `given_up` are those that lie in the dead-letter queue, or inside the sequence range of a failure document;
    `keys` is what order is kept by, in a word, where it is.
    """

    name: str
    keys: str = ""
    sent: dict[int, str | None] = field(default_factory=dict)
    tried: set[int] = field(default_factory=set)
    succeeded: Counter[int] = field(default_factory=Counter)
    given_up: set[int] = field(default_factory=set)
    documents: int = 0
    failures: int = 0
    last_of_key: dict[str, int] = field(default_factory=dict)
    overtaken: int = 0

    def fails(self, number: int, kind: str) -> bool:
        """Whether the handler is to fail with this record now: the first time, or always."""
        first = number not in self.tried
        self.tried.add(number)
        return kind == "poison" or (first and kind in {"flaky", "crash"})

    def done(self, number: int, key: str | None) -> None:
        """The handler succeeded with it; first successes of a key must come in the order of sending."""
        self.succeeded[number] += 1
        if key is None or self.succeeded[number] > 1:
            return
        if number < self.last_of_key.get(key, 0):
            self.overtaken += 1
        self.last_of_key[key] = max(number, self.last_of_key.get(key, 0))

    @property
    def again(self) -> int:
        """Successes beyond the first of a record (delivery is at least once)."""
        return self.succeeded.total() - len(self.succeeded)

    @property
    def lost(self) -> list[int]:
        """Sent, and neither handled nor given up where somebody finds it."""
        return sorted(self.sent.keys() - self.succeeded.keys() - self.given_up)

    @property
    def accounted(self) -> bool:
        """Whether every record is where it should be, and order was kept."""
        return not self.lost and not self.overtaken
