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
"""(file, what the line was, what it became): why that is no other behaviour. Lines as mutants.Mutant has them."""

_SET_FIRST = "it is set before anybody reads it"
_DIFFERENT = "numbers have to differ from each other, and nobody reads more into them"
_SIZED = "its size is set when it is about to be invoked, and nobody asks before"

LINES: Final[dict[tuple[str, str], str]] = {
    ("stream_lane", "self.read_to = 0"): _SET_FIRST,
    ("stream_lane", "self.running_since = 0.0"): _SET_FIRST,
    ("stream_lane", "self.due = 0.0"): _SET_FIRST,
    ("stream_lane", "self.free_since = 0.0"): "no time is below it",
    ("stream_forming", "self._next = 1"): _DIFFERENT,
    ("stream_forming", "number, self._next = self._next, self._next + 1"): _DIFFERENT,
    ("stream_forming", "return StreamBatch(number, lane.index, records, trigger, opened_at, 0)"): _SIZED,
    ("stream_saving", "__init__ | self._due = 0.0"): "no time is below it",
    ("receives", "self._next += 1"): _DIFFERENT,
    ("receives", "self._probe_started = 0.0"): _SET_FIRST,
    ("receives", "self._patient_after = 0"): "it is compared with four failures and more only",
    ("receives", "self._not_before = 0.0"): _SET_FIRST,
    ("slots", "self.free_since = 0.0"): _SET_FIRST,
    ("readings", "self._next_at = 0.0"): "no time is below it",
    ("readings", "self._empty_at = 0.0"): _SET_FIRST,
    ("readings", "__init__ | self._empty = 0"): "a drain begins with setting it",
    (
        "permits",
        "UNDELETED_MAX = 2_000  # acknowledged and not yet deleted; above it nothing new is received",
    ): _FIGURE,
    ("stream_consumer", "BUFFER_BYTES: Final = 16 * 1024 * 1024"): _FIGURE,
    ("filter_match", "_MERGED_LEVELS: Final = 100"): "patterns go no deeper, and have names above",
    ("cleanup", "KEPT: Final = 48 * 3600.0"): _FIGURE,
    ("discovery", "CHILD_LIMIT: Final = 25 * 3600.0"): _FIGURE,
    ("discovery", "DYNAMODB_FULL_LOOK: Final = 12 * 3600.0"): _FIGURE,
    ("heartbeat", "LONGEST_MARGIN: Final = 5"): _FIGURE,
    (
        "permits",
        "WAITING_MAX = 1_000  # messages of blocked FIFO groups; above it nothing new is received",
    ): _FIGURE,
}
"""(file, the line): no change of it makes a difference to anybody; why."""

_FULL = "full, self.limit = count >= self.limit, min(self._most, self.limit * 2)"
_AT_TIP = "at_tip = not page.behind and not full and (page.behind is not None or count == 0)"
_TIPS = "self.tips = self.tips + 1 if at_tip and count == 0 else 0"
_NEWER = "record if sequence_value(record.sequence) > last else record._replace(sequence=str(last))"
_FRESH = "if sequence_value(record.sequence) > last or record.sequence == FIRST_SEQUENCE"
_AGAIN = "return count if complete or count == head.count or lane.read_to >= end else 0"
_BEFORE = "if head is None or sequence_value(cut.records[0].sequence) < sequence_value(head.first):"
_TRIED = "and tries.get(key, 0) < CHILD_TRIES"
_BORN = "return born is not None and now - int(born[1]) / 1000 > CHILD_LIMIT"
_SENT = "if len(pending) <= ENTRIES and under_way.isdisjoint(pending):"
_SEND = "if not self._pending or not (self._eager or self._calls == 0 or len(self._pending) >= ENTRIES):"
_PATIENT = "if failures < PATIENCE_FIRST or failures & (failures - 1) or failures == self._patient_after:"
_PATIENCE = "PATIENCE_FIRST = 4  # after so many failed probes one gets the full margin, then after 8, 16, 32, ..."
_ROOM = "return 0 if room <= 0 or len(self._deletes) > UNDELETED_MAX or self.over_budget else room"
_CLOSE = "return unclaimed > 0 and (unclaimed - 1) * self._batch_size >= self._receives.asked"
_WHOLE = "if mapping.window > 0 or mapping.batch_size >= ENTRIES:"
_NOTHING = "nothing = facts.visible == facts.in_flight == facts.delayed == 0"
_NOT_BELOW = "it is a count, and never below 0"
_NO_SLOT = "without a slot the other side is below 0, and what is asked is not"
_POWERS = "only powers of two from four on come through, and they do both ways"
_NONE = "0 or less is no room either way"

