"""The signer against botocore's own, for whatever a call may be made of."""

import datetime as dt
from unittest import mock

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SdkCredentials
from hypothesis import given
from hypothesis import strategies as st

from poller.aws.http1 import HttpClient
from poller.aws.sigv4 import Credentials, Signer

WORD = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)
NAME = st.from_regex(r"\A[a-z][a-z0-9-]{0,20}[a-z0-9]\Z")
CREDENTIALS = st.builds(Credentials, WORD, WORD, st.none() | WORD)
LASTING = [Credentials("A", "s"), Credentials("B", "s", "t")]
SECOND = st.integers(0, 4_102_444_799)  # to the end of 2099


def botocore_headers(url, service, region, credentials, headers, body, when):
    request = AWSRequest("POST", url, headers=headers, data=body)
    request.context["payload_signing_enabled"] = True
    with mock.patch("botocore.auth.get_current_datetime", return_value=when):
        SigV4Auth(SdkCredentials(*credentials), service, region).add_auth(request)
    return dict(request.headers.items())


@st.composite
def calls(draw):
    """Credentials, target, body, time; often the credentials of another call, as the same object."""
    return (
        draw(st.sampled_from(LASTING) | CREDENTIALS),
        draw(WORD),
        draw(st.binary(max_size=200)),
        draw(SECOND) + draw(st.floats(0, 0.999)),
    )


@given(
    service=NAME,
    region=NAME,
    host=st.builds(lambda a, b: f"{a}.{b}.example", NAME, NAME) | st.sampled_from(["[::1]", "127.0.0.1"]),
    port=st.none() | st.integers(1, 65535),
    scheme=st.sampled_from(["http", "https"]),
    path=st.sampled_from(["", "/", "/base", "/a/b-c~d/", "/with%20percent"]),
    version=st.sampled_from(["1.0", "1.1"]),
    several=st.lists(calls(), min_size=1, max_size=4),
)
def test_signature_equals_botocores(service, region, host, port, scheme, path, version, several):
    """One signer signs several calls, so that what it keeps between them cannot be wrong unseen."""
    url = f"{scheme}://{host}{'' if port is None else f':{port}'}{path}"
    authority = HttpClient(url, tls=mock.Mock()).authority
    content_type = f"application/x-amz-json-{version}"
    signer = Signer(service, region, authority, path or "/", content_type)
    for credentials, target, body, now in several + several[:1]:
        lines = signer.sign(credentials, target, body, now).decode().split("\r\n")
        assert lines[-1] == ""
        mine = dict(line.split(": ", 1) for line in lines[:-1])
        when = dt.datetime.fromtimestamp(int(now), dt.UTC)
        asked = {"Content-Type": content_type, "X-Amz-Target": target}
        theirs = botocore_headers(url, service, region, credentials, asked, body, when)
        assert mine == theirs
