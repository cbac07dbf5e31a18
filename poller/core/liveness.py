"""Is a mapping stuck? The one place that decides it, from facts that a health check has gathered.

Slow is not stuck, and neither is a mapping that has nothing to do, has every slot busy or was told to stand still.
"""

from dataclasses import dataclass

from poller.core.model import MappingState

POLL_DEADLINE = 45.0
"""Seconds without a successful receive: twice the longest long poll (20 s), and a little for the way."""

INVOCATION_GRACE = 30.0
"""Seconds past its timeout after which an invocation shows that nobody keeps the handler's time any more."""

_AT_REST = frozenset({MappingState.DISABLING, MappingState.DISABLED, MappingState.DELETING})
_STARTING = frozenset({MappingState.CREATING, MappingState.ENABLING})


@dataclass(frozen=True, slots=True)
class LivenessFacts:
    """What is known of one mapping; moments are monotonic seconds.

    `polling`: a receive is due or under way. `waiting_since`: when the last receive succeeded, or when polling
    began (again). `last_problem`: why the last one failed. `invoking_since`: begin of the oldest running
    invocation. `crashed`: what ended the mapping's driver, if something did.
    """

    state: MappingState
    finished: bool
    polling: bool
    waiting_since: float
    last_problem: str | None
    invoking_since: float | None
    invocation_timeout: float
    crashed: str | None


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
        return f"no successful ReceiveMessage for {silent:.0f} s: {problem}"
    if facts.invoking_since is not None:
        running = now_mono - facts.invoking_since
        if running > facts.invocation_timeout + INVOCATION_GRACE:
            allowed = f"{facts.invocation_timeout:g} s"
            return f"an invocation has been running for {running:.0f} s, its timeout is {allowed}"
    return None