JUDGED.update(
    {
        ("stream_reading", "if older < len(records):", "if older != len(records):"): "no more than there are",
        ("stream_reading", _NEWER, _NEWER.replace("> last", ">= last")): "the same number",
        ("stream_reading", _FULL, _FULL.replace(">=", "==")): "no source brings more than it was asked for",
        ("stream_reading", _AT_TIP, _AT_TIP.replace("count ==", "count <=")): _NOT_BELOW,
        ("stream_reading", _TIPS, _TIPS.replace("==", "<=")): _NOT_BELOW,
        ("stream_reading", _FRESH, _FRESH.replace("==", "<=")): "no digits sort before this one",
        ("stream_forming", _AGAIN, _AGAIN.replace("count ==", "count >=")): "it is the smaller of it and another",
        ("stream_forming", _BEFORE, _BEFORE.replace("[0]", "[ -1]")): "a batch ends before it or begins in it",
        ("discovery", _TRIED, _TRIED.replace("0", "1")): "both are below the limit",
        ("discovery", _TRIED, _TRIED.replace("0", "-1")): "both are below the limit",
        ("discovery", _BORN, _BORN.replace(">", ">=")): _FIGURE,
        ("discovery", 'if status == "DISABLED":', 'if status <= "DISABLED":'): "no status sorts before it",
        ("deletes", _SENT, _SENT.replace("<=", "==")): _SHORT_CUT,
        ("deletes", _SENT, _SENT.replace("<=", "<")): _SHORT_CUT,
        ("deletes", _SEND, _SEND.replace("== 0", "<= 0")): _NOT_BELOW,
        ("receives", _PATIENT, _PATIENT.replace("failures ==", "failures <=")): "failures only become more",
        ("receives", _PATIENT, _PATIENT.replace("- 1", "- 2")): _POWERS,
        ("receives", _PATIENCE, _PATIENCE.replace("= 4", "= 3")): _POWERS,
        (
            "receives",
            "if self._window and self._polling.target > 1:",
            "if self._window and self._polling.target != 1:",
        ): "one receive is wanted at least",
        ("permits", _ROOM, _ROOM.replace("<= 0", "< 0")): _NONE,
        ("permits", _ROOM, _ROOM.replace("<= 0", "<= -1")): _NONE,
        ("permits", "room = self._batch_size if free else 0", "room = self._batch_size if free else -1"): _NONE,
        ("permits", _CLOSE, _CLOSE.replace("unclaimed > 0", "unclaimed != 0")): _NO_SLOT,
        ("permits", _CLOSE, _CLOSE.replace("unclaimed > 0", "unclaimed >= 0")): _NO_SLOT,
        ("permits", _CLOSE, _CLOSE.replace("unclaimed > 0", "unclaimed > -1")): _NO_SLOT,
        ("permits", _WHOLE, _WHOLE.replace("> 0", "!= 0")): _NO_LESS,
        ("permits", _WHOLE, _WHOLE.replace(">= ENTRIES", "> ENTRIES")): "ten is a multiple of ten",
        ("readings", _NOTHING, _NOTHING.replace("visible ==", "visible <=")): _NOT_BELOW,
        ("readings", _NOTHING, _NOTHING.replace("flight ==", "flight <=")): _NOT_BELOW,
        ("readings", _NOTHING, _NOTHING.replace("delayed ==", "delayed <=")): _NOT_BELOW,
        ("readings", "self._nothing_came = got == 0", "self._nothing_came = got <= 0"): _NOT_BELOW,
    }
)

