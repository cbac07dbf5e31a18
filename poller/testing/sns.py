"""SNS as a pure state machine: standard topics, what was published to them, subscriptions of SQS queues.

What AWS does and this does not: FIFO topics, filter policies, other protocols than sqs, access control, delays.
Rooms for it are refused, not ignored.
"""

import json
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from poller.core.model import Instant, JsonObject
from poller.testing.calls import AwsError

MAXIMUM_BYTES: Final = 262_144  # of a message with its attributes, and of all messages of a batch
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_RAW: Final = "RawMessageDelivery"


@dataclass(frozen=True, slots=True)
class Published:
    """One message that a topic took; `attributes` as the API has them: name -> DataType and value."""

    id: str
    text: str
    subject: str | None
    attributes: Mapping[str, Mapping[str, str]]


@dataclass(slots=True)
class Subscription:
    """A queue that gets what its topic takes: as it is (`raw`), or in SNS's envelope."""

    arn: str
    endpoint: str
    raw: bool = False


@dataclass(slots=True)
class Topic:
    """A topic; `published` is everything it ever took, for tests to look at."""

    arn: str
    attributes: dict[str, str]
    published: list[Published] = field(default_factory=list)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to a queue: the fields of an SQS SendMessage."""

    queue_arn: str
    body: str
    attributes: Mapping[str, Mapping[str, str]]


class Sns:
    """Every topic of one account in one region.

    `topics` is by ARN. `outbox` collects what is to be sent to queues; the caller sends it and empties it.
    """

    def __init__(
        self, *, region: str = "us-east-1", account: str = "000000000000", seed: int | None = None
    ) -> None:
        self.region = region
        self.account = account
        self.topics: dict[str, Topic] = {}
        self.outbox: list[Delivery] = []
        self._rng = random.Random(seed)  # noqa: S311 - message ids, not secrets
        self._operations = {
            "CreateTopic": self._create_topic,
            "DeleteTopic": self._delete_topic,
            "GetTopicAttributes": self._get_topic_attributes,
            "ListSubscriptionsByTopic": self._list_subscriptions,
            "ListTopics": self._list_topics,
            "Publish": self._publish,
            "PublishBatch": self._publish_batch,
            "SetSubscriptionAttributes": self._set_subscription_attributes,
            "Subscribe": self._subscribe,
            "Unsubscribe": self._unsubscribe,
        }

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject:
        """Does one operation in the shapes of the SNS API; raises AwsError for whatever SNS refuses."""
        if (do := self._operations.get(operation)) is None:
            raise AwsError("InvalidAction", f"The embedded SNS does not know {operation}.")
        return do(now, request)

    # --- topics ---

    def _create_topic(self, now: Instant, request: JsonObject) -> JsonObject:
        name, attributes = str(request.get("Name", "")), request.get("Attributes") or {}
        if name.endswith(".fifo") or attributes.get("FifoTopic") == "true":
            raise _invalid("The embedded SNS has standard topics only")
        if not _NAME.fullmatch(name):
            raise _invalid("Topic Name")
        arn = f"arn:aws:sns:{self.region}:{self.account}:{name}"
        topic = self.topics.setdefault(arn, Topic(arn, dict(attributes)))
        if any(topic.attributes.get(key) != value for key, value in attributes.items()):
            raise _invalid("Attributes Reason: Topic already exists with different attributes")
        return {"TopicArn": arn}

    def _delete_topic(self, now: Instant, request: JsonObject) -> JsonObject:
        self.topics.pop(str(request.get("TopicArn")), None)
        return {}

    def _list_topics(self, now: Instant, request: JsonObject) -> JsonObject:
        page, more = _page(sorted(self.topics), request)
        return {"Topics": [{"TopicArn": arn} for arn in page]} | more

    def _get_topic_attributes(self, now: Instant, request: JsonObject) -> JsonObject:
        topic = self._topic(request)
        counts = {"Confirmed": len(topic.subscriptions), "Pending": 0, "Deleted": 0}
        shown = {"TopicArn": topic.arn, "Owner": self.account, "DisplayName": ""}
        shown |= {f"Subscriptions{state}": str(count) for state, count in counts.items()}
        return {"Attributes": shown | topic.attributes}

    def _topic(self, request: JsonObject) -> Topic:
        arn = request.get("TopicArn") or request.get("TargetArn")
        if not arn:
            raise _invalid("TopicArn or TargetArn Reason: no value for required parameter")
        if str(arn).count(":") != 5 or not str(arn).startswith("arn:"):
            raise _invalid(f"TopicArn Reason: An ARN must have at least 6 elements, not {arn}")
        if (topic := self.topics.get(str(arn))) is None:
            raise AwsError("NotFound", "Topic does not exist", 404)
        return topic

    # --- messages ---

    def _publish(self, now: Instant, request: JsonObject) -> JsonObject:
        return self._take(now, self._topic(request), request)

    def _publish_batch(self, now: Instant, request: JsonObject) -> JsonObject:
        topic, entries = self._topic(request), request.get("PublishBatchRequestEntries") or []
        _check_batch(entries)
        answer: JsonObject = {"Successful": [], "Failed": []}
        for entry in entries:
            try:
                answer["Successful"].append({"Id": entry["Id"]} | self._take(now, topic, entry))
            except AwsError as error:
                told = {"Code": error.name, "Message": error.message, "SenderFault": "true"}
                answer["Failed"].append({"Id": entry["Id"]} | told)
        return answer

    def _take(self, now: Instant, topic: Topic, entry: JsonObject) -> JsonObject:
        text = str(entry.get("Message") or "")
        if not text:
            raise _invalid("Empty message")
        if entry.get("MessageStructure"):
            raise _invalid("MessageStructure Reason: the embedded SNS sends every subscriber the same")
        if _size(entry) > MAXIMUM_BYTES:
            raise _invalid("Message too long")
        message = Published(self._new_id(), text, entry.get("Subject"), entry.get("MessageAttributes") or {})
        topic.published.append(message)
        for subscription in topic.subscriptions.values():
            if subscription.raw:
                delivery = Delivery(subscription.endpoint, text, message.attributes)
            else:
                delivery = Delivery(subscription.endpoint, _envelope(now, topic, subscription, message), {})
            self.outbox.append(delivery)
        return {"MessageId": message.id}

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    # --- subscriptions ---

    def _subscribe(self, now: Instant, request: JsonObject) -> JsonObject:
        topic, endpoint = self._topic(request), str(request.get("Endpoint") or "")
        if request.get("Protocol") != "sqs":
            raise _invalid("Protocol Reason: the embedded SNS delivers to sqs only")
        if not endpoint.startswith("arn:") or ":sqs:" not in endpoint:
            raise _invalid("SQS endpoint ARN")
        for subscription in topic.subscriptions.values():
            if subscription.endpoint == endpoint:
                return {"SubscriptionArn": subscription.arn}
        subscription = Subscription(f"{topic.arn}:{self._new_id()}", endpoint)
        for name, value in (request.get("Attributes") or {}).items():
            _set(subscription, name, value)
        topic.subscriptions[subscription.arn] = subscription
        return {"SubscriptionArn": subscription.arn}

    def _unsubscribe(self, now: Instant, request: JsonObject) -> JsonObject:
        for topic in self.topics.values():
            topic.subscriptions.pop(str(request.get("SubscriptionArn")), None)
        return {}

    def _set_subscription_attributes(self, now: Instant, request: JsonObject) -> JsonObject:
        arn = str(request.get("SubscriptionArn"))
        topic = self.topics.get(arn.rpartition(":")[0])
        if topic is None or arn not in topic.subscriptions:
            raise AwsError("NotFound", "Subscription does not exist", 404)
        _set(topic.subscriptions[arn], request.get("AttributeName"), request.get("AttributeValue"))
        return {}

    def _list_subscriptions(self, now: Instant, request: JsonObject) -> JsonObject:
        topic = self._topic(request)
        page, more = _page(sorted(topic.subscriptions), request)
        shown = [
            {
                "SubscriptionArn": arn,
                "Owner": self.account,
                "Protocol": "sqs",
                "Endpoint": topic.subscriptions[arn].endpoint,
                "TopicArn": topic.arn,
            }
            for arn in page
        ]
        return {"Subscriptions": shown} | more


def _invalid(what: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {what}")


def _set(subscription: Subscription, name: object, value: object) -> None:
    if name != _RAW or value not in {"true", "false"}:
        raise _invalid(f"AttributeName Reason: the embedded SNS knows {_RAW}, true or false, only")
    subscription.raw = value == "true"


def _page(keys: Sequence[str], request: JsonObject) -> tuple[list[str], JsonObject]:
    """A hundred of the sorted keys, as at AWS, and the NextToken if there are more."""
    after = str(request.get("NextToken") or "")
    rest = [key for key in keys if key > after]
    return rest[:100], {"NextToken": rest[99]} if len(rest) > 100 else {}


def _size(entry: JsonObject) -> int:
    attributes = (entry.get("MessageAttributes") or {}).items()
    texts = [text for name, value in attributes for text in (name, *value.values())]
    return sum(len(text.encode()) for text in (entry.get("Message") or "", *texts))


def _check_batch(entries: Sequence[Any]) -> None:
    """What is wrong with a batch as a whole."""
    ids = [str(entry.get("Id") or "") for entry in entries]
    if not entries:
        raise AwsError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(entries) > 10:
        raise AwsError("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
    if not all(map(_ENTRY_ID.fullmatch, ids)):
        raise AwsError(
            "InvalidBatchEntryId", "The Id of a batch entry in a batch request doesn't abide by the rules."
        )
    if len(set(ids)) < len(ids):
        raise AwsError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
    if sum(map(_size, entries)) > MAXIMUM_BYTES:
        raise AwsError(
            "BatchRequestTooLong", "The length of all the batch messages put together is over the limit."
        )


def _envelope(now: Instant, topic: Topic, subscription: Subscription, message: Published) -> str:
    """What a queue gets that does not ask for raw delivery; the signature is none."""
    time = datetime.fromtimestamp(now.wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown: JsonObject = {"Type": "Notification", "MessageId": message.id, "TopicArn": topic.arn}
    if message.subject is not None:
        shown["Subject"] = message.subject
    shown |= {
        "Message": message.text,
        "Timestamp": time,
        "SignatureVersion": "1",
        "Signature": "EMBEDDED",
        "SigningCertURL": "https://sns.invalid/embedded.pem",
        "UnsubscribeURL": f"https://sns.invalid/?Action=Unsubscribe&SubscriptionArn={subscription.arn}",
    }
    if message.attributes:
        shown["MessageAttributes"] = {
            name: {"Type": value.get("DataType"), "Value": value.get("StringValue", value.get("BinaryValue"))}
            for name, value in message.attributes.items()
        }
    return json.dumps(shown)
