"""Standard queues: what a poller relies on, asked of the embedded AWS and of servers that others wrote."""

import json
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import GENEROUS, Queue, Sqs


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"].removeprefix("AWS.SimpleQueueService.")


# --- long polls (SQS-1) ---


def test_long_poll_wakes_on_send(sqs: Sqs) -> None:
    queue = sqs.queue()
    poll = sqs.polling(queue)
    queue.send("hello")
    assert [message["Body"] for message in poll.result(GENEROUS)] == ["hello"]


def test_long_poll_wakes_when_a_visibility_timeout_ends(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=1)
    queue.send("again")
    first = queue.receive()
    started = time.monotonic()
    again = sqs.polling(queue).result(GENEROUS)
    assert again[0]["MessageId"] == first[0]["MessageId"]
    assert time.monotonic() - started > 0.5


def test_long_poll_wakes_when_a_delay_ends(sqs: Sqs) -> None:
    queue = sqs.queue()
    queue.send("later", DelaySeconds=1)
    assert queue.receive() == []
    assert queue.attributes()["ApproximateNumberOfMessagesDelayed"] == "1"
    assert [message["Body"] for message in sqs.polling(queue).result(GENEROUS)] == ["later"]


def test_empty_long_poll_lasts_its_whole_wait(sqs: Sqs) -> None:
    started = time.monotonic()
    assert sqs.queue().receive(wait=1) == []
    assert 0.9 < time.monotonic() - started < GENEROUS


def test_the_queue_may_tell_how_long_to_wait(sqs: Sqs) -> None:
    queue, started = sqs.queue(ReceiveMessageWaitTimeSeconds=1), time.monotonic()
    assert "Messages" not in sqs.client.receive_message(QueueUrl=queue.url)
    assert time.monotonic() - started > 0.9


# --- visibility ---


