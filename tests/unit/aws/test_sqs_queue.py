"""SqsQueue against scripted answers: the requests of each method, and every way they are refused."""

import asyncio
import json
import threading

import pytest

from poller.aws.clients import AwsClients
from poller.aws.sqs import SqsQueue
from poller.core.mapping import SourceArn
from poller.core.model import QueueFacts, SourceProblem
from poller.errors import SourceError
from poller.ports import Failure, QueueSource

ARN = SourceArn("arn:aws:sqs:eu-west-1:123456789012:orders", "aws", "eu-west-1", "123456789012", "orders")
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ATTRIBUTES = {"VisibilityTimeout": "30", "ApproximateNumberOfMessages": "7"}
DENIED = ("403 Forbidden", {"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "not authorized"})
MISSING = (
    "400 x",
    {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."},
)


class Sqs:
    """Answers by operation; a tuple is (status, body)."""

    def __init__(self, **answers):
        self.answers = {
            "GetQueueUrl": {"QueueUrl": URL},
            "GetQueueAttributes": {"Attributes": ATTRIBUTES},
            **answers,
        }
        self.asked = []

    async def script(self, line, number):
        while True:
            head, body = await line.request()
            operation = head.decode().partition("X-Amz-Target: AmazonSQS.")[2].partition("\r\n")[0]
            self.asked.append((operation, json.loads(body)))
            answer = self.answers[operation]
            status, answer = answer if isinstance(answer, tuple) else ("200 OK", answer)
            await line.answer(json.dumps(answer).encode(), status)

    def last(self, operation):
        return next(body for name, body in reversed(self.asked) if name == operation)


@pytest.fixture
async def queue_of(serve):
    entered = []

    async def make(sqs, *, opened=True):
        server = await serve(sqs.script)
        clients = await AwsClients(endpoint_url=server.url).__aenter__()
        entered.append(clients)
        queue = SqsQueue(clients, ARN)
        if opened:
            await queue.open()
        return queue

    yield make
    for clients in entered:
        await clients.__aexit__(None, None, None)


async def test_open_finds_the_queue_in_its_account_and_reads_it(queue_of):
    policy = json.dumps({"deadLetterTargetArn": "a", "maxReceiveCount": 3})
    told = {
        **ATTRIBUTES,
        "ApproximateNumberOfMessagesNotVisible": "2",
        "ApproximateNumberOfMessagesDelayed": "1",
        "RedrivePolicy": policy,
    }
    sqs = Sqs(GetQueueAttributes={"Attributes": told})
    queue = await queue_of(sqs, opened=False)
    assert await queue.open() == QueueFacts(30.0, 7, 2, 1, json.loads(policy))
    assert sqs.last("GetQueueUrl") == {"QueueName": "orders", "QueueOwnerAWSAccountId": "123456789012"}
    assert sqs.last("GetQueueAttributes")["QueueUrl"] == URL
    source: QueueSource = queue
    assert (await source.describe()).visible == 7


async def test_a_missing_queue_is_told_as_aws_does(queue_of):
    """CFG-40."""
    with pytest.raises(SourceError) as caught:
        await queue_of(Sqs(GetQueueUrl=MISSING))
    assert caught.value.problem is SourceProblem.MISSING
    assert str(caught.value).startswith(
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
        "SQS Error Message: The specified queue does not exist."
    )
    assert ARN.text in str(caught.value)


async def test_least_privilege_does_without_get_queue_url(queue_of):
    """IAM-1."""
    sqs = Sqs(GetQueueUrl=DENIED)
    queue = await queue_of(sqs)
    built = sqs.last("GetQueueAttributes")["QueueUrl"]
    assert built == f"{queue._wire.endpoint}/123456789012/orders"


async def test_a_queue_that_may_not_be_read_is_told_as_aws_does(queue_of):
    """CFG-42."""
    with pytest.raises(SourceError) as caught:
        await queue_of(Sqs(GetQueueUrl=DENIED, GetQueueAttributes=DENIED))
    assert caught.value.problem is SourceProblem.DENIED
    assert str(caught.value).startswith(
        "The provided execution role does not have permissions to call ReceiveMessage on SQS"
    )
    assert "sqs:GetQueueAttributes" in str(caught.value)


@pytest.mark.parametrize(
    "attributes", [{}, None, {"VisibilityTimeout": "soon"}, {"VisibilityTimeout": "30", "RedrivePolicy": "{"}, [1]]
)
async def test_attributes_in_no_form_of_sqs(queue_of, attributes):
    with pytest.raises(SourceError, match="did not tell its attributes") as caught:
        await queue_of(Sqs(GetQueueAttributes={"Attributes": attributes}))
    assert caught.value.problem is SourceProblem.SERVER


async def test_receive_asks_for_everything_and_hands_on_the_wire_form(queue_of):
    """SQS-1, SQS-8."""
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "{}", "MD5OfBody": "x"}
    sqs = Sqs(ReceiveMessage={"Messages": [message]})
    queue = await queue_of(sqs)
    assert await queue.receive(7, 20, None, 25.0) == ([message], len(json.dumps({"Messages": [message]})))
    asked = {
        "QueueUrl": URL,
        "MaxNumberOfMessages": 7,
        "WaitTimeSeconds": 20,
        "MessageSystemAttributeNames": ["All"],
        "MessageAttributeNames": ["All"],
    }
    assert sqs.last("ReceiveMessage") == asked
    await queue.receive(7, 20, 0, 25.0)
    assert sqs.last("ReceiveMessage") == {**asked, "VisibilityTimeout": 0}


@pytest.mark.parametrize("empty", [{}, {"Messages": []}, {"Messages": None}])
async def test_nothing_received(queue_of, empty):
    queue = await queue_of(Sqs(ReceiveMessage=empty))
    assert (await queue.receive(10, 0, None, 30.0))[0] == []


async def test_a_receive_is_one_attempt(queue_of):
    sqs = Sqs(ReceiveMessage=("400 x", {"__type": "RequestThrottled"}))
    queue = await queue_of(sqs)
    with pytest.raises(SourceError) as caught:
        await queue.receive(10, 0, None, 30.0)
    assert caught.value.problem is SourceProblem.THROTTLED
    assert [name for name, _ in sqs.asked].count("ReceiveMessage") == 1


async def test_a_receive_keeps_its_deadline(serve, queue_of):
    queue = await queue_of(Sqs())
    finished = asyncio.Event()

    async def hang(line, number):
        await line.request()
        await line.gone()
        finished.set()

    server = await serve(hang)
    async with AwsClients(endpoint_url=server.url) as clients:
        queue._wire = clients.wire("sqs", "eu-west-1")
        with pytest.raises(SourceError, match=r"in time|no connection within") as caught:
            await queue.receive(10, 20, None, 0.1)
        if "no connection" not in str(caught.value):  # a slow machine may not have come so far
            await asyncio.wait_for(finished.wait(), 30)


def batch(done, failed=()):
    return {
        "Successful": [{"Id": str(i)} for i in done],
        "Failed": [{"Id": str(i), "Code": "C", "Message": "M", "SenderFault": True} for i in failed],
    }


async def test_delete_names_what_was_refused(queue_of):
    """SQS-26."""
    sqs = Sqs(DeleteMessageBatch=batch([0, 2], [1]))
    queue = await queue_of(sqs)
    assert await queue.delete(["a", "b", "c"]) == [Failure(1, "C", "M")]
    assert sqs.last("DeleteMessageBatch") == {
        "QueueUrl": URL,
        "Entries": [{"Id": str(i), "ReceiptHandle": r} for i, r in enumerate("abc")],
    }


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (batch([0, 1, 2]), []),
        ({"Successful": [{"Id": "0"}, {"Id": "1"}, {"Id": "2"}]}, []),
        ({}, [0, 1, 2]),
        (batch([2]), [0, 1]),
        (batch([0, 1, 2], [1]), [1]),
        (batch([], [0, 1, 2]), [0, 1, 2]),
        (batch([0, 1, 7]), [2]),
    ],
    ids=["all", "no Failed", "nothing said", "some not mentioned", "both", "none", "a stranger"],
)
async def test_only_what_is_called_done_is_done(queue_of, answer, refused):
    queue = await queue_of(Sqs(DeleteMessageBatch=answer))
    assert [failure.index for failure in await queue.delete(["a", "b", "c"])] == refused


