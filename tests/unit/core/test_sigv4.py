"""Whether a signature is good: botocore signs, and whatever is changed afterwards is found."""

import datetime as dt
from hashlib import sha256
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode, percent_encode_sequence
from hypothesis import given
from hypothesis import strategies as st

from poller.core.api_answers import Refused
from poller.core.sigv4 import MAX_SKEW, SignedRequest, check_signature

HOST = "127.0.0.1:9465"
PATH = "/2015-03-31/event-source-mappings/"
WHEN = 1_700_000_000.0
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SECRETS = {KEY: SECRET, "OTHER": "another-secret-key-of-somebody"}
CODES = {"InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException",
         "UnrecognizedClientException"}  # fmt: skip


def signed(
    method="POST",
    target=PATH,
    body=b'{"BatchSize":1}',
    when=WHEN,
    key=KEY,
    secret=SECRET,
    token=None,
    service="lambda",
    **headers,
):
    """The request as botocore signs it."""
    request = AWSRequest(method, f"http://{HOST}{target}", headers=headers, data=body)
    request.context["payload_signing_enabled"] = True
    with mock.patch("botocore.auth.get_current_datetime", return_value=dt.datetime.fromtimestamp(when, dt.UTC)):
        SigV4Auth(Credentials(key, secret, token), service, "eu-west-1").add_auth(request)
    return SignedRequest(method, target, [("Host", HOST), *request.headers.items()], body)


def check(request, now=WHEN):
    return check_signature(request, SECRETS, "lambda", now)


def code(request, now=WHEN):
    answer = check(request, now)
    assert isinstance(answer, Refused)
    assert answer.status == 403
    return answer.code


def with_header(request, name, value):
    """The same with one header put in place of that name, or added, or taken away (None)."""
    kept = [(one, text) for one, text in request.headers if one.lower() != name.lower()]
    return SignedRequest(
        request.method, request.target, kept + ([] if value is None else [(name, value)]), request.body
    )


def authorization(request):
    return dict(request.headers)["Authorization"]


SEGMENT = st.text(min_size=1, max_size=20).filter(lambda text: text not in {".", ".."})


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    segments=st.lists(SEGMENT, max_size=3),
    query=st.lists(st.tuples(st.text(max_size=10), st.text(max_size=10)), max_size=4),
    body=st.binary(max_size=100),
    token=st.none() | st.just("a-session-token"),
    header=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
)
def test_what_botocore_signs_is_good_whatever_it_is(method, segments, query, body, token, header):
    path = PATH + "/".join(percent_encode(segment, safe="-._~") for segment in segments)
    target = f"{path}?{percent_encode_sequence(query)}" if query else path
    assert check(signed(method, target, body, token=token, **{"X-Amz-Extra": header, "X-Other": header})) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda one: SignedRequest("PUT", one.target, one.headers, one.body),
        lambda one: SignedRequest(one.method, one.target + "x", one.headers, one.body),
        lambda one: SignedRequest(one.method, one.target + "?a=b", one.headers, one.body),
        lambda one: SignedRequest(one.method, one.target, one.headers, one.body + b" "),
        lambda one: with_header(one, "Host", "elsewhere"),
        lambda one: with_header(one, "Host", None),
        lambda one: with_header(one, "X-Amz-Date", "20231114T221321Z"),
        lambda one: with_header(one, "X-Amz-Target", "added"),
        lambda one: with_header(one, "Authorization", authorization(one)[:-1] + "x"),
        lambda one: with_header(one, "Authorization", authorization(one)[:-1]),
        lambda one: with_header(one, "Authorization", authorization(one)[:-1] + "\udcff"),
        lambda one: with_header(one, "Authorization", authorization(one).replace(KEY, "OTHER")),
        lambda one: with_header(one, "Authorization", authorization(one).replace("eu-west-1", "eu-west-2")),
        lambda one: with_header(one, "Authorization", authorization(one).replace("/lambda/", "/sqs/")),
        lambda one: with_header(one, "Authorization", authorization(one).replace("host;", "")),
    ],
)
def test_what_was_changed_after_it_was_signed_is_refused(change):
    request = signed()
    assert check(request) is None
    assert code(change(request)) == "InvalidSignatureException"


