"""What both stream services tell of shards, read with distrust: a wrong id or end of a shard loses its records."""

from typing import Any, Final

from poller.core.model import SourceProblem
from poller.core.records import Listing
from poller.errors import SourceError

_DIGITS: Final = 129  # of the longest sequence number that Kinesis has; int() takes some thousands


def read_id(told: Any) -> str:
    """The id of a shard. Raises TypeError for what is none."""
    if not isinstance(told, str) or not told:
        raise TypeError("a shard without an id")
    return told


def read_number(told: Any) -> str:
    """A sequence number; empty where there is none, or something that cannot be compared (STR-28)."""
    text = "" if told is None else str(told)
    return text if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else ""


def check_end(service: str, host: str, shard_id: str, listing: Listing) -> None:
    """STR-4: raises SourceError(EXPIRED) when GetRecords told the end of a shard that is listed as open.

    Servers are known to do so by mistake, and with an iterator that is too old.
    """
    if listing.shows_open(shard_id):
        text = (
            f"{service} GetRecords at {host} told the end of {shard_id}, which is listed as open and childless. "
            "A new iterator is asked for."
        )
        raise SourceError(SourceProblem.EXPIRED, text)
