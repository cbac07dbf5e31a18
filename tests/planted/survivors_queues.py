"""Judged mutants of what the core does about queues; what a judgement is, survivors.py says."""

from typing import Final

from tests.planted.reasons import DIFFERENT, FIGURE, NOT_BELOW, SET_FIRST, SHORT_CUT

_DOUBLED = "doubled = policy.initial * 2.0 ** min(message.receive_count - 1, 64)"
_LONGEST = "longest[message.group] = max(whole, longest.get(message.group, 0))"
_EARLIEST = (
    "if message.lease_until < earliest:  # noqa: PLR1730 - a call of min for each message takes thrice as long"
)
_ENDED = "return count, most < self._batch_size and count == most"
_AT_ONCE = "if not self._window and not self._open and len(messages) <= self._batch_size:"
_ONE_BATCH = "if size <= EVENT_LIMIT:  # mostly: one receive, one batch"
_ALL_FIT = "if overhead + self.size + RECORD_SEPARATOR * len(self._records) <= EVENT_LIMIT:"
_TRIGGER = "trigger = BatchTrigger.SIZE if len(messages) == self._batch_size else BatchTrigger.IMMEDIATE"
_NOT_READ = "nobody reads it before a batch is opened, and that sets it"
_FIRST = "earliest = messages[0].lease_until if messages else 0.0"
_ZIPPED = "for message, whole in zip(messages, seconds, strict=True)"
_NO_LESS = "no window is below 0"
_NEVER_MORE = "a batch is closed when it is full, and never has more"
_PLACES = "places = dict(zip(reversed(sent), range(len(sent) - 1, -1, -1), strict=True))"
_KNOWN = "known = sent if isinstance(sent, AbstractSet) else frozenset(sent)"
_SENT = "if len(pending) <= ENTRIES and under_way.isdisjoint(pending):"
_SEND = "if not self._pending or not (self._eager or self._calls == 0 or len(self._pending) >= ENTRIES):"
_PATIENT = "if failures < PATIENCE_FIRST or failures & (failures - 1) or failures == self._patient_after:"
_PATIENCE = "PATIENCE_FIRST = 4  # after so many failed probes one gets the full margin, then after 8, 16, 32, ..."
_ROOM = "return 0 if room <= 0 or len(self._deletes) > UNDELETED_MAX or self.over_budget else room"
_CLOSE = "return unclaimed > 0 and (unclaimed - 1) * self._batch_size >= self._receives.asked"
_WHOLE = "if mapping.window > 0 or mapping.batch_size >= ENTRIES:"
_NOTHING = "nothing = facts.visible == facts.in_flight == facts.delayed == 0"
_NO_SLOT = "without a slot the other side is below 0, and what is asked is not"
_POWERS = "only powers of two from four on come through, and they do both ways"
_NONE = "0 or less is no room either way"
_STALE = "stale = len(held.stale(batch.messages, now)) if lease_until < now else 0"
_LEFT = "if full and self._slots.free > 0:"
_TOO_LARGE = "if batch.size > EVENT_LIMIT and len(batch.messages) == 1:"
_REFUSED = 'self.ended(batch, FunctionError("RequestTooLarge", reason), now, waits=False)'
_OTHER_END = "while no slot is free no window may close, and the end that frees one sets it again"
_NO_OTHERS = "the batcher makes no batch that is too large but of a single message, and none of none"
_MORE = "more = len(wire) > _USUALLY  # most messages have the usual five fields and no other"
_USUAL = 'usual = "SqsManagedSseEnabled" not in attributes and sent_at >= 0 and type(body) is str'
_COUNT = 'message.receive_count = 1 if count == "1" else max(1, _integer(count, 1))'
_SENT_AT = "usual, count, sent_at = False, None, 0.0"
_REFRESHED = "if not self._renewed or self._renewed.isdisjoint([message.id for message in batch.messages]):"
_LET_PASS = "if len(passing) < len(messages):"
_PROBE = "if (probe := self._receives.due()) is not None and self._room() > 0:"
_POLLING = "polling=bool(self._receives) or (self._mode in ACTIVE and self._room() > 0),"
_NULL_MD5 = "arn, null_md5, held = self._mapping.arn, self._mapping.window > 0, self._held"
_UNCLAIMED = "if slots.unclaimed > 0:  # mostly not, on a busy queue"
_ROOM_OR_NONE = "return 0 if self._resting() else self._permits.room()"
_HAS_ROOM = "self.has_room = limit > 0"
_STRETCHED = "if mapping.window == 0 or needed <= queues_own:"
_NEXT = "return None if self._next == inf else self._next"
_AT_CEILING = "if self.limit >= self._ceiling or not (backlog or self.limit < self._start):"
_STEP = "self.limit = min(self._ceiling, self.limit + min(steps, max(1, int(self._growth))))"
_GROWTH = "GROWTH = 300 / 60  # SQS-3: invokes that may be added, per second"
_ASKED = "return max(own, min(asked or 0.0, LONGEST_ASKED))"

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    ("settle", _DOUBLED, _DOUBLED.replace("64", "65")): "both are beyond any delay that is allowed",
    ("settle", _DOUBLED, _DOUBLED.replace("64", "63")): "both are beyond any delay that is allowed",
    ("settle", _LONGEST, _LONGEST.replace("group, 0", "group, -1")): "no delay is below 0",
    ("settle", _ZIPPED, _ZIPPED.replace("True", "False")): "both have as many by their making",
    ("batcher", _EARLIEST, _EARLIEST.replace(" < ", " <= ")): "of two that are equal either is the earliest",
    ("batcher", _ENDED, _ENDED.replace("most <", "most !=")): "it is never more than the batch size",
    ("batcher", _ENDED, _ENDED.replace("most <", "most <=")): "a full batch is asked about before it",
    ("batcher", _AT_ONCE, _AT_ONCE.replace("<=", "==")): SHORT_CUT,
    ("batcher", _AT_ONCE, _AT_ONCE.replace("<=", "<")): SHORT_CUT,
    ("batcher", _AT_ONCE, _AT_ONCE.replace("not self._open", " self._open")): SHORT_CUT,
    ("batcher", _ONE_BATCH, _ONE_BATCH.replace("<=", "==")): SHORT_CUT,
    ("batcher", _ONE_BATCH, _ONE_BATCH.replace("<=", "<")): SHORT_CUT,
    ("batcher", _ALL_FIT, _ALL_FIT.replace("<=", "==")): SHORT_CUT,
    ("batcher", _ALL_FIT, _ALL_FIT.replace("<=", "<")): SHORT_CUT,
    ("batcher", "if self.count >= self._batch_size:", "if self.count == self._batch_size:"): _NEVER_MORE,
    ("batcher", "elif count >= self._batch_size:", "elif count == self._batch_size:"): _NEVER_MORE,
    ("batcher", "if self._window == 0 and opened:", "if self._window <= 0 and opened:"): _NO_LESS,
    ("batcher", "elif ended or self._window == 0:", "elif ended or self._window <= 0:"): _NO_LESS,
    ("batcher", _TRIGGER, _TRIGGER.replace("==", ">=")): _NEVER_MORE,
    ("batcher", "if len(kept) == len(batch.messages):", "if len(kept) >= len(batch.messages):"): _NEVER_MORE,
    ("batcher", _ENDED, _ENDED.replace("count ==", "count >=")): "it is the smaller of two, of which one is that",
    ("batcher", "if count >= len(records):", "if count > len(records):"): SHORT_CUT,
    ("batcher", "self._opened_at = 0.0", "self._opened_at = 1.0"): _NOT_READ,
    ("batcher", "self._opened_at = 0.0", "self._opened_at = -1.0"): _NOT_READ,
    ("batcher", _FIRST, _FIRST.replace("[0]", "[ -1]")): "all of them are looked at, wherever one begins",
    ("batcher", "self._opened_at = 0.0", "pass"): _NOT_READ,
    ("batcher", _FIRST, _FIRST.replace("0.0", "1.0")): "a batch without messages is dropped, its lease never read",
    (
        "batcher",
        _FIRST,
        _FIRST.replace("0.0", "-1.0"),
    ): "a batch without messages is dropped, its lease never read",
    ("batcher", "return max(1, place), True", "return max( 0, place), True"): "who cuts takes one at least",
    ("batcher", "if within < count:", "if within != count:"): "no more fit than there are",
    ("response", _PLACES, _PLACES.replace("True", "False")): "both have as many by their making",
    ("response", _KNOWN, _KNOWN.replace("if isi", "if not isi")): "a copy of it, or it: nobody changes either",
    ("batcher", "while begin < len(records):", "while begin != len(records):"): "never more",
    ("batcher", "_fitting | break", "_fitting | continue"): "what is too much with one record is so with more",
    ("receives", _PATIENT, _PATIENT.replace("failures ==", "failures <=")): "failures only become more",
    ("receives", _PATIENT, _PATIENT.replace("- 1", "- 2")): _POWERS,
    ("receives", _PATIENCE, _PATIENCE.replace("= 4", "= 3")): _POWERS,
    (
        "receives",
        "if self._window and self._polling.target > 1:",
        "if self._window and self._polling.target != 1:",
    ): "one receive is wanted at least",
    ("readings", _NOTHING, _NOTHING.replace("visible ==", "visible <=")): NOT_BELOW,
    ("readings", _NOTHING, _NOTHING.replace("flight ==", "flight <=")): NOT_BELOW,
    ("readings", _NOTHING, _NOTHING.replace("delayed ==", "delayed <=")): NOT_BELOW,
    ("readings", "self._nothing_came = got == 0", "self._nothing_came = got <= 0"): NOT_BELOW,
    ("permits", _ROOM, _ROOM.replace("<= 0", "< 0")): _NONE,
    ("permits", _ROOM, _ROOM.replace("<= 0", "<= -1")): _NONE,
    ("permits", "room = self._batch_size if free else 0", "room = self._batch_size if free else -1"): _NONE,
    ("permits", _CLOSE, _CLOSE.replace("unclaimed > 0", "unclaimed != 0")): _NO_SLOT,
    ("permits", _CLOSE, _CLOSE.replace("unclaimed > 0", "unclaimed >= 0")): _NO_SLOT,
    ("permits", _CLOSE, _CLOSE.replace("unclaimed > 0", "unclaimed > -1")): _NO_SLOT,
    ("permits", _WHOLE, _WHOLE.replace("> 0", "!= 0")): _NO_LESS,
    ("permits", _WHOLE, _WHOLE.replace(">= ENTRIES", "> ENTRIES")): "ten is a multiple of ten",
    ("deletes", _SENT, _SENT.replace("<=", "==")): SHORT_CUT,
    ("deletes", _SENT, _SENT.replace("<=", "<")): SHORT_CUT,
    ("deletes", _SEND, _SEND.replace("== 0", "<= 0")): NOT_BELOW,
    ("queue_batches", _STALE, _STALE.replace("< now", "!= now")): SHORT_CUT,
    ("queue_batches", _STALE, _STALE.replace("< now", "<= now")): SHORT_CUT,
    ("queue_batches", _LEFT, _LEFT.replace("> 0", "!= 0")): _OTHER_END,
    ("queue_batches", _LEFT, _LEFT.replace("> 0", ">= 0")): _OTHER_END,
    ("queue_batches", _LEFT, _LEFT.replace("> 0", "> -1")): _OTHER_END,
    ("queue_batches", _TOO_LARGE, _TOO_LARGE.replace("==", "<=")): _NO_OTHERS,
    ("queue_batches", _TOO_LARGE, _TOO_LARGE.replace("==", ">=")): _NO_OTHERS,
    ("queue_batches", _REFUSED, _REFUSED.replace("False", "True")): "a function error waits for no attempt",
    (
        "queue_batches",
        "_leave_gate | return",
        "_leave_gate | pass",
    ): "the gate of a queue without groups lets nobody wait",
    ("payload", _MORE, _MORE.replace(">", "!=")): SHORT_CUT,
    ("payload", _MORE, _MORE.replace(">", ">=")): SHORT_CUT,
    ("payload", _USUAL, _USUAL.replace(">= 0", "== 0")): SHORT_CUT,
    ("payload", _USUAL, _USUAL.replace(">= 0", "> 0")): SHORT_CUT,
    ("payload", _USUAL, _USUAL.replace(">= 0", ">= 1")): SHORT_CUT,
    ("payload", _SENT_AT, _SENT_AT.replace("0.0", "1.0")): "what is not usual is read once more",
    ("payload", _SENT_AT, _SENT_AT.replace("0.0", "-1.0")): "what is not usual is read once more",
    ("payload", _COUNT, _COUNT.replace("count, 1)", "count, 0)")): "it is 1 at least",
    ("held", _REFRESHED, _REFRESHED.replace(" or ", " and ")): SHORT_CUT,
    ("queue_consumer", _LET_PASS, _LET_PASS.replace("<", "!=")): "no more pass than there are",
    ("queue_consumer", "if room <= 0:", "if room == 0:"): "room is never below 0",
    ("queue_consumer", _PROBE, _PROBE.replace("> 0", "!= 0")): "room is never below 0",
    ("queue_consumer", _POLLING, _POLLING.replace("> 0", "!= 0")): "room is never below 0",
    ("queue_consumer", _NULL_MD5, _NULL_MD5.replace("> 0", "!= 0")): _NO_LESS,
    ("queue_consumer", _UNCLAIMED, _UNCLAIMED.replace("> 0", "!= 0")): SHORT_CUT,
    ("queue_consumer", _UNCLAIMED, _UNCLAIMED.replace("> 0", ">= 0")): SHORT_CUT,
    ("queue_consumer", _UNCLAIMED, _UNCLAIMED.replace("> 0", "> -1")): SHORT_CUT,
    ("queue_consumer", _ROOM_OR_NONE, _ROOM_OR_NONE.replace("return 0", "return -1")): _NONE,
    (
        "queue_consumer",
        "_on_received 1 | return",
        "_on_received 1 | pass",
    ): "no message is none to make, either",
    ("budget", _HAS_ROOM, _HAS_ROOM.replace(">", "!=")): "no limit is below 0",
    ("visibility", _STRETCHED, _STRETCHED.replace("==", "<=")): _NO_LESS,
    ("heartbeat", _NEXT, _NEXT.replace("==", ">=")): "nothing is beyond the end of time",
    ("heartbeat", "if lease.due != inf:", "if lease.due <= inf:"): "the smaller of two is not the infinite one",
    ("heartbeat", "continue", "pass"): "a lease under way is due never, and nothing is changed",
    (
        "scaling",
        "return self.target > self.floor",
        "return self.target != self.floor",
    ): "it is no lower than its floor",
    ("scaling", _AT_CEILING, _AT_CEILING.replace(">=", "==")): "nothing lifts it above its ceiling",
    ("scaling", _AT_CEILING, _AT_CEILING.replace(">=", ">")): SHORT_CUT,
    ("scaling", "if got >= asked:", "if got == asked:"): "no source brings more than it was asked for",
    ("scaling", _STEP, _STEP.replace("max(1,", "max( 2,")): "both growths are above it",
    ("scaling", _STEP, _STEP.replace("max(1,", "max( 0,")): "both growths are above it",
    ("scaling", _GROWTH, _GROWTH.replace("300 /", "301 /")): FIGURE,
    ("backoff", _ASKED, _ASKED.replace("0.0", "-1.0")): "our own delay is not below 0",
}

