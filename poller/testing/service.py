"""SQS in time: long polls that wait, faults on the way in, counters of what was asked.

Calls answer through a callback, so that a waiting poll costs no task; used from one event loop only.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from poller.clock import Clock, SystemClock
from poller.core.model import JsonObject
from poller.testing.calls import Answer, Cancel, Dropped, Reply
from poller.testing.clock import ManualClock
from poller.testing.faults import Drop, FailEntries, Faults, Hang, Refuse, Throttle
from poller.testing.sqs import Sqs
from poller.testing.sqs_errors import SqsError
from poller.testing.sqs_messages import Nothing, without_entries


@dataclass(slots=True, eq=False)
class Parked:
    """A ReceiveMessage that waits; `cancel` makes it as if it had never been sent."""

    service: "SqsService"
    queue: str
    request: JsonObject
    reply: Reply
    until: float
    stop_timer: Cancel

    def cancel(self) -> None:
        """The caller is gone: takes no message any more."""
        self.service.forget(self)


def _nothing_to_cancel() -> None:
    """For calls that no timer belongs to."""


class SqsService:
    """Runs one Sqs on one clock. `calls` counts every call by operation, those that met a fault included.

    `waiting` is how many receives wait now; `most_waiting` how many ever did at once.
    """

    def __init__(self, clock: Clock | None = None, sqs: Sqs | None = None, faults: Faults | None = None) -> None:
        self.clock = clock or SystemClock()
        self.sqs = sqs or Sqs()
        self.faults = faults or Faults()
        self.calls: Counter[str] = Counter()
        self.waiting = 0
        self.most_waiting = 0
        self._parked: dict[str, OrderedDict[int, Parked]] = {}
        self._alarms: dict[str, Cancel] = {}

    def call(self, operation: str, request: JsonObject, reply: Reply) -> Parked | None:
        """See calls.Service."""
        self.calls[operation] += 1
        match self.faults.take(operation, "sqs"):
            case None:
                return self.do(operation, request, reply)
            case Throttle():
                reply(SqsError("RequestThrottled", "The request was denied due to request throttling."))
            case Refuse(code, message, status):
                reply(SqsError(code, message, status))
            case Drop(after=True):
                return self.do(operation, request, lambda answer: reply(Dropped()))
            case Drop():
                reply(Dropped())
            case Hang():
                pass
            case FailEntries() as fault:
                self._do_in_part(operation, request, reply, fault)
        return None

    def do(self, operation: str, request: JsonObject, reply: Reply) -> Parked | None:
        """The same past faults and counters."""
        now = self.clock.now()
        answer: Answer | Nothing
        try:
            answer = self.sqs.apply(now, operation, request)
        except SqsError as error:
            answer = error
        if isinstance(answer, Nothing):
            if answer.wait > 0:
                return self._park(answer, request, reply, now.mono)
            answer = {}
        reply(answer)
        self._serve_touched()
        return None

    def _do_in_part(self, operation: str, request: JsonObject, reply: Reply, fault: FailEntries) -> None:
        """A batch of which some entries fail."""
        rest, failed = without_entries(request, fault)

        def reply_with_failures(answer: Answer) -> None:
            if isinstance(answer, dict):
                answer["Failed"] = failed + answer.get("Failed", [])
            reply(answer)

        if rest["Entries"]:
            self.do(operation, rest, reply_with_failures)
        else:
            reply_with_failures({})

    # --- long polls ---

    def _park(self, nothing: Nothing, request: JsonObject, reply: Reply, mono: float) -> Parked:
        until = mono + nothing.wait
        parked = Parked(self, nothing.queue, request, reply, until, _nothing_to_cancel)
        parked.stop_timer = self.at(until, lambda: self._end(parked))
        self._parked.setdefault(nothing.queue, OrderedDict())[id(parked)] = parked
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        self._arm(nothing.queue, nothing.next_change)
        return parked

    def _end(self, parked: Parked) -> None:
        if self.clock.now().mono < parked.until:  # the loop's timers may be early
            parked.stop_timer = self.at(parked.until, lambda: self._end(parked))
        else:
            self._serve(parked.queue)

    def forget(self, parked: Parked) -> bool:
        """Takes a poll off the queue's line and tells whether it still was there."""
        line = self._parked.get(parked.queue)
        if line is None or line.pop(id(parked), None) is None:
            return False
        parked.stop_timer()
        self.waiting -= 1
        if not line:
            del self._parked[parked.queue]
            self._alarms.pop(parked.queue, _nothing_to_cancel)()
        return True

    def _serve_touched(self) -> None:
        touched = self.sqs.touched
        if touched:
            names = [name for name in touched if name in self._parked]
            touched.clear()
            for name in names:
                self._serve(name)

    def _serve(self, queue: str) -> None:
        """Answers the waiting receives of a queue, first come first served, as far as there is an answer."""
        while line := self._parked.get(queue):
            now = self.clock.now()
            first = next(iter(line.values()))
            answer: Answer | Nothing
            try:
                answer = self.sqs.apply(now, "ReceiveMessage", first.request)
            except SqsError as error:
                answer = error
            if isinstance(answer, Nothing):
                for parked in [parked for parked in line.values() if parked.until <= now.mono]:
                    if self.forget(parked):
                        parked.reply({})
                self._arm(queue, answer.next_change)
                break
            self.forget(first)
            first.reply(answer)
        self._serve_touched()  # a receive may have moved a message to a dead-letter queue

    def _arm(self, queue: str, next_change: float | None) -> None:
        """One alarm for each queue that somebody waits for."""
        self._alarms.pop(queue, _nothing_to_cancel)()
        if next_change is not None and queue in self._parked:
            self._alarms[queue] = self.at(next_change, lambda: self._serve(queue))

    def at(self, mono: float, ring: Callable[[], None]) -> Cancel:
        """Calls `ring` once at this monotonic second of the service's clock; returns what cancels it."""
        if isinstance(self.clock, ManualClock):
            return self.clock.at(mono, ring)
        # A loop's timers may fire a little early; a millisecond more spares a second look.
        delay = max(0.0, mono - self.clock.now().mono) + 0.001
        return asyncio.get_running_loop().call_later(delay, ring).cancel
