"""Is a mapping stuck? The one place that decides it, from facts that a health check has gathered.

Slow is not stuck, and neither is a mapping that has nothing to do, has every slot busy or was told to stand still.
"""

from dataclasses import dataclass

from poller.core.model import MappingState

POLL_DEADLINE = 45.0
"""Seconds without a successful receive: twice the longest long poll (20 s), and a little for the way. A stream has
the same, although its reads do not wait: each pause after a failure is shorter.
"""

SHARD_DEADLINE = 300.0
"""Seconds without any sign of a shard that should be read, while others are: no answer, no failure, no new try. A
read has a deadline of 10 s and a pause after it of 30 s, so by then nobody will read it any more.
"""

INVOCATION_GRACE = 30.0
"""Seconds past its timeout after which an invocation shows that nobody keeps the handler's time any more."""

_AT_REST = frozenset({MappingState.DISABLING, MappingState.DISABLED, MappingState.DELETING})
_STARTING = frozenset({MappingState.CREATING, MappingState.ENABLING})


@dataclass(frozen=True, slots=True)
class LivenessFacts:
    """What is known of one mapping; moments are monotonic seconds.

    `polling`: a receive is due or under way. `waiting_since`: when the last receive succeeded, or when polling
    began (again). `last_problem`: why the last one failed. `invoking_since`: begin of the oldest running
    invocation. `crashed`: what ended the mapping's driver, if something did. `operation`: the call that reads.

    A stream is read as long as any of its shards is. `invoking_shard`: the shard of that invocation. `silent`: of
    the shards that should be read the one that was not heard of for longest, and since when.
    """

    state: MappingState
    finished: bool
    polling: bool
    waiting_since: float
    last_problem: str | None
    invoking_since: float | None
    invocation_timeout: float
    crashed: str | None
    operation: str = "ReceiveMessage"
    invoking_shard: str = ""
    silent: tuple[str, float] | None = None


def stuck(facts: LivenessFacts, now_mono: float) -> str | None:
    """Why the mapping makes no progress, as a part of a sentence; None while all is well.

    A crash is told in every state but those of a mapping that was switched off or is done. Both deadlines must
    have passed completely: at the very second of a deadline nobody is stuck yet.
    """
    if facts.finished or facts.state in _AT_REST:
        return None
    if facts.crashed is not None:
        return f"its driver ended: {facts.crashed}"
    silent = now_mono - facts.waiting_since
    if (facts.polling or facts.state in _STARTING) and silent > POLL_DEADLINE:
        problem = facts.last_problem or "no answer and no error"
        return f"no successful {facts.operation} for {silent:.0f} s: {problem}"
    if facts.invoking_since is not None:
        running = now_mono - facts.invoking_since
        if running > facts.invocation_timeout + INVOCATION_GRACE:
            allowed = f"{facts.invocation_timeout:g} s"
            where = f" (shard {facts.invoking_shard})" if facts.invoking_shard else ""
            return f"an invocation has been running for {running:.0f} s{where}, its timeout is {allowed}"
    if facts.silent is not None:
        shard, since = facts.silent
        if now_mono - since > SHARD_DEADLINE:
            return f"shard {shard} should be read and was not heard of for {now_mono - since:.0f} s"
    return None