LINES: Final[dict[tuple[str, str], str]] = {
    ("receives", "self._next += 1"): DIFFERENT,
    ("receives", "self._probe_started = 0.0"): SET_FIRST,
    ("receives", "self._patient_after = 0"): "it is compared with four failures and more only",
    ("receives", "self._not_before = 0.0"): SET_FIRST,
    ("slots", "self.free_since = 0.0"): SET_FIRST,
    ("readings", "self._next_at = 0.0"): "no time is below it",
    ("readings", "self._empty_at = 0.0"): SET_FIRST,
    ("readings", "__init__ | self._empty = 0"): "a drain begins with setting it",
    (
        "permits",
        "UNDELETED_MAX = 2_000  # acknowledged and not yet deleted; above it nothing new is received",
    ): FIGURE,
    (
        "permits",
        "WAITING_MAX = 1_000  # messages of blocked FIFO groups; above it nothing new is received",
    ): FIGURE,
    ("receives", "ON_ITS_WAY = 1.0  # seconds that a receive without a wait may take to reach the source"): FIGURE,
    (
        "readings",
        "self._may_count = False  # the one under way was asked at rest, and no receive has ended since",
    ): SET_FIRST,
    ("heartbeat", "LONGEST_MARGIN: Final = 5"): FIGURE,
    ("budget", "def __init__(self, limit: int = 256 * 1024 * 1024) -> None:"): FIGURE,
    ("scaling", "PROVISIONED_GROWTH = 1000 / 60  # SQS-7"): FIGURE,
}