_STALE = "stale = len(held.stale(batch.messages, now)) if lease_until < now else 0"
_TAKEN = "full = self._slots.free <= 0"
_LEFT = "if full and self._slots.free > 0:"
_TOO_LARGE = "if batch.size > EVENT_LIMIT and len(batch.messages) == 1:"
_REFUSED = 'self.ended(batch, FunctionError("RequestTooLarge", reason), now, waits=False)'
_OTHER_END = "while no slot is free no window may close, and the end that frees one sets it again"
_NO_OTHERS = "the batcher makes no batch that is too large but of a single message, and none of none"

JUDGED.update(
    {
        ("queue_batches", _STALE, _STALE.replace("< now", "!= now")): _SHORT_CUT,
        ("queue_batches", _STALE, _STALE.replace("< now", "<= now")): _SHORT_CUT,
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
    }
)

_MORE = "more = len(wire) > _USUALLY  # most messages have the usual five fields and no other"
_USUAL = 'usual = "SqsManagedSseEnabled" not in attributes and sent_at >= 0 and type(body) is str'
_COUNT = 'message.receive_count = 1 if count == "1" else max(1, _integer(count, 1))'
_SENT_AT = "usual, count, sent_at = False, None, 0.0"
_UNPINNED = "if position.kind is PositionKind.LATEST and position.timestamp <= 0:"
_NO_RECORDS = 'or first == last == ""  # the final invocation of a window has no records'
_RANK = "return _ORDER[position.kind], sequence_value(position.sequence) if position.sequence else 0"
_SHOWN = 'lease, f"its checkpoint {text[:140]!r} is neither a sequence number nor a word for a place"'
_NO_TEXT = "no text sorts before the empty one"
_EPOCH = "a time is 0 where there is none, and else far above"
_ONLY_ORDER = "who is before whom is all that counts, and that is as it was"

JUDGED.update(
    {
        ("payload", _MORE, _MORE.replace(">", "!=")): _SHORT_CUT,
        ("payload", _MORE, _MORE.replace(">", ">=")): _SHORT_CUT,
        ("payload", _USUAL, _USUAL.replace(">= 0", "== 0")): _SHORT_CUT,
        ("payload", _USUAL, _USUAL.replace(">= 0", "> 0")): _SHORT_CUT,
        ("payload", _USUAL, _USUAL.replace(">= 0", ">= 1")): _SHORT_CUT,
        ("payload", _SENT_AT, _SENT_AT.replace("0.0", "1.0")): "what is not usual is read once more",
        ("payload", _SENT_AT, _SENT_AT.replace("0.0", "-1.0")): "what is not usual is read once more",
        ("payload", _COUNT, _COUNT.replace("count, 1)", "count, 0)")): "it is 1 at least",
        ("leases", _UNPINNED, _UNPINNED.replace("<=", "==")): _EPOCH,
        ("leases", _UNPINNED, _UNPINNED.replace("<= 0", "<= 1")): _EPOCH,
        ("leases", _NO_RECORDS, _NO_RECORDS.replace("first ==", "first <=")): _NO_TEXT,
        ("leases", _NO_RECORDS, _NO_RECORDS.replace("last ==", "last <=")): _NO_TEXT,
        ("leases", _RANK, _RANK.replace("else 0", "else 1")): "only another of its kind is compared with it",
        ("leases", _RANK, _RANK.replace("else 0", "else -1")): "only another of its kind is compared with it",
        ("leases", _SHOWN, _SHOWN.replace("140", " 139")): _FIGURE,
        ("leases", _SHOWN, _SHOWN.replace("140", " 141")): _FIGURE,
        (
            "leases",
            "PositionKind.AT_TIMESTAMP: 0,",
            "PositionKind.AT_TIMESTAMP: -1,",
        ): _ONLY_ORDER,
        ("leases", "PositionKind.SHARD_END: 4,", "PositionKind.SHARD_END: 5,"): _ONLY_ORDER,
    }
)

