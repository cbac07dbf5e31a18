"""Credentials: cached, renewed, and an error state that recovers."""

import asyncio

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import CredentialRetrievalError
from botocore.parsers import ResponseParserError

from poller.aws import credentials
from poller.aws.credentials import FAILURE_SECONDS, RENEWAL_SECONDS, TRUSTED_SECONDS, CredentialSource
from poller.aws.sigv4 import Credentials
from poller.core.model import SourceProblem
from poller.errors import SourceError


class Provider:
    """What stands behind the sessions: changes its mind, fails, and counts."""

    def __init__(self):
        self.found = Credentials("A", "s", "t")
        self.error = None
        self.slow = None
        self.asked = self.sessions = 0

    def session(self):
        self.sessions += 1
        return self

    async def get_credentials(self):
        return None if self.found is None else self

    async def get_frozen_credentials(self):
        self.asked += 1
        await (asyncio.sleep(0) if self.slow is None else self.slow.wait())
        if self.error is not None:
            raise self.error
        return self.found


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def source(provider):
    return CredentialSource(provider.session)


async def test_asked_once_for_all_who_wait_and_then_not_for_a_while(source, provider):
    found = await asyncio.gather(*(source.load(0.0) for _ in range(20)))
    assert set(found) == {provider.found}
    assert source.held(TRUSTED_SECONDS - 1) is found[0]
    assert source.held(TRUSTED_SECONDS + 1) is None
    assert (provider.asked, provider.sessions) == (1, 1)


async def test_refreshed_credentials_are_seen_and_equal_ones_keep_their_identity(source, provider):
    first = await source.load(0.0)
    provider.found = Credentials("A", "s", "t")
    assert await source.load(100.0) is first
    provider.found = Credentials("A", "s", "new")
    assert (await source.load(200.0)).token == "new"
    assert provider.sessions == 1


async def test_failure_is_repeated_for_a_moment_and_then_recovers(source, provider):
    provider.error = CredentialRetrievalError(provider="sso", error_msg="gone")
    for mono in (0.0, FAILURE_SECONDS / 2):
        with pytest.raises(SourceError, match=r"sso.*gone") as caught:
            await source.load(mono)
        assert caught.value.problem is SourceProblem.CREDENTIALS
    assert provider.asked == 1
    provider.error = None
    assert await source.load(FAILURE_SECONDS + 1) == provider.found
    assert provider.sessions == 2


async def test_refused_credentials_are_read_anew_but_not_for_every_refusal(source, provider):
    first = await source.load(0.0)
    source.reject(first, 0.1)  # the session may have had them for hours
    assert source.held(0.1) is None
    assert await source.load(0.2) is first
    source.reject(first, RENEWAL_SECONDS)
    assert source.held(RENEWAL_SECONDS) is first
    source.reject(first, RENEWAL_SECONDS + 0.1)
    assert source.held(RENEWAL_SECONDS + 0.1) is None
    provider.found = Credentials("B", "s", None)
    second = await source.load(RENEWAL_SECONDS + 0.1)
    assert (second.access_key, provider.sessions) == ("B", 3)
    source.reject(first, 20.0)  # a late answer to a call with the old ones
    assert source.held(20.0) is second


@pytest.mark.parametrize("bad", [("A", "s", "to\nken"), ("", "s", None), ("A", "s s", None), ("A", "ß", None)])
async def test_keys_that_cannot_stand_in_a_header_are_an_error(source, provider, bad):
    provider.found = Credentials(*bad)
    with pytest.raises(SourceError, match="empty or has spaces") as caught:
        await source.load(0.0)
    assert "to\nken" not in str(caught.value)


async def test_none_found_tells_where_it_looked_and_recovers(source, provider):
    found, provider.found = provider.found, None
    with pytest.raises(SourceError, match=r"AWS_ACCESS_KEY_ID.*instance role"):
        await source.load(0.0)
    provider.found = found
    assert await source.load(10.0) == found


@pytest.mark.parametrize("error", [ResponseParserError, TypeError, AttributeError, OverflowError, LookupError])
async def test_what_the_sdk_cannot_read_is_an_error_that_quotes_nothing(source, provider, error):
    """A page of a proxy in STS's place, an answer without its fields: the SDK's parsers let anything through. It
    must not end what waits for credentials, and may have keys in it.
    """
    provider.error = error("<html> SECRET")
    with pytest.raises(SourceError, match=f"cannot be read .{error.__name__}") as caught:
        await source.load(0.0)
    assert caught.value.problem is SourceProblem.CREDENTIALS
    assert "SECRET" not in str(caught.value)
    provider.error = None
    assert await source.load(10.0) == provider.found


