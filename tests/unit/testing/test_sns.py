"""The embedded SNS, through an SDK: what it takes, what it refuses, what its subscribers get."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from poller.core.model import Instant
from poller.testing import EmbeddedAws, ManualClock
from poller.testing.calls import AwsError
from poller.testing.sns import MAXIMUM_BYTES, Sns

NOW = Instant(1_700_000_000.5, 0.0)
ACCOUNT = "000000000000"


@pytest.fixture
async def aws() -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws(clock=ManualClock()) as aws:
        yield aws


def client_of(service: str, aws: EmbeddedAws, **settings: Any) -> Any:
    return get_session().create_client(
        service,
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=AioConfig(retries={"max_attempts": 0}, **settings),
    )


@pytest.fixture
async def sns(aws: EmbeddedAws) -> AsyncIterator[Any]:
    async with client_of("sns", aws) as sns:
        yield sns


def queue(aws: EmbeddedAws, name: str) -> str:
    """A new queue; its ARN."""
    aws.sqs.apply(NOW, "CreateQueue", {"QueueName": name})
    return aws.sqs.queues[name].arn


def bodies(aws: EmbeddedAws, name: str) -> list[str]:
    return [message.body for message in aws.sqs.queues[name].messages.values()]


def refusal(sns: Sns, operation: str, **request: Any) -> str:
    with pytest.raises(AwsError) as caught:
        sns.apply(NOW, operation, request)
    return caught.value.name


async def test_a_topic_is_made_once_told_and_deleted(sns: Any) -> None:
    arn = (await sns.create_topic(Name="news", Attributes={"DisplayName": "a <b> & c"}))["TopicArn"]
    assert arn == f"arn:aws:sns:us-east-1:{ACCOUNT}:news"
    assert (await sns.create_topic(Name="news"))["TopicArn"] == arn
    assert (await sns.list_topics())["Topics"] == [{"TopicArn": arn}]
    told = (await sns.get_topic_attributes(TopicArn=arn))["Attributes"]
    assert (told["DisplayName"], told["SubscriptionsConfirmed"], told["Owner"]) == ("a <b> & c", "0", ACCOUNT)
    for _ in range(2):  # deleting is no error the second time
        await sns.delete_topic(TopicArn=arn)
    assert (await sns.list_topics())["Topics"] == []
    with pytest.raises(sns.exceptions.NotFoundException) as caught:
        await sns.publish(TopicArn=arn, Message="x")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert caught.value.response["Error"]["Code"] == "NotFound"


async def test_what_was_published_can_be_looked_at(aws: EmbeddedAws, sns: Any) -> None:
    arn = (await sns.create_topic(Name="news"))["TopicArn"]
    attributes = {"kind": {"DataType": "String", "StringValue": "a=b&c"}}
    text = 'ü & <x> + %2B "\n\N{GRINNING FACE}'
    told = await sns.publish(TopicArn=arn, Message=text, Subject="s", MessageAttributes=attributes)
    await sns.publish(TargetArn=arn, Message="second")
    first, second = aws.sns.topics[arn].published
    assert (first.id, first.text, first.subject, first.attributes) == (told["MessageId"], text, "s", attributes)
    assert (second.text, second.subject, second.attributes) == ("second", None, {})
    assert first.id != second.id


async def test_a_batch_is_taken_entry_by_entry(aws: EmbeddedAws, sns: Any) -> None:
    arn = (await sns.create_topic(Name="news"))["TopicArn"]
    entries = [{"Id": str(i), "Message": f"m{i}"} for i in range(10)]
    entries[3]["Message"] = ""
    told = await sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
    texts = [message.text for message in aws.sns.topics[arn].published]
    assert texts == [f"m{i}" for i in range(10) if i != 3]
    assert [entry["Id"] for entry in told["Successful"]] == [str(i) for i in range(10) if i != 3]
    (failed,) = told["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("3", "InvalidParameter", True)


async def test_a_queue_gets_the_message_as_it_is_or_in_the_envelope(aws: EmbeddedAws, sns: Any) -> None:
    arn = (await sns.create_topic(Name="news"))["TopicArn"]
    raw, wrapped = queue(aws, "raw"), queue(aws, "wrapped")
    await sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=raw, Attributes={"RawMessageDelivery": "true"})
    subscription = (await sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=wrapped))["SubscriptionArn"]
    told = await sns.publish(
        TopicArn=arn,
        Message='{"a":1}',
        Subject="s",
        MessageAttributes={"k": {"DataType": "Number", "StringValue": "1"}},
    )
    assert bodies(aws, "raw") == ['{"a":1}']
    envelope = json.loads(bodies(aws, "wrapped")[0])
    shown = {name: envelope[name] for name in ("Type", "MessageId", "TopicArn", "Subject", "Message")}
    assert shown == {
        "Type": "Notification",
        "MessageId": told["MessageId"],
        "TopicArn": arn,
        "Subject": "s",
        "Message": '{"a":1}',
    }
    assert envelope["MessageAttributes"] == {"k": {"Type": "Number", "Value": "1"}}
    assert envelope["Timestamp"].endswith("Z")

    await sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    await sns.publish(TopicArn=arn, Message="now raw")
    assert bodies(aws, "wrapped")[1:] == ["now raw"]
    await sns.unsubscribe(SubscriptionArn=subscription)
    await sns.publish(TopicArn=arn, Message="no more")
    assert len(bodies(aws, "wrapped")) == 2
    assert [
        item["Endpoint"] for item in (await sns.list_subscriptions_by_topic(TopicArn=arn))["Subscriptions"]
    ] == [raw]


async def test_raw_delivery_brings_the_attributes_and_wakes_a_long_poll(aws: EmbeddedAws, sns: Any) -> None:
    arn = (await sns.create_topic(Name="news"))["TopicArn"]
    endpoint = queue(aws, "raw")
    await sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": "true"})
    attributes = {
        "k": {"DataType": "String", "StringValue": "v"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    async with client_of("sqs", aws) as sqs:
        poll = asyncio.create_task(
            sqs.receive_message(
                QueueUrl=f"{aws.url}/{ACCOUNT}/raw", WaitTimeSeconds=20, MessageAttributeNames=["All"]
            )
        )
        async with asyncio.timeout(15):
            while not aws.service.waiting:  # noqa: ASYNC110 - a parked poll sets no event
                await asyncio.sleep(0)
            await sns.publish(TopicArn=arn, Message="wake", MessageAttributes=attributes)
            (message,) = (await poll)["Messages"]
    assert (message["Body"], message["MessageAttributes"]) == ("wake", attributes)


async def test_a_queue_that_is_gone_gets_nothing(aws: EmbeddedAws, sns: Any) -> None:
    arn = (await sns.create_topic(Name="news"))["TopicArn"]
    await sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:1:gone")
    assert (await sns.publish(TopicArn=arn, Message="x"))["MessageId"]


def test_subscribing_again_is_the_same_subscription() -> None:
    sns = Sns()
    arn = sns.apply(NOW, "CreateTopic", {"Name": "t"})["TopicArn"]
    request = {"TopicArn": arn, "Protocol": "sqs", "Endpoint": "arn:aws:sqs:us-east-1:1:q"}
    first = sns.apply(NOW, "Subscribe", request)["SubscriptionArn"]
    assert sns.apply(NOW, "Subscribe", request)["SubscriptionArn"] == first
    assert first.startswith(f"{arn}:")


def test_more_than_a_hundred_topics_come_in_pages() -> None:
    sns = Sns()
    arns = {sns.apply(NOW, "CreateTopic", {"Name": f"t{i}"})["TopicArn"] for i in range(101)}
    first = sns.apply(NOW, "ListTopics", {})
    second = sns.apply(NOW, "ListTopics", {"NextToken": first["NextToken"]})
    pages = [topic["TopicArn"] for topic in first["Topics"] + second["Topics"]]
    assert "NextToken" not in second
    assert len(pages) == 101
    assert set(pages) == arns


def test_what_is_refused() -> None:
    sns = Sns()
    topic = sns.apply(NOW, "CreateTopic", {"Name": "t"})["TopicArn"]
    assert refusal(sns, "CreateTopic", Name="a b") == "InvalidParameter"
    assert refusal(sns, "CreateTopic", Name="a.fifo", Attributes={"FifoTopic": "true"}) == "InvalidParameter"
    assert refusal(sns, "CreateTopic", Name="t", Attributes={"DisplayName": "other"}) == "InvalidParameter"
    assert refusal(sns, "Publish", Message="x") == "InvalidParameter"
    assert refusal(sns, "Publish", TopicArn="t", Message="x") == "InvalidParameter"
    assert refusal(sns, "Publish", TopicArn=f"{topic}2", Message="x") == "NotFound"
    assert refusal(sns, "Publish", TopicArn=topic, Message="") == "InvalidParameter"
    assert refusal(sns, "Publish", TopicArn=topic, Message="{}", MessageStructure="json") == "InvalidParameter"
    assert refusal(sns, "Subscribe", TopicArn=topic, Protocol="http", Endpoint="http://x") == "InvalidParameter"
    assert refusal(sns, "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint="q") == "InvalidParameter"
    assert refusal(sns, "SetSubscriptionAttributes", SubscriptionArn=f"{topic}:no") == "NotFound"
    assert refusal(sns, "GetTopicAttributes", TopicArn=f"{topic}2") == "NotFound"
    assert refusal(sns, "Nonsense") == "InvalidAction"
    subscribe = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": "arn:aws:sqs:us-east-1:1:q"}
    assert refusal(sns, "Subscribe", **subscribe, Attributes={"FilterPolicy": "{}"}) == "InvalidParameter"
    assert sns.topics[topic].published == []
    assert sns.outbox == []


def test_a_message_may_have_256_kib() -> None:
    """DST-12: with its attributes."""
    sns = Sns()
    topic = sns.apply(NOW, "CreateTopic", {"Name": "t"})["TopicArn"]
    longest = "ü" * (MAXIMUM_BYTES // 2)
    sns.apply(NOW, "Publish", {"TopicArn": topic, "Message": longest})
    assert refusal(sns, "Publish", TopicArn=topic, Message=longest + "x") == "InvalidParameter"
    attributes = {"k": {"DataType": "String", "StringValue": "v"}}
    assert (
        refusal(sns, "Publish", TopicArn=topic, Message=longest, MessageAttributes=attributes)
        == "InvalidParameter"
    )
    assert len(sns.topics[topic].published) == 1


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([{"Id": str(i), "Message": "m"} for i in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "a", "Message": "m"}, {"Id": "a", "Message": "m"}], "BatchEntryIdsNotDistinct"),
        ([{"Id": "a b", "Message": "m"}], "InvalidBatchEntryId"),
        ([{"Id": str(i), "Message": "m" * 150_000} for i in range(2)], "BatchRequestTooLong"),
    ],
)
def test_batches_that_are_refused_as_a_whole(entries: list[dict[str, str]], code: str) -> None:
    sns = Sns()
    topic = sns.apply(NOW, "CreateTopic", {"Name": "t"})["TopicArn"]
    assert refusal(sns, "PublishBatch", TopicArn=topic, PublishBatchRequestEntries=entries) == code
    assert sns.topics[topic].published == []


async def test_faults_are_met_by_name(aws: EmbeddedAws, sns: Any) -> None:
    arn = (await sns.create_topic(Name="news"))["TopicArn"]
    published = aws.sns.topics[arn].published
    aws.faults.throttle("Publish")
    aws.faults.fail("sns:Publish", status=503, code="ServiceUnavailable")
    aws.faults.drop("Publish", after=True)
    for code, status in (("Throttled", 429), ("ServiceUnavailable", 503)):
        with pytest.raises(ClientError) as caught:
            await sns.publish(TopicArn=arn, Message="x")
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert published == []
    with pytest.raises(ConnectionClosedError):
        await sns.publish(TopicArn=arn, Message="x")
    assert len(published) == 1
    aws.faults.hang("Publish")
    async with client_of("sns", aws, read_timeout=0.2) as hasty:
        with pytest.raises(ReadTimeoutError):
            await hasty.publish(TopicArn=arn, Message="x")
    assert len(published) == 1
    await sns.publish(TopicArn=arn, Message="well again")
    assert aws.rest.sns_service.calls["Publish"] == 5


async def test_a_form_that_is_none(aws: EmbeddedAws) -> None:
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    for body in (b"Action", b"Action=Publish&Action.x=1", b"\xff=1", b"Action=Publish&A.entry.1.key=a"):
        answer = aws.rest.handle("POST", "/", form, body)
        assert isinstance(answer, tuple)
        assert (answer[0], b"<Code>MalformedQueryString</Code>" in answer[2]) == (404, True)
    for body in (b"Action=Nonsense", b""):
        answer = aws.rest.handle("POST", "/", form, body)
        assert isinstance(answer, tuple)
        assert (answer[0], b"<Code>InvalidAction</Code>" in answer[2]) == (400, True)