_COMPLETE = "complete = self._reading.ended or self._reading.tips > 0"
_OVERSIZE = "oversize = len(batch.records) == 1 and self._forming.ready(batch).size > EVENT_LIMIT"
_ONE_SENT = "if len(lane.sending) == 1:"
_WITH_STATE = "if self._windows is not None and batch.call is not None:"
_FITS = "a batch of several was formed to fit, just now, and one of none has nothing to be too large"
_WAITED = "what the lane had to wait for is over by then"
_SAID = "everyone who calls it says it"

JUDGED.update(
    {
        ("stream_batches", _COMPLETE, _COMPLETE.replace("> 0", "!= 0")): _NOT_BELOW,
        ("stream_batches", _OVERSIZE, _OVERSIZE.replace("==", "<=")): _FITS,
        ("stream_batches", _OVERSIZE, _OVERSIZE.replace("==", ">=")): _FITS,
        ("stream_batches", _ONE_SENT, _ONE_SENT.replace("==", "<=")): "one was put there just now",
        ("stream_batches", _WITH_STATE, _WITH_STATE.replace(" and ", " or ")): "with windows each has a call",
        ("stream_batches", "_inherit | lane.due = 0.0", "_inherit | lane.due = -1.0"): _WAITED,
        ("stream_batches", "_inherit | lane.due = 0.0", "_inherit | pass"): _WAITED,
        ("stream_batches", "_dispose | lane.due = 0.0", "_dispose | lane.due = -1.0"): _WAITED,
        ("stream_batches", "_dispose | lane.due = 0.0", "_dispose | pass"): _WAITED,
        (
            "stream_batches",
            "_dispose | oversize: bool = False,",
            "_dispose | oversize: bool = True,",
        ): _SAID,
    }
)

_SEVERAL = "self._several = lanes > 1"
_ALONE = "where a batch is at its last chance it is the only one in its lane's queue"
_NEXT_ALONE = "alone = any(last_chance(lane.queue[0], self._settings) for lane in starting)"
_NEXT_LAST = "last = [lane for lane in starting if last_chance(lane.queue[0], self._settings)]"
_PASSING = "if len(passing) < len(records):"
_FRESH_ONES = "if fresh < len(records):"
_HELD_MORE = "if held.unresolved > unresolved:"
_OWN = "own = records if len(self._lanes) == 1 else [one for one in records if one.lane == lane.index]"
_REFRESHED = "if not self._renewed or self._renewed.isdisjoint([message.id for message in batch.messages]):"

JUDGED.update(
    {
        ("stream_held", _SEVERAL, _SEVERAL.replace("> 1", "!= 1")): "there is one at least",
        ("stream_guards", _NEXT_ALONE, _NEXT_ALONE.replace("[0]", "[ -1]")): _ALONE,
        ("stream_guards", _NEXT_LAST, _NEXT_LAST.replace("[0]", "[ -1]")): _ALONE,
        ("stream_intake", _PASSING, _PASSING.replace("<", "!=")): "no more pass than there are",
        ("stream_intake", _FRESH_ONES, _FRESH_ONES.replace("<", "!=")): "no place is behind the last",
        (
            "stream_intake",
            _HELD_MORE,
            _HELD_MORE.replace(">", "!="),
        ): "what was just taken is all that was resolved",
        ("stream_intake", _OWN, _OWN.replace("== 1", "<= 1")): _SHORT_CUT,
        ("stream_intake", _OWN, _OWN.replace("== 1", "== 0")): _SHORT_CUT,
        ("held", _REFRESHED, _REFRESHED.replace(" or ", " and ")): _SHORT_CUT,
    }
)