def test_a_received_message_is_invisible_and_counted(sqs: Sqs) -> None:
    queue = sqs.queue()
    queue.send_all(["a", "b"])
    queue.receive_until(2)
    assert queue.receive() == []
    told = queue.attributes("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    assert told == {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "2"}


def test_receive_may_set_its_own_visibility_timeout(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=600)
    queue.send("x")
    queue.receive(VisibilityTimeout=1)
    assert len(sqs.polling(queue).result(GENEROUS)) == 1


def test_visibility_zero_gives_back_at_once_and_receives_count(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=600)
    queue.send("x")
    for count in ("1", "2", "3"):
        message = queue.receive_until(1)[0]
        assert message["Attributes"]["ApproximateReceiveCount"] == count
        queue.give_back(message)


def test_visibility_can_be_extended(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=1)
    queue.send("x")
    queue.give_back(*queue.receive(), after=60)
    assert queue.receive(wait=2) == []


def test_change_visibility_batch_tells_which_entries_failed(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=600)
    queue.send_all(["a", "b"])
    messages = queue.receive_until(2)
    entries = [
        {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for place, message in enumerate(messages)
    ]
    entries.insert(1, {"Id": "bad", "ReceiptHandle": "garbage", "VisibilityTimeout": 0})
    answer = sqs.client.change_message_visibility_batch(QueueUrl=queue.url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1"]
    assert [(entry["Id"], entry["SenderFault"]) for entry in answer["Failed"]] == [("bad", True)]
    queue.receive_until(2)


def test_change_visibility_of_a_visible_message_is_refused(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=600)
    queue.send("x")
    message = queue.receive_until(1)[0]
    queue.give_back(message)
    with pytest.raises(ClientError) as error:
        queue.give_back(message, after=5)
    assert code_of(error) == "MessageNotInflight"


# --- redrive (SQS-25) ---


def test_redrive_keeps_id_time_and_count(sqs: Sqs) -> None:
    dead = sqs.queue()
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    queue = sqs.queue(VisibilityTimeout=600, RedrivePolicy=policy)
    queue.send("poison")
    for _ in range(2):
        first = queue.receive_until(1)[0]
        queue.give_back(first)
    assert queue.receive(wait=1) == []
    letter = dead.receive_until(1)[0]
    assert (letter["MessageId"], letter["Body"]) == (first["MessageId"], "poison")
    assert letter["Attributes"]["SentTimestamp"] == first["Attributes"]["SentTimestamp"]
    assert letter["Attributes"]["ApproximateReceiveCount"] == "3"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == queue.arn


def test_redrive_wakes_a_poll_of_the_dead_letter_queue(sqs: Sqs) -> None:
    dead = sqs.queue()
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    queue = sqs.queue(VisibilityTimeout=600, RedrivePolicy=policy)
    queue.send("poison")
    queue.give_back(*queue.receive_until(1))
    poll = sqs.polling(dead)
    assert queue.receive(wait=1) == []
    assert [message["Body"] for message in poll.result(GENEROUS)] == ["poison"]


# --- deletes ---


def test_delete_batch_tells_which_entries_failed(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=1)
    queue.send_all(["a", "b"])
    handles = [message["ReceiptHandle"] for message in queue.receive_until(2, VisibilityTimeout=30)]
    ids = ("first", "bad", "last")
    entries = [
        {"Id": entry_id, "ReceiptHandle": handle}
        for entry_id, handle in zip(ids, (handles[0], "garbage", handles[1]), strict=True)
    ]
    answer = sqs.client.delete_message_batch(QueueUrl=queue.url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["first", "last"]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["SenderFault"], failed["Code"]) == ("bad", True, "ReceiptHandleIsInvalid")
    assert queue.attributes()["ApproximateNumberOfMessagesNotVisible"] == "0"


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        ([], "EmptyBatchRequest"),
        (["a", "b", "a"], "BatchEntryIdsNotDistinct"),
        ([str(n) for n in range(11)], "TooManyEntriesInBatchRequest"),
        (["not allowed!"], "InvalidBatchEntryId"),
    ],
    ids=["empty", "same id twice", "eleven", "bad id"],
)
def test_delete_batch_as_a_whole_is_refused(sqs: Sqs, ids: list[str], code: str) -> None:
    queue = sqs.queue()
    with pytest.raises(ClientError) as error:
        sqs.client.delete_message_batch(
            QueueUrl=queue.url, Entries=[{"Id": entry_id, "ReceiptHandle": f"r{entry_id}"} for entry_id in ids]
        )
    assert code_of(error) == code


def test_garbage_receipt_is_refused(sqs: Sqs) -> None:
    queue = sqs.queue()
    with pytest.raises(ClientError) as error:
        queue.delete({"ReceiptHandle": "garbage"})
    assert code_of(error) == "ReceiptHandleIsInvalid"


def test_deleting_twice_is_no_error(sqs: Sqs) -> None:
    queue = sqs.queue()
    queue.send("x")
    message = queue.receive_until(1)[0]
    queue.delete(message)
    entries = [{"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}]
    answer = sqs.client.delete_message_batch(QueueUrl=queue.url, Entries=entries)
    assert [entry["Id"] for entry in answer.get("Successful", [])] == ["0"]


def test_an_older_receipt_is_accepted(sqs: Sqs) -> None:
    """SQS-27: the call succeeds; whether it deletes is not agreed between servers, so nobody may rely on it."""
    queue = sqs.queue()
    queue.send("x")
    older = queue.receive_until(1)[0]
    queue.give_back(older)
    queue.receive_until(1)
    entries = [{"Id": "0", "ReceiptHandle": older["ReceiptHandle"]}]
    answer = sqs.client.delete_message_batch(QueueUrl=queue.url, Entries=entries)
    assert [entry["Id"] for entry in answer.get("Successful", [])] == ["0"]


def test_a_receipt_still_deletes_after_its_visibility_ended(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=600)
    queue.send("x")
    message = queue.receive_until(1)[0]
    queue.give_back(message)
    queue.delete(message)
    assert queue.receive(wait=1) == []


# --- what a message shows (SQS-40 to SQS-46) ---


def test_attributes_are_shown_as_asked(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=0)
    values = {name: {"DataType": "String", "StringValue": name} for name in ("app.a", "app.b", "other")}
    queue.send("x", MessageAttributes=values)

    def shown(system: list[str], names: list[str]) -> tuple[set[str], set[str]]:
        fields = {"MessageSystemAttributeNames": system, "MessageAttributeNames": names}
        message = queue.receive_until(1, **fields)[0]
        return set(message.get("Attributes", ())), set(message.get("MessageAttributes", ()))

    assert shown([], []) == (set(), set())
    assert shown(["SentTimestamp"], ["other"]) == ({"SentTimestamp"}, {"other"})
    assert shown(["SentTimestamp"], ["app.*"])[1] == {"app.a", "app.b"}
    assert shown(["All"], [".*"])[1] == set(values)
    assert shown(["All"], ["All"]) == (
        {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"},
        set(values),
    )


def test_system_attributes_are_strings_of_numbers_that_fit_the_time(sqs: Sqs) -> None:
    queue, before = sqs.queue(), time.time() * 1000
    queue.send("x")
    told = queue.receive_until(1)[0]["Attributes"]
    sent, received = int(told["SentTimestamp"]), int(told["ApproximateFirstReceiveTimestamp"])
    assert before - 1000 < sent <= received < time.time() * 1000 + 1000
    assert told["ApproximateReceiveCount"] == "1"


def test_first_receive_stays_the_first(sqs: Sqs) -> None:
    queue = sqs.queue()
    queue.send("x")
    first = queue.receive_until(1)[0]
    queue.give_back(first)
    second = queue.receive_until(1)[0]
    name = "ApproximateFirstReceiveTimestamp"
    assert second["Attributes"][name] == first["Attributes"][name]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]


def test_message_attributes_and_checksums(sqs: Sqs) -> None:
    queue = sqs.queue()
    values = {
        "text": {"DataType": "String", "StringValue": "sälute"},
        "number": {"DataType": "Number.int", "StringValue": "6"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff\x10"},
    }
    sent = queue.send("x", MessageAttributes=values)
    message = queue.receive_until(1)[0]
    told = {
        name: {key: value[key] for key in ("DataType", "StringValue", "BinaryValue") if key in value}
        for name, value in message["MessageAttributes"].items()
    }
    assert told == values
    assert (
        sent["MD5OfMessageAttributes"] == message["MD5OfMessageAttributes"] == "578c3a01546c148b2d69baa07825b9b5"
    )
    assert sent["MD5OfMessageBody"] == message["MD5OfBody"] == "9dd4e461268c8034f5c8564e155c67a6"


def test_no_message_attributes_no_checksum_of_them(sqs: Sqs) -> None:
    queue = sqs.queue()
    assert "MD5OfMessageAttributes" not in queue.send("x")
    message = queue.receive_until(1)[0]
    assert "MD5OfMessageAttributes" not in message
    assert "MessageAttributes" not in message


def test_trace_header_travels_apart_from_the_message_attributes(sqs: Sqs) -> None:
    queue, trace = sqs.queue(), "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    queue.send("x", MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}})
    message = queue.receive_until(1)[0]
    assert message["Attributes"]["AWSTraceHeader"] == trace
    assert "MessageAttributes" not in message


def test_a_standard_queue_shows_the_group_and_does_not_lock_it(sqs: Sqs) -> None:
    """FIFO-12, SQS-42: fair queues."""
    queue = sqs.queue()
    for body in ("a", "b"):
        queue.send(body, MessageGroupId="tenant")
        (message,) = queue.receive_until(1)
        assert message["Attributes"]["MessageGroupId"] == "tenant"
        assert "SequenceNumber" not in message["Attributes"]


@pytest.mark.parametrize("body", ['{"a": "<&>\\""}', "tab\tline\n\r", "日本語 😀", " ", "\\u0000"])
def test_bodies_come_back_as_sent(sqs: Sqs, body: str) -> None:
    """SQS-45."""
    queue = sqs.queue()
    queue.send(body)
    assert queue.receive_until(1)[0]["Body"] == body


# --- sends ---


def test_send_batch_answers_in_the_order_of_its_entries(sqs: Sqs) -> None:
    queue = sqs.queue()
    entries = [{"Id": f"e{n}", "MessageBody": f"m{n}"} for n in range(10)]
    answer = sqs.client.send_message_batch(QueueUrl=queue.url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == [f"e{n}" for n in range(10)]
    sent = {entry["MessageId"] for entry in answer["Successful"]}
    assert {message["MessageId"] for message in queue.receive_until(10)} == sent


def test_a_wrong_entry_of_a_send_batch_fails_alone(sqs: Sqs) -> None:
    queue = sqs.queue()
    entries = [{"Id": f"e{n}", "MessageBody": f"m{n}"} for n in range(3)]
    entries[1]["DelaySeconds"] = 901
    answer = sqs.client.send_message_batch(QueueUrl=queue.url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["e0", "e2"]
    assert [(entry["Id"], entry["SenderFault"]) for entry in answer["Failed"]] == [("e1", True)]
    assert {message["Body"] for message in queue.receive_until(2)} == {"m0", "m2"}


def test_size_limit_is_one_mebibyte(sqs: Sqs) -> None:
    queue = sqs.queue()
    queue.send("x" * 300_000)
    assert len(queue.receive_until(1)[0]["Body"]) == 300_000
    with pytest.raises(ClientError) as error:
        queue.send("x" * 1_048_577)
    assert code_of(error) == "InvalidParameterValue"


def test_a_batch_is_no_longer_than_one_message(sqs: Sqs) -> None:
    entries = [{"Id": str(n), "MessageBody": "x" * 500_000} for n in range(3)]
    with pytest.raises(ClientError) as error:
        sqs.client.send_message_batch(QueueUrl=sqs.queue().url, Entries=entries)
    assert code_of(error) == "BatchRequestTooLong"


def test_characters_outside_the_set_are_refused(sqs: Sqs) -> None:
    with pytest.raises(ClientError) as error:
        sqs.queue().send("\x01")
    assert code_of(error) == "InvalidMessageContents"


def test_each_of_many_is_received_once(sqs: Sqs) -> None:
    queue = sqs.queue(VisibilityTimeout=120)
    bodies = [f"m{n}" for n in range(60)]
    for start in range(0, 60, 10):
        entries = [{"Id": body, "MessageBody": body} for body in bodies[start : start + 10]]
        sqs.client.send_message_batch(QueueUrl=queue.url, Entries=entries)

    def drain() -> list[str]:
        got: list[str] = []
        while messages := queue.receive(wait=1):
            queue.delete(*messages)
            got += [message["Body"] for message in messages]
        return got

    workers = [sqs.aside(drain) for _ in range(4)]
    assert sorted(body for worker in workers for body in worker.result(60)) == sorted(bodies)


# --- limits of a request, and queues ---


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("receive_message", {"WaitTimeSeconds": 21}),
        ("receive_message", {"MaxNumberOfMessages": 11}),
        ("receive_message", {"MaxNumberOfMessages": 0}),
        ("receive_message", {"VisibilityTimeout": 43_201}),
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}),
    ],
    ids=["wait", "eleven", "none", "visibility", "delay"],
)
def test_values_out_of_range_are_refused(sqs: Sqs, operation: str, fields: dict[str, object]) -> None:
    queue = sqs.queue()
    queue.send("so that a server which takes the value need not wait")
    with pytest.raises(ClientError) as error:
        getattr(sqs.client, operation)(QueueUrl=queue.url, **fields)
    assert code_of(error) == "InvalidParameterValue"


def test_a_missing_queue_is_named_as_such(sqs: Sqs) -> None:
    """CFG-40: both forms of the error, the class that boto3 makes and the older code."""
    known = sqs.queue()
    url = known.url.rpartition("/")[0] + f"/none-{uuid.uuid4().hex}"
    for call in (
        lambda: sqs.client.get_queue_url(QueueName=url.rpartition("/")[2]),
        lambda: Queue(sqs.client, url).receive(),
        lambda: Queue(sqs.client, url).send("x"),
        lambda: Queue(sqs.client, url).attributes(),
        lambda: sqs.client.delete_queue(QueueUrl=url),
    ):
        with pytest.raises(sqs.client.exceptions.QueueDoesNotExist) as error:
            call()
        assert error.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_deleted_queue_is_gone(sqs: Sqs) -> None:
    queue = sqs.queue()
    sqs.client.delete_queue(QueueUrl=queue.url)
    with pytest.raises(ClientError):
        queue.receive()


def test_creating_again_answers_the_same_queue_unless_it_differs(sqs: Sqs) -> None:
    name = f"same-{uuid.uuid4().hex}"
    queue = sqs.queue(name=name, VisibilityTimeout=7)
    assert sqs.client.create_queue(QueueName=name)["QueueUrl"] == queue.url
    assert sqs.client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "7"})["QueueUrl"] == queue.url
    with pytest.raises(ClientError) as error:
        sqs.client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "8"})
    assert code_of(error) == "QueueAlreadyExists"


