"""FIFO queues: order, locks and deduplication, asked of the embedded AWS and of servers that others wrote."""

import json
import random
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import GENEROUS, Queue, Sqs


def bodies(messages: list[dict[str, object]]) -> list[object]:
    return [message["Body"] for message in messages]


def send(queue: Queue, *texts: str) -> None:
    """The first letter of each text is its group."""
    for text in texts:
        queue.send(text, MessageGroupId=text[0], MessageDeduplicationId=text)


def test_a_group_comes_in_order_in_one_receive(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True)
    texts = [f"a{n}" for n in range(10)]
    send(queue, *texts)
    assert bodies(queue.receive()) == texts


def test_several_groups_share_a_receive_each_in_order(sqs: Sqs) -> None:
    """FIFO-2."""
    queue = sqs.queue(fifo=True)
    send(queue, "a0", "b0", "a1", "c0", "b1", "a2")
    got = bodies(queue.receive())
    assert sorted(got) == ["a0", "a1", "a2", "b0", "b1", "c0"]
    for group in "abc":
        mine = [body for body in got if body[0] == group]
        assert mine == sorted(mine)


def test_a_group_is_locked_until_all_in_flight_have_ended(sqs: Sqs) -> None:
    """FIFO-1."""
    queue = sqs.queue(fifo=True, VisibilityTimeout=600)
    send(queue, "a0", "a1", "a2")
    first, second = queue.receive(2)
    assert queue.receive() == []
    queue.delete(first)
    assert queue.receive() == []
    queue.delete(second)
    assert bodies(queue.receive(wait=1)) == ["a2"]


def test_a_locked_group_does_not_stop_the_others(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True, VisibilityTimeout=600)
    send(queue, "a0", "a1")
    assert bodies(queue.receive(1)) == ["a0"]
    send(queue, "b0")
    assert bodies(queue.receive()) == ["b0"]


def test_a_message_given_back_keeps_its_place(sqs: Sqs) -> None:
    """FIFO-10."""
    queue = sqs.queue(fifo=True, VisibilityTimeout=600)
    send(queue, "a0", "a1", "a2", "a3")
    messages = queue.receive(3)
    queue.give_back(messages[1])
    queue.give_back(messages[2])
    queue.give_back(messages[0])
    again = queue.receive(wait=1)
    assert bodies(again) == ["a0", "a1", "a2", "a3"]
    counts = [message["Attributes"]["ApproximateReceiveCount"] for message in again]
    assert counts == ["2", "2", "2", "1"]


def test_order_holds_after_the_visibility_of_several_ended(sqs: Sqs) -> None:
    """FIFO-4, FIFO-5."""
    queue = sqs.queue(fifo=True, VisibilityTimeout=1)
    send(queue, "a0", "a1", "a2", "a3")
    assert bodies(queue.receive(2)) == ["a0", "a1"]
    deadline = time.monotonic() + GENEROUS
    while not (again := queue.receive(wait=1, VisibilityTimeout=60)) and time.monotonic() < deadline:
        pass
    assert bodies(again)[:2] == ["a0", "a1"]


def test_a_waiting_poll_wakes_when_a_delete_unlocks_the_group(sqs: Sqs) -> None:
    """FIFO-10."""
    queue = sqs.queue(fifo=True, VisibilityTimeout=600)
    send(queue, "a0", "a1")
    message = queue.receive(1)[0]
    poll = sqs.polling(queue)
    queue.delete(message)
    assert bodies(poll.result(GENEROUS + 10)) == ["a1"]


def test_a_waiting_poll_wakes_when_messages_are_given_back(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True, VisibilityTimeout=600)
    send(queue, "a0", "a1")
    message = queue.receive(1)[0]
    poll = sqs.polling(queue)
    queue.give_back(message)
    assert bodies(poll.result(GENEROUS + 10)) == ["a0", "a1"]


def test_a_waiting_poll_wakes_when_a_visibility_timeout_ends(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True, VisibilityTimeout=1)
    send(queue, "a0", "a1")
    queue.receive(1)
    assert bodies(sqs.polling(queue, VisibilityTimeout=60).result(GENEROUS + 10)) == ["a0", "a1"]


def test_a_queue_delay_holds_back_a_group_in_order(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True, DelaySeconds=1)
    send(queue, "a0", "a1")
    assert queue.receive() == []
    got: list[object] = []
    deadline = time.monotonic() + GENEROUS
    while len(got) < 2 and time.monotonic() < deadline:
        messages = queue.receive(wait=2)
        got += bodies(messages)
        queue.delete(*messages)
    assert got == ["a0", "a1"]


# --- deduplication ---


def test_the_same_deduplication_id_is_accepted_and_not_stored(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True)
    first = queue.send("one", MessageGroupId="a", MessageDeduplicationId="same")
    second = queue.send("two", MessageGroupId="a", MessageDeduplicationId="same")
    assert second["MessageId"] == first["MessageId"]
    assert bodies(queue.receive()) == ["one"]


def test_a_duplicate_is_known_after_its_original_was_deleted(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True)
    queue.send("one", MessageGroupId="a", MessageDeduplicationId="same")
    queue.delete(*queue.receive())
    queue.send("two", MessageGroupId="a", MessageDeduplicationId="same")
    assert queue.receive(wait=1) == []