_REST = "if not ok or not self._rest:"
_EXACTLY = "exact = type(value) is int and -EXACT < value < EXACT"
_FOUND = "if found & bit != bit and predicate(value):"
_HERE = "here = [(bit, constraint.operators) for bit, constraint in constraints if len(constraint.steps) == depth]"
_BELOW = "below = [(bit, constraint) for bit, constraint in constraints if len(constraint.steps) > depth]"
_LEAF = "self.leaf = self.leaves[0] if len(self.leaves) == 1 and not self.children else None"
_DOTTED = "for end in range(depth + 2, len(constraint.steps) + 1)"
_UNDOTTED = "if self.dotted and not fields.keys().isdisjoint(self.dotted):"
_CONCERNED = "if not ok & concerned:  # every way that looks at it is out already"
_MATCHED = "for found, leaf in zip(matched, self.leaves, strict=True):"
_LAYER = "index = next((index for index, bits in enumerate(seen) if not bits & pair[0]), len(seen))"
_NEW_LAYER = "if index == len(seen):"
_MERGING = "if type(first) is dict and type(second) is dict and depth < _MERGED_LEVELS:"
_MERGED = "plain[name] = _merged(plain[name], found, 0) if name in plain else found"
_NO_FEWER = "every constraint that comes to a field has as many steps at least as lead to it"
_MORE_LAYERS = "more layers say the same: what has no list there lets every way pass"
_DEEPER = "no pattern looks so deep"

JUDGED.update(
    {
        ("filter", _REST, _REST.replace(" or ", " and ")): _SHORT_CUT,
        ("filter_leaf", _EXACTLY, _EXACTLY.replace("-EXACT <", "-EXACT ==")): _SHORT_CUT,
        ("filter_leaf", _EXACTLY, _EXACTLY.replace("value <", "value ==")): _SHORT_CUT,
        ("filter_leaf", _EXACTLY, _EXACTLY.replace("-EXACT <", "-EXACT <=")): _SHORT_CUT,
        ("filter_leaf", _EXACTLY, _EXACTLY.replace("value <", "value <=")): _SHORT_CUT,
        ("filter_leaf", _EXACTLY, _EXACTLY.replace("-EXACT", "EXACT")): _SHORT_CUT,
        ("filter_leaf", _FOUND, _FOUND.replace("!=", "<=")): _SHORT_CUT,
        ("filter_match", _HERE, _HERE.replace("==", "<=")): _NO_FEWER,
        ("filter_match", _BELOW, _BELOW.replace(">", "!=")): _NO_FEWER,
        ("filter_match", _LEAF, _LEAF.replace("[0]", "[ -1]")): "there is one",
        ("filter_match", _DOTTED, _DOTTED.replace("depth + 2", "depth - 2")): _SHORT_CUT,
        ("filter_match", _DOTTED, _DOTTED.replace("depth + 2", "depth + 1")): _SHORT_CUT,
        ("filter_match", _DOTTED, _DOTTED.replace(") + 1", ") + 2")): "it names the last of them twice",
        ("filter_match", _UNDOTTED, _UNDOTTED.replace(" and ", " or ")): _SHORT_CUT,
        ("filter_match", _CONCERNED, _CONCERNED.replace("&", "|")): _SHORT_CUT,
        ("filter_match", _MATCHED, _MATCHED.replace("True", "False")): "both have as many by their making",
        ("filter_match", _LAYER, _LAYER.replace("&", "|")): _MORE_LAYERS,
        ("filter_match", _NEW_LAYER, _NEW_LAYER.replace("==", "<=")): _MORE_LAYERS,
        ("filter_match", _NEW_LAYER, _NEW_LAYER.replace("==", ">=")): "no place is behind the last",
        ("filter_match", "seen.append(0)", "seen.append( 1)"): _MORE_LAYERS,
        ("filter_match", "seen.append(0)", "seen.append( -1)"): _MORE_LAYERS,
        ("filter_match", _MERGING, _MERGING.replace("<", "!=")): _DEEPER,
        ("filter_match", _MERGING, _MERGING.replace("<", "<=")): _DEEPER,
        ("filter_match", _MERGED, _MERGED.replace("0)", "1)")): _DEEPER,
        ("filter_match", _MERGED, _MERGED.replace("0)", "-1)")): _DEEPER,
        ("filter_match", "look_below | continue", "look_below | pass"): _SHORT_CUT,
    }
)

