"""The state machine itself, told the time: what the contract suite cannot wait for, and what no server offers."""

import json
from typing import Any

import pytest

from poller.core.model import Instant
from poller.testing.sqs import Sqs, redrive_policy
from poller.testing.sqs_errors import SqsError
from poller.testing.sqs_messages import Nothing
from poller.testing.sqs_queue import Queue


class World:
    """An Sqs and a time that the test sets."""

    def __init__(self) -> None:
        self.sqs = Sqs(seed=1)
        self.mono = 0.0

    def do(self, operation: str, **request: Any) -> Any:
        return self.sqs.apply(Instant(1_700_000_000 + self.mono, self.mono), operation, request)

    def create(self, name: str = "q", **attributes: str) -> str:
        if name.endswith(".fifo"):
            attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} | attributes
        return str(self.do("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"])

    def machine(self, url: str) -> Queue:
        return self.sqs.queue({"QueueUrl": url})

    def receive(self, url: str, **request: Any) -> list[dict[str, Any]]:
        request = {"MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]} | request
        answer = self.do("ReceiveMessage", QueueUrl=url, **request)
        return [] if isinstance(answer, Nothing) else answer["Messages"]

    def bodies(self, url: str, **request: Any) -> list[str]:
        return [message["Body"] for message in self.receive(url, **request)]

    def send(self, url: str, body: str, **request: Any) -> Any:
        return self.do("SendMessage", QueueUrl=url, MessageBody=body, **request)


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_tells_when_time_alone_will_change_that(world: World) -> None:
    url = world.create(VisibilityTimeout="30")
    assert world.do("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20) == Nothing("q", 20, None)
    world.send(url, "x")
    world.mono = 5.0
    world.receive(url)
    world.send(url, "y", DelaySeconds=7)
    answer = world.do("ReceiveMessage", QueueUrl=url)
    assert answer == Nothing("q", 0, 12.0)
    world.mono = 12.0
    assert world.bodies(url) == ["y"]
    world.mono = 34.999
    assert world.bodies(url) == []
    world.mono = 35.0
    assert world.bodies(url) == ["x"]


def test_next_change_ignores_what_was_deleted(world: World) -> None:
    url = world.create()
    world.send(url, "x")
    (message,) = world.receive(url)
    world.do("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert world.machine(url).next_change() is None


def test_deadlines_of_deleted_messages_do_not_pile_up(world: World) -> None:
    url = world.create(VisibilityTimeout="43200")
    world.send(url, "the next deadline, behind which the others hide")
    world.receive(url, VisibilityTimeout=100)
    for n in range(5_000):
        world.send(url, str(n))
        (message,) = world.receive(url)
        world.do("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert len(world.machine(url)._due) <= 1_004


def test_compacting_keeps_the_deadlines_that_still_count(world: World) -> None:
    url = world.create(VisibilityTimeout="100")
    world.send(url, "kept")
    world.receive(url)
    for n in range(3_000):
        world.send(url, str(n))
        (message,) = world.receive(url)
        world.do("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    world.mono = 100.0
    assert world.bodies(url) == ["kept"]


def test_visibility_ends_at_most_twelve_hours_after_the_receive(world: World) -> None:
    url = world.create()
    world.send(url, "x")
    (message,) = world.receive(url)
    request = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 43_200}
    world.do("ChangeMessageVisibility", **request)
    world.mono = 1.0
    with pytest.raises(SqsError, match="Total VisibilityTimeout") as error:
        world.do("ChangeMessageVisibility", **request)
    assert error.value.code == "InvalidParameterValue"


def test_retention_removes_messages_wherever_they_are(world: World) -> None:
    """FIFO-5: a group goes on when the retention of its head ends."""
    url = world.create("q.fifo", MessageRetentionPeriod="60", VisibilityTimeout="600")
    world.send(url, "old", MessageGroupId="g")
    world.receive(url)
    world.mono = 30.0
    world.send(url, "young", MessageGroupId="g")
    assert world.bodies(url) == []
    world.mono = 60.0
    assert world.bodies(url) == ["young"]


def test_a_dead_letter_keeps_its_age_on_a_standard_queue(world: World) -> None:
    """SQS-25."""
    dead = world.create("dead", MessageRetentionPeriod="60")
    policy = redrive_policy(world.machine(dead).arn, 1)
    url = world.create(RedrivePolicy=policy, VisibilityTimeout="50", MessageRetentionPeriod="600")
    world.send(url, "x")
    world.receive(url)
    world.mono = 50.0
    assert world.bodies(url) == []
    world.mono = 59.0
    (letter,) = world.receive(dead, VisibilityTimeout=0)
    assert letter["Attributes"]["ApproximateReceiveCount"] == "2"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == world.machine(url).arn
    world.mono = 60.0
    assert world.bodies(dead) == []


def test_a_fifo_dead_letter_starts_a_new_life_under_its_old_id(world: World) -> None:
    """FIFO-11."""
    dead = world.create("dead.fifo", MessageRetentionPeriod="60")
    world.send(dead, "other", MessageGroupId="g")
    url = world.create("q.fifo", RedrivePolicy=redrive_policy(world.machine(dead).arn, 1), VisibilityTimeout="50")
    sent = world.send(url, "x", MessageGroupId="g")
    world.receive(url)
    world.mono = 50.0
    assert world.bodies(url) == []
    world.mono = 100.0
    letters = world.receive(dead)
    assert [letter["Body"] for letter in letters] == ["x"]
    assert letters[0]["MessageId"] == letters[0]["Attributes"]["MessageDeduplicationId"] == sent["MessageId"]
    assert letters[0]["Attributes"]["SequenceNumber"] > sent["SequenceNumber"]


def test_the_receives_of_the_source_do_not_count_for_the_redrive_of_the_dead_letter_queue(world: World) -> None:
    last = world.create("last")
    dead = world.create("dead", RedrivePolicy=redrive_policy(world.machine(last).arn, 1))
    url = world.create(RedrivePolicy=redrive_policy(world.machine(dead).arn, 2), VisibilityTimeout="0")
    world.send(url, "x")
    assert (world.bodies(url), world.bodies(url), world.bodies(url)) == (["x"], ["x"], [])
    assert world.bodies(dead, VisibilityTimeout=0) == ["x"]
    assert world.bodies(dead) == []
    assert world.receive(last)[0]["Attributes"]["ApproximateReceiveCount"] == "4"


def test_without_its_dead_letter_queue_a_message_stays(world: World) -> None:
    dead = world.create("dead")
    url = world.create(RedrivePolicy=redrive_policy(world.machine(dead).arn, 1), VisibilityTimeout="0")
    world.send(url, "x")
    world.do("DeleteQueue", QueueUrl=dead)
    assert [world.bodies(url) for _ in range(3)] == [["x"]] * 3


def test_poisoned_messages_leave_room_for_those_behind_them(world: World) -> None:
    dead = world.create("dead.fifo")
    url = world.create("q.fifo", RedrivePolicy=redrive_policy(world.machine(dead).arn, 1), VisibilityTimeout="1")
    for n in range(13):
        world.send(url, f"m{n:02}", MessageGroupId="g")
    assert len(world.receive(url)) == 10
    world.mono = 1.0
    assert world.bodies(url) == ["m10", "m11", "m12"]
    assert len(world.machine(dead).messages) == 10


def test_a_duplicate_is_known_for_five_minutes_from_the_first(world: World) -> None:
    url = world.create("q.fifo")
    first = world.send(url, "x", MessageGroupId="g")
    world.mono = 299.9
    again = world.send(url, "x", MessageGroupId="g")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    world.mono = 300.0
    assert world.send(url, "x", MessageGroupId="g")["MessageId"] != first["MessageId"]
    assert world.bodies(url) == ["x", "x"]


def test_a_group_that_keeps_failing_does_not_starve_the_others(world: World) -> None:
    url = world.create("q.fifo", VisibilityTimeout="0")
    for body in ("a0", "b0", "c0"):
        world.send(url, body, MessageGroupId=body[0])
    got = [world.bodies(url, MaxNumberOfMessages=1)[0] for _ in range(6)]
    assert got == ["a0", "b0", "c0"] * 2


def test_a_forgotten_group_leaves_nothing_behind(world: World) -> None:
    url = world.create("q.fifo")
    for n in range(50):
        world.send(url, f"m{n}", MessageGroupId=f"g{n}")
    while messages := world.receive(url):
        for message in messages:
            world.do("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert world.machine(url)._order._groups == {}


def test_an_older_receipt_deletes_nothing(world: World) -> None:
    """SQS-27: as AWS documents DeleteMessage; the call succeeds."""
    url = world.create(VisibilityTimeout="0")
    world.send(url, "x")
    older, newer = world.receive(url)[0]["ReceiptHandle"], world.receive(url)[0]["ReceiptHandle"]
    assert world.do("DeleteMessage", QueueUrl=url, ReceiptHandle=older) == {}
    assert len(world.machine(url).messages) == 1
    world.do("DeleteMessage", QueueUrl=url, ReceiptHandle=newer)
    assert len(world.machine(url).messages) == 0


def test_a_receipt_of_another_queue_is_no_receipt(world: World) -> None:
    first, second = world.create("first"), world.create("second")
    world.send(first, "x")
    (message,) = world.receive(first)
    with pytest.raises(SqsError) as error:
        world.do("DeleteMessage", QueueUrl=second, ReceiptHandle=message["ReceiptHandle"])
    assert error.value.name == "ReceiptHandleIsInvalid"


def test_in_flight_messages_have_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poller.testing.sqs_queue._MOST_IN_FLIGHT", 2)
    url = world.create()
    for body in "abc":
        world.send(url, body)
    assert len(world.receive(url, MaxNumberOfMessages=2)) == 2
    with pytest.raises(SqsError) as error:
        world.receive(url)
    assert error.value.name == "OverLimit"
    assert world.do("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=5) == Nothing("q", 5, 30.0)


def test_purging_twice_within_a_minute_is_refused(world: World) -> None:
    url = world.create()
    world.do("PurgeQueue", QueueUrl=url)
    with pytest.raises(SqsError) as error:
        world.do("PurgeQueue", QueueUrl=url)
    assert error.value.code == "AWS.SimpleQueueService.PurgeQueueInProgress"
    world.mono = 60.0
    world.do("PurgeQueue", QueueUrl=url)


def test_the_same_seed_gives_the_same_ids() -> None:
    def ids() -> list[str]:
        world = World()
        url = world.create()
        return [world.send(url, "x")["MessageId"] for _ in range(3)]

    assert ids() == ids()
    assert len(set(ids())) == 3


@pytest.mark.parametrize(
    "request_",
    [
        {"MaxNumberOfMessages": "10"},
        {"MaxNumberOfMessages": True},
        {"WaitTimeSeconds": 1.5},
        {"AttributeNames": "All"},
        {"AttributeNames": [1]},
        {"QueueUrl": 7},
    ],
)
def test_wrong_types_are_refused_before_anything_else(world: World, request_: dict[str, Any]) -> None:
    url = world.create()
    with pytest.raises(SqsError) as error:
        world.do("ReceiveMessage", **({"QueueUrl": url} | request_))
    assert error.value.name == "SerializationException"


def test_entries_of_the_wrong_type_are_refused(world: World) -> None:
    url = world.create()
    for operation in ("SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        with pytest.raises(SqsError) as error:
            world.do(operation, QueueUrl=url, Entries=["x"])
        assert error.value.name == "SerializationException"


def test_an_unknown_operation_is_named(world: World) -> None:
    with pytest.raises(SqsError, match="StartMessageMoveTask"):
        world.do("StartMessageMoveTask")


def test_queues_are_listed_in_pages(world: World) -> None:
    for n in range(3):
        world.create(f"q{n}")
    first = world.do("ListQueues", MaxResults=2)
    second = world.do("ListQueues", MaxResults=2, NextToken=first["NextToken"])
    assert [url[-2:] for url in first["QueueUrls"] + second["QueueUrls"]] == ["q0", "q1", "q2"]
    assert "NextToken" not in second


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("no json", "not a valid JSON map"),
        (json.dumps({"deadLetterTargetArn": "arn:aws:sqs:r:a:other"}), "not a valid JSON map"),
        (json.dumps({"deadLetterTargetArn": "arn:aws:sqs:r:a:other", "maxReceiveCount": 0}), "between 1 and 1000"),
        (json.dumps({"deadLetterTargetArn": "arn:aws:sqs:r:a:none", "maxReceiveCount": 1}), "does not exist"),
        (json.dumps({"deadLetterTargetArn": "arn:aws:sqs:r:a:f.fifo", "maxReceiveCount": 1}), "same type"),
    ],
)
def test_a_redrive_policy_must_make_sense(world: World, policy: str, said: str) -> None:
    world.create("other")
    world.create("f.fifo")
    with pytest.raises(SqsError, match=said):
        world.create(RedrivePolicy=policy)


def test_which_queues_a_waiting_receive_should_look_at_again(world: World) -> None:
    dead = world.create("dead")
    url = world.create(RedrivePolicy=redrive_policy(world.machine(dead).arn, 1), VisibilityTimeout="0")

    def touched() -> set[str]:
        names = set(world.sqs.touched)
        world.sqs.touched.clear()
        return names

    world.send(url, "x")
    assert touched() == {"q"}
    (message,) = world.receive(url)
    world.do("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert touched() == set()  # deleting opens nothing on a standard queue
    world.send(url, "y")
    world.receive(url)
    world.receive(url)
    assert touched() == {"q", "dead"}


@pytest.mark.parametrize(
    "attribute",
    [
        {"DataType": "", "StringValue": "x"},
        {"DataType": "Text", "StringValue": "x"},
        {"DataType": "String", "StringValue": ""},
        {"DataType": "Number", "StringValue": "one"},
        {"DataType": "Binary", "BinaryValue": "?"},
        {"DataType": "Binary", "StringValue": "eA=="},
        "x",
    ],
)
def test_message_attributes_are_checked(world: World, attribute: Any) -> None:
    url = world.create()
    with pytest.raises(SqsError) as error:
        world.send(url, "x", MessageAttributes={"a": attribute})
    assert error.value.code == "InvalidParameterValue"
    assert world.bodies(url) == []


@pytest.mark.parametrize("name", ["aws.x", "Amazon.x", "a..b", "", "a b", "x" * 257])
def test_names_of_message_attributes_are_checked(world: World, name: str) -> None:
    with pytest.raises(SqsError):
        world.send(world.create(), "x", MessageAttributes={name: {"DataType": "String", "StringValue": "x"}})


def test_ten_message_attributes_are_the_most(world: World) -> None:
    url = world.create()
    values = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(11)}
    with pytest.raises(SqsError, match="exceeds the allowed maximum"):
        world.send(url, "x", MessageAttributes=values)
    del values["a0"]
    world.send(url, "x", MessageAttributes=values)
    assert world.bodies(url) == ["x"]


def test_message_attributes_count_towards_the_size(world: World) -> None:
    url = world.create(MaximumMessageSize="1024")
    world.send(url, "x" * 1024)
    with pytest.raises(SqsError, match="shorter than 1024 bytes"):
        world.send(url, "x" * 1020, MessageAttributes={"a": {"DataType": "String", "StringValue": "x"}})
    with pytest.raises(SqsError, match="shorter than 1024 bytes"):
        world.send(url, "ä" * 513)


def test_checksums_are_those_of_aws(world: World) -> None:
    """The expected digests were computed by other implementations (see the contract suite)."""
    url = world.create()
    values = {
        "text": {"DataType": "String", "StringValue": "sälute"},
        "number": {"DataType": "Number.int", "StringValue": "6"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": "AP8Q"},
    }
    sent = world.send(url, "x", MessageAttributes=values)
    (message,) = world.receive(url, MessageAttributeNames=["All"])
    assert sent["MD5OfMessageAttributes"] == "578c3a01546c148b2d69baa07825b9b5"
    assert message["MD5OfMessageAttributes"] == "578c3a01546c148b2d69baa07825b9b5"
    assert sent["MD5OfMessageBody"] == message["MD5OfBody"] == "9dd4e461268c8034f5c8564e155c67a6"
