"""Addresses to listen on, as they are written."""

import pytest

from poller.errors import ConfigurationError
from poller.http.address import parse_address

SETTING = "Settings.Metrics.Listen"


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464, True),
        ("[::1]:9464", "::1", 9464, True),
        (":9464", "", 9464, False),
        ("0.0.0.0:0", "0.0.0.0", 0, False),
        ("localhost:65535", "localhost", 65535, True),
        ("metrics.internal:80", "metrics.internal", 80, False),
    ],
)
def test_an_address_is_taken_apart(text, host, port, loopback):
    address = parse_address(text, SETTING)

    assert (address.host, address.port, address.loopback) == (host, port, loopback)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "9464", "127.0.0.1", "::1:9464", "127.0.0.1:65536", "a b:1", "http://x:1", "[::1]"]
)
def test_anything_else_is_refused_with_what_would_be_right(text):
    with pytest.raises(ConfigurationError, match=r"Settings\.Metrics\.Listen: .*such as 127\.0\.0\.1:9464"):
        parse_address(text, SETTING)
