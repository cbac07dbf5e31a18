"""Addresses to listen on, as written in the configuration. No server is imported: a file is read without one."""

import ipaddress
import re
from dataclasses import dataclass

from poller.errors import ConfigurationError

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^:\[\]\s]*)):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """A host (empty: every interface) and a port (0: the system chooses one)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, setting: str) -> Address:
    """Takes `127.0.0.1:9464`, `[::1]:9464` or `:9464` apart.

    `setting` is where the text stands in the configuration file, for the ConfigurationError that is raised when it
    is anything else.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigurationError(
            f"{setting}: {text!r} is not an address to listen on;"
            ' write host:port, such as 127.0.0.1:9464, [::1]:9464 or :9464, or "" to switch it off.'
        )
    return Address(match["v6"] or match["host"] or "", int(match["port"]))
