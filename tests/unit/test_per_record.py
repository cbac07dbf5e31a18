"""poller.each: which records run, which are reported, and what a function may look like."""

import asyncio
import functools
import inspect
import logging
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

import poller
from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.core.model import Succeeded
from poller.errors import ConfigurationError
from poller.handlers.python import PythonHandler
from poller.ports import Invocation

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"


def sqs(number, group=None, arn=QUEUE):
    attributes = {} if group is None else {"MessageGroupId": group}
    return {"messageId": f"m{number}", "body": f"secret {number}", "attributes": attributes,
            "eventSource": "aws:sqs", "eventSourceARN": arn}  # fmt: skip


def fifo(number, group):
    return sqs(number, group, f"{QUEUE}.fifo")


def kinesis(number):
    return {"kinesis": {"sequenceNumber": str(number), "data": ""}, "eventSource": "aws:kinesis"}


def dynamodb(number):
    return {"dynamodb": {"SequenceNumber": str(number)}, "eventSource": "aws:dynamodb"}


class BadError(Exception):
    pass


def run(records, *bad, sync=True):
    """What ran, and what was reported, when the records at these places fail."""
    ran = []

    def work(record):
        ran.append(records.index(record))
        if records.index(record) in bad:
            raise BadError("no")

    async def work_in_loop(record):
        await asyncio.sleep(0)
        work(record)

    handler = poller.each(work if sync else work_in_loop)
    response = handler({"Records": records}, None)
    if not sync:
        response = asyncio.run(response)
    assert list(response) == ["batchItemFailures"]
    assert all(list(entry) == ["itemIdentifier"] for entry in response["batchItemFailures"])
    return ran, [entry["itemIdentifier"] for entry in response["batchItemFailures"]]


EITHER = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])


@EITHER
def test_a_standard_queue_goes_on_after_a_failure(sync):
    """PBR-4, PBR-10: those that failed are reported, in order. A tenant's name is no FIFO group (FIFO-12)."""
    records = [sqs(n, "tenant") for n in range(5)]
    assert run(records, sync=sync) == ([0, 1, 2, 3, 4], [])
    assert run(records, 1, 3, sync=sync) == ([0, 1, 2, 3, 4], ["m1", "m3"])
    assert run(records, *range(5), sync=sync) == ([0, 1, 2, 3, 4], ["m0", "m1", "m2", "m3", "m4"])


@EITHER
def test_a_fifo_queue_holds_back_the_rest_of_a_group(sync):
    """FIFO-7, SUR-6: it is not run, and reported, so that it is not deleted; other groups go on."""
    records = [fifo(n, group) for n, group in enumerate("ABABCA")]
    assert run(records, 0, sync=sync) == ([0, 1, 3, 4], ["m0", "m2", "m5"])
    assert run(records, 2, 3, sync=sync) == ([0, 1, 2, 3, 4], ["m2", "m3", "m5"])
    assert run(records, 4, sync=sync) == ([0, 1, 2, 3, 4, 5], ["m4"])


@EITHER
@pytest.mark.parametrize("emptied", ["attributes", "eventSourceARN", "eventSource", "messageId"])
def test_a_record_that_its_function_has_taken_apart_still_holds_back_its_group(emptied, sync):
    """FIFO-7: a record is the function's own, and its order does not hang on what is left of it."""
    records = [fifo(n, group) for n, group in enumerate("AAB")]
    ran = []

    def work(record):
        ran.append(record["body"])
        record.pop(emptied)
        raise BadError("no")

    async def work_in_loop(record):
        work(record)

    response = poller.each(work if sync else work_in_loop)({"Records": records}, None)
    response = response if sync else asyncio.run(response)
    assert [entry["itemIdentifier"] for entry in response["batchItemFailures"]] == ["m0", "m1", "m2"]
    assert ran == ["secret 0", "secret 2"]


@EITHER
@pytest.mark.parametrize("make", [kinesis, dynamodb])
def test_a_stream_ends_at_the_first_failure(make, sync):
    """PBR-20: the position goes no further, and what was done after it would be done again."""
    records = [make(n) for n in (98, 99, 100, 101)]
    assert run(records, sync=sync) == ([0, 1, 2, 3], [])
    assert run(records, 1, 2, sync=sync) == ([0, 1], ["99"])
    assert run(records, 0, sync=sync) == ([0], ["98"])


@EITHER
def test_a_message_that_came_twice_is_reported_once(sync):
    assert run([sqs(1), sqs(2), sqs(1) | {"body": "again"}], 0, 2, sync=sync) == ([0, 1, 2], ["m1"])


@EITHER
def test_no_records(sync):
    assert run([], sync=sync) == ([], [])


def takes_context(record, context):
    return record, context


def takes_context_by_name(record, context=None):
    return record, context


def takes_record(record):
    return record, "none"


def has_another(record, retries="none"):
    return record, retries


def takes_all(*args):
    return args[0], "none" if len(args) == 1 else args[1]