_KEY = "if isinstance(value, int) and -EXACT < value < EXACT:"
_ONE_PART = "return lambda value: value == parts[0]"
_EXACT = "EXACT: Final = 10**15"
_MILLIONTHS = "MILLIONTHS: Final = 1_000_000"
_ADDRESS = "_ADDRESS: Final = 45  # characters of the longest IPv6 address"
_SAME_PARTS = "record and pattern are counted in the same parts, of which a millionth has one"
_EQUAL = "a Decimal of that value is the same key"

JUDGED.update(
    {
        ("filter_operators", _KEY, _KEY.replace("-EXACT <", "-EXACT ==")): _EQUAL,
        ("filter_operators", _KEY, _KEY.replace("value <", "value ==")): _EQUAL,
        ("filter_operators", _KEY, _KEY.replace("-EXACT <", "-EXACT <=")): _EQUAL,
        ("filter_operators", _KEY, _KEY.replace("value <", "value <=")): _EQUAL,
        ("filter_operators", _KEY, _KEY.replace("-EXACT", "EXACT")): _EQUAL,
        ("filter_operators", _EXACT, _EXACT.replace("**", "*")): _EQUAL,
        ("filter_operators", _EXACT, _EXACT.replace("10", "9")): _EQUAL,
        ("filter_operators", _EXACT, _EXACT.replace("15", " 14")): _EQUAL,
        ("filter_operators", "if len(parts) == 1:", "if len(parts) <= 1:"): "there is one at least",
        ("filter_operators", _ONE_PART, _ONE_PART.replace("[0]", "[ -1]")): "there is one",
        ("filter_operators", _MILLIONTHS, _MILLIONTHS.replace("1_000_000", "1000001")): _SAME_PARTS,
        ("filter_operators", _MILLIONTHS, _MILLIONTHS.replace("1_000_000", "999999")): _SAME_PARTS,
        ("filter_operators", _ADDRESS, _ADDRESS.replace("45", "46")): "what is longer is none for its reader, too",
    }
)

_WHOLE_NUMBER = "return int(digits) if len(digits) < _MOST_DIGITS else float(digits)"
_LEVELS = "if len(steps) > _MAX_LEVELS or len(path) > _MAX_LEVELS:"
_CHOICE_LEVELS = "if len(path) > _MAX_LEVELS:"
_CONSTRAINTS = "if sum(count // len(factor) * sum(map(len, factor)) for factor in factors) > _MAX_CONSTRAINTS:"
_FACTORS = "return factors[0] if len(factors) == 1 else _multiplied(factors, path)"
_KIND = 'kind = Prefix if name == "prefix" else Suffix'
_LOW, _HIGH = 'low = bound + (sign == ">")', 'high = bound - (sign == "<")'
_BEYOND = "a number of so many digits is beyond what a pattern may have, read either way"
_LIMIT = "a limit of ours, far above what 4,096 characters come to; that there is one is tested"

JUDGED.update(
    {
        ("filter_pattern", _WHOLE_NUMBER, _WHOLE_NUMBER.replace("<", "<=")): _BEYOND,
        ("filter_pattern", _LEVELS, _LEVELS.replace("len(path) >", "len(path) ==")): _LIMIT,
        ("filter_pattern", _LEVELS, _LEVELS.replace("len(path) >", "len(path) >=")): _LIMIT,
        ("filter_pattern", _CHOICE_LEVELS, _CHOICE_LEVELS.replace(">", ">=")): _LIMIT,
        ("filter_pattern", _CONSTRAINTS, _CONSTRAINTS.replace(">", ">=")): _LIMIT,
        ("filter_pattern", _FACTORS, _FACTORS.replace("== 1", "<= 1")): "there is one at least",
        ("filter_pattern", _FACTORS, _FACTORS.replace("[0]", "[ -1]")): "there is one",
        ("filter_pattern", _FACTORS, _FACTORS.replace("== 1", "== 0")): _LIMIT,
        ("filter_alternatives", _KIND, _KIND.replace("==", "<=")): "the other one sorts behind it",
        ("filter_alternatives", 'case "=" if len(value) == 2:', 'case "=" if len(value) <= 2:'): "it is 2 or 4",
        ("filter_alternatives", _LOW, _LOW.replace("==", "<=")): "the other one sorts behind it",
        ("filter_alternatives", _HIGH, _HIGH.replace("==", "<=")): "the other one sorts behind it",
        (
            "filter_alternatives",
            'if previous == "*":',
            'if previous >= "*":',
        ): "it is that or nothing, which sorts before it",
        ("filter_alternatives", "super().__init__(found)", "pass"): "nobody reads the exception's own text",
    }
)
LINES.update(
    {
        ("filter_pattern", "_MOST_DIGITS: Final = 1_000"): _BEYOND,
        (
            "filter_pattern",
            "_MAX_CONSTRAINTS: Final = 20_000  # of all ways together: keeps the reading of any pattern short",
        ): _FIGURE,
    }
)

