"""The states of a mapping and the ways between them (API-3), as a table.

One way is ours: on AWS nothing can be asked while a change is under way (API-6), here a pause that still waits for
its handlers may be taken back.
"""

from poller.core.model import MappingState

TRANSITIONS: dict[MappingState, frozenset[MappingState]] = {
    MappingState.CREATING: frozenset({MappingState.ENABLED, MappingState.DISABLED, MappingState.DELETING}),
    MappingState.ENABLING: frozenset({MappingState.ENABLED, MappingState.DISABLING, MappingState.DELETING}),
    MappingState.ENABLED: frozenset({MappingState.DISABLING, MappingState.UPDATING, MappingState.DELETING}),
    MappingState.DISABLING: frozenset({MappingState.DISABLED, MappingState.ENABLING, MappingState.DELETING}),
    MappingState.DISABLED: frozenset({MappingState.ENABLING, MappingState.UPDATING, MappingState.DELETING}),
    MappingState.UPDATING: frozenset({MappingState.ENABLED, MappingState.DISABLED, MappingState.DELETING}),
    MappingState.DELETING: frozenset(),
}


def may_become(state: MappingState, next_state: MappingState) -> bool:
    """Whether there is a way from the one to the other; staying is none."""
    return next_state in TRANSITIONS[state]
