"""AWS as the simulated process sees it: the verified state machines of poller.testing behind its HTTP client.

All of the process's own code is real down to `HttpClient.post`: adapters, signatures, error tables, retries. What
is below is here: latency, the faults of faults.py, and a call that goes on although its caller has died.
"""

import asyncio
from contextlib import nullcontext
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING, Any, Self
from zlib import crc32

import orjson
from botocore.exceptions import EndpointConnectionError

from poller.aws.http1 import BadResponse, ConnectFailed, Disconnected, HttpResponse, TimedOut
from poller.aws.sigv4 import Credentials
from poller.aws.wire import WireClient
from poller.core.model import JsonObject, SourceProblem
from poller.errors import SourceError
from poller.testing.calls import AwsError
from poller.testing.dynamodb import DynamoDb
from poller.testing.kinesis import Kinesis
from poller.testing.service import SqsService
from poller.testing.sqs import Sqs
from tests.property.virtual_loop import LoopClock
from tests.sim.faults import BATCHES, GARBAGE, LATE, THROTTLES, Fate, fate_of

if TYPE_CHECKING:
    from tests.sim.process import Process

_TARGET = b"X-Amz-Target: "
LATENCIES = (0.0, 0.002, 0.02, 0.05)


class Aws:
    """All services of one account, as long as the world stands."""

    def __init__(self, random: Random) -> None:
        self.clock = LoopClock()
        self.sqs = SqsService(self.clock, Sqs(seed=random.getrandbits(32)))
        self.kinesis = Kinesis()
        self.dynamodb = DynamoDb(shards=random.choice([1, 2]), seed=random.getrandbits(32))
        self._date = (0, b"")

    def now(self, service: str, operation: str, request: JsonObject) -> JsonObject:
        """An operation done on the spot, past all faults. Raises AwsError."""
        if service == "sqs":
            answers: list[Any] = []
            self.sqs.do(operation, request, answers.append)
            if isinstance(answers[0], AwsError):
                raise answers[0]
            return answers[0]
        machine = {
            "kinesis": self.kinesis,
            "dynamodb": self.dynamodb,
            "dynamodbstreams": self.dynamodb.streams,
        }
        return machine[service].apply(self.clock.now(), operation, request)

    def date(self) -> bytes:
        wall = int(self.clock.now().wall)
        if self._date[0] != wall:
            self._date = (wall, formatdate(wall, usegmt=True).encode())
        return self._date[1]


class SimHttp:
    """Stands where poller.aws.http1.HttpClient stands, for one process and service."""

    def __init__(self, process: "Process", service: str) -> None:
        self.authority = f"{service}.simulated"
        self._process = process
        self._world = process.world
        self._service = service
        self._again: set[str] = set()  # operations that were refused for their credentials: asked again at once

    async def post(self, head: bytes, payload: bytes, timeout: float, *, idempotent: bool) -> HttpResponse:
        start = head.index(_TARGET) + len(_TARGET)
        operation = head[start : head.index(b"\r", start)].decode().rpartition(".")[2]
        request = orjson.loads(payload)
        source = self._world.sources.of_queue(request) if operation == "ReceiveMessage" else None
        with nullcontext() if source is None else self._world.rules.asking(self._process, source, request):
            status, body = await self._exchange(operation, request, timeout)
        return HttpResponse(status, {b"Date": self._world.aws.date()}, body)

    async def _exchange(self, operation: str, request: JsonObject, timeout: float) -> tuple[int, bytes]:
        world, process, random = self._world, self._process, self._world.random
        if process.dead:
            raise ConnectFailed("the process is dead")
        until = asyncio.get_running_loop().time() + timeout
        if operation not in self._again:
            world.rules.asks(process, self._service, operation, request)
        self._again.discard(operation)
        fate = fate_of(self._service, operation, world.weather, random, world.reached)
        world.trace("call", process.number, operation, fate)
        await asyncio.sleep(random.choice(LATENCIES))
        match fate:
            case Fate.NO_CONNECTION:
                raise ConnectFailed("planted")
            case Fate.THROTTLED:
                return _refusal(*THROTTLES[self._service])
            case Fate.SERVER:
                return _refusal("InternalFailure", 500)
            case Fate.CREDENTIALS:
                self._again.add(operation)
                return _refusal("ExpiredTokenException", 400)
            case Fate.RESET_BEFORE:
                raise Disconnected("planted", answered=False)
            case Fate.BLACK_HOLE:
                await self._until(until)
            case Fate.EXPIRED:
                return _refusal("ExpiredIteratorException", 400)
            case Fate.SHORT_PAGE:
                _shorten(operation, request)
            case Fate.DUPLICATE:
                world.sources.appear_again(request)
        began = world.time
        refused: list[JsonObject] = []
        if fate is Fate.PARTIAL:
            entries = request["Entries"]
            kept = [entry for entry in entries if random.random() < 0.5]
            refused = [
                {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False, "Message": "planted"}
                for entry in entries
                if entry not in kept
            ]
            request["Entries"] = kept
        try:
            if refused and not request["Entries"]:
                answer: JsonObject = {"Successful": []}
            else:
                world.rules.does(process, self._service, operation, request)
                answer = await self._do(operation, request, until)
        except AwsError as error:
            return _refusal(error.name, error.status)
        if operation in BATCHES:
            answer["Failed"] = answer.get("Failed", []) + refused
        if fate is Fate.SHORT_PAGE and operation == "GetRecords" and answer["Records"] and _stops_before(request):
            world.reached["empty page before more"] += 1
            answer |= {"Records": [], "NextShardIterator": request["ShardIterator"]}
            if self._service == "kinesis":  # the other does not tell
                answer["MillisBehindLatest"] = 1_000
        world.rules.done(process, self._service, operation, request, answer)
        heard = await self._reply(fate, answer, until)
        if operation == "ReceiveMessage":
            world.rules.heard(request, answer, began)
        elif operation == "GetRecords" and fate not in {Fate.TRUNCATED_BODY, Fate.MALFORMED}:
            world.rules.read(self._service, request, answer)
        return heard

    async def _reply(self, fate: Fate, answer: JsonObject, until: float) -> tuple[int, bytes]:
        random = self._world.random
        match fate:
            case Fate.RESET_AFTER:
                raise Disconnected("planted", answered=random.random() < 0.5)
            case Fate.LOST_REPLY:
                await self._until(until)
            case Fate.TRUNCATED_BODY:
                body = orjson.dumps(answer)
                return 200, body[: random.randrange(len(body))]
            case Fate.MALFORMED:
                if random.random() < 0.2:
                    raise BadResponse("planted")
                return 200, random.choice(GARBAGE)
            case Fate.LATE:
                late = random.choice(LATE)
                if asyncio.get_running_loop().time() + late >= until:
                    await self._until(until)
                await asyncio.sleep(late)
        return 200, orjson.dumps(answer)

    async def _do(self, operation: str, request: JsonObject, until: float) -> JsonObject:
        if operation != "ReceiveMessage":
            return self._world.aws.now(self._service, operation, request)
        loop = asyncio.get_running_loop()
        replied: asyncio.Future[Any] = loop.create_future()

        def reply(answer: Any) -> None:
            if not replied.done():
                replied.set_result(answer)

        parked = self._world.aws.sqs.do(operation, request, reply)
        timer = loop.call_at(until, reply, None)
        try:
            answer = await replied
        finally:
            timer.cancel()
            # SQS may not have noticed that the caller is gone: then it hands messages out to nobody
            if parked is not None and not (self._process.dead and self._world.random.random() < 0.5):
                parked.cancel()
        if answer is None:
            raise TimedOut
        if isinstance(answer, AwsError):
            raise answer
        return answer

    async def _until(self, until: float) -> None:
        await asyncio.sleep(max(0.0, until - asyncio.get_running_loop().time()))
        raise TimedOut

    async def close(self) -> None:
        pass


