"""What the demo does its work on: records that succeed, fail once, fail for ever or crash their handler, the two
handlers, and the ledger in which every record has to turn up.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

GROUPS = 20
FLAKY_EVERY = 19  # fails the first time
CRASH_EVERY = 190  # its handler raises the first time, and the whole batch fails with it
POISON_EVERY = 97  # always fails: the queue moves it to the dead-letter queue


@dataclass(frozen=True, slots=True)
class Work:
    """One record to send; `group` only on the FIFO queue."""

    number: int
    kind: str
    group: str | None = None

    @property
    def body(self) -> str:
        """The message body."""
        return json.dumps({"number": self.number, "kind": self.kind, "group": self.group})


def standard_work(count: int) -> Iterator[Work]:
    """`count` records for the standard queue, with trouble sprinkled over them."""
    for number in range(1, count + 1):
        if number % POISON_EVERY == 0:
            kind = "poison"
        elif number % CRASH_EVERY == 0:
            kind = "crash"
        elif number % FLAKY_EVERY == 0:
            kind = "flaky"
        else:
            kind = "ok"
        yield Work(number, kind)


def fifo_work(count: int) -> Iterator[Work]:
    """`count` records in groups; the last of every fourth group is poison, so that nobody waits behind it."""
    for number in range(1, count + 1):
        group = number % GROUPS
        kind = "flaky" if number % FLAKY_EVERY == 0 else "ok"
        if number > count - GROUPS and group % 4 == 0:
            kind = "poison"
        yield Work(number, kind, f"group-{group}")


@dataclass(slots=True)
class Ledger:
    """What became of the records of one queue, by number."""

    name: str
    sent: dict[int, str | None] = field(default_factory=dict)
    succeeded: Counter[int] = field(default_factory=Counter)
    dead: set[int] = field(default_factory=set)
    failures: int = 0
    last_in_group: dict[str, int] = field(default_factory=dict)
    overtaken: int = 0

    def done(self, number: int, group: str | None) -> None:
        """The handler succeeded with it; first successes of a group must come in the order of sending."""
        self.succeeded[number] += 1
        if group is None or self.succeeded[number] > 1:
            return
        if number < self.last_in_group.get(group, 0):
            self.overtaken += 1
        self.last_in_group[group] = max(number, self.last_in_group.get(group, 0))

    @property
    def again(self) -> int:
        """Successes beyond the first of a record (delivery is at least once)."""
        return self.succeeded.total() - len(self.succeeded)

    @property
    def lost(self) -> list[int]:
        """Sent, and neither handled nor in the dead-letter queue."""
        return sorted(self.sent.keys() - self.succeeded.keys() - self.dead)

    @property
    def accounted(self) -> bool:
        """Whether every record is where it should be, and order was kept."""
        return not self.lost and not self.overtaken


def _fails(work: dict[str, Any], record: dict[str, Any]) -> bool:
    first = record["attributes"]["ApproximateReceiveCount"] == "1"
    return bool(work["kind"] == "poison" or (work["kind"] == "flaky" and first))


class DemoCrashError(Exception):
    """What the demo's handler raises, on purpose."""


def standard_handler(ledger: Ledger) -> Any:
    """An async handler with partial batch responses, which now and then raises instead."""

    async def orders(event: dict[str, Any], context: object) -> dict[str, Any]:
        del context
        works = [(json.loads(record["body"]), record) for record in event["Records"]]
        for work, record in works:
            if work["kind"] == "crash" and record["attributes"]["ApproximateReceiveCount"] == "1":
                ledger.failures += len(works)
                raise DemoCrashError("raised on purpose, so the whole batch comes back")
        failed = [record["messageId"] for work, record in works if _fails(work, record)]
        ledger.failures += len(failed)
        for work, record in works:
            if record["messageId"] not in failed:
                ledger.done(work["number"], None)
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    return orders


def fifo_handler(ledger: Ledger) -> Any:
    """A plain function (it runs in a thread) that stops a group at its first failure, so that order is kept."""

    def payments(event: dict[str, Any], context: object) -> dict[str, Any]:
        del context
        failed: list[str] = []
        failed_groups: set[str] = set()
        for record in event["Records"]:
            work = json.loads(record["body"])
            group = record["attributes"]["MessageGroupId"]
            if group in failed_groups or _fails(work, record):
                failed_groups.add(group)
                failed.append(record["messageId"])
            else:
                ledger.done(work["number"], group)
        ledger.failures += len(failed)
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    return payments
