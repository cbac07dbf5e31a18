"""Judged mutants of the control API, of what is watched and of tracing; what a judgement is, survivors.py says."""

from typing import Final

from tests.planted.reasons import FIGURE, NOT_BELOW

_AGE = "return max(0.0, (totals.ages - since.ages) / aged) if aged > 0 else 0.0"
_FAILING = "return min(1.0, (totals.failed - since.failed) / invoked) if invoked > 0 else 0.0"
_VERB = 'verb = "stands" if facts.blocked == 1 else "stand"'
_ITEMS = 'limit = "greater than or equal to 1" if number < 1 else "less than or equal to 10000"'
_MEMBERS = "if len(members) > MOST_MEMBERS or len(keys) < len(members):"
_TOO_LONG = "if not isinstance(header, str) or len(header) > LONGEST:"
_VERSION = 'if version == "ff" or (version == "00" and more is not None):'
_NOWHERE = "if trace_id == _NO_TRACE or span_id == _NO_SPAN:"
_SAMPLED = "return _context(trace_id, span_id, sampled=int(flags, 16) & 1 == 1, state=_tracestate(state))"
_NO_LESS = "nothing sorts before it that has its form"
_NOT_ALLOWED = "1 is allowed, and comes no further"

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    (
        "api_changes",
        'advice = "use TagResource" if name == "Tags" else "delete the mapping and create another"',
        'advice = "use TagResource" if name >= "Tags" else "delete the mapping and create another"',
    ): "the others that are fixed sort before it",
    ("trend", _AGE, _AGE.replace("aged > 0", "aged != 0")): NOT_BELOW,
    ("trend", _FAILING, _FAILING.replace("invoked > 0", "invoked != 0")): NOT_BELOW,
    ("trend", "break", "continue"): "notes are in the order of their time, and none after it is older",
    ("trouble", _VERB, _VERB.replace("==", "<=")): "one is blocked at least",
    ("api_lists", _ITEMS, _ITEMS.replace("< 1 ", "<= 1 ")): _NOT_ALLOWED,
    ("api_lists", _ITEMS, _ITEMS.replace("< 1 ", "< 2 ")): _NOT_ALLOWED,
    ("sigv4", "if sent < now", "if sent <= now"): "equal times are in time",
    (
        "sigv4",
        "limit = _stamp(now - MAX_SKEW if sent < now else now + MAX_SKEW)",
        "limit = _stamp(now - MAX_SKEW if sent <= now else now + MAX_SKEW)",
    ): "equal times are in time",
    (
        "sigv4",
        "if not set(claim.signed) <= headers.keys():",
        "if not set(claim.signed) < headers.keys():",
    ): "the header with the signature is never signed, and always there",
    ("span_facts", "if len(messages) == 1:", "if len(messages) <= 1:"): "there is one at least",
    (
        "span_facts",
        'attributes["messaging.message.id"] = messages[0].id',
        'attributes["messaging.message.id"] = messages[ -1].id',
    ): "there is one",
    ("span_facts", "if len(links) == MOST_LINKS:", "if len(links) >= MOST_LINKS:"): "one comes after the other",
    ("trace_headers", _MEMBERS, _MEMBERS.replace("keys) <", "keys) !=")): "there are no more than members",
    ("trace_headers", _VERSION, _VERSION.replace('version == "00"', 'version <= "00"')): _NO_LESS,
    ("trace_headers", _VERSION, _VERSION.replace('version == "ff"', 'version >= "ff"')): "nor behind it",
    ("trace_headers", _NOWHERE, _NOWHERE.replace("== _NO_T", "<= _NO_T")): _NO_LESS,
    ("trace_headers", _NOWHERE, _NOWHERE.replace("== _NO_S", "<= _NO_S")): _NO_LESS,
    ("trace_headers", _SAMPLED, _SAMPLED.replace("== 1", ">= 1")): "one bit is 0 or 1",
    **{
        ("trace_headers", f"{name} | {_TOO_LONG}", f"{name} | {_TOO_LONG.replace('>', '>=')}"): FIGURE
        for name in ("parse_traceparent", "parse_xray", "_tracestate")
    },
}

LINES: Final[dict[tuple[str, str], str]] = {
    ("trend", "_NOTES = int(MINUTE / NOTE_EVERY) + 1"): FIGURE,
    ("trend", "NOTE_EVERY: Final = 2.0  # seconds between two notes of the sums"): FIGURE,
    ("trend", "MINUTE: Final = 60.0  # seconds that failures are told over"): FIGURE,
    ("trend", "LAG_POINTS: Final = 60"): FIGURE,
    ("trace_headers", "LONGEST: Final = 8_192"): FIGURE,
    ("messages", "stale: int = 0"): "whoever makes one says it",
    ("model", "received_at: float = 0.0"): "whoever makes one says it",
}
