"""Settings of a process: what is not about one mapping. The only place that reads the environment for ourselves.

How they are read from a file is in config.py; AWS's own variables are read by the AWS rooms.
"""

import os
from dataclasses import dataclass
from typing import Literal

from poller.core.mapping_shapes import quote
from poller.errors import ConfigurationError

_PLACES = "allowed: memory: or sqlite:<path>."


@dataclass(frozen=True, slots=True)
class State:
    """Where positions and attempt counts are kept: this process's memory, or a SQLite file at `path`, relative to
    the working directory.
    """

    kind: Literal["memory", "sqlite"]
    path: str = ""

    @property
    def lasting(self) -> bool:
        """Whether they outlast the process."""
        return self.kind != "memory"

    @property
    def there(self) -> bool:
        """Whether there is a file already; what is left of a removed one counts."""
        return any(os.path.lexists(f"{self.path}{end}") for end in ("", "-wal"))


@dataclass(frozen=True, slots=True)
class Settings:
    """`Settings` of the file, valid. `shutdown_timeout` is in seconds; an empty `listen` means no listener, else
    it is an address that http/address.py can take apart. `histograms` and `max_shards`: see metrics_export.Shown.
    The control variables name those of the environment that hold its keys (http/keys.py).

    The daemon keeps positions in `poller.db` unless told otherwise, because a stream read anew at each start loses
    records or repeats them (STR-31); the library writes no file that nobody named, so there it is memory.
    """

    region: str | None = None
    account_id: str | None = None
    endpoint_url: str | None = None
    state: State = State("sqlite", "poller.db")
    shutdown_timeout: float = 25.0
    metrics_listen: str = "127.0.0.1:9464"
    histograms: bool = True
    max_shards: int = 64
    control_listen: str = "127.0.0.1:9465"
    control_token_variable: str | None = None
    control_keys_variable: str | None = None
    log_level: str = "INFO"
    log_format: Literal["auto", "text", "json"] = "auto"


def parse_state(text: str) -> State:
    """`memory:` or `sqlite:<path>`; raises ConfigurationError, one sentence, for anything else."""
    kind, colon, path = text.partition(":")
    if colon and kind == "memory" and not path:
        return State("memory")
    if colon and kind == "sqlite" and path == path.strip() and path and path.isprintable():
        wrong = _wrong_path(path)
        if wrong:
            raise ConfigurationError(f"{quote(text)} {wrong}; {_PLACES}")
        return State("sqlite", path)
    if colon and kind == "dynamodb":
        raise ConfigurationError(
            f"dynamodb: is for fleets of pollers, which are not part of this version; {_PLACES}"
        )
    raise ConfigurationError(f"{quote(text)} is not a place for state; {_PLACES}")


def _wrong_path(path: str) -> str:
    """Paths that SQLite, or people who know database URLs, would take for something else than we."""
    if path.startswith(":"):
        return "is no file, so that positions would be lost at exit unseen"
    if path.startswith("//"):
        return "is a URL, not a path: write sqlite:poller.db, or sqlite:/var/lib/poller.db"
    return ""


def environment() -> dict[str, str]:
    """The process's environment as it is now; everybody else is handed such a mapping."""
    return dict(os.environ)
