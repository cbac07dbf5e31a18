"""The row that is kept for each shard of a mapping: whose it is, and how far it has come.

The attributes are KCL's, so that its tables can be taken over and given back; those that KCL does not know begin
with `esm_`. What is here is the row and its meaning; stores (poller/store/) keep it, coordinators change it.
"""

from poller.core.fact import fact


@fact
class Lease:
    """One row. Every write is a compare-and-set on `counter` and `owner`, and adds one to the counter.

    `key` is the shard id; `checkpoint` a sequence number or TRIM_HORIZON, LATEST, AT_TIMESTAMP, SHARD_END;
    `switches` counts changes of owner since the last checkpoint. `tenure` is a random word of the owner's, new
    each time it takes the row. `start` is the epoch second at which LATEST was pinned, or AT_TIMESTAMP's.
    `progress` is what Progress holds beside the position, as JSON text, empty for nothing. `ended_at` is the epoch
    second at which SHARD_END was written. `starting` is the sequence number at which the shard began: a stream
    that is deleted and made anew has shards of the same ids, and this is how they are told apart.
    """

    key: str
    checkpoint: str
    owner: str | None = None
    counter: int = 0
    sub_sequence: int = 0
    switches: int = 0
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    hash_start: str = ""
    hash_end: str = ""
    tenure: str = ""
    start: float | None = None
    progress: str = ""
    ended_at: float | None = None
    starting: str = ""


@fact
class Conflict:
    """A compare-and-set that found another row than expected: `found` is what is there, None for nothing."""

    found: Lease | None