class Callee:
    def __call__(self, record, context):
        return record, context

    def method(self, record):
        return record, "none"


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (takes_context, "c"),
        (takes_context_by_name, "c"),
        (takes_record, "none"),
        (has_another, "none"),
        (takes_all, "none"),
        (Callee(), "c"),
        (Callee().method, "none"),
        (functools.partial(takes_context, context="bound"), "bound"),
        (lambda record, context: (record, context), "c"),
    ],
)
def test_the_context_is_given_to_whoever_takes_it(function, given):
    seen = []

    @poller.each
    @functools.wraps(function)
    def handler(*args):
        seen.append(function(*args))

    assert handler({"Records": [sqs(1)]}, "c") == {"batchItemFailures": []}
    assert seen == [(sqs(1), given)]


async def async_record(record):
    pass


async def async_generator(record):
    yield


def generator(record):
    yield


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda a, b, c: None,
        lambda a, *, key: None,
        generator,
        async_generator,
        "shop.orders:handle",
        None,
    ],
)
def test_what_is_no_function_of_a_record_is_refused_at_once(function):
    with pytest.raises(TypeError, match=r"^poller\.each"):
        poller.each(function)


class AsyncCallee:
    async def __call__(self, record):
        raise BadError


@pytest.mark.parametrize("function", [async_record, functools.partial(async_record), AsyncCallee()])
async def test_a_coroutine_function_makes_one(function):
    """It is called in the event loop then, and not in a thread."""
    handler = poller.each(function)
    assert inspect.iscoroutinefunction(handler)
    failed = await handler({"Records": [sqs(1)]}, None)
    assert bool(failed["batchItemFailures"]) == isinstance(function, AsyncCallee)


def test_it_keeps_the_name_of_the_function():
    """By which it is found, and known in logs."""
    handler = poller.each(takes_record)
    assert (handler.__module__, handler.__qualname__) == (__name__, "takes_record")
    assert not inspect.iscoroutinefunction(handler)


def test_a_result_that_nobody_awaits_is_no_success():
    def begin(record):
        return async_record(record)

    handler = poller.each(begin)
    with pytest.raises(TypeError, match="make it `async def`"):
        handler({"Records": [sqs(1)]}, None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_ends_the_call_is_not_a_failure_of_a_record(error):
    def work(record):
        raise error

    async def work_in_loop(record):
        raise error

    with pytest.raises(error):
        poller.each(work)({"Records": [sqs(1), sqs(2)]}, None)
    with pytest.raises(error):
        poller.each(work_in_loop)({"Records": [sqs(1)]}, None).send(None)


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {"Records": None},
        {"Records": [None]},
        {"Records": [sqs(1), {"eventSource": "aws:s3", "s3": {}}]},
        {"Records": [{"eventSource": "aws:sqs"}]},
        {"Records": [{"eventSource": "aws:kinesis", "kinesis": {}}]},
    ],
)
def test_an_event_of_another_kind_fails_before_anything_ran(event):
    with pytest.raises(ValueError, match="records of SQS, Kinesis or DynamoDB only"):
        poller.each(pytest.fail)(event, None)


def test_a_tumbling_window_is_refused_because_its_state_would_be_lost():
    """TMB-5."""
    with pytest.raises(ValueError, match="tumbling window"):
        poller.each(pytest.fail)({"Records": [], "window": {}, "state": {"n": 1}}, None)


def test_each_failure_is_logged_once_with_its_place_and_without_the_record(caplog):
    caplog.set_level(logging.DEBUG)
    run([sqs(1), sqs(2), sqs(3)], 0, 2)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    first = caplog.records[0]
    assert (first.name, first.action, first.record, first.error_type) == (
        "poller",
        "record_failed",
        "m1",
        "BadError",
    )
    assert "test_per_record.py:" in first.at
    assert first.exc_info[0] is BadError
    assert "secret" not in caplog.text


@pytest.fixture
def mapping():
    fields = {
        "EventSourceArn": QUEUE,
        "FunctionName": "python:a:b",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    mapping = parse_mapping(fields)
    assert not isinstance(mapping, Invalid)
    return mapping


async def test_under_the_poller_it_runs_where_its_function_may(mapping: EventSourceMapping):
    threads = {}

    def work(record, context):
        threads["sync"] = (threading.current_thread() is threading.main_thread(), context.function_name)

    async def work_in_loop(record, context):
        threads["async"] = (threading.current_thread() is threading.main_thread(), context.function_name)

    for function in (work, work_in_loop):
        handler = PythonHandler(poller.each(function), mapping)
        await handler.start()
        invocation = Invocation({"Records": [sqs(1)]}, "r", 1e9)
        assert await handler.invoke(invocation) == Succeeded(b'{"batchItemFailures":[]}')
        await handler.close()
    assert threads == {"sync": (False, "python:a:b"), "async": (True, "python:a:b")}


async def test_a_mapping_that_would_not_read_the_report_is_refused(mapping: EventSourceMapping):
    """SUR-5, PBR-1: what failed would count as done. Other handlers may know what they do."""
    deaf = replace(mapping, report_batch_item_failures=False)
    handler = poller.each(takes_record)

    @functools.wraps(handler)
    def wrapped(event, context):
        return handler(event, context)

    for function in (handler, wrapped):
        with pytest.raises(
            ConfigurationError, match=r"'orders'.*FunctionResponseTypes: \[ReportBatchItemFailures\]"
        ):
            await PythonHandler(function, deaf).start()
        await PythonHandler(function, mapping).start()

    class Odd(SimpleNamespace):
        reports_item_failures = "no"

        def __call__(self, event, context):
            return None

    await PythonHandler(Odd(), deaf).start()
