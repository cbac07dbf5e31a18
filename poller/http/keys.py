"""Who may use the control listener: the keys of `Settings.ControlApi`, whose variables hold the secrets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from poller.errors import ConfigurationError
from poller.settings import Settings

_SHORTEST: Final = 16  # characters of a token or secret; fewer can be guessed over a network
_TOKEN: Final = re.compile(r"[!-~]+")
_PAIR: Final = re.compile(r"([A-Za-z0-9_.-]{1,128}):([!-~]+)")


@dataclass(frozen=True, slots=True)
class Keys:
    """A bearer token, and secret keys by their access keys; with neither, whoever reaches the listener may."""

    token: str | None = field(default=None, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def wanted(self) -> bool:
        """Whether a request needs one of them."""
        return self.token is not None or bool(self.secrets)


def read_keys(settings: Settings, environment: Mapping[str, str]) -> Keys:
    """The keys that the variables hold. Raises ConfigurationError, one sentence that names the variable and shows
    nothing of it.
    """
    token: str | None = None
    secrets: dict[str, str] = {}
    if settings.control_token_variable is not None:
        token = _value(settings.control_token_variable, "TokenVariable", environment)
        if _TOKEN.fullmatch(token) is None or len(token) < _SHORTEST:
            raise _wrong(
                settings.control_token_variable,
                "TokenVariable",
                f"is no token; allowed: {_SHORTEST} or more visible ASCII characters without spaces,"
                " such as `openssl rand -hex 32` prints",
            )
    if settings.control_keys_variable is not None:
        for number, pair in enumerate(
            _value(settings.control_keys_variable, "AccessKeysVariable", environment).split(), 1
        ):
            match = _PAIR.fullmatch(pair)
            if match is None or len(match[2]) < _SHORTEST or match[1] in secrets:
                raise _wrong(
                    settings.control_keys_variable,
                    "AccessKeysVariable",
                    f"has no usable pair in place {number}; allowed: ACCESS_KEY_ID:SECRET_ACCESS_KEY with a secret"
                    f" of {_SHORTEST} or more characters, several with spaces between, no id twice",
                )
            secrets[match[1]] = match[2]
    return Keys(token, secrets)


def _value(variable: str, name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable, "").strip()
    if not value:
        state = "empty" if variable in environment else "not set"
        raise _wrong(variable, name, f"is {state}; set it, or take {name} out of the file")
    return value


def _wrong(variable: str, name: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"Settings.ControlApi.{name}: the environment variable {variable} {what}.")
