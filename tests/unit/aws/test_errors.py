"""The one table: codes, statuses and exceptions, and the sentences made of them."""

import botocore.exceptions as sdk
import pytest

from poller.aws import errors, http1
from poller.aws.http1 import HttpResponse
from poller.core.model import SourceProblem as Problem

HOST = "sqs.eu-west-1.amazonaws.com"


def error_of(status, body, headers=()):
    response = HttpResponse(status, dict(headers), body)
    return errors.refused("sqs", "DeleteMessageBatch", HOST, errors.read_refusal(response))


def json_error(code, message="why", status=400):
    return error_of(status, b'{"__type": "%b", "message": "%b"}' % (code.encode(), message.encode()))


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("QueueDoesNotExist", Problem.MISSING),
        ("com.amazonaws.sqs#QueueDoesNotExist", Problem.MISSING),
        ("AWS.SimpleQueueService.NonExistentQueue", Problem.MISSING),
        ("ResourceNotFoundException", Problem.MISSING),
        ("OverLimit", Problem.THROTTLED),
        ("com.amazonaws.sqs#OverLimit", Problem.THROTTLED),
        ("AWS.SimpleQueueService.OverLimit", Problem.THROTTLED),
        ("RequestThrottled", Problem.THROTTLED),
        ("Throttling", Problem.THROTTLED),
        ("com.amazon.coral.availability#ThrottlingException", Problem.THROTTLED),
        ("ProvisionedThroughputExceededException", Problem.THROTTLED),
        ("SomethingThrottledNew", Problem.THROTTLED),
        ("KmsThrottled", Problem.THROTTLED),
        ("KMS.ThrottlingException", Problem.THROTTLED),
        ("KMSThrottlingException", Problem.THROTTLED),
        ("KMS.AccessDeniedException", Problem.DENIED),
        ("KmsAccessDenied", Problem.DENIED),
        ("KmsDisabled", Problem.DENIED),
        ("KMSNotFoundException", Problem.DENIED),
        ("AccessDenied", Problem.DENIED),
        ("AccessDeniedException", Problem.DENIED),
        ("AccessDeniedByPolicy", Problem.DENIED),
        ("ExpiredToken", Problem.CREDENTIALS),
        ("ExpiredTokenException", Problem.CREDENTIALS),
        ("InvalidClientTokenId", Problem.CREDENTIALS),
        ("com.amazon.coral.service#UnrecognizedClientException", Problem.CREDENTIALS),
        ("SignatureDoesNotMatch", Problem.CREDENTIALS),
        ("RequestTimeTooSkewed", Problem.CREDENTIALS),
        ("InvalidSignatureException", Problem.CREDENTIALS),
        ("MissingAuthenticationToken", Problem.CREDENTIALS),
        ("ReceiptHandleIsInvalid", Problem.REFUSED),
        ("InvalidParameterValue", Problem.REFUSED),
        ("BatchEntryIdsNotDistinct", Problem.REFUSED),
        ("InternalFailure", Problem.SERVER),
        ("ServiceUnavailable", Problem.SERVER),
        ("ExpiredNextTokenException", Problem.SERVER),
        ("ResourceInUseException", Problem.SERVER),
    ],
)
def test_codes(code, problem):
    error = json_error(code)
    assert error.problem is problem
    assert error.code == code.rpartition("#")[2].removeprefix("AWS.SimpleQueueService.")
    assert str(error).startswith(f"sqs DeleteMessageBatch at {HOST} ")
    assert f"({error.code}: why)" in str(error)