def _refusal(code: str, status: int) -> tuple[int, bytes]:
    return status, orjson.dumps({"__type": code, "message": "planted"})


def _stops_before(request: JsonObject) -> bool:
    """Whether a short page of this place has none of the records at all; the same place is asked for again. Drawn
    from the iterator, so that it is about one in three and never one for ever.
    """
    return crc32(request["ShardIterator"].encode()) % 3 == 0


def _shorten(operation: str, request: JsonObject) -> None:
    if operation == "ListShards":
        request["MaxResults"] = 1
    else:
        request["Limit"] = min(request.get("Limit", 100), 1 if operation == "DescribeStream" else 2)


class SimCredentials:
    """Stands where CredentialSource stands: they expire when AWS says so, and are had anew at once."""

    def __init__(self) -> None:
        self._number = 0
        self._held: Credentials | None = None

    def held(self, mono: float) -> Credentials | None:
        return self._held

    async def load_within(self, seconds: float, mono: float, purpose: str) -> Credentials:
        if self._held is None:
            self._number += 1
            self._held = Credentials(f"AKID{self._number}", "secret")
        return self._held

    def reject(self, refused: Credentials, mono: float) -> None:
        self._held = None


class SimClients:
    """Stands where AwsClients stands, for one process; an async context manager like it."""

    def __init__(self, process: "Process") -> None:
        self.observe = process.metrics.process.aws_request
        self._process = process
        self._credentials = SimCredentials()
        self._wires: dict[tuple[str, str], WireClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    def region(self) -> str:
        return "us-east-1"

    def wire(self, service: str, region: str) -> WireClient:
        if (service, region) not in self._wires:
            self._wires[service, region] = WireClient(
                service,
                region,
                endpoint=f"https://{service}.simulated",
                http=SimHttp(self._process, service),  # type: ignore[arg-type]
                credentials=self._credentials,  # type: ignore[arg-type]
                clock=self._process.world.clock,
                observe=self.observe,
            )
        return self._wires[service, region]

    async def client(self, service: str, region: str, *, retries: int = 3) -> "SimSdk":
        return SimSdk(self._process, service)

    def refused(self, error: SourceError) -> None:
        """No weather of topics and buckets has their credentials expire."""
        assert error.problem is SourceProblem.UNREACHABLE


class SimSdk:
    """The two calls of SDK clients that a worker makes, for topics and buckets."""

    def __init__(self, process: "Process", service: str) -> None:
        self._process, self._service = process, service

    async def publish(self, *, TopicArn: str, Message: str) -> JsonObject:  # noqa: N803 - the SDK's names
        await self._do("Publish", Message)
        return {"MessageId": "m"}

    async def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> JsonObject:  # noqa: N803
        await self._do("PutObject", Body.decode())
        return {"ETag": "e"}

    async def _do(self, operation: str, document: str) -> None:
        world = self._process.world
        fate = fate_of(self._service, operation, world.weather, world.random, world.reached)
        world.trace("call", self._process.number, operation, fate)
        await asyncio.sleep(world.random.choice(LATENCIES))
        if self._process.dead or fate in {Fate.NO_CONNECTION, Fate.THROTTLED, Fate.SERVER, Fate.RESET_BEFORE}:
            raise EndpointConnectionError(endpoint_url="planted")
        if fate is Fate.BLACK_HOLE:
            await asyncio.sleep(60)
        world.rules.accepted(document)
        if fate is not Fate.DONE:  # done, but nobody hears of it
            raise EndpointConnectionError(endpoint_url="planted")
