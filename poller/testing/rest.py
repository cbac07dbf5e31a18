"""The services that do not speak AWS JSON, behind one hook: the query protocol is SNS, the paths of functions are
Lambda, everything else is S3.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import orjson

from poller.core.model import JsonObject
from poller.testing import functions_rest, s3_rest, sns_query
from poller.testing.calls import Answer, AwsError, Dropped, MachineService, RestAnswer
from poller.testing.functions import Functions, TooManyRequests
from poller.testing.s3 import S3
from poller.testing.service import SqsService
from poller.testing.sns import Sns

_FORM: Final = "application/x-www-form-urlencoded"


class RestServices:
    """SNS, S3 and Lambda on the clock and with the faults of an SqsService, to whose queues SNS delivers.

    A fault is planted by the operation's name, "Publish" or "s3:PutObject". The services count their `calls`.
    """

    def __init__(self, queues: SqsService) -> None:
        region, account = queues.sqs.region, queues.sqs.account
        self.sns = Sns(region=region, account=account)
        self.s3 = S3(region=region)
        self.functions = Functions(region=region, account=account)
        self._queues = queues
        clock, faults = queues.clock, queues.faults
        throttled, slow = AwsError("Throttled", "Rate exceeded", 429), AwsError("SlowDown", "Slow down.", 503)
        self.sns_service = MachineService("sns", clock, self.sns, faults, throttled)
        self.s3_service = MachineService("s3", clock, self.s3, faults, slow)
        self.lambda_service = MachineService("lambda", clock, self.functions, faults, TooManyRequests())

    def handle(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> RestAnswer | Dropped | asyncio.Task[RestAnswer] | None:
        """One request, `headers` by their names in lower case; None for a call that is never answered."""
        if method == "POST" and headers.get("content-type", "").startswith(_FORM):
            return self._handle_sns(body)
        if method == "POST" and url == "/":
            text = "The embedded AWS speaks AWS JSON: X-Amz-Target must name the operation."
            told = orjson.dumps({"__type": "UnknownOperationException", "message": text})
            return 400, {"Content-Type": "application/x-amz-json-1.0"}, told
        if url.startswith(functions_rest.PREFIX):
            return self._handle_lambda(method, url, headers, body)
        return self._handle_s3(method, url, headers, body)

    def _handle_sns(self, body: bytes) -> RestAnswer | Dropped | None:
        operation, answer = "", None
        try:
            request = sns_query.read_form(body)
            operation = str(request.get("Action", ""))
            answer = _done(self.sns_service, operation, request)
        except AwsError as error:
            answer = error
        self._deliver()
        match answer:
            case None | Dropped():
                return answer
            case AwsError():
                return answer.status, {"Content-Type": "text/xml"}, sns_query.error_xml(answer)
            case _:
                return 200, {"Content-Type": "text/xml"}, sns_query.answer_xml(operation, answer)

    def _deliver(self) -> None:
        """Sends what SNS has for queues; a queue that is not there gets nothing, as at AWS."""
        for delivery in self.sns.outbox:
            name = delivery.queue_arn.rpartition(":")[2]
            request = {"QueueUrl": name, "MessageBody": delivery.body, "MessageAttributes": delivery.attributes}
            self._queues.do("SendMessage", request, lambda answer: None)
        self.sns.outbox.clear()

    def _handle_lambda(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> RestAnswer | Dropped | asyncio.Task[RestAnswer] | None:
        operation, answer = "", None
        try:
            operation, request = functions_rest.read_request(method, url, headers, body)
            answer = _done(self.lambda_service, operation, request)
        except AwsError as error:
            answer = error
        match answer:
            case None | Dropped():
                return answer
            case AwsError():
                return functions_rest.write_error(answer)
            case {"Running": running}:
                return asyncio.ensure_future(functions_rest.written(running))
            case _:
                return functions_rest.write_configuration(answer)

    def _handle_s3(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> RestAnswer | Dropped | None:
        operation, answer = "", None
        try:
            operation, request = s3_rest.read_request(method, url, headers, body)
            answer = _done(self.s3_service, operation, request)
        except AwsError as error:
            answer = error
        match answer:
            case None | Dropped():
                return answer
            case AwsError():
                return s3_rest.write_error(method, answer)
            case _:
                return s3_rest.write_answer(operation, headers, url, answer)


def _done(service: MachineService, operation: str, request: JsonObject) -> Answer | None:
    """The answer of a call; None when none will ever come."""
    answers: list[Answer] = []
    service.call(operation, request, answers.append)
    return answers[0] if answers else None
