"""The signature on a request to an HTTP target, which proves who sent it and that nobody changed it.

`Esm-Signature: t=1700000000,v1=5257a869…`: `t` is the epoch second of the request, `v1` the HMAC-SHA256 in hex,
keyed with the secret, of that number's digits, a dot and the body. A receiver computes the same over the body as
it came, compares in constant time, and refuses what is minutes old, so that nobody can send it again later:

    def verify(secret: bytes, header: str, body: bytes, now: float) -> bool:
        fields = dict(field.split("=", 1) for field in header.split(","))
        mac = hmac.new(secret, fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(mac, fields["v1"]) and abs(now - int(fields["t"])) <= 300
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from poller.errors import ConfigurationError

HEADER: Final = "Esm-Signature"


def read_secret(variable: str, mapping: str, environment: Mapping[str, str]) -> bytes:
    """The key in this variable, byte for byte. Raises ConfigurationError, naming the variable, if it has none."""
    value = environment.get(variable, "")
    if not value.strip():
        state = "empty" if variable in environment else "not set"
        raise ConfigurationError(
            f"Mapping {mapping!r}: the environment variable {variable} of Handler.HmacSecretVariable is {state};"
            " set it to the secret that the target knows too."
        )
    return value.encode("utf-8", "surrogateescape")


def signature(secret: bytes, second: int, body: bytes) -> str:
    """The value of the header for a body sent at this epoch second."""
    mac = hmac.new(secret, b"%d." % second, hashlib.sha256)
    mac.update(body)
    return f"t={second},v1={mac.hexdigest()}"
