"""Trace contexts as they travel: W3C's traceparent and tracestate, and the header of X-Ray.

They come from whoever sends messages, so they are read strictly: what is not exactly as it must be is no context,
and never an error. What becomes of a context is not known here.
"""

import re
from typing import Final

from poller.core.fact import fact

LONGEST: Final = 8_192
"""Characters of a header that are looked at; W3C asks for 512 of a tracestate, longer ones are passed on too."""

MOST_MEMBERS: Final = 32
"""Entries of a tracestate (W3C Trace Context, 3.3.1.1)."""

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_ROOT: Final = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})", re.ASCII)
_SPAN: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_MEMBER: Final = re.compile(
    r"([a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


@fact
class TraceContext:
    """A span of somebody: 32 and 16 lower-case hex digits, not all 0; `state` is a valid tracestate or empty."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def parse_traceparent(header: object, state: object = "") -> TraceContext | None:
    """The context of a traceparent, with the tracestate that came beside it, if that is one.

    Versions to come are read as far as they begin like the first one (W3C Trace Context, 4.3).
    """
    if not isinstance(header, str) or len(header) > LONGEST:
        return None
    found = _TRACEPARENT.fullmatch(header)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    return _context(trace_id, span_id, sampled=int(flags, 16) & 1 == 1, state=_tracestate(state))


def format_traceparent(context: TraceContext) -> str:
    """The context as a traceparent of version 00."""
    return f"00-{context.trace_id}-{context.span_id}-{'01' if context.sampled else '00'}"


def trace_fields(context: TraceContext) -> dict[str, str]:
    """The context under W3C's names, as headers or as fields beside others."""
    fields = {"traceparent": format_traceparent(context)}
    return fields | {"tracestate": context.state} if context.state else fields


def parse_xray(header: object) -> TraceContext | None:
    """The context of an X-Ray header (`AWSTraceHeader` of a message, X-Amzn-Trace-Id of a request).

    Without a Parent it names a trace and no span in it, which is nothing that could be linked to. Not sampled
    unless it says so; fields that are not known, such as Lineage and Self, say nothing here.
    """
    if not isinstance(header, str) or len(header) > LONGEST:
        return None
    fields: dict[str, str] = {}
    for field in header.split(";"):
        name, _, value = field.strip().partition("=")
        fields.setdefault(name, value)
    root = _ROOT.fullmatch(fields.get("Root", ""))
    span_id = fields.get("Parent", "")
    if root is None or _SPAN.fullmatch(span_id) is None:
        return None
    return _context(root[1] + root[2], span_id, sampled=fields.get("Sampled") == "1")


def format_xray(context: TraceContext) -> str:
    """The context as an X-Ray header; X-Ray's trace ids are W3C's with the first 8 digits set apart."""
    root = f"1-{context.trace_id[:8]}-{context.trace_id[8:]}"
    return f"Root={root};Parent={context.span_id};Sampled={int(context.sampled)}"


def _context(trace_id: str, span_id: str, *, sampled: bool, state: str = "") -> TraceContext | None:
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, sampled, state)


def _tracestate(header: object) -> str:
    """The tracestate without what is optional in it; empty for what is none. The traceparent counts without it."""
    if not isinstance(header, str) or len(header) > LONGEST:
        return ""
    members = [member for part in header.split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {one[1] for one in found if one is not None}
    if len(members) > MOST_MEMBERS or len(keys) < len(members):
        return ""
    return ",".join(members)
