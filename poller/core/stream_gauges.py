"""How the shards of one mapping stand together: what is read at scrape time from their machines and their rows."""

from collections import Counter
from collections.abc import Iterable, Mapping

from poller.core.fact import Word, fact
from poller.core.leases import Lease
from poller.core.records import Shard, ShardGauges
from poller.core.shards import at_end, startable


class ShardState(Word):
    """Where a shard is in its life (the `state` label of esm_shards); each shard with a row is in one of them."""

    WAITING_PARENT = "waiting_parent"
    LEASED = "leased"  # may be read, and is not: about to begin or to be given back, paused, drained
    READING = "reading"
    BLOCKED = "blocked"  # read, as far as there is room, while the batch at its head fails
    DONE = "done"


@fact
class StreamGauges:
    """`shards` are those that are read, by id; `places` is where each shard with a row is, by its id, and `states`
    counts those; the other numbers are sums over `shards`, or the worst of them.

    `polling` tells whether a read is due or under way in any of them, `limit` is how many batches may run at
    once, `leases` how many rows are this worker's, `retention` how many seconds the stream keeps a record, None
    while that is not known. `iterator_age` and `behind` are seconds, `behind` None where the source does not tell.
    Names that end in `_since` are monotonic seconds: the earliest, or None.
    """

    shards: Mapping[str, ShardGauges]
    places: Mapping[str, ShardState]
    states: Mapping[ShardState, int]
    leases: int
    limit: int
    retention: float | None
    polling: bool
    buffered: int
    buffered_bytes: int
    in_flight_batches: int
    in_flight_messages: int
    iterator_age: float
    behind: float | None
    blocked_since: float | None
    oldest_pending_since: float | None
    invoking_since: float | None


def stream_gauges(
    shards: Mapping[str, ShardGauges],
    known: Mapping[str, Shard],
    rows: Mapping[str, Lease],
    *,
    worker: str,
    enabled: bool,
    lanes: int,
    concurrency: int,
    retention: float | None = None,
) -> StreamGauges:
    """`shards` are those with a machine, `known` all that were listed, `rows` those of the store, each by id.

    `worker` is the owner that we are, `enabled` whether the mapping is to read, `lanes` how many batches of one
    shard may run at once (STR-41) and `concurrency` how many the handler takes at all.
    """
    every = tuple(shards.values())
    places = _places(shards, known, rows, enabled=enabled)
    counted = Counter(places.values())
    return StreamGauges(
        shards=shards,
        places=places,
        states={state: counted[state] for state in ShardState},
        leases=sum([row.owner == worker for row in tuple(rows.values())]),
        limit=min(concurrency, lanes * len(every)),
        retention=retention,
        polling=any(shard.polling for shard in every),
        buffered=sum([shard.buffered for shard in every]),
        buffered_bytes=sum([shard.buffered_bytes for shard in every]),
        in_flight_batches=sum([shard.in_flight_batches for shard in every]),
        in_flight_messages=sum([shard.in_flight_records for shard in every]),
        iterator_age=max([shard.iterator_age for shard in every], default=0.0),
        behind=max([shard.behind for shard in every if shard.behind is not None], default=None),
        blocked_since=_earliest(shard.blocked_since for shard in every),
        oldest_pending_since=_earliest(shard.oldest_pending_since for shard in every),
        invoking_since=_earliest(shard.invoking_since for shard in every),
    )


def _places(
    shards: Mapping[str, ShardGauges], known: Mapping[str, Shard], rows: Mapping[str, Lease], *, enabled: bool
) -> dict[str, ShardState]:
    ready = frozenset(startable(known, rows))
    places = {}
    for key, row in tuple(rows.items()):
        gauges = shards.get(key)
        if at_end(row):
            state = ShardState.DONE
        elif gauges is None:
            state = ShardState.LEASED if key in ready else ShardState.WAITING_PARENT
        elif gauges.blocked_since is not None:
            state = ShardState.BLOCKED
        else:
            state = ShardState.READING if enabled else ShardState.LEASED
        places[key] = state
    return places


def _earliest(moments: Iterable[float | None]) -> float | None:
    return min([moment for moment in moments if moment is not None], default=None)


NO_STREAM_GAUGES = stream_gauges({}, {}, {}, worker="", enabled=False, lanes=1, concurrency=0)
