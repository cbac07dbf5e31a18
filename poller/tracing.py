"""A span for each invocation, by OpenTelemetry: the only importer of it, and only in a program that traces.

Tracing is on for mappings that are added after the program has set a tracer provider: `opentelemetry-instrument
poller run` does so for the daemon, an application by itself for the library. What a span says is decided in
core/span_facts.py. Whatever a tracer does, the batch goes on.
"""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from poller.clock import Clock
from poller.core.mapping import EventSourceMapping
from poller.core.messages import InvocationOutcome
from poller.core.model import InvocationResult
from poller.core.span_facts import SpanFacts, mapping_attributes, span_error, span_name
from poller.core.trace_headers import TraceContext, format_xray, parse_traceparent
from poller.telling import Teller
from poller.version import __version__

if TYPE_CHECKING:
    from opentelemetry import trace

Work = TypeVar("Work")

XRAY_VARIABLE = "_X_AMZN_TRACE_ID"
"""Where Lambda's runtimes put the trace of the call that runs."""


class _Settling(threading.local):
    """The span whose invocation is being settled. Not a context variable: what settling starts (timers, deletes)
    would inherit that, and outlive the span.
    """

    span: "Span | None" = None


_settling = _Settling()


def make_tracing(
    mapping: EventSourceMapping, facts_of: Callable[[Work], SpanFacts], clock: Clock
) -> "Tracing[Work] | None":
    """The spans of a mapping, if the program traces; nothing is imported to find that out."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace  # noqa: PLC0415 - the program has it

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    tracer = provider.get_tracer("poller", __version__)
    if isinstance(tracer, trace.NoOpTracer):  # OTEL_SDK_DISABLED
        return None
    return Tracing(tracer, mapping, facts_of, clock)


class Tracing(Generic[Work]):
    """The spans of one mapping."""

    def __init__(
        self,
        tracer: "trace.Tracer",
        mapping: EventSourceMapping,
        facts_of: Callable[[Work], SpanFacts],
        clock: Clock,
    ) -> None:
        self._tracer = tracer
        self._name = span_name(mapping)
        self._attributes = mapping_attributes(mapping)
        self._facts_of = facts_of
        self._clock = clock
        self._teller = Teller(mapping.name, logging.getLogger("poller"))

    def begin(self, work: Work, request_id: str) -> "Span | None":
        """The span of an invocation that begins now: the root of a trace, linked to the messages' producers. None
        when the tracer fails, which is told.
        """
        from opentelemetry import trace  # noqa: PLC0415 - the program has it
        from opentelemetry.context import Context  # noqa: PLC0415

        try:
            facts = self._facts_of(work)
            started = self._tracer.start_span(
                self._name,
                context=Context(),
                kind=trace.SpanKind.CONSUMER,
                attributes={**self._attributes, **facts.attributes, "faas.invocation_id": request_id},
                links=[
                    trace.Link(_span_context(context), {"messaging.message.id": message_id})
                    for context, message_id in facts.links
                ],
            )
            return Span(started, self.failed)
        except Exception as error:  # noqa: BLE001 - span processors and samplers are the program's own
            self.failed(error)
            return None

    def failed(self, error: Exception) -> None:
        """The program's tracer does not work."""
        kind = type(error).__name__
        text = f"an invocation has no span, or half a one: the tracer raised {kind}"
        self._teller.failure("tracing_failed", kind, text, self._clock.now(), error_type=kind)


class Span:
    """The span of one invocation, from its beginning until it is settled (ports.Span)."""

    def __init__(self, span: "trace.Span", failed: Callable[[Exception], None]) -> None:
        self._span = span
        self._failed = failed
        self._judged: InvocationOutcome | None = None
        found = span.get_span_context()
        state = found.trace_state.to_header()
        trace_id, span_id = format(found.trace_id, "032x"), format(found.span_id, "016x")
        self.handed = TraceContext(trace_id, span_id, found.trace_flags.sampled, state)
        """What whoever runs the function is told, so that its spans are our children."""

    def enter(self) -> None:
        """Makes it the current span of the context that this is called in."""
        from opentelemetry import context, trace  # noqa: PLC0415 - the program has it

        context.attach(trace.set_span_in_context(self._span, context.Context()))

    def settle(self, result: InvocationResult, tell: Callable[[], None]) -> None:
        """Calls `tell`, in which the batch is settled, and ends with what it came to."""
        outer, _settling.span = _settling.span, self
        try:
            tell()
        finally:
            _settling.span = outer
            try:
                self._end(span_error(result, self._judged))
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)

    def judged(self, outcome: InvocationOutcome) -> None:
        """What the function's response came to."""
        self._judged = outcome

    def _end(self, error: str | None) -> None:
        """No text of an error goes into a span: it may quote a record. The log has it, with the same ids."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - the program has it

        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def judged(outcome: InvocationOutcome) -> None:
    """Tells the span whose invocation is being settled, if there is one, that it did not simply succeed."""
    if (span := _settling.span) is not None:
        span.judged(outcome)


def settling_trace_id() -> str:
    """The trace of the invocation that is being settled, for exemplars; empty if there is none that is kept."""
    span = _settling.span
    return span.handed.trace_id if span is not None and span.handed.sampled else ""


def current_ids() -> tuple[str, str] | None:
    """Trace and span, in hex, in which the caller runs: a handler's own, or the one that is being settled."""
    if (settling := _settling.span) is not None:
        return settling.handed.trace_id, settling.handed.span_id
    if (api := sys.modules.get("opentelemetry.trace")) is None or not hasattr(api, "get_current_span"):
        return None
    found = api.get_current_span().get_span_context()
    return (format(found.trace_id, "032x"), format(found.span_id, "016x")) if found.is_valid else None


def take_over(fields: dict[str, str]) -> None:
    """What `trace_fields` wrote, in the worker that got it: as the current span of the caller's context, if the
    program traces, and where Lambda's runtimes have it. One call at a time runs in such a process.
    """
    found = parse_traceparent(fields.get("traceparent"), fields.get("tracestate"))
    if found is None:
        return
    os.environ[XRAY_VARIABLE] = format_xray(found)
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry import context, trace  # noqa: PLC0415 - the program has it

        with contextlib.suppress(Exception):  # the function runs without it
            remote = trace.NonRecordingSpan(_span_context(found))
            context.attach(trace.set_span_in_context(remote, context.Context()))


def _span_context(context: TraceContext) -> "trace.SpanContext":
    from opentelemetry import trace  # noqa: PLC0415 - the program has it

    return trace.SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(context.sampled)),
        trace_state=trace.TraceState.from_header([context.state]) if context.state else None,
    )
