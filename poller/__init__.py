"""AWS Lambda's event source mapping on your own machines.

`run` works one mapping until cancelled; `Poller` holds several inside an asyncio application; `each` makes a
handler of a function of one record. `python -m poller` is the daemon. Users' tests find an AWS in
`poller.testing`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from poller.version import __version__

if TYPE_CHECKING:
    from poller.embed import Mapping, Poller, run
    from poller.errors import ConfigurationError, PollerError, SourceError
    from poller.per_record import each

__all__ = ["ConfigurationError", "Mapping", "Poller", "PollerError", "SourceError", "__version__", "each", "run"]

# Imported when they are asked for: the command line passes through here first, and shall take a Ctrl-C as its own
# before it has loaded all of the rest.
_HOMES = {
    "ConfigurationError": "poller.errors",
    "Mapping": "poller.embed",
    "Poller": "poller.embed",
    "PollerError": "poller.errors",
    "SourceError": "poller.errors",
    "each": "poller.per_record",
    "run": "poller.embed",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'poller' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value
