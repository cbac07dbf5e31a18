"""A span for each invocation, as OpenTelemetry's own SDK records it; and none where nobody traces."""

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv._incubating.attributes import aws_attributes, error_attributes, faas_attributes
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging

from poller import service as service_module
from poller import tracing as module
from poller.core.model import Batch, BatchTrigger, FunctionError
from poller.core.span_facts import queue_span
from poller.core.trace_headers import format_xray
from poller.tracing import Tracing, current_ids, settling_trace_id
from tests.unit.runtime.rig import mapping_of, until
from tests.unit.test_service import InMemory, running

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": {"DataType": "String", "StringValue": f"00-{TRACE}-{SPAN}-01"}}


class Traced:
    """A service on queues in memory, and the spans that it has ended."""

    def __init__(self, service: InMemory, exporter: InMemorySpanExporter, tracer: trace.Tracer) -> None:
        self.service, self._exporter, self.tracer = service, exporter, tracer
        self.queue = service.queue("orders")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    async def ended(self, count: int = 1) -> list[ReadableSpan]:
        await until(lambda: len(self.spans) >= count, f"{count} spans")
        return self.spans


Make = Callable[..., contextlib.AbstractAsyncContextManager[Traced]]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Make:
    """traced(handler, fields...): with a provider of its own, as there can be one a process only."""

    @contextlib.asynccontextmanager
    async def make(handler: Any, processor: SpanProcessor | None = None, **fields: Any) -> AsyncIterator[Traced]:
        exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor or SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        monkeypatch.setattr(service_module, "make_tracing", lambda *facts: Tracing(tracer, *facts))
        async with running() as service:
            service.add(mapping_of("orders", **fields), handler)
            yield Traced(service, exporter, tracer)

    return make


async def nothing(event: Any, context: Any) -> None:
    """A handler."""


async def test_a_batch_has_a_span_by_the_conventions(traced: Make) -> None:
    """Its names are those of OpenTelemetry's own list; it is a root, linked to who has sent the message."""
    requests = []

    async def handler(event: Any, context: Any) -> None:
        requests.append(context.aws_request_id)

    async with traced(handler) as world:
        world.queue.send("a", MessageAttributes=TRACEPARENT)
        (span,) = await world.ended()
    assert (span.name, span.kind, span.parent) == ("process orders", trace.SpanKind.CONSUMER, None)
    assert span.status.status_code is trace.StatusCode.UNSET
    (link,) = span.links
    assert link.attributes is not None
    ((attribute, message_id),) = link.attributes.items()
    assert attribute == messaging.MESSAGING_MESSAGE_ID
    assert span.attributes == {
        messaging.MESSAGING_SYSTEM: messaging.MessagingSystemValues.AWS_SQS.value,
        messaging.MESSAGING_OPERATION_NAME: "process",
        messaging.MESSAGING_OPERATION_TYPE: messaging.MessagingOperationTypeValues.PROCESS.value,
        messaging.MESSAGING_DESTINATION_NAME: "orders",
        messaging.MESSAGING_BATCH_MESSAGE_COUNT: 1,
        messaging.MESSAGING_MESSAGE_ID: message_id,
        aws_attributes.AWS_LAMBDA_RESOURCE_MAPPING_ID: "uuid-of-orders",
        aws_attributes.AWS_LAMBDA_INVOKED_ARN: "arn:aws:lambda:us-east-1:000000000000:function:b",
        faas_attributes.FAAS_TRIGGER: faas_attributes.FaasTriggerValues.PUBSUB.value,
        faas_attributes.FAAS_INVOCATION_ID: requests[0],
        "esm.mapping.name": "orders",
    }
    assert trace.format_trace_id(link.context.trace_id) == TRACE
    assert trace.format_span_id(link.context.span_id) == SPAN
    assert link.context.is_remote
    assert link.context.trace_flags.sampled


async def raises(event: Any, context: Any) -> None:
    raise LookupError("a secret of the record")


async def hangs(event: Any, context: Any) -> None:
    await asyncio.Event().wait()