async def give_up(load):
    await asyncio.sleep(0)
    load.cancel()
    await asyncio.gather(load, return_exceptions=True)


async def test_who_cannot_wait_longer_leaves_the_load_to_others(source, provider):
    """A source may take longer than a call has, a program that waits for a touch perhaps: begun anew by each call
    it would never end, and leave one process after the other behind.
    """
    provider.slow = asyncio.Event()
    for mono in (0.0, 10.0, 20.0):
        await give_up(asyncio.ensure_future(source.load(mono)))
    waiting = asyncio.ensure_future(source.load(30.0))
    provider.slow.set()
    assert await waiting == provider.found
    assert (provider.asked, provider.sessions) == (1, 1)


async def test_a_source_that_hangs_is_asked_anew_after_a_while(source, provider, monkeypatch):
    monkeypatch.setattr(credentials, "LOAD_SECONDS", 0.05)
    provider.slow = asyncio.Event()
    with pytest.raises(SourceError, match=r"did not answer within 0\.05 s"):
        await source.load(0.0)
    provider.slow = None
    monkeypatch.undo()
    assert await source.load(10.0) == provider.found


async def test_closing_ends_a_load_and_those_who_wait_for_it(source, provider):
    await source.close()
    provider.slow = asyncio.Event()
    waiting = asyncio.ensure_future(source.load(0.0))
    await asyncio.sleep(0)
    await source.close()
    with pytest.raises(SourceError, match="nobody wants them"):
        await waiting
    provider.slow = None
    assert await source.load(0.0) == provider.found


# --- with aiobotocore's own session ---


@pytest.fixture
def real(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    return CredentialSource(AioSession)


def write_profile(aws_files, key):
    (aws_files / "credentials").write_text(
        f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = t\n"
    )


async def test_a_credentials_file_rewritten_while_we_run_is_read_again(real, aws_files):
    write_profile(aws_files, "OLD")
    first = await real.load(0.0)
    write_profile(aws_files, "NEW")
    assert (await real.load(1000.0)).access_key == "OLD"
    real.reject(first, 1010.0)
    assert (await real.load(1010.0)).access_key == "NEW"


async def test_credentials_that_appear_later_are_found(real, aws_files):
    with pytest.raises(SourceError, match="No AWS credentials were found"):
        await real.load(0.0)
    write_profile(aws_files, "NEW")
    assert await real.load(10.0) == Credentials("NEW", "s", "t")


SSO = """
[profile p]
sso_session = s
sso_account_id = 1
sso_role_name = r
[sso-session s]
sso_region = eu-west-1
sso_start_url = https://example.awsapps.com/start
"""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (SSO, "sso"),
        ("[profile p]\ncredential_process = /no/such/program\n", "no/such/program"),
        ("[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = other\n", "other"),
        ("[profile p\n", "config"),
        ("[profile q]\n", "profile"),
    ],
    ids=["sso not logged in", "process missing", "source profile missing", "broken file", "profile missing"],
)  # fmt: skip
async def test_a_broken_set_up_is_one_readable_sentence(real, aws_files, monkeypatch, config, said):
    (aws_files / "config").write_text(config)
    monkeypatch.setenv("AWS_PROFILE", "p")
    monkeypatch.setenv("HOME", str(aws_files))
    with pytest.raises(SourceError, match=rf"(?i)^AWS credentials could not be loaded: .*{said}") as caught:
        await real.load(0.0)
    assert caught.value.problem is SourceProblem.CREDENTIALS
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "told",
    ["[]", "null", '{"Version":1,"AccessKeyId":1,"SecretAccessKey":"s"}',
     '{"Version":1,"AccessKeyId":null,"SecretAccessKey":"s"}',
     '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":17}',
     '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"2030-01-01T00:00:00"}'],
    ids=["list", "null", "number for a key", "no key", "number for a time", "time of no zone"],
)  # fmt: skip
async def test_what_a_process_tells_in_another_form_is_one_sentence(real, aws_files, told):
    program = aws_files / "told"
    program.write_text(f"#!/bin/sh\necho '{told}'\n")
    program.chmod(0o700)
    (aws_files / "config").write_text(f"[default]\ncredential_process = {program}\n")
    with pytest.raises(SourceError, match=r"^AWS credentials could not be loaded: ") as caught:
        await real.load(0.0)
    assert caught.value.problem is SourceProblem.CREDENTIALS
