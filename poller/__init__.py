"""AWS Lambda's event source mapping on your own machines.

`run` works one mapping until cancelled; `Poller` holds several inside an asyncio application. `python -m poller`
is the daemon. Users' tests find an AWS in `poller.testing`.
"""

from poller.embed import Mapping, Poller, run
from poller.errors import ConfigurationError, PollerError, SourceError
from poller.version import __version__

__all__ = ["ConfigurationError", "Mapping", "Poller", "PollerError", "SourceError", "__version__", "run"]