async def reports(event: Any, context: Any) -> Any:
    return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}


async def mumbles(event: Any, context: Any) -> Any:
    return {"batchItemFailures": "?"}


@pytest.mark.parametrize(
    ("handler", "error"),
    [(raises, "LookupError"), (hangs, "timeout"), (reports, "partial"), (mumbles, "invalid_response")],
)
async def test_a_batch_that_fails_has_a_span_that_failed(traced: Make, handler: Any, error: str) -> None:
    """INV-9, PBR-3: with the type of the error, and without its text, which may quote a record."""
    async with traced(handler, timeout=0.2, report_batch_item_failures=True) as world:
        world.queue.send("a")
        (span,) = await world.ended()
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes[error_attributes.ERROR_TYPE] == error
    assert "secret" not in span.to_json()


async def test_each_attempt_has_a_span(traced: Make) -> None:
    """SQS-21: in a trace of its own, all linked to the same producer."""
    outcomes = [False, True]

    async def handler(event: Any, context: Any) -> None:
        if not outcomes.pop(0):
            raise ValueError("not yet")

    async with traced(handler) as world:
        world.queue.send("a", MessageAttributes=TRACEPARENT)
        await world.ended()
        await until(lambda: world.service.clock.advance(20) or not outcomes, "the second attempt")
        first, second = await world.ended(2)
    assert first.context.trace_id != second.context.trace_id
    assert [link.context.trace_id for link in (*first.links, *second.links)] == [int(TRACE, 16)] * 2
    assert [span.status.is_ok for span in (first, second)] == [False, True]


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_spans_of_the_handler_are_children(traced: Make, kind: str) -> None:
    """And what it writes to the log has the ids."""
    seen: list[Any] = []

    def work() -> None:
        with world.tracer.start_as_current_span("query"):
            seen.append(current_ids())

    async def awaited(event: Any, context: Any) -> None:
        work()

    async with traced(awaited if kind == "async" else lambda event, context: work()) as world:
        world.queue.send("a")
        child, batch = await world.ended(2)
    assert child.parent is not None
    assert child.parent.span_id == batch.context.span_id
    assert seen == [(trace.format_trace_id(batch.context.trace_id), trace.format_span_id(child.context.span_id))]


async def test_ambient_spans_of_the_application_are_no_parents(traced: Make) -> None:
    """A span that is open while mappings are added would be the parent of all batches, for ever."""
    ambient = trace.NonRecordingSpan(trace.SpanContext(1, 1, False, trace.TraceFlags(1)))
    token = otel_context.attach(trace.set_span_in_context(ambient))
    try:
        async with traced(nothing) as world:
            world.queue.send("a")
            (span,) = await world.ended()
    finally:
        otel_context.detach(token)
    assert span.parent is None