@pytest.mark.parametrize("answer", [{"Successful": 5}, {"Failed": ["x"]}, {"Successful": [[]], "Failed": 1}])
async def test_a_batch_answer_in_no_form_of_sqs(queue_of, answer):
    queue = await queue_of(Sqs(DeleteMessageBatch=answer))
    with pytest.raises(SourceError, match="not a batch answer"):
        await queue.delete(["a"])


async def test_change_visibility_has_a_value_for_each(queue_of):
    sqs = Sqs(ChangeMessageVisibilityBatch=batch([0], [1]))
    queue = await queue_of(sqs)
    assert [f.index for f in await queue.change_visibility(["a", "b"], [0, 60])] == [1]
    assert sqs.last("ChangeMessageVisibilityBatch")["Entries"] == [
        {"Id": "0", "ReceiptHandle": "a", "VisibilityTimeout": 0},
        {"Id": "1", "ReceiptHandle": "b", "VisibilityTimeout": 60},
    ]
    with pytest.raises(ValueError):
        await queue.change_visibility(["a", "b"], [0])


async def test_a_refused_receipt_is_not_quoted(queue_of):
    handle = "AQEB" + "x1" * 90
    failed = {
        "Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid", "Message": f"The receipt handle {handle} is bad"}]
    }
    queue = await queue_of(Sqs(DeleteMessageBatch=failed))
    [failure] = await queue.delete([handle])
    assert handle not in failure.message
    assert failure.code == "ReceiptHandleIsInvalid"


async def test_a_second_thread_with_clients_of_its_own(serve, queue_of):
    sqs = Sqs(DeleteMessageBatch=batch([0]), ChangeMessageVisibilityBatch=batch([0]))
    queue = await queue_of(sqs)
    url = queue._wire.endpoint
    told = []

    async def elsewhere():
        async with AwsClients(endpoint_url=url) as clients:
            other = SqsQueue(clients, ARN)
            await other.open()
            told.append(await other.change_visibility(["a"], [30]))

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    assert await queue.delete(["a"]) == ()
    await asyncio.to_thread(thread.join)
    assert told == [()]
