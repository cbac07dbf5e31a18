"""Judged mutants of what the core does about streams; what a judgement is, survivors.py says."""

from typing import Final

from tests.planted.reasons import DIFFERENT, FIGURE, NOT_BELOW, SET_FIRST, SHORT_CUT

_IN_ORDER = "if first.offset == before and last.offset - before + 1 == len(records):  # mostly: one lane, in order"
_NEVER_MET = "offsets ascend and none is below the mark, so both sides are true for the same records"
_OLDEST = "if min([record.arrived_at for record in batch.records]) >= oldest:"
_EACH_ONCE = "each parent is counted once and taken off once: no count is below 0"
_READY = "ready = deque(key for key, count in waiting.items() if count == 0)"
_SIZED = "its size is set when it is about to be invoked, and nobody asks before"
_FULL = "full, self.limit = count >= self.limit, min(self._most, self.limit * 2)"
_AT_TIP = "quiet = not page.behind and not full and (page.behind is not None or count == 0)"
_BELIEVED = "return self._empty[0] if len(self._empty) == BELIEVED else None"
_TIPS = "self.tips = self.tips + 1 if seen_at is not None and count == 0 else 0"
_NEWER = "record if sequence_value(record.sequence) > last else record._replace(sequence=str(last))"
_FRESH = "if sequence_value(record.sequence) > last or record.sequence == FIRST_SEQUENCE"
_AGAIN = "return count if complete or count == head.count or lane.read_to >= end else 0"
_BEFORE = "if head is None or sequence_value(cut.records[0].sequence) < sequence_value(head.first):"
_TRIED = "and tries.get(key, 0) < CHILD_TRIES"
_BORN = "return born is not None and now - int(born[1]) / 1000 > CHILD_LIMIT"
_UNPINNED = "if position.kind is PositionKind.LATEST and position.timestamp <= 0:"
_NO_RECORDS = 'or first == last == ""  # the final invocation of a window has no records'
_RANK = "return _ORDER[position.kind], sequence_value(position.sequence) if position.sequence else 0"
_SHOWN = 'lease, f"its checkpoint {text[:140]!r} is neither a sequence number nor a word for a place"'
_NO_TEXT = "no text sorts before the empty one"
_EPOCH = "a time is 0 where there is none, and else far above"
_ONLY_ORDER = "who is before whom is all that counts, and that is as it was"
_COMPLETE = "complete = self._reading.ended or self._reading.tips > 0"
_OVERSIZE = "oversize = len(batch.records) == 1 and self._forming.ready(batch).size > EVENT_LIMIT"
_ONE_SENT = "if len(lane.sending) == 1:"
_WITH_STATE = "if self._windows is not None and batch.call is not None:"
_FITS = "a batch of several was formed to fit, just now, and one of none has nothing to be too large"
_WAITED = "what the lane had to wait for is over by then"
_SAID = "everyone who calls it says it"
_SEVERAL = "self._several = lanes > 1"
_ALONE = "where a batch is at its last chance it is the only one in its lane's queue"
_NEXT_ALONE = "alone = any(last_chance(lane.queue[0], self._settings) for lane in starting)"
_NEXT_LAST = "last = [lane for lane in starting if last_chance(lane.queue[0], self._settings)]"
_PASSING = "if len(passing) < len(records):"
_FRESH_ONES = "if fresh < len(records):"
_HELD_MORE = "if held.unresolved > unresolved:"
_OWN = "own = records if len(self._lanes) == 1 else [one for one in records if one.lane == lane.index]"
_BUFFERED = "return count < self._most_buffered and size < BUFFER_BYTES and self._budget.has_room"
_ONE_LANE = "if len(self._lanes) == 1 and position.kind not in _TIMES:"
_SHRUNK = "if settings.bisect and len(rest.records) == 1 < tried:"
_USUAL_ARRIVAL = "and 0 < arrived_at < UNKNOWN_ARRIVAL"
_TOO_LONG = "if not usual or len(sequence) > _SEQUENCE_DIGITS:"
_THE_ONE = "return _kinesis_events((record,), arn, shard_id)[0]"
_FRAME = 'frame = len(serialise(_kinesis_events([nothing], arn, shard_id)[0])) - len(serialise(["", "", 0.0]))'
_SOME_TIME = "return at if 0 < at < UNKNOWN_ARRIVAL else before"
_NO_RESULT = "case None if discard.invocations > 0:"
_PLACE = "place = records[0].sequence if records else str(discard.at)"
_ONCE = "if problem in _AT_ONCE and self._failures == 1:"
_SPREAD = "pause = self._idle * self._random.uniform(1 - _SPREAD, 1 + _SPREAD)"
_ARRIVAL = "if left[0].arrived_at and failed.event is None:"
_ARRIVALS = "records that were read have an arrival, all of them, and those of a payload have none"
_MADE_UP = "the function and the document are told nothing of it"
_NEXT_VALUE = "while (at := _next_value(text, at)) < len(text):"
_LISTS = "case list() if depth < _DEEPEST:"
_READER = "reader, at = json.JSONDecoder(), 0"
_PER_SECOND = (
    "_BYTES_PER_SECOND = 2 * 1024 * 1024  # Kinesis, for each shard; a larger answer is paid for by a longer pause"
)

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    ("stream_settle", _OLDEST, _OLDEST.replace(">=", "==")): SHORT_CUT,
    ("stream_settle", _OLDEST, _OLDEST.replace(">=", ">")): SHORT_CUT,
    ("stream_settle", "if lowest == 0:", "if lowest <= 0:"): "no place is below 0",
    ("stream_settle", _SHRUNK, _SHRUNK.replace("<", "!=")): "no fewer were tried than are left",
    ("stream_settle", _SHRUNK, _SHRUNK.replace("==", "<=")): "one is left at least",
    ("shards", "if waiting[child] == 0:", "if waiting[child] <= 0:"): _EACH_ONCE,
    ("shards", _READY, _READY.replace("==", "<=")): _EACH_ONCE,
    ("shards", "PIN_MARGIN: Final = 5.0", "PIN_MARGIN: Final = 6.0"): FIGURE,
    ("shards", "PIN_MARGIN: Final = 5.0", "PIN_MARGIN: Final = 4.0"): FIGURE,
    ("checkpoint", "return self._low > before", "return self._low != before"): "the mark never goes back",
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("offset == before", "offset != before")): SHORT_CUT,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("offset == before", "offset <= before")): _NEVER_MET,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("offset == before", "offset >= before")): _NEVER_MET,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("== len", "<= len")): _NEVER_MET,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("+ 1 ==", "+ 2 ==")): SHORT_CUT,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("- before", "+ before")): SHORT_CUT,
    ("checkpoint", _IN_ORDER, _IN_ORDER.replace("if first", "if not first")): SHORT_CUT,
    (
        "checkpoint",
        "first, last = records[0], records[-1]",
        "first, last = records[ -1], records[-1]",
    ): SHORT_CUT,
    (
        "checkpoint",
        "first, last = records[0], records[-1]",
        "first, last = records[0], records[- 0]",
    ): SHORT_CUT,
    ("stream_forming", _AGAIN, _AGAIN.replace("count ==", "count >=")): "it is the smaller of it and another",
    ("stream_forming", _BEFORE, _BEFORE.replace("[0]", "[ -1]")): "a batch ends before it or begins in it",
    ("stream_saving", "hurry | self._due = 0.0", "hurry | self._due = -1.0"): "no time is below it",
    ("stream_consumer", _BUFFERED, _BUFFERED.replace("size <", "size <=")): FIGURE,
    ("stream_consumer", _ONE_LANE, _ONE_LANE.replace("==", "<=")): "there is one at least",
    (
        "stream_consumer",
        "self._budget_at = None",
        "pass",
    ): "what is left of it is in the past, or within the second in which others may give back",
    ("discovery", _TRIED, _TRIED.replace("0", "1")): "both are below the limit",
    ("discovery", _TRIED, _TRIED.replace("0", "-1")): "both are below the limit",
    ("discovery", _BORN, _BORN.replace(">", ">=")): FIGURE,
    ("discovery", 'if status == "DISABLED":', 'if status <= "DISABLED":'): "no status sorts before it",
    ("stream_reading", "if older < len(records):", "if older != len(records):"): "no more than there are",
    ("stream_reading", _NEWER, _NEWER.replace("> last", ">= last")): "the same number",
    ("stream_reading", _FULL, _FULL.replace(">=", "==")): "no source brings more than it was asked for",
    ("stream_reading", _AT_TIP, _AT_TIP.replace("count ==", "count <=")): NOT_BELOW,
    ("stream_reading", _TIPS, _TIPS.replace("==", "<=")): NOT_BELOW,
    ("stream_reading", _BELIEVED, _BELIEVED.replace("==", ">=")): "never more",
    ("stream_reading", _FRESH, _FRESH.replace("==", "<=")): "no digits sort before this one",
    ("leases", _UNPINNED, _UNPINNED.replace("<=", "==")): _EPOCH,
    ("leases", _UNPINNED, _UNPINNED.replace("<= 0", "<= 1")): _EPOCH,
    ("leases", _NO_RECORDS, _NO_RECORDS.replace("first ==", "first <=")): _NO_TEXT,
    ("leases", _NO_RECORDS, _NO_RECORDS.replace("last ==", "last <=")): _NO_TEXT,
    ("leases", _RANK, _RANK.replace("else 0", "else 1")): "only another of its kind is compared with it",
    ("leases", _RANK, _RANK.replace("else 0", "else -1")): "only another of its kind is compared with it",
    ("leases", _SHOWN, _SHOWN.replace("140", " 139")): FIGURE,
    ("leases", _SHOWN, _SHOWN.replace("140", " 141")): FIGURE,
    (
        "leases",
        "PositionKind.AT_TIMESTAMP: 0,",
        "PositionKind.AT_TIMESTAMP: -1,",
    ): _ONLY_ORDER,
    ("leases", "PositionKind.SHARD_END: 4,", "PositionKind.SHARD_END: 5,"): _ONLY_ORDER,
    ("stream_batches", _COMPLETE, _COMPLETE.replace("> 0", "!= 0")): NOT_BELOW,
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
    ("stream_intake", _OWN, _OWN.replace("== 1", "<= 1")): SHORT_CUT,
    ("stream_intake", _OWN, _OWN.replace("== 1", "== 0")): SHORT_CUT,
    ("stream_payload", _USUAL_ARRIVAL, _USUAL_ARRIVAL.replace("0 <", "1 <")): SHORT_CUT,
    ("stream_payload", _TOO_LONG, _TOO_LONG.replace(">", "!=")): SHORT_CUT,
    ("stream_payload", _TOO_LONG, _TOO_LONG.replace(">", ">=")): SHORT_CUT,
    ("stream_payload", _THE_ONE, _THE_ONE.replace("[0]", "[ -1]")): "there is one",
    ("stream_payload", _FRAME, _FRAME.replace("[0]", "[ -1]")): "there is one",
    ("stream_payload", _FRAME, _FRAME.replace("0.0", "1.0")): "it has as many bytes",
    ("stream_payload", _SOME_TIME, _SOME_TIME.replace("0 <", "1 <")): "a time is far above it",
    **{
        ("stream_payload", f"{records} | if lanes > 1:", f"{records} | if lanes {other}:"): "one lane has number 0"
        for records in ("_kinesis_records", "_dynamodb_records")
        for other in ("!= 1", ">= 1", "> 0")
    },
    ("failure_document", _NO_RESULT, _NO_RESULT.replace(">", "!=")): NOT_BELOW,
    ("failure_document", _PLACE, _PLACE.replace("[0]", "[ -1]")): "either end names the batch, each time",
    ("pace", _ONCE, _ONCE.replace("==", "<=")): "there is one at least",
    ("pace", _SPREAD, _SPREAD.replace("idle *", "idle /")): "it is spread as far to either side",
    ("replay", "return asked[0]", "return asked[ -1]"): "there is one",
    ("replay", _ARRIVAL, _ARRIVAL.replace(" and ", " or ")): _ARRIVALS,
    ("replay", _ARRIVAL, _ARRIVAL.replace("[0]", "[ -1]")): _ARRIVALS,
    ("failed_batch", _NEXT_VALUE, _NEXT_VALUE.replace("<", "!=")): "no place is behind the end",
    ("failed_batch", _LISTS, _LISTS.replace("<", "!=")): FIGURE,
    ("failed_batch", _LISTS, _LISTS.replace("<", "<=")): FIGURE,
    ("failed_batch", "break", "continue"): "what has no envelope has none the next time, either",
    ("failed_batch", _READER, _READER.replace("0", "-1")): "a text is read from its beginning either way",
    ("replay", "if len(readers) > 1:", "if len(readers) != 1:"): "that there is none was said before",
}