_LET_PASS = "if len(passing) < len(messages):"
_PROBE = "if (probe := self._receives.due()) is not None and self._room() > 0:"
_POLLING = "polling=bool(self._receives) or (self._mode in ACTIVE and self._room() > 0),"
_NULL_MD5 = "arn, null_md5, held = self._mapping.arn, self._mapping.window > 0, self._held"
_UNCLAIMED = "if slots.unclaimed > 0:  # mostly not, on a busy queue"
_ROOM_OR_NONE = "return 0 if self._resting() else self._permits.room()"

JUDGED.update(
    {
        ("queue_consumer", _LET_PASS, _LET_PASS.replace("<", "!=")): "no more pass than there are",
        ("queue_consumer", "if room <= 0:", "if room == 0:"): "room is never below 0",
        ("queue_consumer", _PROBE, _PROBE.replace("> 0", "!= 0")): "room is never below 0",
        ("queue_consumer", _POLLING, _POLLING.replace("> 0", "!= 0")): "room is never below 0",
        ("queue_consumer", _NULL_MD5, _NULL_MD5.replace("> 0", "!= 0")): _NO_LESS,
        ("queue_consumer", _UNCLAIMED, _UNCLAIMED.replace("> 0", "!= 0")): _SHORT_CUT,
        ("queue_consumer", _UNCLAIMED, _UNCLAIMED.replace("> 0", ">= 0")): _SHORT_CUT,
        ("queue_consumer", _UNCLAIMED, _UNCLAIMED.replace("> 0", "> -1")): _SHORT_CUT,
        ("queue_consumer", _ROOM_OR_NONE, _ROOM_OR_NONE.replace("return 0", "return -1")): _NONE,
        (
            "queue_consumer",
            "_on_received 1 | return",
            "_on_received 1 | pass",
        ): "no message is none to make, either",
    }
)

_BUFFERED = "return count < self._most_buffered and size < BUFFER_BYTES and self._budget.has_room"
_ONE_LANE = "if len(self._lanes) == 1 and position.kind not in _TIMES:"

JUDGED.update(
    {
        ("stream_consumer", _BUFFERED, _BUFFERED.replace("size <", "size <=")): _FIGURE,
        ("stream_consumer", _ONE_LANE, _ONE_LANE.replace("==", "<=")): "there is one at least",
        (
            "stream_consumer",
            "self._budget_at = None",
            "pass",
        ): "what is left of it is in the past, or within the second in which others may give back",
    }
)
LINES[("stream_consumer", "self._wall_ahead = 0.0")] = _SET_FIRST

_HAS_ROOM = "self.has_room = limit > 0"

JUDGED.update(
    {
        ("budget", _HAS_ROOM, _HAS_ROOM.replace(">", "!=")): "no limit is below 0",
        ("stream_saving", "hurry | self._due = 0.0", "hurry | self._due = -1.0"): "no time is below it",
    }
)
LINES[("budget", "def __init__(self, limit: int = 256 * 1024 * 1024) -> None:")] = _FIGURE

_SHRUNK = "if settings.bisect and len(rest.records) == 1 < tried:"

JUDGED.update(
    {
        ("stream_settle", _SHRUNK, _SHRUNK.replace("<", "!=")): "no fewer were tried than are left",
        ("stream_settle", _SHRUNK, _SHRUNK.replace("==", "<=")): "one is left at least",
    }
)
