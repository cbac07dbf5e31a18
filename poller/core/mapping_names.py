"""Names in a mapping: a URL, and our own id for it; what is wrong with each. ARNs: mapping_arns.py, targets:
mapping_targets.py.
"""

import re
from hashlib import sha256
from urllib.parse import urlsplit
from uuid import UUID

_NUMBERS = re.compile(r"\d{1,9}(\.\d{1,9}){3}", re.ASCII)
_LABEL = r"[A-Za-z0-9_\x80-\U0010ffff-]{1,63}"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
MAPPING_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # API-2
ENDPOINT = r"[hH][tT][tT][pP][sS]?://[^\s?#]+"  # as schemas tell it


def url_problem(value: str, *, query: bool = False) -> str | None:
    """What is wrong with the URL of an endpoint, which has no `query` unless it is a target. What it holds is not
    repeated: it may be a password.
    """
    parts = "a port, a path and a query" if query else "a port and a path"
    wanted = f"allowed: http:// or https:// with a host and, if need be, {parts}"
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port  # the port is checked when it is read
    except ValueError:
        return f"this is not a URL; {wanted}"
    if url.username is not None or url.password is not None:
        return f"the URL holds a user name or password, which have no place in a configuration; {wanted}"
    if url.scheme not in {"http", "https"} or not _is_host(host or "") or not value.isprintable() or " " in value:
        return f"this is not the URL of an endpoint; {wanted}"
    if not query and (url.query or url.fragment):
        return f"the URL of an endpoint has neither query nor fragment; {wanted}"
    if url.fragment:
        return f"the URL of a target has no fragment; {wanted}"
    return None


def _is_host(host: str) -> bool:
    """Whether somebody could be there: an address, which `urlsplit` has judged if it is in brackets, or a name."""
    if ":" in host:
        return True
    if _NUMBERS.fullmatch(host):
        return all(int(number) < 256 for number in host.split("."))
    return _HOST.fullmatch(host) is not None


def mapping_uuid(name: str, source: str, function_name: str) -> str:
    """API-2: 36 lower-case characters in the shape of version 4; the same after every restart, unlike AWS's.

    A part that is empty does not count: the mapping stays the same whatever it is.
    """
    digest = sha256(f"{name}\0{source}\0{function_name}".encode("utf-8", "surrogatepass")).digest()
    return str(UUID(bytes=digest[:16], version=4))
