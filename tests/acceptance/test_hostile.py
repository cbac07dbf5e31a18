"""The real daemon on an AWS whose answers are spoilt, and with functions that fail in odd ways: no machine of it
breaks, nothing is lost, what it needs stays bounded, and the mappings beside go on.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon
from tests.acceptance import stream_daemon as streams
from tests.acceptance.spoiler import Spoil, spoiling
from tests.property.hostile import MEGABYTE, ODD, TEXTS, as_sent, deep_text, one_odd_field

SQS_MESSAGE = {
    "MessageId": "odd",
    "ReceiptHandle": "odd",
    "Body": "odd",
    "MD5OfBody": "odd",
    "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
    "MessageAttributes": {"a": {"DataType": "String", "StringValue": "x"}},
}
RECORD = {"SequenceNumber": "1", "PartitionKey": "k", "Data": "eA==", "ApproximateArrivalTimestamp": 1.5e9}
HANDLERS = """
def text_of(record):
    if "body" in record:
        return record["body"]
    try:
        return text(record)
    except ValueError:
        return "no base64, or no UTF-8"


async def work(event, context):
    note(*(text for text in map(text_of, event["Records"]) if text.startswith("work-") and len(text) < 20))


def half(event, context):
    note("half")
    raise ValueError("half of an emoji: \\ud83d")
"""
RSS = 250 * MEGABYTE
"""What a daemon of four mappings may come to have, with answers of several megabytes in its hands."""


def beside(field: str, odd: list[Any]) -> Spoil:
    """These among what it brings."""
    return lambda answer: as_sent(answer | {field: [*odd, *(answer.get(field) or []), *odd]})


def with_also(field: str, odd: Any) -> Spoil:
    """This in one field of it."""
    return lambda answer: as_sent(answer | {field: odd})


def instead(answer: Any) -> Spoil:
    """This, whatever it brings."""
    return lambda _: answer if isinstance(answer, bytes) else as_sent(answer)


def answers(field: str) -> Iterator[Spoil]:
    """No answers of AWS: the whole, and the field that has what was asked for."""
    yield from map(instead, (b"{", b"null", deep_text(100_000).encode(), {field: 5}, {field: {"a": 1}}))
    yield instead(b'{"' + field.encode() + b'": [' + b"{}," * 300_000 + b"7")


# What names nothing is left out; what has a name is a message, of which nobody knows here.
ODD_MESSAGES = [
    *(one for one in ODD if not isinstance(one, dict)),
    *(
        one
        for one in one_odd_field(SQS_MESSAGE)
        if (one.get("MessageId"), one.get("ReceiptHandle")) != ("odd",) * 2
    ),
]
ODD_BODIES = [
    {**SQS_MESSAGE, "MessageId": f"odd-{place}", "ReceiptHandle": f"odd-{place}", "Body": body}
    for place, body in enumerate(TEXTS)
]
ODD_RECORDS = [*ODD, *one_odd_field(RECORD)]
SPOILS: dict[str, list[Spoil]] = {
    "ReceiveMessage": [
        beside("Messages", ODD_MESSAGES),
        beside("Messages", ODD_BODIES),
        *answers("Messages"),
    ],
    "DeleteMessageBatch": [
        *answers("Successful"),
        instead({"Successful": [{"Id": "77"}], "Failed": [{"Id": []}]}),
        instead({"Failed": [None, {"Id": "0", "Code": 5, "Message": {"a": "\ud83d"}}]}),
    ],
    "GetRecords": [
        beside("Records", ODD_RECORDS),
        with_also("NextShardIterator", 5),
        with_also("NextShardIterator", {}),
        *answers("Records"),
        with_also("ChildShards", [None]),
        with_also("MillisBehindLatest", float("nan")),
        with_also("NextShardIterator", "\ud800"),
    ],
    "GetShardIterator": [instead({"ShardIterator": odd}) for odd in (None, 5, "nonsense")],
    "ListShards": [instead(b"{"), beside("Shards", [{"ShardId": 5}])],
    "GetQueueAttributes": [instead({"Attributes": {"VisibilityTimeout": "nan"}})],
}


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "FIFO"])
def test_answers_that_are_none_cost_time_and_nothing_else(
    fifo: bool, embedded_aws: str, sqs_client: Any, new_stream: Any, tmp_path: Path
) -> None:
    """GEN-2, GEN-9, SQS-26, SQS-40, STR-4, STR-23: every second answer is spoilt; all of the work is done;
    no machine breaks, and another queue is worked on meanwhile.
    """
    client = sqs_client(embedded_aws)
    ending = ".fifo" if fifo else ""
    queue = daemon.make_queue(client, daemon.own("odd") + ending, visibility=3)
    good = daemon.make_queue(client, daemon.own("beside"))
    bad = daemon.make_queue(client, daemon.own("half"), visibility=1, dead=2)
    stream = new_stream(embedded_aws)
    texts = [f"work-{number}" for number in range(120)]
    daemon.send(client, queue["url"], texts[:60], [f"g{n % 7}" for n in range(60)] if fifo else None)
    stream.put(texts[60:], "key")
    victims = [queue["url"].rpartition("/")[2], stream.name]

    def of(name: str, source: dict[str, str], function: str, **more: Any) -> dict[str, Any]:
        return {"Name": name, "EventSourceArn": source["arn"], "FunctionName": function, **more}

    with spoiling(embedded_aws, victims, SPOILS) as spoiler:
        streams.write(
            tmp_path,
            of("odd", queue, "python:handlers:work", Handler={"TimeoutInSeconds": 2}),
            streams.mapping(stream),
            of("good", good, "python:handlers:work"),
            of("half", bad, "process:handlers:half", Handler={"TimeoutInSeconds": 1}),
            handlers=HANDLERS,
        )
        with daemon.running(tmp_path, daemon.environment(spoiler.url)) as running:
            daemon.send(client, good["url"], [f"work-good-{number}" for number in range(50)])
            daemon.send(client, bad["url"], ["x"])
            running.ready()
            daemon.wait_for(lambda: daemon.empty(client, good["url"]), "the good neighbour")
            daemon.wait_for(lambda: set(texts) <= set(streams.notes(tmp_path)), "all the work")
            daemon.wait_for(lambda: daemon.counts(client, bad["dead"])[0] == 1, "what fails in its DLQ")

            def met(operation: str) -> bool:
                if operation == "ReceiveMessage":  # a receive of nothing lasts
                    daemon.send(client, queue["url"], ["more"], ["g"] if fifo else None)
                return spoiler.spoilt[operation] >= len(SPOILS[operation])

            for operation in ("ReceiveMessage", "DeleteMessageBatch", "GetRecords"):
                daemon.wait_for(partial(met, operation), f"all odd answers to {operation}")
            daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "the queue to be empty")
            assert running.metric("esm_worker_restarts_total") == 0
            assert running.metric("esm_invocations_total", mapping="half", outcome="error") == 2
            assert running.metric("process_resident_memory_bytes") < RSS
            assert not {line["action"] for line in running.lines()} & {
                "crashed",
                "shard_crashed",
                "invocation_bug",
            }
            print(
                "CPU", running.metric("process_cpu_seconds_total"), running.metric("process_resident_memory_bytes")
            )
            running.signal(15)
            assert running.wait() in {0, 3}, running.output()
    first = {}
    for place, text in enumerate(streams.notes(tmp_path)):
        first.setdefault(text, place)
    order = [first[text] for text in texts[60:]]
    assert order == sorted(order), "records of one key were started out of order"
