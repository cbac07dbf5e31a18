"""The signature proves sender, time and body; the function that receivers are told to write agrees."""

import hashlib
import hmac
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest

from poller.errors import ConfigurationError
from poller.handlers import signature

BODY = '{"Records":[{"body":"é"}]}'.encode()


@pytest.fixture
def verify() -> Callable[..., bool]:
    """The receiver's function as the documentation has it, letter for letter."""
    assert signature.__doc__ is not None
    code = signature.__doc__.partition("    def verify")
    names: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib}
    exec(dedent(code[1] + code[2]), names)
    return names["verify"]


def test_the_header_is_what_it_is_said_to_be() -> None:
    """A value that openssl computed: it must never change under those who verify it."""
    assert signature.signature(b"secret", 1_700_000_000, b"{}") == (
        "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    )


def test_a_receiver_believes_us(verify: Callable[..., bool]) -> None:
    """What was sent is accepted, for some minutes."""
    header = signature.signature(b"secret", 1_700_000_000, BODY)
    assert verify(b"secret", header, BODY, 1_700_000_000.0)
    assert verify(b"secret", header, BODY, 1_700_000_299.0)


def test_a_receiver_believes_nobody_else(verify: Callable[..., bool]) -> None:
    """Another secret, another body, another time, an old one."""
    header = signature.signature(b"secret", 1_700_000_000, BODY)
    assert not verify(b"other", header, BODY, 1_700_000_000.0)
    assert not verify(b"secret", header, BODY + b" ", 1_700_000_000.0)
    assert not verify(b"secret", header.replace("1700000000", "1700000100"), BODY, 1_700_000_100.0)
    assert not verify(b"secret", header, BODY, 1_700_000_301.0)


@pytest.mark.parametrize(
    ("environment", "state"), [({}, "not set"), ({"HOOK_SECRET": ""}, "empty"), ({"HOOK_SECRET": " \n"}, "empty")]
)
def test_a_variable_without_a_secret(environment: dict[str, str], state: str) -> None:
    """One sentence that names the mapping and the variable."""
    with pytest.raises(ConfigurationError) as caught:
        signature.read_secret("HOOK_SECRET", "clicks", environment)
    assert str(caught.value) == (
        f"Mapping 'clicks': the environment variable HOOK_SECRET of Handler.HmacSecretVariable is {state};"
        " set it to the secret that the target knows too."
    )


def test_a_secret_is_taken_byte_for_byte() -> None:
    """Also one with a space at its end, or that is not text."""
    assert signature.read_secret("S", "clicks", {"S": " a\udcff "}) == b" a\xff "