def test_attributes_can_be_set_and_read(sqs: Sqs) -> None:
    queue = sqs.queue()
    assert queue.attributes("VisibilityTimeout") == {"VisibilityTimeout": "30"}
    sqs.client.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "9", "DelaySeconds": "1"})
    told = queue.attributes()
    assert (told["VisibilityTimeout"], told["DelaySeconds"]) == ("9", "1")
    assert told["QueueArn"].split(":")[-1] == queue.url.rpartition("/")[2]
    queue.send("x")
    assert queue.receive() == []


@pytest.mark.parametrize(
    "attributes", [{"VisibilityTimeout": 43_201}, {"NoSuchAttribute": 1}], ids=["number", "name"]
)
def test_a_wrong_attribute_is_refused(sqs: Sqs, attributes: dict[str, int]) -> None:
    with pytest.raises(ClientError):
        sqs.queue(**attributes)


def test_a_dead_letter_queue_must_exist(sqs: Sqs) -> None:
    arn = sqs.queue().arn + "-none"
    with pytest.raises(ClientError):
        sqs.queue(RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2}))


def test_purge_empties_the_queue(sqs: Sqs) -> None:
    queue = sqs.queue()
    queue.send_all(["a", "b"])
    queue.receive(1)
    sqs.client.purge_queue(QueueUrl=queue.url)
    told = queue.attributes("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    assert set(told.values()) == {"0"}


def test_queues_are_listed_by_prefix(sqs: Sqs) -> None:
    prefix = uuid.uuid4().hex
    urls = [sqs.queue(name=f"{prefix}-{n}").url for n in range(2)]
    assert sorted(sqs.client.list_queues(QueueNamePrefix=prefix)["QueueUrls"]) == sorted(urls)
    assert not sqs.client.list_queues(QueueNamePrefix=prefix + "-none").get("QueueUrls")


def test_tags(sqs: Sqs) -> None:
    queue = sqs.queue()
    sqs.client.tag_queue(QueueUrl=queue.url, Tags={"team": "a", "cost": "b"})
    sqs.client.untag_queue(QueueUrl=queue.url, TagKeys=["cost"])
    assert sqs.client.list_queue_tags(QueueUrl=queue.url)["Tags"] == {"team": "a"}
