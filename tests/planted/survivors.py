"""Mutants of the core that no test can kill, because nobody outside could see the difference; and why.

One that changes what somebody may rely on does not belong here: it wants a test.
"""

from typing import Final

_IN_ORDER = "if first.offset == before and last.offset - before + 1 == len(records):  # mostly: one lane, in order"
_SHORT_CUT = "which of two ways is taken; the shorter one comes to what the longer one comes to"
_NEVER_MET = "offsets ascend and none is below the mark, so both sides are true for the same records"
_DOUBLED = "doubled = policy.initial * 2.0 ** min(message.receive_count - 1, 64)"
_LONGEST = "longest[message.group] = max(whole, longest.get(message.group, 0))"

_OLDEST = "if min([record.arrived_at for record in batch.records]) >= oldest:"
_EARLIEST = (
    "if message.lease_until < earliest:  # noqa: PLR1730 - a call of min for each message takes thrice as long"
)
_ENDED = "return count, most < self._batch_size and count == most"
_AT_ONCE = "if not self._window and not self._open and len(messages) <= self._batch_size:"
_ONE_BATCH = "if size <= EVENT_LIMIT:  # mostly: one receive, one batch"
_ALL_FIT = "if overhead + self.size + RECORD_SEPARATOR * len(self._records) <= EVENT_LIMIT:"
_TRIGGER = "trigger = BatchTrigger.SIZE if len(messages) == self._batch_size else BatchTrigger.IMMEDIATE"
_EACH_ONCE = "each parent is counted once and taken off once: no count is below 0"
_READY = "ready = deque(key for key, count in waiting.items() if count == 0)"
_FIGURE = "a margin that was chosen: that it is above 0 is tested, and nobody relies on the figure"
_NOT_READ = "nobody reads it before a batch is opened, and that sets it"
_FIRST = "earliest = messages[0].lease_until if messages else 0.0"
_ZIPPED = "for message, whole in zip(messages, seconds, strict=True)"
_NO_LESS = "no window is below 0"
_NEVER_MORE = "a batch is closed when it is full, and never has more"
_PLACES = "places = dict(zip(reversed(sent), range(len(sent) - 1, -1, -1), strict=True))"
_KNOWN = "known = sent if isinstance(sent, AbstractSet) else frozenset(sent)"

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    ("settle", _DOUBLED, _DOUBLED.replace("64", "65")): "both are beyond any delay that is allowed",
    ("settle", _DOUBLED, _DOUBLED.replace("64", "63")): "both are beyond any delay that is allowed",
    ("settle", _LONGEST, _LONGEST.replace("group, 0", "group, -1")): "no delay is below 0",
    ("stream_settle", _OLDEST, _OLDEST.replace(">=", "==")): _SHORT_CUT,
    ("stream_settle", _OLDEST, _OLDEST.replace(">=", ">")): _SHORT_CUT,
    ("stream_settle", "if lowest == 0:", "if lowest <= 0:"): "no place is below 0",
    ("batcher", _EARLIEST, _EARLIEST.replace(" < ", " <= ")): "of two that are equal either is the earliest",
    ("batcher", _ENDED, _ENDED.replace("most <", "most !=")): "it is never more than the batch size",
    ("batcher", _ENDED, _ENDED.replace("most <", "most <=")): "a full batch is asked about before it",
    ("batcher", _AT_ONCE, _AT_ONCE.replace("<=", "==")): _SHORT_CUT,
    ("batcher", _AT_ONCE, _AT_ONCE.replace("<=", "<")): _SHORT_CUT,
    ("batcher", _AT_ONCE, _AT_ONCE.replace("not self._open", " self._open")): _SHORT_CUT,
    ("batcher", _ONE_BATCH, _ONE_BATCH.replace("<=", "==")): _SHORT_CUT,
    ("batcher", _ONE_BATCH, _ONE_BATCH.replace("<=", "<")): _SHORT_CUT,
    ("batcher", _ALL_FIT, _ALL_FIT.replace("<=", "==")): _SHORT_CUT,
    ("batcher", _ALL_FIT, _ALL_FIT.replace("<=", "<")): _SHORT_CUT,
    ("batcher", "if self.count >= self._batch_size:", "if self.count == self._batch_size:"): _NEVER_MORE,
    ("batcher", "elif count >= self._batch_size:", "elif count == self._batch_size:"): _NEVER_MORE,
    ("batcher", "if self._window == 0 and opened:", "if self._window <= 0 and opened:"): _NO_LESS,
    ("batcher", "elif ended or self._window == 0:", "elif ended or self._window <= 0:"): _NO_LESS,
    ("batcher", _TRIGGER, _TRIGGER.replace("==", ">=")): _NEVER_MORE,
    ("batcher", "if len(kept) == len(batch.messages):", "if len(kept) >= len(batch.messages):"): _NEVER_MORE,
    ("batcher", _ENDED, _ENDED.replace("count ==", "count >=")): "it is the smaller of two, of which one is that",
    ("shards", "if waiting[child] == 0:", "if waiting[child] <= 0:"): _EACH_ONCE,
    ("shards", _READY, _READY.replace("==", "<=")): _EACH_ONCE,
    ("shards", "PIN_MARGIN: Final = 5.0", "PIN_MARGIN: Final = 6.0"): _FIGURE,
    ("shards", "PIN_MARGIN: Final = 5.0", "PIN_MARGIN: Final = 4.0"): _FIGURE,
    ("batcher", "if count >= len(records):", "if count > len(records):"): _SHORT_CUT,
    ("response", _PLACES, _PLACES.replace("True", "False")): "both have as many by their making",
    ("response", _KNOWN, _KNOWN.replace("if isi", "if not isi")): "a copy of it, or it: nobody changes either",
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
    ("settle", _ZIPPED, _ZIPPED.replace("True", "False")): "both have as many by their making",
    ("batcher", "if within < count:", "if within != count:"): "no more fit than there are",
    ("checkpoint", "return self._low > before", "return self._low != before"): "the mark never goes back",
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("offset == before", "offset != before")): _SHORT_CUT,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("offset == before", "offset <= before")): _NEVER_MET,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("offset == before", "offset >= before")): _NEVER_MET,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("== len", "<= len")): _NEVER_MET,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("+ 1 ==", "+ 2 ==")): _SHORT_CUT,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("- before", "+ before")): _SHORT_CUT,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("if first", "if not first")): _SHORT_CUT,
    (
        "checkpoint",
        "first, last = records[0], records[-1]",
        "first, last = records[ -1], records[-1]",
    ): _SHORT_CUT,
    (
        "checkpoint",
        "first, last = records[0], records[-1]",
        "first, last = records[0], records[- 0]",
    ): _SHORT_CUT,
}
"""(file, what the line was, what it became): why that is no other behaviour."""
