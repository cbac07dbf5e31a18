"""Permits before polls: what may be asked of the queue is what free slots can run (SQS-2, SQS-6).

A message is asked for, buffered, running or being deleted. Those that are asked for or buffered count against the
free slots, so that nothing is received that cannot run.
"""

from poller.core.batcher import Batcher
from poller.core.budget import ByteBudget
from poller.core.deletes import Deletes
from poller.core.held import Held
from poller.core.lanes import GroupGate
from poller.core.mapping import EventSourceMapping
from poller.core.receives import Receives
from poller.core.slots import Slots

ENTRIES = 10  # SQS: messages of one receive
UNDELETED_MAX = 2_000  # acknowledged and not yet deleted; above it nothing new is received
WAITING_MAX = 1_000  # messages of blocked FIFO groups; above it nothing new is received
BUDGET_EVERY = 1.0  # seconds between two looks at a full budget: nobody tells when another mapping gives back


class Permits:
    """Looks at the parts of one machine; changes none of them."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        slots: Slots,
        batcher: Batcher,
        gate: GroupGate,
        receives: Receives,
        deletes: Deletes,
        held: Held,
        budget: ByteBudget,
    ) -> None:
        self._fifo = mapping.arn.fifo
        self._batch_size = mapping.batch_size
        self._most = _most_per_receive(mapping)
        self._slots = slots
        self._batcher = batcher
        self._gate = gate
        self._receives = receives
        self._deletes = deletes
        self._held = held
        self._budget = budget

    @property
    def over_budget(self) -> bool:
        """Whether the process holds too much. Who holds nothing may go on, so that nobody waits for ever."""
        return not self._budget.has_room and bool(self._held)

    def room(self) -> int:
        """How many messages the next receive may ask for; none if 0 or less."""
        unclaimed = self._slots.unclaimed
        if self._fifo:
            # one receive is one batch (FIFO-2)
            free = unclaimed > len(self._receives) and self._gate.waiting_messages < WAITING_MAX
            room = self._batch_size if free else 0
        else:
            room = min(self._most, unclaimed * self._batch_size - self._batcher.count - self._receives.asked)
        return 0 if room <= 0 or len(self._deletes) > UNDELETED_MAX or self.over_budget else room

    def may_close(self) -> bool:
        """Whether the open batch can have a slot and the receives in flight still find room elsewhere."""
        unclaimed = self._slots.unclaimed
        return unclaimed > 0 and (unclaimed - 1) * self._batch_size >= self._receives.asked


def _most_per_receive(mapping: EventSourceMapping) -> int:
    """The most messages that one receive asks for. Without a window what it brings is split into batches at once
    (BAT-8), so it asks for whole ones: else the rest of each receive would want a slot of its own.
    """
    if mapping.window > 0 or mapping.batch_size >= ENTRIES:
        return ENTRIES
    return ENTRIES - ENTRIES % mapping.batch_size
