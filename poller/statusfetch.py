"""Asking a running daemon for its status, and saying in a sentence why there is none."""

import json
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from poller.core.model import JsonObject
from poller.errors import ConfigurationError, PollerError
from poller.statusview import clean

TOKEN_VARIABLE = "POLLER_TOKEN"  # noqa: S105 - the name of a variable
"""Where the commands that ask a daemon look for its token."""

_FETCH_SECONDS = 5.0
_LONGEST_ANSWER = 16 << 20


class StatusUnavailable(PollerError):  # noqa: N818 - named for what has happened
    """The daemon did not tell its status."""


def fetch(url: str, token: str | None = None) -> JsonObject:
    """The status that the daemon at `url` (such as http://127.0.0.1:9465) tells: the body of /v1/mappings. `token`
    is the bearer token that it may ask for.

    Raises ConfigurationError for an URL that is none, StatusUnavailable in one sentence when there is no answer or
    a wrong one.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.netloc)
    except ValueError:  # brackets that do not close
        usable = False
    if not usable:
        raise ConfigurationError(f"--url: {url!r} is not an URL; write one such as http://127.0.0.1:9465.")
    headers = {"Accept": "application/json"}
    if token:
        if not (token.isascii() and token.isprintable()):
            raise ConfigurationError(f"{TOKEN_VARIABLE}: what it holds is no token; it has signs that none has.")
        headers["Authorization"] = f"Bearer {token}"
    request = Request(f"{url.rstrip('/')}/v1/mappings", headers=headers)  # noqa: S310 - checked above
    # a proxy for the internet is no way to a daemon on this machine
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(request, timeout=_FETCH_SECONDS) as answer:
            body = json.loads(answer.read(_LONGEST_ANSWER))
    except HTTPError as error:
        said = _said(error)
        if error.code == HTTPStatus.UNAUTHORIZED:
            raise StatusUnavailable(
                f"{url} wants another token ({said}): put that of its Settings.ControlApi.TokenVariable into the"
                f" environment variable {TOKEN_VARIABLE}."
                if token
                else f"{url} wants a token: put that of its Settings.ControlApi.TokenVariable into the environment"
                f" variable {TOKEN_VARIABLE}."
            ) from None
        raise StatusUnavailable(
            f"{url} answered {error.code} ({said}): is this the ControlApi address of a poller?"
        ) from None
    except (URLError, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise StatusUnavailable(
            f"no poller answers at {url} ({reason}): start one with `poller run`,"
            " or give the address of its Settings.ControlApi.Listen with --url."
        ) from None
    except (HTTPException, ValueError, RecursionError):
        body = None
    if (
        not isinstance(body, dict)
        or not isinstance(mappings := body.get("mappings"), list)
        or not all(isinstance(mapping, dict) for mapping in mappings)
    ):
        raise StatusUnavailable(
            f"{url} did not answer with a status: give the address of Settings.ControlApi.Listen with --url."
        )
    return body


def _said(error: HTTPError) -> str:
    """The first line of what came with it, as far as it came, else what its code means."""
    try:
        with error:
            text = error.read(300).decode("utf-8", "replace")
    except (OSError, HTTPException):
        text = ""
    return clean(text.strip().partition("\n")[0] or error.reason)