def test_content_makes_the_deduplication_id(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True, ContentBasedDeduplication="true")
    for body in ("one", "one", "two"):
        queue.send(body, MessageGroupId="a")
    messages = queue.receive()
    assert bodies(messages) == ["one", "two"]
    sha256_of_one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert messages[0]["Attributes"]["MessageDeduplicationId"] == sha256_of_one


def test_deduplication_may_be_of_each_group(sqs: Sqs) -> None:
    scope = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    queue = sqs.queue(fifo=True, **scope)
    for group in ("a", "b", "a"):
        queue.send(group, MessageGroupId=group, MessageDeduplicationId="same")
    assert sorted(bodies(queue.receive())) == ["a", "b"]


# --- what a message shows ---


def test_sequence_numbers_grow(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True)
    sent = [queue.send(text, MessageGroupId="a", MessageDeduplicationId=text) for text in "abcdefgh"]
    numbers = [answer["SequenceNumber"] for answer in sent]
    assert [int(number) for number in numbers] == sorted({int(number) for number in numbers})
    assert [message["Attributes"]["SequenceNumber"] for message in queue.receive()] == numbers


def test_a_fifo_message_shows_group_and_deduplication_id(sqs: Sqs) -> None:
    """SQS-42."""
    queue = sqs.queue(fifo=True)
    queue.send("x", MessageGroupId="g", MessageDeduplicationId="d")
    told = queue.receive()[0]["Attributes"]
    assert (told["MessageGroupId"], told["MessageDeduplicationId"]) == ("g", "d")
    assert "SequenceNumber" in told


# --- receipts, redrive ---


def test_a_receipt_whose_visibility_ended_does_not_delete(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True, VisibilityTimeout=600)
    send(queue, "a0")
    message = queue.receive()[0]
    queue.give_back(message)
    entries = [{"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}]
    answer = sqs.client.delete_message_batch(QueueUrl=queue.url, Entries=entries)
    assert [entry["Code"] for entry in answer.get("Failed", [])] == ["InvalidParameterValue"]
    assert bodies(queue.receive()) == ["a0"]


def test_redrive_unlocks_the_group_and_order_goes_on(sqs: Sqs) -> None:
    """FIFO-5, FIFO-11."""
    dead = sqs.queue(fifo=True)
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    queue = sqs.queue(fifo=True, VisibilityTimeout=600, RedrivePolicy=policy)
    send(queue, "a0", "a1", "a2")
    poison = queue.receive(1)[0]
    queue.give_back(poison)
    got: list[object] = []
    deadline = time.monotonic() + GENEROUS
    while len(got) < 2 and time.monotonic() < deadline:
        messages = queue.receive(wait=1)
        got += bodies(messages)
        queue.delete(*messages)
    assert got == ["a1", "a2"]
    letter = dead.receive_until(1)[0]
    assert letter["MessageId"] == poison["MessageId"]
    assert letter["Attributes"]["ApproximateReceiveCount"] == "2"
    assert letter["Attributes"]["MessageGroupId"] == "a"


def test_order_holds_under_many_workers_that_give_back(sqs: Sqs) -> None:
    queue = sqs.queue(fifo=True, VisibilityTimeout=600)
    groups, each = "abcd", 10
    for group in groups:
        texts = [f"{group}{n}" for n in range(each)]
        entries = [
            {"Id": text, "MessageBody": text, "MessageGroupId": group, "MessageDeduplicationId": text}
            for text in texts
        ]
        sqs.client.send_message_batch(QueueUrl=queue.url, Entries=entries)
    done: list[str] = []

    def work(seed: int) -> None:
        dice, deadline = random.Random(seed), time.monotonic() + 4 * GENEROUS
        while len(done) < len(groups) * each and time.monotonic() < deadline:
            messages = queue.receive(3, wait=1)
            failed: set[str] = set()
            for message in messages:
                group = message["Body"][0]
                if group not in failed and dice.random() < 0.8:
                    done.append(message["Body"])
                    queue.delete(message)
                else:
                    failed.add(group)
            for message in reversed(messages):  # the last first: the group opens when the first comes back
                if message["Body"] not in done:
                    queue.give_back(message)

    for worker in [sqs.aside(lambda seed=seed: work(seed)) for seed in range(4)]:
        worker.result(5 * GENEROUS)
    for group in groups:
        assert [body for body in done if body[0] == group] == [f"{group}{n}" for n in range(each)]


# --- what SQS refuses ---


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"MessageDeduplicationId": "d"}, "MissingParameter"),
        ({"MessageGroupId": "g"}, "InvalidParameterValue"),
        ({"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 1}, "InvalidParameterValue"),
    ],
    ids=["no group", "no deduplication id", "delay of one message"],
)
def test_sends_that_do_not_fit_a_fifo_queue(sqs: Sqs, fields: dict[str, object], code: str) -> None:
    queue = sqs.queue(fifo=True)
    with pytest.raises(ClientError) as error:
        queue.send("x", **fields)
    assert error.value.response["Error"]["Code"] == code


def test_the_name_of_a_fifo_queue_ends_in_fifo(sqs: Sqs) -> None:
    with pytest.raises(ClientError):
        sqs.client.create_queue(QueueName=f"no-suffix-{uuid.uuid4().hex}", Attributes={"FifoQueue": "true"})


def test_only_fifo_queues_end_in_fifo(sqs: Sqs) -> None:
    with pytest.raises(ClientError):
        sqs.client.create_queue(QueueName=f"standard-{uuid.uuid4().hex}.fifo")
