"""Long polls, faults and counters of the service, on a clock that the test moves."""

from typing import Any

import pytest

from poller.testing import ManualClock
from poller.testing.service import Answer, Dropped, Parked, SqsService
from poller.testing.sqs import redrive_policy
from poller.testing.sqs_errors import SqsError


class Caller:
    """Calls the service and keeps what it answers."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.service = SqsService(self.clock)

    def call(self, operation: str, **request: Any) -> list[Answer]:
        answers: list[Answer] = []
        self.parked: Parked | None = self.service.call(operation, request, answers.append)
        return answers

    def create(self, name: str = "q", **attributes: str) -> str:
        if name.endswith(".fifo"):
            attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} | attributes
        (answer,) = self.call("CreateQueue", QueueName=name, Attributes=attributes)
        assert isinstance(answer, dict)
        return str(answer["QueueUrl"])

    def send(self, url: str, body: str, **request: Any) -> None:
        (answer,) = self.call("SendMessage", QueueUrl=url, MessageBody=body, **request)
        assert isinstance(answer, dict)

    def poll(self, url: str, wait: int = 20, **request: Any) -> list[Answer]:
        return self.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=wait, **request)


def bodies(answers: list[Answer]) -> list[str]:
    (answer,) = answers
    assert isinstance(answer, dict)
    return [message["Body"] for message in answer.get("Messages", [])]


@pytest.fixture
def caller() -> Caller:
    return Caller()


def test_a_poll_waits_and_a_send_wakes_it(caller: Caller) -> None:
    url = caller.create()
    answers = caller.poll(url)
    assert answers == []
    assert caller.service.waiting == 1
    caller.send(url, "x")
    assert bodies(answers) == ["x"]
    assert caller.service.waiting == 0


def test_a_poll_ends_empty_after_its_wait_and_not_before(caller: Caller) -> None:
    answers = caller.poll(caller.create(), wait=7)
    caller.clock.advance(6.999)
    assert answers == []
    caller.clock.advance(0.001)
    assert answers == [{}]


def test_polls_are_served_in_the_order_of_their_coming(caller: Caller) -> None:
    url = caller.create()
    first, second = caller.poll(url), caller.poll(url)
    caller.send(url, "x")
    assert (bodies(first), second) == (["x"], [])
    caller.send(url, "y")
    assert bodies(second) == ["y"]
    assert caller.service.most_waiting == 2


def test_each_poll_ends_at_its_own_time(caller: Caller) -> None:
    url = caller.create()
    long, short = caller.poll(url, wait=20), caller.poll(url, wait=1)
    caller.clock.advance(1)
    assert (long, short) == ([], [{}])
    caller.clock.advance(19)
    assert long == [{}]


@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_a_poll_wakes_when_visibility_ends(caller: Caller, name: str) -> None:
    url = caller.create(name, VisibilityTimeout="5")
    caller.send(url, "x", **({"MessageGroupId": "g"} if name == "q.fifo" else {}))
    caller.poll(url)
    answers = caller.poll(url)
    caller.clock.advance(4.9)
    assert answers == []
    caller.clock.advance(0.1)
    assert bodies(answers) == ["x"]


def test_a_poll_wakes_when_a_delay_ends(caller: Caller) -> None:
    url = caller.create()
    answers = caller.poll(url)
    caller.send(url, "x", DelaySeconds=3)
    assert answers == []
    caller.clock.advance(3)
    assert bodies(answers) == ["x"]


def test_a_poll_wakes_when_a_fifo_group_unlocks(caller: Caller) -> None:
    """FIFO-10."""
    url = caller.create("q.fifo")
    for body in ("a0", "a1"):
        caller.send(url, body, MessageGroupId="a")
    (answer,) = caller.poll(url, MaxNumberOfMessages=1)
    assert isinstance(answer, dict)
    waiting = caller.poll(url)
    caller.call("DeleteMessage", QueueUrl=url, ReceiptHandle=answer["Messages"][0]["ReceiptHandle"])
    assert bodies(waiting) == ["a1"]


def test_a_poll_of_the_dead_letter_queue_wakes_through_a_poll_of_its_source(caller: Caller) -> None:
    dead = caller.create("dead")
    arn = caller.service.sqs.queues["dead"].arn
    url = caller.create(RedrivePolicy=redrive_policy(arn, 1), VisibilityTimeout="5")
    caller.send(url, "x")
    caller.poll(url)
    letters, source = caller.poll(dead), caller.poll(url)
    caller.clock.advance(5)
    assert bodies(letters) == ["x"]
    assert source == []


def test_queues_that_are_each_others_dead_letter_queues_come_to_rest(caller: Caller) -> None:
    first, second = caller.create("first"), caller.create("second")
    for url, target in ((first, "second"), (second, "first")):
        policy = redrive_policy(caller.service.sqs.queues[target].arn, 1)
        caller.call(
            "SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "1"}
        )
    caller.send(first, "x")
    caller.poll(first)
    polls = [caller.poll(first), caller.poll(second)]
    caller.clock.advance(1)
    assert [len(answers) for answers in polls] == [0, 1]


def test_a_poll_of_a_deleted_queue_is_told_so(caller: Caller) -> None:
    url = caller.create()
    answers = caller.poll(url)
    caller.call("DeleteQueue", QueueUrl=url)
    assert [answer.name for answer in answers if isinstance(answer, SqsError)] == ["QueueDoesNotExist"]


def test_a_cancelled_poll_takes_nothing(caller: Caller) -> None:
    url = caller.create()
    gone = caller.poll(url)
    assert caller.parked is not None
    caller.parked.cancel()
    caller.parked.cancel()
    caller.send(url, "x")
    caller.clock.advance(60)
    assert gone == []
    assert bodies(caller.poll(url)) == ["x"]
    assert caller.service.waiting == 0


def test_a_reply_that_polls_again_is_served_too(caller: Caller) -> None:
    url = caller.create()
    got: list[Answer] = []

    def again(answer: Answer) -> None:
        got.append(answer)
        caller.service.call("ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": 20}, again)

    caller.service.call("ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": 20}, again)
    for body in "abc":
        caller.send(url, body)
    assert [bodies([answer]) for answer in got] == [["a"], ["b"], ["c"]]
    assert caller.service.waiting == 1


# --- faults and counters ---


def test_calls_are_counted_by_operation_whatever_they_meet(caller: Caller) -> None:
    url = caller.create()
    caller.service.faults.throttle("SendMessage")
    caller.call("SendMessage", QueueUrl=url, MessageBody="x")
    caller.send(url, "x")
    assert caller.service.calls == {"CreateQueue": 1, "SendMessage": 2}


def test_a_throttled_call_does_nothing(caller: Caller) -> None:
    url = caller.create()
    caller.service.faults.throttle("SendMessage", times=2)
    for _ in range(2):
        (answer,) = caller.call("SendMessage", QueueUrl=url, MessageBody="x")
        assert isinstance(answer, SqsError)
        assert (answer.code, answer.status) == ("RequestThrottled", 400)
    caller.send(url, "y")
    assert len(caller.service.sqs.queues["q"].messages) == 1


def test_a_failure_has_the_status_and_code_asked_for(caller: Caller) -> None:
    caller.service.faults.fail(times=1, status=503, code="ServiceUnavailable", message="later")
    (answer,) = caller.call("ListQueues")
    assert answer == SqsError("ServiceUnavailable", "later", 503)
    assert caller.call("ListQueues") == [{}]


@pytest.mark.parametrize(("after", "stored"), [(False, 0), (True, 1)])
def test_a_dropped_call_is_done_or_not(caller: Caller, after: bool, stored: int) -> None:
    url = caller.create()
    caller.service.faults.drop("SendMessage", after=after)
    assert caller.call("SendMessage", QueueUrl=url, MessageBody="x") == [Dropped()]
    assert len(caller.service.sqs.queues["q"].messages) == stored


def test_a_call_that_hangs_is_never_answered(caller: Caller) -> None:
    caller.service.faults.hang(times=None)
    assert caller.call("ListQueues") == caller.call("ListQueues") == []
    caller.clock.advance(3600)
    caller.service.faults.clear()
    assert caller.call("ListQueues") == [{}]


def test_given_entries_of_a_batch_fail_and_the_others_do_not(caller: Caller) -> None:
    url = caller.create()
    entries = [{"Id": f"e{n}", "MessageBody": f"m{n}"} for n in range(3)]
    caller.service.faults.fail_entries("SendMessageBatch", [0, 2])
    (answer,) = caller.call("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert isinstance(answer, dict)
    assert [entry["Id"] for entry in answer["Successful"]] == ["e1"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [
        ("e0", "InternalError", False),
        ("e2", "InternalError", False),
    ]
    caller.service.faults.fail_entries("SendMessageBatch", range(3), code="AccessDenied", sender_fault=True)
    (answer,) = caller.call("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert isinstance(answer, dict)
    assert [entry["SenderFault"] for entry in answer["Failed"]] == [True] * 3
    assert "Successful" not in answer


def test_faults_of_an_operation_come_in_the_order_of_planting(caller: Caller) -> None:
    caller.service.faults.throttle("ListQueues")
    caller.service.faults.fail("ListQueues", code="Second")
    names = [answer.name for _ in range(2) for answer in caller.call("ListQueues") if isinstance(answer, SqsError)]
    assert names == ["RequestThrottled", "Second"]


def test_a_timer_that_rings_early_is_set_again(caller: Caller) -> None:
    """Timers of an event loop may."""
    answers = caller.poll(caller.create())
    assert caller.parked is not None
    caller.parked.stop_timer()
    caller.service._end(caller.parked)
    caller.clock.advance(19.9)
    assert answers == []
    caller.clock.advance(0.1)
    assert answers == [{}]
