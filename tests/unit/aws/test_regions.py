"""Where the calls for a queue go: the region and the account of its ARN, whatever this machine is set to."""

import json

import pytest

from poller.aws.clients import AwsClients
from poller.aws.sqs import SqsQueue
from poller.core.mapping import SourceArn

ELSEWHERE = SourceArn("arn:aws:sqs:eu-north-1:210987654321:q", "aws", "eu-north-1", "210987654321", "q")


async def test_a_queue_is_called_in_the_region_and_account_of_its_arn(
    serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GEN-6: neither AWS_REGION nor the account of our credentials decides; and AWS's own host is the region's."""

    async def script(line, number: int) -> None:
        await line.request()
        await line.answer(b'{"QueueUrl": "https://sqs/210987654321/q"}')
        await line.request()
        await line.answer(b'{"Attributes": {"VisibilityTimeout": "30"}}')

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    server = await serve(script)
    async with AwsClients(endpoint_url=server.url) as clients:
        facts = await SqsQueue(clients, ELSEWHERE).open()
    assert facts.visibility_timeout == 30
    (first, asked), (second, _) = server.requests
    assert all(b"/eu-north-1/sqs/aws4_request" in head for head in (first, second))
    assert json.loads(asked) == {"QueueName": "q", "QueueOwnerAWSAccountId": "210987654321"}
    async with AwsClients() as clients:
        assert clients.endpoint("sqs", ELSEWHERE.region) == "https://sqs.eu-north-1.amazonaws.com"
