"""What an AWS error means to us: the one table from codes, statuses and exceptions to SourceProblem.

Whatever fails in this room leaves it as errors.SourceError with a sentence that names service, operation and
host. Texts of the service are cleaned first: they may quote a receipt handle.
"""

import re
from typing import Any, NamedTuple

import orjson
from botocore import exceptions as sdk

from poller.aws import http1
from poller.core.model import SourceProblem
from poller.errors import SourceError

_CREDENTIALS_HINT = "Renew the credentials of this process."
_SIGNATURE_HINT = "Check the secret key, the region and the endpoint."
_CLOCK_HINT = "Set the clock of this machine."
_THROTTLE_HINT = "It is asked again more slowly."

EXPIRED_CREDENTIALS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidClientTokenId", "TokenRefreshRequired",
     "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidAccessKeyIdException"}
)  # fmt: skip
# A wrong clock comes under all of these names; the Date header tells whether it was the clock.
CLOCK_SUSPECTS = frozenset(
    {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "InvalidSignatureException",
     "SignatureDoesNotMatch", "AuthFailure"}
)  # fmt: skip

_TABLE: tuple[tuple[frozenset[str], SourceProblem, str], ...] = (
    (EXPIRED_CREDENTIALS, SourceProblem.CREDENTIALS, _CREDENTIALS_HINT),
    (frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}),
     SourceProblem.CREDENTIALS, _CLOCK_HINT),
    (CLOCK_SUSPECTS, SourceProblem.CREDENTIALS, _SIGNATURE_HINT),
    (frozenset({"MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature",
                "IncompleteSignatureException", "NotAuthorized"}),
     SourceProblem.CREDENTIALS, _SIGNATURE_HINT),
    (frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
                "UnauthorizedOperation", "OptInRequired", "InvalidSecurity"}),
     SourceProblem.DENIED, "Allow {action} to these credentials, in their policy and in the resource's."),
    (frozenset({"QueueDoesNotExist", "NonExistentQueue", "QueueDeletedRecently", "ResourceNotFoundException",
                "NotFound", "NoSuchBucket"}),
     SourceProblem.MISSING, "Check name, account and region."),
    (frozenset({"ExpiredIteratorException"}), SourceProblem.EXPIRED, "A new iterator is asked for."),
    (frozenset({"TrimmedDataAccessException"}), SourceProblem.TRIMMED,
     "These records are gone: it goes on with the oldest that is left."),
    (frozenset({"OverLimit"}), SourceProblem.THROTTLED,
     "Too many messages are in flight; it is asked again when some were deleted."),
    (frozenset({"RequestThrottled", "RequestThrottledException", "Throttling", "ThrottlingException", "Throttled",
                "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
                "BandwidthLimitExceeded", "LimitExceededException", "ProvisionedThroughputExceededException",
                "TransactionInProgressException"}),
     SourceProblem.THROTTLED, _THROTTLE_HINT),
    (frozenset({"ResourceInUseException", "ExpiredNextTokenException"}), SourceProblem.SERVER,
     "It is being created, changed or deleted; it is asked again."),
    (frozenset({"InternalError", "InternalFailure", "InternalServerError", "InternalFailureException",
                "ServiceUnavailable", "ServiceUnavailableException", "RequestTimeout",
                "RequestTimeoutException"}),
     SourceProblem.SERVER, ""),
)  # fmt: skip

# Services whose permissions carry another name than the service itself.
_ACTIONS = {"dynamodbstreams": "dynamodb"}
# Operations whose permission carries another name than the operation itself.
_PERMISSIONS = {"Invoke": "InvokeFunction"}
_CLASSES = {SourceProblem.THROTTLED: "was throttled", SourceProblem.DENIED: "was denied",
            SourceProblem.MISSING: "found nothing there", SourceProblem.SERVER: "failed on the service's side",
            SourceProblem.CREDENTIALS: "was refused for its credentials",
            SourceProblem.UNREACHABLE: "did not reach it", SourceProblem.REFUSED: "was refused",
            SourceProblem.EXPIRED: "came with an iterator that is too old",
            SourceProblem.TRIMMED: "asked for records that the stream no longer has"}  # fmt: skip


class Refusal(NamedTuple):
    """An answer that is not a success: the service's code without its prefixes, and its sentence, cleaned."""

    status: int
    code: str
    message: str


def read_refusal(response: http1.HttpResponse) -> Refusal:
    """Takes an error answer apart, whatever its form: AWS JSON, legacy query code, XML, or somebody's HTML."""
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        body = None
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    code = fields.get("__type") or fields.get("code") or fields.get("Code")
    message = fields.get("message") or fields.get("Message")
    if not isinstance(code, str):
        header = response.header(b"x-amzn-query-error") or response.header(b"x-amzn-errortype") or b""
        code = header.decode("latin-1")
    if not isinstance(message, str):
        message = "" if fields else response.body[:1000].decode("utf-8", "replace")
        for tag, found in re.findall(r"<(Code|Message)>([^<]{1,500})<", message):
            code, message = (found, message) if tag == "Code" and not code else (code, found)
        message = re.sub(r"<[^>]*>", " ", message)
    if 300 <= response.status < 400:
        message = f"redirected to {(response.header(b'location') or b'nowhere').decode('latin-1')}"
    return Refusal(response.status, _bare_code(code), clean(message))