async def test_a_failed_batch_is_told_with_the_ids_of_its_span(traced: Make, caplog: Any) -> None:
    """The line is written while the batch is settled. That is not in the span's context, which timers and calls
    that begin there would inherit: they go on after the span has ended.
    """
    ids: list[Any] = []
    current: dict[str, int] = {}

    class Ids(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            ids.append((getattr(record, "action", ""), current_ids()))
            current[getattr(record, "action", "")] = trace.get_current_span().get_span_context().span_id
            return True

    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(watch := Ids())
    try:
        async with traced(raises) as world:
            world.queue.send("a")
            (span,) = await world.ended()
    finally:
        caplog.handler.removeFilter(watch)
    of_span = (trace.format_trace_id(span.context.trace_id), trace.format_span_id(span.context.span_id))
    told = dict(ids)
    assert (told["handler_error"], told["batch_failed"]) == (of_span, of_span)
    assert told["state_changed"] is None
    assert (current["handler_error"], current["batch_failed"]) == (span.context.span_id, 0)


async def test_durations_have_exemplars(traced: Make) -> None:
    """Of the traces that are kept."""
    async with traced(nothing) as world:
        world.queue.send("a")
        (span,) = await world.ended()
        (coordinator,) = world.service.coordinators.values()
        histogram = coordinator.stats.invocation_duration["success"]
    assert [one.trace_id for one in histogram.exemplars.values()] == [trace.format_trace_id(span.context.trace_id)]
    assert settling_trace_id() == ""


class Broken(SpanProcessor):
    """Fails at the beginning of the first span, and at the end of the second."""

    def __init__(self) -> None:
        self.begun = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.begun += 1
        if self.begun == 1:
            raise RuntimeError("no room")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("nobody there")


async def test_a_tracer_that_fails_costs_no_batch(traced: Make, caplog: Any) -> None:
    """It is told, and the messages are deleted."""
    async with traced(nothing, processor=Broken()) as world:
        for body in "ab":
            world.queue.send(body)
            await until(lambda: not world.queue.bodies(), "the delete")
    assert "tracing_failed" in {getattr(record, "action", None) for record in caplog.records}


EMPTY = Batch(1, (), BatchTrigger.SIZE, 0.0, 0, 0.0)


def test_a_span_that_is_not_kept_hands_on_that_it_is_not() -> None:
    """So that the function's side keeps none of it either."""
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
    span = Tracing(tracer, mapping_of(), queue_span, None).begin(EMPTY, "r")  # type: ignore[arg-type]
    assert span is not None
    assert not span.handed.sampled
    told: list[str] = []
    span.settle(FunctionError("E", ""), lambda: told.append(settling_trace_id()))
    assert told == [""]


def test_what_a_worker_takes_over_is_current_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.XRAY_VARIABLE, "")
    before = otel_context.get_current()
    try:
        module.take_over({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"})
        assert current_ids() == (TRACE, SPAN)
        assert trace.get_current_span().get_span_context().trace_state == {"a": "1"}
        found = module.os.environ[module.XRAY_VARIABLE]
        assert found == format_xray(module.parse_traceparent(f"00-{TRACE}-{SPAN}-01"))  # type: ignore[arg-type]
        module.take_over({"traceparent": "?"})
        assert current_ids() == (TRACE, SPAN)
    finally:
        otel_context.attach(before)


def test_nobody_traces_in_a_program_without_a_provider() -> None:
    assert module.make_tracing(mapping_of(), queue_span, None) is None  # type: ignore[arg-type]


PROGRAM = """
import asyncio, sys

TRACED = sys.argv[1] == "traced"
WANTED = []

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            WANTED.append(name)
            raise ImportError(name)

if TRACED:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    exporter = InMemorySpanExporter()
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
else:
    sys.meta_path.insert(0, Refusing())

import poller
from poller.clock import SystemClock
from poller.testing import EmbeddedAws, FakeQueue

async def main():
    async with EmbeddedAws(region="us-east-1") as aws:
        source = FakeQueue("orders", service=aws.service)
        ask = lambda operation, **fields: aws.kinesis.apply(SystemClock().now(), operation, fields)
        ask("CreateStream", StreamName="clicks", ShardCount=1)
        async with poller.Poller(endpoint_url=aws.url) as p:
            queue, stream = (
                p.add("arn:aws:sqs:us-east-1:000000000000:orders", lambda event, context: None),
                p.add("arn:aws:kinesis:us-east-1:000000000000:stream/clicks", lambda event, context: None,
                      StartingPosition="TRIM_HORIZON"),
            )
            await queue.started()
            await stream.started()
            source.send("a")
            ask("PutRecord", StreamName="clicks", PartitionKey="key", Data="YQ==")
            await p.drain()

asyncio.run(main())
print(sorted(span.name for span in exporter.get_finished_spans()) if TRACED else WANTED)
"""


def run(how: str) -> subprocess.CompletedProcess[str]:
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": "/dev/null"}
    command = [sys.executable, "-c", PROGRAM, how]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_without_the_package_everything_works_and_nobody_looks_for_it() -> None:
    """Neither is it imported where it is installed and nobody traces."""
    done = run("blocked")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_program_that_traces_gets_spans_of_queues_and_streams() -> None:
    done = run("traced")
    assert (done.stdout, done.stderr) == ("['process clicks', 'process orders']\n", "")