LINES: Final[dict[tuple[str, str], str]] = {
    ("stream_lane", "self.read_to = 0"): SET_FIRST,
    ("stream_lane", "self.running_since = 0.0"): SET_FIRST,
    ("stream_lane", "self.due = 0.0"): SET_FIRST,
    ("stream_lane", "self.free_since = 0.0"): "no time is below it",
    ("stream_forming", "self._next = 1"): DIFFERENT,
    ("stream_forming", "number, self._next = self._next, self._next + 1"): DIFFERENT,
    ("stream_forming", "return StreamBatch(number, lane.index, records, trigger, opened_at, 0)"): _SIZED,
    ("stream_saving", "__init__ | self._due = 0.0"): "no time is below it",
    ("stream_consumer", "BUFFER_BYTES: Final = 16 * 1024 * 1024"): FIGURE,
    ("stream_consumer", "self._wall_ahead = 0.0"): SET_FIRST,
    ("cleanup", "KEPT: Final = 48 * 3600.0"): FIGURE,
    ("discovery", "CHILD_LIMIT: Final = 25 * 3600.0"): FIGURE,
    ("discovery", "DYNAMODB_FULL_LOOK: Final = 12 * 3600.0"): FIGURE,
    ("stream_payload", "UNKNOWN_ARRIVAL: Final = 250_000_000_000.0"): FIGURE,
    (
        "stream_payload",
        'nothing = Record("", 0, 0, 0.0, 0, {"PartitionKey": "", "Data": ""})',
    ): "an event shows nothing of them but the arrival, whose bytes are tested",
    ("pace", "self._started = 0.0"): SET_FIRST,
    ("replay", "records.append(Record(sequence, offset, 0, 0.0, record_size(shown), shown))"): _MADE_UP,
    ("replay", "return StreamBatch(0, 0, records, BatchTrigger.IMMEDIATE, 0.0, 0, call=call)"): _MADE_UP,
    ("replay", "call = WindowCall(0, 0, {}, final=_is_final(failed.event))"): _MADE_UP,
    ("pace", _PER_SECOND): FIGURE,
    ("backoff", "_MOST_DOUBLINGS = 64"): "both are beyond any cap",
    ("failed_batch", "yield from _contained(value, 0)"): FIGURE,
    ("failed_batch", "yield from _contained(one, depth + 1)"): FIGURE,
    ("failed_batch", "_DEEPEST: Final = 4  # envelopes within envelopes: SNS to SQS is one"): FIGURE,
    (
        "stream_gauges",
        'NO_STREAM_GAUGES = stream_gauges({}, {}, {}, worker="", enabled=False, lanes=1, concurrency=0)',
    ): "without shards it makes no difference",
    ("stream_reading", "BELIEVED: Final = 20"): FIGURE,
    ("stream_reading", "self._asked_at = 0.0"): SET_FIRST,
}