def test_what_was_signed_for_another_service_is_refused():
    assert code(signed(service="sqs")) == "InvalidSignatureException"


@pytest.mark.parametrize(
    "said", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", sha256(b"{}").hexdigest()]
)
def test_the_body_itself_is_signed_whatever_a_header_says_of_it(said):
    assert code(signed(**{"X-Amz-Content-SHA256": said})) == "InvalidSignatureException"


def test_a_key_that_is_not_ours_is_refused_as_at_aws():
    assert code(signed(key="AKIDUNKNOWN")) == "UnrecognizedClientException"
    assert code(signed(secret="not-that-secret-but-another")) == "InvalidSignatureException"


@pytest.mark.parametrize("off", [MAX_SKEW, -MAX_SKEW])
def test_a_clock_may_be_five_minutes_off_and_no_more(off):
    request = signed()
    assert check(request, WHEN + off) is None
    answer = check(request, WHEN + off + (1 if off > 0 else -1))
    assert answer.code == "InvalidSignatureException"
    assert answer.message.startswith("Signature expired" if off > 0 else "Signature not yet current")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (
            WHEN + 301,
            "Signature expired: 20231114T221320Z is now earlier than 20231114T221321Z (20231114T221821Z - 5 min.)",
        ),
        (
            WHEN - 301,
            "Signature not yet current: 20231114T221320Z is still later than 20231114T221319Z (20231114T220819Z",
        ),
    ],
)
def test_a_clock_that_is_off_is_told_by_how_much(now, message):
    assert check(signed(), now - 1 if now > WHEN else now + 1) is None
    assert check(signed(), now).message.startswith(message)


def test_a_header_that_need_not_be_signed_may_be_added_on_the_way():
    assert check(with_header(signed(), "User-Agent", "a proxy")) is None
    assert check(with_header(signed(), "Via", "1.1 proxy")) is None


def test_no_part_of_the_signature_is_there_twice():
    request = signed()
    for part in ("Signature=00, Signature=", "SignedHeaders=host, Signature="):
        twice = authorization(request).replace("Signature=", part)
        assert code(with_header(request, "Authorization", twice)) == "IncompleteSignatureException"


def test_the_first_part_that_is_missing_is_told():
    answer = check(with_header(signed(), "Authorization", "AWS4-HMAC-SHA256 Signature=0"))
    assert answer.message == "Authorization header requires 'Credential' parameter."


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "MissingAuthenticationTokenException"),
        ("Basic abc", "MissingAuthenticationTokenException"),
        ("AWS4-HMAC-SHA256", "MissingAuthenticationTokenException"),
        ("AWS4-HMAC-SHA256 -", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256 Credential=a/b", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=0", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256 Credential=a,Credential=b,SignedHeaders=h,Signature=0", "IncompleteSignatureException"),
        (
            "AWS4-HMAC-SHA256 Credential=a/20231114/r/lambda/aws4_request,SignedHeaders=host;a,Signature=0",
            "IncompleteSignatureException",
        ),
    ],
)
def test_what_is_no_signature_is_refused(header, expected):
    assert code(with_header(signed(), "Authorization", header)) == expected


@pytest.mark.parametrize("stamp", [None, "", "now", "20231399T999999Z", "2023-11-14T22:13:20Z", "٢" + "0" * 15])
def test_without_a_date_nothing_is_signed(stamp):
    assert code(with_header(signed(), "X-Amz-Date", stamp)) == "IncompleteSignatureException"


@given(st.text(max_size=80), st.text(max_size=30), st.text(max_size=30), st.binary(max_size=20))
def test_nothing_that_a_header_says_is_more_than_refused(header, stamp, target, body):
    """No traceback; the header is one that begins well, too."""
    for text in (header, f"AWS4-HMAC-SHA256 {header}", f"AWS4-HMAC-SHA256 Credential={header},Signature=x"):
        pairs = [("Host", HOST), ("X-Amz-Date", stamp), ("Authorization", text)]
        assert code(SignedRequest("GET", target, pairs, body)) in CODES
