"""Mutants of the core that no test can kill, because nobody outside could see the difference; and why.

One that changes what somebody may rely on does not belong here: it wants a test.
"""

from typing import Final

_IN_ORDER = "if first.offset == before and last.offset - before + 1 == len(records):  # mostly: one lane, in order"
_SHORT_CUT = "the way for records in order is shorter, and comes to what the long one comes to"
_NEVER_MET = "offsets ascend and none is below the mark, so both sides are true for the same records"
_DOUBLED = "doubled = policy.initial * 2.0 ** min(message.receive_count - 1, 64)"
_LONGEST = "longest[message.group] = max(whole, longest.get(message.group, 0))"

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    ("settle", _DOUBLED, _DOUBLED.replace("64", "65")): "both are beyond any delay that is allowed",
    ("settle", _DOUBLED, _DOUBLED.replace("64", "63")): "both are beyond any delay that is allowed",
    ("settle", _LONGEST, _LONGEST.replace("group, 0", "group, -1")): "no delay is below 0",
    (
        "stream_settle",
        "if min([record.arrived_at for record in batch.records]) >= oldest:",
        "if min([record.arrived_at for record in batch.records]) == oldest:",
    ): "the way for a batch without an old record is shorter, and comes to what the long one comes to",
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