def classify(refusal: Refusal) -> tuple[SourceProblem, str]:
    """What a refusal means to us, and the hint for whoever has to act."""
    status, code, _ = refusal
    if code[:3].upper() == "KMS":
        if "throttl" in code.lower():
            return SourceProblem.THROTTLED, _THROTTLE_HINT
        hint = "It is encrypted: allow kms:Decrypt (to write, kms:GenerateDataKey too) on its key, and enable it."
        return SourceProblem.DENIED, hint
    for codes, problem, hint in _TABLE:
        if code in codes:
            return problem, hint
    if code.startswith("AccessDenied"):
        return SourceProblem.DENIED, "Allow {action} to these credentials."
    if "Throttl" in code or status == 429:
        return SourceProblem.THROTTLED, _THROTTLE_HINT
    if status >= 500 or status == 408:
        return SourceProblem.SERVER, ""
    if status == 407:
        return SourceProblem.UNREACHABLE, "The proxy wants credentials: put them into its URL."
    if status == 401:
        return SourceProblem.CREDENTIALS, _CREDENTIALS_HINT
    if status == 403 and not code:
        return SourceProblem.DENIED, "Allow {action} to these credentials; a firewall or proxy may have answered."
    if status < 400 or (status in {404, 405} and not code):
        return SourceProblem.REFUSED, "This does not look like the service: check the endpoint URL."
    return SourceProblem.REFUSED, ""


def refused(service: str, operation: str, host: str, refusal: Refusal) -> SourceError:
    """The error for an answer of the service that is not a success."""
    problem, hint = classify(refusal)
    said = ": ".join(filter(None, (refusal.code or f"HTTP {refusal.status}", refusal.message))).rstrip(".")
    permission = _PERMISSIONS.get(operation, operation.removesuffix("Batch"))
    action = f"{_ACTIONS.get(service, service)}:{permission}"
    sentence = f"{service} {operation} at {host} {_CLASSES[problem]} ({said}). {hint.format(action=action)}"
    return SourceError(problem, sentence.strip(), refusal.code or f"HTTP{refusal.status}")


def unreadable(service: str, operation: str, host: str, why: str) -> SourceError:
    """The error for a success whose body is not the JSON object it must be."""
    return SourceError(
        SourceProblem.SERVER,
        f"{service} {operation} at {host} answered with something that is not its JSON ({clean(why)}). "
        "Check the endpoint URL.",
    )


def unreached(service: str, operation: str, host: str, error: http1.HttpError) -> SourceError:
    """The error for a call that brought no answer (http1's four errors)."""
    match error:
        case http1.ConnectFailed():
            said = f"cannot be reached for {operation}: {clean(str(error))}"
            hint = "Check network, proxy and endpoint URL."
            if "certificate" in str(error):
                hint = "Name the right certificate authorities in AWS_CA_BUNDLE."
        case http1.TimedOut():
            said, hint = f"did not answer {operation} in time", "Check network and service."
        case _:
            said, hint = f"broke off {operation}: {clean(str(error))}", ""
    return SourceError(SourceProblem.UNREACHABLE, f"{service} at {host} {said}. {hint}".strip())


def from_sdk(service: str, operation: str, error: Exception) -> SourceError:
    """The error for a call through aiobotocore that raised `error` (any exception it lets out)."""
    if isinstance(error, sdk.ClientError):
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        refusal = Refusal(
            status or 400, _bare_code(str(told.get("Code", ""))), clean(str(told.get("Message", "")))
        )
        return refused(service, operation, "the AWS endpoint", refusal)
    said = clean(str(error)) or type(error).__name__
    if isinstance(error, _CREDENTIAL_ERRORS):
        return no_credentials(error)
    if isinstance(error, (sdk.HTTPClientError, sdk.ConnectionError, OSError)):
        return SourceError(SourceProblem.UNREACHABLE, f"{service} cannot be reached for {operation}: {said}.")
    return SourceError(SourceProblem.REFUSED, f"{service} {operation} could not be asked: {said}.")


def no_credentials(error: Exception | None) -> SourceError:
    """The error for credentials that are not there (None) or could not be loaded or refreshed."""
    if error is None or isinstance(error, sdk.NoCredentialsError):
        sentence = (
            "No AWS credentials were found. Looked at: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, assume-role "
            "and web identity settings, the AWS profile (shared credentials, SSO, login, credential_process), the "
            "container role and the instance role. Set one of them; a local endpoint takes any two words, such as "
            "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test."
        )
    else:
        said = clean(str(error)) or type(error).__name__
        sentence = f"AWS credentials could not be loaded: {said.rstrip('.')}. {_credential_hint(error)}".strip()
    return SourceError(SourceProblem.CREDENTIALS, sentence)


_CREDENTIAL_ERRORS = (
    sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.CredentialRetrievalError, sdk.SSOError,
    sdk.UnknownCredentialError, sdk.ProfileNotFound, sdk.NoAuthTokenError, sdk.TokenRetrievalError,
    sdk.MetadataRetrievalError, sdk.RefreshWithMFAUnsupportedError, sdk.InvalidConfigError, sdk.LoginError,
)  # fmt: skip


def _credential_hint(error: Exception) -> str:
    match error:
        case sdk.SSOError() | sdk.TokenRetrievalError():
            return "" if "sso login" in str(error) else "Run `aws sso login` with this profile."
        case sdk.ProfileNotFound():
            return "Check AWS_PROFILE and ~/.aws/config."
        case sdk.PartialCredentialsError():
            return "Set the access key and the secret key together."
        case _:
            return ""


def _bare_code(code: str) -> str:
    """`com.amazonaws.sqs#QueueDoesNotExist`, `Code:http://...`, `AWS.SimpleQueueService.Code;Sender`: the code."""
    code = code.rpartition("#")[2].partition(":")[0].partition(";")[0].strip()
    return clean(code.removeprefix("AWS.SimpleQueueService."))


def clean(text: str) -> str:
    """One printable line of at most 300 characters that quotes no receipt handle."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
    if "receipt" in line.lower():
        line = re.sub(r"[^\s\"']{24,}", "...", line)
    return line if len(line) <= 300 else line[:297] + "..."