@pytest.mark.parametrize("answer", [b'{"__type": "AccessDeniedException"}', b"<html>Forbidden</html>"])
@pytest.mark.parametrize(
    ("service", "operation", "action"),
    [
        ("dynamodbstreams", "GetRecords", "dynamodb:GetRecords"),
        ("dynamodbstreams", "GetShardIterator", "dynamodb:GetShardIterator"),
        ("dynamodbstreams", "DescribeStream", "dynamodb:DescribeStream"),
        ("dynamodb", "PutItem", "dynamodb:PutItem"),
        ("kinesis", "GetRecords", "kinesis:GetRecords"),
        ("sqs", "DeleteMessageBatch", "sqs:DeleteMessage"),
    ],
)
def test_what_was_denied_is_named_as_policies_name_it(service, operation, action, answer):
    """IAM-2, IAM-4: there is no dynamodbstreams in IAM."""
    refusal = errors.read_refusal(HttpResponse(403, {}, answer))
    assert f"Allow {action} to these credentials" in str(errors.refused(service, operation, HOST, refusal))


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (301, Problem.REFUSED),
        (307, Problem.REFUSED),
        (204, Problem.REFUSED),
        (400, Problem.REFUSED),
        (401, Problem.CREDENTIALS),
        (403, Problem.DENIED),
        (404, Problem.REFUSED),
        (407, Problem.UNREACHABLE),
        (408, Problem.SERVER),
        (413, Problem.REFUSED),
        (429, Problem.THROTTLED),
        (500, Problem.SERVER),
        (502, Problem.SERVER),
        (503, Problem.SERVER),
        (599, Problem.SERVER),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html><title>Oops</title></html>", b"[1]", b"\xff\x00", b'{"x": 1}', b"[[[["]
)
def test_statuses_without_a_code(status, problem, body):
    error = error_of(status, body)
    assert error.problem is problem
    assert error.code == f"HTTP{status}"
    assert "\n" not in str(error)
    assert "<" not in str(error)


def test_where_the_code_may_stand():
    legacy = [(b"X-Amzn-Query-Error", b"AWS.SimpleQueueService.NonExistentQueue;Sender")]
    assert error_of(400, b"", legacy).code == "NonExistentQueue"
    rest = [(b"x-amzn-ErrorType", b"ThrottlingException:http://internal.example/")]
    assert error_of(400, b"{}", rest).problem is Problem.THROTTLED
    xml = b"<ErrorResponse><Error><Code>ExpiredToken</Code><Message>It ran out</Message></Error></ErrorResponse>"
    assert (error_of(403, xml).code, "It ran out" in str(error_of(403, xml))) == ("ExpiredToken", True)
    assert error_of(400, b'{"Code": "OverLimit", "Message": "m"}').problem is Problem.THROTTLED
    assert error_of(400, b'{"__type": 5, "message": []}').problem is Problem.REFUSED


def test_sentences_say_what_to_do():
    assert "Allow sqs:DeleteMessage to" in str(json_error("AccessDenied"))
    assert "kms:Decrypt" in str(json_error("KmsDisabled"))
    assert "Set the clock" in str(json_error("RequestTimeTooSkewed"))
    assert "Renew the credentials" in str(json_error("ExpiredToken"))
    assert "region" in str(json_error("QueueDoesNotExist"))
    redirect = error_of(302, b"", [(b"Location", b"https://login.example/")])
    assert "redirected to https://login.example/" in str(redirect)
    assert "endpoint URL" in str(redirect)


def test_receipt_handles_are_not_quoted():
    handle = "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a+/8" * 4
    for said in (
        f'The receipt handle "{handle}" is not valid.',
        f"Value {handle} for parameter ReceiptHandle is bad",
    ):
        assert handle[:24] not in str(json_error("ReceiptHandleIsInvalid", said))
        assert handle[:24] not in errors.clean(said)


def test_clean_text_is_one_short_printable_line():
    assert errors.clean("a\r\n\tb\x00\x1b[31m c\u2028d") == "a b [31m c d"
    assert len(errors.clean("x" * 5000)) == 300


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (http1.ConnectFailed("Connection refused"), "cannot be reached for Op: Connection refused. Check network"),
        (http1.ConnectFailed("its certificate is not trusted: x"), "AWS_CA_BUNDLE"),
        (http1.TimedOut("x"), "did not answer Op in time"),
        (
            http1.Disconnected("the connection was closed without an answer", False),
            "broke off Op: the connection was",
        ),
        (http1.BadResponse("the answer is not HTTP"), "broke off Op: the answer is not HTTP"),
    ],
)
def test_calls_that_brought_no_answer(error, said):
    mine = errors.unreached("sqs", "Op", HOST, error)
    assert mine.problem is Problem.UNREACHABLE
    assert str(mine).startswith(f"sqs at {HOST} ")
    assert said in str(mine)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (sdk.ClientError({"Error": {"Code": "AccessDenied", "Message": "m"}}, "Op"), Problem.DENIED),
        (sdk.ClientError({"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue"}}, "Op"), Problem.MISSING),
        (sdk.ClientError({"ResponseMetadata": {"HTTPStatusCode": 503}}, "Op"), Problem.SERVER),
        (sdk.ClientError({}, "Op"), Problem.REFUSED),
        (sdk.NoCredentialsError(), Problem.CREDENTIALS),
        (sdk.PartialCredentialsError(provider="env", cred_var="x"), Problem.CREDENTIALS),
        (sdk.UnauthorizedSSOTokenError(), Problem.CREDENTIALS),
        (sdk.SSOTokenLoadError(error_msg="x"), Problem.CREDENTIALS),
        (sdk.ProfileNotFound(profile="p"), Problem.CREDENTIALS),
        (sdk.EndpointConnectionError(endpoint_url="http://x"), Problem.UNREACHABLE),
        (sdk.ConnectTimeoutError(endpoint_url="http://x"), Problem.UNREACHABLE),
        (sdk.ReadTimeoutError(endpoint_url="http://x"), Problem.UNREACHABLE),
        (sdk.ConnectionClosedError(endpoint_url="http://x"), Problem.UNREACHABLE),
        (sdk.ProxyConnectionError(proxy_url="http://x"), Problem.UNREACHABLE),
        (sdk.SSLError(endpoint_url="http://x", error="e"), Problem.UNREACHABLE),
        (TimeoutError(), Problem.UNREACHABLE),
        (ConnectionResetError(), Problem.UNREACHABLE),
        (sdk.ParamValidationError(report="r"), Problem.REFUSED),
        (sdk.NoRegionError(), Problem.REFUSED),
    ],
)  # fmt: skip
def test_exceptions_of_the_sdk(error, problem):
    mine = errors.from_sdk("sqs", "Op", error)
    assert mine.problem is problem
    assert str(mine).endswith(".")
    assert "\n" not in str(mine)
